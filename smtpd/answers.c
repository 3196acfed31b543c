#include "smtpd/answers.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/printable.h"
#include "lib/dns/dns.h"
#include "lib/table/dns_filter.h"
#include "smtpd/session.h"

enum {
    WAIT_MS = 60 * 1000, /* for one answer */
    AT_A_TIME = 32,      /* questions of one list */
    ADDRESSES_MAX = 32,  /* kept of one answer */
    ARENA_MAX = 64 * 1024,
    NAME_MAX_OCTETS = 253, /* RFC 1035 section 2.3.4, without the final dot */
    REASON_MAX = 500,
};

/*
 * One name. The fiber that asks may outlive the session, so both hold it.
 */
struct answer {
    struct list node; /* of the session's */
    unsigned users;
    const struct profile *profile; /* held */
    char *name;
    bool done;
    enum dns_status status;
    struct sock_addr addresses[ADDRESSES_MAX];
    size_t count;
    char *reason; /* NULL: not asked for yet */
    struct fiber_cond cond;
};

struct answers {
    struct list all;
};

static void
answer_leave(struct answer *a)
{
    if (--a->users > 0)
        return;
    profile_leave(a->profile);
    mem_free(a->name);
    mem_free(a->reason);
    mem_free(a);
}

/* Asking */

static void
keep(struct answer *a, const struct dns_answer *got)
{
    for (size_t i = 0; i < got->count && a->count < ADDRESSES_MAX; i++)
        if (got->records[i].type == DNS_A)
            a->addresses[a->count++] = got->records[i].addr;
}

static enum dns_status
ask_type(const struct answer *a, enum dns_type type, struct arena *arena,
    struct dns_answer *got, struct why *why)
{
    enum dns_status status = dns_ask(slice_of(a->name), type, arena,
        clock_now_ms() + WAIT_MS, got, why);

    return dns_filter_answer(a->profile->dns_filter, a->profile->tag,
        slice_of(a->name), type, status, got, why);
}

static void
ask(void *arg)
{
    struct answer *a = arg;
    struct dns_answer got;
    struct arena arena;
    struct why why;

    arena_init(&arena, ARENA_MAX);
    a->status = ask_type(a, DNS_A, &arena, &got, &why);
    if (a->status == DNS_OK)
        keep(a, &got);
    else if (a->status == DNS_TRYAGAIN)
        log_warning("%s: RBL lookup error: %s", a->name, why.text);
    arena_clear(&arena);
    a->done = true;
    fiber_cond_broadcast(&a->cond);
    answer_leave(a);
}

static struct answer *
find(const struct session *s, struct slice name)
{
    if (s->answers == NULL)
        return NULL;
    list_foreach (it, &s->answers->all) {
        struct answer *a = LIST_ENTRY(it, struct answer, node);

        if (slice_eq_nocase(name, slice_of(a->name)))
            return a;
    }
    return NULL;
}

static struct answer *
begin(struct session *s, struct slice name)
{
    struct answer *a = mem_alloc(sizeof(*a));

    if (s->answers == NULL) {
        s->answers = mem_alloc(sizeof(*s->answers));
        list_init(&s->answers->all);
    }
    a->profile = profile_hold(s->profile);
    a->name = mem_text_of(name);
    a->users = 2;
    fiber_cond_init(&a->cond);
    list_append(&s->answers->all, &a->node);
    if (fiber_spawn("DNS list", ask, a) == NULL) {
        a->users = 1;
        a->done = true;
        a->status = DNS_TRYAGAIN;
    }
    return a;
}

/* What c asks for, asked now at the latest. NULL: there is nothing to ask. */
static struct answer *
answer_of(struct evaluation *e, const struct check *c)
{
    struct answer *a = NULL;
    struct buf name;

    buf_init(&name, NAME_MAX_OCTETS);
    if (c->what->question(e, c, &name) && !buf_failed(&name)) {
        a = find(e->s, buf_slice(&name));
        if (a == NULL)
            a = begin(e->s, buf_slice(&name));
    }
    buf_fini(&name);
    return a;
}

void
answers_ask(struct evaluation *e, const struct check_list *list, size_t from)
{
    unsigned asked = 0;

    for (size_t i = from; i < list->count && asked < AT_A_TIME; i++)
        if (list->checks[i].what->question != NULL) {
            (void)answer_of(e, &list->checks[i]);
            asked++;
        }
}

/* Using */

static bool
matches(const struct answer *a, const struct dns_list *list)
{
    for (size_t i = 0; i < a->count; i++)
        if (dns_list_matches(list, &a->addresses[i]))
            return true;
    return false;
}

enum answer_status
answers_find(struct evaluation *e, const struct check *c)
{
    struct answer *a = answer_of(e, c);

    if (a == NULL)
        return ANSWER_NOT_LISTED;
    while (!a->done)
        if (fiber_cond_wait(&a->cond, clock_now_ms() + WAIT_MS) != WAIT_OK)
            return ANSWER_UNKNOWN;
    if (a->status == DNS_OK)
        return matches(a, &c->list) ? ANSWER_LISTED : ANSWER_NOT_LISTED;
    return a->status == DNS_TRYAGAIN ? ANSWER_UNKNOWN : ANSWER_NOT_LISTED;
}

static char *
ask_reason(const struct answer *a)
{
    struct dns_answer got;
    struct arena arena;
    struct why why;
    char *reason = NULL;

    arena_init(&arena, ARENA_MAX);
    if (ask_type(a, DNS_TXT, &arena, &got, &why) == DNS_OK && got.count > 0) {
        reason = mem_text_of(slice_head(got.records[0].name, REASON_MAX));
        printable_make(reason, strlen(reason));
    }
    arena_clear(&arena);
    return reason == NULL ? mem_text("") : reason;
}

const char *
answers_reason(struct evaluation *e, const struct check *c)
{
    struct answer *a = answer_of(e, c);

    if (a == NULL)
        return "";
    if (a->reason == NULL)
        a->reason = ask_reason(a);
    return a->reason;
}

void
answers_free(struct session *s)
{
    struct list *node;

    if (s->answers == NULL)
        return;
    while ((node = list_take(&s->answers->all)) != NULL)
        answer_leave(LIST_ENTRY(node, struct answer, node));
    mem_free(s->answers);
    s->answers = NULL;
}

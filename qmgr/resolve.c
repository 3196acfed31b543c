#include "qmgr/resolve.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/address.h"
#include "lib/mail/route.h"
#include "qmgr/destination.h"
#include "qmgr/inside.h"
#include "qmgr/opening.h"

#include <errno.h>
#include <string.h>

enum {
    ANSWERS_MAX = 16384,
    ANSWER_MS = 5000, /* changed tables are noticed within seconds */
};

struct question {
    struct map_node node;
    struct list link; /* of q->unasked */
    struct route_question key;
    struct list waiters; /* struct rcpt */
    char texts[];
};

/* A remembered answer. */
struct answer {
    struct map_node node;
    struct list link; /* of q->answers_used */
    struct route_question key;
    int64_t until_ms;
    enum address_class class;
    struct slice transport, nexthop, address;
    char texts[];
};

static uint64_t
hash_of(const struct route_question *k)
{
    return map_hash_slice(k->recipient) ^
        (map_hash_slice(k->sender) * 0x9e3779b97f4a7c15);
}

static bool
same_key(const struct route_question *a, const struct route_question *b)
{
    return a->use == b->use && slice_eq(a->recipient, b->recipient) &&
        slice_eq(a->sender, b->sender);
}

static bool
same_question(const struct map_node *node, const void *key)
{
    return same_key(&((const struct question *)(const void *)node)->key, key);
}

static bool
same_answer(const struct map_node *node, const void *key)
{
    return same_key(&((const struct answer *)(const void *)node)->key, key);
}

static struct slice
put_text(char **at, struct slice s)
{
    struct slice copy = { *at, s.len };

    if (s.len > 0)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

/* Where a route leads. */

/* Once in transport_retry_time, as often as Postfix would look for it. */
static void
complain(struct qmgr *q, struct transport *t)
{
    if (seldom_due(&t->complained, q->config->transport_retry_time))
        log_warning("connect to transport private/%s: %s", t->name,
            strerror(ENOENT));
}

static void
follow(struct qmgr *q, struct rcpt *r, struct slice transport,
    struct slice nexthop, struct slice address)
{
    struct transport *t = transport_find(q, transport);

    /* The common case takes no memory: nothing is changed by routing. */
    if (slice_eq(address, rcpt_given(r)->address) || address.len == 0)
        r->address = rcpt_given(r)->address;
    else if (!arena_slice(&r->message->arena, address, &r->address)) {
        refuse_rcpt(q, r, "4.3.1", "no memory for recipient");
        return;
    }
    if (t->deferred && (r->message->entry->flags & ENTRY_FLUSHED) == 0) {
        refuse_rcpt(q, r, "4.3.2", "deferred transport");
        return;
    }
    switch (t->kind) {
    case TRANSPORT_NONE:
        complain(q, t);
        refuse_rcpt(q, r, "4.3.0", "mail transport unavailable");
        break;
    case TRANSPORT_AGENT:
        destination_enqueue(q, t, nexthop, r);
        break;
    case TRANSPORT_ERROR:
    case TRANSPORT_RETRY:
    case TRANSPORT_DISCARD:
        inside_deliver(q, t, nexthop, r);
        break;
    }
}

/*
 * Mail to the sender of our notices to postmaster, and of probes: who gets it
 * need not exist, and nobody is to be told.
 */
static bool
absorb(struct qmgr *q, struct rcpt *r, enum address_class class,
    struct slice address)
{
    struct slice local, domain;

    (void)address_split(address, &local, &domain);
    if (class != CLASS_LOCAL ||
        !slice_eq_nocase(local, slice_of(q->config->double_bounce_sender)))
        return false;
    absorb_rcpt(q, r, "undeliverable postmaster notification discarded");
    return true;
}

/* content_filter and FILTER: one way for all recipients of the message. */
static void
follow_filter(struct qmgr *q, struct rcpt *r, struct slice filter)
{
    struct slice address = rcpt_given(r)->address;
    size_t colon = slice_find(filter, ':');
    struct slice nexthop = slice_skip(filter, colon + 1);

    if (nexthop.len == 0)
        nexthop = slice_skip(address, slice_rfind(address, '@') + 1);
    follow(q, r, slice_head(filter, colon), nexthop, address);
}

/* Answers. */

static void
forget(struct qmgr *q, struct answer *a)
{
    map_remove(&q->answers, &a->node);
    list_remove(&a->link);
    mem_free(a);
}

static struct answer *
recall(struct qmgr *q, const struct route_question *k)
{
    struct map_node *n = map_find(&q->answers, hash_of(k), same_answer, k);
    struct answer *a;

    if (n == NULL)
        return NULL;
    a = LIST_ENTRY(n, struct answer, node);
    if (a->until_ms > clock_now_ms()) {
        list_remove(&a->link);
        list_append(&q->answers_used, &a->link);
        return a;
    }
    forget(q, a);
    return NULL;
}

static void
remember(struct qmgr *q, const struct route_question *k,
    const struct route *route)
{
    struct slice transport = slice_of(route->transport);
    struct slice nexthop = slice_of(route->nexthop);
    struct slice address = slice_of(route->address);
    struct answer *a = recall(q, k);
    char *at;

    if (a != NULL)
        forget(q, a);
    while (q->answers.count >= ANSWERS_MAX)
        forget(q, LIST_ENTRY(q->answers_used.next, struct answer, link));
    a = mem_alloc(sizeof(*a) + k->sender.len + k->recipient.len +
        transport.len + nexthop.len + address.len);
    at = a->texts;
    a->key.sender = put_text(&at, k->sender);
    a->key.recipient = put_text(&at, k->recipient);
    a->key.use = k->use;
    a->class = route->class;
    a->transport = put_text(&at, transport);
    a->nexthop = put_text(&at, nexthop);
    a->address = put_text(&at, address);
    a->until_ms = clock_now_ms() + ANSWER_MS;
    map_add(&q->answers, hash_of(k), &a->node);
    list_append(&q->answers_used, &a->link);
}

/* Questions. */

static struct route_question
key_of(struct qmgr *q, const struct rcpt *r)
{
    return (struct route_question){
        q->route_by_sender ? r->message->envelope.sender : SLICE_LIT(""),
        rcpt_given(r)->address,
        mail_is_own_probe(r->message) ? ROUTE_OF_PROBE : ROUTE_OF_MAIL,
    };
}

static void
ask(struct qmgr *q, struct question *w)
{
    if (q->outside->resolve(q->context, &w->key, w))
        return;
    list_append(&q->unasked, &w->link);
}

void
resolve_rcpt(struct qmgr *q, struct rcpt *r)
{
    struct slice filter = r->message->envelope.filter;
    struct question *w;
    struct map_node *n;
    struct answer *a;
    struct route_question k;
    char *at;

    if (mail_is_own_probe(r->message) &&
        (int64_t)q->probes > q->config->address_verify_pending_request_limit) {
        refuse_probe(q, r, "4.3.2", "Too many address verification requests");
        return;
    }
    if (filter.len > 0) {
        follow_filter(q, r, filter);
        return;
    }
    k = key_of(q, r);
    a = recall(q, &k);
    if (a != NULL) {
        if (!absorb(q, r, a->class, a->address))
            follow(q, r, a->transport, a->nexthop, a->address);
        return;
    }
    n = map_find(&q->questions, hash_of(&k), same_question, &k);
    rcpt_set_state(r, RCPT_RESOLVING);
    if (n != NULL) {
        w = LIST_ENTRY(n, struct question, node);
        list_append(&w->waiters, &r->link);
        return;
    }
    w = mem_alloc(sizeof(*w) + k.sender.len + k.recipient.len);
    at = w->texts;
    w->key.sender = put_text(&at, k.sender);
    w->key.recipient = put_text(&at, k.recipient);
    w->key.use = k.use;
    list_init(&w->link);
    list_init(&w->waiters);
    list_append(&w->waiters, &r->link);
    map_add(&q->questions, hash_of(&k), &w->node);
    ask(q, w);
}

static void
question_free(struct qmgr *q, struct question *w)
{
    map_remove(&q->questions, &w->node);
    list_remove(&w->link);
    mem_free(w);
}

void
resolve_answered(struct qmgr *q, struct question *w, enum result res,
    const struct route *route, const struct why *why)
{
    struct list *it;

    if (res == RESULT_OK)
        remember(q, &w->key, route);
    while ((it = list_take(&w->waiters)) != NULL) {
        struct rcpt *r = LIST_ENTRY(it, struct rcpt, link);

        rcpt_set_state(r, RCPT_PENDING);
        switch (res) {
        case RESULT_OK:
            if (!absorb(q, r, route->class, slice_of(route->address)))
                follow(q, r, slice_of(route->transport),
                    slice_of(route->nexthop), slice_of(route->address));
            break;
        case RESULT_TEMPFAIL:
            refuse_rcpt(q, r, why->status[0] == '\0' ? "4.3.0" : why->status,
                why->text);
            break;
        case RESULT_PERMFAIL:
            fail_rcpt(q, r, why->status[0] == '\0' ? "5.1.3" : why->status,
                why->text);
            break;
        }
        mail_resolved(q, r->message);
    }
    question_free(q, w);
}

void
resolve_lost(struct qmgr *q, struct question *w)
{
    if (list_empty(&w->waiters))
        question_free(q, w);
    else
        ask(q, w);
}

void
resolve_retry(struct qmgr *q)
{
    struct list waiting;
    struct list *it;

    list_init(&waiting);
    while ((it = list_take(&q->unasked)) != NULL)
        list_append(&waiting, it);
    while ((it = list_take(&waiting)) != NULL)
        resolve_lost(q, LIST_ENTRY(it, struct question, link));
}

static bool
is_set(const char *value)
{
    return value != NULL && value[0] != '\0';
}

void
resolve_configure(struct qmgr *q)
{
    const struct config *c = config_of_service(q->set,
        q->config->rewrite_service_name);

    q->route_by_sender = is_set(c->sender_dependent_relayhost_maps) ||
        is_set(c->sender_dependent_default_transport_maps);
    list_foreach_safe (it, &q->answers_used)
        forget(q, LIST_ENTRY(it, struct answer, link));
}

void
resolve_fini(struct qmgr *q)
{
    struct map_node *next;

    list_foreach_safe (it, &q->answers_used)
        forget(q, LIST_ENTRY(it, struct answer, link));
    for (struct map_node *n = map_first(&q->questions); n != NULL; n = next) {
        next = map_after(&q->questions, n);
        question_free(q, LIST_ENTRY(n, struct question, node));
    }
    map_fini(&q->answers);
    map_fini(&q->questions);
}

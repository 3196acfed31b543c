#include "qmgr/late.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/late.h"
#include "lib/mail/queue_id.h"
#include "qmgr/dispatch.h"
#include "qmgr/mail.h"
#include "qmgr/round.h"
#include "qmgr/settle.h"

enum { ARENA_MAX = 256 * 1024 * 1024 };

/* What an agent told of one attempt. */
struct kept {
    struct map_node node; /* first */
    struct list link;     /* while it is applied */
    struct late late;
    struct msg_in *in; /* its texts */
    struct arena arena;
    enum role role;
};

static void late_timeout(struct qmgr *q, struct timer *t);

void
late_init(struct qmgr *q)
{
    q->late.timer.fire = late_timeout;
    map_init(&q->late.kept);
}

static void
kept_free(struct kept *k)
{
    arena_clear(&k->arena);
    msg_in_free(k->in);
    mem_free(k);
}

static void
drop(struct qmgr *q, struct kept *k)
{
    map_remove(&q->late.kept, &k->node);
    q->late.octets -= k->in->body.len;
    kept_free(k);
}

void
late_fini(struct qmgr *q)
{
    struct map_node *n;

    while ((n = map_first(&q->late.kept)) != NULL)
        drop(q, LIST_ENTRY(n, struct kept, node));
    map_fini(&q->late.kept);
}

void
late_set_secrets(struct qmgr *q, const struct control_secrets *secrets)
{
    q->late.has_secrets = true;
    q->late.secrets = *secrets;
}

/* The wait. */

void
late_begin(struct qmgr *q)
{
    if (!q->late.has_secrets)
        return;
    list_foreach (it, &q->agents)
        q->late.awaited += late_may(LIST_ENTRY(it, struct agent, link));
    if (q->late.awaited == 0)
        return;
    q->late.waiting = true;
    timer_arm(q, &q->late.timer, clock_now_ms() + LATE_WAIT_MS);
    log_info("%zu delivery processes may have results of deliveries that the "
             "queue manager before began",
        q->late.awaited);
}

/* A message with results is read back, which settles them. */
static void
wake_all_kept(struct qmgr *q)
{
    for (struct map_node *n = map_first(&q->late.kept); n != NULL;
         n = map_after(&q->late.kept, n)) {
        const struct kept *k = LIST_ENTRY(n, struct kept, node);
        struct entry *e = index_find(&q->index, k->late.attempt.id);

        if (e != NULL && e->state == ENTRY_DEFERRED)
            round_schedule(q, e, qmgr_wall_ms());
    }
}

static void
release(struct qmgr *q)
{
    if (!q->late.waiting)
        return;
    q->late.waiting = false;
    timer_disarm(q, &q->late.timer);
    log_info("%zu results of earlier deliveries taken over%s", q->late.taken,
        q->late.awaited > 0 ? ", not all processes have answered" : "");
    wake_all_kept(q);
    qmgr_wake(q);
}

static void
late_timeout(struct qmgr *q, struct timer *t)
{
    (void)t;
    release(q);
}

bool
late_may(const struct agent *a)
{
    return a->elder && !a->told_all;
}

void
late_told_all(struct qmgr *q, struct agent *a)
{
    if (!late_may(a))
        return;
    a->told_all = true;
    if (q->late.waiting && --q->late.awaited == 0)
        release(q);
}

void
late_agent_gone(struct qmgr *q, struct agent *a)
{
    late_told_all(q, a);
}

/* Proofs. */

static uint64_t
prove(const unsigned char *key, const struct job *j)
{
    uint32_t *indexes = mem_alloc_array(j->count, sizeof(*indexes));
    uint64_t proof;

    for (size_t i = 0; i < j->count; i++)
        indexes[i] = j->rcpts[i]->index;
    proof = late_proof(key, &j->attempt, j->agent->process, indexes, j->count);
    mem_free(indexes);
    return proof;
}

uint64_t
late_prove(const struct qmgr *q, const struct job *j)
{
    return q->late.has_secrets ? prove(q->late.secrets.own, j) : 0;
}

static bool
is_proven(const struct qmgr *q, const struct agent *a, const struct late *l)
{
    return q->late.has_secrets &&
        late_proof(q->late.secrets.former, &l->attempt, a->process, l->indexes,
            l->index_count) == l->proof;
}

/* Results. */

static bool
is_free(const struct rcpt *r)
{
    return r->state == RCPT_PENDING || r->state == RCPT_RESOLVING ||
        r->state == RCPT_WAITING;
}

static bool
is_next_attempt(const struct entry *e, const struct late *l)
{
    return l->attempt.number == (uint32_t)e->attempts + 1;
}

/* Recipients and results ascend. */
static void
apply(struct qmgr *q, struct mail *m, const struct kept *k)
{
    const struct late *l = &k->late;
    size_t i = 0, count = 0;
    char id[QUEUE_ID_SIZE];

    mail_foreach(r, m)
    {
        while (i < l->count && l->results[i].index < r->index)
            i++;
        if (i == l->count)
            break;
        if (l->results[i].index != r->index || !is_free(r) ||
            l->results[i].outcome == OUTCOME_EXPANDED ||
            l->results[i].outcome == OUTCOME_RETURNED)
            continue;
        if (r->state != RCPT_PENDING)
            rcpt_withdraw(q, r);
        settle_result(q, r, &l->results[i]);
        count++;
    }
    if (count > 0)
        log_info("%s: %zu of %zu results of %s's from before our start taken "
                 "over",
            queue_id_text(m->id, q->long_ids, id), count, l->count,
            role_name(k->role));
}

static bool
same_id(const struct map_node *node, const void *key)
{
    return ((const struct kept *)(const void *)node)->late.attempt.id ==
        *(const uint64_t *)key;
}

static struct kept *
find(const struct qmgr *q, uint64_t id)
{
    struct map_node *n = map_find(&q->late.kept, map_hash_u64(id), same_id,
        &id);

    return n == NULL ? NULL : LIST_ENTRY(n, struct kept, node);
}

/* They are needed again when more recipients of m come into memory. */
void
late_apply(struct qmgr *q, struct mail *m)
{
    struct list all, *it;
    struct kept *k;

    if (q->late.octets == 0)
        return;
    list_init(&all);
    while ((k = find(q, m->id)) != NULL) {
        map_remove(&q->late.kept, &k->node);
        list_append(&all, &k->link);
    }
    while ((it = list_take(&all)) != NULL) {
        k = LIST_ENTRY(it, struct kept, link);
        if (is_next_attempt(m->entry, &k->late))
            apply(q, m, k);
        map_add(&q->late.kept, map_hash_u64(m->id), &k->node);
        if (m->counts[RCPT_ABSENT] == 0)
            drop(q, k);
    }
}

void
late_forget(struct qmgr *q, uint64_t id)
{
    struct kept *k;

    while (q->late.octets > 0 && (k = find(q, id)) != NULL)
        drop(q, k);
}

/*
 * Of use: an agent tells of more than we need, since it does not know what had
 * reached the disk.
 */
static bool
is_news(const struct entry *e, const struct late *l)
{
    return e != NULL && e->state != ENTRY_LEAVING &&
        e->state != ENTRY_DAMAGED && e->state != ENTRY_ENTERING &&
        is_next_attempt(e, l);
}

/* False: too many for an agent that is honest. */
static bool
refuse(struct qmgr *q, struct agent *a, const struct late *l)
{
    char id[QUEUE_ID_SIZE];

    log_warning("%s: %s tells of a delivery that it cannot prove: ignored",
        queue_id_text(l->attempt.id, q->long_ids, id), role_name(a->role));
    return ++a->strange < LATE_STRANGE_MAX;
}

/* True: it is kept. */
static bool
keep(struct qmgr *q, struct kept *k)
{
    char id[QUEUE_ID_SIZE];

    if (q->late.octets + k->in->body.len > LATE_OCTETS_MAX) {
        log_warning("%s: no room for results from before our start: it may be "
                    "delivered again",
            queue_id_text(k->late.attempt.id, q->long_ids, id));
        return false;
    }
    q->late.octets += k->in->body.len;
    map_add(&q->late.kept, map_hash_u64(k->late.attempt.id), &k->node);
    return true;
}

/* False: it is not needed any more. */
static bool
take_proven(struct qmgr *q, struct kept *k)
{
    struct entry *e = index_find(&q->index, k->late.attempt.id);

    if (!is_news(e, &k->late))
        return false;
    q->late.taken++;
    if (e->message != NULL && e->message->begun)
        apply(q, e->message, k);
    return (e->message == NULL || !e->message->begun ||
               e->message->counts[RCPT_ABSENT] > 0) &&
        keep(q, k);
}

bool
late_take(struct qmgr *q, struct agent *a, struct msg_in *in)
{
    struct kept *k = mem_alloc(sizeof(*k));
    struct why why;
    bool good = true;

    k->in = in;
    k->role = a->role;
    arena_init(&k->arena, ARENA_MAX);
    if (late_decode(in->body, &k->arena, &k->late, &why) != RESULT_OK) {
        log_warning("late result of %s: %s", role_name(a->role), why.text);
        good = false;
    } else if (!is_proven(q, a, &k->late)) {
        good = refuse(q, a, &k->late);
    } else if (take_proven(q, k)) {
        return true;
    }
    kept_free(k);
    return good;
}

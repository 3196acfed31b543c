#include "qmgr/lease.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "qmgr/record.h"

enum {
    COUNT_BITS = 10, /* of lib/mail/queue_id: below them, time in us */
    LEASE_MAX = 1 << COUNT_BITS, /* ids at a time */
    MARK_AHEAD_S = 10,
    MARK_OCTETS = 4096, /* in a batch of its own */
};

struct waiter {
    struct list link;
    void *request;
    uint64_t count;
};

static uint64_t
id_now(void)
{
    return (uint64_t)clock_wall_us() << COUNT_BITS;
}

static void
grant(struct qmgr *q, void *request, uint64_t count)
{
    struct queue_answer a = { .id = q->next_id, .count = count };

    q->next_id += count;
    q->outside->answer(q->context, request, MESSAGE_LEASED, &a, -1);
}

/* Ids that were given to somebody are at least as high as the time. */
static bool
reaches(struct qmgr *q, uint64_t count)
{
    uint64_t now = id_now();

    if (q->next_id < now)
        q->next_id = now;
    return q->next_id + count <= q->mark;
}

static void mark_written(struct qmgr *q, struct txn *t);

static void
move_mark(struct qmgr *q)
{
    struct txn *t;

    if (q->mark_next != 0)
        return;
    q->mark_next = q->next_id +
        ((uint64_t)MARK_AHEAD_S * 1000000 << COUNT_BITS);
    t = txn_new(mark_written, NULL);
    /* A full disk has room for notices, which need ids, as far as there is. */
    t->spool.settling = q->outside->room_take(q->context, MARK_OCTETS);
    meta_record_encode(q->mark_next, &t->heads[txn_add(t, RECORD_META, 0)]);
    txn_commit(q, t);
}

static void
refuse(struct qmgr *q, const struct why *why)
{
    struct queue_answer a = { .result = RESULT_TEMPFAIL, .why = *why };

    for (struct list *it; (it = list_take(&q->lease_waiters)) != NULL;) {
        struct waiter *w = LIST_ENTRY(it, struct waiter, link);

        q->outside->answer(q->context, w->request, MESSAGE_LEASED, &a, -1);
        mem_free(w);
    }
}

static void
mark_written(struct qmgr *q, struct txn *t)
{
    if (t->spool.result == RESULT_OK) {
        if (place_is_set(&q->mark_place))
            q->outside->dead(q->context, &q->mark_place);
        q->mark_place = t->records[0].place;
        q->mark = q->mark_next;
    } else {
        log_error("queue ids: %s", t->spool.why.text);
        refuse(q, &t->spool.why);
    }
    q->mark_next = 0;
    if (t->spool.settling)
        reserve_give(q, MARK_OCTETS);
    txn_free(t);
    for (struct list *it; (it = list_take(&q->lease_waiters)) != NULL;) {
        struct waiter *w = LIST_ENTRY(it, struct waiter, link);

        lease_ask(q, w->request, w->count);
        mem_free(w);
        if (q->mark_next != 0)
            return;
    }
}

void
lease_ask(struct qmgr *q, void *request, uint64_t count)
{
    struct waiter *w;

    if (count == 0)
        count = 1;
    if (count > LEASE_MAX)
        count = LEASE_MAX;
    if (reaches(q, count)) {
        grant(q, request, count);
        return;
    }
    w = mem_alloc(sizeof(*w));
    w->request = request;
    w->count = count;
    list_append(&q->lease_waiters, &w->link);
    move_mark(q);
}

bool
lease_ready(struct qmgr *q, uint64_t count)
{
    if (reaches(q, count))
        return true;
    move_mark(q);
    return false;
}

uint64_t
lease_take(struct qmgr *q)
{
    return q->next_id++;
}

bool
lease_covers(const struct qmgr *q, uint64_t id)
{
    return id < q->next_id;
}

void
lease_recovered(struct qmgr *q, uint64_t mark, const struct spool_place *place)
{
    q->mark_place = *place;
    if (mark > q->mark)
        q->mark = mark;
    if (q->next_id < q->mark)
        q->next_id = q->mark;
}

void
lease_fini(struct qmgr *q)
{
    for (struct list *it; (it = list_take(&q->lease_waiters)) != NULL;)
        mem_free(LIST_ENTRY(it, struct waiter, link));
}

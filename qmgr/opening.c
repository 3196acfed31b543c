#include "qmgr/opening.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "lib/mail/queue_id.h"
#include "qmgr/batch.h"
#include "qmgr/destination.h"
#include "qmgr/late.h"
#include "qmgr/readback.h"
#include "qmgr/reserve.h"
#include "qmgr/resolve.h"
#include "qmgr/round.h"

enum {
    GATHER_MS = 50,
    GATHER_MOST_MS = 2000,
    ASK_AT_ONCE = 50, /* recipients of a message that are asked for ... */
    ASK_A_TURN = 200, /* ... and of all, in one pump */
    ASK_OUT = 40,     /* of a message: others' questions wait behind these */
};

/* Nothing of it is asked of lookup any more, or for too long. */
static void
gathered(struct qmgr *q, struct mail *m)
{
    timer_disarm(q, &m->gather);
    destination_join_all(q, m);
}

/* Some recipients of m; the number of those that were asked for. */
static size_t
ask_some(struct qmgr *q, struct mail *m)
{
    size_t n = 0;

    list_foreach (it, &m->batches) {
        struct batch *b = LIST_ENTRY(it, struct batch, link);

        for (; b->asked < b->count && n < ASK_AT_ONCE; b->asked++) {
            struct rcpt *r = &b->rcpts[b->asked];

            if (r->state != RCPT_PENDING)
                continue;
            if (m->counts[RCPT_RESOLVING] >= ASK_OUT && !m->asks_freely)
                return n; /* mail_resolved() goes on */
            resolve_rcpt(q, r);
            n++;
        }
        if (n == ASK_AT_ONCE && b->asked < b->count) {
            list_append(&q->asking, &m->ask_link);
            return n;
        }
    }
    if (mail_gathers(m) && m->counts[RCPT_RESOLVING] == 0)
        gathered(q, m);
    mail_touch(q, m);
    return n;
}

static void
ask_more(struct qmgr *q, struct mail *m)
{
    if (!list_empty(&m->ask_link))
        return;
    list_append(&q->asking, &m->ask_link);
    qmgr_wake(q);
}

void
mail_resolved(struct qmgr *q, struct mail *m)
{
    if (m->counts[RCPT_PENDING] == 0) {
        if (mail_gathers(m) && m->counts[RCPT_RESOLVING] == 0)
            gathered(q, m);
    } else if (m->counts[RCPT_RESOLVING] <= ASK_OUT / 2) {
        ask_more(q, m);
    }
}

void
mail_ask_some(struct qmgr *q)
{
    struct list *it;
    size_t n = 0;

    while (n < ASK_A_TURN && (it = list_take(&q->asking)) != NULL)
        n += ask_some(q, LIST_ENTRY(it, struct mail, ask_link));
    if (!list_empty(&q->asking))
        qmgr_wake(q);
}

/*
 * A list may take a while as long as lookup is getting on with it. A recipient
 * whose table is slow is not waited for, nor do the rest wait for his answer to
 * be asked for: where a table is slow it is not lookup that others wait for.
 */
static void
gather_timeout(struct qmgr *q, struct timer *t)
{
    struct mail *m = LIST_ENTRY(t, struct mail, gather);
    size_t before = m->gathered_at;

    m->gathered_at = m->counts[RCPT_PENDING] + m->counts[RCPT_RESOLVING];
    if (m->gathered_at < before && clock_now_ms() < m->gather_until_ms) {
        timer_arm(q, t, clock_now_ms() + GATHER_MS);
        return;
    }
    gathered(q, m);
    if (m->counts[RCPT_PENDING] > 0) {
        m->asks_freely = true;
        ask_more(q, m);
    }
}

void
mail_begin_batch(struct qmgr *q, struct mail *m)
{
    mail_touch(q, m);
    late_apply(q, m);
    if (round_is_over_before_it_begins(q, m))
        return;
    if (m->counts[RCPT_PENDING] + m->counts[RCPT_RESOLVING] > 1 &&
        !mail_gathers(m)) {
        m->gather.fire = gather_timeout;
        m->gathered_at = SIZE_MAX;
        m->asks_freely = false;
        m->gather_until_ms = clock_now_ms() + GATHER_MOST_MS;
        timer_arm(q, &m->gather, clock_now_ms() + GATHER_MS);
    }
    if (list_empty(&m->ask_link))
        (void)ask_some(q, m);
    if (!list_empty(&q->asking))
        qmgr_wake(q);
}

/* There is no room for what becomes of it: it goes back to where it was. */
static void
put_back(struct qmgr *q, struct mail *m)
{
    struct entry *e = m->entry;
    bool held = m->hold; /* while it was read */

    mail_free(q, m);
    if (held) {
        entry_set_state(&q->index, e, ENTRY_HELD);
        return;
    }
    if (e->attempts > 0) {
        round_schedule(q, e, qmgr_wall_ms() + reserve_wait_ms(q));
        return;
    }
    entry_set_state(&q->index, e, ENTRY_INCOMING);
    heap_set(&q->index.incoming, &e->timer, e->arrival_ms);
}

/*
 * As Postfix counts: also those that are settled, but of aliases, which stand
 * for others of the same message, none that is in memory.
 */
static size_t
addressees(const struct mail *m)
{
    size_t count = m->envelope.recipient_count;

    mail_foreach(r, m) count -= rcpt_given(r)->expanded != 0;
    return count;
}

static void
log_begin(struct qmgr *q, const struct mail *m)
{
    struct buf held = { 0 };
    struct slice sender = address_for_log(q->config, m->envelope.sender, &held);
    char id[QUEUE_ID_SIZE];

    log_write(LOG_LEVEL_INFO, q->tag,
        "%s: from=<" SLICE_FMT ">, size=%llu, nrcpt=%zu (queue active)",
        queue_id_text(m->id, q->long_ids, id), SLICE_ARG(sender),
        (unsigned long long)m->envelope.size, addressees(m));
    buf_fini(&held);
}

void
mail_begin(struct qmgr *q, struct mail *m)
{
    size_t left = mail_unsettled(m) - m->counts[RCPT_DONE];

    if (!reserve_take(q, m)) {
        put_back(q, m);
        return;
    }
    m->begun = true;
    if (mail_is_own_probe(m) && !m->counted) {
        m->counted = true;
        q->probes++;
    }
    m->active_us = clock_wall_us();
    heap_set(&q->index.timers, &m->entry->timer,
        round_deadline_ms(q, m->entry));
    /* What is requeued begins under another id. */
    if (left > 0 && (m->entry->flags & ENTRY_REQUEUE) == 0)
        log_begin(q, m);
    mail_begin_batch(q, m);
}

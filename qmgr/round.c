#include "qmgr/round.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/random.h"
#include "lib/mail/queue_id.h"
#include "qmgr/batch.h"
#include "qmgr/dispatch.h"
#include "qmgr/drops.h"
#include "qmgr/edit.h"
#include "qmgr/lane.h"
#include "qmgr/ledger.h"
#include "qmgr/notify.h"
#include "qmgr/readback.h"

enum {
    SOON_MS = 1000,              /* after trouble of our own ... */
    SOON_TRIES = 5,              /* ... that did not turn out to be lasting */
    NOTICE_AGAIN_MS = 60 * 1000, /* bounce did not settle what it was asked */
    JITTER_SHARE = 8, /* of a delay that is added at random, at most */
    ADMIT_A_TURN = 300,
};

int64_t
round_expiry_ms(const struct qmgr *q, const struct entry *e)
{
    const struct config *c = q->config;
    int64_t life = c->maximal_queue_lifetime;

    /* A notice does not wait for longer than what it tells of may. */
    if ((e->flags & ENTRY_BOUNCE) != 0 && c->bounce_queue_lifetime < life)
        life = c->bounce_queue_lifetime;
    return e->arrival_ms + life;
}

int64_t
round_deadline_ms(const struct qmgr *q, const struct entry *e)
{
    int64_t expiry = round_expiry_ms(q, e);
    int64_t grace = qmgr_wall_ms() + q->config->maximal_backoff_time;

    bool is_due_one = e->attempts == 0 || expiry <= qmgr_wall_ms();

    return is_due_one && expiry < grace ? grace : expiry;
}

/* Expiry. */

static void
expire_rcpt(struct qmgr *q, struct rcpt *r)
{
    struct rcpt_result result = { .index = r->index };

    if (r->note != NULL)
        result = r->note->result;
    else if ((r->message->entry->flags & ENTRY_EXPIRE) != 0)
        result.text = SLICE_LIT("message is administratively expired");
    else
        result.text = SLICE_LIT("delivery time expired");
    if (result.status[0] == '\0')
        memcpy(result.status, "4.4.7", sizeof("4.4.7"));
    if (result.when_us == 0)
        result.when_us = clock_wall_us();
    result.outcome = OUTCOME_BOUNCED;
    rcpt_conclude(q, r, &result);
}

static void
log_returned(struct qmgr *q, struct mail *m)
{
    struct slice sender = m->envelope.sender;
    char id[QUEUE_ID_SIZE];

    if (m->returned)
        return;
    m->returned = true;
    log_write(LOG_LEVEL_INFO, q->tag,
        "%s: from=<" SLICE_FMT ">, status=%s, returned to sender",
        queue_id_text(m->id, q->long_ids, id), SLICE_ARG(sender),
        (m->entry->flags & ENTRY_EXPIRE) != 0 ? "force-expired" : "expired");
}

static void
expire_batch(struct qmgr *q, struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->rcpts[i].state != RCPT_DEFERRED)
            continue;
        log_returned(q, b->message);
        expire_rcpt(q, &b->rcpts[i]);
    }
}

/* All that could still be tried, and is in memory: it fails. */
static void
expire(struct qmgr *q, struct mail *m)
{
    size_t failed = m->counts[RCPT_FAILED];

    round_withdraw(q, m);
    list_foreach (it, &m->batches)
        expire_batch(q, LIST_ENTRY(it, struct batch, link));
    if (m->counts[RCPT_FAILED] > failed && m->notices == 0)
        m->notified = false;
}

static bool
has_expired(const struct qmgr *q, const struct mail *m)
{
    return m->overdue || (m->entry->flags & ENTRY_EXPIRE) != 0 ||
        qmgr_wall_ms() >= round_expiry_ms(q, m->entry);
}

void
round_withdraw(struct qmgr *q, struct mail *m)
{
    mail_foreach(r, m)
    {
        if (r->state == RCPT_RESOLVING || r->state == RCPT_WAITING)
            rcpt_withdraw(q, r);
        if (r->state == RCPT_PENDING)
            rcpt_set_state(r, RCPT_DEFERRED);
    }
    mail_touch(q, m);
}

/* And it was not tried in vain in this round. */
static bool
is_requeued(const struct mail *m)
{
    return (m->entry->flags & ENTRY_REQUEUE) != 0 && !m->requeued;
}

bool
round_is_over_before_it_begins(struct qmgr *q, struct mail *m)
{
    if (mail_unsettled(m) == 0 || m->hold || is_requeued(m)) {
        round_withdraw(q, m);
        return true;
    }
    if (!m->overdue && (m->entry->flags & ENTRY_EXPIRE) == 0)
        return false;
    expire(q, m);
    mail_touch(q, m);
    return true;
}

/* The next try. */

static int64_t
jitter(int64_t delay)
{
    return (int64_t)random_below((uint64_t)(delay / JITTER_SHARE + 1));
}

/* Postfix's back-off: as long again as the message is old, within limits. */
static int64_t
next_try_ms(const struct qmgr *q, const struct mail *m)
{
    const struct config *c = q->config;
    int64_t now = qmgr_wall_ms();
    int64_t delay = now - m->entry->arrival_ms, at;

    if (m->again)
        return now;
    if (m->soon && m->entry->attempts <= SOON_TRIES)
        return now + SOON_MS + jitter(SOON_MS);
    if (delay > c->maximal_backoff_time)
        delay = c->maximal_backoff_time;
    if (delay < c->minimal_backoff_time)
        delay = c->minimal_backoff_time;
    if (delay < c->queue_run_delay)
        delay = c->queue_run_delay;
    if (m->counts[RCPT_FAILED] + m->counts[RCPT_DONE] > 0 &&
        delay > NOTICE_AGAIN_MS)
        delay = NOTICE_AGAIN_MS;
    at = now + delay + jitter(delay);
    /* Others were given back before its lifetime ended. */
    if (m->lane_is_set && m->counts[RCPT_FAILED] == 0 && has_expired(q, m))
        return now;
    /* In vain before its destination is looked at again. */
    if (m->suspended > 0 && m->suspended == m->counts[RCPT_DEFERRED] &&
        at < m->not_before_ms)
        at = m->not_before_ms + jitter(delay);
    return at;
}

static bool
warning_is_due(const struct qmgr *q, const struct mail *m)
{
    int64_t after = config_of_service(q->set, q->config->cleanup_service_name)
                        ->delay_warning_time;

    return after > 0 && (m->warns || (m->entry->flags & ENTRY_WARNED) == 0) &&
        m->counts[RCPT_DEFERRED] > 0 && m->envelope.sender.len > 0 &&
        qmgr_wall_ms() >= m->entry->arrival_ms + after && notify_wants_delay(m);
}

/* True when a notice is under way, or waits for its turn. */
static bool
tell_failures(struct qmgr *q, struct mail *m)
{
    if (m->counts[RCPT_FAILED] == 0 || m->notified || q->stopping)
        return false;
    if (!notify_may(q, m))
        return true;
    m->notified = true;
    notify_failure(q, m);
    return true;
}

/* Before failures, which are settled when the sender was told. */
static bool
tell_reports(struct qmgr *q, struct mail *m)
{
    if (m->reported || q->stopping || !notify_wants_report(m))
        return false;
    if (!notify_may(q, m))
        return true;
    m->reported = true;
    notify_report(q, m);
    return true;
}

static bool
tell_delays(struct qmgr *q, struct mail *m)
{
    if (!warning_is_due(q, m) || q->stopping)
        return false;
    if (!notify_may(q, m))
        return true;
    m->warns = true;
    m->entry->flags |= ENTRY_WARNED;
    notify_delay(q, m);
    return true;
}

/* Who is left goes through clean-up again; he ends here when he is there. */
static bool
send_again(struct qmgr *q, struct mail *m)
{
    if (!is_requeued(m) || m->hold || q->stopping ||
        m->counts[RCPT_DEFERRED] == 0)
        return false;
    if (!notify_may(q, m))
        return true;
    m->requeued = true;
    notify_requeue(q, m);
    return true;
}

/* An attempt under way knows recipients of b. */
static bool
is_used(const struct batch *b)
{
    list_foreach (it, &b->message->jobs) {
        const struct job *j = LIST_ENTRY(it, struct job, link);

        for (size_t i = 0; i < j->count; i++)
            if (j->rcpts[i]->batch == b)
                return true;
    }
    return false;
}

/*
 * A batch that was tried is given back when the sender has been told what there
 * is to tell. Where bounce did not do it, the failures are kept for later.
 */
static void
give_back_batches(struct qmgr *q, struct mail *m)
{
    list_foreach_safe (it, &m->batches) {
        struct batch *b = LIST_ENTRY(it, struct batch, link);

        if (b->open > 0 || is_used(b))
            continue;
        if (!m->hold && !m->again && !is_requeued(m) && has_expired(q, m))
            expire_batch(q, b);
        if (m->notices > 0)
            continue;
        if (tell_reports(q, m) || (b->failed > 0 && tell_failures(q, m)) ||
            send_again(q, m) || tell_delays(q, m))
            continue;
        if (m->notices == 0 && b->open == 0)
            batch_give_back(q, b);
    }
}

static void
finish(struct qmgr *q, struct mail *m)
{
    struct entry *e = m->entry;

    /*
     * With a drop file its end waits for the file to be deleted; that the
     * recipients are settled must not.
     */
    if (drops_wait_ms(q, e) > 0)
        ledger_status(q, m, STATUS_ENDING, qmgr_wall_ms());
    else
        ledger_remove(q, e, NULL);
}

/* Some transaction settles for it: perhaps no recipient, but it needs m. */
static bool
is_settling(const struct mail *m)
{
    list_foreach (it, &m->jobs)
        if (LIST_ENTRY(it, struct job, link)->settling > 0)
            return true;
    return false;
}

/* Something changed; if nothing is under way any more, do what comes next. */
static void
check(struct qmgr *q, struct mail *m)
{
    if (m->accept != NULL || m->reading > 0 || m->ending)
        return;
    if (m->doomed) {
        if (!is_settling(m))
            ledger_remove(q, m->entry, m->edit);
        return;
    }
    if (!m->begun)
        return;
    if (mail_is_large(m)) {
        give_back_batches(q, m);
        mail_read_more(q, m);
    }
    if (mail_busy(m) > 0 || !list_empty(&m->jobs) || m->reading > 0 ||
        (m->counts[RCPT_ABSENT] > 0 && !m->hold && !m->stuck))
        return;
    if (mail_unsettled(m) == 0) {
        finish(q, m);
        return;
    }
    if (m->counts[RCPT_DEFERRED] > 0 && !m->hold && !m->again &&
        !is_requeued(m) && has_expired(q, m))
        expire(q, m);
    if (tell_reports(q, m) || tell_failures(q, m) || send_again(q, m) ||
        tell_delays(q, m))
        return;
    if (m->counts[RCPT_DONE] > 0 && !q->stopping && has_expired(q, m)) {
        notify_forget_reports(q, m);
        if (mail_unsettled(m) == 0) {
            finish(q, m);
            return;
        }
    }
    if (m->entry->attempts < UINT16_MAX)
        m->entry->attempts++;
    m->entry->lane = mail_lane(m);
    ledger_status(q, m, STATUS_ENDING, next_try_ms(q, m));
}

void
round_check_all(struct qmgr *q)
{
    struct list *it;

    while ((it = list_take(&q->checks)) != NULL)
        check(q, LIST_ENTRY(it, struct mail, check_link));
}

/* Into the active set and out of it. */

void
round_schedule(struct qmgr *q, struct entry *e, int64_t next_try_ms)
{
    int64_t expiry = round_expiry_ms(q, e);

    if (expiry < next_try_ms && e->attempts > 0 && expiry > qmgr_wall_ms())
        next_try_ms = expiry;
    if (e->state != ENTRY_DEFERRED || (e->flags & ENTRY_PARKED) != 0)
        entry_set_state(&q->index, e, ENTRY_DEFERRED);
    heap_set(&q->index.timers, &e->timer, next_try_ms);
    qmgr_wake(q);
}

void
round_ended(struct qmgr *q, struct mail *m, int64_t next_try_ms)
{
    struct entry *e = m->entry;
    bool held = m->hold;
    struct edit *edit = m->edit;

    if (m->doomed || mail_unsettled(m) == 0) {
        ledger_remove(q, e, m->doomed ? edit : NULL);
        return;
    }
    if (m->again)
        next_try_ms = qmgr_wall_ms();
    if (!m->again)
        e->flags &= (uint16_t)~ENTRY_FLUSHED;
    mail_free(q, m);
    if (held)
        entry_set_state(&q->index, e, ENTRY_HELD);
    else
        round_schedule(q, e, next_try_ms);
}

bool
round_has_room(const struct qmgr *q)
{
    return !reserve_is_short(q) &&
        q->index.states[ENTRY_ACTIVE] <
        (size_t)q->config->qmgr_message_active_limit &&
        q->active_recipients < (size_t)q->config->qmgr_message_recipient_limit;
}

/*
 * An active message is in the heap for its expiry: what waits goes no further,
 * what is with agents ends as it will.
 */
static void
fire_active(struct qmgr *q, struct entry *e)
{
    heap_remove(&q->index.timers, &e->timer);
    if (e->message == NULL || !e->message->begun)
        return;
    e->message->overdue = true;
    round_withdraw(q, e->message);
}

static struct entry *
first_fresh(const struct qmgr *q)
{
    struct heap_node *n = heap_first(&q->index.incoming);
    struct entry *e = n == NULL ? NULL : LIST_ENTRY(n, struct entry, timer);

    if (e != NULL && q->late.waiting && (e->flags & ENTRY_RECOVERED) != 0)
        return NULL;
    return e;
}

static struct entry *
first_due(struct qmgr *q)
{
    int64_t now = qmgr_wall_ms();

    for (;;) {
        struct heap_node *n = heap_first(&q->index.timers);
        struct entry *e;

        if (n == NULL || n->due > now)
            return NULL;
        e = LIST_ENTRY(n, struct entry, timer);
        if (e->state != ENTRY_ACTIVE)
            return q->late.waiting ? NULL : e;
        fire_active(q, e);
    }
}

static struct entry *
next_parked(struct qmgr *q)
{
    return round_has_room(q) ? lane_next(q) : NULL;
}

/*
 * Fresh mail, old mail, and what waits with its lane take turns, so that none
 * keeps the others waiting.
 */
void
round_admit(struct qmgr *q)
{
    for (size_t n = 0; !q->stopping && n < ADMIT_A_TURN; n++) {
        struct entry *due = first_due(q), *fresh = first_fresh(q), *e;
        bool overdue;

        if (!round_has_room(q))
            return;
        e = n % 3 == 0 ? next_parked(q) : NULL;
        if (e != NULL) {
            mail_load(q, e);
            continue;
        }
        if (due == NULL && fresh == NULL) {
            e = next_parked(q);
            if (e == NULL)
                return;
            mail_load(q, e);
            continue;
        }
        e = fresh == NULL || (due != NULL && !q->fresh_turn) ? due : fresh;
        q->fresh_turn = e != fresh;
        /* Due for its end, not for a try: see round_schedule(). */
        overdue = e == due && e->timer.due == round_expiry_ms(q, e);
        if (!overdue && lane_admit(q, e) != ADMIT)
            continue;
        mail_load(q, e);
        e->message->overdue = overdue;
    }
    /* The others of this turn of the loop come first. */
    if (!q->stopping)
        qmgr_wake(q);
}

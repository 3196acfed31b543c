#include "qmgr/settle.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/queue_id.h"
#include "qmgr/health.h"
#include "qmgr/notify.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARTS_MANY = 32 };

/* What was known of it stands: bounce is asked again. */
static enum rcpt_state
state_before(enum job_kind kind)
{
    return kind == JOB_FAILURE ? RCPT_FAILED
        : kind == JOB_REPORT   ? RCPT_DONE
                               : RCPT_DEFERRED;
}

/* Where a recipient goes whose agent did not say what became of it. */
static void
put_back(struct qmgr *q, struct rcpt *r, enum job_kind kind, const char *text)
{
    struct rcpt_result result = {
        .index = r->index,
        .outcome = OUTCOME_DEFERRED,
        .status = "4.3.0",
        .text = slice_of(text),
        .when_us = clock_wall_us(),
    };

    r->message->soon |= kind != JOB_FAILURE && kind != JOB_REPORT;
    if (kind != JOB_DELIVERY) {
        r->job = NULL;
        rcpt_set_state(r, state_before(kind));
        mail_touch(q, r->message);
        return;
    }
    rcpt_conclude(q, r, &result);
}

static void
put_back_all(struct qmgr *q, struct job *j, const char *text)
{
    for (size_t i = 0; j->message != NULL && i < j->count; i++)
        if (j->rcpts[i]->state == RCPT_OUT && j->rcpts[i]->job == j)
            put_back(q, j->rcpts[i], j->kind, text);
}

void
settle_unsent(struct qmgr *q, struct job *j)
{
    if (j->message != NULL && j->kind == JOB_DELAY)
        j->message->entry->flags &= (uint16_t)~ENTRY_WARNED;
    put_back_all(q, j, "delivery was not begun");
    job_end(q, j);
}

/* Answers. */

static struct rcpt *
find_rcpt(struct job *j, uint32_t index)
{
    size_t low = 0, high = j->count;

    /* job_start() has sorted them. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (j->rcpts[middle]->index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low < j->count && j->rcpts[low]->index == index ? j->rcpts[low]
                                                           : NULL;
}

/* It was not its turn after all. */
static void
put_in_line_again(struct qmgr *q, struct job *j, struct rcpt *r,
    const struct rcpt_result *result)
{
    struct rcpt_result deferred = *result;
    const struct mail *m = r->message;

    if (j->destination != NULL && j->kind == JOB_DELIVERY && !m->hold &&
        !m->overdue) {
        destination_return(q, j->destination, r);
        return;
    }
    deferred.outcome = OUTCOME_DEFERRED;
    rcpt_conclude(q, r, &deferred);
}

void
settle_result(struct qmgr *q, struct rcpt *r, const struct rcpt_result *result)
{
    switch (result->outcome) {
    case OUTCOME_SENT:
        rcpt_sent(q, r, result);
        break;
    case OUTCOME_DEFERRED:
    case OUTCOME_BOUNCED:
        rcpt_conclude(q, r, result);
        break;
    case OUTCOME_RETURNED: /* its place in the line is not known here */
    case OUTCOME_EXPANDED:
        put_back(q, r, JOB_DELIVERY, "delivery was not completed");
        break;
    }
}

/*
 * To a destination that is well nothing is given back: who says so would have the
 * same in his hands again at once, for ever.
 */
static void
take_result(struct qmgr *q, struct job *j, const struct rcpt_result *result,
    enum destination_state state)
{
    struct rcpt *r = find_rcpt(j, result->index);

    /* Already settled by a transaction, or being: that counts. */
    if (r == NULL || r->state != RCPT_OUT || r->job != j)
        return;
    if (result->outcome == OUTCOME_RETURNED && state != DESTINATION_OK)
        put_in_line_again(q, j, r, result);
    else
        settle_result(q, r, result);
}

void
job_answered(struct qmgr *q, struct job *j, const struct delivery_answer *a)
{
    struct mail *m = j->message;
    char text[QUEUE_ID_SIZE];

    if (m != NULL &&
        (a->attempt.nonce != j->attempt.nonce ||
            a->attempt.id != j->attempt.id)) {
        log_warning("%s: delivery agent answers with a wrong token",
            queue_id_text(j->attempt.id, q->long_ids, text));
        job_nonsense(q, j);
        return;
    }
    if (m != NULL) {
        for (size_t i = 0; i < a->count; i++)
            take_result(q, j, &a->results[i], a->destination);
        put_back_all(q, j, "delivery agent said nothing of this recipient");
        /* Whoever lives through it did not die of this message. */
        agent_clear(m);
        mail_touch(q, m);
    }
    if (j->destination != NULL) {
        j->destination->idle_sessions = a->idle_sessions;
        health_feedback(q, j->destination, j->generation, a->destination,
            a->destination_status, a->destination_text);
    }
    job_end(q, j);
}

static bool
has_done(const struct job *j)
{
    for (size_t i = 0; i < j->count; i++)
        if (j->rcpts[i]->state == RCPT_DONE)
            return true;
    return false;
}

void
job_notified(struct qmgr *q, struct job *j, enum result res)
{
    /* Nobody was warned: in another round. */
    if (res != RESULT_OK && j->kind == JOB_DELAY && j->message != NULL)
        j->message->entry->flags &= (uint16_t)~ENTRY_WARNED;
    /* Clean-up will never take it (its size, its hops): it stays what it is. */
    if (res == RESULT_PERMFAIL && j->kind == JOB_REQUEUE && j->message != NULL)
        j->message->entry->flags &= (uint16_t)~ENTRY_REQUEUE;
    put_back_all(q, j, "");
    /* All that it could settle is: others may be to be told of yet. */
    if (res == RESULT_OK && j->kind == JOB_REPORT && j->message != NULL &&
        !has_done(j))
        j->message->reported = false;
    job_end(q, j);
}

static void
lose(struct qmgr *q, struct job *j, const char *text)
{
    if (j->message != NULL && j->kind == JOB_DELAY)
        j->message->entry->flags &= (uint16_t)~ENTRY_WARNED;
    put_back_all(q, j, text);
    job_end(q, j);
}

void
job_lost(struct qmgr *q, struct job *j)
{
    if (agent_await_verdict(q, j))
        return;
    if (j->message != NULL && j->agent != NULL && !q->stopping)
        agent_blame(q, j->message, j->agent);
    lose(q, j, "delivery process died");
}

void
job_nonsense(struct qmgr *q, struct job *j)
{
    lose(q, j, "answer of delivery process made no sense");
}

/* Transactions. */

/* The recipient that s names with its nth index, if s may settle it. */
static struct rcpt *
nth_rcpt(struct job *j, const struct settlement *s, size_t nth)
{
    return find_rcpt(j, s->indexes[nth]);
}

static void
withdraw(struct job *j, const struct settlement *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rcpt_set_state(nth_rcpt(j, s, i), RCPT_OUT);
}

enum result
settle_begin(struct qmgr *q, const struct settlement *s, struct job **job,
    struct why *why)
{
    struct job *j = job_find(q, &s->attempt);

    if (j == NULL || j->message == NULL || j->ended)
        return why_perm(why, "5.3.0", "attempt is not under way");
    for (size_t i = 0; i < s->count; i++) {
        struct rcpt *r = nth_rcpt(j, s, i);

        /* SETTLING from the first mention on: a second one is refused. */
        if (r == NULL || r->state != RCPT_OUT || r->job != j) {
            withdraw(j, s, i);
            return why_perm(why, "5.3.0", "recipient is not in this attempt");
        }
        rcpt_set_state(r, RCPT_SETTLING);
    }
    j->settling++;
    *job = j;
    return RESULT_OK;
}

/* The sender wants to be told of r what s says: it is not settled by s. */
static bool
tells_of(const struct settlement *s, const struct job *j, const struct rcpt *r)
{
    return j->kind == JOB_DELIVERY && s->result != NULL &&
        notify_wants_success(r, s->result);
}

/* A STATUS takes up those that there are, lest all be read one by one. */
static void
add_part(struct qmgr *q, struct mail *m, const struct spool_place *place)
{
    index_add_part(&q->index, m->entry, place);
    if (index_parts(&q->index, m->entry, NULL, 0) >= PARTS_MANY)
        mail_dirty(q, m);
}

void
settle_end(struct qmgr *q, const struct settlement *s, struct job *j,
    const struct spool_place *place)
{
    struct mail *m = j->message;

    assert(m != NULL && j->settling > 0);
    j->settling--;
    for (size_t i = 0; i < s->count; i++) {
        struct rcpt *r = nth_rcpt(j, s, i);

        if (place != NULL && tells_of(s, j, r)) {
            rcpt_sent(q, r, s->result);
        } else if (place != NULL) {
            r->job = NULL;
            rcpt_set_state(r, RCPT_SETTLED);
        } else {
            rcpt_set_state(r, RCPT_OUT);
            /* Without an agent nobody will say any more. */
            if (j->ended)
                put_back(q, r, j->kind, "transaction was not completed");
        }
    }
    /* A notice about some of them: it is the turn of the rest. */
    if (place != NULL && j->kind == JOB_FAILURE && s->count > 0)
        m->notified = false;
    if (place != NULL && j->kind == JOB_REPORT && s->count > 0)
        m->reported = false;
    if (place != NULL && j->kind == JOB_REQUEUE && s->count > 0)
        m->requeued = false;
    if (place != NULL && s->count > 0)
        add_part(q, m, place);
    else if (place != NULL)
        q->outside->dead(q->context, place);
    mail_touch(q, m);
    job_release(q, j);
}

static int
compare_indexes(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

void
settle_encode(const struct settlement *s, struct job *j, struct buf *brief,
    struct buf *head)
{
    struct status_brief b = { .flags = STATUS_PART };
    uint32_t *sorted = mem_alloc_array(s->count + 1, sizeof(*sorted));
    struct set_writer settled, told;
    struct buf set, told_set;

    b.version = j->message->entry->version;
    status_brief_encode(&b, brief);
    for (size_t i = 0; i < s->count; i++)
        sorted[i] = s->indexes[i];
    qsort(sorted, s->count, sizeof(*sorted), compare_indexes);
    buf_init(&set, 16 * (s->count + 1));
    buf_init(&told_set, 16 * (s->count + 1));
    set_begin(&settled, &set);
    set_begin(&told, &told_set);
    for (size_t i = 0; i < s->count; i++)
        set_add(tells_of(s, j, find_rcpt(j, sorted[i])) ? &told : &settled,
            sorted[i]);
    set_end(&settled);
    set_end(&told);
    status_put_settled(buf_slice(&set), head);
    if (told_set.len > 0)
        status_put_group(s->result, buf_slice(&told_set), head);
    buf_fini(&set);
    buf_fini(&told_set);
    mem_free(sorted);
}

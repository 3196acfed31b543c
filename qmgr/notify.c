#include "qmgr/notify.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/queue_id.h"
#include "qmgr/round.h"

/*
 * Recipients of one notice: it has to stay below message_size_limit, whatever
 * their hosts said. Those above it get another notice of failure.
 */
enum { NOTICE_RCPTS = 2000 };

/* A notice may carry a whole message, and bounce makes them one by one. */
enum { NOTICES_MAX = 50 };

/* Each may be compared with each. */
enum { SIBLINGS_MAX = 1000 };

bool
notify_may(struct qmgr *q, struct mail *m)
{
    if (q->notices < NOTICES_MAX)
        return true;
    if (m->notice_link.next == &m->notice_link)
        list_append(&q->notice_waiters, &m->notice_link);
    return false;
}

void
notify_ended(struct qmgr *q)
{
    struct list *it = list_take(&q->notice_waiters);

    q->notices--;
    if (it != NULL)
        mail_touch(q, LIST_ENTRY(it, struct mail, notice_link));
}

/* sendmail -v: whatever comes of the first attempts is told. */
static bool
is_traced(const struct mail *m)
{
    return (m->envelope.flags & ENVELOPE_TRACE) != 0 && m->entry->attempts == 0;
}

bool
notify_wants_success(const struct rcpt *r, const struct rcpt_result *result)
{
    return envelope_is_probe(&r->message->envelope) || is_traced(r->message) ||
        ((rcpt_given(r)->notify & NOTIFY_SUCCESS) != 0 &&
            result->next_hop_tells == 0);
}

static bool
wants_report(const struct rcpt *r)
{
    return r->state == RCPT_DONE ||
        (is_traced(r->message) && r->note != NULL && !r->reported &&
            (r->state == RCPT_DEFERRED || r->state == RCPT_FAILED));
}

static bool
wants(const struct rcpt *r, enum job_kind kind)
{
    uint32_t notify = rcpt_given(r)->notify;

    if (kind == JOB_REPORT)
        return wants_report(r);
    if (kind == JOB_FAILURE)
        return r->state == RCPT_FAILED;
    if (kind == JOB_REQUEUE)
        return r->state == RCPT_DEFERRED;
    /* RFC 3461: not given means FAILURE and DELAY as the site likes it. */
    return r->state == RCPT_DEFERRED && r->note != NULL && !r->warned &&
        (notify == 0 || (notify & NOTIFY_DELAY) != 0);
}

bool
notify_wants_delay(const struct mail *m)
{
    mail_foreach(r, m) if (wants(r, JOB_DELAY)) return true;
    return false;
}

static void
notify(struct qmgr *q, struct mail *m, enum job_kind kind)
{
    struct job *j;
    size_t count = 0;

    mail_foreach(r, m) count += wants(r, kind);
    if (count == 0) {
        mail_touch(q, m);
        return;
    }
    if (count > NOTICE_RCPTS)
        count = NOTICE_RCPTS;
    q->notices++;
    j = job_new(q, m, kind, count);
    mail_foreach(r, m)
    {
        if (j->count == count)
            break;
        if (!wants(r, kind))
            continue;
        r->warned |= kind == JOB_DELAY;
        r->reported |= kind == JOB_REPORT;
        job_take(j, r);
    }
    job_start(q, j);
}

void
notify_failure(struct qmgr *q, struct mail *m)
{
    notify(q, m, JOB_FAILURE);
}

void
notify_delay(struct qmgr *q, struct mail *m)
{
    notify(q, m, JOB_DELAY);
}

bool
notify_wants_report(const struct mail *m)
{
    if (m->counts[RCPT_DONE] == 0 && !is_traced(m))
        return false;
    mail_foreach(r, m) if (wants_report(r)) return true;
    return false;
}

void
notify_report(struct qmgr *q, struct mail *m)
{
    notify(q, m, JOB_REPORT);
}

void
notify_forget_reports(struct qmgr *q, struct mail *m)
{
    char id[QUEUE_ID_SIZE];

    log_warning("%s: expired, the sender was not told of %zu recipients",
        queue_id_text(m->id, q->long_ids, id), m->counts[RCPT_DONE]);
    mail_foreach(r, m) if (r->state == RCPT_DONE)
        rcpt_set_state(r, RCPT_SETTLED);
}

void
notify_requeue(struct qmgr *q, struct mail *m)
{
    notify(q, m, JOB_REQUEUE);
}

/*
 * Did somebody else of the same virtual alias get the message already? Then r may
 * not become that alias again. For a list that is not looked up: he stays who he
 * is.
 */
static bool
has_settled_sibling(const struct rcpt *r)
{
    struct slice original = recipient_original(rcpt_given(r));
    const struct mail *m = r->message;
    struct slice rest = m->record.envelope;
    struct recipient other;

    if (m->counts[RCPT_SETTLED] + m->counts[RCPT_DONE] == 0)
        return false;
    if (m->envelope.recipient_count > SIBLINGS_MAX)
        return true;
    for (uint32_t i = 0; envelope_next_recipient(&rest, &other); i++)
        if (mail_is_settled(m, i) &&
            slice_eq(recipient_original(&other), original))
            return true;
    /* One that was not read back from disk has them all in memory. */
    mail_foreach(in, m)
    {
        if ((in->state == RCPT_SETTLED || in->state == RCPT_DONE) &&
            slice_eq(recipient_original(rcpt_given(in)), original))
            return true;
    }
    return false;
}

static void
fill_requeued(struct notice_recipient *to, const struct rcpt *r)
{
    to->index = r->index;
    to->rcpt = *rcpt_given(r);
    if (has_settled_sibling(r))
        to->rcpt.original = (struct slice){ "", 0 };
    to->result.outcome = OUTCOME_DEFERRED;
    to->result.index = r->index;
}

static void
fill(const struct qmgr *q, struct notice_recipient *to, const struct rcpt *r)
{
    to->index = r->index;
    to->rcpt = rcpt_told(q, r);
    if (r->note != NULL)
        to->result = r->note->result;
    to->result.index = r->index;
    /* Who is DONE is OUT meanwhile. */
    to->stays = r->state != RCPT_OUT;
}

static enum notice_kind
kind_of(const struct job *j)
{
    const uint32_t asked = ENVELOPE_TRACE | ENVELOPE_VERIFY;

    switch (j->kind) {
    case JOB_DELAY:
        return NOTICE_DELAY;
    case JOB_REPORT:
        return (j->message->envelope.flags & asked) != 0 ? NOTICE_VERIFY
                                                         : NOTICE_SUCCESS;
    case JOB_REQUEUE:
        return NOTICE_REQUEUE;
    case JOB_FAILURE:
    case JOB_DELIVERY:
        break;
    }
    return NOTICE_FAILURE;
}

bool
notify_send(struct qmgr *q, struct job *j)
{
    struct mail *m = j->message;
    struct notice_recipient *rcpts = mem_alloc_array(j->count, sizeof(*rcpts));
    struct notice n = {
        .kind = kind_of(j),
        .attempt = j->attempt,
        .envelope = m->envelope,
        .header = m->header,
        .body = m->body,
        .fd = j->fd,
        .body_length = m->record.blob != 0 ? m->record.blob_length
                                           : m->body.len,
        .body_crc = m->record.blob_crc,
        .is_damaged = j->bare,
        .will_retry_until_us = round_expiry_ms(q, m->entry) * 1000,
        .recipients = rcpts,
        .recipient_count = j->count,
    };
    bool sent;

    if (j->bare) {
        n.body = (struct slice){ "", 0 };
        n.body_length = 0;
    }
    n.envelope.recipients = NULL;
    n.envelope.recipient_count = 0;
    for (size_t i = 0; i < j->count; i++)
        if (j->kind == JOB_REQUEUE)
            fill_requeued(&rcpts[i], j->rcpts[i]);
        else
            fill(q, &rcpts[i], j->rcpts[i]);
    sent = q->outside->notify(q->context, &n, j);
    mem_free(rcpts);
    return sent;
}

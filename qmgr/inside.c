#include "qmgr/inside.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/delivery_log.h"
#include "lib/mail/queue_id.h"
#include "lib/mail/status.h"
#include "qmgr/verify.h"

#include <stdio.h>

static void
log_result(struct qmgr *q, const char *tag, const struct rcpt *r,
    const struct rcpt_result *result)
{
    const struct mail *m = r->message;
    int64_t now = clock_wall_us();
    struct delivery d = {
        .attempt.id = m->id,
        .envelope.arrival_us = m->envelope.arrival_us,
        .envelope.flags = m->envelope.flags,
        .active_us = m->active_us,
    };
    struct delivery_recipient rcpt = { r->index, *rcpt_given(r) };
    struct delivery_times times = { now, 0, now };

    if (r->address.len > 0)
        rcpt.rcpt.address = r->address;
    delivery_log(tag, q->config, &d, &rcpt, result, &times);
}

/* What is logged is the result. */
static struct rcpt_result
say_result(struct qmgr *q, const char *tag, struct rcpt *r,
    enum outcome outcome, const char *status, struct slice text)
{
    struct rcpt_result result = {
        .index = r->index,
        .outcome = outcome,
        .text = slice_head(text, 2000),
        .when_us = clock_wall_us(),
    };

    (void)snprintf(result.status, sizeof(result.status), "%s", status);
    if (q->config->soft_bounce)
        rcpt_result_soften(&result);
    log_result(q, tag, r, &result);
    return result;
}

static void
settle_inside(struct qmgr *q, const char *tag, struct rcpt *r,
    enum outcome outcome, const char *status, struct slice text)
{
    struct rcpt_result result = say_result(q, tag, r, outcome, status, text);

    if (outcome == OUTCOME_SENT) {
        rcpt_sent(q, r, &result);
        return;
    }
    rcpt_conclude(q, r, &result);
}

void
inside_deliver(struct qmgr *q, const struct transport *t, struct slice nexthop,
    struct rcpt *r)
{
    enum outcome outcome = OUTCOME_BOUNCED;
    const char *fallback = "5.0.0";
    struct slice text;
    char status[10];

    if (t->kind == TRANSPORT_DISCARD) {
        outcome = OUTCOME_SENT;
        fallback = "2.0.0";
    } else if (t->kind == TRANSPORT_RETRY) {
        outcome = OUTCOME_DEFERRED;
        fallback = "4.0.0";
    }
    text = status_split(nexthop, fallback, status);
    settle_inside(q, t->tag, r, outcome, status, text);
}

/* Under the tag of the retry service: that is where Postfix sends it. */
void
refuse_rcpt(struct qmgr *q, struct rcpt *r, const char *status,
    const char *text)
{
    settle_inside(q, transport_find(q, SLICE_LIT("retry"))->tag, r,
        OUTCOME_DEFERRED, status, slice_of(text));
}

void
refuse_probe(struct qmgr *q, struct rcpt *r, const char *status,
    const char *text)
{
    (void)say_result(q, transport_find(q, SLICE_LIT("retry"))->tag, r,
        OUTCOME_DEFERRED, status, slice_of(text));
    verify_give_up(q, r);
}

void
fail_rcpt(struct qmgr *q, struct rcpt *r, const char *status, const char *text)
{
    settle_inside(q, transport_find(q, SLICE_LIT("error"))->tag, r,
        OUTCOME_BOUNCED, status, slice_of(text));
}

void
absorb_rcpt(struct qmgr *q, struct rcpt *r, const char *text)
{
    char id[QUEUE_ID_SIZE];

    log_write(LOG_LEVEL_WARNING, q->tag, "%s: %s",
        queue_id_text(r->message->id, q->long_ids, id), text);
    settle_inside(q, q->tag, r, OUTCOME_SENT, "2.0.0", slice_of(text));
}

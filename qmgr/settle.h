/*
 * settle - what became of recipients: answers of agents, and transactions of
 * theirs that settle.
 *
 * A recipient that is with an agent (OUT) leaves that state in one of three
 * ways: the answer says what became of it; a transaction of the agent (alias
 * expansion, a notice of bounce) settles it; or the agent is lost. A
 * transaction is checked against the token before the committer sees it, and
 * its recipients are SETTLING from then on: nothing else touches them until
 * it is known whether it became durable. A token that is not of an attempt
 * under way, or names a recipient that is not OUT under it, refuses the
 * transaction as a whole.
 *
 * The new qmgr after a crash knows no token of before, so transactions of its
 * predecessor's attempts are refused unless they are in the log already.
 * What agents tell of deliveries that outlived it comes by qmgr/late.
 */
#pragma once

#include "qmgr/dispatch.h"
#include "qmgr/mail.h"

/* The answer of j's agent, which is done with it. */
void job_answered(struct qmgr *q, struct job *j,
    const struct delivery_answer *a) ATTR_NONNULL;

/* bounce is done with it; anything but RESULT_OK: no notice was sent. */
void job_notified(struct qmgr *q, struct job *j, enum result res) ATTR_NONNULL;

/* Its process is gone. It ends when it is known how: see qmgr/agent. */
void job_lost(struct qmgr *q, struct job *j) ATTR_NONNULL;

/* The answer cannot be understood. */
void job_nonsense(struct qmgr *q, struct job *j) ATTR_NONNULL;

/* What an agent said of r, which is not with an agent any more. */
void settle_result(struct qmgr *q, struct rcpt *r,
    const struct rcpt_result *result) ATTR_NONNULL;

/* It could not be sent; what it was about goes back. */
void settle_unsent(struct qmgr *q, struct job *j) ATTR_NONNULL;

/*
 * A transaction is to settle recipients: RESULT_OK and *j, or RESULT_PERMFAIL
 * when the token is stale. A notice that settles nothing (count 0) is OK under
 * any token that is good.
 */
enum result settle_begin(struct qmgr *q, const struct settlement *s,
    struct job **j, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* It became durable, with its record at place; or it did not (place NULL). */
void settle_end(struct qmgr *q, const struct settlement *s, struct job *j,
    const struct spool_place *place) __attribute__((nonnull(1, 2, 3)));

/* The record of it: a STATUS with STATUS_PART. */
void settle_encode(const struct settlement *s, struct job *j, struct buf *brief,
    struct buf *head) ATTR_NONNULL;

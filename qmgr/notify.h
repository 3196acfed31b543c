/*
 * notify - asks bounce to tell the sender of failures, delays and successes.
 *
 * For failures and successes bounce answers with a transaction that holds the
 * notice and settles the recipients under the job's token, so a notice is
 * neither lost nor doubled. A notice of delay settles nothing; a crash may
 * repeat it.
 */
#pragma once

#include "qmgr/dispatch.h"
#include "qmgr/mail.h"

/*
 * False: so many notices are being made that m has to wait; it is looked at
 * again when its turn comes.
 */
bool notify_may(struct qmgr *q, struct mail *m) ATTR_NONNULL;

void notify_failure(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* Is there anybody in memory whose delay the sender does not know of? */
bool notify_wants_delay(const struct mail *m) ATTR_NONNULL;
void notify_delay(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/*
 * Does the sender want to know of r that this became of it? NOTIFY=SUCCESS,
 * unless the next hop tells him; a probe; sendmail -v, of the first round.
 */
bool notify_wants_success(const struct rcpt *r,
    const struct rcpt_result *result) ATTR_NONNULL;

/* Is there anybody in memory that a report is due of? */
bool notify_wants_report(const struct mail *m) ATTR_NONNULL;
void notify_report(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* The message's time is over, and bounce did not do it: nobody is told. */
void notify_forget_reports(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* Whoever is left starts anew, as another message (bounce/requeue). */
void notify_requeue(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* The content is there: j goes to bounce. False: it is not up. */
bool notify_send(struct qmgr *q, struct job *j) ATTR_NONNULL;

/* A job of ours has ended. */
void notify_ended(struct qmgr *q) ATTR_NONNULL;

/*
 * notify - asks bounce to tell the sender of failures and delays.
 *
 * For failures bounce answers with a transaction that holds the notice and
 * settles the recipients under the job's token, so a notice is neither lost
 * nor doubled. A notice of delay settles nothing; a crash may repeat it.
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

/* Whoever is left starts anew, as another message (bounce/requeue). */
void notify_requeue(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* The content is there: j goes to bounce. False: it is not up. */
bool notify_send(struct qmgr *q, struct job *j) ATTR_NONNULL;

/* A job of ours has ended. */
void notify_ended(struct qmgr *q) ATTR_NONNULL;

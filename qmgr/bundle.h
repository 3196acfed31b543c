/*
 * bundle - the recipients of one message that wait for one destination.
 *
 * While others of the message are still being resolved a bundle gathers and is
 * not offered, unless it is large enough: else a list would go out in driblets.
 */
#pragma once

#include "qmgr/destination.h"

struct bundle {
    struct map_node node;     /* by message and destination */
    struct list link;         /* of destination->bundles */
    struct list message_link; /* of message->bundles */
    struct mail *message;
    struct destination *destination;
    struct list rcpts;
    size_t count;
    bool gathering; /* not in destination->bundles */
};

/* r, PENDING, waits for d; in a bundle that gathers, if it is new. */
struct bundle *bundle_put(struct qmgr *q, struct destination *d, struct rcpt *r)
    ATTR_NONNULL;

/* Take r, which is WAITING, out of its bundle. Its state is the caller's. */
void bundle_take(struct qmgr *q, struct rcpt *r) ATTR_NONNULL;

/* All of a message; its recipients are on no list any more. */
void bundle_free_all(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* NULL when it is empty: then it is gone. */
struct rcpt *bundle_next(struct qmgr *q, struct bundle *b) ATTR_NONNULL;

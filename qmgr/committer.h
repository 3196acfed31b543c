/*
 * committer - the thread that makes transactions durable, and cleans.
 *
 * The loop gathers transactions and hands them over at the end of each turn;
 * while one flush is under way the next ones gather, so a lone message is not
 * delayed to wait for company and a thousand share one flush. What nobody waits
 * for goes with them, or in time without them (qmgr/gather). What comes back
 * has had its room in the channel from the beginning: the committer never waits
 * for the loop.
 *
 * Orders go and come in order. That is what the cleaner's steps ask for: a
 * transaction built before a move is known here is committed before the move is
 * done (qmgr/spool/spool.h).
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "qmgr/outside.h"

struct committer;

enum { COMMITTER_ORDERS = 16 }; /* under way; more is gathered meanwhile */

/*
 * Starts the thread, and a fiber that takes back what it has done. One order
 * under way is enough to get on.
 */
enum result committer_new(struct qmgr *q, struct spool *s, size_t orders_max,
    struct committer **c, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* At the end of the turn, or when it has to (qmgr/gather). */
void committer_add(struct committer *c, struct txn *t) ATTR_NONNULL;

/* Nothing that was added so far waits any longer. */
void committer_hurry(struct committer *c) ATTR_NONNULL;

/* More room is wanted in the spool than there is: look at it soon. */
void committer_look(struct committer *c) ATTR_NONNULL;

/* A record died: there may be something to clean. */
void committer_dead(struct committer *c, const struct spool_place *place)
    ATTR_NONNULL;

/* Nothing is under way any more; waits for the thread's end. Waits. */
void committer_free(struct committer *c);

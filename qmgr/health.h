/*
 * health - how many deliveries a destination takes at a time, and whether it
 * takes any.
 *
 * The window grows and shrinks as SCHEDULER_README of Postfix describes. A
 * destination that fails in a whole cohort is dead: its mail is deferred at
 * once for minimal_backoff_time, doubled with each further failure up to
 * maximal_backoff_time; then a single delivery probes it, and only when that
 * goes well it gets a window again.
 *
 * A remote that takes some sessions and answers 421 to one more is not dead. It
 * gets as many as it took (the ceiling), and one more each minute; what it
 * refused waits for its turn again and is not deferred. Only when it refuses
 * while nothing of ours is there, BUSY_ALONE times with a pause before each, is
 * its mail deferred and that counts as a failure.
 */
#pragma once

#include "qmgr/destination.h"

/*
 * Deliveries that may run at a time: the window, and what stands above it. What
 * else is known of a destination, and how to meet them all: qmgr/describe.
 */
size_t health_window(const struct destination *d) ATTR_NONNULL;

/* What an agent said about it, with a delivery of that generation. */
void health_feedback(struct qmgr *q, struct destination *d, uint32_t generation,
    enum destination_state state, const char *status, struct slice text)
    ATTR_NONNULL;

/* May a delivery come back since the remote takes no more sessions? */
bool health_takes_back(const struct destination *d) ATTR_NONNULL;

/* A flush: if it is dead it is tried again now. */
void health_revive(struct qmgr *q, struct destination *d) ATTR_NONNULL;
void health_revive_all(struct qmgr *q) ATTR_NONNULL;

/* For its timer: what was to be until now. */
void health_look(struct qmgr *q, struct destination *d) ATTR_NONNULL;

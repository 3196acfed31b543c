/*
 * lane - who may come into the active set: messages by where they go.
 *
 * A message's lane is the destination that it was last deferred for, or, as
 * long as that is not known, the domain of its recipients; messages to several
 * share one. No lane may take the whole of the active set: each may have up to
 * LANE_SHARE times of what is free, and one in KEPT_SHARE places is kept for
 * those that have none, so that however many slow destinations there are, some
 * room is left for the others. While a destination is being
 * probed its lane has room for one message.
 *
 * A message that is due and has no room is parked with its lane: it costs
 * nothing until there is room, or its lifetime ends. Messages to a dead
 * destination are not even looked at: they are due again, spread over some
 * time, when it is to be probed.
 */
#pragma once

#include "qmgr/core.h"

#include <stdbool.h>
#include <stdint.h>

struct lane {
    struct map_node node; /* of q->index.lanes, by name */
    struct list link;     /* of q->lanes_parked, while some are parked */
    struct timer expiry;  /* of the first that is due */
    struct qmgr *q;
    uint32_t name;
    size_t active;     /* messages in the active set */
    struct heap fresh; /* parked, never tried, by arrival */
    struct heap due;   /* parked, by the end of their lifetime */
    bool fresh_turn;
};

enum admission {
    ADMIT,    /* and now it counts */
    ADMIT_NO, /* it was parked, or put off */
};

/* e is due, or fresh, and there is room: may it become active? */
enum admission lane_admit(struct qmgr *q, struct entry *e) ATTR_NONNULL;

/* e becomes active, whatever its lane says. */
struct lane *lane_enter(struct qmgr *q, const struct entry *e) ATTR_NONNULL;

/* A message of that lane has left the active set. */
void lane_leave(struct qmgr *q, struct lane *l) ATTR_NONNULL;

/* A parked message that may become active now; NULL: none. */
struct entry *lane_next(struct qmgr *q) ATTR_NONNULL;

/* The health of the destination of that lane has changed. */
void lane_touch(struct qmgr *q, uint32_t name) ATTR_NONNULL;

/* e, parked, is to wait for something else, or not at all. */
void lane_unpark(struct index *ix, struct entry *e) ATTR_NONNULL;

/* Would e, fresh, get in at once? */
bool lane_is_open(struct qmgr *q, const struct entry *e) ATTR_NONNULL;

void lane_fini_all(struct qmgr *q) ATTR_NONNULL;

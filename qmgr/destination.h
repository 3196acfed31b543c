/*
 * destination - a next hop of a transport, and the queue before it.
 *
 * The queue holds bundles, each being recipients of one message. They take
 * turns, one delivery each, so that a message to one recipient waits for one
 * delivery of each list before it and not for the whole lists.
 *
 * How large the window is, and when there is none: qmgr/health.
 */
#pragma once

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "qmgr/mail.h"
#include "qmgr/timer.h"
#include "qmgr/transport.h"

#include <stdbool.h>
#include <stdint.h>

enum destination_health {
    HEALTH_LIVE,
    HEALTH_DEAD,
    HEALTH_PROBED, /* one delivery at a time until one succeeds */
};

struct destination {
    struct map_node node;      /* by transport and key */
    struct map_node lane_node; /* by lane, unless another has it */
    bool has_lane;
    struct list ready_link; /* of transport->ready */
    struct timer timer;     /* the end of DEAD or of a rate delay */
    struct transport *transport;
    char *key; /* next hop, or next hop and recipient */
    char *nexthop;
    uint64_t hash;       /* which agent it is pinned to */
    uint32_t lane;       /* lane_of() it */
    struct list bundles; /* in the order of their turns */
    size_t gathering;    /* bundles that have not joined them yet */
    size_t running;      /* deliveries under way */
    double window;
    double success, failure; /* feedback not yet in the window */
    double cohorts;          /* of failures since the last success */
    enum destination_health health;
    int64_t until_ms; /* the end of DEAD; of remembering it: PROBED */
    int64_t next_start_ms;

    /* It said that it was busy. */
    size_t ceiling; /* of the window; 0: none */
    int64_t relax_ms;
    uint32_t generation; /* of deliveries: those begun since it last was */
    size_t base;         /* how many ran then ... */
    size_t refused;      /* ... of which so many turned out to be too many */
    unsigned alone;      /* times in succession that nothing else ran */
    unsigned failures;   /* deaths in succession */
    char *reason;        /* of the last death */
    char status[10];
    uint32_t idle_sessions; /* that agents keep */
};

/* NULL when nothing is known of it. */
struct destination *destination_of_lane(const struct qmgr *q, uint32_t lane)
    ATTR_NONNULL;

/* r, PENDING, queues for nexthop, or is deferred since that is dead. */
void destination_enqueue(struct qmgr *q, struct transport *t,
    struct slice nexthop, struct rcpt *r) ATTR_NONNULL;

/* It may be able to start a delivery now, or not any more. */
void destination_touch(struct qmgr *q, struct destination *d) ATTR_NONNULL;

/* A delivery was begun; it ended. The latter frees d if nothing is left. */
void destination_started(struct qmgr *q, struct destination *d) ATTR_NONNULL;
void destination_ended(struct qmgr *q, struct destination *d) ATTR_NONNULL;

/* r, OUT, has come back: it waits again, before the others. */
void destination_return(struct qmgr *q, struct destination *d, struct rcpt *r)
    ATTR_NONNULL;

/* Everything waiting is refused: no agent has come for long. */
void destination_refuse_all(struct qmgr *q, struct destination *d,
    const char *status, const char *text) ATTR_NONNULL;

/* m is resolved: what it has gathered joins the queues. */
void destination_join_all(struct qmgr *q, struct mail *m) ATTR_NONNULL;

void destination_fini_all(struct qmgr *q) ATTR_NONNULL;

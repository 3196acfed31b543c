/*
 * destination - a next hop of a transport: the queue before it, the window of
 * deliveries that it takes at a time, and what is known of its health.
 *
 * The queue holds bundles, each being recipients of one message. They take
 * turns, one delivery each, so that a message to one recipient waits for one
 * delivery of each list before it and not for the whole lists.
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
    uint32_t lane;       /* see destination_lane() */
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

/*
 * Recipients of one message that wait for one destination. While others of
 * the message are still being resolved a bundle gathers and is not offered,
 * unless it is large enough: else a list would go out in driblets.
 */
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

/*
 * Deliveries that may run at a time: the window, and what stands above it. What
 * else is known of a destination, and how to meet them all: qmgr/describe.
 */
size_t destination_window(const struct destination *d) ATTR_NONNULL;

/* entry.lane of mail that is deferred for it; the same for ever, never 0. */
uint32_t destination_lane(const struct transport *t, struct slice key)
    ATTR_NONNULL;

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

/* What an agent said about it, with a delivery of that generation. */
void destination_feedback(struct qmgr *q, struct destination *d,
    uint32_t generation, enum destination_state state, const char *status,
    struct slice text) ATTR_NONNULL;

/* May a delivery come back since the remote takes no more sessions? */
bool destination_takes_back(const struct destination *d) ATTR_NONNULL;

/* r, OUT, has come back: it waits again, before the others. */
void destination_return(struct qmgr *q, struct destination *d, struct rcpt *r)
    ATTR_NONNULL;

/* Everything waiting is refused: no agent has come for long. */
void destination_refuse_all(struct qmgr *q, struct destination *d,
    const char *status, const char *text) ATTR_NONNULL;

/* A flush: if it is dead it is tried again now. */
void destination_revive(struct qmgr *q, struct destination *d) ATTR_NONNULL;
void destination_revive_all(struct qmgr *q) ATTR_NONNULL;

/* Take r, which is WAITING, out of its bundle. Its state is the caller's. */
void bundle_take(struct qmgr *q, struct rcpt *r) ATTR_NONNULL;

/* m is resolved: what it has gathered joins the queues. */
void bundle_join_all(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* All of a message; its recipients are on no list any more. */
void bundle_free_all(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* NULL when it is empty: then it is gone. */
struct rcpt *bundle_next(struct qmgr *q, struct bundle *b) ATTR_NONNULL;

void destination_fini_all(struct qmgr *q) ATTR_NONNULL;

/*
 * describe - what the scheduler knows of transports and destinations, for those
 * who show it.
 */
#pragma once

#include "qmgr/destination.h"
#include "qmgr/transport.h"

/* Why nothing (more) is started towards a destination. */
enum destination_hold {
    HOLD_NONE,           /* it may start, or nothing waits */
    HOLD_WINDOW,         /* as many run as its window takes */
    HOLD_BUSY,           /* likewise, since the remote said that it is busy */
    HOLD_DEAD,           /* left alone until next_try_ms */
    HOLD_PROBE,          /* a single delivery finds out whether it is alive */
    HOLD_RATE,           /* TRANSPORT_destination_rate_delay */
    HOLD_TRANSPORT_RATE, /* TRANSPORT_transport_rate_delay */
    HOLD_PROCESSES,      /* maxproc of the transport */
    HOLD_NO_AGENT,       /* no process of the transport's program is there */
    HOLD_TRANSPORT,      /* defer_transports */
};

/* What is known of a destination. Texts are borrowed until the next pump. */
struct destination_view {
    const char *transport, *nexthop;
    const char *recipient; /* of a destination for each recipient, or "" */
    enum destination_health health;
    enum destination_hold hold;
    size_t window_now;   /* deliveries at a time */
    size_t window_limit; /* 0: none */
    size_t running, idle_sessions;
    size_t waiting_messages, waiting_recipients; /* of the active set */
    uint32_t lane; /* entries with this lane, not active, are deferred for it */
    int64_t rate_delay_ms;
    int64_t next_try_ms; /* since 1970; 0: now, or when something else ends */
    unsigned failures;   /* deaths in succession */
    const char *status, *reason; /* of the last death, or "" */
};
void destination_describe(struct qmgr *q, const struct destination *d,
    struct destination_view *view) ATTR_NONNULL;
const char *destination_hold_text(enum destination_hold hold);

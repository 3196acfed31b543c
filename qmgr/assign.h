/*
 * assign - which agent a delivery goes to.
 *
 * A destination is pinned to one, whose sessions it can use again. But a list
 * has hundreds of deliveries with an agent, so that every step of another has to
 * wait for as many. So of several agents the last one takes no lists, and what
 * is no list goes to where there are none. (Measured beside 100,000 recipients,
 * two agents on two cores: the 99th percentile from 24 to 10 ms.)
 */
#pragma once

#include "qmgr/destination.h"
#include "qmgr/mail.h"

enum {
    AGENT_JOBS = 500, /* deliveries of one process at a time */
    /* Octets that it has not taken yet: far below where a link is dropped. */
    AGENT_BACKLOG = 16 * 1024 * 1024,
};

enum assignment {
    ASSIGNED,
    ASSIGN_FULL,  /* there is no room for anything */
    ASSIGN_LATER, /* not for m, but there may be for others */
};

/* Where a delivery of m to d may be begun now. */
enum assignment assign(struct qmgr *q, const struct destination *d,
    const struct mail *m, struct agent **found) ATTR_NONNULL;

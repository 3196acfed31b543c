/*
 * seldom - a line of the log that another may cause without end, a peer or a
 * broken disk: it is written once, and for some time not again.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

struct seldom {
    int64_t again_ms; /* not before; 0 at first */
};

/* Is it time? Then the next is wait_ms away. */
ATTR_NONNULL ATTR_MUST_USE static inline bool
seldom_due(struct seldom *s, int64_t wait_ms)
{
    int64_t now = clock_now_ms();

    if (now < s->again_ms)
        return false;
    s->again_ms = now + wait_ms;
    return true;
}

/*
 * timers - the deadlines of one scheduler: a heap that knows where each timer
 * stands in it, so that moving or dropping one costs O(log n).
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/io/fiber.h"

#include <stddef.h>
#include <stdint.h>

/* The deadline is repeated here: comparing must not touch n timers. */
struct timers_entry {
    int64_t deadline_ms;
    struct fiber_timer *timer;
};

struct timers {
    struct timers_entry *heap;
    size_t count, room;
};

void timers_fini(struct timers *h) ATTR_NONNULL;

/* t may be armed already. */
void timers_arm(struct timers *h, struct fiber_timer *t, int64_t deadline_ms)
    ATTR_NONNULL;

/* Harmless when it is not armed. */
void timers_disarm(struct timers *h, struct fiber_timer *t) ATTR_NONNULL;

/* The earliest deadline, CLOCK_NEVER when there is none. */
int64_t timers_next(const struct timers *h) ATTR_NONNULL;

/* The earliest timer, disarmed, if its deadline has come; else NULL. */
struct fiber_timer *timers_take_due(struct timers *h, int64_t now_ms)
    ATTR_NONNULL;

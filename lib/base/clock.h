/*
 * clock - what time it is: monotonic for deadlines, wall for dates.
 *
 * A test sets both, and moves them by hand; nothing in postern reads a clock
 * in another way.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { CLOCK_NEVER_MS_SHIFT = 62 };

/* A deadline that does not come. */
#define CLOCK_NEVER ((int64_t)1 << CLOCK_NEVER_MS_SHIFT)

/* Milliseconds, monotonic: deadlines and durations. */
int64_t clock_now_ms(void);

/* Microseconds since 1970, wall clock: arrival times, dates, queue ids. */
int64_t clock_wall_us(void);

/* Seconds since 1970, wall clock. */
int64_t clock_wall_s(void);

/* From now on time stands still at these values (tests, the simulator). */
void clock_set(int64_t now_ms, int64_t wall_us);
void clock_advance_ms(int64_t ms);

/* Back to the machine's clocks. */
void clock_unset(void);

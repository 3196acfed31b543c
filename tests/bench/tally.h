/*
 * tally - what the load source and the sink count and time, and how they tell
 * it: one JSON object on a line.
 */
#pragma once

#include "lib/base/attr.h"

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds, monotonic: the same clock in source and sink. */
int64_t tally_now_ns(void);

/* Seconds of CPU that this process has had. */
double tally_cpu_s(void);

/* Durations in nanoseconds. */
struct samples {
    int64_t *values;
    size_t count, room;
};
void samples_add(struct samples *s, int64_t ns) ATTR_NONNULL;
void samples_clear(struct samples *s) ATTR_NONNULL;

/* ', "NAME_p50_ms": 1.234, "NAME_p99_ms": ...' to stdout; nothing if empty. */
void samples_print(struct samples *s, const char *name) ATTR_NONNULL;

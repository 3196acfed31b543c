/*
 * module - what the modules have in common: the clock, and settings that are
 * texts.
 */
#pragma once

#include "lib/table/driver.h"

#include <time.h>

static inline long
now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* An empty one is as good as none. */
static inline const char *
setting(const struct driver_settings *s, const char *name, const char *fallback)
{
    const char *value = s->get(s->context, name);

    return value == NULL || *value == '\0' ? fallback : value;
}

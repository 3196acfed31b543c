#include "lib/base/clock.h"

#include <time.h>

/* The process's clock, set by tests only, before there are threads. */
static bool fixed;
static int64_t fixed_now_ms, fixed_wall_us;

static int64_t
read_us(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_now_ms(void)
{
    return fixed ? fixed_now_ms : read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t
clock_wall_us(void)
{
    return fixed ? fixed_wall_us : read_us(CLOCK_REALTIME);
}

int64_t
clock_wall_s(void)
{
    return clock_wall_us() / 1000000;
}

void
clock_set(int64_t now_ms, int64_t wall_us)
{
    fixed = true;
    fixed_now_ms = now_ms;
    fixed_wall_us = wall_us;
}

void
clock_advance_ms(int64_t ms)
{
    fixed_now_ms += ms;
    fixed_wall_us += ms * 1000;
}

void
clock_unset(void)
{
    fixed = false;
}

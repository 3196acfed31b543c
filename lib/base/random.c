#include "lib/base/random.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>

/* Set by tests only, before there are threads. */
static bool seeded;
static uint64_t state;

/* splitmix64: enough for a repeatable test. */
static uint64_t
next_seeded(void)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* A page of the kernel's numbers at a time: one call for many tokens. */
static uint64_t
next_unguessable(void)
{
    static _Thread_local uint64_t pool[32];
    static _Thread_local unsigned left;

    if (left == 0) {
        /* Up to 256 octets are never cut short (getrandom(2)). */
        if (getrandom(pool, sizeof(pool), 0) != (ssize_t)sizeof(pool))
            abort();
        left = sizeof(pool) / sizeof(pool[0]);
    }
    return pool[--left];
}

uint64_t
random_u64(void)
{
    return seeded ? next_seeded() : next_unguessable();
}

uint64_t
random_below(uint64_t below)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % below, n;

    do
        n = random_u64();
    while (n >= limit);
    return n % below;
}

void
random_set_seed(uint64_t seed)
{
    seeded = true;
    state = seed;
}

/*
 * hosts - several servers that have the same data: asked in random order, one
 * that failed again after a while, or when there is no other.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOSTS_MAX = 64, HOST_RETRY_MS = 60 * 1000 };

struct host {
    char *name;
    int64_t retry_ms; /* not before, while there is another; 0: it works */
    void *state;      /* the caller's */
};

struct hosts {
    struct host *host;
    size_t count;
};

/* Separated by blanks and commas. */
void hosts_init(struct hosts *h, const char *text) ATTR_NONNULL;
void hosts_fini(struct hosts *h) ATTR_NONNULL;

/*
 * The next one to try; tried is a set of bits that begins with 0. NULL: all
 * were tried.
 */
struct host *hosts_next(struct hosts *h, uint64_t *tried) ATTR_NONNULL;

/*
 * Until when the one that came last may take to be reached: a fair share, so
 * that one that is silent leaves time for those that were not tried yet.
 */
int64_t hosts_deadline(const struct hosts *h, uint64_t tried,
    int64_t deadline_ms) ATTR_NONNULL;

/* The log is told when it begins, and when it is over; table is its name. */
void host_failed(struct host *host, const char *table, const char *problem)
    ATTR_NONNULL;
void host_works(struct host *host, const char *table) ATTR_NONNULL;

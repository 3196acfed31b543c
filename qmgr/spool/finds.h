/*
 * finds - what the segments' indexes have, in the order of recovery.
 *
 * Each segment gives a run, which is in order; all of them are merged. A
 * million deferred messages are two million finds, so they are small, and runs
 * are made side by side.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One entry of an index. */
struct find {
    uint64_t id, serial;
    const char *entry; /* in the segment's index */
    uint32_t slot;     /* of the segment */
    uint16_t part;
    uint8_t type;
};

/* By message, then in order of the log; 0 for doubles that the cleaner left. */
int find_compare(const struct find *a, const struct find *b) ATTR_NONNULL;

struct run {
    struct find *finds;
    size_t count;
    uint64_t max_serial;
};

/*
 * All entries of the index, which stays where it is; most of them there may be.
 * False: it has more, or something else. The run is empty before.
 */
bool run_collect(struct run *r, uint32_t slot, struct slice index, size_t most)
    ATTR_NONNULL ATTR_MUST_USE;
void run_fini(struct run *r) ATTR_NONNULL;

/* Positions in the runs, a heap by the find that is next of each. */
struct position {
    const struct find *next, *end;
};
struct merge {
    struct position *heap;
    size_t count;
};
void merge_init(struct merge *m, const struct run *runs, size_t count)
    ATTR_NONNULL;
void merge_fini(struct merge *m) ATTR_NONNULL;

/* The next one, NULL at the end. It stays there until merge_skip(). */
const struct find *merge_next(const struct merge *m) ATTR_NONNULL;
void merge_skip(struct merge *m) ATTR_NONNULL;

/*
 * slots - how many sessions of each service run at the same time, counted over
 * all processes of a pool.
 *
 * A table in shared memory: a row for each service with its limit (maxproc), a
 * column for each process with the sessions that it has. A process changes its
 * own column only, and master clears the column of a dead one, so a crash
 * leaves nothing behind. Taking counts first and looks afterwards: the limit
 * is never exceeded, but two that take the last slot at the same time may both
 * be refused, and ask again a little later.
 */
#pragma once

#include "lib/base/attr.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SLOTS_ROWS = 1024,    /* services that listen */
    SLOTS_COLUMNS = 2048, /* processes of all pools that listen */
};

struct slots;

/* A table in a memory file, for master; *fd is what children map. NULL: errno. */
struct slots *slots_create(int *fd) ATTR_NONNULL ATTR_MUST_USE;

/* The same table; fd may be closed afterwards. NULL: errno. */
struct slots *slots_map(int fd) ATTR_MUST_USE;
void slots_unmap(struct slots *s);

/* master: 0 is no limit. */
void slots_set_limit(struct slots *s, unsigned row, uint32_t limit)
    ATTR_NONNULL;

/* master: so many of the limit are kept for clients that are known. */
void slots_keep(struct slots *s, unsigned row, uint32_t kept) ATTR_NONNULL;
void slots_clear_column(struct slots *s, unsigned column) ATTR_NONNULL;

bool slots_take(struct slots *s, unsigned row, unsigned column)
    ATTR_NONNULL ATTR_MUST_USE;
void slots_give(struct slots *s, unsigned row, unsigned column) ATTR_NONNULL;

/*
 * Is a service short of slots? From when the last one is taken, but for those that
 * are kept, until a quarter of them is free. One that has a single slot never is. *begun: the limit, for the one process that sees it begin,
 * else 0. What another process writes there wrongly costs no more than limits
 * that are shorter, or longer, than they should be.
 */
bool slots_strained(struct slots *s, unsigned row, uint32_t *begun)
    ATTR_NONNULL;

/* Is one who has a slot, and is not known, one too many? */
bool slots_exceeded(struct slots *s, unsigned row) ATTR_NONNULL;

/* Sessions of a service over all processes. */
uint32_t slots_used(const struct slots *s, unsigned row) ATTR_NONNULL;

/*
 * stack - a pool of fiber stacks, one for each thread that runs fibers.
 *
 * Stacks lie in large mappings, each above its guard. Where the kernel has
 * MADV_GUARD_INSTALL (Linux 6.13) guards do not split the mapping; otherwise
 * mprotect() costs two map entries a stack, of which vm.max_map_count allows
 * about 32,000 stacks.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/io/fiber.h"
#include "lib/io/sanitize.h"

#include <stdbool.h>
#include <stddef.h>

enum { STACK_SIZE = FIBER_STACK * STACK_FACTOR };

struct stack_pool {
    char **arenas; /* mappings */
    size_t arena_count;
    size_t unused;    /* stacks of the last mapping never used yet */
    char **free;      /* last used last */
    size_t free_room; /* of free: every stack there is */
    size_t free_count;
    size_t cold; /* the first of free whose memory went back */
    bool split;  /* guards made with mprotect() */
};

void stack_pool_init(struct stack_pool *p) ATTR_NONNULL;

/* All stacks go, those in use too. */
void stack_pool_fini(struct stack_pool *p) ATTR_NONNULL;

/* The lowest usable address, of STACK_SIZE octets; NULL without memory. */
char *stack_take(struct stack_pool *p) ATTR_NONNULL ATTR_MUST_USE;
void stack_give(struct stack_pool *p, char *stack) ATTR_NONNULL;

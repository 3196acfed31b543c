/*
 * arena - memory that lives and dies together: one session, one transaction,
 * one message, one request.
 *
 * Nothing in it is freed singly. An arena has a ceiling, so that what a peer
 * can make us keep is bounded: past it arena_alloc() returns NULL and the
 * caller refuses with 452 4.3.1. Arenas of the same kind may share a pool, which
 * bounds what all of them take together.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stddef.h>

struct arena_chunk;

struct arena_pool {
    size_t used;    /* octets in chunks of all its arenas */
    size_t ceiling; /* the most that there may be */
};

struct arena {
    struct arena_chunk *chunks; /* newest first */
    struct arena_pool *pool;    /* NULL: none */
    size_t used;                /* octets handed out */
    size_t ceiling;             /* the most that may be handed out */
};

void arena_init(struct arena *a, size_t ceiling) ATTR_NONNULL;

/* pool outlives the arena. */
void arena_init_in(struct arena *a, size_t ceiling, struct arena_pool *pool)
    ATTR_NONNULL;

/* Free all; the arena may be used again. */
void arena_clear(struct arena *a) ATTR_NONNULL;

/* Zeroed and aligned for any type. NULL above the ceiling. */
void *arena_alloc(struct arena *a, size_t size) ATTR_NONNULL ATTR_MUST_USE;

/*
 * What arena_alloc() gave, with size octets instead of old, the new ones zeroed;
 * NULL above the ceiling, and then it stays as it was. What is large leaves
 * nothing behind where it was: an array may grow by doubling. ptr may be NULL.
 */
void *arena_resize(struct arena *a, void *ptr, size_t old, size_t size)
    __attribute__((nonnull(1))) ATTR_MUST_USE;

/* A NUL-terminated copy. NULL above the ceiling. */
char *arena_text(struct arena *a, struct slice s) ATTR_NONNULL ATTR_MUST_USE;

/* A copy in *copy (NUL-terminated too); false above the ceiling. */
bool arena_slice(struct arena *a, struct slice s, struct slice *copy)
    ATTR_NONNULL ATTR_MUST_USE;

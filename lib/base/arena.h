/*
 * arena - memory that lives and dies together: one session, one transaction,
 * one message, one request.
 *
 * Nothing in it is freed singly. An arena has a ceiling, so that what a peer
 * can make us keep is bounded: past it arena_alloc() returns NULL and the
 * caller refuses with 452 4.3.1.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t used;                /* octets handed out */
    size_t ceiling;             /* the most that may be handed out */
};

void arena_init(struct arena *a, size_t ceiling) ATTR_NONNULL;

/* Free all; the arena may be used again. */
void arena_clear(struct arena *a) ATTR_NONNULL;

/* Zeroed and aligned for any type. NULL above the ceiling. */
void *arena_alloc(struct arena *a, size_t size) ATTR_NONNULL ATTR_MUST_USE;

/* A NUL-terminated copy. NULL above the ceiling. */
char *arena_text(struct arena *a, struct slice s) ATTR_NONNULL ATTR_MUST_USE;

/* A copy in *copy (NUL-terminated too); false above the ceiling. */
bool arena_slice(struct arena *a, struct slice s, struct slice *copy)
    ATTR_NONNULL ATTR_MUST_USE;

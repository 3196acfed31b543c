/*
 * map - an intrusive hash table: a struct map_node inside each element.
 *
 * The map owns no element and no key. It grows by itself and is not safe for
 * several threads. Hashes of keys from outside are seeded per process, so that
 * a peer cannot choose collisions.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **buckets;
    size_t size; /* of buckets: a power of two, or 0 */
    size_t count;
};

/* True when node is the one that key means. */
typedef bool (*map_same_fn)(const struct map_node *node, const void *key);

uint64_t map_hash_u64(uint64_t key);
uint64_t map_hash_slice(struct slice key);
uint64_t map_hash_slice_nocase(struct slice key); /* ASCII */

void map_init(struct map *m) ATTR_NONNULL;

/* Frees the buckets, not the elements. */
void map_fini(struct map *m) ATTR_NONNULL;

/* So many will come: grow to that at once. */
void map_reserve(struct map *m, size_t count) ATTR_NONNULL;

/* NULL when there is none. */
struct map_node *map_find(const struct map *m, uint64_t hash, map_same_fn same,
    const void *key);

/* map_add() with this hash is next but for some work: have its memory at hand. */
void map_prefetch(const struct map *m, uint64_t hash) ATTR_NONNULL;

/* The caller has made sure that there is no such key yet. */
void map_add(struct map *m, uint64_t hash, struct map_node *node) ATTR_NONNULL;

/* node is in the map. */
void map_remove(struct map *m, struct map_node *node) ATTR_NONNULL;

/*
 * Walk: map_first(), then map_after() until NULL. Removing the current node is
 * allowed when the next was fetched before; adding while walking is not.
 */
struct map_node *map_first(const struct map *m) ATTR_NONNULL;
struct map_node *map_after(const struct map *m, const struct map_node *node)
    ATTR_NONNULL;

/*
 * A walk in steps, with changes between them: each element that is there from
 * the first step to the last occurs exactly once, others at most once. *cursor
 * starts as 0 and is 0 again behind the last step. A step is the elements of
 * one bucket, linked by next; NULL when it is empty.
 */
struct map_node *map_step(const struct map *m, uint64_t *cursor) ATTR_NONNULL;

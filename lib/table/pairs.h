/*
 * pairs - keys and values in memory, in the order in which they came: what
 * texthash: and inline: are.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/map.h"
#include "lib/table/table.h"

enum { PAIRS_MAX = 1 << 30 }; /* octets */

struct pair {
    struct map_node node;
    struct pair *next;
    struct slice key, value;
    bool removed;
};

struct pairs {
    struct arena arena;
    struct map map;
    struct pair *first, **last;
};

void pairs_init(struct pairs *p) ATTR_NONNULL;
void pairs_fini(struct pairs *p) ATTR_NONNULL;

enum pairs_added { PAIRS_ADDED, PAIRS_DUPLICATE, PAIRS_FULL };

/* Copies both; the key is folded to lower case. The first of a key stays. */
enum pairs_added pairs_add(struct pairs *p, struct slice key,
    struct slice value) ATTR_NONNULL ATTR_MUST_USE;

/*
 * The same with the key as it is. *there says whether the key was there; false:
 * full.
 */
enum pairs_how { PAIRS_KEEP, PAIRS_REPLACE };
bool pairs_put(struct pairs *p, struct slice key, struct slice value,
    enum pairs_how how, bool *there) ATTR_NONNULL ATTR_MUST_USE;

/* False: there is none. */
bool pairs_remove(struct pairs *p, struct slice key) ATTR_NONNULL;

/* NULL: there is none. */
const struct pair *pairs_get(const struct pairs *p, struct slice key)
    ATTR_NONNULL;

enum table_status pairs_find(const struct pairs *p, struct slice key,
    struct buf *value) ATTR_NONNULL ATTR_MUST_USE;
void pairs_walk(const struct pairs *p, table_walk_fn fn, void *context)
    __attribute__((nonnull(1, 2)));

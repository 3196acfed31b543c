/*
 * heap - what is to happen at a time, soonest first. Intrusive: a struct
 * heap_node inside each element. Equal times keep no order.
 */
#pragma once

#include "lib/base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t due; /* milliseconds; of which clock is the heap's business */
    size_t slot; /* place + 1; 0: not in a heap */
};

struct heap {
    struct heap_node **nodes;
    size_t count, room;
};

void heap_init(struct heap *h) ATTR_NONNULL;
void heap_fini(struct heap *h) ATTR_NONNULL;

/* Put node in, or move it when it is in. */
void heap_set(struct heap *h, struct heap_node *node, int64_t due) ATTR_NONNULL;

/* Harmless when node is in no heap. */
void heap_remove(struct heap *h, struct heap_node *node) ATTR_NONNULL;

static inline struct heap_node *
heap_first(const struct heap *h)
{
    return h->count == 0 ? NULL : h->nodes[0];
}

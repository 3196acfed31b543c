#include "qmgr/heap.h"

#include "lib/base/mem.h"

enum { HEAP_MIN = 64 };

void
heap_init(struct heap *h)
{
    *h = (struct heap){ 0 };
}

void
heap_fini(struct heap *h)
{
    mem_free(h->nodes);
    *h = (struct heap){ 0 };
}

static void
place(struct heap *h, size_t i, struct heap_node *node)
{
    h->nodes[i] = node;
    node->slot = i + 1;
}

static size_t
rise(struct heap *h, size_t i, struct heap_node *node)
{
    while (i > 0 && h->nodes[(i - 1) / 2]->due > node->due) {
        place(h, i, h->nodes[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    return i;
}

static size_t
sink(struct heap *h, size_t i, struct heap_node *node)
{
    for (;;) {
        size_t child = 2 * i + 1;

        if (child + 1 < h->count &&
            h->nodes[child + 1]->due < h->nodes[child]->due)
            child++;
        if (child >= h->count || h->nodes[child]->due >= node->due)
            return i;
        place(h, i, h->nodes[child]);
        i = child;
    }
}

void
heap_set(struct heap *h, struct heap_node *node, int64_t due)
{
    size_t i;

    node->due = due;
    if (node->slot == 0) {
        if (h->count == h->room) {
            h->room = h->room == 0 ? HEAP_MIN : h->room * 2;
            h->nodes = mem_resize(h->nodes, h->room * sizeof(*h->nodes));
        }
        i = h->count++;
    } else {
        i = node->slot - 1;
    }
    place(h, sink(h, rise(h, i, node), node), node);
}

void
heap_remove(struct heap *h, struct heap_node *node)
{
    struct heap_node *last;
    size_t i;

    if (node->slot == 0)
        return;
    i = node->slot - 1;
    node->slot = 0;
    last = h->nodes[--h->count];
    if (last != node)
        place(h, sink(h, rise(h, i, last), last), last);
}

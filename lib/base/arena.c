#include "lib/base/arena.h"

#include "lib/base/mem.h"

#include <stdalign.h>
#include <stdint.h>

enum {
    CHUNK_MIN = 2048, /* a small transaction fits into one chunk */
    CHUNK_MAX = 65536,
};

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used;
    alignas(max_align_t) unsigned char data[];
};

void
arena_init(struct arena *a, size_t ceiling)
{
    *a = (struct arena){ .ceiling = ceiling };
}

void
arena_clear(struct arena *a)
{
    struct arena_chunk *next;

    for (struct arena_chunk *c = a->chunks; c != NULL; c = next) {
        next = c->next;
        mem_free(c);
    }
    a->chunks = NULL;
    a->used = 0;
}

/* Chunks double, so that a big transaction needs few of them. */
static struct arena_chunk *
add_chunk(struct arena *a, size_t need)
{
    size_t size = a->chunks == NULL ? CHUNK_MIN : a->chunks->size * 2;
    struct arena_chunk *c;

    if (size > CHUNK_MAX)
        size = CHUNK_MAX;
    if (size < need)
        size = need;
    c = mem_try_alloc(sizeof(*c) + size);
    if (c == NULL)
        return NULL;
    *c = (struct arena_chunk){ .next = a->chunks, .size = size };
    a->chunks = c;
    return c;
}

void *
arena_alloc(struct arena *a, size_t size)
{
    const size_t align = alignof(max_align_t);
    struct arena_chunk *c = a->chunks;
    void *ptr;

    if (size > a->ceiling || a->used > a->ceiling - size)
        return NULL;
    size = (size + align - 1) & ~(align - 1);
    if (c == NULL || c->size - c->used < size)
        c = add_chunk(a, size);
    if (c == NULL)
        return NULL;
    ptr = c->data + c->used;
    c->used += size;
    a->used += size;
    return memset(ptr, 0, size);
}

char *
arena_text(struct arena *a, struct slice s)
{
    char *copy = s.len == SIZE_MAX ? NULL : arena_alloc(a, s.len + 1);

    if (copy != NULL && s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

bool
arena_slice(struct arena *a, struct slice s, struct slice *copy)
{
    char *text = arena_text(a, s);

    if (text == NULL)
        return false;
    *copy = (struct slice){ text, s.len };
    return true;
}

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
arena_init_in(struct arena *a, size_t ceiling, struct arena_pool *pool)
{
    *a = (struct arena){ .ceiling = ceiling, .pool = pool };
}

/* Room in the pool for a chunk of so many octets more. */
static bool
pool_take(struct arena *a, size_t size)
{
    struct arena_pool *p = a->pool;

    if (p == NULL)
        return true;
    if (size > p->ceiling || p->used > p->ceiling - size)
        return false;
    p->used += size;
    return true;
}

static void
pool_give(struct arena *a, size_t size)
{
    if (a->pool != NULL)
        a->pool->used -= size;
}

void
arena_clear(struct arena *a)
{
    struct arena_chunk *next;

    for (struct arena_chunk *c = a->chunks; c != NULL; c = next) {
        next = c->next;
        pool_give(a, c->size);
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
    if (!pool_take(a, size))
        return NULL;
    c = mem_try_alloc(sizeof(*c) + size);
    if (c == NULL) {
        pool_give(a, size);
        return NULL;
    }
    *c = (struct arena_chunk){ .next = a->chunks, .size = size };
    a->chunks = c;
    return c;
}

static size_t
rounded(size_t size)
{
    const size_t align = alignof(max_align_t);

    return (size + align - 1) & ~(align - 1);
}

void *
arena_alloc(struct arena *a, size_t size)
{
    struct arena_chunk *c = a->chunks;
    void *ptr;

    if (size > a->ceiling || a->used > a->ceiling - size)
        return NULL;
    size = rounded(size);
    if (c == NULL || c->size - c->used < size)
        c = add_chunk(a, size);
    if (c == NULL)
        return NULL;
    ptr = c->data + c->used;
    c->used += size;
    a->used += size;
    return memset(ptr, 0, size);
}

/* The chunk that holds this and nothing else, by what points to it; or NULL. */
static struct arena_chunk **
chunk_of_one(struct arena *a, const void *ptr, size_t size)
{
    for (struct arena_chunk **at = &a->chunks; *at != NULL; at = &(*at)->next)
        if ((*at)->data == ptr)
            return (*at)->used == size ? at : NULL;
    return NULL;
}

static void *
resize_chunk(struct arena *a, struct arena_chunk **at, size_t size)
{
    struct arena_chunk *c = *at;
    size_t more = size - c->size;

    if (size <= c->size)
        return c->data;
    if (more > a->ceiling || a->used > a->ceiling - more || !pool_take(a, more))
        return NULL;
    c = mem_try_resize(c, sizeof(*c) + size);
    if (c == NULL) {
        pool_give(a, more);
        return NULL;
    }
    *at = c;
    memset(c->data + c->used, 0, size - c->used);
    a->used += size - c->used;
    c->size = c->used = size;
    return c->data;
}

void *
arena_resize(struct arena *a, void *ptr, size_t old, size_t size)
{
    struct arena_chunk **at = ptr == NULL ? NULL
                                          : chunk_of_one(a, ptr, rounded(old));
    void *moved;

    if (at != NULL && (*at)->size > CHUNK_MAX && size <= SIZE_MAX / 2)
        return resize_chunk(a, at, rounded(size));
    moved = arena_alloc(a, size);
    if (moved != NULL && ptr != NULL)
        memcpy(moved, ptr, old < size ? old : size);
    return moved;
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

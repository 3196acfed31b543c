#include "lib/base/map.h"

#include "lib/base/mem.h"
#include "lib/base/put.h"
#include "lib/base/random.h"

#include <assert.h>
#include <stdatomic.h>

enum { MAP_MIN = 16 };

/* One seed for the process, drawn at first use on any thread. */
static uint64_t
seed(void)
{
    static _Atomic uint64_t drawn;
    uint64_t have = drawn, fresh;

    if (have != 0)
        return have;
    fresh = random_u64() | 1;
    if (atomic_compare_exchange_strong(&drawn, &have, fresh))
        return fresh;
    return have;
}

static uint64_t
mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t
map_hash_u64(uint64_t key)
{
    return mix(key ^ seed(), 0x9e3779b97f4a7c15);
}

static uint64_t
hash_octets(const unsigned char *p, size_t len, uint64_t h)
{
    for (; len >= 8; p += 8, len -= 8)
        h = mix(h ^ get_le64(p), 0xa0761d6478bd642f);
    while (len-- > 0)
        h = mix(h ^ *p++, 0xe7037ed1a0b428db);
    return h;
}

uint64_t
map_hash_slice(struct slice key)
{
    return hash_octets((const unsigned char *)key.ptr, key.len,
        seed() ^ key.len);
}

uint64_t
map_hash_slice_nocase(struct slice key)
{
    uint64_t h = seed() ^ key.len;

    for (size_t i = 0; i < key.len; i++) {
        unsigned char c = (unsigned char)key.ptr[i];

        if (c >= 'A' && c <= 'Z')
            c = (unsigned char)(c - 'A' + 'a');
        h = mix(h ^ c, 0xe7037ed1a0b428db);
    }
    return h;
}

void
map_init(struct map *m)
{
    *m = (struct map){ 0 };
}

void
map_fini(struct map *m)
{
    mem_free(m->buckets);
    *m = (struct map){ 0 };
}

static struct map_node **
bucket_of(const struct map *m, uint64_t hash)
{
    return &m->buckets[hash & (m->size - 1)];
}

struct map_node *
map_find(const struct map *m, uint64_t hash, map_same_fn same, const void *key)
{
    if (m->size == 0)
        return NULL;
    for (struct map_node *n = *bucket_of(m, hash); n != NULL; n = n->next)
        if (n->hash == hash && same(n, key))
            return n;
    return NULL;
}

static void
grow(struct map *m, size_t size)
{
    struct map old = *m;

    m->size = size;
    m->buckets = mem_alloc_array(m->size, sizeof(struct map_node *));
    for (size_t i = 0; i < old.size; i++) {
        struct map_node *next;

        for (struct map_node *n = old.buckets[i]; n != NULL; n = next) {
            struct map_node **to = bucket_of(m, n->hash);

            next = n->next;
            n->next = *to;
            *to = n;
        }
    }
    mem_free(old.buckets);
}

void
map_reserve(struct map *m, size_t count)
{
    size_t size = m->size == 0 ? MAP_MIN : m->size;

    while (size < count)
        size *= 2;
    if (size > m->size)
        grow(m, size);
}

void
map_prefetch(const struct map *m, uint64_t hash)
{
    if (m->size > 0)
        __builtin_prefetch(bucket_of(m, hash), 1);
}

void
map_add(struct map *m, uint64_t hash, struct map_node *node)
{
    struct map_node **to;

    map_reserve(m, m->count + 1);
    to = bucket_of(m, hash);
    node->hash = hash;
    node->next = *to;
    *to = node;
    m->count++;
}

void
map_remove(struct map *m, struct map_node *node)
{
    struct map_node **at = bucket_of(m, node->hash);

    while (*at != node) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    m->count--;
}

static struct map_node *
first_from(const struct map *m, size_t i)
{
    for (; i < m->size; i++)
        if (m->buckets[i] != NULL)
            return m->buckets[i];
    return NULL;
}

struct map_node *
map_first(const struct map *m)
{
    return first_from(m, 0);
}

struct map_node *
map_after(const struct map *m, const struct map_node *node)
{
    if (node->next != NULL)
        return node->next;
    return first_from(m, (node->hash & (m->size - 1)) + 1);
}

static uint64_t
reverse_bits(uint64_t n)
{
    static const uint64_t masks[] = { 0x5555555555555555, 0x3333333333333333,
        0x0f0f0f0f0f0f0f0f };

    for (unsigned i = 0; i < 3; i++)
        n = (n >> (1U << i) & masks[i]) | (n & masks[i]) << (1U << i);
    return __builtin_bswap64(n);
}

/*
 * The cursor counts with its highest bit as the units. When the table grows,
 * bucket n becomes n and those that have its bits as their lowest: next to each
 * other in this order, so what was visited stays behind the cursor.
 */
struct map_node *
map_step(const struct map *m, uint64_t *cursor)
{
    uint64_t mask = m->size - 1;
    struct map_node *first;

    if (m->size == 0) {
        *cursor = 0;
        return NULL;
    }
    first = m->buckets[*cursor & mask];
    *cursor = reverse_bits(reverse_bits(*cursor | ~mask) + 1);
    return first;
}

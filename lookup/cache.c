#include "lookup/cache.h"

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"

enum { TTL_MAX = 24 * 3600 };

struct entry {
    struct map_node node;
    struct list link; /* least used first */
    int64_t until_ms;
    enum dns_type type;
    size_t name_len, len;
    char text[]; /* name, then the octets */
};

struct cache {
    struct map entries;
    struct list order;
    size_t octets, limit;
};

struct key {
    struct slice name;
    enum dns_type type;
};

static struct entry *
of_node(const struct map_node *node)
{
    return (struct entry *)((uintptr_t)node - offsetof(struct entry, node));
}

static size_t
weight(const struct entry *e)
{
    return sizeof(*e) + e->name_len + e->len;
}

static bool
same(const struct map_node *node, const void *key)
{
    const struct entry *e = of_node(node);
    const struct key *k = key;

    return e->type == k->type &&
        slice_eq_nocase((struct slice){ e->text, e->name_len }, k->name);
}

static uint64_t
hash(const struct key *k)
{
    return map_hash_slice_nocase(k->name) ^ map_hash_u64(k->type);
}

struct cache *
cache_new(size_t octets)
{
    struct cache *c = mem_alloc(sizeof(*c));

    map_init(&c->entries);
    list_init(&c->order);
    c->limit = octets;
    return c;
}

static void
remove_entry(struct cache *c, struct entry *e)
{
    map_remove(&c->entries, &e->node);
    list_remove(&e->link);
    c->octets -= weight(e);
    mem_free(e);
}

void
cache_clear(struct cache *c)
{
    while (!list_empty(&c->order))
        remove_entry(c, LIST_ENTRY(c->order.next, struct entry, link));
}

void
cache_free(struct cache *c)
{
    if (c == NULL)
        return;
    cache_clear(c);
    map_fini(&c->entries);
    mem_free(c);
}

static struct entry *
find(struct cache *c, const struct key *k)
{
    struct map_node *node = map_find(&c->entries, hash(k), same, k);

    return node == NULL ? NULL : of_node(node);
}

bool
cache_find(struct cache *c, struct slice name, enum dns_type type,
    struct slice *octets)
{
    struct key k = { name, type };
    struct entry *e = find(c, &k);

    if (e == NULL)
        return false;
    if (e->until_ms <= clock_now_ms()) {
        remove_entry(c, e);
        return false;
    }
    list_remove(&e->link);
    list_append(&c->order, &e->link);
    *octets = (struct slice){ e->text + e->name_len, e->len };
    return true;
}

void
cache_put(struct cache *c, struct slice name, enum dns_type type,
    struct slice octets, uint32_t ttl)
{
    struct key k = { name, type };
    struct entry *e = find(c, &k);

    if (e != NULL)
        remove_entry(c, e);
    if (ttl == 0 || sizeof(*e) + name.len + octets.len > c->limit / 8)
        return;
    e = mem_alloc(sizeof(*e) + name.len + octets.len);
    e->type = type;
    e->name_len = name.len;
    e->len = octets.len;
    e->until_ms = clock_now_ms() +
        (int64_t)(ttl < TTL_MAX ? ttl : TTL_MAX) * 1000;
    memcpy(e->text, name.ptr, name.len);
    memcpy(e->text + name.len, octets.ptr, octets.len);
    map_add(&c->entries, hash(&k), &e->node);
    list_append(&c->order, &e->link);
    c->octets += weight(e);
    while (c->octets > c->limit)
        remove_entry(c, LIST_ENTRY(c->order.next, struct entry, link));
}

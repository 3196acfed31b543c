/*
 * cache - cache:{60s, type:name}: what type:name answered, found or not, is good
 * for that long. Each process has its own; errors are not kept.
 */
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/table/table_type.h"

enum {
    ENTRIES_MAX = 10000, /* the oldest goes first */
    VALUE_MAX = 16384,   /* octets; longer ones are not kept */
};

struct entry {
    struct map_node node;
    struct list link; /* oldest first */
    struct slice key; /* behind the struct, and the value behind it */
    struct slice value;
    enum table_status status;
    int64_t until_ms;
};

struct cache {
    struct table *table;
    int64_t keep_ms;
    struct map map;
    struct list order;
};

static struct entry *
of_node(struct map_node *node)
{
    _Static_assert(offsetof(struct entry, node) == 0, "cast below");
    return (struct entry *)node;
}

static bool
same_key(const struct map_node *node, const void *key)
{
    return slice_eq(((const struct entry *)node)->key,
        *(const struct slice *)key);
}

static void
forget(struct cache *c, struct entry *e)
{
    map_remove(&c->map, &e->node);
    list_remove(&e->link);
    mem_free(e);
}

static void
cache_close(struct table *t)
{
    struct cache *c = t->state;

    while (!list_empty(&c->order))
        forget(c, LIST_ENTRY(c->order.next, struct entry, link));
    map_fini(&c->map);
    table_close(c->table);
    mem_free(c);
}

static enum result
cache_open(struct table *t, const struct config *config, struct why *why)
{
    struct slice rest, time, spec, more;
    struct cache *c;
    struct table *table;
    int64_t keep_ms;
    enum result res;

    if (!table_take_off_braces(slice_of(t->name), &rest) ||
        !config_list_next(&rest, &time) || !config_list_next(&rest, &spec) ||
        config_list_next(&rest, &more) ||
        !config_parse_time(time, 's', &keep_ms) || keep_ms <= 0)
        return why_perm(why, "5.3.5",
            "bad syntax: \"%s\"; need \"cache:{time, type:name}\"", t->spec);
    res = table_open_with(spec, t->open_flags, config, &table, why);
    if (res != RESULT_OK)
        return res;
    c = mem_alloc(sizeof(*c));
    c->table = table;
    c->keep_ms = keep_ms;
    list_init(&c->order);
    t->state = c;
    t->flags = table->flags & (TABLE_WHOLE_KEYS | TABLE_KEEP_CASE);
    return RESULT_OK;
}

static struct entry *
find(const struct cache *c, struct slice key)
{
    struct map_node *node = map_find(&c->map, map_hash_slice(key), same_key,
        &key);

    return node == NULL ? NULL : of_node(node);
}

/* Entries are in the order of their ends. */
static void
make_room(struct cache *c)
{
    const int64_t now = clock_now_ms();

    while (!list_empty(&c->order)) {
        struct entry *e = LIST_ENTRY(c->order.next, struct entry, link);

        if (e->until_ms > now && c->map.count < ENTRIES_MAX)
            break;
        forget(c, e);
    }
}

static void
keep(struct cache *c, struct slice key, enum table_status status,
    struct slice value)
{
    struct entry *e = find(c, key);
    char *octets;

    if (e != NULL)
        forget(c, e);
    make_room(c);
    if (key.len > TABLE_KEY_MAX || value.len > VALUE_MAX)
        return;
    e = mem_alloc(sizeof(*e) + key.len + value.len);
    octets = (char *)(e + 1);
    if (key.len > 0)
        memcpy(octets, key.ptr, key.len);
    if (value.len > 0)
        memcpy(octets + key.len, value.ptr, value.len);
    e->key = (struct slice){ octets, key.len };
    e->value = (struct slice){ octets + key.len, value.len };
    e->status = status;
    e->until_ms = clock_now_ms() + c->keep_ms;
    map_add(&c->map, map_hash_slice(key), &e->node);
    list_append(&c->order, &e->link);
}

static enum table_status
cache_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    struct cache *c = t->state;
    const struct entry *e = find(c, key);
    enum table_status status;

    if (e != NULL && e->until_ms > clock_now_ms()) {
        buf_add(value, e->value);
        return e->status;
    }
    status = table_find_unfolded(c->table, key, value, why);
    if (status != TABLE_ERROR)
        keep(c, key, status, buf_slice(value));
    return status;
}

static enum table_status
cache_walk(struct table *t, table_walk_fn fn, void *context, struct why *why)
{
    const struct cache *c = t->state;

    return table_walk(c->table, fn, context, why);
}

const struct table_type table_type_cache = {
    .name = "cache",
    .open = cache_open,
    .find = cache_find,
    .walk = cache_walk,
    .close = cache_close,
};

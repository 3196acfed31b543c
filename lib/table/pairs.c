#include "lib/table/pairs.h"

void
pairs_init(struct pairs *p)
{
    arena_init(&p->arena, PAIRS_MAX);
    map_init(&p->map);
    p->first = NULL;
    p->last = &p->first;
}

void
pairs_fini(struct pairs *p)
{
    map_fini(&p->map);
    arena_clear(&p->arena);
    p->first = NULL;
    p->last = &p->first;
}

static bool
same_key(const struct map_node *node, const void *key)
{
    const struct pair *pair = (const struct pair *)node;

    _Static_assert(offsetof(struct pair, node) == 0, "cast above");
    return slice_eq(pair->key, *(const struct slice *)key);
}

static void
fold(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] - 'A' + 'a');
}

/* The key is in the arena. */
static bool
append(struct pairs *p, struct slice key, struct slice value)
{
    struct pair *pair = arena_alloc(&p->arena, sizeof(*pair));

    if (pair == NULL || !arena_slice(&p->arena, value, &pair->value))
        return false;
    pair->key = key;
    map_add(&p->map, map_hash_slice(key), &pair->node);
    *p->last = pair;
    p->last = &pair->next;
    return true;
}

static struct pair *
find(const struct pairs *p, struct slice key)
{
    return (
        struct pair *)map_find(&p->map, map_hash_slice(key), same_key, &key);
}

enum pairs_added
pairs_add(struct pairs *p, struct slice key, struct slice value)
{
    char *folded = arena_text(&p->arena, key);

    if (folded == NULL)
        return PAIRS_FULL;
    fold(folded, key.len);
    key.ptr = folded;
    if (find(p, key) != NULL)
        return PAIRS_DUPLICATE;
    return append(p, key, value) ? PAIRS_ADDED : PAIRS_FULL;
}

bool
pairs_put(struct pairs *p, struct slice key, struct slice value,
    enum pairs_how how, bool *there)
{
    struct pair *pair = find(p, key);
    struct slice kept;

    *there = pair != NULL;
    if (pair == NULL)
        return arena_slice(&p->arena, key, &kept) && append(p, kept, value);
    return how == PAIRS_KEEP || arena_slice(&p->arena, value, &pair->value);
}

bool
pairs_remove(struct pairs *p, struct slice key)
{
    struct pair *pair = find(p, key);

    if (pair == NULL)
        return false;
    map_remove(&p->map, &pair->node);
    pair->removed = true;
    return true;
}

const struct pair *
pairs_get(const struct pairs *p, struct slice key)
{
    return find(p, key);
}

enum table_status
pairs_find(const struct pairs *p, struct slice key, struct buf *value)
{
    const struct pair *pair = find(p, key);

    if (pair == NULL)
        return TABLE_NOT_FOUND;
    buf_add(value, pair->value);
    return TABLE_FOUND;
}

void
pairs_walk(const struct pairs *p, table_walk_fn fn, void *context)
{
    for (const struct pair *pair = p->first; pair != NULL; pair = pair->next)
        if (!pair->removed && !fn(context, pair->key, pair->value))
            return;
}

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

enum pairs_added
pairs_add(struct pairs *p, struct slice key, struct slice value)
{
    struct pair *pair = arena_alloc(&p->arena, sizeof(*pair));
    char *folded = arena_text(&p->arena, key);

    if (pair == NULL || folded == NULL ||
        !arena_slice(&p->arena, value, &pair->value))
        return PAIRS_FULL;
    fold(folded, key.len);
    pair->key = (struct slice){ folded, key.len };
    if (map_find(&p->map, map_hash_slice(pair->key), same_key, &pair->key))
        return PAIRS_DUPLICATE;
    map_add(&p->map, map_hash_slice(pair->key), &pair->node);
    *p->last = pair;
    p->last = &pair->next;
    return PAIRS_ADDED;
}

enum table_status
pairs_find(const struct pairs *p, struct slice key, struct buf *value)
{
    const struct pair *pair = (const struct pair *)map_find(&p->map,
        map_hash_slice(key), same_key, &key);

    if (pair == NULL)
        return TABLE_NOT_FOUND;
    buf_add(value, pair->value);
    return TABLE_FOUND;
}

void
pairs_walk(const struct pairs *p, table_walk_fn fn, void *context)
{
    for (const struct pair *pair = p->first; pair != NULL; pair = pair->next)
        if (!fn(context, pair->key, pair->value))
            return;
}

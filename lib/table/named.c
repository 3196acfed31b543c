#include "lib/table/named.h"

#include "lib/base/mem.h"
#include "lib/table/table_type.h"

struct named {
    struct map_node node;
    bool direct, proxied; /* how it is named */
    bool proxy_allowed;   /* proxy_read_maps has it */
    char *spec;
};

static struct named *
of_node(const struct map_node *node)
{
    _Static_assert(offsetof(struct named, node) == 0, "cast below");
    return (struct named *)(uintptr_t)node;
}

static bool
same(const struct map_node *node, const void *key)
{
    return slice_eq_text(*(const struct slice *)key, of_node(node)->spec);
}

static struct named *
find(const struct named_tables *n, struct slice spec)
{
    struct map_node *node = map_find(&n->map, map_hash_slice(spec), same,
        &spec);

    return node == NULL ? NULL : of_node(node);
}

static struct named *
find_or_add(struct named_tables *n, struct slice spec)
{
    struct named *t = find(n, spec);

    if (t == NULL) {
        t = mem_alloc(sizeof(*t));
        t->spec = mem_text_of(spec);
        map_add(&n->map, map_hash_slice(spec), &t->node);
    }
    return t;
}

static bool
is_remote(struct slice spec)
{
    size_t colon = slice_find(spec, ':');
    const struct table_type *type = table_type_find(slice_head(spec, colon));

    return colon < spec.len && type != NULL &&
        (type->flags & TABLE_REMOTE) != 0;
}

enum where { ANYWHERE, PROXY_READ_MAPS };

static void
take_word(struct named_tables *n, struct slice word, enum where where)
{
    const struct slice proxy = SLICE_LIT("proxy:");
    bool proxied = false;
    struct named *t;

    while (word.len > 0 && word.ptr[0] == '!')
        word = slice_skip(word, 1);
    while (slice_starts(word, proxy)) {
        word = slice_skip(word, proxy.len);
        proxied = true;
    }
    if (!is_remote(word) || (where == PROXY_READ_MAPS && !proxied))
        return;
    t = find_or_add(n, word);
    if (where == PROXY_READ_MAPS)
        t->proxy_allowed = true;
    else if (proxied)
        t->proxied = true;
    else
        t->direct = true;
}

static void
take_text(struct named_tables *n, struct slice text, enum where where)
{
    struct slice word;

    while (slice_word(&text, " \t\r\n,{}", &word))
        take_word(n, word, where);
}

static void
take_any(void *context, const char *text)
{
    take_text(context, slice_of(text), ANYWHERE);
}

void
named_tables_init(struct named_tables *n, const struct config_set *set)
{
    map_init(&n->map);
    config_each_text(set, take_any, n);
    take_text(n, slice_of(config_main(set)->proxy_read_maps), PROXY_READ_MAPS);
}

void
named_tables_fini(struct named_tables *n)
{
    struct map_node *node, *after;

    for (node = map_first(&n->map); node != NULL; node = after) {
        struct named *t = of_node(node);

        after = map_after(&n->map, node);
        map_remove(&n->map, node);
        mem_free(t->spec);
        mem_free(t);
    }
    map_fini(&n->map);
}

static bool
is_allowed(const struct named *t)
{
    return t->direct || (t->proxied && t->proxy_allowed);
}

bool
named_tables_has(const struct named_tables *n, struct slice spec)
{
    const struct named *t = find(n, spec);

    return t != NULL && is_allowed(t);
}

void
named_tables_each(const struct named_tables *n,
    void (*fn)(void *context, struct slice spec), void *context)
{
    for (struct map_node *node = map_first(&n->map); node != NULL;
         node = map_after(&n->map, node))
        if (is_allowed(of_node(node)))
            fn(context, slice_of(of_node(node)->spec));
}

#include "qmgr/past.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

struct name {
    struct map_node node;
    struct list link;
    int64_t until_ms;
    char *text;
    size_t len;
};

void
past_init(struct past *p, int64_t keep_ms)
{
    *p = (struct past){ .keep_ms = keep_ms };
    list_init(&p->order);
}

static void
forget(struct past *p, struct name *n)
{
    map_remove(&p->names, &n->node);
    list_remove(&n->link);
    mem_free(n->text);
    mem_free(n);
}

void
past_fini(struct past *p)
{
    list_foreach_safe (it, &p->order)
        forget(p, LIST_ENTRY(it, struct name, link));
    map_fini(&p->names);
}

static bool
same_name(const struct map_node *node, const void *key)
{
    const struct name *n = (const struct name *)(const void *)node;

    return slice_eq((struct slice){ n->text, n->len },
        *(const struct slice *)key);
}

static struct name *
find(const struct past *p, struct slice name)
{
    struct map_node *n = map_find(&p->names, map_hash_slice(name), same_name,
        &name);

    return n == NULL ? NULL : LIST_ENTRY(n, struct name, node);
}

void
past_add(struct past *p, struct slice name)
{
    int64_t now = clock_now_ms();
    struct name *n = find(p, name);

    if (n != NULL)
        forget(p, n);
    list_foreach_safe (it, &p->order) {
        struct name *old = LIST_ENTRY(it, struct name, link);

        if (old->until_ms > now && p->names.count < PAST_MAX)
            break;
        forget(p, old);
    }
    n = mem_alloc(sizeof(*n));
    n->text = mem_text_of(name);
    n->len = name.len;
    n->until_ms = now + p->keep_ms;
    map_add(&p->names, map_hash_slice(name), &n->node);
    list_append(&p->order, &n->link);
}

bool
past_has(const struct past *p, struct slice name)
{
    struct name *n = find(p, name);

    return n != NULL && n->until_ms > clock_now_ms();
}

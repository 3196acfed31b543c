#include "qmgr/drops.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum {
    STAY_MS = 1000,
    REMEMBERED_MS = 3600 * 1000,
};

struct drop {
    struct map_node by_name, by_id;
    uint64_t id;
    int64_t stay_until_ms;
    size_t len;
    char name[];
};

void
drops_init(struct qmgr *q)
{
    map_init(&q->drops_by_name);
    map_init(&q->drops_by_id);
    past_init(&q->drops_past, REMEMBERED_MS);
}

static bool
same_name(const struct map_node *node, const void *key)
{
    const struct drop *d = (const struct drop *)(const void *)node;

    return slice_eq((struct slice){ d->name, d->len },
        *(const struct slice *)key);
}

static bool
same_id(const struct map_node *node, const void *key)
{
    const char *at = (const char *)(const void *)node;
    const struct drop *d = (const void *)(at - offsetof(struct drop, by_id));

    return d->id == *(const uint64_t *)key;
}

bool
drops_known(struct qmgr *q, struct slice name, uint64_t *id)
{
    struct map_node *n;

    *id = 0;
    if (name.len == 0)
        return false;
    n = map_find(&q->drops_by_name, map_hash_slice(name), same_name, &name);
    if (n == NULL)
        return past_has(&q->drops_past, name);
    *id = LIST_ENTRY(n, struct drop, by_name)->id;
    return true;
}

static struct drop *
find(const struct qmgr *q, const struct entry *e)
{
    struct map_node *n;

    if ((e->flags & ENTRY_DROPPED) == 0)
        return NULL;
    n = map_find(&q->drops_by_id, map_hash_u64(e->id), same_id, &e->id);
    return n == NULL ? NULL : LIST_ENTRY(n, struct drop, by_id);
}

void
drops_add(struct qmgr *q, const struct entry *e, struct slice name)
{
    struct drop *d = mem_alloc(sizeof(*d) + name.len);

    d->id = e->id;
    d->len = name.len;
    memcpy(d->name, name.ptr, name.len);
    d->stay_until_ms = clock_now_ms() + STAY_MS;
    map_add(&q->drops_by_name, map_hash_slice(name), &d->by_name);
    map_add(&q->drops_by_id, map_hash_u64(e->id), &d->by_id);
}

int64_t
drops_wait_ms(const struct qmgr *q, const struct entry *e)
{
    struct drop *d = find(q, e);

    return d == NULL ? 0 : d->stay_until_ms - clock_now_ms();
}

static void
drop_free(struct qmgr *q, struct drop *d)
{
    map_remove(&q->drops_by_name, &d->by_name);
    map_remove(&q->drops_by_id, &d->by_id);
    mem_free(d);
}

void
drops_remove(struct qmgr *q, const struct entry *e, enum drops_end end)
{
    struct drop *d = find(q, e);

    if (d == NULL)
        return;
    if (end == DROPS_LEFT)
        past_add(&q->drops_past, (struct slice){ d->name, d->len });
    drop_free(q, d);
}

void
drops_fini(struct qmgr *q)
{
    struct map_node *next;

    for (struct map_node *n = map_first(&q->drops_by_name); n != NULL;
         n = next) {
        next = map_after(&q->drops_by_name, n);
        drop_free(q, LIST_ENTRY(n, struct drop, by_name));
    }
    map_fini(&q->drops_by_name);
    map_fini(&q->drops_by_id);
    past_fini(&q->drops_past);
}

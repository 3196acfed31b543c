#include "qmgr/adopted.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"

#include <string.h>

struct moved_id {
    struct map_node node; /* first */
    uint64_t id;
};

/* A RECORD_META of ours: of one spool, and by its place. */
struct record {
    struct list link;
    struct map_node node; /* of q->adopted_places */
    struct spool_place place;
};

void
adopted_init(struct qmgr *q)
{
    list_init(&q->adopted);
    map_init(&q->adopted_places);
}

static uint64_t
hash_place(const struct spool_place *p)
{
    return map_hash_u64((uint64_t)p->segment << 32 | p->offset);
}

static struct record *
record_of(const struct map_node *node)
{
    const char *at = (const char *)(const void *)node;

    return (struct record *)(uintptr_t)(at - offsetof(struct record, node));
}

static bool
same_place(const struct map_node *node, const void *key)
{
    return place_same(&record_of(node)->place, key);
}

static struct record *
find_record(const struct qmgr *q, const struct spool_place *place)
{
    struct map_node *n = map_find(&q->adopted_places, hash_place(place),
        same_place, place);

    return n == NULL ? NULL : record_of(n);
}

static bool
same_id(const struct map_node *node, const void *key)
{
    return ((const struct moved_id *)(const void *)node)->id ==
        *(const uint64_t *)key;
}

bool
adopted_has(const struct adopted *a, uint64_t id)
{
    return map_find(&a->ids, map_hash_u64(id), same_id, &id) != NULL;
}

static void
forget_ids(struct adopted *a)
{
    struct map_node *node = map_first(&a->ids);

    while (node != NULL) {
        struct map_node *after = map_after(&a->ids, node);

        mem_free(LIST_ENTRY(node, struct moved_id, node));
        node = after;
    }
    map_fini(&a->ids);
    map_init(&a->ids);
}

static void
forget_records(struct qmgr *q, struct adopted *a)
{
    struct list *it;

    while ((it = list_take(&a->records)) != NULL) {
        struct record *r = LIST_ENTRY(it, struct record, link);

        map_remove(&q->adopted_places, &r->node);
        mem_free(r);
    }
}

void
adopted_fini(struct qmgr *q)
{
    struct list *it;

    while ((it = list_take(&q->adopted)) != NULL) {
        struct adopted *a = LIST_ENTRY(it, struct adopted, link);

        forget_records(q, a);
        forget_ids(a);
        map_fini(&a->ids);
        mem_free(a);
    }
    map_fini(&q->adopted_places);
}

struct adopted *
adopted_find(const struct qmgr *q, struct slice spool)
{
    list_foreach (it, &q->adopted) {
        struct adopted *a = LIST_ENTRY(it, struct adopted, link);

        if (slice_eq_text(spool, a->spool))
            return a;
    }
    return NULL;
}

static struct adopted *
add(struct qmgr *q, struct slice spool)
{
    struct adopted *a = mem_alloc(sizeof(*a));

    memcpy(a->spool, spool.ptr, sizeof(a->spool) - 1);
    map_init(&a->ids);
    list_init(&a->records);
    list_append(&q->adopted, &a->link);
    return a;
}

static void
add_ids(struct adopted *a, const struct adopted_record *r)
{
    uint64_t id;

    for (struct slice rest = r->ids; adopted_record_next(&rest, &id);) {
        struct moved_id *m;

        if (adopted_has(a, id))
            continue;
        m = mem_alloc(sizeof(*m));
        m->id = id;
        map_add(&a->ids, map_hash_u64(id), &m->node);
    }
}

void
adopted_found(struct qmgr *q, const struct adopted_record *r,
    const struct spool_place *place)
{
    struct adopted *a = adopted_find(q, r->spool);
    struct record *record;

    if (a == NULL)
        a = add(q, r->spool);
    /* What is complete stays so, whichever record comes first. */
    if (a->complete) {
        q->outside->dead(q->context, place);
        return;
    }
    if (r->complete) {
        a->complete = true;
        forget_ids(a);
        list_foreach (it, &a->records)
            q->outside->dead(q->context,
                &LIST_ENTRY(it, struct record, link)->place);
        forget_records(q, a);
    } else {
        add_ids(a, r);
    }
    record = mem_alloc(sizeof(*record));
    record->place = *place;
    list_append(&a->records, &record->link);
    map_add(&q->adopted_places, hash_place(place), &record->node);
}

void
adopted_tell(const struct qmgr *q)
{
    list_foreach (it, &q->adopted) {
        const struct adopted *a = LIST_ENTRY(it, struct adopted, link);

        if (!a->complete)
            log_warning("spool %s is adopted in part: %zu messages; "
                        "\"postern adopt-spool\" on it fetches the others",
                a->spool, a->ids.count);
    }
}

bool
adopted_is_live(const struct qmgr *q, const struct spool_place *place)
{
    return find_record(q, place) != NULL;
}

bool
adopted_moved(struct qmgr *q, const struct spool_place *from,
    const struct spool_place *to)
{
    struct record *r = find_record(q, from);

    if (r == NULL)
        return false;
    map_remove(&q->adopted_places, &r->node);
    r->place = *to;
    map_add(&q->adopted_places, hash_place(to), &r->node);
    return true;
}

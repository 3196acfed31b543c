#include "qmgr/index.h"

#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "lib/base/slice.h"
#include "qmgr/lane.h"

#include <assert.h>

void
index_init(struct index *ix)
{
    *ix = (struct index){ 0 };
}

static void
free_all(struct map *m)
{
    struct map_node *next;

    /* The node is the first member of what is in both maps. */
    for (struct map_node *n = map_first(m); n != NULL; n = next) {
        next = map_after(m, n);
        map_remove(m, n);
        mem_free(n);
    }
    map_fini(m);
}

void
index_fini(struct index *ix)
{
    free_all(&ix->entries);
    free_all(&ix->parts);
    map_fini(&ix->lanes);
    heap_fini(&ix->incoming);
    heap_fini(&ix->timers);
    *ix = (struct index){ 0 };
}

static bool
same_entry(const struct map_node *node, const void *key)
{
    return ((const struct entry *)(const void *)node)->id ==
        *(const uint64_t *)key;
}

static bool
same_part(const struct map_node *node, const void *key)
{
    return ((const struct part *)(const void *)node)->id ==
        *(const uint64_t *)key;
}

struct entry *
index_find(const struct index *ix, uint64_t id)
{
    struct map_node *n = map_find(&ix->entries, map_hash_u64(id), same_entry,
        &id);

    return n == NULL ? NULL : LIST_ENTRY(n, struct entry, node);
}

struct entry *
index_begin(struct index *ix, uint64_t id, enum entry_state state)
{
    struct entry *e = mem_alloc(sizeof(*e));

    static_assert(offsetof(struct entry, node) == 0, "free_all() frees nodes");
    static_assert(offsetof(struct part, node) == 0, "free_all() frees nodes");
    e->id = id;
    e->state = (uint8_t)state;
    e->node.hash = map_hash_u64(id);
    ix->states[state]++;
    map_prefetch(&ix->entries, e->node.hash);
    return e;
}

void
index_enter(struct index *ix, struct entry *e)
{
    map_add(&ix->entries, e->node.hash, &e->node);
}

struct entry *
index_add(struct index *ix, uint64_t id, enum entry_state state)
{
    struct entry *e = index_begin(ix, id, state);

    index_enter(ix, e);
    return e;
}

static void
leave_heaps(struct index *ix, struct entry *e)
{
    if (e->timer.slot == 0)
        return;
    if ((e->flags & ENTRY_PARKED) != 0)
        lane_unpark(ix, e);
    else if (e->state == ENTRY_INCOMING)
        heap_remove(&ix->incoming, &e->timer);
    else
        heap_remove(&ix->timers, &e->timer);
}

void
entry_set_state(struct index *ix, struct entry *e, enum entry_state state)
{
    leave_heaps(ix, e);
    ix->states[e->state]--;
    e->state = (uint8_t)state;
    ix->states[state]++;
}

void
index_remove(struct index *ix, struct entry *e)
{
    leave_heaps(ix, e);
    ix->states[e->state]--;
    map_remove(&ix->entries, &e->node);
    mem_free(e);
}

void
index_add_part(struct index *ix, struct entry *e,
    const struct spool_place *place)
{
    struct part *p = mem_alloc(sizeof(*p));

    p->id = e->id;
    p->place = *place;
    e->flags |= ENTRY_PARTS;
    map_add(&ix->parts, map_hash_u64(e->id), &p->node);
}

static struct part *
find_part(const struct index *ix, const struct entry *e)
{
    struct map_node *n;

    if ((e->flags & ENTRY_PARTS) == 0)
        return NULL;
    n = map_find(&ix->parts, map_hash_u64(e->id), same_part, &e->id);
    return n == NULL ? NULL : LIST_ENTRY(n, struct part, node);
}

bool
index_take_part(struct index *ix, struct entry *e, struct spool_place *place)
{
    struct part *p = find_part(ix, e);

    if (p == NULL) {
        e->flags &= (uint16_t)~ENTRY_PARTS;
        return false;
    }
    *place = p->place;
    map_remove(&ix->parts, &p->node);
    mem_free(p);
    return true;
}

bool
index_drop_part(struct index *ix, struct entry *e,
    const struct spool_place *place)
{
    struct part *p = find_part(ix, e);

    for (struct map_node *n = p == NULL ? NULL : &p->node; n != NULL;
         n = n->next) {
        struct part *one = LIST_ENTRY(n, struct part, node);

        if (one->id != e->id || !place_same(&one->place, place))
            continue;
        map_remove(&ix->parts, &one->node);
        mem_free(one);
        return true;
    }
    return false;
}

size_t
index_parts(const struct index *ix, const struct entry *e,
    struct spool_place *places, size_t max)
{
    struct part *p = find_part(ix, e);
    size_t count = 0;

    /* Those of one id have one hash, so they are in one chain. */
    for (struct map_node *n = p == NULL ? NULL : &p->node; n != NULL;
         n = n->next) {
        const struct part *one = LIST_ENTRY(n, struct part, node);

        if (one->id != e->id)
            continue;
        if (count < max)
            places[count] = one->place;
        count++;
    }
    return count;
}

/* Where e keeps the place of the record at place; NULL: nowhere. */
static struct spool_place *
find_place(const struct index *ix, struct entry *e,
    const struct spool_place *place)
{
    struct spool_place *known[] = { &e->place, &e->content, &e->status,
        &e->hold };
    struct part *p;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (place_same(known[i], place))
            return known[i];
    p = find_part(ix, e);
    for (struct map_node *n = p == NULL ? NULL : &p->node; n != NULL;
         n = n->next) {
        struct part *one = LIST_ENTRY(n, struct part, node);

        if (one->id == e->id && place_same(&one->place, place))
            return &one->place;
    }
    return NULL;
}

bool
index_is_live(const struct index *ix, const struct spool_found *f)
{
    struct entry *e = index_find(ix, f->id);

    return e != NULL && find_place(ix, e, &f->place) != NULL;
}

bool
index_moved(struct index *ix, const struct spool_move *m)
{
    struct entry *e = index_find(ix, m->found.id);
    struct spool_place *place;

    if (e == NULL)
        return false;
    place = find_place(ix, e, &m->found.place);
    if (place == NULL)
        return false;
    *place = m->to;
    if (place_is_set(&m->content_to))
        e->content = m->content_to;
    return true;
}

uint32_t
index_site(struct slice address)
{
    size_t at = slice_rfind(address, '@');
    struct slice domain = at < address.len ? slice_skip(address, at + 1)
                                           : address;
    uint32_t site = 0;

    for (size_t i = 0; i < domain.len; i++) {
        char c = domain.ptr[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        site = crc32c(site, &c, 1);
    }
    return site == 0 ? 1 : site;
}

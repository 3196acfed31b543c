/*
 * How long a REMOVE must be kept: as long as a segment is left that has its
 * message, or recovery would find the message without it.
 *
 * Mostly that is one segment, which the record names. A message can be in two
 * of them when the cleaner did not get to the end with the first, because of a
 * crash or a failing disk: such messages are noted here.
 */
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "qmgr/spool/state.h"

struct doubled {
    struct map_node node; /* first */
    uint64_t id;
    uint64_t limit; /* no segment above this generation has it */
};

static bool
same_id(const struct map_node *node, const void *key)
{
    const struct doubled *d = (const void *)node;
    const uint64_t *id = key;

    return d->id == *id;
}

static struct doubled *
find(const struct spool *s, uint64_t id)
{
    struct map_node *node = map_find(&s->doubled, map_hash_u64(id), same_id,
        &id);

    return node == NULL ? NULL : LIST_ENTRY(node, struct doubled, node);
}

void
target_note_double(struct spool *s, uint64_t id)
{
    struct doubled *d = find(s, id);

    if (d == NULL) {
        d = mem_alloc(sizeof(*d));
        d->id = id;
        map_add(&s->doubled, map_hash_u64(id), &d->node);
    }
    d->limit = s->generation;
}

void
target_fini(struct spool *s)
{
    struct map_node *node = map_first(&s->doubled);

    while (node != NULL) {
        struct map_node *after = map_after(&s->doubled, node);

        mem_free(LIST_ENTRY(node, struct doubled, node));
        node = after;
    }
    map_fini(&s->doubled);
}

uint64_t
target_of_message(const struct spool *s, uint64_t id, uint64_t target)
{
    const struct doubled *d = find(s, id);
    uint64_t limit = target & ~TARGET_UP_TO;

    if (d == NULL)
        return target;
    return TARGET_UP_TO | (d->limit > limit ? d->limit : limit);
}

/* In the message's own segment both go at the same time. */
bool
target_needed(const struct spool *s, const struct segment *seg, uint64_t target)
{
    uint64_t limit = target & ~TARGET_UP_TO;

    if ((target & TARGET_UP_TO) == 0)
        return target != seg->key.generation &&
            segment_of_generation(s, target) != NULL;
    for (size_t i = 0; i < s->segment_count; i++)
        if (s->segments[i] != seg && segment_in_use(s->segments[i]) &&
            s->segments[i]->key.generation <= limit)
            return true;
    return false;
}

uint64_t
target_at(const struct spool *s, const struct spool_place *place)
{
    const struct segment *seg = segment_at(s, place);

    return seg == NULL ? s->generation | TARGET_UP_TO : seg->key.generation;
}

void
target_count(struct segment *seg, uint64_t target, uint64_t octets)
{
    for (size_t i = 0; i < seg->target_count; i++)
        if (seg->targets[i].target == target) {
            seg->targets[i].octets += octets;
            return;
        }
    seg->targets = mem_resize(seg->targets,
        (seg->target_count + 1) * sizeof(*seg->targets));
    seg->targets[seg->target_count++] = (struct target){ target, octets };
}

uint64_t
target_forget(const struct spool *s, struct segment *seg)
{
    uint64_t octets = 0;
    size_t kept = 0;

    for (size_t i = 0; i < seg->target_count; i++) {
        struct target *t = &seg->targets[i];

        if (target_needed(s, seg, t->target))
            seg->targets[kept++] = *t;
        else
            octets += t->octets;
    }
    seg->target_count = kept;
    return octets;
}

#include "qmgr/spool/finds.h"

#include "lib/base/mem.h"
#include "qmgr/spool/format.h"

#include <stdlib.h>

static int
compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

int
find_compare(const struct find *a, const struct find *b)
{
    if (a->id != b->id)
        return compare_u64(a->id, b->id);
    if (a->serial != b->serial)
        return compare_u64(a->serial, b->serial);
    if (a->part != b->part)
        return a->part < b->part ? -1 : 1;
    return a->type < b->type ? -1 : a->type > b->type;
}

static int
compare(const void *a, const void *b)
{
    return find_compare(a, b);
}

/* Mostly they are in order already: ids grow as the log does. */
static void
sort(struct run *r)
{
    for (size_t i = 1; i < r->count; i++)
        if (find_compare(&r->finds[i - 1], &r->finds[i]) > 0) {
            qsort(r->finds, r->count, sizeof(*r->finds), compare);
            return;
        }
}

bool
run_collect(struct run *r, uint32_t slot, struct slice index, size_t most)
{
    struct record_info info;

    if (most > index.len / INDEX_ENTRY_SIZE)
        most = index.len / INDEX_ENTRY_SIZE;
    r->finds = mem_alloc_array(most + 1, sizeof(*r->finds));
    for (const char *at = index.ptr;
         r->count < most && index_entry_next(&index, &info); at = index.ptr) {
        r->finds[r->count++] = (struct find){
            .id = info.id,
            .serial = info.serial,
            .entry = at,
            .slot = slot,
            .part = info.part,
            .type = info.type,
        };
        if (info.serial > r->max_serial)
            r->max_serial = info.serial;
    }
    sort(r);
    return index.len == 0;
}

void
run_fini(struct run *r)
{
    mem_free(r->finds);
    *r = (struct run){ 0 };
}

static bool
precedes(const struct position *a, const struct position *b)
{
    return find_compare(a->next, b->next) < 0;
}

/* Its first find may be later than it was. */
static void
sink(struct merge *m, size_t i)
{
    struct position moved = m->heap[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child + 1 < m->count &&
            precedes(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (child >= m->count || !precedes(&m->heap[child], &moved))
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = moved;
}

void
merge_init(struct merge *m, const struct run *runs, size_t count)
{
    m->heap = mem_alloc_array(count + 1, sizeof(*m->heap));
    m->count = 0;
    for (size_t i = 0; i < count; i++)
        if (runs[i].count > 0)
            m->heap[m->count++] = (struct position){
                .next = runs[i].finds,
                .end = runs[i].finds + runs[i].count,
            };
    for (size_t i = m->count / 2; i-- > 0;)
        sink(m, i);
}

void
merge_fini(struct merge *m)
{
    mem_free(m->heap);
    *m = (struct merge){ 0 };
}

const struct find *
merge_next(const struct merge *m)
{
    return m->count == 0 ? NULL : m->heap[0].next;
}

void
merge_skip(struct merge *m)
{
    struct position *first = &m->heap[0];

    if (++first->next == first->end)
        *first = m->heap[--m->count];
    if (m->count > 1)
        sink(m, 0);
}

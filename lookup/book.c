#include "lookup/book.h"

#include "lib/base/mem.h"

#include <string.h>

enum {
    SPAN_STEPS = 256, /* of the time over which ends are spread */
    SHARE = 10,       /* 1/SHARE of a full book goes */
};

static struct record *
record_of(struct map_node *n)
{
    return LIST_ENTRY(n, struct record, node);
}

void
book_init(struct book *b, size_t most, bool has_file)
{
    map_init(&b->records);
    list_init(&b->dirty);
    b->most = most;
    b->leaving = 0;
    b->has_file = has_file;
}

void
book_fini(struct book *b)
{
    struct map_node *next;

    for (struct map_node *n = map_first(&b->records); n != NULL; n = next) {
        next = map_after(&b->records, n);
        book_drop(b, record_of(n));
    }
    map_fini(&b->records);
}

void
book_drop(struct book *b, struct record *r)
{
    b->leaving -= r->end_s == 0;
    list_remove(&r->dirty);
    map_remove(&b->records, &r->node);
    mem_free(r);
}

static bool
is_key(const struct map_node *n, const void *key)
{
    return slice_eq(record_key(LIST_ENTRY_CONST(n, struct record, node)),
        *(const struct slice *)key);
}

static struct record *
find(const struct book *b, struct slice key)
{
    struct map_node *n = map_find(&b->records, map_hash_slice(key), is_key,
        &key);

    return n == NULL ? NULL : record_of(n);
}

static void
mark_dirty(struct book *b, struct record *r)
{
    if (!b->has_file)
        return;
    list_remove(&r->dirty);
    list_append(&b->dirty, &r->dirty);
}

static void
forget(struct book *b, struct record *r)
{
    if (!b->has_file) {
        book_drop(b, r);
        return;
    }
    b->leaving += r->end_s != 0;
    r->end_s = 0;
    mark_dirty(b, r);
}

/* The first end of a record that goes no further than the share that has to. */
static int64_t
end_of_share(const struct book *b)
{
    size_t counts[SPAN_STEPS] = { 0 }, sum = 0, step = 0;
    int64_t first = INT64_MAX, last = 0, width;
    struct map_node *n;

    for (n = map_first(&b->records); n != NULL; n = map_after(&b->records, n)) {
        int64_t end = record_of(n)->end_s;

        if (end == 0)
            continue;
        first = end < first ? end : first;
        last = end > last ? end : last;
    }
    if (last == 0)
        return 0;
    width = (last - first) / SPAN_STEPS + 1;
    for (n = map_first(&b->records); n != NULL; n = map_after(&b->records, n))
        if (record_of(n)->end_s != 0)
            counts[(record_of(n)->end_s - first) / width]++;
    while (step + 1 < SPAN_STEPS && (sum += counts[step]) < b->most / SHARE)
        step++;
    /* A far end is some process's word: no overflow by it. */
    return __builtin_mul_overflow((int64_t)(step + 1), width, &width) ||
            __builtin_add_overflow(first, width, &width)
        ? INT64_MAX
        : width;
}

/*
 * A tenth of them goes, found by how soon they end in steps of the time between
 * the first end and the last: so no order has to be kept.
 */
static void
make_room(struct book *b)
{
    int64_t end = end_of_share(b);
    size_t left = b->most / SHARE + 1;
    struct map_node *next;

    for (struct map_node *n = map_first(&b->records); n != NULL && left > 0;
         n = next) {
        struct record *r = record_of(n);

        next = map_after(&b->records, n);
        if (r->end_s == 0 || r->end_s > end)
            continue;
        forget(b, r);
        left--;
    }
}

static struct record *
add(struct book *b, struct slice key, struct slice value, int64_t end_s)
{
    struct record *old = find(b, key), *r;

    if (old != NULL)
        book_drop(b, old);
    if (b->records.count >= b->most + b->most / SHARE)
        return NULL; /* the file does not keep up: no more is forgotten */
    if (b->records.count - b->leaving >= b->most)
        make_room(b);
    r = mem_alloc(sizeof(*r) + key.len + value.len);
    list_init(&r->dirty);
    r->end_s = end_s;
    b->leaving += end_s == 0;
    r->key_len = (uint32_t)key.len;
    r->value_len = (uint32_t)value.len;
    memcpy(r->octets, key.ptr, key.len);
    if (value.len > 0)
        memcpy(r->octets + key.len, value.ptr, value.len);
    map_add(&b->records, map_hash_slice(key), &r->node);
    return r;
}

bool
book_find(struct book *b, struct slice key, int64_t now_s, struct slice *value)
{
    struct record *r = find(b, key);

    if (r == NULL || r->end_s <= now_s)
        return false;
    *value = record_value(r);
    return true;
}

void
book_keep(struct book *b, struct slice key, struct slice value, int64_t end_s,
    int64_t now_s)
{
    struct record *r;

    if (end_s <= now_s) {
        r = find(b, key);
        if (r != NULL)
            forget(b, r);
        return;
    }
    r = add(b, key, value, end_s);
    if (r != NULL)
        mark_dirty(b, r);
}

void
book_load(struct book *b, struct slice key, struct slice value, int64_t end_s)
{
    if (find(b, key) == NULL)
        (void)add(b, key, value, end_s);
}

void
book_lose_file(struct book *b)
{
    struct list *it;

    b->has_file = false;
    while ((it = list_take(&b->dirty)) != NULL) {
        struct record *r = LIST_ENTRY(it, struct record, dirty);

        list_init(&r->dirty);
        if (r->end_s == 0)
            book_drop(b, r);
    }
}

size_t
book_clean(struct book *b, int64_t now_s, size_t *retained)
{
    struct map_node *next;
    size_t forgotten = 0;

    *retained = 0;
    for (struct map_node *n = map_first(&b->records); n != NULL; n = next) {
        struct record *r = record_of(n);

        next = map_after(&b->records, n);
        if (r->end_s > now_s) {
            (*retained)++;
        } else if (r->end_s != 0) {
            forget(b, r);
            forgotten++;
        }
    }
    return forgotten;
}

struct record *
book_next_dirty(struct book *b)
{
    struct list *it = list_take(&b->dirty);

    return it == NULL ? NULL : LIST_ENTRY(it, struct record, dirty);
}

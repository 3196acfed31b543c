/*
 * cdb_write - constant databases, made: all in memory, until it is complete.
 */
#include "lib/base/mem.h"
#include "lib/base/put.h"
#include "lib/table/cdb_format.h"
#include "lib/table/pairs.h"
#include "lib/table/text.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Being written: kept in memory until it is complete. */
struct writing {
    struct pairs pairs;
    struct why *why;
    enum result result;
    int fd;
    struct buf out; /* not yet in the file */
    uint64_t at;    /* place of what is added next */
    struct slot {
        uint32_t hash, at;
    } * slots; /* of all records */
    uint32_t tables[CDB_TABLES];
};

static bool
take_present(void *context, struct slice key, struct slice value)
{
    struct writing *s = context;
    bool there;

    return pairs_put(&s->pairs, key, value, PAIRS_REPLACE, &there);
}

/* What is there, keys and values as they stand: NULs too. */
static enum result
read_present(struct table_writer *w, struct writing *s, struct why *why)
{
    struct buf text;
    struct slice all, key, value;
    struct stat st;
    uint32_t end;
    enum result res;

    buf_init(&text, TEXT_FILE_MAX);
    res = text_read_file(w->beside, &text, &st, why);
    all = buf_slice(&text);
    if (res == RESULT_OK && all.len < CDB_HEADER)
        res = why_temp(why, "4.3.0", "%s: damaged file", w->path);
    if (res == RESULT_OK) {
        end = get_le32(all.ptr);
        if (end > all.len || end < CDB_HEADER)
            end = 0;
        all = slice_skip(slice_head(all, end), CDB_HEADER);
        while (all.len >= CDB_POINTER) {
            uint32_t key_len = get_le32(all.ptr);
            uint32_t value_len = get_le32(all.ptr + 4);

            all = slice_skip(all, CDB_POINTER);
            key = slice_head(all, key_len);
            value = slice_head(slice_skip(all, key_len), value_len);
            if (key.len != key_len || value.len != value_len)
                break;
            all = slice_skip(all, (size_t)key_len + value_len);
            if (!take_present(s, key, value)) {
                res = why_perm(why, "5.3.4", "%s: table is full", w->path);
                break;
            }
        }
        if (res == RESULT_OK && (end == 0 || all.len > 0))
            res = why_temp(why, "4.3.0", "%s: damaged file", w->path);
    }
    buf_fini(&text);
    return res;
}

static enum result
write_open(struct table_writer *w, const char *path, bool update,
    struct why *why)
{
    struct writing *s = mem_alloc(sizeof(*s));

    (void)path;
    pairs_init(&s->pairs);
    buf_init(&s->out, 2 * CDB_VALUE_MAX);
    w->state = s;
    return update ? read_present(w, s, why) : RESULT_OK;
}

static enum result
write_put(struct table_writer *w, struct slice key, struct slice value,
    enum table_put how, bool *duplicate, struct why *why)
{
    struct writing *s = w->state;
    enum pairs_how pairs_how = how == TABLE_PUT_NEW ? PAIRS_KEEP
                                                    : PAIRS_REPLACE;

    if (value.len > CDB_VALUE_MAX || key.len > TABLE_KEY_MAX)
        return why_perm(why, "5.3.4", "%s: entry is too large", w->path);
    if (!pairs_put(&s->pairs, key, value, pairs_how, duplicate))
        return why_perm(why, "5.3.4", "%s: table is full", w->path);
    *duplicate = *duplicate && how == TABLE_PUT_NEW;
    return RESULT_OK;
}

static enum result
write_remove(struct table_writer *w, struct slice key, bool *found,
    struct why *why)
{
    struct writing *s = w->state;

    (void)why;
    *found = pairs_remove(&s->pairs, key);
    return RESULT_OK;
}

static void
flush(struct writing *s)
{
    struct slice rest = buf_slice(&s->out);

    while (s->result == RESULT_OK && rest.len > 0) {
        ssize_t n = write(s->fd, rest.ptr, rest.len);

        if (n >= 0)
            rest = slice_skip(rest, (size_t)n);
        else if (errno != EINTR)
            s->result = why_errno(s->why, "write");
    }
    buf_clear(&s->out);
}

static void
add(struct writing *s, struct slice octets)
{
    enum { ENOUGH = 65536 };

    buf_add(&s->out, octets);
    s->at += octets.len;
    if (s->out.len >= ENOUGH)
        flush(s);
}

static void
add_two(struct writing *s, uint32_t first, uint32_t second)
{
    uint8_t octets[CDB_POINTER];

    put_le32(octets, first);
    put_le32(octets + 4, second);
    add(s, (struct slice){ (const char *)octets, sizeof(octets) });
}

static bool
add_record(void *context, struct slice key, struct slice value)
{
    struct writing *s = context;
    struct slot *slot = s->slots++;

    slot->hash = cdb_hash(key);
    slot->at = (uint32_t)s->at;
    s->tables[slot->hash % CDB_TABLES]++;
    add_two(s, (uint32_t)key.len, (uint32_t)value.len);
    add(s, key);
    add(s, value);
    /* The hash tables take 16 octets a record, and have to be in reach too. */
    if (s->at > UINT32_MAX - 16 * (uint64_t)s->pairs.map.count)
        s->result = why_perm(s->why, "5.3.4", "more than 4 GiB");
    return s->result == RESULT_OK;
}

/* Twice as many slots as records, so that the search is short. */
static void
add_table(struct writing *s, unsigned number, const struct slot *all,
    size_t count)
{
    uint32_t size = s->tables[number] * 2;
    struct slot *slots = mem_alloc_array(size + 1, sizeof(*slots));

    for (size_t i = 0; i < count; i++) {
        uint32_t at = size == 0 ? 0 : all[i].hash / CDB_TABLES % size;

        if (all[i].hash % CDB_TABLES != number)
            continue;
        while (slots[at].at != 0)
            at = at + 1 == size ? 0 : at + 1;
        slots[at] = all[i];
    }
    for (uint32_t i = 0; i < size; i++)
        add_two(s, slots[i].hash, slots[i].at);
    mem_free(slots);
}

static int
by_table(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;
    unsigned tx = x->hash % CDB_TABLES, ty = y->hash % CDB_TABLES;

    if (tx != ty)
        return tx < ty ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void
write_all(struct writing *s)
{
    const size_t count = s->pairs.map.count;
    struct slot *all = mem_alloc_array(count + 1, sizeof(*all));
    char header[CDB_HEADER] = { 0 };
    size_t first = 0;

    s->slots = all;
    add(s, (struct slice){ header, sizeof(header) });
    pairs_walk(&s->pairs, add_record, s);
    qsort(all, count, sizeof(*all), by_table);
    for (unsigned i = 0; i < CDB_TABLES && s->result == RESULT_OK; i++) {
        put_le32((uint8_t *)header + i * CDB_POINTER, (uint32_t)s->at);
        put_le32((uint8_t *)header + i * CDB_POINTER + 4, s->tables[i] * 2);
        add_table(s, i, all + first, s->tables[i]);
        first += s->tables[i];
    }
    flush(s);
    if (s->result == RESULT_OK &&
        pwrite(s->fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
        s->result = why_errno(s->why, "write");
    mem_free(all);
}

static enum result
write_finish(struct table_writer *w, struct why *why)
{
    struct writing *s = w->state;
    struct why what = { 0 };

    s->why = &what;
    s->fd = w->fd;
    if (ftruncate(w->fd, 0) < 0 || lseek(w->fd, 0, SEEK_SET) < 0)
        return why_errno(why, "write %s", w->beside);
    write_all(s);
    if (s->result != RESULT_OK) {
        (void)why_temp(why, what.status, "%s: %s", w->beside, what.text);
        why->sys = what.sys;
    }
    return s->result;
}

static void
write_close(struct table_writer *w)
{
    struct writing *s = w->state;

    if (s == NULL)
        return;
    pairs_fini(&s->pairs);
    buf_fini(&s->out);
    mem_free(s);
    w->state = NULL;
}

const struct table_write_ops cdb_write_ops = {
    .suffix = ".cdb",
    .bare = true,
    .open = write_open,
    .put = write_put,
    .remove = write_remove,
    .finish = write_finish,
    .close = write_close,
};

/*
 * cdb - constant databases: tables that are written once and read with two or
 * three reads of a few octets. All numbers are 32 bits, little-endian:
 *
 *     0     256 times: where a hash table stands, how many slots it has
 *     2048  records: length of key, length of value, key, value
 *     ...   hash tables of slots: hash of the key, where its record stands
 *
 * A key is in the table (hash mod 256), from slot (hash / 256 mod slots) on up
 * to an empty one, whose record stands at 0. Keys and values end without a NUL,
 * unless the file's maker left one; each number is checked before it is used,
 * so that a damaged file gives an error or nothing, never somebody else's value.
 */
#include "lib/base/mem.h"
#include "lib/base/put.h"
#include "lib/table/file_watch.h"
#include "lib/table/nul_keys.h"
#include "lib/table/pairs.h"
#include "lib/table/table_type.h"
#include "lib/table/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TABLES = 256,
    POINTER = 8, /* octets of two numbers */
    HEADER = TABLES * POINTER,
    VALUE_MAX = 64 * 1024 * 1024, /* octets: more is taken for damage */
};

struct cdb {
    char *path; /* with ".cdb" */
    int fd;     /* -1: not open yet, or it could not be */
    uint32_t size;
    struct nul_keys keys;
    struct file_watch watch;
};

struct two {
    uint32_t first, second;
};

static enum result
cdb_open(struct table *t, const struct config *config, struct why *why)
{
    struct cdb *s;

    (void)config;
    if (t->name[0] == '\0')
        return why_perm(why, "5.3.5", "%s: no file name", t->spec);
    s = mem_alloc(sizeof(*s));
    s->path = mem_format("%s.cdb", t->name);
    s->fd = -1;
    t->state = s;
    return RESULT_OK;
}

static void
cdb_close(struct table *t)
{
    struct cdb *s = t->state;

    if (s->fd >= 0)
        close(s->fd);
    mem_free(s->path);
    mem_free(s);
}

static enum result
load(struct table *t, struct why *why)
{
    struct cdb *s = t->state;
    int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;

    if (fd < 0)
        return why_errno(why, "open database %s", s->path);
    if (fstat(fd, &st) < 0) {
        (void)why_errno(why, "fstat %s", s->path);
        close(fd);
        return RESULT_TEMPFAIL;
    }
    if (st.st_size < HEADER || st.st_size > UINT32_MAX) {
        close(fd);
        return why_temp(why, "4.3.0", "open database %s: damaged file",
            s->path);
    }
    if (s->fd >= 0)
        close(s->fd);
    s->fd = fd;
    s->size = (uint32_t)st.st_size;
    nul_keys_init(&s->keys);
    file_watch_set(&s->watch, &st);
    return RESULT_OK;
}

static enum table_status
damaged(const struct cdb *s, struct why *why)
{
    (void)why_temp(why, "4.3.0", "error reading %s: damaged file", s->path);
    return TABLE_ERROR;
}

/* Exactly size octets; TABLE_FOUND or TABLE_ERROR. */
static enum table_status
read_at(const struct cdb *s, uint64_t at, void *to, size_t size,
    struct why *why)
{
    size_t done = 0;

    if (at > s->size || size > s->size - at)
        return damaged(s, why);
    while (done < size) {
        ssize_t n = pread(s->fd, (char *)to + done, size - done,
            (off_t)(at + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            (void)why_errno(why, "error reading %s", s->path);
            return TABLE_ERROR;
        }
        if (n == 0)
            return damaged(s, why);
        done += (size_t)n;
    }
    return TABLE_FOUND;
}

static enum table_status
read_two(const struct cdb *s, uint64_t at, struct two *two, struct why *why)
{
    uint8_t octets[POINTER];

    if (read_at(s, at, octets, sizeof(octets), why) == TABLE_ERROR)
        return TABLE_ERROR;
    two->first = get_le32(octets);
    two->second = get_le32(octets + 4);
    return TABLE_FOUND;
}

static uint32_t
hash_of(struct slice key)
{
    uint32_t h = 5381;

    for (size_t i = 0; i < key.len; i++)
        h = (h * 33) ^ (unsigned char)key.ptr[i];
    return h;
}

/* The octets at a place, up to a NUL, added to value. */
static enum table_status
read_value(const struct cdb *s, uint64_t at, uint32_t size, struct buf *value,
    struct why *why)
{
    char *room;

    if (size > VALUE_MAX || at > s->size || size > s->size - at)
        return damaged(s, why);
    if (size == 0)
        return TABLE_FOUND;
    room = buf_reserve(value, size);
    if (room == NULL) {
        (void)why_temp(why, "4.3.0", "%s: value of %u octets is too long",
            s->path, size);
        return TABLE_ERROR;
    }
    if (read_at(s, at, room, size, why) == TABLE_ERROR)
        return TABLE_ERROR;
    buf_advance(value, nul_keys_cut(room, size).len);
    return TABLE_FOUND;
}

/* Is key the one of the record at a place? */
static enum table_status
try_record(const struct cdb *s, uint32_t at, struct slice key,
    struct buf *value, struct why *why)
{
    char there[TABLE_KEY_MAX + 1];
    struct two lengths;

    if (read_two(s, at, &lengths, why) == TABLE_ERROR)
        return TABLE_ERROR;
    if (lengths.first != key.len)
        return TABLE_NOT_FOUND;
    if (read_at(s, (uint64_t)at + POINTER, there, key.len, why) == TABLE_ERROR)
        return TABLE_ERROR;
    if (memcmp(there, key.ptr, key.len) != 0)
        return TABLE_NOT_FOUND;
    return read_value(s, (uint64_t)at + POINTER + key.len, lengths.second,
        value, why);
}

static enum table_status
get(void *context, struct slice key, struct buf *value, struct why *why)
{
    const struct cdb *s = context;
    uint32_t hash = hash_of(key), slot;
    struct two table, entry;

    if (read_two(s, hash % TABLES * POINTER, &table, why) == TABLE_ERROR)
        return TABLE_ERROR;
    if (table.second == 0)
        return TABLE_NOT_FOUND;
    if (table.second > s->size / POINTER)
        return damaged(s, why);
    slot = hash / TABLES % table.second;
    for (uint32_t i = 0; i < table.second; i++) {
        enum table_status status = read_two(s,
            table.first + (uint64_t)slot * POINTER, &entry, why);

        if (status == TABLE_ERROR)
            return TABLE_ERROR;
        if (entry.second == 0)
            return TABLE_NOT_FOUND;
        if (entry.first == hash) {
            status = try_record(s, entry.second, key, value, why);
            if (status != TABLE_NOT_FOUND)
                return status;
        }
        slot = slot + 1 == table.second ? 0 : slot + 1;
    }
    return TABLE_NOT_FOUND;
}

static enum table_status
cdb_find(struct table *t, struct slice key, struct buf *value, struct why *why)
{
    struct cdb *s = t->state;

    if (table_refresh(t, &s->watch, s->path, load, why) == TABLE_ERROR)
        return TABLE_ERROR;
    return nul_keys_find(&s->keys, key, get, s, value, why);
}

/* Records stand one behind the other, up to the first hash table. */
static enum table_status
walk_records(const struct cdb *s, struct buf *key, struct buf *value,
    table_walk_fn fn, void *context, struct why *why)
{
    uint64_t at = HEADER;
    struct two table, lengths;
    enum table_status status = read_two(s, 0, &table, why);

    while (status == TABLE_FOUND && at < table.first) {
        buf_clear(key);
        buf_clear(value);
        status = read_two(s, at, &lengths, why);
        if (status == TABLE_FOUND)
            status = read_value(s, at + POINTER, lengths.first, key, why);
        if (status == TABLE_FOUND)
            status = read_value(s, at + POINTER + lengths.first, lengths.second,
                value, why);
        if (status != TABLE_FOUND ||
            !fn(context, buf_slice(key), buf_slice(value)))
            break;
        at += POINTER + (uint64_t)lengths.first + lengths.second;
    }
    return status;
}

static enum table_status
cdb_walk(struct table *t, table_walk_fn fn, void *context, struct why *why)
{
    struct cdb *s = t->state;
    struct buf key, value;
    enum table_status status;

    if (table_refresh(t, &s->watch, s->path, load, why) == TABLE_ERROR)
        return TABLE_ERROR;
    buf_init(&key, VALUE_MAX);
    buf_init(&value, VALUE_MAX);
    status = walk_records(s, &key, &value, fn, context, why);
    buf_fini(&key);
    buf_fini(&value);
    return status;
}

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
    uint32_t tables[TABLES];
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
    if (res == RESULT_OK && all.len < HEADER)
        res = why_temp(why, "4.3.0", "%s: damaged file", w->path);
    if (res == RESULT_OK) {
        end = get_le32(all.ptr);
        if (end > all.len || end < HEADER)
            end = 0;
        all = slice_skip(slice_head(all, end), HEADER);
        while (all.len >= POINTER) {
            uint32_t key_len = get_le32(all.ptr);
            uint32_t value_len = get_le32(all.ptr + 4);

            all = slice_skip(all, POINTER);
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
    buf_init(&s->out, 2 * VALUE_MAX);
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

    if (value.len > VALUE_MAX || key.len > TABLE_KEY_MAX)
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
    uint8_t octets[POINTER];

    put_le32(octets, first);
    put_le32(octets + 4, second);
    add(s, (struct slice){ (const char *)octets, sizeof(octets) });
}

static bool
add_record(void *context, struct slice key, struct slice value)
{
    struct writing *s = context;
    struct slot *slot = s->slots++;

    slot->hash = hash_of(key);
    slot->at = (uint32_t)s->at;
    s->tables[slot->hash % TABLES]++;
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
        uint32_t at = size == 0 ? 0 : all[i].hash / TABLES % size;

        if (all[i].hash % TABLES != number)
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
    unsigned tx = x->hash % TABLES, ty = y->hash % TABLES;

    if (tx != ty)
        return tx < ty ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void
write_all(struct writing *s)
{
    const size_t count = s->pairs.map.count;
    struct slot *all = mem_alloc_array(count + 1, sizeof(*all));
    char header[HEADER] = { 0 };
    size_t first = 0;

    s->slots = all;
    add(s, (struct slice){ header, sizeof(header) });
    pairs_walk(&s->pairs, add_record, s);
    qsort(all, count, sizeof(*all), by_table);
    for (unsigned i = 0; i < TABLES && s->result == RESULT_OK; i++) {
        put_le32((uint8_t *)header + i * POINTER, (uint32_t)s->at);
        put_le32((uint8_t *)header + i * POINTER + 4, s->tables[i] * 2);
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

static const struct table_write_ops write_ops = {
    .suffix = ".cdb",
    .bare = true,
    .open = write_open,
    .put = write_put,
    .remove = write_remove,
    .finish = write_finish,
    .close = write_close,
};

const struct table_type table_type_cdb = {
    .name = "cdb",
    .open = cdb_open,
    .find = cdb_find,
    .walk = cdb_walk,
    .close = cdb_close,
    .write = &write_ops,
};

/*
 * cdb - tables in constant databases, looked up: two or three reads of a few
 * octets, each number checked before it is used.
 */
#include "lib/base/mem.h"
#include "lib/base/put.h"
#include "lib/table/cdb_format.h"
#include "lib/table/file_watch.h"
#include "lib/table/nul_keys.h"
#include "lib/table/table_open.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

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
    struct stat st;
    int fd;
    enum result res = table_open_file(s->path, "open database", &fd, &st, why);

    if (res != RESULT_OK)
        return res;
    if (st.st_size < CDB_HEADER || st.st_size > UINT32_MAX) {
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
    uint8_t octets[CDB_POINTER];

    if (read_at(s, at, octets, sizeof(octets), why) == TABLE_ERROR)
        return TABLE_ERROR;
    two->first = get_le32(octets);
    two->second = get_le32(octets + 4);
    return TABLE_FOUND;
}

/* The octets at a place, up to a NUL, added to value. */
static enum table_status
read_value(const struct cdb *s, uint64_t at, uint32_t size, struct buf *value,
    struct why *why)
{
    char *room;

    if (size > CDB_VALUE_MAX || at > s->size || size > s->size - at)
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
    if (read_at(s, (uint64_t)at + CDB_POINTER, there, key.len, why) ==
        TABLE_ERROR)
        return TABLE_ERROR;
    if (memcmp(there, key.ptr, key.len) != 0)
        return TABLE_NOT_FOUND;
    return read_value(s, (uint64_t)at + CDB_POINTER + key.len, lengths.second,
        value, why);
}

static enum table_status
get(void *context, struct slice key, struct buf *value, struct why *why)
{
    const struct cdb *s = context;
    uint32_t hash = cdb_hash(key), slot;
    struct two table, entry;

    if (read_two(s, hash % CDB_TABLES * CDB_POINTER, &table, why) ==
        TABLE_ERROR)
        return TABLE_ERROR;
    if (table.second == 0)
        return TABLE_NOT_FOUND;
    if (table.second > s->size / CDB_POINTER)
        return damaged(s, why);
    slot = hash / CDB_TABLES % table.second;
    for (uint32_t i = 0; i < table.second; i++) {
        enum table_status status = read_two(s,
            table.first + (uint64_t)slot * CDB_POINTER, &entry, why);

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
    uint64_t at = CDB_HEADER;
    struct two table, lengths;
    enum table_status status = read_two(s, 0, &table, why);

    while (status == TABLE_FOUND && at < table.first) {
        buf_clear(key);
        buf_clear(value);
        status = read_two(s, at, &lengths, why);
        if (status == TABLE_FOUND)
            status = read_value(s, at + CDB_POINTER, lengths.first, key, why);
        if (status == TABLE_FOUND)
            status = read_value(s, at + CDB_POINTER + lengths.first,
                lengths.second, value, why);
        if (status != TABLE_FOUND ||
            !fn(context, buf_slice(key), buf_slice(value)))
            break;
        at += CDB_POINTER + (uint64_t)lengths.first + lengths.second;
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
    buf_init(&key, CDB_VALUE_MAX);
    buf_init(&value, CDB_VALUE_MAX);
    status = walk_records(s, &key, &value, fn, context, why);
    buf_fini(&key);
    buf_fini(&value);
    return status;
}

const struct table_type table_type_cdb = {
    .name = "cdb",
    .open = cdb_open,
    .find = cdb_find,
    .walk = cdb_walk,
    .close = cdb_close,
    .write = &cdb_write_ops,
};

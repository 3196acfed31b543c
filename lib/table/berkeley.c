/*
 * berkeley - hash: and btree:, Berkeley DB files as Postfix's postmap makes
 * them, read and written.
 *
 * Keys and values end with a NUL, unless the file's maker left it off; the
 * first key that is found tells which, as Postfix does it.
 */
#ifdef HAVE_DB

#    include "lib/base/mem.h"
#    include "lib/config/config.h"
#    include "lib/table/file_watch.h"
#    include "lib/table/nul_keys.h"
#    include "lib/table/table_open.h"
#    include "lib/table/table_type.h"

#    include <db.h>
#    include <errno.h>
#    include <stdlib.h>
#    include <unistd.h>

enum {
    HASH_ELEMENTS = 4096, /* expected, as Postfix gives it */
    CREATE_CACHE = 16 * 1024 * 1024,
};

struct berkeley {
    char *path; /* with ".db" */
    DB *db;     /* NULL: not open yet, or it could not be */
    uint32_t cache;
    struct nul_keys keys;
    struct file_watch watch;
};

static DBTYPE
db_type(const struct table_type *type)
{
    return type == &table_type_hash ? DB_HASH : DB_BTREE;
}

/* Berkeley DB writes to standard error unless told otherwise. */
static void
say_nothing(const DB_ENV *env, const char *prefix, const char *text)
{
    (void)env;
    (void)prefix;
    (void)text;
}

/* errno on failure. */
static DB *
open_file(const char *path, DBTYPE type, uint32_t flags, uint32_t cache)
{
    DB *db;
    int error = db_create(&db, NULL, 0);

    if (error != 0) {
        errno = error;
        return NULL;
    }
    db->set_errcall(db, say_nothing);
    error = db->set_cachesize(db, 0, cache, 0);
    if (error == 0 && type == DB_HASH && (flags & DB_RDONLY) == 0)
        error = db->set_h_nelem(db, HASH_ELEMENTS);
    if (error == 0)
        error = db->open(db, NULL, path, NULL, type, flags, 0600);
    if (error == 0)
        return db;
    (void)db->close(db, DB_NOSYNC);
    errno = error;
    return NULL;
}

static enum result
berkeley_open(struct table *t, const struct config *config, struct why *why)
{
    struct berkeley *s;

    if (t->name[0] == '\0')
        return why_perm(why, "5.3.5", "%s: no file name", t->spec);
    s = mem_alloc(sizeof(*s));
    s->path = mem_format("%s.db", t->name);
    s->cache = (uint32_t)config->berkeley_db_read_buffer_size;
    t->state = s;
    return RESULT_OK;
}

static void
berkeley_close(struct table *t)
{
    struct berkeley *s = t->state;

    if (s->db != NULL)
        (void)s->db->close(s->db, DB_NOSYNC);
    mem_free(s->path);
    mem_free(s);
}

/* Open, or open anew; what is open stays when that fails. */
static enum result
load(struct table *t, struct why *why)
{
    struct berkeley *s = t->state;
    enum result res = table_check_file(s->path, "open database", why);
    struct stat st;
    DB *db;
    int fd;

    if (res != RESULT_OK)
        return res;
    db = open_file(s->path, db_type(t->type), DB_RDONLY, s->cache);
    if (db == NULL)
        return why_errno(why, "open database %s", s->path);
    if (db->fd(db, &fd) != 0 || fstat(fd, &st) < 0) {
        (void)db->close(db, DB_NOSYNC);
        return why_errno(why, "fstat %s", s->path);
    }
    if (s->db != NULL)
        (void)s->db->close(s->db, DB_NOSYNC);
    s->db = db;
    nul_keys_init(&s->keys);
    file_watch_set(&s->watch, &st);
    return RESULT_OK;
}

/* Berkeley DB does not write through what it is given to read. */
static DBT
dbt_of(struct slice s)
{
    union {
        const char *given;
        void *taken;
    } ptr = { .given = s.ptr };
    DBT dbt = { 0 };

    dbt.data = ptr.taken;
    dbt.size = (uint32_t)s.len;
    return dbt;
}

static enum table_status
read_failed(const struct berkeley *s, int error, struct why *why)
{
    (void)why_temp(why, "4.3.0", "error reading %s: %s", s->path,
        db_strerror(error));
    return TABLE_ERROR;
}

static enum table_status
get(void *context, struct slice key, struct buf *value, struct why *why)
{
    struct berkeley *s = context;
    DBT k = dbt_of(key), v = { 0 };
    int error = s->db->get(s->db, NULL, &k, &v, 0);

    if (error == DB_NOTFOUND)
        return TABLE_NOT_FOUND;
    if (error != 0)
        return read_failed(s, error, why);
    buf_add(value, nul_keys_cut(v.data, v.size));
    return TABLE_FOUND;
}

static enum table_status
berkeley_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    struct berkeley *s = t->state;

    if (table_refresh(t, &s->watch, s->path, load, why) == TABLE_ERROR)
        return TABLE_ERROR;
    return nul_keys_find(&s->keys, key, get, s, value, why);
}

static enum table_status
berkeley_walk(struct table *t, table_walk_fn fn, void *context, struct why *why)
{
    struct berkeley *s = t->state;
    DBT key = { 0 }, value = { 0 };
    DBC *cursor;
    int error;

    if (table_refresh(t, &s->watch, s->path, load, why) == TABLE_ERROR)
        return TABLE_ERROR;
    error = s->db->cursor(s->db, NULL, &cursor, 0);
    if (error == 0) {
        while ((error = cursor->get(cursor, &key, &value, DB_NEXT)) == 0)
            if (!fn(context, nul_keys_cut(key.data, key.size),
                    nul_keys_cut(value.data, value.size)))
                break;
        (void)cursor->close(cursor);
    }
    if (error == 0 || error == DB_NOTFOUND)
        return TABLE_FOUND;
    return read_failed(s, error, why);
}

static enum result
write_failed(struct table_writer *w, int error, struct why *why)
{
    return why_temp(why, error == ENOSPC ? "4.3.1" : "4.3.0", "%s: %s",
        w->beside, db_strerror(error));
}

static enum result
write_open(struct table_writer *w, const char *path, bool update,
    struct why *why)
{
    /* A file that was copied has its type in it; an empty one is made. */
    w->state = open_file(path, db_type(w->type), update ? 0 : DB_CREATE,
        CREATE_CACHE);
    if (w->state == NULL)
        return why_errno(why, "open database %s", path);
    return RESULT_OK;
}

static enum result
write_put(struct table_writer *w, struct slice key, struct slice value,
    enum table_put how, bool *duplicate, struct why *why)
{
    DB *db = w->state;
    DBT k = dbt_of(key), v = dbt_of(value);
    int error = db->put(db, NULL, &k, &v,
        how == TABLE_PUT_NEW ? DB_NOOVERWRITE : 0);

    *duplicate = error == DB_KEYEXIST;
    if (error == 0 || error == DB_KEYEXIST)
        return RESULT_OK;
    return write_failed(w, error, why);
}

static enum result
write_remove(struct table_writer *w, struct slice key, bool *found,
    struct why *why)
{
    DB *db = w->state;
    DBT k = dbt_of(key);
    int error = db->del(db, NULL, &k, 0);

    *found = error == 0;
    if (error == 0 || error == DB_NOTFOUND)
        return RESULT_OK;
    return write_failed(w, error, why);
}

static enum result
write_finish(struct table_writer *w, struct why *why)
{
    DB *db = w->state;
    int error = db->close(db, 0);

    w->state = NULL;
    return error == 0 ? RESULT_OK : write_failed(w, error, why);
}

static void
write_close(struct table_writer *w)
{
    DB *db = w->state;

    if (db != NULL)
        (void)db->close(db, DB_NOSYNC);
    w->state = NULL;
}

static const struct table_write_ops write_ops = {
    .suffix = ".db",
    .open = write_open,
    .put = write_put,
    .remove = write_remove,
    .finish = write_finish,
    .close = write_close,
};

const struct table_type table_type_hash = {
    .name = "hash",
    .open = berkeley_open,
    .find = berkeley_find,
    .walk = berkeley_walk,
    .close = berkeley_close,
    .write = &write_ops,
};

const struct table_type table_type_btree = {
    .name = "btree",
    .open = berkeley_open,
    .find = berkeley_find,
    .walk = berkeley_walk,
    .close = berkeley_close,
    .write = &write_ops,
};

#else

/* ISO C wants a declaration in each file. */
typedef int berkeley_is_left_out;

#endif

/*
 * lmdb - tables in files of LMDB, as Postfix's postmap makes them, read
 * (lmdb_file.c) and, by its library, written. Where there is no Berkeley DB,
 * hash: and btree: are these files.
 *
 * Files are replaced, never changed under a reader, so LMDB's own locks are not
 * needed.
 */
#ifdef HAVE_LMDB

#    include "lib/base/log.h"
#    include "lib/base/mem.h"
#    include "lib/table/file_watch.h"
#    include "lib/table/lmdb_file.h"
#    include "lib/table/nul_keys.h"
#    include "lib/table/table_type.h"

#    include <errno.h>
#    include <lmdb.h>
#    include <sys/stat.h>

enum {
    FIRST_MAP = 16 * 1024 * 1024, /* octets of a file being written */
    OVERHEAD = 64 * 1024,         /* pages that one entry may touch */
};

struct lmdb {
    char *path; /* with ".lmdb" */
    struct lmdb_file file;
    struct nul_keys keys;
    struct file_watch watch;
};

static enum result
lmdb_error(int error, const char *path, const char *what, struct why *why)
{
    enum result res = why_temp(why, error == ENOSPC ? "4.3.1" : "4.3.0",
        "%s %s: %s", what, path, mdb_strerror(error));

    why->sys = error > 0 ? error : 0;
    return res;
}

static enum result
lmdb_open(struct table *t, const struct config *config, struct why *why)
{
    struct lmdb *s;

    (void)config;
    if (t->name[0] == '\0')
        return why_perm(why, "5.3.5", "%s: no file name", t->spec);
    if (t->type != &table_type_lmdb)
        log_warning("%s: this build has no Berkeley DB: using lmdb:%s", t->spec,
            t->name);
    s = mem_alloc(sizeof(*s));
    s->path = mem_format("%s.lmdb", t->name);
    t->state = s;
    return RESULT_OK;
}

static void
lmdb_close(struct table *t)
{
    struct lmdb *s = t->state;

    lmdb_file_close(&s->file);
    mem_free(s->path);
    mem_free(s);
}

/* Open, or open anew; what is open stays when that fails. */
static enum result
load(struct table *t, struct why *why)
{
    struct lmdb *s = t->state;
    struct lmdb_file fresh;
    struct stat st;
    enum result res = lmdb_file_open(&fresh, s->path, &st, why);

    if (res != RESULT_OK)
        return res;
    lmdb_file_close(&s->file);
    s->file = fresh;
    nul_keys_init(&s->keys);
    file_watch_set(&s->watch, &st);
    return RESULT_OK;
}

static enum table_status
get(void *context, struct slice key, struct buf *value, struct why *why)
{
    struct lmdb *s = context;
    const size_t before = value->len;
    enum table_status status = lmdb_file_get(&s->file, key, value, why);
    struct slice added = slice_skip(buf_slice(value), before);

    if (status == TABLE_FOUND)
        buf_truncate(value, before + nul_keys_cut(added.ptr, added.len).len);
    return status;
}

static enum table_status
lmdb_find(struct table *t, struct slice key, struct buf *value, struct why *why)
{
    struct lmdb *s = t->state;

    if (table_refresh(t, &s->watch, s->path, load, why) == TABLE_ERROR)
        return TABLE_ERROR;
    return nul_keys_find(&s->keys, key, get, s, value, why);
}

struct listing {
    table_walk_fn fn;
    void *context;
};

static bool
cut_and_tell(void *context, struct slice key, struct slice value)
{
    const struct listing *l = context;

    return l->fn(l->context, nul_keys_cut(key.ptr, key.len),
        nul_keys_cut(value.ptr, value.len));
}

static enum table_status
lmdb_walk(struct table *t, table_walk_fn fn, void *context, struct why *why)
{
    struct listing l = { fn, context };
    struct lmdb *s = t->state;

    if (table_refresh(t, &s->watch, s->path, load, why) == TABLE_ERROR)
        return TABLE_ERROR;
    return lmdb_file_walk(&s->file, cut_and_tell, &l, why);
}

/* LMDB does not write through what it is given to read. */
static MDB_val
val_of(struct slice s)
{
    union {
        const char *given;
        void *taken;
    } ptr = { .given = s.ptr };

    return (MDB_val){ s.len, ptr.taken };
}

/*
 * A transaction cannot go on when the map is full, so there is always room for
 * what one may need: it is committed, and the map enlarged, before.
 */
struct writing {
    MDB_env *env;
    MDB_txn *txn; /* NULL between */
    MDB_dbi dbi;
    size_t room; /* octets that this transaction may still take */
};

static int
begin(struct writing *s, size_t need)
{
    MDB_envinfo info;
    MDB_stat stat;
    size_t used, wanted;
    int error = mdb_env_info(s->env, &info);

    if (error == 0)
        error = mdb_env_stat(s->env, &stat);
    if (error != 0)
        return error;
    used = (info.me_last_pgno + 1) * stat.ms_psize;
    /* Pages are half full at worst, and a commit writes copies of them. */
    wanted = used * 2 + need * 4 + FIRST_MAP;
    if (wanted > info.me_mapsize)
        error = mdb_env_set_mapsize(s->env, wanted * 2);
    s->room = (wanted - used) / 4;
    if (error == 0)
        error = mdb_txn_begin(s->env, NULL, 0, &s->txn);
    if (error == 0)
        error = mdb_dbi_open(s->txn, NULL, 0, &s->dbi);
    return error;
}

static int
commit(struct writing *s)
{
    MDB_txn *txn = s->txn;

    s->txn = NULL;
    return txn == NULL ? 0 : mdb_txn_commit(txn);
}

static int
have_room(struct writing *s, size_t need)
{
    int error;

    need += OVERHEAD;
    if (s->txn != NULL && need <= s->room) {
        s->room -= need;
        return 0;
    }
    error = commit(s);
    if (error == 0)
        error = begin(s, need);
    if (error == 0)
        s->room -= need;
    return error;
}

static enum result
write_open(struct table_writer *w, const char *path, bool update,
    struct why *why)
{
    struct writing *s = mem_alloc(sizeof(*s));
    int error;

    (void)update; /* a file that was copied opens like an empty one */
    w->state = s;
    error = mdb_env_create(&s->env);
    if (error == 0)
        error = mdb_env_set_mapsize(s->env, FIRST_MAP);
    if (error == 0)
        error = mdb_env_open(s->env, path,
            MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600);
    if (error == 0)
        error = have_room(s, 0);
    return error == 0 ? RESULT_OK
                      : lmdb_error(error, path, "open database", why);
}

static enum result
write_put(struct table_writer *w, struct slice key, struct slice value,
    enum table_put how, bool *duplicate, struct why *why)
{
    struct writing *s = w->state;
    MDB_val k = val_of(key), v = val_of(value);
    int error;

    *duplicate = false;
    if (key.len > (size_t)mdb_env_get_maxkeysize(s->env))
        return why_perm(why, "5.3.5",
            "%s: key of %zu octets; the most that lmdb takes is %d: \"%.40s\"",
            w->path, key.len, mdb_env_get_maxkeysize(s->env), key.ptr);
    error = have_room(s, key.len + value.len);
    if (error == 0)
        error = mdb_put(s->txn, s->dbi, &k, &v,
            how == TABLE_PUT_NEW ? MDB_NOOVERWRITE : 0);
    *duplicate = error == MDB_KEYEXIST;
    if (error == 0 || error == MDB_KEYEXIST)
        return RESULT_OK;
    return lmdb_error(error, w->beside, "write", why);
}

static enum result
write_remove(struct table_writer *w, struct slice key, bool *found,
    struct why *why)
{
    struct writing *s = w->state;
    MDB_val k = val_of(key);
    int error = have_room(s, key.len);

    if (error == 0 && key.len > 0)
        error = mdb_del(s->txn, s->dbi, &k, NULL);
    *found = error == 0 && key.len > 0;
    if (error == 0 || error == MDB_NOTFOUND || error == MDB_BAD_VALSIZE)
        return RESULT_OK;
    return lmdb_error(error, w->beside, "write", why);
}

static enum result
write_finish(struct table_writer *w, struct why *why)
{
    int error = commit(w->state);

    return error == 0 ? RESULT_OK : lmdb_error(error, w->beside, "write", why);
}

static void
write_close(struct table_writer *w)
{
    struct writing *s = w->state;

    if (s == NULL)
        return;
    if (s->txn != NULL)
        mdb_txn_abort(s->txn);
    if (s->env != NULL)
        mdb_env_close(s->env);
    mem_free(s);
    w->state = NULL;
}

static const struct table_write_ops write_ops = {
    .suffix = ".lmdb",
    .open = write_open,
    .put = write_put,
    .remove = write_remove,
    .finish = write_finish,
    .close = write_close,
};

#    define LMDB_TABLE                                           \
        .open = lmdb_open, .find = lmdb_find, .walk = lmdb_walk, \
        .close = lmdb_close, .write = &write_ops

const struct table_type table_type_lmdb = { .name = "lmdb", LMDB_TABLE };

#    ifndef HAVE_DB
const struct table_type table_type_hash = { .name = "hash", LMDB_TABLE };
const struct table_type table_type_btree = { .name = "btree", LMDB_TABLE };
#    endif

#else

/* ISO C wants a declaration in each file. */
typedef int lmdb_is_left_out;

#endif

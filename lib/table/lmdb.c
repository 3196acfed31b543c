/*
 * lmdb - tables in files of LMDB, as Postfix's postmap makes them, read and
 * written. Where there is no Berkeley DB, hash: and btree: are these files.
 *
 * Files are replaced, never changed under a reader, so LMDB's own locks are not
 * needed. It maps the file and believes what is in it: a file that is shorter
 * than it says is refused before.
 */
#ifdef HAVE_LMDB

#    include "lib/base/log.h"
#    include "lib/base/mem.h"
#    include "lib/table/file_watch.h"
#    include "lib/table/nul_keys.h"
#    include "lib/table/table_type.h"

#    include <errno.h>
#    include <fcntl.h>
#    include <lmdb.h>
#    include <unistd.h>

enum {
    FIRST_MAP = 16 * 1024 * 1024, /* octets of a file being written */
    OVERHEAD = 64 * 1024,         /* pages that one entry may touch */
};

struct lmdb {
    char *path;   /* with ".lmdb" */
    MDB_env *env; /* NULL: not open yet, or it could not be */
    MDB_txn *txn; /* reset between lookups */
    MDB_dbi dbi;
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
close_env(struct lmdb *s)
{
    if (s->txn != NULL)
        mdb_txn_abort(s->txn);
    if (s->env != NULL)
        mdb_env_close(s->env);
    s->txn = NULL;
    s->env = NULL;
}

static void
lmdb_close(struct table *t)
{
    struct lmdb *s = t->state;

    close_env(s);
    mem_free(s->path);
    mem_free(s);
}

/* Where the two meta pages have what: struct MDB_meta of version 1. */
enum {
    META_OFFSET = 16, /* behind the page's header */
    META_SIZE = 136,
    META_MAGIC = 0,
    META_PAGE_SIZE = 24,
    META_LAST_PAGE = 120,
    MAGIC = 0xBEEFC0DE,
    PAGE_MIN = 512,
    PAGE_MOST = 65536,
};

static bool
take_meta(int fd, off_t at, off_t size, uint32_t *page_size)
{
    uint8_t meta[META_SIZE];
    uint32_t magic;
    uint64_t last;

    if (pread(fd, meta, sizeof(meta), at + META_OFFSET) != sizeof(meta))
        return false;
    memcpy(&magic, meta + META_MAGIC, sizeof(magic));
    memcpy(page_size, meta + META_PAGE_SIZE, sizeof(*page_size));
    memcpy(&last, meta + META_LAST_PAGE, sizeof(last));
    return magic == MAGIC && *page_size >= PAGE_MIN &&
        *page_size <= PAGE_MOST && last < (uint64_t)size / *page_size;
}

/* Are all pages there that both meta pages speak of? */
static enum result
check_file(const char *path, struct stat *st, struct why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    uint32_t page, again;
    enum result res = RESULT_OK;

    if (fd < 0)
        return why_errno(why, "open database %s", path);
    if (fstat(fd, st) < 0)
        res = why_errno(why, "fstat %s", path);
    else if (!take_meta(fd, 0, st->st_size, &page) ||
        !take_meta(fd, page, st->st_size, &again) || again != page)
        res = why_temp(why, "4.3.0", "open database %s: damaged file", path);
    close(fd);
    return res;
}

static int
open_env(struct lmdb *s)
{
    int error = mdb_env_create(&s->env);

    if (error == 0)
        error = mdb_env_open(s->env, s->path,
            MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0);
    if (error == 0)
        error = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->txn);
    if (error == 0)
        error = mdb_dbi_open(s->txn, NULL, 0, &s->dbi);
    if (error == 0)
        mdb_txn_reset(s->txn);
    return error;
}

/* Open, or open anew; what is open stays when that fails. */
static enum result
load(struct table *t, struct why *why)
{
    struct lmdb *s = t->state, fresh = { .path = s->path };
    struct stat st;
    enum result res = check_file(s->path, &st, why);
    int error;

    if (res != RESULT_OK)
        return res;
    error = open_env(&fresh);
    if (error != 0) {
        close_env(&fresh);
        return lmdb_error(error, s->path, "open database", why);
    }
    close_env(s);
    s->env = fresh.env;
    s->txn = fresh.txn;
    s->dbi = fresh.dbi;
    nul_keys_init(&s->keys);
    file_watch_set(&s->watch, &st);
    return RESULT_OK;
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

static enum table_status
get(void *context, struct slice key, struct buf *value, struct why *why)
{
    struct lmdb *s = context;
    MDB_val k = val_of(key), v;
    int error;

    if (key.len == 0 || key.len > (size_t)mdb_env_get_maxkeysize(s->env))
        return TABLE_NOT_FOUND;
    error = mdb_get(s->txn, s->dbi, &k, &v);
    if (error == MDB_NOTFOUND)
        return TABLE_NOT_FOUND;
    if (error != 0) {
        (void)lmdb_error(error, s->path, "error reading", why);
        return TABLE_ERROR;
    }
    buf_add(value, nul_keys_cut(v.mv_data, v.mv_size));
    return TABLE_FOUND;
}

static enum table_status
lmdb_find(struct table *t, struct slice key, struct buf *value, struct why *why)
{
    struct lmdb *s = t->state;
    enum table_status status;
    int error;

    if (table_refresh(t, &s->watch, s->path, load, why) == TABLE_ERROR)
        return TABLE_ERROR;
    error = mdb_txn_renew(s->txn);
    if (error != 0) {
        (void)lmdb_error(error, s->path, "error reading", why);
        return TABLE_ERROR;
    }
    status = nul_keys_find(&s->keys, key, get, s, value, why);
    mdb_txn_reset(s->txn);
    return status;
}

static enum table_status
lmdb_walk(struct table *t, table_walk_fn fn, void *context, struct why *why)
{
    struct lmdb *s = t->state;
    MDB_cursor *cursor;
    MDB_val key, value;
    int error;

    if (table_refresh(t, &s->watch, s->path, load, why) == TABLE_ERROR)
        return TABLE_ERROR;
    error = mdb_txn_renew(s->txn);
    if (error == 0) {
        error = mdb_cursor_open(s->txn, s->dbi, &cursor);
        if (error == 0) {
            while (
                (error = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
                if (!fn(context, nul_keys_cut(key.mv_data, key.mv_size),
                        nul_keys_cut(value.mv_data, value.mv_size)))
                    break;
            mdb_cursor_close(cursor);
        }
        mdb_txn_reset(s->txn);
    }
    if (error == 0 || error == MDB_NOTFOUND)
        return TABLE_FOUND;
    (void)lmdb_error(error, s->path, "error reading", why);
    return TABLE_ERROR;
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

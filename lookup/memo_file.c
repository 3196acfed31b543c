#include "lookup/memo_file.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#ifdef HAVE_DB

#    include <db.h>
#    include <dirent.h>
#    include <errno.h>
#    include <fcntl.h>
#    include <stdio.h>
#    include <string.h>
#    include <sys/file.h>
#    include <sys/stat.h>
#    include <unistd.h>

enum {
    BOOKS_MAX = 8,
    CACHE = 4 * 1024 * 1024,
    LOG_FILE = 4 * 1024 * 1024,
    END_OCTETS = 8, /* in front of each value, little-endian */
    OCTETS_MAX = 64 * 1024,
    CHECKPOINT_KB = 1024,
    CHECKPOINT_MIN = 5,
};

struct memo_file {
    int lock; /* recovery must not run below another process's feet */
    DB_ENV *env;
    DB *books[BOOKS_MAX];
    unsigned count;
    DB_TXN *txn;
    int error; /* of the transaction under way */
    char octets[OCTETS_MAX];
};

/* Its messages come in hundreds for one damage; we name that ourselves. */
static void
say_nothing(const DB_ENV *env, const char *prefix, const char *text)
{
    (void)env;
    (void)prefix;
    (void)text;
}

static int
open_environment(struct memo_file *f, const char *directory)
{
    int error = db_env_create(&f->env, 0);

    if (error != 0) {
        f->env = NULL;
        return error;
    }
    f->env->set_errcall(f->env, say_nothing);
    (void)f->env->set_cachesize(f->env, 0, CACHE, 0);
    (void)f->env->set_lg_max(f->env, LOG_FILE);
    (void)f->env->log_set_config(f->env, DB_LOG_AUTO_REMOVE, 1);
    /* A lost second costs nobody anything: no flush for each transaction. */
    (void)f->env->set_flags(f->env, DB_TXN_WRITE_NOSYNC, 1);
    return f->env->open(f->env, directory,
        DB_CREATE | DB_PRIVATE | DB_RECOVER | DB_INIT_MPOOL | DB_INIT_TXN |
            DB_INIT_LOG | DB_INIT_LOCK | DB_THREAD,
        0600);
}

static int
open_book(struct memo_file *f, unsigned book, const char *path)
{
    char *name = mem_format("%s.db", path);
    int error = db_create(&f->books[book], f->env, 0);

    if (error != 0)
        f->books[book] = NULL;
    else
        error = f->books[book]->open(f->books[book], NULL, name, NULL, DB_BTREE,
            DB_CREATE | DB_AUTO_COMMIT | DB_THREAD, 0600);
    mem_free(name);
    return error;
}

static int64_t
end_of(const unsigned char *octets)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < END_OCTETS; i++)
        end |= (uint64_t)octets[i] << (8 * i);
    return (int64_t)(end & INT64_MAX);
}

static int
read_book(struct memo_file *f, unsigned book, memo_load_fn load, void *context)
{
    int64_t now_s = clock_wall_s();
    DBT key = { 0 }, value = { 0 };
    DBC *cursor;
    int error = f->books[book]->cursor(f->books[book], NULL, &cursor, 0);

    if (error != 0)
        return error;
    while ((error = cursor->get(cursor, &key, &value, DB_NEXT)) == 0) {
        struct slice octets = { value.data, value.size };

        if (octets.len < END_OCTETS || end_of(value.data) <= now_s)
            continue;
        load(context, book, (struct slice){ key.data, key.size },
            slice_skip(octets, END_OCTETS), end_of(value.data));
    }
    (void)cursor->close(cursor);
    return error == DB_NOTFOUND ? 0 : error;
}

static void
close_all(struct memo_file *f)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->books[i] != NULL)
            (void)f->books[i]->close(f->books[i], 0);
    if (f->env != NULL) {
        (void)f->env->txn_checkpoint(f->env, 0, 0, DB_FORCE);
        (void)f->env->close(f->env, 0);
    }
    if (f->lock >= 0)
        close(f->lock);
    mem_free(f);
}

static struct memo_file *
try_open(const char *directory, const char *const *paths, unsigned books,
    memo_load_fn load, void *context, int *error)
{
    struct memo_file *f = mem_alloc(sizeof(*f));

    f->lock = -1;
    f->count = books;
    *error = open_environment(f, directory);
    for (unsigned i = 0; i < books && *error == 0; i++) {
        if (paths[i] == NULL)
            continue;
        *error = open_book(f, i, paths[i]);
        if (*error == 0 && load != NULL)
            *error = read_book(f, i, load, context);
    }
    if (*error == 0)
        return f;
    close_all(f);
    return NULL;
}

/* -1: another process has it. */
static int
lock_directory(const char *directory)
{
    char *name = mem_format("%s/lock", directory);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    mem_free(name);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Damaged beyond repair: away with it. Only names that are ours. */
static void
throw_away(const char *directory, const char *const *paths, unsigned books)
{
    DIR *dir = opendir(directory);

    for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;)
        if (strncmp(d->d_name, "log.", 4) == 0 ||
            strncmp(d->d_name, "__db.", 5) == 0)
            (void)unlinkat(dirfd(dir), d->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    for (unsigned i = 0; i < books; i++) {
        char *name = paths[i] == NULL ? NULL : mem_format("%s.db", paths[i]);

        if (name != NULL)
            (void)unlink(name);
        mem_free(name);
    }
}

enum result
memo_file_open(const char *directory, const char *const *paths, unsigned books,
    memo_load_fn load, void *context, struct memo_file **file, struct why *why)
{
    int error, lock;

    if (books > BOOKS_MAX)
        return why_perm(why, "5.3.0", "too many books");
    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return why_errno(why, "create %s", directory);
    lock = lock_directory(directory);
    if (lock < 0)
        return why_errno(why, "lock %s", directory);
    *file = try_open(directory, paths, books, load, context, &error);
    if (*file == NULL) {
        log_warning("%s: %s: what was remembered is thrown away", directory,
            db_strerror(error));
        throw_away(directory, paths, books);
        *file = try_open(directory, paths, books, load, context, &error);
    }
    if (*file != NULL) {
        (*file)->lock = lock;
        return RESULT_OK;
    }
    close(lock);
    return why_temp(why, "4.3.0", "%s: %s", directory, db_strerror(error));
}

void
memo_file_close(struct memo_file *file)
{
    if (file != NULL)
        close_all(file);
}

enum result
memo_file_begin(struct memo_file *file, struct why *why)
{
    file->error = file->env->txn_begin(file->env, NULL, &file->txn, 0);
    if (file->error == 0)
        return RESULT_OK;
    return why_temp(why, "4.3.0", "begin: %s", db_strerror(file->error));
}

void
memo_file_write(struct memo_file *file, unsigned book, struct slice key,
    struct slice value, int64_t end_s)
{
    DB *db = file->books[book];
    DBT k = { .data = (void *)(uintptr_t)key.ptr, .size = (uint32_t)key.len };
    DBT v = { .data = file->octets, .size = (uint32_t)value.len + END_OCTETS };

    if (db == NULL || file->error != 0 || v.size > sizeof(file->octets))
        return;
    if (end_s == 0) {
        file->error = db->del(db, file->txn, &k, 0);
        if (file->error == DB_NOTFOUND)
            file->error = 0;
        return;
    }
    for (unsigned i = 0; i < END_OCTETS; i++)
        file->octets[i] = (char)(unsigned char)((uint64_t)end_s >> (8 * i));
    if (value.len > 0)
        memcpy(file->octets + END_OCTETS, value.ptr, value.len);
    file->error = db->put(db, file->txn, &k, &v, 0);
}

enum result
memo_file_end(struct memo_file *file, struct why *why)
{
    DB_TXN *txn = file->txn;

    file->txn = NULL;
    if (file->error == 0)
        file->error = txn->commit(txn, 0);
    else
        (void)txn->abort(txn);
    if (file->error == 0)
        file->error = file->env->txn_checkpoint(file->env, CHECKPOINT_KB,
            CHECKPOINT_MIN, 0);
    if (file->error == 0)
        return RESULT_OK;
    return why_temp(why, "4.3.0", "write: %s", db_strerror(file->error));
}

#else /* no Berkeley DB: the books are in memory alone */

enum result
memo_file_open(const char *directory, const char *const *paths, unsigned books,
    memo_load_fn load, void *context, struct memo_file **file, struct why *why)
{
    (void)paths;
    (void)books;
    (void)load;
    (void)context;
    *file = NULL;
    return why_perm(why, "5.3.0", "%s: built without Berkeley DB", directory);
}

void
memo_file_close(struct memo_file *file)
{
    (void)file;
}

enum result
memo_file_begin(struct memo_file *file, struct why *why)
{
    (void)file;
    return why_perm(why, "5.3.0", "built without Berkeley DB");
}

void
memo_file_write(struct memo_file *file, unsigned book, struct slice key,
    struct slice value, int64_t end_s)
{
    (void)file;
    (void)book;
    (void)key;
    (void)value;
    (void)end_s;
}

enum result
memo_file_end(struct memo_file *file, struct why *why)
{
    (void)file;
    return why_perm(why, "5.3.0", "built without Berkeley DB");
}

#endif

/*
 * table_writer - a new file for an indexed table, put into place by rename(2).
 *
 * The file beside is the lock as well: whoever holds flock(2) on the inode that
 * its name means is the writer. It is made with mode 0600, so that nobody else
 * can hold that lock; a crash leaves it, and the next writer uses it.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/table/table_type.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_POLL_MS = 20 };

static void
writer_free(struct table_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    mem_free(w->path);
    mem_free(w->beside);
    mem_free(w);
}

static bool
is_still_named(int fd, const char *path)
{
    struct stat held, named;

    return fstat(fd, &held) == 0 && stat(path, &named) == 0 &&
        held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

/* One try. RESULT_OK with w->fd -1: somebody else has it. */
static enum result
try_lock(struct table_writer *w, struct why *why)
{
    w->fd = open(w->beside, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->fd < 0)
        return why_errno(why, "create %s", w->beside);
    if (flock(w->fd, LOCK_EX | LOCK_NB) == 0 &&
        is_still_named(w->fd, w->beside))
        return RESULT_OK;
    close(w->fd);
    w->fd = -1;
    return RESULT_OK;
}

/* Commands wait here, not fibers. */
static enum result
lock(struct table_writer *w, struct why *why)
{
    int64_t deadline = clock_now_ms() + TABLE_WRITER_WAIT_MS;

    for (;;) {
        enum result res = try_lock(w, why);

        if (res != RESULT_OK || w->fd >= 0)
            return res;
        if (clock_now_ms() > deadline)
            return why_temp(why, "4.3.0", "%s: another process writes it",
                w->path);
        (void)poll(NULL, 0, LOCK_POLL_MS);
    }
}

static enum result
copy_present(struct table_writer *w, bool *there, struct why *why)
{
    int from = open(w->path, O_RDONLY | O_CLOEXEC);
    enum result res = RESULT_OK;
    struct stat st;

    *there = from >= 0;
    if (from < 0)
        return errno == ENOENT ? RESULT_OK : why_errno(why, "open %s", w->path);
    if (fstat(from, &st) == 0)
        w->mode = st.st_mode & 0777;
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = copy_file_range(from, NULL, w->fd, NULL, (size_t)left, 0);

        if (n <= 0) {
            res = why_errno(why, "copy %s", w->path);
            break;
        }
        left -= n;
    }
    close(from);
    return res;
}

static enum result
begin(struct table_writer *w, struct why *why)
{
    bool update = false;
    enum result res = lock(w, why);

    if (res != RESULT_OK)
        return res;
    if (ftruncate(w->fd, 0) < 0)
        return why_errno(why, "truncate %s", w->beside);
    if (w->flags & TABLE_WRITER_UPDATE) {
        res = copy_present(w, &update, why);
        if (res != RESULT_OK)
            return res;
    }
    return w->type->write->open(w, w->beside, update, why);
}

enum result
table_writer_open(struct slice type_name, const char *file, mode_t mode,
    unsigned flags, struct table_writer **out, struct why *why)
{
    const struct table_type *type = table_type_find(type_name);
    struct table_writer *w;
    enum result res;

    if (type == NULL)
        return why_perm(why, "5.3.5", "unsupported dictionary type: " SLICE_FMT,
            SLICE_ARG(type_name));
    if (type->write == NULL)
        return why_perm(why, "5.3.5",
            "unsupported dictionary type: %s does not support bulk-mode "
            "creation.",
            type->name);
    w = mem_alloc(sizeof(*w));
    w->type = type;
    w->fd = -1;
    w->mode = mode;
    w->flags = flags;
    w->path = mem_format("%s%s", file, type->write->suffix);
    w->beside = mem_format("%s.new", w->path);
    res = begin(w, why);
    if (res != RESULT_OK) {
        table_writer_abort(w);
        return res;
    }
    *out = w;
    return RESULT_OK;
}

const char *
table_writer_path(const struct table_writer *w)
{
    return w->path;
}

static bool
with_nul(const struct table_writer *w)
{
    if (w->flags & TABLE_WRITER_NO_NUL)
        return false;
    return !w->type->write->bare || (w->flags & TABLE_WRITER_NUL) != 0;
}

static void
fold(struct buf *key)
{
    for (size_t i = 0; i < key->len; i++)
        if (key->ptr[i] >= 'A' && key->ptr[i] <= 'Z')
            key->ptr[i] = (char)(key->ptr[i] - 'A' + 'a');
}

/* The key as it shall stand: folded, with its NUL. */
static void
make_key(const struct table_writer *w, struct slice key, bool raw,
    struct buf *to)
{
    buf_add(to, key);
    if (!raw && (w->flags & TABLE_WRITER_FOLD) != 0)
        fold(to);
    if (!raw && with_nul(w))
        buf_add_octet(to, '\0');
}

enum result
table_writer_put(struct table_writer *w, struct slice key, struct slice value,
    enum table_put how, bool *duplicate, struct why *why)
{
    bool raw = how == TABLE_PUT_RAW;
    struct buf k, v;
    enum result res;

    buf_init(&k, key.len + 1);
    buf_init(&v, value.len + 1);
    make_key(w, key, raw, &k);
    buf_add(&v, value);
    if (!raw && with_nul(w))
        buf_add_octet(&v, '\0');
    res = w->type->write->put(w, buf_slice(&k), buf_slice(&v), how, duplicate,
        why);
    buf_fini(&k);
    buf_fini(&v);
    return res;
}

/* A file that was made by others may have its keys with the NUL or without. */
enum result
table_writer_remove(struct table_writer *w, struct slice key, bool *found,
    struct why *why)
{
    struct buf k;
    struct slice bare;
    enum result res;

    buf_init(&k, key.len + 1);
    make_key(w, key, true, &k);
    if (w->flags & TABLE_WRITER_FOLD)
        fold(&k);
    buf_add_octet(&k, '\0');
    bare = slice_head(buf_slice(&k), key.len);
    res = w->type->write->remove(w, buf_slice(&k), found, why);
    if (res == RESULT_OK && !*found)
        res = w->type->write->remove(w, bare, found, why);
    buf_fini(&k);
    return res;
}

static enum result
put_into_place(struct table_writer *w, struct why *why)
{
    if (fchmod(w->fd, w->mode & 0777) < 0)
        return why_errno(why, "chmod %s", w->beside);
    if (fsync(w->fd) < 0)
        return why_errno(why, "fsync %s", w->beside);
    if (rename(w->beside, w->path) < 0)
        return why_errno(why, "rename %s to %s", w->beside, w->path);
    return RESULT_OK;
}

enum result
table_writer_commit(struct table_writer *w, struct why *why)
{
    enum result res = w->type->write->finish(w, why);

    if (res == RESULT_OK)
        res = put_into_place(w, why);
    if (res != RESULT_OK) {
        table_writer_abort(w);
        return res;
    }
    w->type->write->close(w);
    writer_free(w);
    return RESULT_OK;
}

void
table_writer_abort(struct table_writer *w)
{
    if (w == NULL)
        return;
    w->type->write->close(w);
    if (w->fd >= 0)
        (void)unlink(w->beside);
    writer_free(w);
}

/*
 * Bodies too large for the log: files of their own. All of it is durable, the
 * name too, before the transaction that speaks of it is committed; what was
 * linked in vain is swept at the next start.
 */
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "qmgr/spool/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

enum { PIECE = 256 * 1024, NAME_SIZE = 20 };

static void
name_of(uint64_t number, char name[NAME_SIZE])
{
    (void)snprintf(name, NAME_SIZE, "%016" PRIx64, number);
}

enum result
spool_blob_lend(struct spool *s, int *fd, struct why *why)
{
    int file = s->disk->open(s->disk, s->blob_dir, ".", O_RDWR | O_TMPFILE,
        0600);

    if (file < 0)
        return why_errno(why, "spool/blob: unnamed file");
    *fd = file;
    return RESULT_OK;
}

/* What the borrower wrote is what it says it wrote. */
static enum result
verify(struct spool *s, int fd, uint64_t length, uint32_t crc, struct why *why)
{
    int64_t found = s->disk->length(s->disk, fd);
    unsigned char *piece;
    uint32_t so_far = 0;
    uint64_t at;

    if (found < 0)
        return why_errno(why, "blob: length");
    if ((uint64_t)found != length)
        return why_perm(why, "5.3.0",
            "blob has %" PRId64 " octets, not %" PRIu64, found, length);
    piece = mem_alloc(PIECE);
    for (at = 0; at < length; at += PIECE) {
        size_t n = length - at < PIECE ? (size_t)(length - at) : PIECE;

        if (!spool_read_octets(s, fd, piece, n, at))
            break;
        so_far = crc32c(so_far, piece, n);
    }
    if (at < length) {
        enum result res = why_errno(why, "blob: read");

        mem_free(piece);
        return res;
    }
    mem_free(piece);
    if (so_far != crc)
        return why_perm(why, "5.3.0", "blob does not have its checksum");
    return RESULT_OK;
}

enum result
spool_blob_keep(struct spool *s, int fd, uint64_t length, uint32_t crc,
    uint64_t *number, struct why *why)
{
    enum result res = verify(s, fd, length, crc, why);
    char name[NAME_SIZE];
    uint64_t n;

    if (res != RESULT_OK)
        return res;
    n = atomic_fetch_add(&s->blob_serial, 1) + 1;
    name_of(n, name);
    if (s->disk->sync(s->disk, fd) < 0)
        return why_errno(why, "blob: flush");
    if (s->disk->link(s->disk, fd, s->blob_dir, name) < 0)
        return why_errno(why, "blob/%s: link", name);
    if (s->disk->sync(s->disk, s->blob_dir) < 0) {
        res = why_errno(why, "blob: flush directory");
        (void)s->disk->unlink(s->disk, s->blob_dir, name);
        return res;
    }
    *number = n;
    return RESULT_OK;
}

enum result
spool_blob_open(struct spool *s, uint64_t number, int *fd, struct why *why)
{
    char name[NAME_SIZE];
    int file;

    name_of(number, name);
    file = s->disk->open(s->disk, s->blob_dir, name, O_RDONLY, 0);
    if (file < 0)
        return why_errno(why, "blob/%s: open", name);
    *fd = file;
    return RESULT_OK;
}

/* It is as long as it should be, and leaves queue_minfree untouched. */
static enum result
check_source(struct spool *s, struct spool *from, int fd, uint64_t length,
    struct why *why)
{
    int64_t found = from->disk->length(from->disk, fd);
    int64_t left = s->disk->free_octets(s->disk, s->dir);

    if (found < 0)
        return why_errno(why, "blob: length");
    if ((uint64_t)found < length)
        return why_perm(why, "5.3.0", "blob is too short");
    if (left >= 0 &&
        ((uint64_t)left < s->min_free || (uint64_t)left - s->min_free < length))
        return why_temp(why, "4.3.1", "Insufficient system storage");
    return RESULT_OK;
}

static enum result
copy_octets(struct spool *s, int to, struct spool *from, int fd,
    uint64_t length, struct why *why)
{
    unsigned char *piece = mem_alloc(PIECE);
    enum result res = RESULT_OK;

    for (uint64_t at = 0; res == RESULT_OK && at < length; at += PIECE) {
        size_t n = length - at < PIECE ? (size_t)(length - at) : PIECE;
        struct iovec iov = { piece, n };

        if (!spool_read_octets(from, fd, piece, n, at))
            res = errno == EIO ? why_perm(why, "5.3.0", "blob is too short")
                               : why_errno(why, "blob: read");
        else if (s->disk->write(s->disk, to, &iov, 1, (off_t)at) < 0)
            res = why_errno(why, "blob: write");
    }
    mem_free(piece);
    return res;
}

enum result
spool_blob_copy(struct spool *s, struct spool *from, uint64_t number,
    uint64_t length, uint32_t crc, uint64_t *copy, struct why *why)
{
    enum result res;
    int fd, to = -1;

    if (spool_blob_open(from, number, &fd, why) != RESULT_OK)
        return why->sys == ENOENT || why->sys == ELOOP
            ? why_perm(why, "5.3.0", "blob is missing, or no file")
            : RESULT_TEMPFAIL;
    res = check_source(s, from, fd, length, why);
    if (res == RESULT_OK)
        res = spool_blob_lend(s, &to, why);
    if (res == RESULT_OK) {
        res = copy_octets(s, to, from, fd, length, why);
        if (res == RESULT_OK)
            res = spool_blob_keep(s, to, length, crc, copy, why);
        spool_blob_close(s, to);
    }
    spool_blob_close(from, fd);
    return res;
}

void
spool_blob_close(struct spool *s, int fd)
{
    (void)s->disk->close(s->disk, fd);
}

/* Should it come back after a power cut, the next sweep takes it. */
void
spool_blob_drop(struct spool *s, uint64_t number)
{
    char name[NAME_SIZE];

    name_of(number, name);
    (void)s->disk->unlink(s->disk, s->blob_dir, name);
}

struct sweep {
    bool (*live)(void *context, uint64_t number);
    void *context;
    uint64_t *dead;
    size_t count, room;
};

/* Names that are not ours are somebody's: left alone. */
static void
sweep_name(void *context, const char *name)
{
    struct sweep *w = context;
    struct slice text = slice_of(name);
    uint64_t number;

    if (text.len != 16 || !num_parse_hex(text, UINT64_MAX, &number) ||
        w->live(w->context, number))
        return;
    if (w->count == w->room) {
        w->room = w->room == 0 ? 64 : w->room * 2;
        w->dead = mem_resize(w->dead, w->room * sizeof(*w->dead));
    }
    w->dead[w->count++] = number;
}

void
spool_blob_sweep(struct spool *s, bool (*live)(void *context, uint64_t number),
    void *context)
{
    struct sweep w = { .live = live, .context = context };

    if (s->disk->list(s->disk, s->blob_dir, sweep_name, &w) == 0)
        for (size_t i = 0; i < w.count; i++)
            spool_blob_drop(s, w.dead[i]);
    mem_free(w.dead);
}

/*
 * How a use of a segment ends: sealed when it is full, closed when its disk
 * fails, retired when nothing in it is needed.
 */
#include "lib/base/crc32c.h"
#include "qmgr/spool/state.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* Forget which of the open ones it is. */
static void
detach(struct spool *s, const struct segment *seg)
{
    for (int p = 0; p < PURPOSE_COUNT; p++)
        if (s->open[p] == seg)
            s->open[p] = NULL;
}

/*
 * The trailer last: with it, a bad index block is damage and no torn write.
 * With the index flushed, whatever was written in vain behind the last batch is
 * overwritten; a trailer that fails only costs the shortcut at the start.
 */
static enum segment_use
write_index(struct spool *s, struct segment *seg)
{
    unsigned char octets[TRAILER_SIZE];
    struct iovec index = { seg->index.ptr, seg->index.len };
    struct iovec trailer = { octets, sizeof(octets) };
    struct trailer t = {
        .key = seg->key,
        .data_end = seg->end,
        .index_at = seg->end,
        .index_len = seg->index.len,
        .last_serial = seg->last_serial,
        .entries = seg->entries,
        .index_crc = crc32c(0, seg->index.ptr, seg->index.len),
    };

    trailer_encode(&t, octets);
    if (buf_failed(&seg->index) ||
        s->disk->reserve(s->disk, seg->fd, (off_t)seg->size) < 0 ||
        s->disk->write(s->disk, seg->fd, &index, 1, (off_t)seg->end) < 0 ||
        s->disk->flush(s->disk, seg->fd) < 0)
        return USE_OPEN;
    seg->reserved = seg->size;
    if (s->disk->write(s->disk, seg->fd, &trailer, 1,
            (off_t)(seg->size - BLOCK_SIZE)) < 0 ||
        s->disk->flush(s->disk, seg->fd) < 0)
        return USE_CLOSED;
    return USE_SEALED;
}

void
segment_close_bad(struct spool *s, struct segment *seg)
{
    static unsigned char zeros[BLOCK_SIZE];
    struct iovec iov = { zeros, sizeof(zeros) };

    detach(s, seg);
    seg->bad = true;
    assert(s->closure_count < CLOSURES_MAX);
    s->closures[s->closure_count++] = (struct closure){ seg->key.generation,
        seg->end };
    spool_count(s, &s->stats.closed, 1);
    segment_set_use(s, seg, USE_CLOSED);
    s->closures_durable = false;
    /*
     * The next header, once durable, makes what was written in vain invalid.
     * Should this process die before, the begin of it had better be gone.
     */
    (void)s->disk->write(s->disk, seg->fd, &iov, 1, (off_t)seg->end);
}

void
segment_seal(struct spool *s, struct segment *seg)
{
    enum segment_use use = write_index(s, seg);

    if (use == USE_OPEN) {
        /* Its batches are durable; what is behind them must not come back. */
        segment_close_bad(s, seg);
        return;
    }
    detach(s, seg);
    segment_set_use(s, seg, use);
    if (use == USE_SEALED) {
        buf_fini(&seg->index);
        buf_init(&seg->index, INT32_MAX);
    }
}

/* REMOVE records that waited for what was retired need not be kept any more. */
static void
forget_targets(struct spool *s)
{
    for (size_t i = 0; i < s->segment_count; i++) {
        struct segment *seg = s->segments[i];
        uint64_t octets;

        if (!segment_in_use(seg))
            continue;
        octets = target_forget(s, seg);
        pthread_mutex_lock(&s->lock);
        seg->live -= octets < seg->live ? octets : seg->live;
        pthread_mutex_unlock(&s->lock);
    }
}

static void
after_retire(struct spool *s, struct segment *seg, enum segment_use use)
{
    size_t kept = 0;

    segment_set_use(s, seg, use);
    seg->target_count = 0;
    buf_fini(&seg->index);
    buf_init(&seg->index, INT32_MAX);
    for (size_t i = 0; i < s->closure_count; i++)
        if (s->closures[i].generation != seg->key.generation)
            s->closures[kept++] = s->closures[i];
    s->closure_count = kept;
    spool_count(s, &s->stats.cleaned, 1);
    forget_targets(s);
}

/* Readers may still hold the descriptor: the last of them closes it. */
static void
drop_file(struct spool *s, struct segment *seg)
{
    int fd = -1;

    pthread_mutex_lock(&s->lock);
    if (seg->readers == 0) {
        fd = seg->fd;
        seg->fd = -1;
    }
    pthread_mutex_unlock(&s->lock);
    if (fd >= 0)
        (void)s->disk->close(s->disk, fd);
}

static enum result
remove_file(struct spool *s, struct segment *seg, struct why *why)
{
    char name[16];

    segment_name(seg, name);
    if (s->disk->unlink(s->disk, s->segment_dir, name) < 0 && errno != ENOENT)
        return why_errno(why, "segment/%s: remove", name);
    if (s->disk->sync(s->disk, s->segment_dir) < 0)
        return why_errno(why, "segment: flush directory");
    return RESULT_OK;
}

/* It has octets that could not be read: somebody may, with other means. */
static enum result
move_file(struct spool *s, struct segment *seg, struct why *why)
{
    char name[16], to[48];

    segment_name(seg, name);
    (void)snprintf(to, sizeof(to), "%s-%016" PRIx64 "-unreadable", name,
        seg->key.generation);
    if (s->disk->rename(s->disk, s->segment_dir, name, s->damaged_dir, to) <
            0 &&
        errno != ENOENT)
        return why_errno(why, "segment/%s: move to damaged/%s", name, to);
    if (s->disk->sync(s->disk, s->damaged_dir) < 0 ||
        s->disk->sync(s->disk, s->segment_dir) < 0)
        return why_errno(why, "segment: flush directory");
    return RESULT_OK;
}

/* The first with a header of its own that may have them; one that failed last. */
static struct segment *
closures_bearer(const struct spool *s, const struct segment *leaving)
{
    struct segment *failed = NULL;

    for (size_t i = 0; i < s->segment_count; i++) {
        struct segment *seg = s->segments[i];

        if (!segment_in_use(seg) || seg == leaving || !seg->header_done)
            continue;
        if (!seg->bad)
            return seg;
        failed = seg;
    }
    return failed;
}

/*
 * While a closed segment is there, some header has to say where it ends. All
 * that are written say so; this writes one more when the newest is to go.
 */
static enum result
closures_save(struct spool *s, const struct segment *leaving, struct why *why)
{
    struct segment *seg = closures_bearer(s, leaving);

    if (seg == NULL || s->closure_count == 0 || s->closures_durable)
        return RESULT_OK;
    if (segment_write_header(s, seg, SEGMENT_USED, why) != RESULT_OK ||
        s->disk->flush(s->disk, seg->fd) < 0)
        return why_temp(why, "4.3.0", "spool: closures cannot be saved");
    s->closures_durable = true;
    return RESULT_OK;
}

enum result
segment_retire(struct spool *s, struct segment *seg, struct why *why)
{
    enum result res;
    char name[16];

    if (!seg->bad && !seg->keep) {
        res = segment_write_header(s, seg, SEGMENT_FREE, why);
        if (res == RESULT_OK && s->disk->flush(s->disk, seg->fd) < 0)
            res = why_errno(why, "segment/%s: flush header",
                segment_name(seg, name));
        if (res == RESULT_OK) {
            s->closures_durable = true;
            after_retire(s, seg, USE_FREE);
            return RESULT_OK;
        }
        seg->bad = true;
    }
    if (seg->keep)
        s->closures_durable = false; /* perhaps its header alone has them */
    res = closures_save(s, seg, why);
    if (res == RESULT_OK)
        res = seg->keep ? move_file(s, seg, why) : remove_file(s, seg, why);
    if (res != RESULT_OK)
        return res;
    after_retire(s, seg, USE_GONE);
    drop_file(s, seg);
    return RESULT_OK;
}

/* What has been set aside is in free ones, too. */
static size_t
segments_for_taken(struct spool *s)
{
    uint64_t taken;

    pthread_mutex_lock(&s->lock);
    taken = s->room_taken;
    pthread_mutex_unlock(&s->lock);
    return (size_t)(2 * taken / s->segment_size);
}

void
segment_trim(struct spool *s)
{
    size_t kept = FREE_KEPT + segments_for_taken(s);

    if (s->closure_count > 0)
        return; /* a free one may be the only one that says so */
    for (size_t i = s->segment_count; i-- > 0 && segments_free(s) > kept;) {
        struct segment *seg = s->segments[i];
        char name[16];

        if (seg == NULL || seg->use != USE_FREE)
            continue;
        if (s->disk->unlink(s->disk, s->segment_dir, segment_name(seg, name)) <
            0)
            return;
        /* A power cut may bring it back: free, as it was. */
        segment_set_use(s, seg, USE_GONE);
        drop_file(s, seg);
    }
}

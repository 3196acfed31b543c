#include "qmgr/spool/spool.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "qmgr/spool/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static enum result
subdirectory(struct spool *s, const char *name, int *fd, struct why *why)
{
    if (s->disk->mkdir(s->disk, s->dir, name, 0700) < 0 && errno != EEXIST)
        return why_errno(why, "spool/%s: create directory", name);
    *fd = s->disk->open(s->disk, s->dir, name, O_RDONLY | O_DIRECTORY, 0);
    if (*fd < 0)
        return why_errno(why, "spool/%s: open directory", name);
    return RESULT_OK;
}

static enum result
directories(struct spool *s, struct why *why)
{
    enum result res = subdirectory(s, "segment", &s->segment_dir, why);

    if (res == RESULT_OK)
        res = subdirectory(s, "blob", &s->blob_dir, why);
    if (res == RESULT_OK)
        res = subdirectory(s, "damaged", &s->damaged_dir, why);
    /* Also after a start that made them, or "owner", and failed before this. */
    if (res == RESULT_OK && s->disk->sync(s->disk, s->dir) < 0)
        res = why_errno(why, "spool: flush directory");
    return res;
}

static void
new_identity(struct spool *s)
{
    for (size_t i = 0; i < SPOOL_ID_SIZE; i += sizeof(uint64_t)) {
        uint64_t word = random_u64();

        memcpy(s->id + i, &word, sizeof(word));
    }
}

static void
release(struct spool *s)
{
    int *fds[] = { &s->segment_dir, &s->blob_dir, &s->damaged_dir,
        &s->lock_fd };

    clean_free(s);
    target_fini(s);
    for (size_t i = 0; i < s->segment_count; i++) {
        struct segment *seg = s->segments[i];

        if (seg == NULL)
            continue;
        if (seg->fd >= 0)
            (void)s->disk->close(s->disk, seg->fd);
        buf_fini(&seg->index);
        mem_free(seg->targets);
        mem_free(seg);
    }
    mem_free(s->segments);
    batch_fini(&s->batch);
    free(s->buffer);
    /* The lock last. */
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (*fds[i] >= 0)
            (void)s->disk->close(s->disk, *fds[i]);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

static enum result
prepare(struct spool *s, int lock_wait_ms, struct why *why)
{
    enum result res = owner_lock(s, lock_wait_ms, why);

    if (res == RESULT_OK)
        res = directories(s, why);
    return res;
}

enum result
spool_open(const struct spool_options *options, spool_found_fn found,
    spool_damage_fn damage, void *context, struct spool **spool,
    struct why *why)
{
    struct spool *s = mem_alloc(sizeof(*s));
    enum result res;

    s->disk = options->disk;
    s->dir = options->dir;
    s->segment_size = options->segment_size / BLOCK_SIZE * BLOCK_SIZE;
    if (s->segment_size < SPOOL_SEGMENT_MIN)
        s->segment_size = SPOOL_SEGMENT_MIN;
    if (s->segment_size > SPOOL_SEGMENT_MAX)
        s->segment_size = SPOOL_SEGMENT_MAX;
    s->min_free = options->min_free;
    s->segment_dir = s->blob_dir = s->damaged_dir = s->lock_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    map_init(&s->doubled);
    new_identity(s); /* unless there is one */
    res = prepare(s, options->lock_wait_ms, why);
    if (res == RESULT_OK)
        res = spool_recover(s, options, found, damage, context, why);
    if (res != RESULT_OK) {
        release(s);
        return res;
    }
    room_refresh(s);
    *spool = s;
    return RESULT_OK;
}

/*
 * An empty batch behind the last one says that this was durable, so that damage
 * to it is not taken for a torn tail.
 */
static bool
mark_end(struct spool *s, int p)
{
    struct segment *seg = s->open[p];
    struct why why;

    batch_clear(&s->batch);
    if (seg == NULL || seg->clean_end || seg->end == SEGMENT_DATA ||
        !segment_fits(seg, 0, 0))
        return true;
    if (batch_append(s, &s->batch, (enum segment_purpose)p, CLAIM_SETTLING,
            &why) == RESULT_OK)
        return true;
    log_warning("spool: %s", why.text);
    return false;
}

/* And the owner's file says where it is: then nothing is looked for behind. */
static void
mark_ends(struct spool *s)
{
    struct why why;

    for (int p = 0; p < PURPOSE_COUNT; p++)
        if (!mark_end(s, p))
            return;
    for (int p = 0; p < PURPOSE_COUNT; p++)
        if (s->open[p] != NULL && s->open[p]->end > SEGMENT_DATA)
            s->ends[s->end_count++] = (struct closure){
                .generation = s->open[p]->key.generation,
                .end = s->open[p]->end,
            };
    if (s->end_count > 0 && owner_write(s, &why) != RESULT_OK)
        log_warning("spool: %s", why.text);
}

void
spool_close(struct spool *s)
{
    if (s == NULL)
        return;
    mark_ends(s);
    release(s);
}

void
spool_stats(struct spool *s, struct spool_stats *stats)
{
    pthread_mutex_lock(&s->lock);
    *stats = s->stats;
    stats->segments = stats->segments_free = 0;
    stats->octets_live = stats->octets_used = 0;
    for (size_t i = 0; i < s->segment_count; i++) {
        const struct segment *seg = s->segments[i];

        if (seg == NULL || seg->use == USE_GONE)
            continue;
        stats->segments++;
        if (seg->use == USE_FREE) {
            stats->segments_free++;
            continue;
        }
        stats->octets_live += seg->live;
        stats->octets_used += s->segment_size;
    }
    pthread_mutex_unlock(&s->lock);
}

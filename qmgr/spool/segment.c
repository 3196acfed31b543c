#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "qmgr/spool/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PLACE_SLOT_MASK = (1 << PLACE_SLOT_BITS) - 1 };

void
spool_count(struct spool *s, uint64_t *what, uint64_t n)
{
    pthread_mutex_lock(&s->lock);
    *what += n;
    pthread_mutex_unlock(&s->lock);
}

uint64_t
spool_next_serial(struct spool *s)
{
    return ++s->serial;
}

const char *
segment_name(const struct segment *seg, char name[16])
{
    (void)snprintf(name, 16, "%04" PRIu32, seg->slot);
    return name;
}

struct segment *
segment_add(struct spool *s, uint32_t slot)
{
    struct segment *seg = mem_alloc(sizeof(*seg));

    seg->slot = slot;
    seg->fd = -1;
    seg->use = USE_GONE;
    buf_init(&seg->index, INT32_MAX);
    pthread_mutex_lock(&s->lock);
    if (slot >= s->segment_count) {
        s->segments = mem_resize(s->segments,
            (slot + 1) * sizeof(*s->segments));
        memset(s->segments + s->segment_count, 0,
            (slot + 1 - s->segment_count) * sizeof(*s->segments));
        s->segment_count = slot + 1;
    }
    s->segments[slot] = seg;
    pthread_mutex_unlock(&s->lock);
    return seg;
}

bool
spool_read_octets(struct spool *s, int fd, void *to, size_t len,
    uint64_t offset)
{
    for (unsigned attempt = 0;; attempt++) {
        ssize_t n = s->disk->read(s->disk, fd, to, len, (off_t)offset);

        if (n == (ssize_t)len)
            return true;
        if (n >= 0) {
            errno = EIO; /* the file ends too early */
            return false;
        }
        if (attempt > 0)
            return false;
    }
}

void
segment_set_use(struct spool *s, struct segment *seg, enum segment_use use)
{
    pthread_mutex_lock(&s->lock);
    seg->use = use;
    if (use == USE_FREE || use == USE_GONE) {
        seg->place = 0;
        seg->live = 0;
    }
    pthread_mutex_unlock(&s->lock);
}

bool
segment_in_use(const struct segment *seg)
{
    return seg != NULL && seg->use != USE_FREE && seg->use != USE_GONE;
}

struct segment *
segment_of_generation(const struct spool *s, uint64_t generation)
{
    for (size_t i = 0; i < s->segment_count; i++)
        if (segment_in_use(s->segments[i]) &&
            s->segments[i]->key.generation == generation)
            return s->segments[i];
    return NULL;
}

size_t
segments_free(const struct spool *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->segment_count; i++)
        if (s->segments[i] != NULL && s->segments[i]->use == USE_FREE)
            n++;
    return n;
}

/* How many the claim has to leave when it takes one. */
static size_t
must_leave(const struct spool *s, enum claim claim)
{
    size_t cleaner = RESERVE_CLEANER;

    if (claim == CLAIM_CLEANER)
        return 0;
    for (int p = PURPOSE_META; p < PURPOSE_COUNT; p++)
        if (s->open[p] != NULL)
            cleaner--; /* it has this one already */
    return cleaner + (claim == CLAIM_FRESH ? RESERVE_SETTLING : 0);
}

/* One without a file; a reader may still hold that of a slot just removed. */
static struct segment *
unused_slot(struct spool *s)
{
    uint32_t slot;

    for (slot = 0; slot < s->segment_count; slot++) {
        struct segment *seg = s->segments[slot];
        bool unused;

        if (seg == NULL)
            break;
        pthread_mutex_lock(&s->lock);
        unused = seg->use == USE_GONE && seg->fd < 0;
        pthread_mutex_unlock(&s->lock);
        if (unused)
            return seg;
    }
    return slot < SLOTS_MAX ? segment_add(s, slot) : NULL;
}

/*
 * A new file, all of its blocks there. Its name has to be durable before
 * anything in it is acknowledged; its zeros say that it is free.
 */
static bool
create(struct spool *s, uint64_t reserve)
{
    struct segment *seg = unused_slot(s);
    char name[16];
    int fd;

    if (seg == NULL) {
        errno = ENOSPC;
        return false;
    }
    segment_name(seg, name);
    if (seg->left && s->disk->unlink(s->disk, s->segment_dir, name) < 0 &&
        errno != ENOENT)
        return false;
    seg->left = false;
    fd = s->disk->open(s->disk, s->segment_dir, name, O_RDWR | O_CREAT | O_EXCL,
        0600);
    if (fd < 0)
        return false;
    if (s->disk->reserve(s->disk, fd, (off_t)reserve) < 0 ||
        s->disk->sync(s->disk, fd) < 0 ||
        s->disk->sync(s->disk, s->segment_dir) < 0) {
        int saved = errno;

        seg->left = s->disk->unlink(s->disk, s->segment_dir, name) < 0;
        (void)s->disk->close(s->disk, fd);
        errno = saved;
        return false;
    }
    pthread_mutex_lock(&s->lock);
    seg->fd = fd;
    seg->use = USE_FREE;
    pthread_mutex_unlock(&s->lock);
    seg->reserved = reserve;
    seg->bad = seg->keep = false;
    return true;
}

static bool
create_whole(struct spool *s)
{
    int64_t free_octets = s->disk->free_octets(s->disk, s->dir);

    if (free_octets >= 0 && (uint64_t)free_octets < s->segment_size) {
        errno = ENOSPC;
        return false;
    }
    return create(s, s->segment_size);
}

bool
segments_add(struct spool *s)
{
    const struct segment *seg = s->open[PURPOSE_FRESH];

    /* As long as there is one, which grows, its reserve is a part of it. */
    if (s->segment_count <= 1 &&
        (seg == NULL ? segments_free(s) == s->segment_count
                     : seg->reserved < seg->size))
        return false;
    return create_whole(s);
}

int
segment_reserve(struct spool *s, struct segment *seg, uint64_t end)
{
    uint64_t want = round_up(end, seg->size / GROWTH_PART);

    if (end > seg->size)
        end = seg->size;
    if (want > seg->size)
        want = seg->size;
    if (end <= seg->reserved)
        return 0;
    if (s->disk->reserve(s->disk, seg->fd, (off_t)want) < 0) {
        if (s->disk->reserve(s->disk, seg->fd, (off_t)end) < 0)
            return -1;
        want = end;
    }
    seg->reserved = want;
    return 0;
}

bool
segments_prepare(struct spool *s, enum claim claim)
{
    size_t files = 0;

    for (size_t i = 0; i < s->segment_count; i++)
        if (s->segments[i] != NULL && s->segments[i]->use != USE_GONE)
            files++;
    /* The first comes without reserves: it grows. */
    if (files == 0)
        return create(s, s->segment_size / GROWTH_PART);
    if (files == 1 && segments_free(s) == 1)
        return true;
    while (segments_free(s) < must_leave(s, claim) + 1)
        if (!create_whole(s))
            return false;
    return true;
}

static struct segment *
first_free(const struct spool *s)
{
    for (size_t i = 0; i < s->segment_count; i++)
        if (s->segments[i] != NULL && s->segments[i]->use == USE_FREE)
            return s->segments[i];
    return NULL;
}

/* Each open one may become a closure. */
bool
segment_may_open(const struct spool *s)
{
    size_t count = s->closure_count + 1;

    for (int p = 0; p < PURPOSE_COUNT; p++)
        count += s->open[p] != NULL;
    return count <= CLOSURES_MAX;
}

enum result
segment_open(struct spool *s, enum segment_purpose purpose, enum claim claim,
    struct segment **out, struct why *why)
{
    struct segment *seg;

    if (!segment_may_open(s))
        return why_temp(why, "4.3.0", "spool: too many failed segments");
    if (!segments_prepare(s, claim))
        return why_errno(why, "spool: new segment");
    seg = first_free(s);
    seg->purpose = purpose;
    seg->end = SEGMENT_DATA;
    seg->last_serial = 0;
    seg->entries = 0;
    seg->header_done = seg->clean_end = seg->damaged = false;
    seg->stuck_until_ms = 0;
    seg->size = s->segment_size;
    seg->target_count = 0;
    buf_clear(&seg->index);
    pthread_mutex_lock(&s->lock);
    seg->key = (struct segment_key){ ++s->generation, random_u64() };
    seg->use = USE_OPEN;
    seg->live = 0;
    /* The use's low bits tell it from the uses just before and after. */
    seg->place = (seg->slot + 1) |
        (uint32_t)(seg->key.generation << PLACE_SLOT_BITS);
    pthread_mutex_unlock(&s->lock);
    s->open[purpose] = seg;
    *out = seg;
    return RESULT_OK;
}

enum result
segment_write_header(struct spool *s, struct segment *seg,
    enum segment_state state, struct why *why)
{
    struct iovec iov = { s->block, BLOCK_SIZE };
    struct segment_header h = {
        .state = state,
        .stamp = spool_next_serial(s),
        .key = seg->key,
        .size = seg->size,
        .purpose = seg->purpose,
        .closure_count = (uint32_t)s->closure_count,
    };
    char name[16];

    memcpy(h.spool_id, s->id, sizeof(h.spool_id));
    memcpy(h.closures, s->closures, sizeof(h.closures));
    segment_header_encode(&h, s->block);
    if (s->disk->write(s->disk, seg->fd, &iov, 1, 0) < 0)
        return why_errno(why, "segment/%s: write header",
            segment_name(seg, name));
    return RESULT_OK;
}

/* The last block is the trailer's, the index lies before it. */
static uint64_t
data_limit(const struct segment *seg, uint64_t index_octets)
{
    return seg->size - BLOCK_SIZE -
        round_up(seg->index.len + index_octets, BLOCK_SIZE);
}

bool
segment_fits(const struct segment *seg, uint64_t octets, uint64_t index_octets)
{
    uint64_t index = round_up(seg->index.len + index_octets, BLOCK_SIZE);
    uint64_t need = round_up(BATCH_HEADER_SIZE + octets, BLOCK_SIZE);

    return seg->end + need + index + BLOCK_SIZE <= seg->size;
}

uint64_t
segment_left(const struct segment *seg)
{
    uint64_t limit = data_limit(seg, BLOCK_SIZE);

    return seg->end + BATCH_HEADER_SIZE >= limit
        ? 0
        : limit - seg->end - BATCH_HEADER_SIZE;
}

/* Under lock, or on the committer. */
struct segment *
segment_at(const struct spool *s, const struct spool_place *place)
{
    uint32_t slot = (place->segment & PLACE_SLOT_MASK) - 1;
    struct segment *seg;

    if (place->segment == 0 || slot >= s->segment_count)
        return NULL;
    seg = s->segments[slot];
    return seg != NULL && seg->place == place->segment ? seg : NULL;
}

struct segment *
segment_hold(struct spool *s, const struct spool_place *place,
    struct segment_key *key)
{
    struct segment *seg;

    pthread_mutex_lock(&s->lock);
    seg = segment_at(s, place);
    if (seg != NULL) {
        seg->readers++;
        *key = seg->key;
    }
    pthread_mutex_unlock(&s->lock);
    return seg;
}

void
segment_release(struct spool *s, struct segment *seg)
{
    int fd = -1;

    pthread_mutex_lock(&s->lock);
    if (--seg->readers == 0 && seg->use == USE_GONE) {
        fd = seg->fd;
        seg->fd = -1;
    }
    pthread_mutex_unlock(&s->lock);
    if (fd >= 0)
        (void)s->disk->close(s->disk, fd);
}

void
segment_count_record(struct spool *s, struct segment *seg,
    const struct record_info *r)
{
    uint64_t octets = record_length(r);

    if (r->type == RECORD_REMOVE) {
        if (!target_needed(s, seg, r->other))
            return;
        target_count(seg, r->other, octets);
    }
    pthread_mutex_lock(&s->lock);
    seg->live += octets;
    pthread_mutex_unlock(&s->lock);
}

void
spool_record_dead(struct spool *s, const struct spool_place *place)
{
    struct segment *seg;

    pthread_mutex_lock(&s->lock);
    seg = segment_at(s, place);
    if (seg != NULL)
        seg->live -= place->length < seg->live ? place->length : seg->live;
    pthread_mutex_unlock(&s->lock);
}

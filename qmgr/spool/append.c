#include "lib/base/mem.h"
#include "qmgr/spool/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_MIN = 64 * 1024 };

void
batch_clear(struct batch *b)
{
    b->count = 0;
    b->octets = b->index_octets = 0;
}

void
batch_add(struct batch *b, const struct entry *e)
{
    if (b->count == b->room) {
        b->room = b->room == 0 ? 64 : b->room * 2;
        b->entries = mem_resize(b->entries, b->room * sizeof(*b->entries));
    }
    b->entries[b->count++] = *e;
    b->octets += record_length(&e->info);
    b->index_octets += index_entry_length(e->info.brief.len);
}

void
batch_fini(struct batch *b)
{
    mem_free(b->entries);
    *b = (struct batch){ 0 };
}

bool
batch_takes(const struct spool *s, const struct segment *seg,
    const struct batch *b, uint64_t octets, uint64_t index_octets)
{
    uint64_t sum = b->octets + octets;
    uint64_t index_sum = b->index_octets + index_octets;

    if (b->count == 0)
        return true;
    if (sum > BATCH_MAX - BATCH_HEADER_SIZE)
        return false;
    if (seg != NULL && segment_fits(seg, b->octets, b->index_octets))
        return segment_fits(seg, sum, index_sum);
    return sum + index_sum <= s->segment_size - SEGMENT_DATA - 4 * BLOCK_SIZE;
}

static void *
aligned(size_t size)
{
    void *ptr = NULL;

    return posix_memalign(&ptr, BLOCK_SIZE, size) == 0 ? ptr : NULL;
}

/* A buffer above the usual size serves one batch. */
static bool
buffer_ready(struct spool *s, size_t size)
{
    size_t want = size < BUFFER_MIN ? BUFFER_MIN : size;

    if (s->buffer_size >= size && s->buffer_size <= BATCH_MAX)
        return true;
    if (want < BATCH_MAX && want < 2 * s->buffer_size)
        want = 2 * s->buffer_size < BATCH_MAX ? 2 * s->buffer_size : BATCH_MAX;
    free(s->buffer);
    s->buffer = aligned(want);
    s->buffer_size = s->buffer == NULL ? 0 : want;
    return s->buffer != NULL;
}

static void
put_slice(unsigned char *to, struct slice from)
{
    if (from.len > 0)
        memcpy(to, from.ptr, from.len);
}

/* Encode for this place: header, records, zeros. */
static void
encode(struct spool *s, struct batch *b, const struct segment *seg,
    const struct batch_header *h)
{
    unsigned char *at = s->buffer + BATCH_HEADER_SIZE;

    batch_header_encode(h, s->buffer);
    for (size_t i = 0; i < b->count; i++) {
        struct entry *e = &b->entries[i];
        unsigned char *start = at, *end;

        e->info.offset = seg->end + (uint64_t)(at - s->buffer);
        end = at + record_length(&e->info);
        at += record_encode(&e->info, &seg->key, at);
        put_slice(at, e->head);
        put_slice(at + e->head.len, e->content);
        at += e->head.len + e->content.len;
        memset(at, 0, (size_t)(end - at));
        at = end;
        if (e->place != NULL)
            *e->place = (struct spool_place){
                .segment = seg->place,
                .offset = (uint32_t)(e->info.offset / 8),
                .length = (uint32_t)(end - start),
            };
    }
    memset(at, 0, (size_t)(s->buffer + h->length - at));
}

/*
 * The first segment only has the octets that it needed so far. It grows ahead
 * of what is written, and fresh mail leaves a piece of that to settling.
 */
static int
grow(struct spool *s, struct segment *seg, uint64_t end, enum claim claim)
{
    uint64_t piece = seg->size / GROWTH_PART;

    if (claim == CLAIM_FRESH && end + piece < seg->size)
        end += piece;
    return segment_reserve(s, seg, end);
}

static bool
is_full(int err)
{
    return err == ENOSPC || err == EDQUOT;
}

enum attempt_end { WRITTEN, NO_SPACE, BROKEN };

static enum attempt_end
write_batch(struct spool *s, struct batch *b, struct segment *seg,
    enum claim claim, struct why *why)
{
    struct batch_header h = {
        .key = seg->key,
        .serial = spool_next_serial(s),
        .previous = seg->last_serial,
        .offset = seg->end,
        .length = round_up(BATCH_HEADER_SIZE + b->octets, BLOCK_SIZE),
        .durable = seg->end,
        .records = (uint32_t)b->count,
    };
    struct iovec iov = { s->buffer, h.length };
    bool new_header = !seg->header_done;
    char name[16];

    segment_name(seg, name);
    if (grow(s, seg, h.offset + h.length, claim) < 0) {
        (void)why_errno(why, "segment/%s: grow", name);
        return is_full(why->sys) ? NO_SPACE : BROKEN;
    }
    if (!seg->header_done) {
        if (segment_write_header(s, seg, SEGMENT_USED, why) != RESULT_OK)
            return is_full(why->sys) ? NO_SPACE : BROKEN;
        seg->header_done = true;
    }
    encode(s, b, seg, &h);
    if (s->disk->write(s->disk, seg->fd, &iov, 1, (off_t)h.offset) < 0) {
        (void)why_errno(why, "segment/%s: write", name);
        return is_full(why->sys) ? NO_SPACE : BROKEN;
    }
    spool_count(s, &s->stats.flushes, 1);
    if (s->disk->flush(s->disk, seg->fd) < 0) {
        (void)why_errno(why, "segment/%s: flush", name);
        return BROKEN;
    }
    s->closures_durable = s->closures_durable || new_header;
    seg->end += h.length;
    seg->last_serial = h.serial;
    seg->clean_end = b->count == 0;
    if (h.length > s->stats.batch_octets_max)
        spool_count(s, &s->stats.batch_octets_max,
            h.length - s->stats.batch_octets_max);
    return WRITTEN;
}

/* The open segment of this purpose, with room for the batch. */
static enum result
segment_for(struct spool *s, const struct batch *b,
    enum segment_purpose purpose, enum claim claim, struct segment **seg,
    struct why *why)
{
    if (s->open[purpose] != NULL) {
        if (segment_fits(s->open[purpose], b->octets, b->index_octets)) {
            *seg = s->open[purpose];
            return RESULT_OK;
        }
        /* The next one first: without it this one stays open for settling. */
        if (!segments_prepare(s, claim))
            return why_errno(why, "spool: next segment");
        segment_seal(s, s->open[purpose]);
    }
    return segment_open(s, purpose, claim, seg, why);
}

static void
account(struct spool *s, struct segment *seg, const struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        index_entry_add(&seg->index, &b->entries[i].info);
        seg->entries++;
        segment_count_record(s, seg, &b->entries[i].info);
    }
}

enum result
batch_append(struct spool *s, struct batch *b, enum segment_purpose purpose,
    enum claim claim, struct why *why)
{
    uint64_t length = round_up(BATCH_HEADER_SIZE + b->octets, BLOCK_SIZE);

    if (!buffer_ready(s, (size_t)length))
        return why_temp(why, "4.3.0", "spool: out of memory");
    /* A segment that fails is closed, and the batch goes to a second one. */
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        struct segment *seg;
        enum result res = segment_for(s, b, purpose, claim, &seg, why);

        if (res != RESULT_OK)
            return res;
        switch (write_batch(s, b, seg, claim, why)) {
        case WRITTEN:
            account(s, seg, b);
            if (purpose == PURPOSE_FRESH)
                budget_mail(&s->budget, length, s->behind);
            else
                budget_spend(&s->budget, length, 1);
            return RESULT_OK;
        case NO_SPACE:
            /* Nothing was promised: the next batch is written over it. */
            return RESULT_TEMPFAIL;
        case BROKEN:
            segment_close_bad(s, seg);
            break;
        }
    }
    return RESULT_TEMPFAIL;
}

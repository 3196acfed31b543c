/*
 * What each file in segment/ is: free, sealed with an index block, or to be
 * scanned. In the end each segment in use has its index in memory.
 */
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "qmgr/spool/scan.h"
#include "qmgr/spool/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 400 };

static void
saw_serial(struct loading *l, uint64_t serial)
{
    if (serial > l->max_serial)
        l->max_serial = serial;
}

/*
 * The name is made of what the damage is, so that the next start, which finds
 * the same, does not make a second copy.
 */
static bool
save(struct spool *s, const char *name, const unsigned char *octets, size_t len)
{
    struct iovec iov;
    int fd = s->disk->open(s->disk, s->damaged_dir, name,
        O_RDWR | O_CREAT | O_EXCL, 0600);
    bool saved;

    if (fd < 0)
        return errno == EEXIST;
    iov.iov_len = len;
    memcpy(&iov.iov_base, &octets, sizeof(octets));
    saved = s->disk->write(s->disk, fd, &iov, 1, 0) == 0 &&
        s->disk->sync(s->disk, fd) == 0 &&
        s->disk->sync(s->disk, s->damaged_dir) == 0;
    (void)s->disk->close(s->disk, fd);
    if (!saved)
        (void)s->disk->unlink(s->disk, s->damaged_dir, name);
    return saved;
}

bool
set_aside(struct loading *l, const struct segment *seg, uint64_t from,
    const unsigned char *octets, size_t len, const char *text)
{
    char name[64], line[TEXT_MAX + 200];
    bool saved;

    (void)snprintf(name, sizeof(name), "%04" PRIu32 "-%016" PRIx64 "-%" PRIu64,
        seg->slot, seg->key.generation, from);
    saved = save(l->spool, name, octets, len);
    (void)snprintf(line, sizeof(line),
        "segment/%04" PRIu32 ": %zu octets at %" PRIu64 ": %s; %s%s", seg->slot,
        len, from, text, saved ? "set aside as damaged/" : "not set aside",
        saved ? name : "");
    l->damage(l->context, line);
    return saved;
}

void
tell_damage(struct loading *l, const struct segment *seg, const char *text)
{
    char line[TEXT_MAX + 100];

    (void)snprintf(line, sizeof(line), "segment/%04" PRIu32 ": %s", seg->slot,
        text);
    l->damage(l->context, line);
}

struct scanning {
    struct loading *loading;
    struct segment *seg;
    const struct image *image;
};

static void
scanned_record(void *context, const struct record_info *r,
    const unsigned char *octets)
{
    struct scanning *sg = context;

    (void)octets;
    index_entry_add(&sg->seg->index, r);
    sg->seg->entries++;
}

static void
scanned_damage(void *context, const struct scan_damage *d)
{
    struct scanning *sg = context;
    char text[TEXT_MAX];

    sg->seg->damaged = true;
    if (d->lost_id != 0)
        (void)snprintf(text, sizeof(text),
            "damaged, %u records kept, %u lost, the first of message %" PRIX64,
            d->kept, d->lost, d->lost_id);
    else
        (void)snprintf(text, sizeof(text),
            "damaged, %u records kept, %u or more lost", d->kept, d->lost);
    if (!set_aside(sg->loading, sg->seg, d->from, sg->image->octets + d->from,
            (size_t)(d->to - d->from), text))
        sg->seg->keep = true;
}

/*
 * That it can be read does not mean that it is durable: a process that was
 * killed may not have flushed its last batch, or not with success, and then no
 * later flush would write it. So this one, and the header, are written again;
 * the same octets, so that it does not matter if that is cut short.
 */
static enum result
make_durable(struct spool *s, struct segment *seg, const struct image *img,
    const struct scan *sc, struct why *why)
{
    struct iovec header = { img->octets, BLOCK_SIZE };
    struct iovec batch = { img->octets + sc->last_at,
        (size_t)(sc->end - sc->last_at) };

    if ((img->have >= BLOCK_SIZE &&
            s->disk->write(s->disk, seg->fd, &header, 1, 0) < 0) ||
        (sc->last_at > 0 &&
            s->disk->write(s->disk, seg->fd, &batch, 1, (off_t)sc->last_at) <
                0) ||
        s->disk->flush(s->disk, seg->fd) < 0)
        return why_errno(why, "segment/%04" PRIu32 ": write again", seg->slot);
    return RESULT_OK;
}

/* Read it all. durable: known from elsewhere; limit: nothing valid behind. */
static enum result
scan_file(struct loading *l, struct segment *seg, uint64_t limit,
    uint64_t durable, struct why *why)
{
    struct spool *s = l->spool;
    struct image img = { .disk = s->disk, .fd = seg->fd };
    enum result res;
    struct scanning sg = { l, seg, &img };
    struct scan sc = {
        .key = seg->key,
        .limit = limit,
        .durable = durable,
        .record = scanned_record,
        .damage = scanned_damage,
        .context = &sg,
    };

    img.length = seg->reserved < seg->size ? seg->reserved : seg->size;
    scan_segment(&img, &sc);
    seg->end = sc.end;
    seg->last_serial = sc.last_serial;
    seg->clean_end = sc.clean_end;
    saw_serial(l, sc.max_serial);
    res = make_durable(s, seg, &img, &sc, why);
    if (img.unreadable) {
        seg->damaged = seg->keep = true;
        tell_damage(l, seg, "has octets that cannot be read");
    }
    image_fini(&img);
    if (res != RESULT_OK)
        return res;
    if (buf_failed(&seg->index))
        return why_temp(why, "4.3.0", "segment/%04" PRIu32 ": out of memory",
            seg->slot);
    seg->use = USE_CLOSED;
    return RESULT_OK;
}

static const struct closure *
end_of(const struct closure *ends, size_t count, uint64_t generation)
{
    for (size_t i = 0; i < count; i++)
        if (ends[i].generation == generation)
            return &ends[i];
    return NULL;
}

static const struct closure *
closure_of(const struct spool *s, const struct segment *seg)
{
    return end_of(s->closures, s->closure_count, seg->key.generation);
}

static enum result
load_used(struct loading *l, struct segment *seg, const struct sealed *sealed,
    struct why *why)
{
    const struct closure *c = closure_of(l->spool, seg);

    switch (sealed->found) {
    case SEALED_NOT:
        break;
    case SEALED_OK:
        seg->end = sealed->trailer.data_end;
        seg->last_serial = sealed->trailer.last_serial;
        seg->use = USE_SEALED;
        return RESULT_OK;
    case SEALED_DAMAGED:
        tell_damage(l, seg,
            "its index block is damaged, all of it is read instead");
        seg->damaged = true;
        return scan_file(l, seg, sealed->trailer.data_end,
            sealed->trailer.data_end, why);
    }
    if (c != NULL) {
        seg->bad = true;
        return scan_file(l, seg, c->end, c->end, why);
    }
    c = end_of(l->spool->ends, l->spool->end_count, seg->key.generation);
    return c != NULL ? scan_file(l, seg, c->end, c->end, why)
                     : scan_file(l, seg, seg->size, 0, why);
}

/* Not ours, or not to be understood: out of the way, not deleted. */
static enum result
move_away(struct loading *l, struct segment *seg, const char *text,
    struct why *why)
{
    struct spool *s = l->spool;
    char name[16], to[64], line[TEXT_MAX];

    segment_name(seg, name);
    /* No other start has this epoch, unless it wrote nothing. */
    (void)snprintf(to, sizeof(to), "%s-%016" PRIx64 "-segment", name, s->epoch);
    if (s->disk->rename(s->disk, s->segment_dir, name, s->damaged_dir, to) <
            0 ||
        s->disk->sync(s->disk, s->damaged_dir) < 0 ||
        s->disk->sync(s->disk, s->segment_dir) < 0)
        return why_errno(why, "segment/%s: move to damaged/%s", name, to);
    (void)snprintf(line, sizeof(line), "%s; set aside as damaged/%s", text, to);
    tell_damage(l, seg, line);
    (void)s->disk->close(s->disk, seg->fd);
    seg->fd = -1;
    seg->use = USE_GONE;
    return RESULT_OK;
}

/*
 * Both copies of its header are unreadable. The first batch, which no octets
 * from outside can imitate at that place, still says which use it is.
 */
static bool
header_from_batch(struct spool *s, struct segment *seg)
{
    unsigned char octets[BATCH_HEADER_SIZE];
    struct batch_header b;

    if (!spool_read_octets(s, seg->fd, octets, sizeof(octets), SEGMENT_DATA) ||
        !batch_header_decode(octets, SEGMENT_DATA, &b))
        return false;
    seg->key = b.key;
    seg->size = seg->reserved < SPOOL_SEGMENT_MIN ? s->segment_size
                                                  : seg->reserved;
    seg->damaged = true;
    return true;
}

static void
note_closures(struct loading *l, const struct segment_header *h)
{
    for (size_t i = 0; i < h->closure_count; i++) {
        if (l->closure_count == l->closure_room) {
            l->closure_room = l->closure_room == 0 ? CLOSURES_MAX
                                                   : l->closure_room * 2;
            l->closures = mem_resize(l->closures,
                l->closure_room * sizeof(*l->closures));
        }
        l->closures[l->closure_count++] = h->closures[i];
    }
}

static int
compare_generations(const void *a, const void *b)
{
    const struct closure *x = a, *y = b;

    return (x->generation > y->generation) - (x->generation < y->generation);
}

/*
 * Of segments that are still there. Those that are gone may be many more: each
 * header names all that there were when it was written.
 */
static void
choose_closures(struct loading *l)
{
    struct spool *s = l->spool;

    if (l->closure_count == 0)
        return;
    qsort(l->closures, l->closure_count, sizeof(*l->closures),
        compare_generations);
    for (size_t i = 0; i < s->segment_count && s->closure_count < CLOSURES_MAX;
         i++) {
        const struct closure *c;
        struct closure key = { 0 };

        if (!segment_in_use(s->segments[i]))
            continue;
        key.generation = s->segments[i]->key.generation;
        c = bsearch(&key, l->closures, l->closure_count, sizeof(*l->closures),
            compare_generations);
        if (c != NULL)
            s->closures[s->closure_count++] = *c;
    }
}

/*
 * What is read may be in the page cache only, even after a flush that failed.
 * Should its old use come back, so would messages whose REMOVE is forgotten: it
 * is written again.
 */
static enum result
stay_free(struct loading *l, struct segment *seg,
    const struct segment_header *h, struct why *why)
{
    struct spool *s = l->spool;
    struct iovec iov = { s->block, BLOCK_SIZE };

    segment_header_encode(h, s->block);
    if (s->disk->write(s->disk, seg->fd, &iov, 1, 0) < 0 ||
        s->disk->flush(s->disk, seg->fd) < 0)
        return why_errno(why, "segment/%04" PRIu32 ": write header", seg->slot);
    return RESULT_OK;
}

static enum result
load_header(struct loading *l, struct segment *seg, struct why *why)
{
    struct spool *s = l->spool;
    struct segment_header h = { 0 };
    enum header_found found = HEADER_NONE;

    if (seg->reserved >= BLOCK_SIZE) {
        if (!spool_read_octets(s, seg->fd, s->block, BLOCK_SIZE, 0))
            return why_errno(why, "segment/%04" PRIu32 ": read", seg->slot);
        found = segment_header_decode(s->block, &h);
    }
    if (found == HEADER_NEWER)
        return why_perm(why, "5.3.0",
            "segment/%04" PRIu32 ": format %" PRIu32
            " is newer than this program, which knows %d",
            seg->slot, h.format, FORMAT_VERSION);
    seg->use = USE_FREE;
    seg->size = s->segment_size;
    if (found == HEADER_NONE)
        return RESULT_OK;
    if (found == HEADER_BAD) {
        if (!header_from_batch(s, seg))
            return move_away(l, seg, "its header is damaged", why);
        tell_damage(l, seg, "its header is damaged, its batches are read");
        seg->use = USE_CLOSED;
        return RESULT_OK;
    }
    if (l->foreign_id) {
        memcpy(s->id, h.spool_id, sizeof(s->id));
        l->foreign_id = false;
        if (l->owner_missing)
            l->damage(l->context,
                "spool/owner: is missing, written anew from the segments");
    }
    if (memcmp(s->id, h.spool_id, sizeof(s->id)) != 0)
        return move_away(l, seg, "belongs to another spool", why);
    saw_serial(l, h.stamp);
    if (h.key.generation > l->max_generation)
        l->max_generation = h.key.generation;
    note_closures(l, &h);
    if (h.state == SEGMENT_FREE)
        return stay_free(l, seg, &h, why);
    if (h.size < SPOOL_SEGMENT_MIN || h.size > SPOOL_SEGMENT_MAX ||
        h.size % BLOCK_SIZE != 0)
        return move_away(l, seg, "its size is none", why);
    seg->key = h.key;
    seg->size = h.size;
    seg->purpose = h.purpose;
    seg->header_done = true;
    seg->use = USE_CLOSED;
    return RESULT_OK;
}

static void
found_file(void *context, const char *name)
{
    struct loading *l = context;
    char same[16];
    uint32_t slot;

    if (!num_parse_u32(slice_of(name), SLOTS_MAX, &slot))
        return;
    (void)snprintf(same, sizeof(same), "%04" PRIu32, slot);
    if (strcmp(name, same) == 0)
        (void)segment_add(l->spool, slot);
}

static enum result
open_file(struct spool *s, struct segment *seg, struct why *why)
{
    char name[16];
    int64_t length;

    seg->fd = s->disk->open(s->disk, s->segment_dir, segment_name(seg, name),
        O_RDWR, 0);
    if (seg->fd < 0)
        return why_errno(why, "segment/%s: open", name);
    length = s->disk->length(s->disk, seg->fd);
    if (length < 0)
        return why_errno(why, "segment/%s: length", name);
    /* What is behind that was never ours to read. */
    seg->reserved = length > SPOOL_SEGMENT_MAX ? SPOOL_SEGMENT_MAX
                                               : (uint64_t)length;
    return RESULT_OK;
}

/* The places that are told: of this run only. */
static void
give_place(struct segment *seg)
{
    seg->place = (seg->slot + 1) |
        (uint32_t)(seg->key.generation << PLACE_SLOT_BITS);
}

/* Of what was scanned the index is in memory only. */
static enum result
load_run(struct loading *l, const struct sealed *sealed, struct run *run,
    struct why *why)
{
    struct segment *seg = sealed->segment;
    enum result res = load_used(l, seg, sealed, why);

    if (res == RESULT_OK && sealed->found != SEALED_OK &&
        !run_collect(run, seg->slot, buf_slice(&seg->index), seg->entries))
        abort();
    saw_serial(l, run->max_serial);
    return res;
}

static enum result
load_indexes(struct loading *l, struct why *why)
{
    struct spool *s = l->spool;
    struct sealed *sealed = mem_alloc_array(s->segment_count + 1,
        sizeof(*sealed));
    enum result res = RESULT_OK;

    l->run_count = s->segment_count;
    l->runs = mem_alloc_array(l->run_count + 1, sizeof(*l->runs));
    for (size_t i = 0; i < l->run_count; i++) {
        struct segment *seg = s->segments[i];

        if (seg == NULL || seg->use == USE_FREE || seg->use == USE_GONE)
            continue;
        give_place(seg);
        sealed[i].segment = seg;
        sealed[i].closed = closure_of(s, seg) != NULL;
    }
    sealed_read(l, sealed);
    for (size_t i = 0; i < l->run_count && res == RESULT_OK; i++)
        if (sealed[i].segment != NULL)
            res = load_run(l, &sealed[i], &l->runs[i], why);
    mem_free(sealed);
    return res;
}

enum result
spool_load(struct loading *l, struct why *why)
{
    struct spool *s = l->spool;
    enum result res = RESULT_OK;

    /* What was removed stays removed, and what is there has its name. */
    if (s->disk->sync(s->disk, s->segment_dir) < 0)
        return why_errno(why, "spool/segment: flush directory");
    if (s->disk->list(s->disk, s->segment_dir, found_file, l) < 0)
        return why_errno(why, "spool/segment: list");
    for (size_t i = 0; i < s->segment_count && res == RESULT_OK; i++) {
        if (s->segments[i] == NULL)
            continue;
        res = open_file(s, s->segments[i], why);
        if (res == RESULT_OK)
            res = load_header(l, s->segments[i], why);
    }
    if (res != RESULT_OK)
        return res;
    choose_closures(l);
    return load_indexes(l, why);
}

void
loading_fini(struct loading *l)
{
    for (size_t i = 0; i < l->run_count; i++)
        run_fini(&l->runs[i]);
    mem_free(l->runs);
    mem_free(l->closures);
}

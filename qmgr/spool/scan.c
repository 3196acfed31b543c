#include "qmgr/spool/scan.h"

#include "lib/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { READ_PIECE = 1024 * 1024 };

/* A failing piece is read block by block, so that its rest is not lost. */
static void
read_blocks(struct image *img, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at += BLOCK_SIZE) {
        size_t n = to - at < BLOCK_SIZE ? (size_t)(to - at) : BLOCK_SIZE;
        unsigned char *block = img->octets + at;
        bool got = false;

        for (unsigned attempt = 0; !got && attempt < 2; attempt++)
            got = img->disk->read(img->disk, img->fd, block, n, (off_t)at) ==
                (ssize_t)n;
        if (!got) {
            memset(block, 0, n);
            img->unreadable = true;
        }
    }
}

/* As far as the file goes; false: it ends before. */
static bool
image_need(struct image *img, uint64_t upto)
{
    if (upto <= img->have)
        return true;
    if (upto > img->length)
        return false;
    if (img->disk == NULL)
        return false;
    if (img->octets == NULL)
        img->octets = mem_alloc((size_t)img->length);
    upto = round_up(upto, READ_PIECE);
    if (upto > img->length)
        upto = img->length;
    if (img->disk->read(img->disk, img->fd, img->octets + img->have,
            (size_t)(upto - img->have),
            (off_t)img->have) != (ssize_t)(upto - img->have))
        read_blocks(img, img->have, upto);
    img->have = upto;
    return true;
}

void
image_fini(struct image *img)
{
    if (img->disk != NULL)
        mem_free(img->octets);
    img->octets = NULL;
}

static bool
header_at(struct image *img, const struct scan *sc, uint64_t at,
    struct batch_header *h)
{
    return at + BATCH_HEADER_SIZE <= sc->limit &&
        image_need(img, at + BATCH_HEADER_SIZE) &&
        batch_header_decode(img->octets + at, at, h) &&
        h->key.generation == sc->key.generation && h->key.salt == sc->key.salt;
}

/* Each record of it is valid, and there are as many as it says. */
static bool
is_whole(struct image *img, const struct scan *sc, const struct batch_header *h)
{
    uint64_t at = h->offset + BATCH_HEADER_SIZE, end = h->offset + h->length;
    struct record_info r;

    if (end > sc->limit || !image_need(img, end))
        return false;
    for (uint32_t i = 0; i < h->records; i++) {
        if (!record_decode(img->octets + at, (size_t)(end - at), at, &sc->key,
                &r) ||
            !record_payload_valid(img->octets + at, &r))
            return false;
        at += record_length(&r);
    }
    return true;
}

static void
tell(struct scan *sc, const struct record_info *r, const unsigned char *octets)
{
    if (r->serial > sc->max_serial)
        sc->max_serial = r->serial;
    sc->record(sc->context, r, octets);
}

static void
take_batch(struct image *img, struct scan *sc, const struct batch_header *h)
{
    uint64_t at = h->offset + BATCH_HEADER_SIZE, end = h->offset + h->length;
    struct record_info r;

    for (uint32_t i = 0; i < h->records; i++) {
        if (!record_decode(img->octets + at, (size_t)(end - at), at, &sc->key,
                &r))
            return; /* not after is_whole() */
        tell(sc, &r, img->octets + at);
        at += record_length(&r);
    }
}

/* The next batch behind a bad place. */
static bool
find_next(struct image *img, const struct scan *sc, uint64_t from,
    struct batch_header *h)
{
    for (uint64_t at = from; at + BATCH_HEADER_SIZE <= sc->limit;
         at += BLOCK_SIZE)
        if (header_at(img, sc, at, h) && h->serial > sc->last_serial)
            return true;
    return false;
}

/* Whole records in a damaged part, to find out which transactions are whole. */
struct salvage {
    struct record_info *records;
    size_t count, room;
};

static void
salvage_add(struct salvage *v, const struct record_info *r)
{
    if (v->count == v->room) {
        v->room = v->room == 0 ? 64 : v->room * 2;
        v->records = mem_resize(v->records, v->room * sizeof(*v->records));
    }
    v->records[v->count++] = *r;
}

static void
salvage_scan(struct image *img, const struct scan *sc, struct salvage *v,
    struct scan_damage *d)
{
    uint64_t at = d->from;

    while (at + RECORD_HEADER_SIZE <= d->to) {
        struct record_info r;

        if (!record_decode(img->octets + at, (size_t)(d->to - at), at, &sc->key,
                &r)) {
            at += 8;
            continue;
        }
        if (record_payload_valid(img->octets + at, &r)) {
            salvage_add(v, &r);
        } else {
            if (d->lost++ == 0)
                d->lost_id = r.id;
        }
        at += record_length(&r);
    }
}

/* Records of a transaction stand one behind the other, part 0 first. */
static size_t
whole_from(const struct salvage *v, size_t i)
{
    const struct record_info *first = &v->records[i];
    size_t n;

    if ((first->flags & RECORD_COPY) != 0)
        return 1;
    if (first->part != 0 || first->parts > v->count - i)
        return 0;
    for (n = 0; n < first->parts; n++) {
        const struct record_info *r = &v->records[i + n];

        if (r->serial != first->serial || r->part != n ||
            r->parts != first->parts || (r->flags & RECORD_COPY) != 0)
            return 0;
    }
    return n;
}

/*
 * A transaction of which a part is missing is left out whole: half of it could
 * settle a recipient whose notice is in the other half.
 */
static void
damaged(struct image *img, struct scan *sc, uint64_t from, uint64_t to)
{
    struct scan_damage d = { .from = from, .to = to };
    struct salvage v = { 0 };
    size_t i = 0;

    if (!image_need(img, to))
        d.to = img->have;
    salvage_scan(img, sc, &v, &d);
    while (i < v.count) {
        size_t n = whole_from(&v, i);

        if (n == 0) {
            if (d.lost++ == 0)
                d.lost_id = v.records[i].id;
            i++;
            continue;
        }
        for (size_t end = i + n; i < end; i++) {
            tell(sc, &v.records[i], img->octets + v.records[i].offset);
            d.kept++;
        }
    }
    mem_free(v.records);
    sc->damage(sc->context, &d);
}

void
scan_segment(struct image *img, struct scan *sc)
{
    uint64_t at = SEGMENT_DATA;
    bool gap = false; /* what was before this place is not known */

    sc->last_serial = sc->max_serial = sc->last_at = 0;
    sc->clean_end = false;
    if (sc->limit > img->length)
        sc->limit = img->length;
    if (sc->durable > sc->limit)
        sc->durable = sc->limit;
    for (;;) {
        struct batch_header h, next;

        if (header_at(img, sc, at, &h) && h.serial > sc->last_serial &&
            (gap ? h.previous >= sc->last_serial
                 : h.previous == sc->last_serial) &&
            is_whole(img, sc, &h)) {
            take_batch(img, sc, &h);
            sc->last_serial = h.serial;
            sc->last_at = at;
            sc->clean_end = h.records == 0;
            at += h.length;
            gap = false;
            continue;
        }
        if (find_next(img, sc, at + BLOCK_SIZE, &next) && next.durable > at) {
            damaged(img, sc, at, next.offset);
            at = next.offset;
            gap = true;
            /*
             * Where this one is not whole either, the next round looks behind
             * it, so that each round gets further.
             */
            continue;
        }
        if (sc->durable > at) {
            damaged(img, sc, at, sc->durable);
            at = sc->durable;
            gap = true;
            continue;
        }
        break;
    }
    sc->end = at;
    if (sc->max_serial < sc->last_serial)
        sc->max_serial = sc->last_serial;
}

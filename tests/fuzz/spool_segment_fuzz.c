/*
 * Recovery from octets that may be anything. The first octet chooses what they
 * are; in a segment, checksums are put right first where there is something to
 * check, so that what lies behind them is reached.
 */
#include "lib/base/crc32c.h"
#include "lib/base/put.h"
#include "qmgr/spool/format.h"
#include "qmgr/spool/scan.h"
#include "qmgr/spool/spool.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT, INDEX, TRAILER, HEADER, KINDS };

/* What the corpus was made with. */
static const struct segment_key key = { 0x100000001, 0x5a175a175a175a17 };

struct seen {
    const unsigned char *octets;
    size_t len;
    uint64_t limit, damage_end;
    unsigned records;
};

static void
saw_record(void *context, const struct record_info *r,
    const unsigned char *octets)
{
    struct seen *s = context;

    s->records++;
    assert(octets == s->octets + r->offset);
    assert(r->offset % 8 == 0 && r->offset >= SEGMENT_DATA);
    assert(r->offset + record_length(r) <= s->limit);
    assert(r->type >= RECORD_MESSAGE && r->type <= RECORD_REPLACE);
    assert(r->brief.len <= SPOOL_BRIEF_MAX && r->part < r->parts);
    assert(record_payload_valid(octets, r));
}

static void
saw_damage(void *context, const struct scan_damage *d)
{
    struct seen *s = context;

    /* Told in order, each place once. */
    assert(d->from < d->to && d->from >= s->damage_end);
    assert(d->to <= s->len);
    s->damage_end = d->to;
}

/* Make headers valid that look like some. */
static void
repair(unsigned char *octets, size_t len)
{
    for (size_t at = 0; at + BATCH_HEADER_SIZE <= len; at += BLOCK_SIZE)
        if (memcmp(octets + at, "PSTNBTCH", 8) == 0)
            put_le32(octets + at + 60, crc32c(0, octets + at, 60));
    for (size_t at = 0; at + RECORD_HEADER_SIZE <= len; at += 8) {
        unsigned char seed[24];
        size_t brief;

        if (get_le32(octets + at) != (uint32_t)key.salt)
            continue;
        brief = get_le16(octets + at + 10);
        if (brief > len - at - RECORD_HEADER_SIZE)
            continue;
        put_le64(seed, key.salt);
        put_le64(seed + 8, key.generation);
        put_le64(seed + 16, at);
        put_le32(octets + at + 4,
            crc32c(crc32c(0, seed, sizeof(seed)), octets + at + 8,
                RECORD_HEADER_SIZE - 8 + brief));
    }
}

static void
fuzz_segment(const uint8_t *data, size_t size)
{
    unsigned char *octets = malloc(size + 1);
    struct seen seen = { .octets = octets, .len = size, .limit = size };
    struct image img = { .octets = octets, .have = size, .length = size };
    struct scan sc = {
        .key = key,
        .limit = size,
        .durable = size > 0 && data[0] % 2 == 1 ? size / 2 : 0,
        .record = saw_record,
        .damage = saw_damage,
        .context = &seen,
    };

    if (octets == NULL)
        return;
    memcpy(octets, data, size);
    repair(octets, size);
    scan_segment(&img, &sc);
    assert(sc.end >= SEGMENT_DATA);
    assert(sc.end <= size || sc.end == SEGMENT_DATA);
    assert(seen.records <= size / RECORD_HEADER_SIZE);
    image_fini(&img);
    free(octets);
}

static void
fuzz_index(const uint8_t *data, size_t size)
{
    struct slice rest = { (const char *)data, size };
    struct record_info r;

    while (index_entry_next(&rest, &r)) {
        assert(rest.ptr + rest.len == (const char *)data + size);
        assert(r.brief.len == 0 ||
            (r.brief.ptr > (const char *)data &&
                r.brief.ptr + r.brief.len <= (const char *)data + size));
    }
}

static void
fuzz_trailer(const uint8_t *data, size_t size)
{
    unsigned char octets[TRAILER_SIZE];
    struct trailer t;

    if (size < sizeof(octets))
        return;
    memcpy(octets, data, sizeof(octets));
    put_le32(octets + 60, crc32c(0, octets, 60));
    if (!trailer_decode(octets, 1024 * 1024, &t))
        return;
    assert(t.data_end <= t.index_at && t.index_at <= 1024 * 1024);
    assert(t.index_len <= 1024 * 1024 - t.index_at);
    assert((uint64_t)t.entries * INDEX_ENTRY_SIZE <= t.index_len);
}

static void
fuzz_header(const uint8_t *data, size_t size)
{
    static unsigned char block[BLOCK_SIZE];
    struct segment_header h;

    memset(block, 0, sizeof(block));
    memcpy(block, data, size < sizeof(block) ? size : sizeof(block));
    put_le32(block + SEGMENT_HEADER_SIZE - 4,
        crc32c(0, block, SEGMENT_HEADER_SIZE - 4));
    if (segment_header_decode(block, &h) == HEADER_OK)
        assert(h.closure_count <= CLOSURES_MAX &&
            (unsigned)h.purpose < PURPOSE_COUNT);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const fuzz[KINDS])(const uint8_t *, size_t) = {
        [SEGMENT] = fuzz_segment,
        [INDEX] = fuzz_index,
        [TRAILER] = fuzz_trailer,
        [HEADER] = fuzz_header,
    };

    if (size > 0)
        fuzz[data[0] % KINDS](data + 1, size - 1);
    return 0;
}

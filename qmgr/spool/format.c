#include "qmgr/spool/format.h"

#include "lib/base/crc32c.h"
#include "lib/base/put.h"
#include "qmgr/spool/spool.h"

#include <string.h>

/* "PSTNSEGM" and so on, read as little-endian numbers. */
#define MAGIC_SEGMENT UINT64_C(0x4d4745534e545350)
#define MAGIC_BATCH   UINT64_C(0x484354424e545350)
#define MAGIC_TRAILER UINT64_C(0x524c52544e545350)

/* Offsets of fields; docs/SPOOL-FORMAT.md has the tables. */
enum {
    H_MAGIC = 0,
    H_FORMAT = 8,
    H_STATE = 12,
    H_SPOOL = 16,
    H_STAMP = 32,
    H_GENERATION = 40,
    H_SALT = 48,
    H_SIZE = 56,
    H_PURPOSE = 64,
    H_CLOSURES = 68,
    H_CLOSURE = 72,
    H_CLOSURE_SIZE = 16,
    H_CRC = SEGMENT_HEADER_SIZE - 4,

    B_MAGIC = 0,
    B_GENERATION = 8,
    B_SALT = 16,
    B_SERIAL = 24,
    B_PREVIOUS = 32,
    B_OFFSET = 40, /* this and the next two in blocks */
    B_LENGTH = 44,
    B_DURABLE = 48,
    B_RECORDS = 52,
    B_CRC = 60,

    R_MARK = 0,
    R_CRC = 4,
    R_TYPE = 8,
    R_FLAGS = 9,
    R_BRIEF = 10,
    R_PART = 12,
    R_PARTS = 14,
    R_ID = 16,
    R_SERIAL = 24,
    R_OTHER = 32,
    R_HEAD = 40,
    R_CONTENT = 44,
    R_HEAD_CRC = 48,
    R_CONTENT_CRC = 52,

    I_TYPE = 0,
    I_FLAGS = 1,
    I_BRIEF = 2,
    I_OFFSET = 4, /* in units of 8 octets */
    I_PART = 8,
    I_PARTS = 10,
    I_ZERO = 12,
    I_ID = 16,
    I_SERIAL = 24,
    I_OTHER = 32,
    I_HEAD = 40,
    I_CONTENT = 44,

    T_MAGIC = 0,
    T_GENERATION = 8,
    T_SALT = 16,
    T_DATA_END = 24, /* in blocks, as the next one */
    T_INDEX_AT = 28,
    T_INDEX_LEN = 32,
    T_LAST_SERIAL = 40,
    T_ENTRIES = 48,
    T_INDEX_CRC = 52,
    T_CRC = 60,
};

static bool
all_zero(const unsigned char *p, size_t len)
{
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

void
segment_header_encode(const struct segment_header *h,
    unsigned char block[BLOCK_SIZE])
{
    memset(block, 0, BLOCK_SIZE);
    put_le64(block + H_MAGIC, MAGIC_SEGMENT);
    put_le32(block + H_FORMAT, FORMAT_VERSION);
    put_le32(block + H_STATE, h->state);
    memcpy(block + H_SPOOL, h->spool_id, SPOOL_ID_SIZE);
    put_le64(block + H_STAMP, h->stamp);
    put_le64(block + H_GENERATION, h->key.generation);
    put_le64(block + H_SALT, h->key.salt);
    put_le64(block + H_SIZE, h->size);
    put_le32(block + H_PURPOSE, h->purpose);
    put_le32(block + H_CLOSURES, h->closure_count);
    for (size_t i = 0; i < h->closure_count; i++) {
        unsigned char *at = block + H_CLOSURE + i * H_CLOSURE_SIZE;

        put_le64(at, h->closures[i].generation);
        put_le64(at + 8, h->closures[i].end);
    }
    put_le32(block + H_CRC, crc32c(0, block, H_CRC));
    memcpy(block + SEGMENT_HEADER_SECOND, block, SEGMENT_HEADER_SIZE);
}

static enum header_found
header_copy_decode(const unsigned char *from, struct segment_header *h)
{
    if (all_zero(from, SEGMENT_HEADER_SIZE))
        return HEADER_NONE;
    if (get_le64(from + H_MAGIC) != MAGIC_SEGMENT ||
        get_le32(from + H_CRC) != crc32c(0, from, H_CRC))
        return HEADER_BAD;
    h->format = get_le32(from + H_FORMAT);
    h->stamp = get_le64(from + H_STAMP);
    if (h->format > FORMAT_VERSION)
        return HEADER_NEWER;
    if (h->format == 0 || get_le32(from + H_STATE) > SEGMENT_USED ||
        get_le32(from + H_PURPOSE) >= PURPOSE_COUNT ||
        get_le32(from + H_CLOSURES) > CLOSURES_MAX)
        return HEADER_BAD;
    h->state = (enum segment_state)get_le32(from + H_STATE);
    h->purpose = (enum segment_purpose)get_le32(from + H_PURPOSE);
    memcpy(h->spool_id, from + H_SPOOL, SPOOL_ID_SIZE);
    h->key.generation = get_le64(from + H_GENERATION);
    h->key.salt = get_le64(from + H_SALT);
    h->size = get_le64(from + H_SIZE);
    h->closure_count = get_le32(from + H_CLOSURES);
    for (size_t i = 0; i < h->closure_count; i++) {
        const unsigned char *at = from + H_CLOSURE + i * H_CLOSURE_SIZE;

        h->closures[i].generation = get_le64(at);
        h->closures[i].end = get_le64(at + 8);
    }
    return HEADER_OK;
}

enum header_found
segment_header_decode(const unsigned char block[BLOCK_SIZE],
    struct segment_header *h)
{
    struct segment_header one = { 0 }, two = { 0 };
    enum header_found a = header_copy_decode(block, &one);
    enum header_found b = header_copy_decode(block + SEGMENT_HEADER_SECOND,
        &two);

    if (a == HEADER_NEWER || b == HEADER_NEWER)
        return HEADER_NEWER;
    if (a == HEADER_OK && (b != HEADER_OK || one.stamp >= two.stamp))
        *h = one;
    else if (b == HEADER_OK)
        *h = two;
    else
        return a == HEADER_NONE && b == HEADER_NONE ? HEADER_NONE : HEADER_BAD;
    return HEADER_OK;
}

void
batch_header_encode(const struct batch_header *h,
    unsigned char to[BATCH_HEADER_SIZE])
{
    memset(to, 0, BATCH_HEADER_SIZE);
    put_le64(to + B_MAGIC, MAGIC_BATCH);
    put_le64(to + B_GENERATION, h->key.generation);
    put_le64(to + B_SALT, h->key.salt);
    put_le64(to + B_SERIAL, h->serial);
    put_le64(to + B_PREVIOUS, h->previous);
    put_le32(to + B_OFFSET, (uint32_t)(h->offset / BLOCK_SIZE));
    put_le32(to + B_LENGTH, (uint32_t)(h->length / BLOCK_SIZE));
    put_le32(to + B_DURABLE, (uint32_t)(h->durable / BLOCK_SIZE));
    put_le32(to + B_RECORDS, h->records);
    put_le32(to + B_CRC, crc32c(0, to, B_CRC));
}

bool
batch_header_decode(const unsigned char from[BATCH_HEADER_SIZE],
    uint64_t offset, struct batch_header *h)
{
    struct batch_header b;

    if (get_le64(from + B_MAGIC) != MAGIC_BATCH ||
        get_le32(from + B_CRC) != crc32c(0, from, B_CRC))
        return false;
    b.key.generation = get_le64(from + B_GENERATION);
    b.key.salt = get_le64(from + B_SALT);
    b.serial = get_le64(from + B_SERIAL);
    b.previous = get_le64(from + B_PREVIOUS);
    b.offset = (uint64_t)get_le32(from + B_OFFSET) * BLOCK_SIZE;
    b.length = (uint64_t)get_le32(from + B_LENGTH) * BLOCK_SIZE;
    b.durable = (uint64_t)get_le32(from + B_DURABLE) * BLOCK_SIZE;
    b.records = get_le32(from + B_RECORDS);
    if (b.offset != offset || b.length == 0 || b.durable > b.offset ||
        b.serial <= b.previous)
        return false;
    *h = b;
    return true;
}

uint64_t
record_payload_at(const struct record_info *r)
{
    return round_up(RECORD_HEADER_SIZE + (uint64_t)r->brief.len, 8);
}

uint64_t
record_length(const struct record_info *r)
{
    return record_payload_at(r) +
        round_up((uint64_t)r->head_len + r->content_len, 8);
}

/* Bound to the segment's use and the place: a copy elsewhere is not valid. */
static uint32_t
record_crc(const unsigned char *from, uint64_t offset, size_t brief_len,
    const struct segment_key *key)
{
    unsigned char seed[24];

    put_le64(seed, key->salt);
    put_le64(seed + 8, key->generation);
    put_le64(seed + 16, offset);
    return crc32c(crc32c(0, seed, sizeof(seed)), from + R_TYPE,
        RECORD_HEADER_SIZE - R_TYPE + brief_len);
}

size_t
record_encode(const struct record_info *r, const struct segment_key *key,
    unsigned char *to)
{
    size_t len = (size_t)record_payload_at(r);

    put_le32(to + R_MARK, (uint32_t)key->salt);
    to[R_TYPE] = r->type;
    to[R_FLAGS] = r->flags;
    put_le16(to + R_BRIEF, (uint16_t)r->brief.len);
    put_le16(to + R_PART, r->part);
    put_le16(to + R_PARTS, r->parts);
    put_le64(to + R_ID, r->id);
    put_le64(to + R_SERIAL, r->serial);
    put_le64(to + R_OTHER, r->other);
    put_le32(to + R_HEAD, r->head_len);
    put_le32(to + R_CONTENT, r->content_len);
    put_le32(to + R_HEAD_CRC, r->head_crc);
    put_le32(to + R_CONTENT_CRC, r->content_crc);
    if (r->brief.len > 0)
        memcpy(to + RECORD_HEADER_SIZE, r->brief.ptr, r->brief.len);
    memset(to + RECORD_HEADER_SIZE + r->brief.len, 0,
        len - RECORD_HEADER_SIZE - r->brief.len);
    put_le32(to + R_CRC, record_crc(to, r->offset, r->brief.len, key));
    return len;
}

/* What holds for each record, wherever it was read. */
static bool
record_sane(const struct record_info *r)
{
    return r->type >= RECORD_MESSAGE && r->type <= RECORD_REPLACE &&
        (r->type == RECORD_META) == (r->id == 0) &&
        r->brief.len <= SPOOL_BRIEF_MAX && r->part < r->parts &&
        r->offset % 8 == 0;
}

/* The header with its brief; whether the payload is there is not looked at. */
static bool
header_decode(const unsigned char *from, size_t len, uint64_t offset,
    const struct segment_key *key, struct record_info *r)
{
    if (len < RECORD_HEADER_SIZE ||
        get_le32(from + R_MARK) != (uint32_t)key->salt)
        return false;
    r->brief.len = get_le16(from + R_BRIEF);
    if (r->brief.len > len - RECORD_HEADER_SIZE ||
        get_le32(from + R_CRC) != record_crc(from, offset, r->brief.len, key))
        return false;
    r->brief.ptr = (const char *)from + RECORD_HEADER_SIZE;
    r->type = from[R_TYPE];
    r->flags = from[R_FLAGS];
    r->part = get_le16(from + R_PART);
    r->parts = get_le16(from + R_PARTS);
    r->id = get_le64(from + R_ID);
    r->serial = get_le64(from + R_SERIAL);
    r->other = get_le64(from + R_OTHER);
    r->head_len = get_le32(from + R_HEAD);
    r->content_len = get_le32(from + R_CONTENT);
    r->head_crc = get_le32(from + R_HEAD_CRC);
    r->content_crc = get_le32(from + R_CONTENT_CRC);
    r->offset = offset;
    return record_sane(r);
}

bool
record_decode(const unsigned char *from, size_t len, uint64_t offset,
    const struct segment_key *key, struct record_info *r)
{
    struct record_info info;

    if (!header_decode(from, len, offset, key, &info) ||
        record_length(&info) > len)
        return false;
    *r = info;
    return true;
}

bool
record_payload_valid(const unsigned char *from, const struct record_info *r)
{
    const unsigned char *head = from + record_payload_at(r);

    return crc32c(0, head, r->head_len) == r->head_crc &&
        crc32c(0, head + r->head_len, r->content_len) == r->content_crc;
}

bool
record_head_valid(const unsigned char *octets, size_t len,
    const struct record_info *want, const struct segment_key *key)
{
    struct record_info r;

    return header_decode(octets, len, want->offset, key, &r) &&
        r.type == want->type && r.id == want->id && r.serial == want->serial &&
        r.brief.len == want->brief.len && r.head_len == want->head_len &&
        record_payload_at(&r) + r.head_len == len &&
        crc32c(0, octets + record_payload_at(&r), r.head_len) == r.head_crc;
}

uint64_t
index_entry_length(size_t brief_len)
{
    return INDEX_ENTRY_SIZE + round_up(brief_len, 8);
}

void
index_entry_add(struct buf *to, const struct record_info *r)
{
    size_t len = (size_t)index_entry_length(r->brief.len);
    unsigned char *at = (unsigned char *)buf_reserve(to, len);

    if (at == NULL)
        return; /* buf_failed() says so */
    memset(at, 0, len);
    at[I_TYPE] = r->type;
    at[I_FLAGS] = r->flags;
    put_le16(at + I_BRIEF, (uint16_t)r->brief.len);
    put_le32(at + I_OFFSET, (uint32_t)(r->offset / 8));
    put_le16(at + I_PART, r->part);
    put_le16(at + I_PARTS, r->parts);
    put_le64(at + I_ID, r->id);
    put_le64(at + I_SERIAL, r->serial);
    put_le64(at + I_OTHER, r->other);
    put_le32(at + I_HEAD, r->head_len);
    put_le32(at + I_CONTENT, r->content_len);
    if (r->brief.len > 0)
        memcpy(at + INDEX_ENTRY_SIZE, r->brief.ptr, r->brief.len);
    buf_advance(to, len);
}

bool
index_entry_next(struct slice *rest, struct record_info *r)
{
    const unsigned char *at = (const unsigned char *)rest->ptr;
    struct record_info info = { 0 };

    if (rest->len < INDEX_ENTRY_SIZE)
        return false;
    info.brief.len = get_le16(at + I_BRIEF);
    if (index_entry_length(info.brief.len) > rest->len)
        return false;
    info.brief.ptr = (const char *)at + INDEX_ENTRY_SIZE;
    info.type = at[I_TYPE];
    info.flags = at[I_FLAGS];
    info.part = get_le16(at + I_PART);
    info.parts = get_le16(at + I_PARTS);
    info.id = get_le64(at + I_ID);
    info.serial = get_le64(at + I_SERIAL);
    info.other = get_le64(at + I_OTHER);
    info.head_len = get_le32(at + I_HEAD);
    info.content_len = get_le32(at + I_CONTENT);
    info.offset = (uint64_t)get_le32(at + I_OFFSET) * 8;
    if (!record_sane(&info))
        return false;
    *r = info;
    *rest = slice_skip(*rest, (size_t)index_entry_length(info.brief.len));
    return true;
}

void
trailer_encode(const struct trailer *t, unsigned char to[TRAILER_SIZE])
{
    memset(to, 0, TRAILER_SIZE);
    put_le64(to + T_MAGIC, MAGIC_TRAILER);
    put_le64(to + T_GENERATION, t->key.generation);
    put_le64(to + T_SALT, t->key.salt);
    put_le32(to + T_DATA_END, (uint32_t)(t->data_end / BLOCK_SIZE));
    put_le32(to + T_INDEX_AT, (uint32_t)(t->index_at / BLOCK_SIZE));
    put_le64(to + T_INDEX_LEN, t->index_len);
    put_le64(to + T_LAST_SERIAL, t->last_serial);
    put_le32(to + T_ENTRIES, t->entries);
    put_le32(to + T_INDEX_CRC, t->index_crc);
    put_le32(to + T_CRC, crc32c(0, to, T_CRC));
}

bool
trailer_decode(const unsigned char from[TRAILER_SIZE], uint64_t segment_size,
    struct trailer *t)
{
    struct trailer f;

    if (get_le64(from + T_MAGIC) != MAGIC_TRAILER ||
        get_le32(from + T_CRC) != crc32c(0, from, T_CRC))
        return false;
    f.key.generation = get_le64(from + T_GENERATION);
    f.key.salt = get_le64(from + T_SALT);
    f.data_end = (uint64_t)get_le32(from + T_DATA_END) * BLOCK_SIZE;
    f.index_at = (uint64_t)get_le32(from + T_INDEX_AT) * BLOCK_SIZE;
    f.index_len = get_le64(from + T_INDEX_LEN);
    f.last_serial = get_le64(from + T_LAST_SERIAL);
    f.entries = get_le32(from + T_ENTRIES);
    f.index_crc = get_le32(from + T_INDEX_CRC);
    if (f.data_end < SEGMENT_DATA || f.index_at < f.data_end ||
        f.index_at > segment_size || f.index_len > segment_size - f.index_at ||
        f.entries > f.index_len / INDEX_ENTRY_SIZE)
        return false;
    *t = f;
    return true;
}

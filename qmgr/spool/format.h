/*
 * format - the spool's octets: segment headers, batches, records, index blocks.
 *
 * docs/SPOOL-FORMAT.md is the authority; this is its only reader and writer.
 * Numbers are little-endian. A decoder takes octets that may be anything, and
 * says true only when each check holds.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FORMAT_VERSION = 2,
    BLOCK_SIZE = 4096,            /* batches begin and end at multiples */
    SEGMENT_DATA = BLOCK_SIZE,    /* where the first batch is */
    SEGMENT_HEADER_SIZE = 512,    /* one sector: written whole or not at all */
    SEGMENT_HEADER_SECOND = 2048, /* its copy */
    BATCH_HEADER_SIZE = 64,
    RECORD_HEADER_SIZE = 56,
    INDEX_ENTRY_SIZE = 48,
    TRAILER_SIZE = 64, /* at the begin of the segment's last block */
    CLOSURES_MAX = 24,
    SPOOL_ID_SIZE = 16,
};

static inline uint64_t
round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/*
 * What tells this use of a segment from older ones whose octets are still
 * there, and from octets that a sender chose: nobody outside knows the salt.
 */
struct segment_key {
    uint64_t generation;
    uint64_t salt;
};

enum segment_state { SEGMENT_FREE = 0, SEGMENT_USED = 1 };
enum segment_purpose { PURPOSE_FRESH = 0, PURPOSE_META = 1, PURPOSE_COLD = 2 };
enum { PURPOSE_COUNT = 3 };

/* Of a segment that a failed flush closed: nothing from end on is valid. */
struct closure {
    uint64_t generation;
    uint64_t end;
};

struct segment_header {
    uint32_t format;
    enum segment_state state;
    unsigned char spool_id[SPOOL_ID_SIZE];
    uint64_t stamp; /* the copy with the higher one counts */
    struct segment_key key;
    uint64_t size;
    enum segment_purpose purpose;
    uint32_t closure_count;
    struct closure closures[CLOSURES_MAX];
};

enum header_found {
    HEADER_NONE, /* zeros: never written */
    HEADER_OK,
    HEADER_BAD,
    HEADER_NEWER, /* a format that this program does not know */
};

void segment_header_encode(const struct segment_header *h,
    unsigned char block[BLOCK_SIZE]) ATTR_NONNULL;
enum header_found segment_header_decode(const unsigned char block[BLOCK_SIZE],
    struct segment_header *h) ATTR_NONNULL;

struct batch_header {
    struct segment_key key;
    uint64_t serial;
    uint64_t previous; /* serial of the batch before it in the segment, or 0 */
    uint64_t offset;   /* where it is */
    uint64_t length;   /* with header and padding */
    uint64_t durable;  /* all before this offset was, when it was written */
    uint32_t records;
};

void batch_header_encode(const struct batch_header *h,
    unsigned char to[BATCH_HEADER_SIZE]) ATTR_NONNULL;

/* Valid in itself and at this offset; the key is for the caller to compare. */
bool batch_header_decode(const unsigned char from[BATCH_HEADER_SIZE],
    uint64_t offset, struct batch_header *h) ATTR_NONNULL ATTR_MUST_USE;

enum record_flag {
    RECORD_COPY = 1 << 0,   /* by the cleaner: whole without its transaction */
    RECORD_PARTED = 1 << 1, /* a MESSAGE whose content is a CONTENT */
};

/* A record without its payload: on disk in front of it, and in the index. */
struct record_info {
    uint8_t type; /* enum record_type */
    uint8_t flags;
    uint16_t part, parts; /* which record of its transaction, and of how many */
    uint64_t id;
    uint64_t serial;
    uint64_t other; /* MESSAGE: blob; REMOVE: target */
    uint32_t head_len, content_len;
    uint32_t head_crc, content_crc; /* not in the index */
    uint64_t offset;                /* in the segment */
    struct slice brief;
};

/*
 * REMOVE's target: the generation of the segment with its MESSAGE, or with this
 * bit the highest one that may have it.
 */
#define TARGET_UP_TO ((uint64_t)1 << 63)

/* Octets from the header to the payload, and of the whole. */
uint64_t record_payload_at(const struct record_info *r) ATTR_NONNULL;
uint64_t record_length(const struct record_info *r) ATTR_NONNULL;

/* Header and brief; returns the octets written. r->offset is part of the crc. */
size_t record_encode(const struct record_info *r, const struct segment_key *key,
    unsigned char *to) ATTR_NONNULL;

/*
 * A header with its brief (which borrows from "from") that fits into the octets
 * given. Says nothing about the payload, see record_payload_valid().
 */
bool record_decode(const unsigned char *from, size_t len, uint64_t offset,
    const struct segment_key *key, struct record_info *r)
    ATTR_NONNULL ATTR_MUST_USE;

/* from is where the header is; record_decode() said that all fits. */
bool record_payload_valid(const unsigned char *from,
    const struct record_info *r) ATTR_NONNULL ATTR_MUST_USE;

/*
 * The same for the head alone: octets are the header, the brief and the head,
 * want is what the index said.
 */
bool record_head_valid(const unsigned char *octets, size_t len,
    const struct record_info *want, const struct segment_key *key)
    ATTR_NONNULL ATTR_MUST_USE;

void index_entry_add(struct buf *to, const struct record_info *r) ATTR_NONNULL;
uint64_t index_entry_length(size_t brief_len);

/* Takes the next entry off; false at the end, or when it is malformed. */
bool index_entry_next(struct slice *rest, struct record_info *r)
    ATTR_NONNULL ATTR_MUST_USE;

/* At the end of a sealed segment: where the index block is. */
struct trailer {
    struct segment_key key;
    uint64_t data_end; /* behind the last batch */
    uint64_t index_at;
    uint64_t index_len;
    uint64_t last_serial; /* of the last batch */
    uint32_t entries;
    uint32_t index_crc;
};

void trailer_encode(const struct trailer *t, unsigned char to[TRAILER_SIZE])
    ATTR_NONNULL;
bool trailer_decode(const unsigned char from[TRAILER_SIZE],
    uint64_t segment_size, struct trailer *t) ATTR_NONNULL ATTR_MUST_USE;

/*
 * tlv - typed attributes, as postern's frames and records hold them: a tag, a
 * length and that many octets, tag and length as base-128 varints (7 bits an
 * octet, least significant first, at most 10 octets).
 *
 * A number is a varint inside its attribute; a group is an attribute whose
 * octets are attributes. A reader skips a tag that it does not know, so a
 * format can grow.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct tlv {
    uint32_t tag;
    struct slice value; /* borrows from what is being read */
};

/* The longest header of one attribute. */
enum { TLV_HEADER_MAX = 15 };

void tlv_put(struct buf *to, uint32_t tag, struct slice value) ATTR_NONNULL;
void tlv_put_u64(struct buf *to, uint32_t tag, uint64_t value) ATTR_NONNULL;

/*
 * Take the next attribute off *rest. False at the end, and then *rest is empty
 * if all was well; what is malformed stays in *rest, so that
 *     while (tlv_next(&rest, &t)) ...
 *     if (rest.len > 0) refuse;
 * checks the whole.
 */
bool tlv_next(struct slice *rest, struct tlv *t) ATTR_NONNULL;

/* How many attributes of in have this tag: the size of an array, once. */
size_t tlv_count(struct slice in, uint32_t tag) ATTR_MUST_USE;

/* False unless value is one varint of at most max. */
bool tlv_u64(struct slice value, uint64_t max, uint64_t *n)
    ATTR_NONNULL ATTR_MUST_USE;

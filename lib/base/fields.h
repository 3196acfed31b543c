/*
 * fields - a struct to attributes (lib/base/tlv) and back, by one table.
 *
 * The table is the format: what is encoded is what is decoded, with the limit
 * that decoding enforces beside it. Zero numbers and empty slices are left out.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/tlv.h"

#include <stddef.h>
#include <stdint.h>

enum field_kind {
    FIELD_U32, /* uint32_t or an enum */
    FIELD_U64,
    FIELD_I64, /* not negative */
    FIELD_SLICE,
    FIELD_TEXT, /* char array inside the struct; max is its size */
};

struct field {
    uint32_t tag; /* 0 ends a table */
    enum field_kind kind;
    size_t offset;
    uint64_t max; /* largest number, or most octets */
};

enum field_status {
    FIELD_TAKEN,
    FIELD_UNKNOWN, /* the tag is not in the table */
    FIELD_BAD,     /* malformed, or over its limit */
};

void fields_encode(const struct field *table, const void *from, struct buf *to)
    ATTR_NONNULL;

/* Slices borrow from t. */
enum field_status fields_take(const struct field *table, const struct tlv *t,
    void *to) ATTR_NONNULL ATTR_MUST_USE;

/*
 * All attributes of in; unknown ones are skipped. False when something is
 * malformed.
 */
bool fields_decode(const struct field *table, struct slice in, void *to)
    ATTR_NONNULL ATTR_MUST_USE;

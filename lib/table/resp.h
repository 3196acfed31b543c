/*
 * resp - what a Redis server answers (RESP 2): one value at a time.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stddef.h>

enum resp_kind {
    RESP_MORE,      /* not all of it is there yet */
    RESP_MALFORMED, /* or larger than RESP_VALUE_MAX */
    RESP_TEXT,      /* a string or a number: value->text */
    RESP_ERROR,     /* value->text says which */
    RESP_NIL,
    RESP_ARRAY, /* value->count values follow */
};

enum { RESP_VALUE_MAX = 1024 * 1024, RESP_COUNT_MAX = 10000 };

struct resp_value {
    struct slice text; /* borrows from the input */
    size_t count;
    size_t used; /* octets that it took */
};

enum resp_kind resp_parse(struct slice in, struct resp_value *value)
    ATTR_NONNULL ATTR_MUST_USE;

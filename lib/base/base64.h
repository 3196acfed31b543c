/*
 * base64 - RFC 4648 section 4.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>

/* Adds to what to has. */
void base64_encode(struct slice octets, struct buf *to) ATTR_NONNULL;

/* Adds to what to has. False, and to is as it was, unless text is base64. */
bool base64_decode(struct slice text, struct buf *to)
    ATTR_NONNULL ATTR_MUST_USE;

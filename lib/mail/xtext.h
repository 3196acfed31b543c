/*
 * xtext - the encoding of ENVID and ORCPT (RFC 3461 section 4): printable ASCII
 * without '+' and '=', anything else as "+" and two upper-case hex digits.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>

/*
 * Add what in means. False, and *to may have got part of it, when in is no
 * xtext or means a control character: ENVID and ORCPT stand in headers later.
 */
bool xtext_decode(struct slice in, struct buf *to) ATTR_NONNULL ATTR_MUST_USE;

void xtext_encode(struct slice in, struct buf *to) ATTR_NONNULL;

/*
 * printable - what strangers wrote, for logs, terminals and notices: one line of
 * UTF-8 without control characters.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Octets of the printable character at the start of text; 0 when there is none:
 * a control character (U+0080..U+009F are some) or no UTF-8. text is not empty.
 */
size_t printable_length(struct slice text);

/* Each octet that is not printable becomes '?'. */
void printable_make(char *text, size_t len) ATTR_NONNULL;
void printable_add(struct slice text, struct buf *to) ATTR_NONNULL;

/* Is all of it ASCII, or UTF-8 without U+0080..U+009F? */
bool utf8_is_valid(struct slice text);

/*
 * status - the status code (RFC 3463) that a text begins with, as in the next
 * hop of error: and retry:.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

enum { STATUS_SIZE = 10 };

/*
 * "5.7.1 go away": the code and the rest of the text; or fallback and the whole
 * text. The class of the code is made that of fallback.
 */
struct slice status_split(struct slice text, const char *fallback,
    char status[STATUS_SIZE]) ATTR_NONNULL;

/*
 * dots - message content as SMTP's DATA carries it: a dot more at the start of
 * a line that has one (RFC 5321 section 4.5.2), and lines that are too long for
 * the remote broken by CR LF SPACE (smtp_line_length_limit).
 *
 * Content has CRLF line ends. What needs no change goes out in runs as long as
 * the piece is.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stddef.h>

struct dots {
    size_t limit;  /* longest line, 0: any */
    size_t column; /* octets of the present line so far */
    /* Takes what is to be sent. */
    void (*write)(void *context, struct slice octets);
    void *context;
};

/* The next piece of content. */
void dots_add(struct dots *d, struct slice piece) ATTR_NONNULL;

/* The end of the last line if it lacks one, and the final dot. */
void dots_end(struct dots *d) ATTR_NONNULL;

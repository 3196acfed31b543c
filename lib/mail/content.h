/*
 * content - header and body as an agent or bounce reads them: inline octets, or
 * a descriptor that is verified while it is read.
 *
 * Content is stored with CRLF line ends, dots not stuffed, exactly as long as
 * envelope.size says: header, CRLF, body. The empty line is always there, also
 * above an empty body.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>
#include <stdint.h>

struct content {
    struct slice header; /* with CRLF line ends */
    struct slice body;   /* inline; or in fd */
    int fd;              /* -1: inline; borrowed */
    uint64_t length;     /* octets in fd */
    uint32_t crc;        /* they have this crc32c */
    uint64_t at;         /* read so far */
    uint32_t crc_so_far;
    enum content_step {
        CONTENT_STEP_HEADER,
        CONTENT_STEP_SEPARATOR,
        CONTENT_STEP_BODY,
        CONTENT_STEP_END, /* all was read, and is what it should be */
    } step;
};

enum { CONTENT_PIECE = 65536 };

/* Begin (again) at the header. */
void content_rewind(struct content *c) ATTR_NONNULL;

/*
 * The next piece: header, then CRLF, then the body in pieces; piece is empty at
 * the end. Pieces of fd are read into scratch (CONTENT_PIECE octets).
 * RESULT_TEMPFAIL: it cannot be read, or is not what was lent (only known at
 * the end: an agent must not complete a delivery before it has seen the end).
 * Reads block for the page cache only.
 */
enum result content_next(struct content *c, char *scratch, struct slice *piece,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

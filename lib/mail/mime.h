/*
 * mime - the structure of a message (RFC 2045, RFC 2046), found while its
 * octets pass by.
 *
 * Whatever goes in comes out again once, in the same order, in pieces that are
 * told apart: fields of headers, octets of bodies, and the frame around them. So
 * who changes nothing passes on what came, and a conversion (mime_convert.h)
 * looks only at what it wants to change.
 *
 * Kept in memory are one header field, the boundaries that are open, and of a
 * body the beginning of a line that may be a delimiter.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>
#include <stddef.h>

enum mime_kind {
    MIME_LEAF,
    MIME_MULTIPART, /* with a boundary; without one it is a leaf */
    MIME_MESSAGE,   /* message/rfc822 or message/global that is not encoded */
};

/* Content-Transfer-Encoding. */
enum mime_encoding {
    MIME_7BIT, /* also where nothing is said */
    MIME_8BIT,
    MIME_BINARY,
    MIME_QUOTED_PRINTABLE,
    MIME_BASE64,
    MIME_OTHER,
};

/* The message, or one of its parts. */
struct mime_entity {
    enum mime_kind kind;
    enum mime_encoding encoding;
};

enum mime_piece {
    MIME_FIELD,      /* a field whole, with its line ends; entity: so far */
    MIME_FIELD_REST, /* more of one that exceeds field_max */
    MIME_HEADER_END, /* the empty line, or nothing where that is missing */
    MIME_BODY,       /* of a leaf; its last line end is the delimiter's */
    MIME_BODY_END,   /* nothing; once for each leaf */
    MIME_FRAME,      /* delimiters; what is before, between and behind parts */
};

struct mime_options {
    void (*piece)(void *context, enum mime_piece kind,
        const struct mime_entity *entity, struct slice octets);
    void *context;
    size_t nesting_max;  /* mime_nesting_limit: multiparts in each other */
    size_t boundary_max; /* mime_boundary_length_limit: octets that count */
    size_t field_max;    /* header_size_limit */
    bool mailbox_line;   /* "From " in front of the header is a field, too */
};

struct mime;

struct mime *mime_new(const struct mime_options *options)
    ATTR_NONNULL ATTR_MUST_USE;
void mime_free(struct mime *m);

/*
 * Octets of the message, in pieces of any size. Lines end with LF or CRLF, also
 * in front of a delimiter. A delimiter is a line that begins with "--" and an
 * open boundary (RFC 2046 section 5.1.1: the beginning counts); if several
 * match, the longest; the inner parts that it finds open end with it.
 */
void mime_take(struct mime *m, struct slice octets) ATTR_NONNULL;

/*
 * The message ends here. RESULT_PERMFAIL: it is nested too deep, and since then
 * nothing came out.
 */
enum result mime_end(struct mime *m, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* The encoding that the value of a Content-Transfer-Encoding: names. */
enum mime_encoding mime_encoding_of(struct slice value);

/*
 * reply - what an SMTP or LMTP server says: code, lines, enhanced status code.
 *
 * A reply is bounded: REPLY_LINE_MAX octets for each line (the rest of a longer
 * one is dropped), REPLY_LINES_MAX lines (more is a protocol failure),
 * REPLY_TEXT_MAX octets kept of all.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/io/stream.h"

#include <stdbool.h>

enum {
    REPLY_LINE_MAX = 2048,
    REPLY_LINES_MAX = 100,
    REPLY_TEXT_MAX = 8192,
};

struct reply {
    unsigned code;   /* 200 .. 599; 0: none yet */
    char status[10]; /* RFC 3463 code: the server's, else "5.0.0" by class */
    struct buf text; /* the lines as sent, codes and all, joined by LF */
    unsigned lines;
};

void reply_init(struct reply *r) ATTR_NONNULL;
void reply_fini(struct reply *r) ATTR_NONNULL;
void reply_clear(struct reply *r) ATTR_NONNULL;

enum reply_step {
    REPLY_DONE,
    REPLY_MORE,    /* a line of several: read on */
    REPLY_GARBAGE, /* no reply, or too long */
};

/* Take one line, without its end. */
enum reply_step reply_add_line(struct reply *r, struct slice line)
    ATTR_NONNULL ATTR_MUST_USE;

enum reply_read {
    REPLY_OK,
    REPLY_LOST, /* end of file, or a socket error */
    REPLY_TIMEOUT,
    REPLY_PROTOCOL, /* the server does not speak SMTP */
    REPLY_CANCELLED,
};

/* Read a whole reply. Waits. */
enum reply_read reply_read(struct reply *r, struct stream *st, int64_t deadline)
    ATTR_NONNULL ATTR_MUST_USE;

/* 2, 3, 4 or 5; 0 for none. */
static inline unsigned
reply_class(const struct reply *r)
{
    return r->code / 100;
}

/* The text as one line for logs and notices, at most max octets, in *to. */
void reply_one_line(const struct reply *r, size_t max, struct buf *to)
    ATTR_NONNULL;

/*
 * The enhanced status code at the start of text, "5.1.1 No such user": its
 * length, or 0 when there is none.
 */
size_t reply_status_len(struct slice text);

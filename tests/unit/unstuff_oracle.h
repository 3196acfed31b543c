/*
 * unstuff_oracle - what smtpd/unstuff has to do, said in the simplest way: line
 * by line, with all of the input at hand.
 */
#pragma once

#include "lib/base/buf.h"
#include "smtpd/unstuff.h"

#include <stdbool.h>

/* One line without its LF. True: the end of data. */
static inline bool
oracle_line(enum unstuff_mode mode, struct slice line, bool *after_crlf,
    struct buf *out)
{
    bool before = *after_crlf;
    size_t crs = 0;

    while (crs < line.len && line.ptr[line.len - 1 - crs] == '\r')
        crs++;
    *after_crlf = crs > 0;
    line.len -= crs;
    if (mode != UNSTUFF_RAW && line.len > 0 && line.ptr[0] == '.') {
        line = slice_skip(line, 1);
        if (line.len == 0 && crs < 2)
            return mode == UNSTUFF_LENIENT || (crs == 1 && before);
    }
    for (size_t i = 0; i < line.len; i++)
        buf_add_octet(out,
            line.ptr[i] == '\r' ? ' ' : (unsigned char)line.ptr[i]);
    buf_add_text(out, "\r\n");
    return false;
}

/*
 * True: the end is in there, *rest is what follows. False: *rest is the last
 * line, which has no end.
 */
static inline bool
oracle(enum unstuff_mode mode, struct slice in, struct buf *out,
    struct slice *rest)
{
    bool after_crlf = true;

    *rest = in;
    for (;;) {
        size_t lf = slice_find(*rest, '\n');
        struct slice line = slice_head(*rest, lf);

        if (lf == rest->len)
            return false;
        *rest = slice_skip(*rest, lf + 1);
        if (oracle_line(mode, line, &after_crlf, out))
            return true;
    }
}

/*
 * The same by unstuff_next(), with the input in pieces that cut() gives; *rest
 * is what follows the end in the last piece that was looked at, and what was
 * not looked at.
 */
static inline bool
unstuff_all(enum unstuff_mode mode, struct slice in,
    size_t (*cut)(void *context), void *context, struct buf *out,
    struct slice *rest)
{
    struct unstuff u;

    unstuff_init(&u, mode);
    while (in.len > 0) {
        struct slice piece = slice_head(in, cut(context)), run;
        size_t given = piece.len;
        enum unstuff_step step;

        while ((step = unstuff_next(&u, &piece, &run)) == UNSTUFF_RUN)
            buf_add(out, run);
        in = slice_skip(in, given - piece.len);
        if (step == UNSTUFF_END) {
            *rest = in;
            return true;
        }
    }
    *rest = in;
    return false;
}

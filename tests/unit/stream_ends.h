/*
 * stream_ends - a stream, and the other end of its connection in the hands of
 * the test or of a second fiber.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/io/sock.h"
#include "lib/io/stream.h"
#include "tests/unit/fibers.h"

#include <unistd.h>

static const char *const status_names[] = { "ok ", "long ", "eof ", "timeout ",
    "cancelled ", "error " };

/* Two ends of a connection; the test or a second fiber has the other one. */
struct ends {
    struct stream *st;
    int peer;
    int64_t deadline;
    struct slice feed; /* what peer gets to send */
    size_t piece;      /* octets at a time */
    size_t max;
    struct buf seen;
};

static inline void
ends_open(struct ends *e)
{
    int fds[2];

    assert_int_equal(sock_pair(fds), 0);
    e->st = stream_new(fds[0]);
    e->peer = fds[1];
    buf_init(&e->seen, 1 << 20);
}

static inline void
ends_close(struct ends *e)
{
    stream_free(e->st);
    if (e->peer >= 0)
        (void)close(e->peer);
    buf_fini(&e->seen);
}

static inline void
send_text(const struct ends *e, const char *text)
{
    assert_int_equal(write(e->peer, text, strlen(text)), strlen(text));
}

static inline void
feed(void *arg)
{
    struct ends *e = arg;

    while (e->feed.len > 0) {
        struct slice piece = slice_head(e->feed, e->piece);

        if (write(e->peer, piece.ptr, piece.len) != (ssize_t)piece.len)
            note("write ");
        e->feed = slice_skip(e->feed, piece.len);
        fiber_yield();
    }
    (void)close(e->peer);
    e->peer = -1;
}

static inline void
read_lines(void *arg)
{
    struct ends *e = arg;
    enum stream_status status;
    struct slice line;

    do {
        status = stream_read_line(e->st, e->max, e->deadline, &line);
        if (status == STREAM_OK) {
            bool bare = stream_line_was_bare_lf(e->st);

            buf_add_octet(&e->seen, bare ? '(' : '[');
            buf_add(&e->seen, line);
            buf_add_text(&e->seen, bare ? ") " : "] ");
        } else if (status == STREAM_TOO_LONG) {
            buf_add_text(&e->seen,
                stream_line_was_bare_lf(e->st) ? "bare long " : "long ");
        }
    } while (status == STREAM_OK || status == STREAM_TOO_LONG);
    buf_add_text(&e->seen, status_names[status]);
    buf_truncate(&e->seen, e->seen.len - 1);
}

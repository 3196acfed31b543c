/*
 * stream - a buffered, possibly encrypted byte stream owned by one fiber.
 *
 * Calls that wait park the calling fiber (outside of a fiber they block in
 * poll(2), so that commands use the same code). Deadlines are absolute, in
 * milliseconds of clock_now_ms(), so that a peer that sends one octet at a time
 * cannot stretch them. Buffers are allocated when there is something to hold
 * and given back when empty: an idle session costs its fiber only.
 *
 * Reading and writing do not know of each other, so one fiber may read while
 * another one writes.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct stream;

enum stream_status {
    STREAM_OK,
    STREAM_TOO_LONG, /* line over the limit; read up to its end, dropped */
    STREAM_EOF,
    STREAM_TIMEOUT,
    STREAM_CANCELLED, /* the process is draining */
    STREAM_ERROR,     /* reset or TLS failure; errno says */
};

enum {
    STREAM_READ_BUFFER = 16384, /* octets read at a time, at most */
    STREAM_WRITE_BUFFER = 16384 /* gathered before a write must happen */
};

/*
 * Takes over fd, which is non-blocking. Does not fail. It is registered with
 * the scheduler of the first fiber that has to wait for it.
 */
struct stream *stream_new(int fd) ATTR_MUST_USE;

/* Drops what was not flushed, and closes. NULL is welcome. */
void stream_free(struct stream *st);
int stream_fd(const struct stream *st) ATTR_NONNULL;

/*
 * Read a line of at most max octets. *line excludes the LF or CRLF and is valid
 * until the next read from the same stream. What follows the last line end
 * before STREAM_EOF is no line; stream_peek() shows it. Waits.
 */
enum stream_status stream_read_line(struct stream *st, size_t max,
    int64_t deadline, struct slice *line) ATTR_NONNULL ATTR_MUST_USE;

/* Did the last line (of STREAM_OK or STREAM_TOO_LONG) end with LF alone? */
bool stream_line_was_bare_lf(const struct stream *st) ATTR_NONNULL;

/*
 * What is in the buffer, at least one octet: reads when it is empty. The
 * caller looks at *octets and takes what it used with stream_consume(). Waits.
 */
enum stream_status stream_peek(struct stream *st, int64_t deadline,
    struct slice *octets) ATTR_NONNULL ATTR_MUST_USE;
void stream_consume(struct stream *st, size_t n) ATTR_NONNULL;

/* At least want octets in the buffer (want <= STREAM_READ_BUFFER). Waits. */
enum stream_status stream_peek_at_least(struct stream *st, size_t want,
    int64_t deadline, struct slice *octets) ATTR_NONNULL ATTR_MUST_USE;

/* Octets that were read and not consumed: pipelined commands, say. */
size_t stream_buffered(const struct stream *st) ATTR_NONNULL;

/*
 * Add to what is to be written. Writes by itself, and waits, only when
 * STREAM_WRITE_BUFFER is exceeded. A failure is reported by the next flush.
 */
void stream_write(struct stream *st, struct slice octets, int64_t deadline)
    ATTR_NONNULL;
void stream_printf(struct stream *st, int64_t deadline, const char *fmt, ...)
    ATTR_PRINTF(3, 4);

/* Waits until all is with the kernel. */
enum stream_status stream_flush(struct stream *st, int64_t deadline)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * For lib/tls: what lies between the buffers and the descriptor.
 *
 * read and write are like read(2) and write(2) and do not wait: -1 with errno
 * EAGAIN leaves in *want which readiness of the descriptor they need. close ends
 * the layer, with the descriptor still open; it does not wait.
 */
enum stream_want { STREAM_WANT_READ, STREAM_WANT_WRITE };

struct stream_layer {
    ssize_t (*read)(void *state, void *to, size_t size, enum stream_want *want);
    ssize_t (*write)(void *state, const void *from, size_t size,
        enum stream_want *want);
    void (*close)(void *state);
};

/*
 * Put a layer in; once, and with nothing in the write buffer. What had been
 * read before is the caller's to judge (see stream_buffered()) and is dropped:
 * it came in the clear.
 */
void stream_set_layer(struct stream *st, const struct stream_layer *layer,
    void *state) ATTR_NONNULL;

/* Wait for the descriptor itself (handshakes). Waits. */
enum stream_status stream_wait_fd(struct stream *st, enum stream_want want,
    int64_t deadline) ATTR_NONNULL ATTR_MUST_USE;

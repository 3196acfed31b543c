#include "lib/io/iov.h"
#include "lib/io/stream_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

enum { PRINTF_MAX = 512 }; /* octets of a line that need no allocation */

/* Of two runs of octets, how many went out; -1 with errno. */
static ssize_t
write_some(struct stream *st, struct slice a, struct slice b,
    enum stream_want *want)
{
    struct iovec iov[2] = { iov_of(a), iov_of(b) };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
    ssize_t n;

    if (st->layer != NULL) {
        struct slice first = a.len > 0 ? a : b;

        return st->layer->write(st->layer_state, first.ptr, first.len, want);
    }
    if (!st->no_socket) {
        n = sendmsg(st->fd, &msg, MSG_NOSIGNAL);
        if (n >= 0 || errno != ENOTSOCK)
            return n;
        st->no_socket = true;
    }
    return writev(st->fd, iov, 2);
}

/*
 * Write what is gathered, and then *more, until at most keep octets of *more
 * are left. On failure what was not written is still there.
 */
static enum stream_status
write_out(struct stream *st, struct slice *more, size_t keep, int64_t deadline)
{
    enum stream_status status = STREAM_OK;

    while (status == STREAM_OK && (st->out.len > 0 || more->len > keep)) {
        enum stream_want want = STREAM_WANT_WRITE;
        ssize_t n = write_some(st, buf_slice(&st->out), *more, &want);

        if (n >= 0) {
            size_t gathered = (size_t)n < st->out.len ? (size_t)n : st->out.len;

            buf_consume(&st->out, gathered);
            *more = slice_skip(*more, (size_t)n - gathered);
        } else if (errno == EAGAIN) {
            status = stream_wait_fd(st, want, deadline);
        } else if (errno != EINTR) {
            status = STREAM_ERROR;
        }
    }
    return status;
}

static void
give_up_writing(struct stream *st, enum stream_status status)
{
    st->out_status = status;
    st->out_errno = errno;
    buf_fini(&st->out);
}

void
stream_write(struct stream *st, struct slice octets, int64_t deadline)
{
    enum stream_status status;

    if (st->out_status != STREAM_OK)
        return;
    if (octets.len > STREAM_WRITE_BUFFER - st->out.len) {
        status = write_out(st, &octets, STREAM_WRITE_BUFFER, deadline);
        if (status != STREAM_OK) {
            give_up_writing(st, status);
            return;
        }
    }
    buf_add(&st->out, octets);
    if (buf_failed(&st->out)) {
        errno = ENOMEM;
        give_up_writing(st, STREAM_ERROR);
    }
}

void
stream_printf(struct stream *st, int64_t deadline, const char *fmt, ...)
{
    char text[PRINTF_MAX];
    struct buf b;
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(text)) {
        stream_write(st, (struct slice){ text, (size_t)n }, deadline);
    } else if (n >= 0) {
        buf_init(&b, (size_t)n);
        buf_add_vformat(&b, fmt, again);
        stream_write(st, buf_slice(&b), deadline);
        buf_fini(&b);
    }
    va_end(again);
}

/* After a timeout or cancellation what is left can be flushed again. */
enum stream_status
stream_flush(struct stream *st, int64_t deadline)
{
    struct slice none = { NULL, 0 };
    enum stream_status status = st->out_status;

    if (status == STREAM_OK && st->out.len > 0) {
        status = write_out(st, &none, 0, deadline);
        if (status == STREAM_OK)
            buf_fini(&st->out);
        else if (status == STREAM_ERROR)
            give_up_writing(st, status);
    }
    if (status == STREAM_ERROR)
        errno = st->out_errno;
    return status;
}

#include "lib/io/stream.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/io/stream_private.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum {
    ROOM_MIN = 2048, /* read into less only when the buffer cannot do better */
    FILLS_MAX = 8,   /* reads in a row without a wait: then others get a turn */
};

struct stream *
stream_new(int fd)
{
    struct stream *st = mem_alloc(sizeof(*st));

    st->fd = fd;
    buf_init(&st->out, STREAM_WRITE_BUFFER);
    return st;
}

void
stream_free(struct stream *st)
{
    if (st == NULL)
        return;
    if (st->layer != NULL)
        st->layer->close(st->layer_state);
    if (st->registered)
        io_wait_fini(&st->wait);
    (void)close(st->fd);
    mem_free(st->in);
    buf_fini(&st->out);
    mem_free(st);
}

int
stream_fd(const struct stream *st)
{
    return st->fd;
}

/* Waiting */

static enum stream_status
poll_fd(int fd, enum stream_want want, int64_t deadline)
{
    struct pollfd pfd = {
        .fd = fd,
        .events = want == STREAM_WANT_READ ? POLLIN : POLLOUT,
    };

    for (;;) {
        int64_t left = deadline - clock_now_ms();
        int n = poll(&pfd, 1, left <= 0 ? 0 : left > 60000 ? 60000 : (int)left);

        if (n > 0)
            return STREAM_OK;
        if (n < 0 && errno != EINTR)
            return STREAM_ERROR;
        if (n == 0 && left <= 0)
            return STREAM_TIMEOUT;
    }
}

enum stream_status
stream_wait_fd(struct stream *st, enum stream_want want, int64_t deadline)
{
    enum wait_result result;

    if (!fiber_inside())
        return poll_fd(st->fd, want, deadline);
    if (!st->registered && io_wait_init(&st->wait, st->fd) < 0)
        return STREAM_ERROR;
    st->registered = true;
    st->fills = 0;
    result = want == STREAM_WANT_READ ? io_wait_readable(&st->wait, deadline)
                                      : io_wait_writable(&st->wait, deadline);
    switch (result) {
    case WAIT_OK:
        return STREAM_OK;
    case WAIT_TIMEOUT:
        return STREAM_TIMEOUT;
    case WAIT_CANCELLED:
        break;
    }
    return STREAM_CANCELLED;
}

/*
 * A peer that sends as fast as we read never makes us wait: let others run, and
 * see to the deadline.
 */
static enum stream_status
breathe(struct stream *st, int64_t deadline)
{
    if (++st->fills < FILLS_MAX)
        return STREAM_OK;
    st->fills = 0;
    if (clock_now_ms() > deadline)
        return STREAM_TIMEOUT;
    if (fiber_inside())
        fiber_yield();
    return STREAM_OK;
}

/* Reading; writing is in stream_write.c. */

static size_t
unread(const struct stream *st)
{
    return st->end - st->start;
}

static void
forget_all(struct stream *st)
{
    st->start = st->end = st->scanned = 0;
}

static void
release_if_empty(struct stream *st)
{
    if (unread(st) > 0)
        return;
    mem_free(st->in);
    st->in = NULL;
    st->room = 0;
    forget_all(st);
}

/* Room behind what is unread. It grows only when it holds nothing but that. */
static bool
make_room(struct stream *st)
{
    size_t room = st->room == 0 ? STREAM_READ_BUFFER : st->room * 2;
    char *in;

    if (st->start > 0 && st->room - st->end < ROOM_MIN) {
        memmove(st->in, st->in + st->start, unread(st));
        st->end -= st->start;
        st->start = 0;
    }
    if (st->end < st->room)
        return true;
    in = mem_try_resize(st->in, room);
    if (in == NULL)
        return false;
    st->in = in;
    st->room = room;
    return true;
}

static ssize_t
read_some(struct stream *st, enum stream_want *want)
{
    char *to = st->in + st->end;
    size_t size = st->room - st->end;
    ssize_t n;

    if (st->layer != NULL)
        return st->layer->read(st->layer_state, to, size, want);
    do
        n = read(st->fd, to, size);
    while (n < 0 && errno == EINTR);
    st->drained = n < 0 ? errno == EAGAIN
                        : n > 0 && st->registered && (size_t)n < size;
    return n;
}

/*
 * At least one octet more. While it waits with nothing unread there is no
 * buffer. What the last read left empty is not tried again before the next
 * edge, which saves a system call for each line.
 */
static enum stream_status
fill(struct stream *st, int64_t deadline)
{
    enum stream_want want = STREAM_WANT_READ;
    enum stream_status status = breathe(st, deadline);

    while (status == STREAM_OK) {
        ssize_t n = -1;

        if (!st->drained) {
            if (!make_room(st)) {
                errno = ENOMEM;
                return STREAM_ERROR;
            }
            n = read_some(st, &want);
            if (n > 0) {
                st->end += (size_t)n;
                return STREAM_OK;
            }
            if (n == 0)
                return STREAM_EOF;
            if (errno != EAGAIN)
                return STREAM_ERROR;
        }
        release_if_empty(st);
        status = stream_wait_fd(st, want, deadline);
        if (status == STREAM_OK)
            st->drained = false;
    }
    return status;
}

/* lf is the end of the line at in + start. */
static enum stream_status
take_line(struct stream *st, const char *lf, size_t max, struct slice *line)
{
    const char *from = st->in + st->start;
    size_t len = (size_t)(lf - from);
    bool too_long = st->dropping;

    st->start += len + 1;
    st->scanned = 0;
    st->dropping = false;
    st->bare_lf = len == 0 || from[len - 1] != '\r';
    if (!st->bare_lf)
        len--;
    if (too_long || len > max)
        return STREAM_TOO_LONG;
    *line = (struct slice){ from, len };
    return STREAM_OK;
}

enum stream_status
stream_read_line(struct stream *st, size_t max, int64_t deadline,
    struct slice *line)
{
    enum stream_status status = STREAM_OK;

    *line = (struct slice){ NULL, 0 };
    while (status == STREAM_OK) {
        size_t have = unread(st);
        const char *lf = have == st->scanned
            ? NULL
            : memchr(st->in + st->start + st->scanned, '\n',
                  have - st->scanned);

        if (lf != NULL)
            return take_line(st, lf, max, line);
        st->scanned = have;
        if (have > 0 && have - 1 > max) /* one more may be the CR */
            st->dropping = true;
        if (st->dropping && have > 0) {
            /* Of "...\r" and "\n" only the CR matters later on. */
            st->start = st->end - 1;
            st->scanned = 1;
        }
        status = fill(st, deadline);
    }
    return status;
}

bool
stream_line_was_bare_lf(const struct stream *st)
{
    return st->bare_lf;
}

enum stream_status
stream_peek_at_least(struct stream *st, size_t want, int64_t deadline,
    struct slice *octets)
{
    assert(want <= STREAM_READ_BUFFER);
    while (unread(st) < want) {
        enum stream_status status = fill(st, deadline);

        if (status != STREAM_OK)
            return status;
    }
    *octets = (struct slice){ st->in + st->start, unread(st) };
    return STREAM_OK;
}

enum stream_status
stream_peek(struct stream *st, int64_t deadline, struct slice *octets)
{
    return stream_peek_at_least(st, 1, deadline, octets);
}

void
stream_consume(struct stream *st, size_t n)
{
    assert(n <= unread(st));
    st->start += n;
    st->scanned = st->scanned > n ? st->scanned - n : 0;
    if (st->start == st->end)
        forget_all(st);
}

size_t
stream_buffered(const struct stream *st)
{
    return unread(st);
}

void
stream_set_layer(struct stream *st, const struct stream_layer *layer,
    void *state)
{
    assert(st->layer == NULL && st->out.len == 0);
    forget_all(st);
    release_if_empty(st);
    st->dropping = false;
    st->drained = false;
    st->layer = layer;
    st->layer_state = state;
}

#include "lib/io/stream.h"

#include "lib/base/buf.h"
#include "lib/io/sock.h"
#include "tests/unit/fibers.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
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

static void
ends_open(struct ends *e)
{
    int fds[2];

    assert_int_equal(sock_pair(fds), 0);
    e->st = stream_new(fds[0]);
    e->peer = fds[1];
    buf_init(&e->seen, 1 << 20);
}

static void
ends_close(struct ends *e)
{
    stream_free(e->st);
    if (e->peer >= 0)
        (void)close(e->peer);
    buf_fini(&e->seen);
}

static void
send_text(const struct ends *e, const char *text)
{
    assert_int_equal(write(e->peer, text, strlen(text)), strlen(text));
}

/* Lines */

/* max is 8 in all of them. */
static const struct {
    const char *name, *in, *seen;
} lines[] = {
    { "crlf", "HELO\r\n", "[HELO] eof" },
    { "lf", "HELO\n", "(HELO) eof" },
    { "empty", "\r\n\n", "[] () eof" },
    { "pipelined", "A\r\nB\r\nC\r\n", "[A] [B] [C] eof" },
    { "mixed", "A\nB\r\nC\n", "(A) [B] (C) eof" },
    { "cr inside", "A\rB\r\n", "[A\rB] eof" },
    { "two crs", "A\r\r\n", "[A\r] eof" },
    { "limit", "12345678\r\n", "[12345678] eof" },
    { "limit, lf", "12345678\n", "(12345678) eof" },
    { "over", "123456789\r\nB\r\n", "long [B] eof" },
    { "over, lf", "123456789\nB\n", "bare long (B) eof" },
    { "far over", "123456789012345678901234567890\r\nB\r\n", "long [B] eof" },
    { "limit, cr", "12345678\r\r\nB\r\n", "long [B] eof" },
    { "no end", "HEL", "eof" },
    { "no end, over", "123456789012", "eof" },
    { "end behind cr", "HELO\r", "eof" },
};

static void
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

static void
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

static void
check_lines(size_t piece)
{
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct ends e = {
            .feed = slice_of(lines[i].in),
            .piece = piece,
            .max = 8,
            .deadline = CLOCK_NEVER,
        };

        print_message("  %s\n", lines[i].name);
        ends_open(&e);
        spawn(read_lines, &e);
        spawn(feed, &e);
        sched_run();
        assert_string_equal(buf_text(&e.seen), lines[i].seen);
        ends_close(&e);
    }
}

static void
test_lines_at_once(void **state)
{
    (void)state;
    check_lines(1000);
}

static void
test_lines_by_octet(void **state)
{
    (void)state;
    check_lines(1);
}

static void
test_lines_by_three(void **state)
{
    (void)state;
    check_lines(3);
}

/* Without a scheduler's help the same. */
static void
test_lines_blocking(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct ends e = { .max = 8, .deadline = CLOCK_NEVER };

        ends_open(&e);
        send_text(&e, lines[i].in);
        (void)close(e.peer);
        e.peer = -1;
        read_lines(&e);
        assert_string_equal(buf_text(&e.seen), lines[i].seen);
        ends_close(&e);
    }
}

/* A line longer than what is read at a time, between two short ones. */
static void
test_very_long_line(void **state)
{
    enum { LONG = 3 * STREAM_READ_BUFFER + 7 };
    struct ends e = { .piece = 5000, .max = LONG, .deadline = CLOCK_NEVER };
    struct buf in;
    struct slice seen;

    (void)state;
    buf_init(&in, LONG + 100);
    buf_add_text(&in, "a\r\n");
    for (unsigned i = 0; i < LONG; i++)
        buf_add_octet(&in, (unsigned char)('a' + i % 26));
    buf_add_text(&in, "\r\nb\r\n");
    e.feed = buf_slice(&in);
    ends_open(&e);
    spawn(read_lines, &e);
    spawn(feed, &e);
    sched_run();
    seen = buf_slice(&e.seen);
    assert_int_equal(seen.len, 4 + LONG + 3 + 4 + 3);
    assert_memory_equal(seen.ptr, "[a] [", 5);
    assert_memory_equal(seen.ptr + 5, in.ptr + 3, LONG);
    assert_memory_equal(seen.ptr + 5 + LONG, "] [b] eof", 9);
    ends_close(&e);
    buf_fini(&in);
}

/* Deadlines and cancellation */

/* A trickle of octets does not stretch the deadline. */
static void
test_trickle(void **state)
{
    struct ends e = { .max = 100, .deadline = NOW + 50 };

    (void)state;
    ends_open(&e);
    spawn(read_lines, &e);
    for (unsigned i = 0; i < 5; i++) {
        settle();
        send_text(&e, "x");
        advance(10);
    }
    assert_string_equal(buf_text(&e.seen), "timeout");
    ends_close(&e);
}

/* Nor does one that is never waited for. */
static void
flood(void *arg)
{
    static const char octets[STREAM_READ_BUFFER];
    struct ends *e = arg;

    while (e->seen.len == 0) {
        while (write(e->peer, octets, sizeof(octets)) > 0)
            continue;
        clock_advance_ms(1);
        fiber_yield();
    }
}

static void
test_flood(void **state)
{
    struct ends e = { .max = 100, .deadline = NOW + 50 };

    (void)state;
    ends_open(&e);
    spawn(read_lines, &e);
    spawn(flood, &e);
    sched_run();
    assert_string_equal(buf_text(&e.seen), "timeout");
    ends_close(&e);
}

static void
test_cancelled(void **state)
{
    struct ends e = { .max = 100, .deadline = CLOCK_NEVER };
    struct fiber *f;

    (void)state;
    ends_open(&e);
    f = spawn(read_lines, &e);
    send_text(&e, "a\r\npart");
    settle();
    fiber_cancel(f);
    settle();
    assert_string_equal(buf_text(&e.seen), "[a] cancelled");
    ends_close(&e);
}

static void
test_blocking_timeout(void **state)
{
    struct ends e = { .max = 100 };
    struct slice line;

    (void)state;
    clock_unset();
    ends_open(&e);
    assert_int_equal(stream_read_line(e.st, 10, clock_now_ms() + 5, &line),
        STREAM_TIMEOUT);
    send_text(&e, "late\r\n");
    assert_int_equal(stream_read_line(e.st, 10, clock_now_ms() + 5, &line),
        STREAM_OK);
    assert_true(slice_eq_text(line, "late"));
    ends_close(&e);
}

/* Looking ahead */

static void
test_peek(void **state)
{
    struct ends e = { .max = 100 };
    struct slice octets, line;

    (void)state;
    ends_open(&e);
    send_text(&e, "one\r\ntwo\r\nthree");
    assert_int_equal(stream_read_line(e.st, 10, NOW, &line), STREAM_OK);
    assert_int_equal(stream_buffered(e.st), 10);
    assert_int_equal(stream_peek(e.st, NOW, &octets), STREAM_OK);
    assert_true(slice_eq_text(octets, "two\r\nthree"));
    stream_consume(e.st, 2);
    assert_int_equal(stream_read_line(e.st, 10, NOW, &line), STREAM_OK);
    assert_true(slice_eq_text(line, "o"));
    assert_int_equal(stream_peek_at_least(e.st, 6, NOW, &octets),
        STREAM_TIMEOUT);
    send_text(&e, "!");
    assert_int_equal(stream_peek_at_least(e.st, 6, NOW, &octets), STREAM_OK);
    assert_true(slice_eq_text(octets, "three!"));
    stream_consume(e.st, 6);
    assert_int_equal(stream_buffered(e.st), 0);
    (void)close(e.peer);
    e.peer = -1;
    assert_int_equal(stream_peek(e.st, NOW, &octets), STREAM_EOF);
    assert_int_equal(stream_peek(e.st, NOW, &octets), STREAM_EOF);
    ends_close(&e);
}

/* What a search for a line end has seen already is known, not more. */
static void
test_peek_after_partial_line(void **state)
{
    struct ends e = { .max = 100 };
    struct slice octets, line;

    (void)state;
    ends_open(&e);
    send_text(&e, "part");
    assert_int_equal(stream_read_line(e.st, 10, NOW, &line), STREAM_TIMEOUT);
    assert_int_equal(stream_peek(e.st, NOW, &octets), STREAM_OK);
    stream_consume(e.st, 4);
    send_text(&e, "\n");
    assert_int_equal(stream_read_line(e.st, 10, NOW, &line), STREAM_OK);
    assert_int_equal(line.len, 0);
    ends_close(&e);
}

static void
wait_once(void *arg)
{
    struct ends *e = arg;

    note(status_names[stream_wait(e->st, e->deadline)]);
}

static void
wait_and_read(void *arg)
{
    struct ends *e = arg;
    struct slice line;

    for (unsigned i = 0; i < 3; i++) {
        note(status_names[stream_wait(e->st, e->deadline)]);
        if (stream_read_line(e->st, 10, NOW, &line) == STREAM_OK)
            note("line ");
    }
}

static void
test_wait(void **state)
{
    struct ends e = { .deadline = NOW + 100 };

    (void)state;
    ends_open(&e);
    spawn(wait_and_read, &e);
    settle();
    assert_string_equal(notes, "");
    send_text(&e, "a\r\nb\r\n");
    settle();
    assert_string_equal(notes, "ok line ok line ");
    (void)close(e.peer);
    e.peer = -1;
    settle();
    assert_string_equal(notes, "ok line ok line ok ");
    assert_int_equal(sched_count(), 0);
    ends_close(&e);
}

static void
test_wait_times_out(void **state)
{
    struct ends e = { .deadline = NOW + 100 };

    (void)state;
    ends_open(&e);
    spawn(wait_and_read, &e);
    settle();
    advance(100);
    assert_memory_equal(notes, "timeout ", 8);
    ends_close(&e);
}

/* Idle, whether in a wait or in a read, a stream holds no buffer. */
static void
test_idle_holds_nothing(void **state)
{
    enum { IDLE = 64 };
    static struct ends e[IDLE];
    struct slice line;
    size_t before = mallinfo2().uordblks;

    (void)state;
    for (unsigned i = 0; i < IDLE; i++) {
        e[i] = (struct ends){ .max = 100, .deadline = NOW + 100 };
        ends_open(&e[i]);
        send_text(&e[i], "EHLO x\r\n");
        assert_int_equal(stream_read_line(e[i].st, 100, NOW, &line), STREAM_OK);
        stream_printf(e[i].st, NOW, "250 x\r\n");
        assert_int_equal(stream_flush(e[i].st, NOW), STREAM_OK);
        spawn(i % 2 == 0 ? wait_once : read_lines, &e[i]);
    }
    settle();
    assert_int_equal(sched_count(), IDLE);
    assert_in_range((mallinfo2().uordblks - before) / IDLE, 0, 1000);
    advance(100);
    assert_int_equal(sched_count(), 0);
    for (unsigned i = 0; i < IDLE; i++)
        ends_close(&e[i]);
}

/* Writing */

static void
write_much(void *arg)
{
    struct ends *e = arg;

    stream_printf(e->st, e->deadline, "%s", "begin\r\n");
    stream_write(e->st, e->feed, e->deadline);
    stream_write(e->st, SLICE_LIT("end\r\n"), e->deadline);
    note(status_names[stream_flush(e->st, e->deadline)]);
    stream_free(e->st);
    e->st = NULL;
}

/* Takes a little now and then. */
static void
read_slowly(void *arg)
{
    struct ends *e = arg;
    char octets[3000];
    struct io_wait w;
    ssize_t n = 1;

    if (io_wait_init(&w, e->peer) < 0)
        return;
    while (n != 0) {
        n = read(e->peer, octets, sizeof(octets));
        if (n > 0)
            buf_add(&e->seen, (struct slice){ octets, (size_t)n });
        if (n < 0 && io_wait_readable(&w, e->deadline) != WAIT_OK)
            break;
        fiber_yield();
    }
    io_wait_fini(&w);
}

static void
test_slow_reader(void **state)
{
    enum { MUCH = 2000000 };
    static char octets[MUCH];
    struct ends e = { .deadline = CLOCK_NEVER };
    static const size_t sizes[] = { 0, 1, STREAM_WRITE_BUFFER - 7,
        STREAM_WRITE_BUFFER - 6, STREAM_WRITE_BUFFER, 40000, MUCH };

    (void)state;
    for (unsigned i = 0; i < MUCH; i++)
        octets[i] = (char)(i % 251);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        ends_open(&e);
        e.seen.ceiling = MUCH + 100;
        e.feed = (struct slice){ octets, sizes[i] };
        notes[0] = '\0';
        spawn(write_much, &e);
        spawn(read_slowly, &e);
        sched_run();
        assert_string_equal(notes, "ok ");
        assert_int_equal(e.seen.len, sizes[i] + 12);
        assert_memory_equal(e.seen.ptr, "begin\r\n", 7);
        assert_memory_equal(e.seen.ptr + 7, octets, sizes[i]);
        assert_memory_equal(e.seen.ptr + 7 + sizes[i], "end\r\n", 5);
        ends_close(&e);
    }
}

/* A reader that does not read. */
static void
test_write_times_out(void **state)
{
    enum { MUCH = 1000000 };
    static const char octets[MUCH];
    struct ends e = {
        .deadline = NOW + 100,
        .feed = { octets, MUCH },
    };

    (void)state;
    ends_open(&e);
    spawn(write_much, &e);
    settle();
    assert_string_equal(notes, "");
    advance(100);
    assert_string_equal(notes, "timeout ");
    ends_close(&e);
}

static void
fill_and_flush(void *arg)
{
    static const char octets[STREAM_WRITE_BUFFER];
    struct ends *e = arg;
    enum stream_status status;

    do {
        stream_write(e->st, (struct slice){ octets, sizeof(octets) }, NOW);
        status = stream_flush(e->st, e->deadline);
    } while (status == STREAM_OK);
    note(status_names[status]);
    note(status_names[stream_flush(e->st, CLOCK_NEVER)]);
}

/* What a flush could not write by its deadline is written by the next. */
static void
test_flush_again(void **state)
{
    struct ends e = { .deadline = NOW + 100 };
    char octets[2048];

    (void)state;
    ends_open(&e);
    spawn(fill_and_flush, &e);
    settle();
    advance(100);
    assert_string_equal(notes, "timeout ");
    do {
        while (read(e.peer, octets, sizeof(octets)) > 0)
            continue;
    } while (sched_turn());
    assert_string_equal(notes, "timeout ok ");
    ends_close(&e);
}

/* No SIGPIPE; the failure shows at the flush, and stays. */
static void
test_write_to_nobody(void **state)
{
    struct ends e = { .deadline = NOW };

    (void)state;
    ends_open(&e);
    (void)close(e.peer);
    e.peer = -1;
    stream_printf(e.st, NOW, "%0600d\r\n", 1);
    errno = 0;
    assert_int_equal(stream_flush(e.st, NOW), STREAM_ERROR);
    assert_int_equal(errno, EPIPE);
    stream_write(e.st, SLICE_LIT("more"), NOW);
    errno = 0;
    assert_int_equal(stream_flush(e.st, NOW), STREAM_ERROR);
    assert_int_equal(errno, EPIPE);
    ends_close(&e);
}

static void
test_pipe(void **state)
{
    struct slice line;
    struct stream *in, *out;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    in = stream_new(fds[0]);
    out = stream_new(fds[1]);
    stream_printf(out, NOW, "%s%0600d\n", "x", 7);
    assert_int_equal(stream_flush(out, NOW), STREAM_OK);
    assert_int_equal(stream_read_line(in, 1000, NOW, &line), STREAM_OK);
    assert_int_equal(line.len, 601);
    assert_int_equal(stream_fd(in), fds[0]);
    stream_free(in);
    stream_free(out);
    stream_free(NULL);
}

/* One reads while another one writes. */

static void
echo_both_ways(void *arg)
{
    struct ends *e = arg;
    struct slice line;

    note(status_names[stream_read_line(e->st, 10, CLOCK_NEVER, &line)]);
    note(status_names[stream_peek(e->st, CLOCK_NEVER, &line)]);
}

static void
test_two_fibers(void **state)
{
    enum { MUCH = 1000000 };
    static const char octets[MUCH];
    struct ends e = { .deadline = CLOCK_NEVER, .feed = { octets, MUCH } };
    struct ends reader;

    (void)state;
    ends_open(&e);
    reader = e;
    spawn(echo_both_ways, &reader);
    spawn(write_much, &e);
    settle();
    assert_string_equal(notes, "");
    send_text(&e, "go\r\n");
    settle();
    assert_string_equal(notes, "ok ");
    send_text(&e, "on");
    settle();
    assert_string_equal(notes, "ok ok ");
    spawn(read_slowly, &e);
    sched_run();
    assert_string_equal(notes, "ok ok ok ");
    ends_close(&e);
}

/* A layer: each octet changes its sixth bit on the way. */

struct mask {
    int fd;
    bool blocked; /* first EAGAIN, for each call */
    unsigned closed;
};

static bool
block_first(struct mask *m, enum stream_want *want, enum stream_want which)
{
    m->blocked = !m->blocked;
    *want = which;
    errno = EAGAIN;
    return m->blocked;
}

static ssize_t
mask_read(void *state, void *to, size_t size, enum stream_want *want)
{
    struct mask *m = state;
    ssize_t n;

    /* Wants to write first, which is possible at once. */
    if (block_first(m, want, STREAM_WANT_WRITE))
        return -1;
    n = read(m->fd, to, size);
    if (n < 0 && errno == EAGAIN)
        *want = STREAM_WANT_READ;
    for (ssize_t i = 0; i < n; i++)
        ((char *)to)[i] ^= 0x20;
    return n;
}

static ssize_t
mask_write(void *state, const void *from, size_t size, enum stream_want *want)
{
    struct mask *m = state;
    char octet = (char)(*(const char *)from ^ 0x20);

    (void)size;
    if (block_first(m, want, STREAM_WANT_WRITE))
        return -1;
    return write(m->fd, &octet, 1);
}

static bool
mask_pending(void *state)
{
    (void)state;
    return false;
}

static void
mask_close(void *state)
{
    struct mask *m = state;

    m->closed++;
}

static const struct stream_layer mask_layer = { mask_read, mask_write,
    mask_pending, mask_close };

static void
test_layer(void **state)
{
    struct ends e = { .max = 100 };
    struct mask m = { .blocked = false };
    struct slice line;
    char octets[10] = "";

    (void)state;
    ends_open(&e);
    m.fd = stream_fd(e.st);
    send_text(&e, "STARTTLS\r\nsmuggled\r\n");
    assert_int_equal(stream_read_line(e.st, 10, NOW, &line), STREAM_OK);
    stream_set_layer(e.st, &mask_layer, &m);
    assert_int_equal(stream_buffered(e.st), 0);
    send_text(&e, "ehlo-*");
    assert_int_equal(stream_read_line(e.st, 10, NOW, &line), STREAM_OK);
    assert_true(slice_eq_text(line, "EHLO"));
    stream_printf(e.st, NOW, "OK");
    assert_int_equal(stream_flush(e.st, NOW), STREAM_OK);
    assert_int_equal(read(e.peer, octets, sizeof(octets)), 2);
    assert_string_equal(octets, "ok");
    ends_close(&e);
    assert_int_equal(m.closed, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIBER_TEST(test_lines_at_once),
        FIBER_TEST(test_lines_by_octet),
        FIBER_TEST(test_lines_by_three),
        FIBER_TEST(test_lines_blocking),
        FIBER_TEST(test_very_long_line),
        FIBER_TEST(test_trickle),
        FIBER_TEST(test_flood),
        FIBER_TEST(test_cancelled),
        FIBER_TEST(test_blocking_timeout),
        FIBER_TEST(test_peek),
        FIBER_TEST(test_peek_after_partial_line),
        FIBER_TEST(test_wait),
        FIBER_TEST(test_wait_times_out),
        FIBER_TEST(test_idle_holds_nothing),
        FIBER_TEST(test_slow_reader),
        FIBER_TEST(test_write_times_out),
        FIBER_TEST(test_flush_again),
        FIBER_TEST(test_write_to_nobody),
        FIBER_TEST(test_pipe),
        FIBER_TEST(test_two_fibers),
        FIBER_TEST(test_layer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

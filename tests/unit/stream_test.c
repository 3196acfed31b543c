/*
 * Reading from a stream: lines, deadlines, looking ahead, idleness.
 */
#include "lib/io/stream.h"

#include "tests/unit/stream_ends.h"

#include <malloc.h>

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

/* An idle stream, which waits in a read, holds no buffer. */
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
        spawn(read_lines, &e[i]);
    }
    settle();
    assert_int_equal(sched_count(), IDLE);
    assert_in_range((mallinfo2().uordblks - before) / IDLE, 0, 1000);
    advance(100);
    assert_int_equal(sched_count(), 0);
    for (unsigned i = 0; i < IDLE; i++)
        ends_close(&e[i]);
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
        FIBER_TEST(test_idle_holds_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Writing to a stream, also while another fiber reads, and through a layer.
 */
#include "lib/io/stream.h"
#include "tests/unit/stream_ends.h"

#include <errno.h>

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

static void
mask_close(void *state)
{
    struct mask *m = state;

    m->closed++;
}

static const struct stream_layer mask_layer = { mask_read, mask_write,
    mask_close };

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

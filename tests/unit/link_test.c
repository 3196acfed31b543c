/*
 * Messages of all sizes, descriptors among them, from one end of a link to the
 * other and back.
 */
#include "lib/ipc/link.h"

#include "lib/base/buf.h"
#include "lib/ipc/frame.h"
#include "tests/unit/link_ends.h"

#include <unistd.h>

static void
call_twice(const struct link_handler *handlers)
{
    struct end a, b;

    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, handlers);
    for (uint64_t i = 1; i <= 2; i++) {
        struct msg m;
        struct msg_in *answer = NULL;

        put_count(&m, MESSAGE_LEASE, i);
        CHECK(link_call(a.link, &m, soon(), &answer) == LINK_OK);
        CHECK(answer != NULL && answer->type == MESSAGE_LEASED);
        CHECK(answer != NULL && count_of(answer) == 2 * i);
        msg_in_free(answer);
    }
    CHECK(b.served == 2);
    link_close(a.link);
    settle();
    CHECK(a.gone == 0 && b.gone == 1);
}

static void
call_fiber(void *arg)
{
    (void)arg;
    call_twice(lease_inline);
    call_twice(lease_fiber);
}

static void
test_call(void **state)
{
    (void)state;
    run(call_fiber, NULL);
}

static void
pipeline_fiber(void *arg)
{
    struct end a, b;
    struct many many = { 0, 0 };

    (void)arg;
    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, lease_inline);
    for (uint64_t i = 1; i <= MANY; i++) {
        struct msg m;

        put_count(&m, MESSAGE_LEASE, i);
        link_ask(a.link, &m, many_done, &many);
    }
    for (int i = 0; i < 2000 && many.answered < MANY; i++)
        (void)fiber_sleep_until(clock_now_ms() + 1);
    CHECK(many.answered == MANY);
    CHECK(many.sum == (uint64_t)MANY * (MANY + 1));
    link_close(a.link);
}

static void
test_pipeline(void **state)
{
    (void)state;
    run(pipeline_fiber, NULL);
}

/* Answers SUBMIT with the length and the octets' sum. */
static void
serve_submit(struct request *r)
{
    struct msg answer;
    uint64_t sum = 0;

    for (size_t i = 0; i < r->in->body.len; i++)
        sum += (unsigned char)r->in->body.ptr[i];
    put_count(&answer, MESSAGE_SUBMITTED, sum);
    request_reply(r, &answer);
}

static void
serve_borrow(struct request *r)
{
    struct msg answer;
    int pipe_fds[2];

    CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
    CHECK(write(pipe_fds[1], "blob", 4) == 4);
    close(pipe_fds[1]);
    msg_init(&answer, MESSAGE_BLOB);
    msg_put_fd(&answer, pipe_fds[0]);
    request_reply(r, &answer);
}

static const struct link_handler submit_handlers[] = {
    { MESSAGE_SUBMIT, serve_submit, SERVE_INLINE },
    { MESSAGE_BORROW_BLOB, serve_borrow, SERVE_INLINE },
    { MESSAGE_LEASE, serve_lease, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

/* Bodies around every size at which they take another way. */
static void
sizes_fiber(void *arg)
{
    static const size_t sizes[] = { 0, 1, 8191, 8192, 8193, 32768 - 12, 32768,
        65536 - 13, 65536 - 12, 65536 - 11, 65536, 1000000, 5000000 };
    struct end a, b;

    (void)arg;
    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, submit_handlers);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct msg m;
        struct msg_in *answer = NULL;
        uint64_t sum = 0;

        msg_init(&m, MESSAGE_SUBMIT);
        for (size_t k = 0; k < sizes[i]; k++) {
            buf_add_octet(&m.body, (unsigned char)(k * 7));
            sum += (unsigned char)(k * 7);
        }
        CHECK(link_call(a.link, &m, soon(), &answer) == LINK_OK);
        CHECK(answer != NULL && count_of(answer) == sum);
        msg_in_free(answer);
    }
    link_close(a.link);
}

static void
test_sizes(void **state)
{
    (void)state;
    run(sizes_fiber, NULL);
}

static void
check_blob(struct msg_in *answer, void *context)
{
    char text[5] = "";
    int fd;

    CHECK(answer != NULL && answer->type == MESSAGE_BLOB);
    if (answer == NULL)
        return;
    fd = msg_in_take_fd(answer, 0);
    CHECK(fd >= 0 && msg_in_take_fd(answer, 0) == -1);
    CHECK(read(fd, text, sizeof(text)) == 4 && strcmp(text, "blob") == 0);
    close(fd);
    (*(unsigned *)context)++;
    msg_in_free(answer);
}

/* Frames with descriptors amid others: each keeps its own. */
static void
fds_fiber(void *arg)
{
    struct end a, b;
    unsigned blobs = 0;
    struct many many = { 0, 0 };

    (void)arg;
    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, submit_handlers);
    for (uint64_t i = 1; i <= 50; i++) {
        struct msg m;

        msg_init(&m, MESSAGE_BORROW_BLOB);
        link_ask(a.link, &m, check_blob, &blobs);
        put_count(&m, MESSAGE_LEASE, i);
        link_ask(a.link, &m, many_done, &many);
    }
    settle();
    CHECK(blobs == 50 && many.answered == 50);
    link_close(a.link);
}

static void
test_fds(void **state)
{
    (void)state;
    run(fds_fiber, NULL);
}

/* A message that grew past what its rule allows ends the link, not the peer. */
static void
too_large_fiber(void *arg)
{
    struct end a, b;
    struct msg m;
    struct msg_in *answer = NULL;

    (void)arg;
    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, lease_inline);
    msg_init(&m, MESSAGE_LEASE);
    for (int i = 0; i < MESSAGE_SMALL / 10 + 1; i++)
        buf_add(&m.body, SLICE_LIT("0123456789"));
    CHECK(buf_failed(&m.body));
    CHECK(link_call(a.link, &m, soon(), &answer) == LINK_GONE);
    settle();
    CHECK(a.gone == 1 && b.gone == 1 && b.served == 0);
}

static void
test_too_large(void **state)
{
    (void)state;
    run(too_large_fiber, NULL);
}

static void
test_wire(void **state)
{
    struct msg m;
    struct msg_in *in = NULL;
    struct why why;
    struct frame f = { MESSAGE_SMALL + 1, MESSAGE_LEASE, 0, 1 };
    char head[FRAME_HEAD];
    int fds[2], fd;

    (void)state;
    assert_int_equal(sock_pair(fds), 0);
    put_count(&m, MESSAGE_BLOB, 42);
    fd = dup(STDIN_FILENO);
    msg_put_fd(&m, fd);
    assert_int_equal(wire_send(fds[0], &m, 9, soon(), &why), RESULT_OK);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* it went */
    assert_int_equal(wire_recv(fds[1], soon(), &in, &why), RESULT_OK);
    assert_int_equal(in->type, MESSAGE_BLOB);
    assert_int_equal(in->number, 9);
    assert_int_equal(in->fd_count, 1);
    assert_int_equal(count_of(in), 42);
    msg_in_free(in);

    assert_int_equal(wire_recv(fds[1], clock_now_ms() + 5, &in, &why),
        RESULT_TEMPFAIL);
    frame_encode(&f, head);
    assert_int_equal(write(fds[0], head, sizeof(head)), sizeof(head));
    assert_int_equal(wire_recv(fds[1], soon(), &in, &why), RESULT_PERMFAIL);
    assert_string_equal(why.text, "LEASE: too long");
    close(fds[0]);
    assert_int_equal(wire_recv(fds[1], soon(), &in, &why), RESULT_TEMPFAIL);
    close(fds[1]);
}

/* No descriptor may be left behind. */
static void
test_no_leak(void **state)
{
    int before = count_fds();

    (void)state;
    run(fds_fiber, NULL);
    assert_int_equal(count_fds(), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_fds),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_wire),
        cmocka_unit_test(test_no_leak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

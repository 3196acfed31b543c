/*
 * A server that says nothing is left alone for a while.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/table/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT_MS = 30000 };

struct server_test {
    struct server server;
    struct sockaddr_un at;
    int listener;
    enum { ANSWERS, IS_SILENT, HANGS_UP } does;
    unsigned asked;
};

static int
open_server(void **state)
{
    struct server_test *x = mem_alloc(sizeof(*x));
    struct endpoint e = { 0 };
    char dir[] = "/tmp/postern-test-XXXXXX";

    assert_non_null(mkdtemp(dir));
    x->at.sun_family = AF_UNIX;
    (void)snprintf(x->at.sun_path, sizeof(x->at.sun_path), "%s/s", dir);
    x->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(x->listener, (struct sockaddr *)&x->at,
                         sizeof(x->at)),
        0);
    assert_int_equal(listen(x->listener, 100), 0);
    e.path = mem_text(x->at.sun_path);
    server_init(&x->server, &e);
    clock_set(1000, 0);
    *state = x;
    return 0;
}

static int
close_server(void **state)
{
    struct server_test *x = *state;

    server_fini(&x->server);
    close(x->listener);
    unlink(x->at.sun_path);
    x->at.sun_path[strlen(x->at.sun_path) - 2] = '\0';
    rmdir(x->at.sun_path);
    mem_free(x);
    clock_unset();
    return 0;
}

static enum result
talk(struct stream *st, bool fresh, void *context, int64_t deadline_ms,
    struct why *why)
{
    struct server_test *x = context;

    (void)st;
    (void)fresh;
    x->asked++;
    if (x->does == ANSWERS)
        return RESULT_OK;
    if (x->does == HANGS_UP)
        return why_temp(why, "4.4.2", "connection closed");
    clock_set(deadline_ms, 0);
    return why_temp(why, "4.4.2", "timed out");
}

/* Whether a question got through to the server. */
static bool
asks(struct server_test *x, enum result want)
{
    unsigned before = x->asked;
    struct why why = { 0 };

    assert_int_equal(server_ask(&x->server, clock_now_ms() + WAIT_MS, talk, x,
                         &why),
        want);
    return x->asked > before;
}

static void
test_left_alone(void **state)
{
    struct server_test *x = *state;
    int64_t began;

    x->does = IS_SILENT;
    for (unsigned i = 0; i < SERVER_SILENT_MAX; i++)
        assert_true(asks(x, RESULT_TEMPFAIL));
    began = clock_now_ms();
    for (unsigned i = 0; i < 1000; i++)
        assert_false(asks(x, RESULT_TEMPFAIL));
    assert_int_equal(clock_now_ms(), began);
    /* One finds that it is as silent as before. */
    clock_advance_ms(SERVER_REST_MS);
    assert_true(asks(x, RESULT_TEMPFAIL));
    assert_false(asks(x, RESULT_TEMPFAIL));
    clock_advance_ms(SERVER_REST_MS);
    x->does = ANSWERS;
    for (unsigned i = 0; i < 3; i++)
        assert_true(asks(x, RESULT_OK));
}

/* One question that takes too long says nothing of the next. */
static void
test_slow_now_and_then(void **state)
{
    struct server_test *x = *state;

    for (unsigned i = 0; i < 10 * SERVER_SILENT_MAX; i++) {
        x->does = i % 4 == 0 ? ANSWERS : IS_SILENT;
        assert_true(asks(x, i % 4 == 0 ? RESULT_OK : RESULT_TEMPFAIL));
    }
}

/* What fails at once costs nobody any time. */
static void
test_fails_at_once(void **state)
{
    struct server_test *x = *state;

    x->does = HANGS_UP;
    for (unsigned i = 0; i < 10 * SERVER_SILENT_MAX; i++)
        assert_true(asks(x, RESULT_TEMPFAIL));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)
    const struct CMUnitTest tests[] = {
        T(test_left_alone),
        T(test_slow_now_and_then),
        T(test_fails_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

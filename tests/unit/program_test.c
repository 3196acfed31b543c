#include "lib/io/program.h"

#include "lib/base/clock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LATE_MS = 60 * 1000, SOON_MS = 50 };

/* What ends how; limit_ms is its time. */
static const struct {
    const char *name, *argv[4];
    int64_t limit_ms;
    enum wait_result want;
    int signal, status;
} cases[] = {
    { "found by its PATH, not ours", { "true" }, LATE_MS, WAIT_OK, 0, 0 },
    { "status", { "/bin/sh", "-c", "exit 3" }, LATE_MS, WAIT_OK, 0, 3 },
    { "signal", { "/bin/sh", "-c", "kill -15 $$" }, LATE_MS, WAIT_OK, SIGTERM },
    { "none", { "/nonexistent/x" }, LATE_MS, WAIT_OK, 0, PROGRAM_NOT_RUN },
    { "late", { "/bin/sh", "-c", "sleep 1000; :" }, SOON_MS, WAIT_TIMEOUT,
        SIGKILL },
    { "only what it is given",
        { "/bin/sh", "-c",
            "test \"$A$HOME\" = b && test ! -e /proc/self/fd/5" },
        LATE_MS, WAIT_OK, 0, 0 },
};

struct end {
    size_t at;
    enum wait_result res;
    int status;
};

static void
run(void *arg)
{
    static const char *const environment[] = { "A=b", "PATH=/usr/bin:/bin",
        NULL };
    struct end *e = arg;
    int null = open("/dev/null", O_RDWR | O_NONBLOCK), fifth = dup2(null, 5);
    pid_t pid = program_start(&(struct program){
        .argv = cases[e->at].argv,
        .environment = environment,
        .in = null,
        .out = null,
        .err = null,
    });

    e->res = pid < 0
        ? WAIT_CANCELLED
        : program_wait(pid, clock_now_ms() + cases[e->at].limit_ms, &e->status);
    close(null);
    close(fifth);
}

static void
test_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct end e = { .at = i };

        print_message("  %s\n", cases[i].name);
        sched_open();
        assert_non_null(fiber_spawn("run", run, &e));
        sched_run();
        sched_close();
        assert_int_equal(e.res, cases[i].want);
        assert_int_equal(WIFSIGNALED(e.status) ? WTERMSIG(e.status) : 0,
            cases[i].signal);
        if (cases[i].signal == 0)
            assert_int_equal(WEXITSTATUS(e.status), cases[i].status);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ends) };

    (void)setenv("PATH", "/nonexistent", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

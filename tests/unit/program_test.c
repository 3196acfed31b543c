#include "lib/io/program.h"

#include "lib/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LATE_MS = 60 * 1000, SOON_MS = 50 };

/* What ends how; limit_ms is its time. */
static const struct {
    const char *name, *argv[4];
    int64_t limit_ms;
    enum program_end want;
    int signal, status;
} cases[] = {
    { "found by its PATH, not ours", { "true" }, LATE_MS, PROGRAM_ENDED, 0, 0 },
    { "status", { "/bin/sh", "-c", "exit 3" }, LATE_MS, PROGRAM_ENDED, 0, 3 },
    { "signal", { "/bin/sh", "-c", "kill -15 $$" }, LATE_MS, PROGRAM_ENDED,
        SIGTERM },
    { "none", { "/nonexistent/x" }, LATE_MS, PROGRAM_ENDED, 0,
        PROGRAM_NOT_RUN },
    { "late", { "/bin/sh", "-c", "sleep 1000; :" }, SOON_MS, PROGRAM_LATE,
        SIGKILL },
    { "only what it is given",
        { "/bin/sh", "-c",
            "test \"$A$HOME\" = b && test ! -e /proc/self/fd/5" },
        LATE_MS, PROGRAM_ENDED, 0, 0 },
};

struct end {
    size_t at;
    enum program_end res;
    int status, error;
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
        ? PROGRAM_CANCELLED
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

static void
run_unwatched(void *arg)
{
    static const char *const argv[] = { "/bin/sh", "-c",
        "sleep 1000; :", NULL };
    static const char *const environment[] = { NULL };
    int null = open("/dev/null", O_RDWR | O_NONBLOCK);
    struct end *e = arg;
    struct rlimit few, was;
    pid_t pid = program_start(&(struct program){ .argv = argv,
        .environment = environment,
        .in = null,
        .out = null,
        .err = null });

    if (pid < 0 || getrlimit(RLIMIT_NOFILE, &was) < 0)
        return;
    few = was;
    few.rlim_cur = (rlim_t)null; /* the last descriptor that there is */
    if (setrlimit(RLIMIT_NOFILE, &few) == 0)
        e->res = program_wait(pid, CLOCK_NEVER, &e->status);
    e->error = errno;
    (void)setrlimit(RLIMIT_NOFILE, &was);
    close(null);
}

/* Without a descriptor to wait with it may not run on, and it was not late. */
static void
test_unwatched(void **state)
{
    struct end e = { .res = PROGRAM_ENDED };

    (void)state;
    sched_open();
    assert_non_null(fiber_spawn("run", run_unwatched, &e));
    sched_run();
    sched_close();
    assert_int_equal(e.res, PROGRAM_UNWATCHED);
    assert_int_equal(e.error, EMFILE);
    assert_true(WIFSIGNALED(e.status) && WTERMSIG(e.status) == SIGKILL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_unwatched),
    };

    (void)setenv("PATH", "/nonexistent", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

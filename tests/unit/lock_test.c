#include "lib/daemon/lock.h"

#include "lib/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/postern-lock-XXXXXX";

/* A process that takes the locks, says so, and waits to be killed. */
static pid_t
start_master(int *children_of_it)
{
    int ready[2];
    char octet;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        struct why why;
        int lock;

        if (lock_take(clock_now_ms() + 100, &lock, &why) != RESULT_OK)
            _exit(1);
        if (children_of_it != NULL && fork() == 0)
            lock = dup(lock); /* the child has it as well */
        if (write(ready[1], "", 1) != 1)
            _exit(2);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &octet, 1), 1);
    if (children_of_it != NULL) {
        assert_int_equal(read(ready[0], &octet, 1), 1);
        *children_of_it = ready[0];
    } else {
        close(ready[0]);
    }
    return pid;
}

static void
bury(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
test_one_master(void **state)
{
    struct why why;
    int lock;
    pid_t pid, holder;

    (void)state;
    assert_false(lock_is_held(directory, &holder));
    pid = start_master(NULL);
    assert_true(lock_is_held(directory, &holder));
    assert_int_equal(holder, pid);
    assert_int_equal(lock_take(clock_now_ms() + 50, &lock, &why),
        RESULT_PERMFAIL);
    assert_non_null(strstr(why.text, "already running"));
    assert_int_equal(lock_wait_gone(directory, clock_now_ms() + 20, &why),
        RESULT_TEMPFAIL);

    /* A crash leaves nothing that is in the way. */
    bury(pid);
    assert_false(lock_is_held(directory, &holder));
    assert_int_equal(access("pid/master.pid", F_OK), 0);
    assert_int_equal(lock_wait_gone(directory, clock_now_ms() + 20, &why),
        RESULT_OK);
    bury(start_master(NULL));
}

/* Who can open them can lock them. */
static void
test_for_owner_only(void **state)
{
    static const char *const names[] = { "pid/master.pid",
        "pid/children.lock" };
    struct stat st;

    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_true(chmod(names[i], 0644) == 0 || errno == ENOENT);
    bury(start_master(NULL));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(stat(names[i], &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
}

static void
test_left_children(void **state)
{
    struct why why;
    int children, lock;
    pid_t group, pid, holder;

    (void)state;
    /* The child of it is found by its process group. */
    group = fork();
    if (group == 0) {
        (void)setpgid(0, 0);
        pid = start_master(&children);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        for (;;)
            pause();
    }
    while (lock_wait_gone(directory, clock_now_ms(), &why) == RESULT_OK ||
        lock_is_held(directory, &holder))
        (void)sched_yield(); /* until the master has come and gone */
    assert_false(lock_is_held(directory, &holder));

    /* In a process of its own: a failed one keeps the master's lock. */
    pid = fork();
    if (pid == 0)
        _exit(lock_take(clock_now_ms() + 20, &lock, &why) == RESULT_TEMPFAIL
                ? 0
                : 1);
    {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    assert_int_equal(kill(-group, SIGKILL), 0);
    assert_int_equal(waitpid(group, NULL, 0), group);
    assert_int_equal(lock_wait_gone(directory, clock_now_ms() + 5000, &why),
        RESULT_OK);
}

static int
make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL || chdir(directory) < 0 ||
        mkdir("pid", 0700) < 0;
}

static int
remove_directory(void **state)
{
    (void)state;
    (void)unlink("pid/master.pid");
    (void)unlink("pid/children.lock");
    return rmdir("pid") < 0 || chdir("/") < 0 || rmdir(directory) < 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_master),
        cmocka_unit_test(test_for_owner_only),
        cmocka_unit_test(test_left_children),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}

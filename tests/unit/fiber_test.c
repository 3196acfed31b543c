#include "lib/io/fiber.h"

#include "lib/io/offload.h"
#include "tests/unit/fibers.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__has_include)
#    if __has_include(<valgrind/valgrind.h>)
#        include <valgrind/valgrind.h>
#    endif
#endif
#if defined(__x86_64__)
#    include <xmmintrin.h>
#endif

/* Order */

static void
note_twice(void *arg)
{
    note(arg);
    fiber_yield();
    note(arg);
}

static void
test_order(void **state)
{
    char a[] = "a", b[] = "b", c[] = "c";

    (void)state;
    spawn(note_twice, a);
    spawn(note_twice, b);
    spawn(note_twice, c);
    assert_string_equal(notes, ""); /* not at once */
    assert_int_equal(sched_count(), 3);
    sched_run();
    assert_string_equal(notes, "abcabc");
    assert_int_equal(sched_count(), 0);
    assert_null(fiber_self());
}

static void
spawn_another(void *arg)
{
    unsigned *left = arg;

    note("(");
    if (--*left > 0 && fiber_spawn("child", spawn_another, arg) == NULL)
        note("no memory");
    fiber_yield();
    note(")");
}

static void
test_nested_spawn(void **state)
{
    unsigned left = 4;

    (void)state;
    spawn(spawn_another, &left);
    sched_run();
    assert_string_equal(notes, "(((())))");
}

static void
note_name(void *arg)
{
    (void)arg;
    note(fiber_name(fiber_self()));
    note(fiber_inside() ? " inside" : " outside");
}

static void
test_self(void **state)
{
    (void)state;
    assert_false(fiber_inside());
    spawn(note_name, NULL);
    sched_run();
    assert_string_equal(notes, "test inside");
}

/* Many */

static unsigned woken;

static void
sleep_once(void *arg)
{
    int64_t *deadline = arg;

    if (fiber_sleep_until(*deadline) == WAIT_TIMEOUT)
        woken++;
}

static size_t
resident(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    size_t size, pages = 0;

    assert_non_null(f);
    /* NOLINTNEXTLINE(cert-err34-c): the kernel wrote it */
    assert_int_equal(fscanf(f, "%zu %zu", &size, &pages), 2);
    (void)fclose(f);
    return pages * (size_t)getpagesize();
}

/* Neither sanitizers nor valgrind, which need memory of their own. */
static bool
is_native(void)
{
#if defined(SANITIZED)
    return false;
#elif defined(RUNNING_ON_VALGRIND)
    return !RUNNING_ON_VALGRIND;
#else
    return true;
#endif
}

static void
test_many(void **state)
{
    int64_t deadline = NOW + 100;
    size_t before = resident(), each;
    bool memory_counts = is_native();

    (void)state;
    woken = 0;
    for (unsigned i = 0; i < MANY; i++)
        spawn(sleep_once, &deadline);
    settle();
    assert_int_equal(sched_count(), MANY);
    each = (resident() - before) / MANY;
    print_message("  %zu octets for a parked fiber\n", each);
    if (memory_counts)
        assert_in_range(each, 1, 5000);
    advance(99);
    assert_int_equal(woken, 0);
    advance(1);
    assert_int_equal(woken, MANY);
    assert_int_equal(sched_count(), 0);
    if (memory_counts)
        assert_in_range(resident() - before, 0, (size_t)MANY * 1000);
}

/* Stacks come from the pool again, and it grows in between. */
static void
test_reuse(void **state)
{
    int64_t deadline = NOW;

    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        woken = 0;
        for (unsigned i = 0; i < 100 * (round + 1); i++)
            spawn(sleep_once, &deadline);
        sched_run();
        assert_int_equal(woken, 100 * (round + 1));
    }
}

/* Running and stopping */

static void
stop_soon(void *arg)
{
    (void)arg;
    sched_stop();
    note("stopped ");
    fiber_yield();
    note("again ");
}

static void
test_stop(void **state)
{
    (void)state;
    spawn(stop_soon, NULL);
    sched_run();
    assert_string_equal(notes, "stopped ");
    assert_int_equal(sched_count(), 1);
    sched_run();
    assert_string_equal(notes, "stopped again ");
}

static unsigned alarms;

static void
on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static void
test_signals(void **state)
{
    struct sigaction act = { .sa_handler = on_alarm }, old;
    struct itimerval every = { { 0, 2000 }, { 0, 2000 } }, off = { 0 };
    int64_t deadline, start;

    (void)state;
    clock_unset();
    start = clock_now_ms();
    deadline = start + 30;
    woken = alarms = 0;
    assert_int_equal(sigaction(SIGALRM, &act, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
    spawn(sleep_once, &deadline);
    sched_run();
    assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    assert_int_equal(woken, 1);
    assert_true(alarms > 0);
    assert_true(clock_now_ms() >= deadline);
}

/* Stacks */

static void
note_place(void *arg)
{
    *(uintptr_t *)arg = (uintptr_t)__builtin_frame_address(0);
}

static void
call_on_thread_stack(void *arg)
{
    uintptr_t *places = arg;

    note_place(&places[0]);
    on_thread_stack(note_place, &places[1]);
    on_thread_stack(note_place, &places[2]); /* and once more */
    note(fiber_inside() ? "inside" : "outside");
}

static void
test_thread_stack(void **state)
{
    uintptr_t places[3] = { 0 }, here = (uintptr_t)__builtin_frame_address(0);

    (void)state;
    spawn(call_on_thread_stack, places);
    sched_run();
    assert_string_equal(notes, "inside");
    /* The loop's frames are right below ours, the fiber's anywhere else. */
    assert_in_range(here - places[1], 1, 65536);
    assert_int_equal(places[1], places[2]);
    assert_false(here - places[0] <= 65536);
    on_thread_stack(note_place, &places[0]); /* outside: simply called */
    assert_in_range(here - places[0], 1, 65536);
}

#if defined(__x86_64__) && !defined(POSTERN_UCONTEXT)

/* The rounding mode belongs to what a call keeps, so a switch keeps it. */
static void
round_my_way(void *arg)
{
    unsigned *mode = arg;
    volatile double one = 1, three = 3;
    double before, after;

    _MM_SET_ROUNDING_MODE(*mode);
    before = one / three;
    fiber_yield();
    after = one / three;
    note(before == after && _MM_GET_ROUNDING_MODE() == *mode ? "same "
                                                             : "changed ");
}

static void
test_floating_point_modes(void **state)
{
    unsigned up = _MM_ROUND_UP, down = _MM_ROUND_DOWN;

    (void)state;
    spawn(round_my_way, &up);
    spawn(round_my_way, &down);
    sched_run();
    assert_string_equal(notes, "same same ");
    assert_int_equal(_MM_GET_ROUNDING_MODE(), _MM_ROUND_NEAREST);
}

#else

static void
test_floating_point_modes(void **state)
{
    (void)state;
    skip();
}

#endif

/* Each frame is touched, so that the guard is not stepped over. */
static unsigned
/* NOLINTNEXTLINE(misc-no-recursion): to use up the stack */
dig(unsigned depth)
{
    volatile char frame[512];

    memset((char *)(uintptr_t)frame, (int)depth, sizeof(frame));
    return depth == 0 ? (unsigned char)frame[7]
                      : dig(depth - 1) + (unsigned char)frame[7];
}

static void
dig_and_trim(void *arg)
{
    unsigned *sum = arg;
    char kept[1000];

    memset(kept, 'k', sizeof(kept));
    sum[0] = dig(60);
    fiber_trim_stack();
    sum[1] = dig(60);
    for (unsigned i = 0; i < sizeof(kept); i++)
        sum[2] += kept[i] == 'k';
}

static void
test_trim(void **state)
{
    unsigned sum[3] = { 0 };

    (void)state;
    spawn(dig_and_trim, sum);
    sched_run();
    assert_int_equal(sum[0], 60 * 61 / 2);
    assert_int_equal(sum[0], sum[1]);
    assert_int_equal(sum[2], 1000);
}

static void
dig_too_deep(void *arg)
{
    *(unsigned *)arg = dig(100000);
}

static void
wait_where_forbidden(void *arg)
{
    (void)arg;
    fiber_forbid_wait();
    (void)fiber_sleep_until(CLOCK_NEVER);
}

static void
sleep_on_thread_stack(void *arg)
{
    (void)arg;
    (void)fiber_sleep_until(CLOCK_NEVER);
}

static void
wait_on_thread_stack(void *arg)
{
    on_thread_stack(sleep_on_thread_stack, arg);
}

/* The signal by which a process dies that runs fn on a fiber. */
static int
dies_of(fiber_fn fn)
{
    const struct rlimit none = { 0, 0 };
    unsigned sum = 0;
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGSEGV, SIG_DFL);
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        sched_open(); /* the parent's is not ours */
        if (fiber_spawn("doomed", fn, &sum) != NULL)
            sched_run();
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
test_deaths(void **state)
{
    (void)state;
    assert_int_equal(dies_of(dig_too_deep), SIGSEGV);
    assert_int_equal(dies_of(wait_where_forbidden), SIGABRT);
    assert_int_equal(dies_of(wait_on_thread_stack), SIGABRT);
}

static void
fork_inside(void *arg)
{
    int *status = arg;
    pid_t pid = fork();

    if (pid == 0) /* blocks, and does not go on with the parent's fibers */
        _exit(fiber_inside() || sched_is_open() ||
                    fiber_sleep_until(NOW) != WAIT_TIMEOUT
                ? 1
                : 0);
    (void)waitpid(pid, status, 0);
}

static void
test_fork(void **state)
{
    int status = 1;

    (void)state;
    spawn(fork_inside, &status);
    sched_run();
    assert_int_equal(status, 0);
}

/* Outside of fibers what can block does. */
static void
test_outside(void **state)
{
    (void)state;
    assert_int_equal(fiber_sleep_until(NOW), WAIT_TIMEOUT);
    assert_false(fiber_cancelled());
    fiber_shield();
    fiber_trim_stack();
    assert_false(sched_turn());
    sched_run(); /* no fibers: comes back */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIBER_TEST(test_order),
        FIBER_TEST(test_nested_spawn),
        FIBER_TEST(test_self),
        FIBER_TEST(test_many),
        FIBER_TEST(test_reuse),
        FIBER_TEST(test_stop),
        FIBER_TEST(test_signals),
        FIBER_TEST(test_thread_stack),
        FIBER_TEST(test_floating_point_modes),
        FIBER_TEST(test_trim),
        FIBER_TEST(test_deaths),
        FIBER_TEST(test_fork),
        FIBER_TEST(test_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "lib/io/offload.h"

#include "tests/unit/fibers.h"

#include <pthread.h>
#include <signal.h>

static void
note_thread(void *arg)
{
    *(pthread_t *)arg = pthread_self();
}

static void
work_elsewhere(void *arg)
{
    offload(note_thread, arg);
}

static void
test_on_another_thread(void **state)
{
    pthread_t first = pthread_self(), second = pthread_self();

    (void)state;
    spawn(work_elsewhere, &first);
    sched_run();
    assert_false(pthread_equal(first, pthread_self()));
    spawn(work_elsewhere, &second);
    sched_run();
    assert_false(pthread_equal(second, pthread_self()));
    offload(note_thread, &second); /* outside of a fiber */
    assert_true(pthread_equal(second, pthread_self()));
    offload_close();
    spawn(work_elsewhere, &first); /* a new pool */
    sched_run();
    assert_false(pthread_equal(first, pthread_self()));
    offload_close();
    offload_close();
}

/* As many at the same time as there are threads, and then the others. */
struct crowd {
    pthread_barrier_t together;
    unsigned done; /* atomic */
};

static void
meet(void *arg)
{
    struct crowd *c = arg;

    (void)pthread_barrier_wait(&c->together);
    (void)__atomic_add_fetch(&c->done, 1, __ATOMIC_SEQ_CST);
}

static void
join_crowd(void *arg)
{
    offload(meet, arg);
}

static void
test_all_threads_at_once(void **state)
{
    struct crowd c = { .done = 0 };

    (void)state;
    assert_int_equal(pthread_barrier_init(&c.together, NULL, OFFLOAD_THREADS),
        0);
    for (unsigned i = 0; i < 10 * OFFLOAD_THREADS; i++)
        spawn(join_crowd, &c);
    sched_run();
    assert_int_equal(c.done, 10 * OFFLOAD_THREADS);
    offload_close();
    (void)pthread_barrier_destroy(&c.together);
}

/* Not cut short: fn uses what lies on the fiber's stack. */
struct gate {
    pthread_mutex_t lock;
    bool passed, cancelled_after;
};

static void
pass_gate(void *arg)
{
    struct gate *g = arg;

    (void)pthread_mutex_lock(&g->lock);
    g->passed = true;
    (void)pthread_mutex_unlock(&g->lock);
}

static void
go_through(void *arg)
{
    struct gate *g = arg;

    offload(pass_gate, g);
    note(g->passed ? "passed " : "cut short ");
    note(fiber_sleep_until(NOW + 100) == WAIT_CANCELLED ? "cancelled " : "? ");
}

static void
test_not_cancelled(void **state)
{
    struct gate g = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct fiber *f = spawn(go_through, &g);

    (void)state;
    (void)pthread_mutex_lock(&g.lock);
    settle();
    fiber_cancel(f);
    settle();
    assert_string_equal(notes, "");
    (void)pthread_mutex_unlock(&g.lock);
    sched_run();
    assert_string_equal(notes, "passed cancelled ");
    offload_close();
}

/* Several schedulers share the pool; each gets its own answers. */

static void
add_one(void *arg)
{
    ++*(unsigned *)arg;
}

static void
add_many(void *arg)
{
    for (unsigned i = 0; i < 200; i++)
        offload(add_one, arg);
}

static void *
run_scheduler(void *arg)
{
    unsigned *sums = arg;

    sched_open();
    for (unsigned i = 0; i < 4; i++)
        if (fiber_spawn("adder", add_many, &sums[i]) == NULL)
            sums[i] = 0;
    sched_run();
    sched_close();
    return NULL;
}

static void
test_several_schedulers(void **state)
{
    unsigned sums[3][4] = { { 0 } };
    pthread_t threads[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_scheduler,
                             sums[i]),
            0);
    for (unsigned i = 0; i < 3; i++)
        (void)pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(sums[i / 4][i % 4], 200);
    offload_close();
}

/* The pool leaves signals to others. */
static void
ask_mask(void *arg)
{
    (void)pthread_sigmask(SIG_SETMASK, NULL, arg);
}

static void
offload_ask_mask(void *arg)
{
    offload(ask_mask, arg);
}

static void
test_signals_blocked(void **state)
{
    sigset_t mask;

    (void)state;
    (void)sigemptyset(&mask);
    spawn(offload_ask_mask, &mask);
    sched_run();
    assert_true(sigismember(&mask, SIGTERM));
    assert_true(sigismember(&mask, SIGCHLD));
    offload_close();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIBER_TEST(test_on_another_thread),
        FIBER_TEST(test_all_threads_at_once),
        FIBER_TEST(test_not_cancelled),
        FIBER_TEST(test_several_schedulers),
        FIBER_TEST(test_signals_blocked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

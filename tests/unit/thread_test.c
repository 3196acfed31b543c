#include "lib/base/thread.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>

#include <cmocka.h>

enum { MOST = 1000 };

static atomic_uint done[MOST];

static void
count(void *context, size_t i)
{
    assert_ptr_equal(context, done);
    atomic_fetch_add(&done[i], 1);
}

static void
test_each_once(void **state)
{
    static const unsigned threads[] = { 0, 1, 3, 100 };
    static const size_t counts[] = { 0, 1, 2, MOST };

    (void)state;
    for (size_t t = 0; t < sizeof(threads) / sizeof(threads[0]); t++)
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            for (size_t i = 0; i < MOST; i++)
                atomic_store(&done[i], 0);
            thread_each(threads[t], counts[c], count, done);
            for (size_t i = 0; i < MOST; i++)
                assert_int_equal(atomic_load(&done[i]), i < counts[c]);
        }
}

static void *
look_at_mask(void *arg)
{
    (void)pthread_sigmask(SIG_SETMASK, NULL, arg);
    return NULL;
}

/* And the caller's are as they were. */
static void
test_signals_are_blocked(void **state)
{
    sigset_t its, ours;
    pthread_t thread;

    (void)state;
    assert_int_equal(thread_start(&thread, look_at_mask, &its), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &ours);
    assert_int_equal(sigismember(&its, SIGTERM), 1);
    assert_int_equal(sigismember(&its, SIGHUP), 1);
    assert_int_equal(sigismember(&ours, SIGTERM), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_once),
        cmocka_unit_test(test_signals_are_blocked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

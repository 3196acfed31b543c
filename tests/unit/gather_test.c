/* Who waits for a flush, and for how long. */
#include "qmgr/gather.h"

#include "lib/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { DELAY = 1000 };

struct world {
    struct gather g;
    struct txn txns[GATHER_MAX + 1];
    size_t count;
};

static struct world w;

static void
add(bool may_wait)
{
    struct txn *t = &w.txns[w.count++];

    *t = (struct txn){ .may_wait = may_wait };
    gather_add(&w.g, t, DELAY);
}

/* All of them, and in order. */
static void
take(size_t want)
{
    struct list list, *it;
    size_t n = 0;

    list_init(&list);
    gather_take(&w.g, &list);
    while ((it = list_take(&list)) != NULL)
        assert_ptr_equal(LIST_ENTRY(it, struct txn, spool.link), &w.txns[n++]);
    assert_int_equal(n, want);
    assert_true(gather_due_ms(&w.g) == CLOCK_NEVER);
    w.count = 0;
}

static int
setup(void **state)
{
    (void)state;
    clock_set(5000, 1000000);
    gather_init(&w.g);
    w.count = 0;
    assert_true(gather_due_ms(&w.g) == CLOCK_NEVER);
    return 0;
}

static void
test_fresh_mail_goes_at_once(void **state)
{
    (void)state;
    add(false);
    assert_int_equal(gather_due_ms(&w.g), 0);
    take(1);
}

/* The oldest decides, and what comes later does not put it off. */
static void
test_the_oldest_decides(void **state)
{
    (void)state;
    add(true);
    assert_int_equal(gather_due_ms(&w.g), 6000);
    clock_advance_ms(700);
    add(true);
    assert_int_equal(gather_due_ms(&w.g), 6000);
    take(2);
    add(true);
    assert_int_equal(gather_due_ms(&w.g), 6700);
    take(1);
}

/* What became so before it was built is due before the others. */
static void
test_since_when_it_is_so(void **state)
{
    struct txn *t = &w.txns[1];

    (void)state;
    add(true);
    *t = (struct txn){ .may_wait = true, .since_ms = 4300 };
    w.count++;
    gather_add(&w.g, t, DELAY);
    assert_int_equal(gather_due_ms(&w.g), 5300);
    add(true);
    assert_int_equal(gather_due_ms(&w.g), 5300);
    take(3);
}

static void
test_fresh_mail_takes_it_along(void **state)
{
    (void)state;
    add(true);
    add(true);
    add(false);
    add(true);
    assert_int_equal(gather_due_ms(&w.g), 0);
    take(4);
}

static void
test_many_do_not_wait(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < GATHER_MAX; i++)
        add(true);
    assert_int_equal(gather_due_ms(&w.g), 6000);
    add(true);
    assert_int_equal(gather_due_ms(&w.g), 0);
    take(GATHER_MAX);
}

static void
test_hurry(void **state)
{
    (void)state;
    gather_hurry(&w.g);
    assert_true(gather_due_ms(&w.g) == CLOCK_NEVER);
    add(true);
    gather_hurry(&w.g);
    assert_int_equal(gather_due_ms(&w.g), 0);
    take(1);
}

static void
test_no_delay(void **state)
{
    (void)state;
    w.txns[0] = (struct txn){ .may_wait = true };
    gather_add(&w.g, &w.txns[0], 0);
    assert_int_equal(gather_due_ms(&w.g), 0);
    take(1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_fresh_mail_goes_at_once, setup),
        cmocka_unit_test_setup(test_the_oldest_decides, setup),
        cmocka_unit_test_setup(test_since_when_it_is_so, setup),
        cmocka_unit_test_setup(test_fresh_mail_takes_it_along, setup),
        cmocka_unit_test_setup(test_many_do_not_wait, setup),
        cmocka_unit_test_setup(test_hurry, setup),
        cmocka_unit_test_setup(test_no_delay, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

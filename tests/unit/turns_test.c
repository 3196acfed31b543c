/* One user's many messages do not keep the others waiting. */
#include "smtpd/turns.h"

#include "lib/base/clock.h"
#include "tests/unit/fibers.h"

enum { UID = 1000, OTHER = 1001, CALLERS = 50 };

static struct {
    unsigned taken, refused;
} seen;

static void
take(void *arg)
{
    const int64_t *deadline = arg;

    if (turn_take(UID, *deadline))
        seen.taken++;
    else
        seen.refused++;
}

static void
test_turns(void **state)
{
    int64_t deadline = clock_now_ms() + 60000;

    (void)state;
    seen.taken = seen.refused = 0;
    for (unsigned i = 0; i < CALLERS; i++) {
        assert_true(turns_enter(UID));
        spawn(take, &deadline);
    }
    settle();
    assert_int_equal(seen.taken, TURNS_AT_A_TIME);
    /* Not so the others, nor root. */
    assert_true(turns_enter(OTHER));
    assert_true(turn_take(OTHER, deadline));
    turn_give(OTHER);
    turns_leave(OTHER);
    for (unsigned i = 0; i < CALLERS; i++) {
        assert_true(turns_enter(0));
        assert_true(turn_take(0, deadline));
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        turn_give(0);
        turns_leave(0);
    }
    for (unsigned i = 0; i < 5; i++)
        turn_give(UID);
    settle();
    assert_int_equal(seen.taken, TURNS_AT_A_TIME + 5);
    advance(60000);
    assert_int_equal(seen.refused, CALLERS - TURNS_AT_A_TIME - 5);
    for (unsigned i = 0; i < TURNS_AT_A_TIME; i++)
        turn_give(UID);
    for (unsigned i = 0; i < CALLERS; i++)
        turns_leave(UID);
    assert_false(turn_take(UID, deadline)); /* is not here any more */
}

static void
test_connections(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TURNS_HERE_MAX; i++)
        assert_true(turns_enter(UID));
    assert_false(turns_enter(UID));
    assert_true(turns_enter(OTHER));
    turns_leave(OTHER);
    turns_leave(UID);
    assert_true(turns_enter(UID));
    for (unsigned i = 0; i < TURNS_HERE_MAX; i++)
        turns_leave(UID);
}

/* The last: what has ended does not begin again. */
static void
test_end(void **state)
{
    int64_t deadline = clock_now_ms() + 60000;

    (void)state;
    seen.taken = seen.refused = 0;
    for (unsigned i = 0; i < TURNS_AT_A_TIME + 1; i++) {
        assert_true(turns_enter(UID));
        spawn(take, &deadline);
    }
    settle();
    assert_int_equal(seen.refused, 0);
    turns_end();
    settle();
    assert_int_equal(seen.refused, 1);
    for (unsigned i = 0; i < TURNS_AT_A_TIME + 1; i++)
        turns_leave(UID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIBER_TEST(test_turns),
        FIBER_TEST(test_connections),
        FIBER_TEST(test_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

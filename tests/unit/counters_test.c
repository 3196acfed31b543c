#include "lookup/counters.h"

#include "lib/base/clock.h"
#include "tests/unit/kept_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

static int
setup(void **state)
{
    struct counters *c = counters_new();

    clock_set(1000000, INT64_C(1795291511000000));
    counters_set_units(c, 60000, 60000);
    logged[0] = '\0';
    log_set_sink(keep_log, NULL, NULL);
    *state = c;
    return 0;
}

static int
teardown(void **state)
{
    counters_free(*state);
    log_set_sink(NULL, NULL, NULL);
    clock_unset();
    return 0;
}

static struct count
count(struct counters *c, const void *owner, enum count_event event,
    const char *key)
{
    struct count got;

    counters_count(c, owner, event, slice_of(key), &got);
    return got;
}

/* Rates begin anew when the time is over, connections do not. */
static void
test_rates(void **state)
{
    struct counters *c = *state;
    static int one;

    assert_int_equal(count(c, &one, COUNT_CONNECT, "a").rate, 1);
    assert_int_equal(count(c, &one, COUNT_CONNECT, "a").connections, 2);
    assert_int_equal(count(c, &one, COUNT_MAIL, "a").rate, 1);
    assert_int_equal(count(c, &one, COUNT_MAIL, "b").rate, 1);
    assert_int_equal(count(c, &one, COUNT_MAIL, "a").rate, 2);
    clock_advance_ms(60001);
    assert_int_equal(count(c, &one, COUNT_MAIL, "a").rate, 1);
    assert_int_equal(count(c, &one, COUNT_RCPT, "a").rate, 1);
    assert_int_equal(count(c, &one, COUNT_RCPT, "a").connections, 2);
}

/* A day's quota of a user lasts while clients' minutes come and go. */
static void
test_quota_of_users(void **state)
{
    struct counters *c = *state;
    unsigned mails = 0;
    static int one;

    counters_set_units(c, 60000, 86400000);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(count(c, &one, COUNT_MAIL, "192.0.2.1").rate, 1);
        assert_int_equal(count(c, &one, COUNT_MAIL, "login:ann").rate, ++mails);
        assert_int_equal(count(c, &one, COUNT_RCPT, "sender:a@b").rate, mails);
        clock_advance_ms(60001);
    }
    assert_int_equal(counters_size(c), 3);
    clock_advance_ms(86400000);
    assert_int_equal(count(c, &one, COUNT_MAIL, "login:ann").rate, 1);
    assert_int_equal(counters_size(c), 1);
}

/* What a process did not begin it cannot end; what it leaves goes with it. */
static void
test_owners(void **state)
{
    struct counters *c = *state;
    static int one, two;

    (void)count(c, &one, COUNT_CONNECT, "a");
    (void)count(c, &two, COUNT_CONNECT, "a");
    (void)count(c, &two, COUNT_AGAIN, "a");
    (void)count(c, &one, COUNT_DISCONNECT, "a");
    (void)count(c, &one, COUNT_DISCONNECT, "a");
    (void)count(c, &one, COUNT_DISCONNECT, "nobody");
    assert_int_equal(count(c, &one, COUNT_MAIL, "a").connections, 2);
    (void)count(c, &two, COUNT_CONNECT, "login:ann");
    counters_forget(c, &two);
    assert_int_equal(count(c, &one, COUNT_MAIL, "a").connections, 0);
    assert_int_equal(count(c, &one, COUNT_MAIL, "login:ann").connections, 0);
}

/* Memory: old keys go, live ones stay, and one too many is not counted. */
static void
test_bounds(void **state)
{
    struct counters *c = *state;
    char key[32];
    static int one;

    (void)count(c, &one, COUNT_CONNECT, "stays");
    for (unsigned i = 0; i < COUNTERS_MAX; i++) {
        snprintf(key, sizeof(key), "%u", i);
        (void)count(c, &one, COUNT_MAIL, key);
    }
    assert_int_equal(counters_size(c), COUNTERS_MAX);
    assert_int_equal(count(c, &one, COUNT_MAIL, "one too many").rate, 0);
    assert_non_null(strstr(logged, "no more"));
    clock_advance_ms(60001);
    for (unsigned i = 0; i < COUNTERS_MAX; i++)
        (void)count(c, &one, COUNT_MAIL, "stays");
    assert_int_equal(counters_size(c), 1);
    assert_int_equal(count(c, &one, COUNT_MAIL, "stays").connections, 1);
}

/* Whoever makes up senders does not become uncounted by that. */
static void
test_senders_leave_room(void **state)
{
    struct counters *c = *state;
    char key[32];
    static int one;

    for (unsigned i = 0; i < COUNTERS_MAX; i++) {
        snprintf(key, sizeof(key), "sender:%u", i);
        (void)count(c, &one, COUNT_MAIL, key);
    }
    assert_int_equal(counters_size(c), COUNTERS_MAX / 2);
    assert_non_null(strstr(logged, "senders are counted: no more"));
    assert_int_equal(count(c, &one, COUNT_CONNECT, "smtp:192.0.2.1").rate, 1);
    clock_advance_ms(60001);
    for (unsigned i = 0; i < COUNTERS_MAX; i++)
        (void)count(c, &one, COUNT_MAIL, "smtp:192.0.2.1");
    assert_int_equal(count(c, &one, COUNT_MAIL, "sender:new").rate, 1);
}

static void
test_statistics(void **state)
{
    struct counters *c = *state;
    static int one;

    (void)count(c, &one, COUNT_CONNECT, "smtp:192.0.2.1");
    (void)count(c, &one, COUNT_CONNECT, "smtp:192.0.2.2");
    (void)count(c, &one, COUNT_CONNECT, "smtp:192.0.2.2");
    (void)count(c, &one, COUNT_MAIL, "smtp:192.0.2.1");
    logged[0] = '\0';
    counters_log(c, "x/anvil");
    assert_non_null(strstr(logged,
        "statistics: max connection rate 2/60s for (smtp:192.0.2.2) at "));
    assert_non_null(strstr(logged,
        "statistics: max connection count 2 for (smtp:192.0.2.2) at "));
    assert_non_null(strstr(logged,
        "statistics: max message rate 1/60s for (smtp:192.0.2.1) at "));
    assert_non_null(strstr(logged, "statistics: max cache size 2 at "));
    logged[0] = '\0';
    counters_log(c, "x/anvil");
    assert_string_equal(logged, "");
}

/* What lookup reads may come from anybody. */
static void
test_codec(void **state)
{
    static const char *const bad[] = { "", "\x12\x01\x00", "\x17\x00",
        "\x12\x01\x63\x17\x01x" };
    enum count_event event;
    struct slice key;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(count_decode(slice_of(bad[i]), &event, &key));
    assert_true(count_decode(SLICE_LIT("\x12\x01\x02\x17\x01x"), &event, &key));
    assert_int_equal(event, COUNT_MAIL);
    assert_true(slice_eq_text(key, "x"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quota_of_users, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_senders_leave_room, setup,
            teardown),
        cmocka_unit_test_setup_teardown(test_statistics, setup, teardown),
        cmocka_unit_test(test_codec),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Parameters of the scheduler, for all transports and for one: each is set, and
 * what it promises is seen.
 */
#include "qmgr/describe.h"
#include "tests/unit/qmgr_steps.h"

static const char master_cf[] = "smtp unix - - n - - smtp\n"
                                "mine unix - - n - - smtp\n"
                                "retry unix - - n - - error\n"
                                "discard unix - - n - - discard\n"
                                "bounce unix - - n - 0 bounce\n"
                                "qmgr unix n - n 300 1 qmgr\n";

/* user@mine.domain goes by the transport of that name. */
static enum result
route(struct world *w, struct slice recipient, struct route *to,
    struct why *why)
{
    struct slice domain = slice_skip(recipient, slice_find(recipient, '@') + 1);

    (void)w;
    (void)why;
    *to = (struct route){ .class = CLASS_DEFAULT };
    (void)snprintf(to->transport, sizeof(to->transport), "%s",
        slice_starts(domain, SLICE_LIT("mine.")) ? "mine" : "smtp");
    (void)snprintf(to->nexthop, sizeof(to->nexthop), SLICE_FMT,
        SLICE_ARG(domain));
    return RESULT_OK;
}

static struct world *
open_with(const char *main_cf)
{
    struct world *w = world_new(main_cf, master_cf);

    w->route = route;
    agent_up(&w->q, ROLE_SMTP, w);
    return w;
}

/* How many run side by side after some that went well, and some that did not. */
static const struct {
    const char *main_cf;
    unsigned good, bad;
    size_t smtp, mine;
} windows[] = {
    { "", 0, 0, 5, 5 },
    { "initial_destination_concurrency = 3\n", 0, 0, 3, 3 },
    { "mine_initial_destination_concurrency = 2\n", 0, 0, 5, 2 },
    { "default_destination_concurrency_limit = 7\n", 20, 0, 7, 7 },
    { "mine_destination_concurrency_limit = 6\n", 20, 0, 20, 6 },
    { "mine_destination_concurrency_limit = 2\n", 0, 0, 5, 2 },
    { "default_destination_concurrency_limit = 0\n", 30, 0, 35, 35 },
    { "", 4, 0, 9, 9 },
    { "default_destination_concurrency_positive_feedback = 1/4\n", 8, 0, 7, 7 },
    { "mine_destination_concurrency_positive_feedback = 1/concurrency\n", 11, 0,
        16, 7 },
    { "mine_destination_concurrency_positive_feedback = 1/sqrt_concurrency\n",
        10, 0, 15, 8 },
    { "mine_destination_concurrency_positive_feedback = 0\n", 10, 0, 15, 5 },
    { "default_destination_concurrency_failed_cohort_limit = 3\n", 5, 3, 7, 7 },
    { "default_destination_concurrency_failed_cohort_limit = 3\n"
      "mine_destination_concurrency_negative_feedback = 1/3\n",
        5, 3, 7, 9 },
    { "default_destination_concurrency_failed_cohort_limit = 3\n"
      "mine_destination_concurrency_negative_feedback = 0\n",
        5, 3, 7, 10 },
    { "default_destination_rate_delay = 5s\n", 0, 0, 1, 1 },
    { "mine_destination_rate_delay = 5s\n", 0, 0, 5, 1 },
};

static size_t
window_after(const char *main_cf, const char *to, unsigned good, unsigned bad)
{
    struct world *w = open_with(main_cf);
    size_t window;

    submit(w, 100, to);
    while (good-- > 0)
        end_one(w, OUTCOME_SENT, DESTINATION_OK);
    while (bad-- > 0)
        end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
    window = running(w);
    world_free(w);
    return window;
}

static void
test_windows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
        size_t smtp = window_after(windows[i].main_cf, "r@one.example",
            windows[i].good, windows[i].bad);
        size_t mine = window_after(windows[i].main_cf, "r@mine.example",
            windows[i].good, windows[i].bad);

        if (smtp != windows[i].smtp || mine != windows[i].mine)
            fail_msg("%s: %zu and %zu, not %zu and %zu", windows[i].main_cf,
                smtp, mine, windows[i].smtp, windows[i].mine);
    }
}

/* So many cohorts of failures, and no success between, make it dead; 0: none. */
static const struct {
    const char *main_cf;
    unsigned failures; /* after which it is; 0: it never is */
} cohorts[] = {
    { "initial_destination_concurrency = 1\n", 1 },
    { "initial_destination_concurrency = 1\n"
      "default_destination_concurrency_failed_cohort_limit = 4\n",
        4 },
    { "initial_destination_concurrency = 1\n"
      "smtp_destination_concurrency_failed_cohort_limit = 2\n",
        2 },
    { "default_destination_concurrency_failed_cohort_limit = 0\n", 0 },
    /* 1/5 + 1/4 + 1/3 + 1/2 */
    { "", 4 },
};

static void
test_cohorts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cohorts) / sizeof(cohorts[0]); i++) {
        struct world *w = open_with(cohorts[i].main_cf);
        unsigned n = 0;

        submit(w, 50, "r@one.example");
        while (running(w) > 0 && n < 50 &&
            world_errand(w, 0)->job->destination->health == HEALTH_LIVE) {
            end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
            n++;
        }
        assert_int_equal(n,
            cohorts[i].failures == 0 ? 50 : cohorts[i].failures);
        world_free(w);
    }
}

/* Fractions of a second, for one destination and for all of a transport. */
static const struct {
    const char *main_cf;
    const char *first, *second;
    int64_t wait_ms; /* between the end of one and the start of the other */
} delays[] = {
    { "default_destination_rate_delay = 0.25s\n", "a@one.example",
        "b@one.example", 250 },
    { "default_destination_rate_delay = 0.25s\n", "a@one.example",
        "b@two.example", 0 },
    { "mine_destination_rate_delay = 1.5s\n", "a@mine.example",
        "b@mine.example", 1500 },
    { "mine_destination_rate_delay = 1.5s\n", "a@one.example", "b@one.example",
        0 },
    { "mine_destination_rate_delay = 1s\n"
      "mine_destination_recipient_limit = 1\n",
        "a@mine.example", "b@mine.example", 0 },
    { "mine_destination_rate_delay = 1s\n"
      "mine_destination_recipient_limit = 1\n",
        "a@mine.example", "a@mine.example", 1000 },
    { "default_transport_rate_delay = 0.1s\n", "a@one.example", "b@two.example",
        100 },
    { "mine_transport_rate_delay = 0.1s\n", "a@mine.one.example",
        "b@mine.two.example", 100 },
    { "mine_transport_rate_delay = 0.1s\n", "a@one.example", "b@two.example",
        0 },
};

static void
test_delays(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        struct world *w = open_with(delays[i].main_cf);
        int64_t began = clock_now_ms();

        submit(w, 1, delays[i].first);
        submit(w, 1, delays[i].second);
        if (delays[i].wait_ms == 0) {
            assert_int_equal(running(w), 2);
        } else {
            assert_int_equal(running(w), 1);
            end_one(w, OUTCOME_SENT, DESTINATION_OK);
            while (running(w) == 0)
                world_pass_ms(w, 1);
            if (clock_now_ms() - began != delays[i].wait_ms)
                fail_msg("%s: %lld ms", delays[i].main_cf,
                    (long long)(clock_now_ms() - began));
        }
        world_free(w);
    }
}

/* Recipients in one delivery. */
static void
test_recipients(void **state)
{
    static const struct {
        const char *main_cf;
        size_t smtp, mine;
    } cases[] = {
        { "", 50, 50 },
        { "default_destination_recipient_limit = 20\n", 20, 20 },
        { "mine_destination_recipient_limit = 7\n", 50, 7 },
        { "mine_destination_recipient_limit = 1\n", 50, 1 },
        { "default_destination_recipient_limit = 0\n", 60, 60 },
    };
    static char names[2][60][40];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world *w = open_with(cases[i].main_cf);

        for (unsigned k = 0; k < 2; k++) {
            struct world_mail mail = { .sender = "s@x" };

            for (unsigned n = 0; n < 60; n++) {
                (void)snprintf(names[k][n], sizeof(names[k][n]),
                    "r%u@%sexample", n, k == 0 ? "" : "mine.");
                mail.recipients[n] = names[k][n];
            }
            world_accept(w, &mail);
            assert_int_equal(world_errand(w, 0)->count,
                k == 0 ? cases[i].smtp : cases[i].mine);
            while (running(w) > 0)
                end_one(w, OUTCOME_SENT, DESTINATION_OK);
        }
        world_free(w);
    }
}

/* A table that answers late delays whom it is asked for, and nobody else. */
static void
test_slow_lookup(void **state)
{
    struct world *w = open_with("");
    struct world_mail slow = { .sender = "s@x", .recipients = { "r@slow" } };
    struct list held;

    (void)state;
    list_init(&held);
    for (unsigned i = 0; i < 500; i++) {
        world_submit(w, &slow);
        while (world_step_txn(w))
            ;
        qmgr_pump(&w->q);
        /* Its question stays with lookup. */
        for (struct list *it; (it = list_take(&w->asked)) != NULL;)
            list_append(&held, it);
    }
    /* One question for all of them. */
    assert_int_equal(world_count(&held), 1);
    for (unsigned i = 0; i < 20; i++) {
        submit(w, 1, "r@fast.example");
        assert_int_equal(running(w), 1);
        end_one(w, OUTCOME_SENT, DESTINATION_OK);
        world_pass_ms(w, 60000);
    }
    for (struct list *it; (it = list_take(&held)) != NULL;)
        list_append(&w->asked, it);
    world_settle(w);
    assert_in_range(running(w), 1, 5);
    world_free(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_cohorts),
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_slow_lookup),
    };

    log_set_sink(world_no_log, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

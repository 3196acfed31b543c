#include "tests/unit/qmgr_schedule.h"

#include "qmgr/describe.h"
#include "qmgr/edit.h"
#include "qmgr/health.h"

/* Limits, turns and waiting: what is delivered when. */

static void
test_window_grows_and_shrinks(void **state)
{
    struct world *w = *state;

    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 19, "r@smtp.one.example");
    assert_int_equal(running(w), 2);
    for (size_t i = 0; i < 6; i++)
        end_one(w, OUTCOME_SENT, DESTINATION_OK);
    assert_int_equal(running(w), 8);
    /* Busy: less is offered, and it is not dead. */
    end_one(w, OUTCOME_DEFERRED, DESTINATION_BUSY);
    assert_int_equal(running(w), 7);
    end_one(w, OUTCOME_SENT, DESTINATION_OK);
    assert_in_range(running(w), 6, 7);
    end_all(w);
}

/*
 * A remote that takes five sessions: what it refuses is delivered in its turn,
 * nothing is deferred, and no more than one session too many is offered again.
 */
static void
test_session_limit(void **state)
{
    enum { TAKES = 5 };
    struct world *w = *state;
    unsigned refused = 0, delivered = 0;

    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 19, "r@smtp.one.example");
    for (unsigned i = 0; i < 200 && running(w) > 0; i++) {
        struct errand *last = world_errand(w, running(w) - 1);

        if (running(w) > TAKES) {
            assert_true(health_takes_back(last->job->destination));
            world_report(w, last, OUTCOME_RETURNED, DESTINATION_BUSY);
            world_settle(w);
            refused++;
            continue;
        }
        if (delivered < 2 * TAKES)
            submit(w, 1, "r@smtp.one.example");
        end_one(w, OUTCOME_SENT, DESTINATION_OK);
        delivered++;
    }
    assert_int_equal(delivered, 19 + 2 * TAKES);
    assert_in_range(refused, 1, 4);
    assert_int_equal(w->q.index.states[ENTRY_DEFERRED], 0);
    world_assert_empty(w);
}

/* All that were begun together are answered in any order: the rest is known. */
static void
test_session_limit_of_many(void **state)
{
    struct world *w = *state;

    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 19, "r@smtp.one.example");
    for (unsigned i = 0; i < 6; i++)
        end_one(w, OUTCOME_SENT, DESTINATION_OK);
    assert_int_equal(running(w), 8);
    for (unsigned i = 0; i < 4; i++) {
        world_report(w, world_errand(w, 7 - i), OUTCOME_RETURNED,
            DESTINATION_BUSY);
        qmgr_pump(&w->q);
    }
    assert_int_equal(running(w), 4);
    end_one(w, OUTCOME_SENT, DESTINATION_OK);
    assert_int_equal(running(w), 4);
    world_pass_ms(w, 60000);
    assert_int_equal(running(w), 5); /* is one more taken by now? */
    end_all(w);
    world_assert_empty(w);
}

/* Busy although we are not there: it is asked again a few times, then later. */
static void
test_busy_alone(void **state)
{
    struct world *w = *state;
    int64_t began = clock_now_ms();

    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 1, "r@smtp.one.example");
    for (unsigned i = 0; i < 3; i++) {
        world_report(w, world_errand(w, 0), OUTCOME_RETURNED, DESTINATION_BUSY);
        world_settle(w);
        assert_int_equal(running(w), 0);
        world_pass_ms(w, 1000 << i);
        assert_int_equal(running(w), 1);
    }
    assert_int_equal(clock_now_ms() - began, 7000);
    assert_false(health_takes_back(world_errand(w, 0)->job->destination));
    end_one(w, OUTCOME_DEFERRED, DESTINATION_BUSY);
    assert_int_equal(w->q.index.states[ENTRY_DEFERRED], 1);
}

/* Mail that an agent gives back without need is not its again at once. */
static void
test_returned_without_need(void **state)
{
    struct world *w = *state;

    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 1, "r@smtp.one.example");
    assert_int_equal(running(w), 1);
    world_report(w, world_errand(w, 0), OUTCOME_RETURNED, DESTINATION_OK);
    world_settle(w);
    assert_int_equal(running(w), 0);
    assert_int_equal(w->q.index.states[ENTRY_DEFERRED], 1);
}

static void
test_process_limit(void **state)
{
    struct world *w = *state;
    static char names[12][32];

    agent_up(&w->q, ROLE_SMTP, w);
    agent_up(&w->q, ROLE_SMTP, &w->q);
    for (unsigned i = 0; i < 12; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "r@slow.d%u.example", i);
        submit(w, 1, names[i]);
    }
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(running(w), i < 10 ? 3 : 12 - i);
        end_one(w, OUTCOME_SENT, DESTINATION_OK);
    }
    world_assert_empty(w);
}

static void
test_rate_delays(void **state)
{
    struct world *w = *state;
    int64_t began = clock_now_ms();

    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 3, "r@paced.one.example");
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(running(w), 1);
        assert_int_equal(clock_now_ms() - began, i * 2000);
        end_one(w, OUTCOME_SENT, DESTINATION_OK);
        world_pass_ms(w, 2000);
    }
    submit(w, 1, "r@spaced.one.example");
    submit(w, 1, "r@spaced.two.example");
    assert_int_equal(running(w), 1);
    world_pass_ms(w, 499);
    assert_int_equal(running(w), 1);
    world_pass_ms(w, 1);
    assert_int_equal(running(w), 2);
    end_all(w);
    world_assert_empty(w);
}

static void
test_limits_for_each_recipient(void **state)
{
    struct world *w = *state;

    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 2, "a@single.one.example");
    submit(w, 2, "b@single.one.example");
    assert_int_equal(running(w), 2);
    assert_string_not_equal(world_errand(w, 0)->addresses[0],
        world_errand(w, 1)->addresses[0]);
    end_all(w);
    world_assert_empty(w);
}

/* One recipient does not wait for a list that came before. */
static void
test_turns(void **state)
{
    struct world *w = *state;
    struct world_mail list = { .sender = "list@x", .body = 10 };
    static char names[40][32];
    unsigned before = 0;

    agent_up(&w->q, ROLE_SMTP, w);
    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "r%u@smtp.one.example", i);
        list.recipients[i] = names[i];
    }
    world_accept(w, &list);
    assert_int_equal(running(w), 2);
    assert_int_equal(world_errand(w, 0)->count, 4);
    submit(w, 1, "single@smtp.one.example");
    for (;;) {
        const struct errand *e = world_errand(w, 0);

        assert_non_null(e);
        if (strncmp(e->addresses[0], "single@", 7) == 0)
            break;
        end_one(w, OUTCOME_SENT, DESTINATION_OK);
        assert_true(++before < 6);
    }
    end_all(w);
    world_assert_empty(w);
}

/* Each death is longer, up to the limit; mail comes due with the probe. */
static void
test_back_off(void **state)
{
    static const int64_t pauses[] = { 60, 120, 240, 240 };
    struct world *w = *state;

    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 2, "r@smtp.dead.example");
    end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
    end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        int64_t died = clock_now_ms(), tried;

        print_message("  %lld\n", (long long)pauses[i]);
        submit(w, 1, "fresh@smtp.dead.example");
        assert_int_equal(running(w), 0);
        while (running(w) == 0)
            world_pass_ms(w, 1000);
        tried = clock_now_ms() - died;
        assert_in_range(tried, pauses[i] * 1000, pauses[i] * 1200 + 30000);
        assert_int_equal(running(w), 1);
        end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
        assert_int_equal(running(w), 0);
    }
    /* Delivery of anything else is not held up. */
    submit(w, 1, "r@smtp.live.example");
    assert_int_equal(running(w), 1);
    end_all(w);
}

static void
test_no_agent(void **state)
{
    struct world *w = *state;

    submit(w, 2, "r@smtp.one.example");
    world_pass_ms(w, 29000);
    assert_int_equal(w->q.index.states[ENTRY_ACTIVE], 2);
    world_pass_ms(w, 2000);
    assert_int_equal(w->q.index.states[ENTRY_DEFERRED], 2);
    agent_up(&w->q, ROLE_SMTP, w);
    world_pass_ms(w, 80000);
    assert_int_equal(running(w), 2);
    end_all(w);
    world_assert_empty(w);
}

static void
test_no_lookup(void **state)
{
    struct world *w = *state;

    agent_up(&w->q, ROLE_SMTP, w);
    w->no_lookup = true;
    submit(w, 2, "r@smtp.one.example");
    world_pass_ms(w, 3600000);
    assert_int_equal(running(w), 0);
    w->no_lookup = false;
    resolve_retry(&w->q);
    world_settle(w);
    assert_int_equal(running(w), 2);
    end_all(w);
    world_assert_empty(w);
}

static void
test_active_limit(void **state)
{
    struct world *w = *state;

    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 50, "r@smtp.one.example");
    /* One destination may have four times what it leaves free. */
    assert_int_equal(w->q.index.states[ENTRY_ACTIVE], 16);
    assert_int_equal(w->q.index.states[ENTRY_INCOMING], 34);
    end_all(w);
    world_assert_empty(w);
}

static void
test_deferred_transport(void **state)
{
    struct world *w = *state;

    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 1, "r@waiting.one.example");
    world_pass_ms(w, 600000);
    assert_int_equal(running(w), 0);
    edit_flush_all(&w->q, NULL);
    world_settle(w);
    assert_int_equal(running(w), 1);
    end_all(w);
    world_assert_empty(w);
}

static void
test_delay_warning(void **state)
{
    struct world *w = *state;
    unsigned notices = 0;

    reconfigure(w, "delay_warning_time = 5m\nminimal_backoff_time = 60s\n");
    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 1, "r@smtp.one.example");
    for (unsigned i = 0; i < 60; i++) {
        struct errand *e;

        world_pass_ms(w, 60000);
        while ((e = world_errand(w, 0)) != NULL) {
            if (e->is_notice) {
                assert_int_equal(e->kind, NOTICE_DELAY);
                assert_true(i >= 4);
                notices++;
                job_notified(&w->q, e->job, RESULT_OK);
                world_errand_end(e);
            } else {
                world_report(w, e, OUTCOME_DEFERRED, DESTINATION_OK);
            }
            world_settle(w);
        }
        /* Once, also over a restart. */
        if (i == 30) {
            world_crash(w);
            world_start(w);
            agent_up(&w->q, ROLE_SMTP, w);
        }
    }
    assert_int_equal(notices, 1);
}

/* Each reason for waiting has its name. */
static void
test_description(void **state)
{
    struct world *w = *state;
    struct destination_view v;

    submit(w, 3, "r@smtp.one.example");
    v = describe(w, "one.example");
    assert_string_equal(v.transport, "smtp");
    assert_int_equal(v.hold, HOLD_NO_AGENT);
    assert_int_equal(v.waiting_messages, 3);
    assert_int_equal(v.waiting_recipients, 3);
    agent_up(&w->q, ROLE_SMTP, w);
    world_settle(w);
    v = describe(w, "one.example");
    assert_int_equal(v.hold, HOLD_WINDOW);
    assert_int_equal(v.window_now, 2);
    assert_int_equal(v.running, 2);
    end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
    end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
    v = describe(w, "one.example");
    assert_int_equal(v.hold, HOLD_DEAD);
    assert_int_equal(v.failures, 1);
    assert_string_equal(v.reason, "connect: refused");
    assert_int_equal(v.next_try_ms, qmgr_wall_ms() + 60000);
    for (struct map_node *n = map_first(&w->q.index.entries); n != NULL;
         n = map_after(&w->q.index.entries, n))
        assert_int_equal(LIST_ENTRY(n, struct entry, node)->lane, v.lane);
    submit(w, 2, "r@paced.one.example");
    end_one(w, OUTCOME_SENT, DESTINATION_OK);
    for (struct destination *d = destination_first(&w->q); d != NULL;
         d = destination_after(&w->q, d)) {
        if (strcmp(d->transport->name, "paced") != 0)
            continue;
        destination_describe(&w->q, d, &v);
        assert_int_equal(v.hold, HOLD_RATE);
        assert_int_equal(v.rate_delay_ms, 2000);
        assert_int_equal(v.next_try_ms, qmgr_wall_ms() + 2000);
    }
    submit(w, 1, "a@single.one.example");
    for (struct destination *d = destination_first(&w->q); d != NULL;
         d = destination_after(&w->q, d)) {
        destination_describe(&w->q, d, &v);
        assert_string_equal(v.recipient,
            strcmp(v.transport, "single") == 0 ? "a@single.one.example" : "");
    }
    end_all(w);
}

/* A process is kept free for a suspect, whatever else is waiting before. */
static void
test_suspect_gets_its_process(void **state)
{
    struct world *w = *state;
    struct agent *a = agent_up(&w->q, ROLE_SMTP, w);

    submit(w, 1, "suspect@smtp.one.example");
    for (unsigned i = 0; i < 2; i++) {
        world_kill(w, world_errand(w, 0));
        agent_gone(&w->q, a);
        world_settle(w);
        if (i == 1)
            submit(w, 10, "innocent@smtp.one.example");
        a = agent_up(&w->q, ROLE_SMTP, w);
        world_pass_ms(w, 3000);
    }
    for (unsigned i = 0; running(w) > 0; i++) {
        assert_true(i < 30);
        end_one(w, OUTCOME_SENT, DESTINATION_OK);
        world_pass_ms(w, 100);
    }
    world_assert_empty(w);
}

int
main(void)
{
#define T(name) \
    cmocka_unit_test_setup_teardown(name, open_world, world_teardown)
    const struct CMUnitTest tests[] = {
        T(test_window_grows_and_shrinks),
        T(test_session_limit),
        T(test_session_limit_of_many),
        T(test_busy_alone),
        T(test_returned_without_need),
        T(test_process_limit),
        T(test_rate_delays),
        T(test_limits_for_each_recipient),
        T(test_turns),
        T(test_back_off),
        T(test_no_agent),
        T(test_no_lookup),
        T(test_active_limit),
        T(test_deferred_transport),
        T(test_delay_warning),
        T(test_suspect_gets_its_process),
        T(test_description),
    };

    log_set_sink(world_no_log, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

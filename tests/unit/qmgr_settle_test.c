/* How soon it is on disk that a recipient is settled, whatever else happens. */
#include "tests/unit/qmgr_world.h"

#include <assert.h>

enum { DELAY_MS = 1000 };

static const char main_cf[] = "minimal_backoff_time = 60s\n"
                              "queue_run_delay = 60s\n";

static const struct world_mail four = {
    .sender = "s@example.org",
    .recipients = { "r@a.test", "r@b.test", "r@c.test", "r@d.test" },
    .body = 100,
};

static int
open_world(void **state)
{
    struct world *w = world_new(main_cf, world_master_cf);

    agent_up(&w->q, ROLE_SMTP, w);
    *state = w;
    return 0;
}

static int
open_world_with_delay(void **state)
{
    struct world *w = mem_alloc(sizeof(*w));
    struct config_set *set = world_config(main_cf, world_master_cf);

    random_set_seed(7);
    world_open_on(w, set, disk_sim_new(16 << 20), 256 * 1024);
    config_drop(set);
    w->settle_delay_ms = DELAY_MS;
    agent_up(&w->q, ROLE_SMTP, w);
    *state = w;
    return 0;
}

static void
report(struct world *w, const char *nexthop, enum outcome outcome)
{
    struct errand *e;
    size_t nth = 0;

    while (
        (e = world_errand(w, nth)) != NULL && strcmp(e->nexthop, nexthop) != 0)
        nth++;
    assert(e != NULL);
    world_report(w, e, outcome, DESTINATION_OK);
}

/*
 * Who is settled while an earlier STATUS waits for its flush does not wait for
 * the delay after that one.
 */
static void
test_no_longer_than_the_delay(void **state)
{
    struct world *w = *state;

    world_accept(w, &four);
    assert_int_equal(world_count(&w->errands), 4);
    report(w, "a.test", OUTCOME_SENT);
    world_settle(w);
    world_pass_ms(w, DELAY_MS / 10);
    report(w, "b.test", OUTCOME_SENT);
    world_settle(w);
    world_pass_ms(w, DELAY_MS);
    world_restart(w);
    assert_int_equal(world_count(&w->errands), 2);
    for (size_t i = 0; i < 2; i++)
        assert_true(world_errand(w, i)->nexthop[0] > 'b');
}

/* A STATUS that failed is no concern of the next round, which begins early. */
static void
test_failed_in_the_round_before(void **state)
{
    struct world *w = *state;

    world_accept(w, &four);
    w->disk_fails = true;
    report(w, "a.test", OUTCOME_SENT);
    world_settle(w);
    w->disk_fails = false;
    report(w, "b.test", OUTCOME_DEFERRED);
    report(w, "c.test", OUTCOME_DEFERRED);
    report(w, "d.test", OUTCOME_DEFERRED);
    world_settle(w);
    assert_int_equal(w->q.index.states[ENTRY_DEFERRED], 1);
    edit_flush_all(&w->q, NULL);
    world_settle(w);
    assert_int_equal(world_count(&w->errands), 3);
    world_pass_ms(w, 2000); /* the one that failed has its next try */
    report(w, "b.test", OUTCOME_SENT);
    world_settle(w);
    world_restart(w);
    assert_int_equal(world_count(&w->errands), 2);
}

enum { ALIASES = 200 };

/* As many transactions, and a crash before the message is done. */
static void
test_many_parts(void **state)
{
    struct world *w = *state;
    struct errand *e;

    world_submit_list(w, world_lease(w), ALIASES + 1, 1);
    world_settle(w);
    for (uint32_t left = ALIASES; (e = world_errand(w, 0)) != NULL;) {
        struct world_mail part = { .sender = "", .settle_only = true };

        part.settles = &e->attempt;
        part.index_count = 1;
        for (size_t i = 0; left > 0 && i < e->count; i++, left--) {
            part.indexes = &e->indexes[i];
            world_submit_as(w, 0, &part, NULL);
            /* In the end there is no time for a STATUS that takes them up. */
            if (left > ALIASES / 2)
                world_settle(w);
            else
                assert_true(world_step_txn(w));
        }
        if (left == 0)
            break;
        world_finish(w, e, OUTCOME_DEFERRED);
    }
    world_restart(w);
    world_pass_ms(w, 3600000);
    assert_int_equal(world_count(&w->errands), 1);
    assert_int_equal(world_errand(w, 0)->count, 1);
}

static void
stop(struct world *w, int64_t ms)
{
    int64_t began = clock_now_ms();

    qmgr_stop(&w->q);
    while (!qmgr_is_idle(&w->q)) {
        world_pass_ms(w, 5);
        assert_in_range(clock_now_ms() - began, 0, ms);
    }
}

static void
deliver_without_disk(struct world *w)
{
    world_accept(w, &four);
    w->disk_fails = true;
    for (char to[] = "a.test"; to[0] <= 'd'; to[0]++)
        report(w, to, OUTCOME_SENT);
    world_settle(w);
}

/* A stop waits for what is to be tried again. */
static void
test_stop_tries_again(void **state)
{
    struct world *w = *state;

    deliver_without_disk(w);
    w->disk_fails = false;
    stop(w, 2000);
    world_restart(w);
    world_assert_empty(w);
}

/* But not for ever. */
static void
test_stop_gives_up(void **state)
{
    struct world *w = *state;

    deliver_without_disk(w);
    stop(w, 5000);
}

int
main(void)
{
#define T(name) \
    cmocka_unit_test_setup_teardown(name, open_world, world_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_longer_than_the_delay,
            open_world_with_delay, world_teardown),
        T(test_failed_in_the_round_before),
        T(test_many_parts),
        T(test_stop_tries_again),
        T(test_stop_gives_up),
    };

    log_set_sink(world_no_log, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

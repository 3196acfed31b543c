#include "qmgr/edit.h"
#include "tests/unit/qmgr_schedule.h"

/* Destinations that are dead, and what waits for them. */

/* However many wait for dead destinations, others come in. */
static void
test_admission_caps(void **state)
{
    struct world *w = *state;
    static char names[6][32];

    reconfigure(w, "qmgr_message_active_limit = 200\n");
    /* No agent: what is admitted stays where it is. */
    for (unsigned i = 0; i < 6; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "r@smtp.d%u.example", i);
        submit(w, 200, names[i]);
        assert_in_range(w->q.index.states[ENTRY_ACTIVE], 160, 196);
    }
    submit(w, 1, "r@smtp.other.example");
    assert_int_equal(describe(w, "other.example").waiting_messages, 1);
    agent_up(&w->q, ROLE_SMTP, w);
    world_settle(w);
    end_all(w);
    world_assert_empty(w);
}

/*
 * Mail that waits for a dead destination is not looked at while that is dead;
 * then one message probes it, and the others wait for what comes of that.
 */
static void
test_probe_with_one(void **state)
{
    struct world *w = *state;
    struct destination_view v;
    size_t reads = 0;
    int64_t end;

    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 200, "r@smtp.dead.example");
    while (running(w) > 0)
        end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
    assert_int_equal(w->q.index.states[ENTRY_DEFERRED], 200);
    /* Some outages later all know their destination. */
    for (end = clock_now_ms() + 3600000; clock_now_ms() < end;) {
        uint64_t serial = w->q.serial;

        world_pass_ms(w, 1000);
        assert_in_range(running(w), 0, 1);
        if (running(w) > 0) {
            v = describe(w, "dead.example");
            assert_int_equal(v.health, HEALTH_PROBED);
            end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
        }
        reads += w->q.serial - serial;
    }
    /* An hour of 200 messages that are due each four minutes at the latest. */
    assert_in_range(reads, 3600 / 300, 100);
    while (running(w) == 0)
        world_pass_ms(w, 1000);
    v = describe(w, "dead.example");
    assert_int_equal(v.running, 1);
    end_one(w, OUTCOME_SENT, DESTINATION_OK);
    for (unsigned i = 0; w->q.index.entries.count > 0; i++) {
        assert_true(i < 1000);
        end_all(w);
        world_pass_ms(w, 1000);
    }
    assert_in_range(clock_now_ms() - end, 0, 600000);
    world_assert_empty(w);
}

/*
 * A flush has one message try each dead destination. The others go when that
 * went well; else nothing is said of them that was not known.
 */
static void
test_flush_of_the_dead(void **state)
{
    struct world *w = *state;
    uint64_t serial;

    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 200, "r@smtp.dead.example");
    while (running(w) > 0)
        end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
    for (unsigned i = 0; i < 3; i++) {
        serial = w->q.serial;
        edit_flush_all(&w->q, NULL);
        world_settle(w);
        assert_int_equal(running(w), 1);
        end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
        assert_int_equal(running(w), 0);
        assert_int_equal(w->q.serial - serial, 1);
        assert_int_equal(w->q.index.states[ENTRY_DEFERRED], 200);
    }
    /* Of one message: the same. */
    edit_flush(&w->q,
        LIST_ENTRY(map_first(&w->q.index.entries), struct entry, node));
    world_settle(w);
    assert_int_equal(running(w), 1);
    end_one(w, OUTCOME_SENT, DESTINATION_OK);
    assert_int_equal(w->q.index.entries.count, 199);
    edit_flush_all(&w->q, NULL);
    world_settle(w);
    for (unsigned i = 0; running(w) > 0; i++) {
        assert_true(i < 200);
        end_all(w);
    }
    world_assert_empty(w);
}

/* Who is put off hears of the delay all the same. */
static void
test_delay_warning_of_all(void **state)
{
    struct world *w = *state;
    unsigned notices = 0;
    int64_t began = clock_now_ms();

    reconfigure(w,
        "delay_warning_time = 10m\nminimal_backoff_time = 60s\n"
        "maximal_backoff_time = 300s\n");
    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 15, "r@smtp.dead.example");
    while (clock_now_ms() - began < 3600000) {
        struct errand *e = world_errand(w, 0);

        if (e == NULL) {
            world_pass_ms(w, 1000);
        } else if (e->is_notice) {
            assert_int_equal(e->kind, NOTICE_DELAY);
            assert_in_range(clock_now_ms() - began, 600000, 1200000);
            notices++;
            world_notified(w, e, RESULT_OK);
        } else {
            end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
        }
    }
    assert_int_equal(notices, 15);
}

/* It ends when its lifetime does, be it parked or put off. */
static void
test_expiry_while_parked(void **state)
{
    struct world *w = *state;
    unsigned notices = 0;
    int64_t began = clock_now_ms();

    reconfigure(w,
        "maximal_queue_lifetime = 2h\n"
        "minimal_backoff_time = 60s\n"
        "maximal_backoff_time = 600s\n"
        "queue_run_delay = 1s\n");
    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, 50, "r@smtp.dead.example");
    while (notices < 50) {
        struct errand *e = world_errand(w, 0);

        if (e == NULL) {
            world_pass_ms(w, 1000);
            assert_true(clock_now_ms() - began < 3 * 3600000);
        } else if (e->is_notice) {
            struct world_mail notice = {
                .sender = "",
                .recipients = { "postmaster@discard.example" },
                .settles = &e->attempt,
                .indexes = e->indexes,
                .index_count = e->count,
            };

            assert_in_range(clock_now_ms() - began, 7200000, 7201000);
            world_submit(w, &notice);
            job_notified(&w->q, e->job, RESULT_OK);
            world_errand_end(e);
            notices++;
            world_settle(w);
        } else if (strcmp(e->nexthop, "example") == 0) {
            end_one(w, OUTCOME_SENT, DESTINATION_OK);
        } else {
            end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
        }
    }
    end_all(w);
}

static void
edited(struct edit *edit, uint64_t id)
{
    (void)edit;
    (void)id;
}

static void
edit_all(struct world *w, enum edit_task task)
{
    static struct edit edit = { .done = edited };

    for (struct map_node *n = map_first(&w->q.index.entries); n != NULL;
         n = map_after(&w->q.index.entries, n))
        (void)edit_message(&w->q, LIST_ENTRY(n, struct entry, node), task, ~0U,
            &edit);
    world_settle(w);
}

/* What is tried fails, and bounce settles nothing. How many it was asked for. */
static unsigned
fail_all(struct world *w, uint64_t *told, unsigned count)
{
    for (struct errand *e; (e = world_errand(w, 0)) != NULL;) {
        unsigned i = 0;

        if (!e->is_notice) {
            end_one(w, OUTCOME_DEFERRED, DESTINATION_DEAD);
            continue;
        }
        while (i < count && told[i] != e->attempt.id)
            i++;
        if (i == count)
            told[count++] = e->attempt.id;
        world_notified(w, e, RESULT_OK);
    }
    return count;
}

/*
 * One whose lifetime ended while it was on hold ends when it is released, though
 * its destination is dead: it is not put off as those are whose end a timer has.
 * The same goes for one whose end came while the queue manager was not there.
 */
static void
test_expiry_unseen(void **state)
{
    enum { OLD = 10 };
    struct world *w = *state;
    uint64_t told[OLD];
    unsigned count = 0;

    reconfigure(w,
        "maximal_queue_lifetime = 2h\n"
        "minimal_backoff_time = 60s\n"
        "maximal_backoff_time = 600s\n"
        "queue_run_delay = 1s\n");
    agent_up(&w->q, ROLE_SMTP, w);
    submit(w, OLD, "r@smtp.dead.example");
    assert_int_equal(fail_all(w, told, 0), 0);
    edit_all(w, EDIT_HOLD);
    world_pass_ms(w, 3 * 3600000);
    submit(w, 2 * OLD, "fresh@smtp.dead.example");
    assert_int_equal(fail_all(w, told, 0), 0);
    edit_all(w, EDIT_RELEASE);
    for (unsigned second = 0; second < 20; second++) {
        count = fail_all(w, told, count);
        world_pass_ms(w, 1000);
    }
    assert_int_equal(count, OLD);
}

int
main(void)
{
#define T(test) \
    cmocka_unit_test_setup_teardown(test, open_world, world_teardown)
    const struct CMUnitTest tests[] = {
        T(test_admission_caps),
        T(test_probe_with_one),
        T(test_flush_of_the_dead),
        T(test_expiry_while_parked),
        T(test_expiry_unseen),
        T(test_delay_warning_of_all),
    };

    log_set_sink(world_no_log, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

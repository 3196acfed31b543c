#include "tests/unit/qmgr_world.h"

#include <assert.h>

/* What the admin does to messages, in each state of theirs. */

static const char main_cf[] = "minimal_backoff_time = 60s\n"
                              "queue_run_delay = 60s\n";

static struct edit edit;
static unsigned ended;

static void
count_ended(struct edit *e, uint64_t id)
{
    (void)e;
    (void)id;
    ended++;
}

static int
open_world(void **state)
{
    struct world *w = world_new(main_cf, world_master_cf);

    edit = (struct edit){ .done = count_ended };
    ended = 0;
    *state = w;
    return 0;
}

static const struct world_mail mail = {
    .sender = "s@example.org",
    .recipients = { "a@one.example", "b@two.example" },
    .body = 100,
};

static struct entry *
entry_of(struct world *w, uint64_t id)
{
    return index_find(&w->q.index, id);
}

static bool
order(struct world *w, uint64_t id, enum edit_task task)
{
    struct entry *e = entry_of(w, id);

    return e != NULL &&
        edit_message(&w->q, e, task, ~0U & ~(1U << ENTRY_DAMAGED), &edit);
}

enum stage { FRESH, OUT, DEFERRED, HELD, STAGES };

/* A message that has got as far as that. */
static uint64_t
make(struct world *w, enum stage stage)
{
    uint64_t id;

    if (stage != FRESH)
        agent_up(&w->q, ROLE_SMTP, w);
    id = world_submit(w, &mail);
    world_settle(w);
    if (stage == HELD) {
        assert_true(order(w, id, EDIT_HOLD));
        ended = 0;
    }
    while (stage >= DEFERRED && world_errand(w, 0) != NULL) {
        world_finish(w, world_errand(w, 0), OUTCOME_DEFERRED);
    }
    ended = 0;
    return id;
}

static void
test_delete(void **state)
{
    struct world *w = *state;

    for (enum stage stage = FRESH; stage < STAGES; stage++) {
        uint64_t id = make(w, stage);
        struct errand *e;

        print_message("  %d\n", stage);
        assert_true(order(w, id, EDIT_DELETE));
        assert_int_equal(ended, 0);
        /* Not twice. */
        assert_false(order(w, id, EDIT_DELETE));
        world_settle(w);
        assert_int_equal(ended, 1);
        assert_null(entry_of(w, id));
        /* What agents still say is of no account. */
        while ((e = world_errand(w, 0)) != NULL)
            world_finish(w, e, OUTCOME_BOUNCED);
        world_assert_empty(w);
        world_crash(w);
        world_start(w);
        assert_int_equal(w->q.index.entries.count, 0);
    }
}

/*
 * Put on hold while it is read back for its next round, which then cannot begin:
 * for want of room, or since it cannot be read.
 */
static void
test_hold_while_it_is_read(void **state)
{
    struct world *w = *state;
    uint64_t id = make(w, DEFERRED);

    for (unsigned unreadable = 0; unreadable < 2; unreadable++) {
        edit_flush(&w->q, entry_of(w, id));
        qmgr_pump(&w->q);
        assert_false(list_empty(&w->disk));
        assert_true(order(w, id, EDIT_HOLD));
        if (unreadable) {
            struct disk_job *j = LIST_ENTRY(list_take(&w->disk),
                struct disk_job, link);

            j->result = why_temp(&j->why, "4.3.0", "Input/output error");
            disk_job_done(&w->q, j);
        } else {
            w->no_reserve = true;
        }
        world_settle(w);
        w->no_reserve = false;
        world_pass_ms(w, (int64_t)3600 * 1000);
        assert_int_equal(entry_of(w, id)->state, ENTRY_HELD);
        assert_null(world_errand(w, 0));
        assert_true(order(w, id, EDIT_RELEASE));
        world_settle(w);
        assert_int_equal(world_count(&w->errands), 2);
        while (world_errand(w, 0) != NULL) {
            world_finish(w, world_errand(w, 0), OUTCOME_DEFERRED);
        }
    }
}

static void
test_hold_and_release(void **state)
{
    struct world *w = *state;

    for (enum stage stage = FRESH; stage < HELD; stage++) {
        uint64_t id = make(w, stage);

        print_message("  %d\n", stage);
        assert_true(order(w, id, EDIT_HOLD));
        assert_false(order(w, id, EDIT_HOLD));
        world_settle(w);
        assert_int_equal(ended, 1);
        /* Deliveries that are under way end. */
        while (world_errand(w, 0) != NULL) {
            world_finish(w, world_errand(w, 0), OUTCOME_DEFERRED);
        }
        assert_int_equal(entry_of(w, id)->state, ENTRY_HELD);
        /* It stays there, over crashes and beyond its lifetime. */
        world_crash(w);
        world_start(w);
        agent_up(&w->q, ROLE_SMTP, w);
        world_pass_ms(w, (int64_t)6 * 24 * 3600 * 1000);
        assert_int_equal(entry_of(w, id)->state, ENTRY_HELD);
        assert_null(world_errand(w, 0));
        assert_true(order(w, id, EDIT_RELEASE));
        world_settle(w);
        assert_int_equal(world_count(&w->errands), 2);
        while (world_errand(w, 0) != NULL) {
            world_finish(w, world_errand(w, 0), OUTCOME_SENT);
        }
        world_assert_empty(w);
        world_crash(w);
        world_start(w);
    }
}

static void
test_held_envelope(void **state)
{
    struct world *w = *state;
    struct world_mail held = mail;
    uint64_t id;

    held.flags = ENVELOPE_HOLD;
    agent_up(&w->q, ROLE_SMTP, w);
    id = world_submit(w, &held);
    world_settle(w);
    assert_int_equal(entry_of(w, id)->state, ENTRY_HELD);
    world_crash(w);
    world_start(w);
    assert_int_equal(entry_of(w, id)->state, ENTRY_HELD);
    assert_true(order(w, id, EDIT_RELEASE));
    world_settle(w);
    /* That it was released is remembered, too. */
    world_restart(w);
    assert_int_equal(world_count(&w->errands), 2);
    assert_true(order(w, id, EDIT_DELETE));
    world_settle(w);
}

static void
test_expire(void **state)
{
    struct world *w = *state;

    for (enum stage stage = FRESH; stage < STAGES; stage++) {
        uint64_t id = make(w, stage);
        struct errand *e;

        print_message("  %d\n", stage);
        assert_true(order(w, id, EDIT_EXPIRE));
        assert_false(order(w, id, EDIT_EXPIRE));
        world_settle(w);
        assert_int_equal(ended, 1);
        if (stage == HELD) {
            /* It waits until it is released. */
            assert_null(world_errand(w, 0));
            assert_false(order(w, id, EDIT_EXPIRE_NOW));
            assert_true(order(w, id, EDIT_RELEASE));
            world_settle(w);
        } else if (stage == DEFERRED) {
            /* It is marked, and goes when it would be tried. */
            assert_null(world_errand(w, 0));
            edit_flush(&w->q, entry_of(w, id));
        }
        if (stage == DEFERRED) {
            /* It goes back when it is looked at next. */
            assert_null(world_errand(w, 0));
            world_pass_ms(w, 90 * 1000);
        }
        agent_up(&w->q, ROLE_SMTP, w);
        world_settle(w);
        while ((e = world_errand(w, 0)) != NULL && !e->is_notice)
            world_finish(w, e, OUTCOME_DEFERRED);
        e = world_errand(w, 0);
        assert_non_null(e);
        assert_int_equal(e->kind, NOTICE_FAILURE);
        assert_int_equal(e->count, 2);
        assert_true(order(w, id, EDIT_DELETE));
        world_settle(w);
        world_notified(w, e, RESULT_OK);
        world_assert_empty(w);
        world_crash(w);
        world_start(w);
    }
}

/* To that address, or to any; no notice is among it. */
static void
deliver_all(struct world *w, const char *to)
{
    struct errand *e;

    while ((e = world_errand(w, 0)) != NULL) {
        assert_false(e->is_notice);
        if (to != NULL)
            assert_string_equal(e->addresses[0], to);
        world_finish(w, e, OUTCOME_SENT);
    }
}

/* Through clean-up again; what that never takes goes on as it was. */
static void
test_requeue(void **state)
{
    struct world *w = *state;

    for (enum stage stage = FRESH; stage < STAGES; stage++) {
        const uint32_t indexes[] = { 0, 1 };
        struct world_mail child = {
            .sender = "s@one.example",
            .recipients = { "new@one.example" },
            .body = 10,
            .indexes = indexes,
            .index_count = 2,
        };
        uint64_t id = make(w, stage);
        enum result told = 99;
        struct errand *e;

        print_message("  %d\n", stage);
        assert_true(order(w, id, EDIT_REQUEUE));
        world_settle(w);
        agent_up(&w->q, ROLE_SMTP, w);
        world_settle(w);
        /* Who was out already is waited for. */
        while ((e = world_errand(w, 0)) != NULL && !e->is_notice)
            world_finish(w, e, OUTCOME_DEFERRED);
        assert(e != NULL);
        assert_int_equal(e->kind, NOTICE_REQUEUE);
        assert_int_equal(e->count, 2);
        /* bounce did not manage: once more, soon. */
        world_notified(w, e, RESULT_TEMPFAIL);
        assert_null(world_errand(w, 0));
        world_pass_ms(w, 5000);
        e = world_errand(w, 0);
        assert(e != NULL);
        assert_int_equal(e->kind, NOTICE_REQUEUE);
        child.settles = &e->attempt;
        world_submit_as(w, world_lease(w), &child, &told);
        world_settle(w);
        assert_int_equal(told, RESULT_OK);
        world_notified(w, e, RESULT_OK);
        assert_null(entry_of(w, id));
        deliver_all(w, "new@one.example");
        world_assert_empty(w);
        world_crash(w);
        world_start(w);
    }
}

static void
test_requeue_refused(void **state)
{
    struct world *w = *state;
    uint64_t id = make(w, DEFERRED);
    struct errand *e;

    assert_true(order(w, id, EDIT_REQUEUE));
    world_settle(w);
    /* The order survives. */
    world_restart(w);
    world_pass_ms(w, 5000);
    e = world_errand(w, 0);
    assert(e != NULL);
    assert_int_equal(e->kind, NOTICE_REQUEUE);
    world_notified(w, e, RESULT_PERMFAIL);
    world_pass_ms(w, 5000);
    deliver_all(w, NULL);
    world_assert_empty(w);
}

/* Without its content it is not the message: it stays, and waits for repair. */
static void
test_requeue_damaged(void **state)
{
    struct world *w = *state;
    uint64_t id = make(w, DEFERRED);

    assert_true(order(w, id, EDIT_REQUEUE));
    world_settle(w);
    world_crash(w);
    world_start(w);
    w->content_is_damaged = true;
    agent_up(&w->q, ROLE_SMTP, w);
    world_settle(w);
    world_pass_ms(w, 5000);
    assert_null(world_errand(w, 0));
    assert_non_null(entry_of(w, id));
    w->content_is_damaged = false;
    for (int i = 0; i < 100 && entry_of(w, id) != NULL; i++) {
        deliver_all(w, NULL);
        world_pass_ms(w, 600 * 1000);
    }
    world_assert_empty(w);
}

static void
test_flush(void **state)
{
    struct world *w = *state;
    uint64_t id = make(w, DEFERRED);

    edit_flush(&w->q, entry_of(w, id));
    world_settle(w);
    assert_int_equal(world_count(&w->errands), 2);
    /* A flush in the middle of it means once more behind it. */
    edit_flush_all(&w->q, NULL);
    while (world_errand(w, 0) != NULL)
        world_report(w, world_errand(w, 0), OUTCOME_DEFERRED, DESTINATION_OK);
    world_settle(w);
    assert_int_equal(world_count(&w->errands), 2);
    assert_true(order(w, id, EDIT_DELETE));
    world_settle(w);
    while (world_errand(w, 0) != NULL)
        world_kill(w, world_errand(w, 0));
    world_settle(w);
    world_assert_empty(w);
}

/* A transaction on its way to the disk is waited for, and counts. */
static void
test_delete_while_settling(void **state)
{
    struct world *w = *state;
    uint32_t index = 0;
    struct world_mail child = {
        .sender = "",
        .recipients = { "child@one.example" },
        .body = 10,
        .indexes = &index,
        .index_count = 1,
    };
    enum result told = 99;
    struct attempt late;
    uint64_t id = make(w, OUT), child_id;

    child.settles = &world_errand(w, 0)->attempt;
    late = *child.settles;
    child_id = world_lease(w);
    world_submit_as(w, child_id, &child, &told);
    assert_true(order(w, id, EDIT_DELETE));
    qmgr_pump(&w->q);
    assert_int_equal(ended, 0);
    world_settle(w);
    assert_int_equal(told, RESULT_OK);
    assert_int_equal(ended, 1);
    assert_non_null(entry_of(w, child_id));
    /* Now the token is void. */
    child.settles = &late;
    told = 99;
    world_submit_as(w, world_lease(w), &child, &told);
    assert_int_equal(told, RESULT_PERMFAIL);
    while (world_errand(w, 0) != NULL) {
        world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    }
    world_assert_empty(w);
}

int
main(void)
{
#define T(name) \
    cmocka_unit_test_setup_teardown(name, open_world, world_teardown)
    const struct CMUnitTest tests[] = {
        T(test_delete),
        T(test_hold_and_release),
        T(test_hold_while_it_is_read),
        T(test_held_envelope),
        T(test_expire),
        T(test_requeue),
        T(test_requeue_refused),
        T(test_requeue_damaged),
        T(test_flush),
        T(test_delete_while_settling),
    };

    log_set_sink(world_no_log, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

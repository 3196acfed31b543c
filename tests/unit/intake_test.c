/* Submitters that were taken over: what the others have stays theirs. */
#include "qmgr/lend.h"
#include "tests/unit/qmgr_world.h"

static const struct world_mail one = {
    .sender = "s@example.org",
    .recipients = { "r@example.com" },
    .body = 100,
};

static int
open_world(void **state)
{
    struct world *w = world_new("", world_master_cf);

    *state = w;
    return 0;
}

/* Whoever had the id that a thief used is not told that his mail is here. */
static void
test_anothers_id(void **state)
{
    struct world *w = *state;
    uint64_t id = world_lease(w);
    enum result told = 99;

    w->place = 2;
    world_submit_as(w, id, &one, NULL);
    w->place = 3;
    world_submit_as(w, id, &one, &told);
    assert_int_equal(told, RESULT_TEMPFAIL);
    world_settle(w);
    world_submit_as(w, id, &one, &told);
    assert_int_equal(told, RESULT_TEMPFAIL);
    assert_int_equal(w->q.index.entries.count, 1);
    /* The thief, or who comes in its place, may ask again. */
    w->place = 2;
    world_submit_as(w, id, &one, &told);
    assert_int_equal(told, RESULT_OK);
}

/* The same when the thief hung up, and its message has left the queue. */
static void
test_anothers_id_of_the_past(void **state)
{
    struct world *w = *state;
    uint64_t id = world_lease(w);
    enum result told = 99;

    agent_up(&w->q, ROLE_SMTP, w);
    w->place = 2;
    world_submit_as(w, id, &one, NULL);
    world_settle(w);
    intake_unanswered(&w->q, id);
    world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    world_assert_empty(w);
    w->place = 3;
    world_submit_as(w, id, &one, &told);
    world_settle(w);
    assert_int_equal(told, RESULT_OK);
    assert_int_equal(w->q.index.entries.count, 1);
    world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    world_assert_empty(w);
}

/* What a crashed queue manager had taken in can be anybody's. */
static void
test_recovered_id(void **state)
{
    struct world *w = *state;
    uint64_t id = world_lease(w);
    enum result told = 99;

    w->place = 2;
    world_submit_as(w, id, &one, NULL);
    world_settle(w);
    world_crash(w);
    world_start(w);
    w->place = 3;
    world_submit_as(w, id, &one, &told);
    assert_int_equal(told, RESULT_OK);
    assert_int_equal(w->q.index.entries.count, 1);
}

static void
test_lent_to_each(void **state)
{
    struct world *w = *state;
    int peers[2] = { 0 };

    for (unsigned i = 0; i < LENT_MAX + 10; i++)
        lend_blob(&w->q, w, &peers[0]);
    assert_int_equal(w->blobs_refused, 10);
    /* That one has all its files, and even before they are there. */
    lend_blob(&w->q, w, &peers[1]);
    assert_int_equal(w->blobs_refused, 10);
    lend_owner_gone(&w->q, &peers[0]);
    lend_owner_gone(&w->q, &peers[1]);
    world_settle(w);
    assert_int_equal(w->q.lent.count, 0);
}

/* The files of one who did not wait for them are closed. */
static void
test_lent_to_nobody(void **state)
{
    struct world *w = *state;
    int peer = 0, other = 0;

    lend_blob(&w->q, w, &peer);
    lend_blob(&w->q, w, &other);
    lend_owner_gone(&w->q, &peer);
    world_settle(w);
    assert_int_equal(w->q.lent.count, 1);
    lend_return(&w->q, 1, &peer); /* it never was */
    lend_return(&w->q, 2, &peer); /* not its own */
    assert_int_equal(w->q.lent.count, 1);
    lend_return(&w->q, 2, &other);
    assert_int_equal(w->q.lent.count, 0);
}

static void
test_memory_is_bounded(void **state)
{
    struct world *w = *state;
    enum result told = 99;

    w->q.held_octets += ENTERING_OCTETS_MAX + 1;
    world_submit_as(w, world_lease(w), &one, &told);
    assert_int_equal(told, RESULT_TEMPFAIL);
    w->q.held_octets -= ENTERING_OCTETS_MAX + 1;
    world_submit_as(w, world_lease(w), &one, &told);
    world_settle(w);
    assert_int_equal(told, RESULT_OK);
}

/* Mail that settles goes further, but not for ever. */
static void
test_memory_of_settling(void **state)
{
    static const uint32_t all[] = { 0 };
    struct world *w = *state;
    enum result told = 99;
    struct attempt attempt;
    struct world_mail notice = {
        .sender = "",
        .recipients = { "s@senders.test" },
        .settles = &attempt,
        .indexes = all,
        .index_count = 1,
    };

    agent_up(&w->q, ROLE_SMTP, w);
    (void)world_accept(w, &one);
    attempt = world_only_errand(w)->attempt;
    w->q.held_octets += SETTLING_OCTETS_MAX + 1;
    world_submit_as(w, world_lease(w), &notice, &told);
    w->q.held_octets -= SETTLING_OCTETS_MAX + 1;
    assert_int_equal(told, RESULT_TEMPFAIL);
    w->q.held_octets += ENTERING_OCTETS_MAX + 1;
    world_submit_as(w, world_lease(w), &notice, &told);
    world_settle(w);
    w->q.held_octets -= ENTERING_OCTETS_MAX + 1;
    assert_int_equal(told, RESULT_OK);
}

int
main(void)
{
#define T(name) \
    cmocka_unit_test_setup_teardown(name, open_world, world_teardown)
    const struct CMUnitTest tests[] = {
        T(test_anothers_id),
        T(test_anothers_id_of_the_past),
        T(test_recovered_id),
        T(test_lent_to_each),
        T(test_lent_to_nobody),
        T(test_memory_is_bounded),
        T(test_memory_of_settling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

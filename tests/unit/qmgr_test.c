#include "qmgr/assign.h"
#include "tests/unit/qmgr_world.h"

/* The core of the queue manager, one behaviour at a time. */

static const char main_cf[] = "maximal_queue_lifetime = 1h\n"
                              "bounce_queue_lifetime = 30m\n"
                              "minimal_backoff_time = 60s\n"
                              "maximal_backoff_time = 600s\n"
                              "queue_run_delay = 60s\n";

static int
open_world(void **state)
{
    struct world *w = world_new(main_cf, world_master_cf);

    *state = w;
    return 0;
}

static const struct world_mail one = {
    .sender = "s@example.org",
    .recipients = { "r@example.com" },
    .body = 100,
};

static const struct world_mail three = {
    .sender = "s@example.org",
    .recipients = { "a@example.com", "b@example.com", "c@other.example" },
    .body = 100,
};

static void
test_delivered(void **state)
{
    struct world *w = *state;
    struct errand *e;

    agent_up(&w->q, ROLE_SMTP, w);
    world_submit(w, &one);
    assert_int_equal(w->answered_ok, 0);
    world_settle(w);
    assert_int_equal(w->answered_ok, 1);
    assert_int_equal(world_count(&w->errands), 1);
    e = world_errand(w, 0);
    assert_string_equal(e->nexthop, "example.com");
    assert_string_equal(e->addresses[0], "r@example.com");
    assert_int_equal(e->body_len, 100);
    world_finish(w, e, OUTCOME_SENT);
    world_assert_empty(w);
}

static void
test_grouped_by_destination(void **state)
{
    struct world *w = *state;

    agent_up(&w->q, ROLE_SMTP, w);
    world_accept(w, &three);
    assert_int_equal(world_count(&w->errands), 2);
    assert_int_equal(world_errand(w, 0)->count, 2);
    assert_int_equal(world_errand(w, 1)->count, 1);
    world_finish(w, world_errand(w, 1), OUTCOME_SENT);
    /* What is settled is on disk while the rest is under way. */
    world_restart(w);
    assert_int_equal(world_count(&w->errands), 1);
    assert_int_equal(world_errand(w, 0)->count, 2);
    world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    world_assert_empty(w);
}

static void
test_routes_in_any_order(void **state)
{
    struct world *w = *state;
    struct world_mail mail = { .sender = "s@example.org" };
    static char names[20][32];
    struct list *it, backwards;

    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "r%u@example.com", i);
        mail.recipients[i] = names[i];
    }
    agent_up(&w->q, ROLE_SMTP, w);
    world_submit(w, &mail);
    while (list_empty(&w->asked))
        assert_true(world_step_txn(w));
    list_init(&backwards);
    while ((it = list_take(&w->asked)) != NULL)
        list_prepend(&backwards, it);
    while ((it = list_take(&backwards)) != NULL)
        list_append(&w->asked, it);
    world_settle(w);
    /* All of them in one, although they came one by one. */
    assert_int_equal(world_count(&w->errands), 1);
    world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    world_assert_empty(w);
}

static void
test_not_answered_before_durable(void **state)
{
    struct world *w = *state;
    enum result told = 99;

    world_submit_as(w, world_lease(w), &one, &told);
    qmgr_pump(&w->q);
    assert_int_equal(told, 99);
    w->disk_fails = true;
    world_settle(w);
    assert_int_equal(told, RESULT_TEMPFAIL);
    assert_int_equal(w->q.index.entries.count, 0);
}

static void
test_repeated(void **state)
{
    struct world *w = *state;
    uint64_t id = world_submit(w, &one);
    enum result told = 99;

    /* Before it is durable, after, and after it has left the queue. */
    world_submit_as(w, id, &one, &told);
    assert_int_equal(told, 99);
    world_settle(w);
    assert_int_equal(told, RESULT_OK);
    world_submit_as(w, id, &one, NULL);
    assert_int_equal(w->answered_ok, 3);
    intake_unanswered(&w->q, id);
    agent_up(&w->q, ROLE_SMTP, w);
    world_settle(w);
    world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    world_assert_empty(w);
    world_submit_as(w, id, &one, NULL);
    assert_int_equal(w->answered_ok, 4);
    world_settle(w);
    world_assert_empty(w);
    /* An id that nobody was given. */
    world_submit_as(w, w->q.next_id + 5, &one, NULL);
    assert_int_equal(w->answered_perm, 1);
}

static void
test_drop_file_once(void **state)
{
    struct world *w = *state;
    struct world_mail dropped = one;

    dropped.drop_file = "A1B2C3";
    agent_up(&w->q, ROLE_SMTP, w);
    world_submit(w, &dropped);
    world_accept(w, &dropped);
    assert_int_equal(world_count(&w->errands), 1);
    world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    /* Settled, and yet in the queue until the file is sure to be gone. */
    assert_int_equal(w->q.index.entries.count, 1);
    world_crash(w);
    world_start(w);
    world_settle(w);
    world_submit(w, &dropped);
    world_pass_ms(w, 5000);
    world_accept(w, &dropped);
    assert_int_equal(w->answered_ok, 4);
    world_assert_empty(w);
}

static enum result
route_by_local_part(struct world *w, struct slice recipient,
    struct route *route, struct why *why)
{
    size_t at = slice_find(recipient, '@');

    (void)w;
    (void)why;
    *route = (struct route){ .class = CLASS_DEFAULT };
    (void)snprintf(route->transport, sizeof(route->transport), SLICE_FMT,
        SLICE_ARG(slice_head(recipient, at)));
    (void)snprintf(route->nexthop, sizeof(route->nexthop), SLICE_FMT,
        SLICE_ARG(slice_skip(recipient, at + 1)));
    return RESULT_OK;
}

/* The file is deleted after the answer, so that must not come early. */
static void
test_drop_file_not_durable(void **state)
{
    struct world *w = *state;
    struct world_mail dropped = one;
    enum result first = 99, second = 99;

    dropped.drop_file = "A1B2C3";
    world_submit_as(w, world_lease(w), &dropped, &first);
    world_submit_as(w, world_lease(w), &dropped, &second);
    qmgr_pump(&w->q);
    assert_int_equal(second, 99);
    w->disk_fails = true;
    world_settle(w);
    assert_int_equal(first, RESULT_TEMPFAIL);
    assert_int_equal(second, RESULT_TEMPFAIL);
    assert_int_equal(w->q.index.entries.count, 0);
}

static void
ignore_edit(struct edit *edit, uint64_t id)
{
    (void)edit;
    (void)id;
}

/* What settles no recipient needs the message all the same. */
static void
test_deleted_while_settling_nothing(void **state)
{
    struct world *w = *state;
    struct edit edit = { .done = ignore_edit };
    struct world_mail empty = { .sender = "", .settle_only = true };
    struct errand *e;
    uint64_t id;

    agent_up(&w->q, ROLE_SMTP, w);
    id = world_submit(w, &one);
    world_settle(w);
    e = world_errand(w, 0);
    empty.settles = &e->attempt;
    world_submit_as(w, 0, &empty, NULL);
    assert_true(edit_message(&w->q, index_find(&w->q.index, id), EDIT_DELETE,
        ~0U, &edit));
    qmgr_pump(&w->q);
    assert_int_not_equal(index_find(&w->q.index, id)->state, ENTRY_LEAVING);
    world_settle(w);
    world_finish(w, e, OUTCOME_SENT);
    world_assert_empty(w);
}

/* Transports of one program wait for the same processes. */
static void
test_full_agent_shared(void **state)
{
    struct world *w = *state;
    char address[64];
    struct world_mail mail = one;

    w->route = route_by_local_part;
    mail.recipients[0] = address;
    agent_up(&w->q, ROLE_SMTP, w);
    for (unsigned i = 0; i < AGENT_JOBS; i++) {
        (void)snprintf(address, sizeof(address), "smtp@d%u.example", i);
        world_submit(w, &mail);
    }
    world_settle(w);
    assert_int_equal(world_count(&w->errands), AGENT_JOBS);
    (void)snprintf(address, sizeof(address), "slow@example.com");
    world_accept(w, &mail);
    assert_int_equal(world_count(&w->errands), AGENT_JOBS);
    for (unsigned i = 0; i <= AGENT_JOBS; i++) {
        world_finish(w, world_errand(w, 0), OUTCOME_SENT);
        assert_int_equal(world_count(&w->errands), AGENT_JOBS - i);
    }
    world_assert_empty(w);
}

static void
test_deferred_and_retried(void **state)
{
    struct world *w = *state;
    int64_t began;

    agent_up(&w->q, ROLE_SMTP, w);
    world_accept(w, &one);
    began = clock_now_ms();
    world_finish(w, world_errand(w, 0), OUTCOME_DEFERRED);
    assert_int_equal(w->q.index.states[ENTRY_DEFERRED], 1);
    assert_int_equal(w->q.held_octets, 0);
    /* The schedule survives a crash. */
    world_crash(w);
    world_start(w);
    agent_up(&w->q, ROLE_SMTP, w);
    world_pass_ms(w, 59 * 1000);
    assert_int_equal(world_count(&w->errands), 0);
    world_pass_ms(w, 10 * 1000);
    assert_int_equal(world_count(&w->errands), 1);
    assert_in_range(clock_now_ms() - began, 60 * 1000, 70 * 1000);
    assert_int_equal(world_errand(w, 0)->body_len, 100);
    world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    world_assert_empty(w);
}

/* bounce settles what it was asked about, with a notice or without. */
static void
notice_done(struct world *w, struct errand *e, bool with_notice)
{
    struct world_mail notice = {
        .sender = "",
        .recipients = { "s@example.org" },
        .body = 10,
        .settles = &e->attempt,
        .indexes = e->indexes,
        .index_count = e->count,
        .settle_only = !with_notice,
    };

    assert_true(e->is_notice);
    if (with_notice) {
        world_submit(w, &notice);
    } else {
        notice.recipients[0] = NULL;
        world_submit_as(w, 0, &notice, NULL);
    }
    world_settle(w);
    world_notified(w, e, RESULT_OK);
}

/* Content that is damaged on disk: the sender hears of it, once. */
static void
test_damaged_content(void **state)
{
    struct world *w = *state;
    struct errand *e;

    world_accept(w, &one);
    world_crash(w);
    world_start(w);
    agent_up(&w->q, ROLE_SMTP, w);
    w->content_is_damaged = true;
    world_pass_ms(w, 3600 * 1000);
    world_pass_ms(w, 2000);
    assert_int_equal(world_count(&w->errands), 1);
    e = world_errand(w, 0);
    assert_true(e->is_notice && e->is_damaged);
    assert_int_equal(e->kind, NOTICE_FAILURE);
    assert_int_equal(e->body_len, 0);
    notice_done(w, e, true);
    assert_int_equal(w->q.index.entries.count, 1); /* the notice */
}

static void
test_bounced(void **state)
{
    struct world *w = *state;

    agent_up(&w->q, ROLE_SMTP, w);
    world_accept(w, &three);
    world_finish(w, world_errand(w, 0), OUTCOME_BOUNCED);
    /* One notice when all of the round is known. */
    assert_int_equal(world_count(&w->errands), 1);
    world_finish(w, world_errand(w, 0), OUTCOME_BOUNCED);
    assert_int_equal(world_count(&w->errands), 1);
    assert_int_equal(world_errand(w, 0)->count, 3);
    notice_done(w, world_errand(w, 0), true);
    /* The notice itself is what is left. */
    assert_int_equal(w->q.index.entries.count, 1);
    world_finish(w, world_errand(w, 0), OUTCOME_BOUNCED);
    notice_done(w, world_errand(w, 0), false);
    world_assert_empty(w);
}

static void
test_notices_take_turns(void **state)
{
    struct world *w = *state;
    size_t most = 0;

    agent_up(&w->q, ROLE_SMTP, w);
    for (unsigned i = 0; i < 120; i++)
        world_submit(w, &one);
    world_settle(w);
    for (;;) {
        struct errand *delivery = NULL;

        list_foreach (it, &w->errands)
            if (!LIST_ENTRY(it, struct errand, link)->is_notice)
                delivery = LIST_ENTRY(it, struct errand, link);
        if (delivery == NULL)
            break;
        world_finish(w, delivery, OUTCOME_BOUNCED);
    }
    while (world_errand(w, 0) != NULL) {
        size_t now = world_count(&w->errands);

        most = now > most ? now : most;
        notice_done(w, world_errand(w, 0), false);
    }
    assert_in_range(most, 10, 50);
    world_assert_empty(w);
}

static void
test_failure_survives(void **state)
{
    struct world *w = *state;

    agent_up(&w->q, ROLE_SMTP, w);
    w->no_bounce = true;
    world_accept(w, &one);
    world_finish(w, world_errand(w, 0), OUTCOME_BOUNCED);
    world_crash(w);
    w->no_bounce = false;
    world_start(w);
    agent_up(&w->q, ROLE_SMTP, w);
    world_pass_ms(w, 120 * 1000);
    /* Not delivered again: told. */
    assert_int_equal(world_count(&w->errands), 1);
    notice_done(w, world_errand(w, 0), false);
    world_assert_empty(w);
}

static void
test_expired(void **state)
{
    struct world *w = *state;
    unsigned tries = 0;
    int64_t began;

    agent_up(&w->q, ROLE_SMTP, w);
    began = clock_now_ms();
    world_submit(w, &one);
    for (;;) {
        struct errand *e;

        world_pass_ms(w, 1000);
        e = world_errand(w, 0);
        if (e == NULL)
            continue;
        if (e->is_notice)
            break;
        tries++;
        world_report(w, e, OUTCOME_DEFERRED, DESTINATION_OK);
    }
    assert_in_range(clock_now_ms() - began, 3600 * 1000, 3602 * 1000);
    assert_in_range(tries, 6, 12);
    notice_done(w, world_errand(w, 0), false);
    world_assert_empty(w);
}

/* A lifetime of nothing means one attempt, not none. */
static void
test_tried_once(void **state)
{
    struct world *w = *state;
    struct world_mail notice = one;

    world_close_all(w);
    world_open(w, "bounce_queue_lifetime = 0\n");
    notice.sender = "";
    world_accept(w, &notice);
    assert_int_equal(world_count(&w->errands), 0); /* no process yet */
    world_pass_ms(w, 10 * 1000);
    agent_up(&w->q, ROLE_SMTP, w);
    world_settle(w);
    assert_int_equal(world_count(&w->errands), 1);
    assert_false(world_errand(w, 0)->is_notice);
    world_finish(w, world_errand(w, 0), OUTCOME_DEFERRED);
    assert_true(world_errand(w, 0)->is_notice);
    notice_done(w, world_errand(w, 0), false);
    world_assert_empty(w);
}

static void
test_dead_destination(void **state)
{
    struct world *w = *state;
    size_t tried;

    agent_up(&w->q, ROLE_SMTP, w);
    for (unsigned i = 0; i < 40; i++)
        world_submit(w, &one);
    world_settle(w);
    assert_int_equal(world_count(&w->errands), 5);
    for (tried = 0; !list_empty(&w->errands); tried++) {
        world_report(w, world_errand(w, 0), OUTCOME_DEFERRED, DESTINATION_DEAD);
        world_settle(w);
    }
    /* A cohort of failures, and the rest is not tried at all. */
    assert_in_range(tried, 5, 12);
    assert_int_equal(w->q.index.states[ENTRY_DEFERRED], 40);
    /* One probe when it is looked at again. */
    world_pass_ms(w, 75 * 1000);
    assert_int_equal(world_count(&w->errands), 1);
    world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    assert_in_range(world_count(&w->errands), 2, 6);
    while (!list_empty(&w->errands)) {
        world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    }
    world_assert_empty(w);
}

static void
test_agent_death(void **state)
{
    struct world *w = *state;
    struct agent *a = agent_up(&w->q, ROLE_SMTP, w), *b;

    world_submit(w, &one);
    world_accept(w, &three);
    assert_int_equal(world_count(&w->errands), 3);
    for (unsigned round = 0; round < 2; round++) {
        while (!list_empty(&w->errands))
            world_kill(w, world_errand(w, 0));
        agent_gone(&w->q, a);
        world_settle(w);
        assert_int_equal(world_count(&w->errands), 0);
        a = agent_up(&w->q, ROLE_SMTP, w);
        world_pass_ms(w, 5000);
    }
    /* Suspects: each has a process for itself. */
    assert_int_equal(world_count(&w->errands), 1);
    b = agent_up(&w->q, ROLE_SMTP, &w->q);
    world_settle(w);
    assert_int_equal(world_count(&w->errands), 2);
    assert_int_not_equal(world_errand(w, 0)->attempt.id,
        world_errand(w, 1)->attempt.id);
    /* The one that does it again is held, the other flows. */
    world_kill(w, world_errand(w, 0));
    agent_gone(&w->q, a);
    world_settle(w);
    while (!list_empty(&w->errands)) {
        world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    }
    world_pass_ms(w, 10000);
    while (!list_empty(&w->errands)) {
        world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    }
    assert_int_equal(w->q.index.states[ENTRY_HELD], 1);
    assert_int_equal(w->q.index.entries.count, 1);
    (void)b;
}

static enum result
route_by_name(struct world *w, struct slice recipient, struct route *route,
    struct why *why)
{
    size_t at = slice_find(recipient, '@');

    (void)w;
    (void)why;
    *route = (struct route){ .class = CLASS_DEFAULT };
    (void)snprintf(route->transport, sizeof(route->transport), SLICE_FMT,
        SLICE_ARG(slice_head(recipient, at)));
    (void)snprintf(route->nexthop, sizeof(route->nexthop), "%s",
        "5.1.1 no such user");
    return RESULT_OK;
}

static void
test_inside_transports(void **state)
{
    static const struct {
        const char *recipient;
        bool notice, deferred;
    } cases[] = {
        { "discard@x", false, false },
        { "error@x", true, false },
        { "retry@x", false, true },
        { "nonesuch@x", false, true },
    };
    struct world *w = *state;

    w->route = route_by_name;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world_mail mail = one;

        print_message("  %s\n", cases[i].recipient);
        mail.recipients[0] = cases[i].recipient;
        world_accept(w, &mail);
        assert_int_equal(world_count(&w->errands), cases[i].notice);
        if (cases[i].notice)
            notice_done(w, world_errand(w, 0), false);
        assert_int_equal(w->q.index.entries.count, cases[i].deferred);
        world_crash(w);
        world_start(w);
        while (w->q.index.entries.count > 0) {
            world_pass_ms(w, 600 * 1000);
            if (!list_empty(&w->errands))
                notice_done(w, world_errand(w, 0), false);
        }
    }
    world_assert_empty(w);
}

static void
test_soft_bounce(void **state)
{
    struct world *w = *state;
    struct world_mail mail = one;

    world_close_all(w);
    world_open(w, "soft_bounce = yes\n");
    w->route = route_by_name;
    mail.recipients[0] = "error@x";
    world_accept(w, &mail);
    assert_int_equal(world_count(&w->errands), 0);
    assert_int_equal(w->q.index.states[ENTRY_DEFERRED], 1);
}

int
main(void)
{
#define T(name) \
    cmocka_unit_test_setup_teardown(name, open_world, world_teardown)
    const struct CMUnitTest tests[] = {
        T(test_delivered),
        T(test_grouped_by_destination),
        T(test_routes_in_any_order),
        T(test_not_answered_before_durable),
        T(test_repeated),
        T(test_drop_file_once),
        T(test_drop_file_not_durable),
        T(test_deleted_while_settling_nothing),
        T(test_full_agent_shared),
        T(test_deferred_and_retried),
        T(test_bounced),
        T(test_damaged_content),
        T(test_notices_take_turns),
        T(test_failure_survives),
        T(test_expired),
        T(test_tried_once),
        T(test_dead_destination),
        T(test_agent_death),
        T(test_inside_transports),
        T(test_soft_bounce),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "qmgr/batch.h"
#include "tests/unit/qmgr_world.h"

/*
 * Notices of success, reports of sendmail -v and probes: each recipient is told
 * of once, whatever dies in between, and is never delivered to again for it.
 */

static const char main_cf[] = "maximal_queue_lifetime = 1h\n"
                              "minimal_backoff_time = 60s\n"
                              "maximal_backoff_time = 600s\n"
                              "queue_run_delay = 60s\n";

static int
open_world(void **state)
{
    struct world *w = world_new(main_cf, world_master_cf);

    agent_up(&w->q, ROLE_SMTP, w);
    *state = w;
    return 0;
}

static const struct world_mail asks = {
    .sender = "s@example.org",
    .recipients = { "r@example.com" },
    .notify = NOTIFY_SUCCESS,
    .body = 100,
};

static const struct world_mail two = {
    .sender = "s@example.org",
    .recipients = { "a@example.com", "b@other.example" },
    .body = 100,
};

/* bounce settles those that do not stay, with a notice or without one. */
static void
notice_done(struct world *w, struct errand *e)
{
    uint32_t indexes[WORLD_RCPTS];
    struct world_mail settles = {
        .sender = "",
        .body = 10,
        .settles = &e->attempt,
        .indexes = indexes,
        .settle_only = true,
    };

    assert_true(e->is_notice);
    for (size_t i = 0; i < e->count; i++)
        if (!e->stays[i])
            indexes[settles.index_count++] = e->indexes[i];
    if (settles.index_count > 0)
        world_submit_as(w, 0, &settles, NULL);
    world_settle(w);
    world_notified(w, e, RESULT_OK);
}

static void
restart(struct world *w)
{
    world_restart(w);
    world_pass_ms(w, 200 * 1000);
}

/* A single recipient's answer, with what an agent says of success. */
static void
sent(struct world *w, struct errand *e, uint32_t next_hop_tells)
{
    struct rcpt_result result = {
        .index = e->indexes[0],
        .outcome = OUTCOME_SENT,
        .status = "2.0.0",
        .text = SLICE_LIT("250 kept"),
        .action = DSN_RELAYED,
        .next_hop_tells = next_hop_tells,
    };
    struct delivery_answer a = { .attempt = e->attempt,
        .results = &result,
        .count = 1 };

    job_answered(&w->q, e->job, &a);
    world_errand_end(e);
    world_settle(w);
}

static void
test_success(void **state)
{
    struct world *w = *state;
    struct errand *e;

    world_accept(w, &asks);
    sent(w, world_only_errand(w), 0);
    e = world_only_errand(w);
    assert_true(e->is_notice);
    assert_int_equal(e->kind, NOTICE_SUCCESS);
    assert_int_equal(e->results[0].action, DSN_RELAYED);
    notice_done(w, e);
    world_assert_empty(w);
}

/* Nobody asked; or the next hop knows DSN, and tells. */
static void
test_no_success(void **state)
{
    static const struct {
        uint32_t notify, next_hop_tells;
    } cases[] = {
        { 0, 0 },
        { NOTIFY_FAILURE | NOTIFY_DELAY, 0 },
        { NOTIFY_NEVER, 0 },
        { NOTIFY_SUCCESS, 1 },
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world_mail mail = asks;

        mail.notify = cases[i].notify;
        world_accept(w, &mail);
        sent(w, world_only_errand(w), cases[i].next_hop_tells);
        world_assert_empty(w);
    }
}

/* What was delivered is told of by the next life, and not delivered again. */
static void
test_crash_before_notice(void **state)
{
    struct world *w = *state;
    struct errand *e;

    world_accept(w, &asks);
    w->no_bounce = true;
    sent(w, world_only_errand(w), 0);
    for (unsigned i = 0; i < 3; i++)
        restart(w);
    assert_int_equal(world_count(&w->errands), 0);
    w->no_bounce = false;
    world_pass_ms(w, 200 * 1000);
    e = world_only_errand(w);
    assert_true(e->is_notice);
    assert_int_equal(e->kind, NOTICE_SUCCESS);
    assert_int_equal(e->results[0].action, DSN_RELAYED);
    assert_string_equal(e->results[0].status, "2.0.0");
    notice_done(w, e);
    world_assert_empty(w);
}

/* bounce has it when we die: it did not settle, so it is asked again, once. */
static void
test_crash_with_notice(void **state)
{
    struct world *w = *state;

    world_accept(w, &asks);
    sent(w, world_only_errand(w), 0);
    assert_true(world_only_errand(w)->is_notice);
    restart(w);
    assert_true(world_only_errand(w)->is_notice);
    notice_done(w, world_only_errand(w));
    world_assert_empty(w);
}

/* The notice is on disk, and its settlement with it: nothing is left to do. */
static void
test_crash_after_notice(void **state)
{
    struct world *w = *state;
    struct errand *e;
    struct world_mail settles = { .sender = "", .settle_only = true };

    world_accept(w, &asks);
    sent(w, world_only_errand(w), 0);
    e = world_only_errand(w);
    settles.settles = &e->attempt;
    settles.indexes = e->indexes;
    settles.index_count = 1;
    world_submit_as(w, 0, &settles, NULL);
    while (world_step_txn(w))
        ;
    restart(w);
    assert_int_equal(world_count(&w->errands), 0);
    world_assert_empty(w);
}

/* One is delivered, the other late: he is tried again, and one notice each. */
static void
test_success_beside_delay(void **state)
{
    struct world *w = *state;
    struct world_mail mail = two;

    mail.notify = NOTIFY_SUCCESS;
    world_accept(w, &mail);
    sent(w, world_errand(w, 0), 0);
    world_finish(w, world_only_errand(w), OUTCOME_DEFERRED);
    assert_true(world_only_errand(w)->is_notice);
    assert_int_equal(world_only_errand(w)->count, 1);
    assert_string_equal(world_only_errand(w)->addresses[0], "a@example.com");
    notice_done(w, world_only_errand(w));
    world_pass_ms(w, 200 * 1000);
    assert_false(world_only_errand(w)->is_notice);
    assert_string_equal(world_only_errand(w)->addresses[0], "b@other.example");
    sent(w, world_only_errand(w), 0);
    assert_string_equal(world_only_errand(w)->addresses[0], "b@other.example");
    notice_done(w, world_only_errand(w));
    world_assert_empty(w);
}

/* An alias of virtual(5) is in the envelope to be told of, and for nothing else. */
static void
test_expanded(void **state)
{
    struct world *w = *state;
    struct world_mail mail = two;

    mail.recipients[1] = NULL;
    mail.expanded = "alias@example.org";
    world_accept(w, &mail);
    assert_int_equal(world_only_errand(w)->count, 1);
    assert_false(world_only_errand(w)->is_notice);
    restart(w);
    assert_string_equal(world_only_errand(w)->addresses[0], "a@example.com");
    sent(w, world_only_errand(w), 0);
    assert_string_equal(world_only_errand(w)->addresses[0],
        "alias@example.org");
    assert_int_equal(world_only_errand(w)->results[0].action, DSN_EXPANDED);
    notice_done(w, world_only_errand(w));
    world_assert_empty(w);
}

/* What local expands is told of by the word of the transaction that did it. */
static void
test_expanded_by_agent(void **state)
{
    static const struct rcpt_result told = {
        .outcome = OUTCOME_SENT,
        .status = "2.0.0",
        .text = SLICE_LIT("alias expanded"),
        .action = DSN_EXPANDED,
    };
    struct world *w = *state;

    for (unsigned crash = 0; crash < 2; crash++) {
        struct world_mail settles = { .sender = "s@example.org",
            .recipients = { "copy@example.com" },
            .result = &told };
        struct errand *e;

        world_accept(w, &asks);
        e = world_only_errand(w);
        settles.settles = &e->attempt;
        settles.indexes = e->indexes;
        settles.index_count = 1;
        world_submit(w, &settles);
        while (world_step_txn(w))
            ;
        if (crash != 0) {
            restart(w);
        } else {
            world_finish(w, e, OUTCOME_EXPANDED);
        }
        /* The copy is on its way, and the sender is told of the alias. */
        assert_int_equal(world_count(&w->errands), 2);
        for (unsigned i = 0; i < 2; i++) {
            e = world_errand(w, 0);
            if (e->is_notice) {
                assert_string_equal(e->addresses[0], "r@example.com");
                assert_int_equal(e->results[0].action, DSN_EXPANDED);
                notice_done(w, e);
            } else {
                assert_string_equal(e->addresses[0], "copy@example.com");
                sent(w, e, 0);
            }
        }
        world_assert_empty(w);
    }
}

/* sendmail -v: one report of the first round, whatever came of it. */
static void
test_trace(void **state)
{
    struct world *w = *state;
    struct world_mail mail = two;
    struct errand *e;

    mail.flags = ENVELOPE_TRACE;
    world_accept(w, &mail);
    sent(w, world_errand(w, 0), 1);
    world_finish(w, world_only_errand(w), OUTCOME_DEFERRED);
    e = world_only_errand(w);
    assert_int_equal(e->kind, NOTICE_VERIFY);
    assert_int_equal(e->count, 2);
    assert_false(e->stays[0]);
    assert_true(e->stays[1]);
    notice_done(w, e);
    world_pass_ms(w, 200 * 1000);
    assert_false(world_only_errand(w)->is_notice);
    sent(w, world_only_errand(w), 0);
    world_assert_empty(w);
}

/* A failure is in the report, and in a notice of its own. */
static void
test_trace_failure(void **state)
{
    struct world *w = *state;
    struct world_mail mail = asks;

    mail.notify = 0;
    mail.flags = ENVELOPE_TRACE;
    world_accept(w, &mail);
    world_finish(w, world_only_errand(w), OUTCOME_BOUNCED);
    assert_int_equal(world_only_errand(w)->kind, NOTICE_VERIFY);
    assert_true(world_only_errand(w)->stays[0]);
    notice_done(w, world_only_errand(w));
    assert_int_equal(world_only_errand(w)->kind, NOTICE_FAILURE);
    assert_false(world_only_errand(w)->stays[0]);
    notice_done(w, world_only_errand(w));
    world_assert_empty(w);
}

/* A probe is over when it was tried once, whatever was found. */
static void
test_probe(void **state)
{
    static const enum outcome outcomes[] = { OUTCOME_SENT, OUTCOME_DEFERRED,
        OUTCOME_BOUNCED };
    struct world *w = *state;

    for (size_t i = 0; i < 3; i++) {
        struct world_mail mail = asks;

        mail.notify = 0;
        mail.flags = ENVELOPE_VERIFY;
        world_accept(w, &mail);
        world_report(w, world_only_errand(w), outcomes[i], DESTINATION_OK);
        world_settle(w);
        assert_int_equal(world_only_errand(w)->kind, NOTICE_VERIFY);
        assert_int_equal(world_only_errand(w)->results[0].outcome, outcomes[i]);
        notice_done(w, world_only_errand(w));
        world_assert_empty(w);
    }
}

/* Nobody gets a report of smtpd's own probes: lookup is told, for all. */
static void
test_own_probe(void **state)
{
    static const struct {
        enum outcome outcome;
        const char *verified;
    } cases[] = {
        { OUTCOME_SENT, "R@example.com=0:said the test;" },
        { OUTCOME_DEFERRED, "R@example.com=1:said the test;" },
        { OUTCOME_BOUNCED, "R@example.com=2:said the test;" },
    };
    struct world *w = *state;

    for (size_t i = 0; i < 3; i++) {
        struct world_mail mail = asks;

        mail.recipients[0] = "R@example.com";
        mail.flags = ENVELOPE_VERIFY | ENVELOPE_PROBE;
        w->verified[0] = '\0';
        world_accept(w, &mail);
        assert_int_equal(w->route_use, ROUTE_OF_PROBE);
        world_report(w, world_only_errand(w), cases[i].outcome, DESTINATION_OK);
        world_settle(w);
        assert_string_equal(w->verified, cases[i].verified);
        world_assert_empty(w);
    }
    world_submit(w, &asks); /* the answer about the probe is not mail's */
    world_settle(w);
    assert_int_equal(w->route_use, ROUTE_OF_MAIL);
    sent(w, world_only_errand(w), 1);
    world_settle(w);
    assert_int_equal(w->verified_count, 3);
    world_assert_empty(w);
}

/* Also when there is no memory left for why it failed. */
static void
test_own_probe_full(void **state)
{
    struct world *w = *state;
    struct world_mail mail = asks;
    struct arena *arena;

    mail.flags = ENVELOPE_VERIFY | ENVELOPE_PROBE;
    world_accept(w, &mail);
    arena = &mail_first_rcpt(
        index_find(&w->q.index, world_only_errand(w)->attempt.id)->message)
                 ->batch->arena;
    arena->ceiling = arena->used;
    world_finish(w, world_only_errand(w), OUTCOME_BOUNCED);
    assert_string_equal(w->verified, "r@example.com=2:said the test;");
    world_assert_empty(w);
}

/* Both what was asked for and what came of it are known then. */
static void
test_own_probe_of_alias(void **state)
{
    struct world *w = *state;
    struct world_mail mail = asks;

    mail.notify = 0;
    mail.flags = ENVELOPE_VERIFY | ENVELOPE_PROBE;
    mail.original = "alias@example.org";
    world_accept(w, &mail);
    world_finish(w, world_only_errand(w), OUTCOME_SENT);
    assert_string_equal(w->verified,
        "r@example.com=0:said the test;alias@example.org=0:said the test;");
    world_assert_empty(w);
}

/* address_verify_pending_request_limit: mail is not kept waiting by probes. */
static void
test_probe_limit(void **state)
{
    struct world *w = *state;
    struct world_mail mail = asks;

    world_close_all(w);
    world_open(w, "address_verify_pending_request_limit = 2\n");
    agent_up(&w->q, ROLE_SMTP, w);
    mail.flags = ENVELOPE_VERIFY | ENVELOPE_PROBE;
    for (unsigned i = 0; i < 3; i++) {
        world_accept(w, &mail);
    }
    assert_string_equal(w->verified, "r@example.com is not known;");
    assert_int_equal(w->q.probes, 2);
    world_submit(w, &two); /* of mail there may be more */
    world_settle(w);
    assert_int_equal(w->verified_count, 0);
    while (!list_empty(&w->errands)) {
        world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    }
    assert_int_equal(w->q.probes, 0);
    assert_int_equal(w->verified_count, 2);
    world_assert_empty(w);
}

static enum result
local_route(struct world *w, struct slice recipient, struct route *route,
    struct why *why)
{
    enum result res = world_route(w, recipient, route, why);

    route->class = CLASS_LOCAL;
    return res;
}

/* Mail to the sender of notices to postmaster, and of probes, ends there. */
static void
test_double_bounce_is_absorbed(void **state)
{
    struct world *w = *state;
    struct world_mail mail = { .sender = "s@example.org",
        .recipients = { "Double-Bounce@mx.test" } };

    w->route = local_route;
    for (unsigned i = 0; i < 2; i++) { /* asked of lookup, and remembered */
        world_accept(w, &mail);
        world_assert_empty(w);
    }
    w->route = NULL; /* elsewhere it is anybody's */
    mail.recipients[0] = "double-bounce@else.test";
    world_accept(w, &mail);
    world_finish(w, world_only_errand(w), OUTCOME_SENT);
    world_assert_empty(w);
}

/* A notice that cannot be made is not tried for ever. */
static void
test_expires(void **state)
{
    struct world *w = *state;

    w->no_bounce = true;
    world_accept(w, &asks);
    sent(w, world_only_errand(w), 0);
    assert_int_equal(w->q.index.entries.count, 1);
    world_pass_ms(w, 3700 * 1000);
    world_assert_empty(w);
}

int
main(void)
{
    log_set_sink(world_no_log, NULL, NULL);
#define TEST(t) cmocka_unit_test_setup_teardown(t, open_world, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_success),
        TEST(test_no_success),
        TEST(test_crash_before_notice),
        TEST(test_crash_with_notice),
        TEST(test_crash_after_notice),
        TEST(test_success_beside_delay),
        TEST(test_expanded),
        TEST(test_expanded_by_agent),
        TEST(test_trace),
        TEST(test_trace_failure),
        TEST(test_probe),
        TEST(test_own_probe),
        TEST(test_own_probe_full),
        TEST(test_own_probe_of_alias),
        TEST(test_probe_limit),
        TEST(test_double_bounce_is_absorbed),
        TEST(test_expires),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

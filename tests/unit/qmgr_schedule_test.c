#include "qmgr/describe.h"
#include "qmgr/edit.h"
#include "tests/unit/qmgr_world.h"

/* Limits, turns and waiting: what is delivered when. */

static const char main_cf[] = "minimal_backoff_time = 60s\n"
                              "maximal_backoff_time = 240s\n"
                              "queue_run_delay = 1s\n"
                              "transport_retry_time = 30s\n"
                              "qmgr_message_active_limit = 20\n"
                              "default_destination_concurrency_limit = 8\n"
                              "initial_destination_concurrency = 2\n"
                              "default_destination_recipient_limit = 4\n"
                              "paced_destination_rate_delay = 2s\n"
                              "spaced_transport_rate_delay = 0.5s\n"
                              "single_destination_recipient_limit = 1\n"
                              "single_destination_concurrency_limit = 1\n"
                              "defer_transports = waiting\n";

static const char master_cf[] = "smtp unix - - n - - smtp\n"
                                "slow unix - - n - 3 smtp\n"
                                "paced unix - - n - - smtp\n"
                                "spaced unix - - n - - smtp\n"
                                "single unix - - n - - smtp\n"
                                "waiting unix - - n - - smtp\n"
                                "local unix - n n - - local\n"
                                "retry unix - - n - - error\n"
                                "qmgr unix n - n 300 1 qmgr\n";

/* user@transport.domain goes to domain by that transport. */
static enum result
route_by_domain(struct world *w, struct slice recipient, struct route *route,
    struct why *why)
{
    struct slice domain = slice_skip(recipient, slice_find(recipient, '@') + 1);
    size_t dot = slice_find(domain, '.');

    (void)w;
    (void)why;
    *route = (struct route){ .class = CLASS_DEFAULT };
    (void)snprintf(route->transport, sizeof(route->transport), SLICE_FMT,
        SLICE_ARG(slice_head(domain, dot)));
    (void)snprintf(route->nexthop, sizeof(route->nexthop), SLICE_FMT,
        SLICE_ARG(slice_skip(domain, dot + 1)));
    return RESULT_OK;
}

static int
open_world(void **state)
{
    struct world *w = mem_alloc(sizeof(*w));
    struct config_set *set;
    struct why why;

    random_set_seed(7);
    if (config_from_text(main_cf, master_cf, &set, &why) != RESULT_OK)
        fail_msg("%s", why.text);
    world_open_set(w, set);
    config_drop(set);
    w->route = route_by_domain;
    *state = w;
    return 0;
}

static int
close_world(void **state)
{
    world_close_all(*state);
    mem_free(*state);
    return 0;
}

/* A reload. */
static void
reconfigure(struct world *w, const char *text)
{
    struct config_set *set;
    struct why why;

    if (config_from_text(text, master_cf, &set, &why) != RESULT_OK)
        fail_msg("%s", why.text);
    qmgr_configure(&w->q, set);
    config_drop(w->set);
    w->set = set;
}

static void
submit(struct world *w, unsigned count, const char *to)
{
    struct world_mail mail = { .sender = "s@x", .body = 10 };

    mail.recipients[0] = to;
    while (count-- > 0)
        world_submit(w, &mail);
    world_settle(w);
}

static size_t
running(struct world *w)
{
    return world_count(&w->errands);
}

static void
end_one(struct world *w, enum outcome outcome, enum destination_state state)
{
    world_report(w, world_errand(w, 0), outcome, state);
    world_settle(w);
}

static void
end_all(struct world *w)
{
    while (running(w) > 0)
        end_one(w, OUTCOME_SENT, DESTINATION_OK);
}

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
            assert_true(destination_takes_back(last->job->destination));
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
    assert_false(destination_takes_back(world_errand(w, 0)->job->destination));
    end_one(w, OUTCOME_DEFERRED, DESTINATION_BUSY);
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
    world_submit(w, &list);
    world_settle(w);
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

static struct destination_view
describe(struct world *w, const char *nexthop)
{
    struct destination_view v = { 0 };

    for (struct destination *d = destination_first(&w->q); d != NULL;
         d = destination_after(&w->q, d))
        if (strcmp(d->nexthop, nexthop) == 0)
            destination_describe(&w->q, d, &v);
    return v;
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
            job_notified(&w->q, e->job, RESULT_OK);
            world_errand_end(e);
            world_settle(w);
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
#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        T(test_window_grows_and_shrinks),
        T(test_session_limit),
        T(test_session_limit_of_many),
        T(test_busy_alone),
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
        T(test_admission_caps),
        T(test_probe_with_one),
        T(test_flush_of_the_dead),
        T(test_expiry_while_parked),
        T(test_delay_warning_of_all),
    };

    log_set_sink(world_no_log, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Agents, bounce, lookup and submitters that were taken over and say anything,
 * while an admin edits: wrong tokens, recipients that are not theirs, named twice
 * or not at all, transactions that settle what they may not; and agents that die.
 * Nothing of it stops the queue manager, and when all are honest again the queue
 * empties to the last octet.
 */
#include "tests/unit/qmgr_world.h"

enum {
    SEEDS = 20,
    STEPS = 400,
    IDS = 40, /* messages that are remembered, to be edited */
    LIST = 1200,
    RESULTS = 40, /* in one answer */
    DAY_MS = 24 * 3600 * 1000,
};

static const char main_cf[] = "minimal_backoff_time = 60s\n"
                              "maximal_backoff_time = 600s\n"
                              "queue_run_delay = 60s\n"
                              "delay_warning_time = 1h\n"
                              "maximal_queue_lifetime = 1d\n";

struct test {
    struct world w;
    uint64_t ids[IDS];
    unsigned submitted;
    struct edit edits;
    struct agent *agent; /* one of two */
};

static size_t
dice(size_t sides)
{
    return (size_t)random_below(sides);
}

/* Unless the disk fails. */
static void
submit_mail(struct test *t, const struct world_mail *mail)
{
    uint64_t id = world_lease_try(&t->w);

    if (id == 0)
        return;
    t->ids[t->submitted++ % IDS] = id;
    world_submit_as(&t->w, id, mail, NULL);
}

static void
submit(struct test *t)
{
    static char names[30][48];
    struct world_mail mail = {
        .sender = dice(6) == 0 ? "" : "s@senders.test",
        .body = dice(300),
        .notify = dice(4) == 0 ? NOTIFY_SUCCESS | NOTIFY_FAILURE : 0,
        .flags = dice(12) == 0 ? ENVELOPE_HOLD : 0,
    };
    size_t count = 1 + dice(dice(3) == 0 ? 30 : 3);

    for (size_t i = 0; i < count; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "r%zu@d%zu.test", i,
            dice(4));
        mail.recipients[i] = names[i];
    }
    submit_mail(t, &mail);
}

/* Mostly one of e's; or any number. */
static uint32_t
any_index(const struct errand *e)
{
    switch (dice(8)) {
    case 0:
        return (uint32_t)dice(40);
    case 1:
        return UINT32_MAX - (uint32_t)dice(3);
    default:
        return e->indexes[dice(e->count)];
    }
}

static struct rcpt_result
any_result(const struct errand *e)
{
    static const char *const statuses[] = { "", "2.0.0", "4.4.1", "5.1.1",
        "9.9.999" };
    static char text[4096];
    struct rcpt_result r = {
        .index = any_index(e),
        .outcome = (enum outcome)(1 + dice(OUTCOME_RETURNED)),
        .text = { text, dice(2) == 0 ? dice(20) : dice(sizeof(text)) },
        .when_us = (int64_t)random_below(INT64_MAX),
        .action = (enum dsn_action)dice(DSN_EXPANDED + 1),
        .next_hop_tells = (uint32_t)dice(2),
    };

    memset(text, 'x', sizeof(text));
    (void)snprintf(r.status, sizeof(r.status), "%s",
        statuses[dice(sizeof(statuses) / sizeof(statuses[0]))]);
    return r;
}

static void
answer(struct test *t, struct errand *e)
{
    static struct rcpt_result results[RESULTS];
    struct delivery_answer a = {
        .attempt = e->attempt,
        .destination = (enum destination_state)(DESTINATION_OK + dice(3)),
        .destination_text = SLICE_LIT("no"),
        .results = results,
        .count = dice(RESULTS),
        .idle_sessions = (uint32_t)random_below(UINT32_MAX),
    };

    for (size_t i = 0; i < a.count; i++)
        results[i] = any_result(e);
    if (dice(10) == 0)
        a.attempt.nonce++;
    if (dice(10) == 0)
        a.attempt.id = t->ids[dice(IDS)];
    job_answered(&t->w.q, e->job, &a);
    world_errand_end(e);
}

/* A transaction of e's, with mail or without, honest or not. */
static void
transact(struct test *t, const struct errand *e)
{
    struct attempt attempt = e->attempt;
    uint32_t indexes[RESULTS];
    struct rcpt_result result = any_result(e);
    struct world_mail mail = {
        .sender = "",
        .recipients = { "n@d0.test" },
        .settles = &attempt,
        .indexes = indexes,
        .index_count = dice(5),
        .settle_only = dice(2) == 0,
        .result = dice(3) == 0 ? &result : NULL,
    };
    size_t twice = dice(4);

    for (size_t i = 0; i < mail.index_count; i++)
        indexes[i] = twice == 0 ? any_index(e) : e->indexes[i % e->count];
    if (dice(10) == 0)
        attempt.number++;
    if (mail.settle_only || dice(20) > 0)
        submit_mail(t, &mail);
    else /* under another's id */
        world_submit_as(&t->w, t->ids[dice(IDS)], &mail, NULL);
}

static void
fill_text(char *text, size_t size)
{
    static const char *const texts[] = { "", "d1.test", "5.1.1 no", "4.9.9",
        "[", "@", "a b", "double-bounce@" };
    size_t len = size - 1;

    memset(text, 'n', size);
    if (dice(20) > 0)
        len = (size_t)snprintf(text, size, "%s",
            texts[dice(sizeof(texts) / sizeof(texts[0]))]);
    text[len] = '\0';
}

static enum result
any_route(struct world *w, struct slice recipient, struct route *route,
    struct why *why)
{
    static const char *const transports[] = { "slow", "local", "error", "retry",
        "discard", "nobody", "" };
    enum result res = dice(4) > 0 ? RESULT_OK : (enum result)dice(3);

    if (dice(3) == 0)
        return world_route(w, recipient, route, why);
    *why = (struct why){ .status = "7.7.7" };
    *route = (struct route){ .class = (enum address_class)dice(6) };
    fill_text(why->text, sizeof(why->text));
    fill_text(route->nexthop, sizeof(route->nexthop));
    fill_text(route->address, sizeof(route->address));
    (void)snprintf(route->transport, sizeof(route->transport), "%s%zu",
        transports[dice(sizeof(transports) / sizeof(transports[0]))],
        dice(1000));
    if (dice(20) > 0)
        route->transport[strcspn(route->transport, "0123456789")] = '\0';
    return res;
}

static void
one_errand(struct test *t)
{
    size_t count = world_count(&t->w.errands);
    struct errand *e = count == 0 ? NULL : world_errand(&t->w, dice(count));

    if (e == NULL)
        return;
    if (dice(2) == 0) {
        transact(t, e);
    } else if (dice(12) == 0) {
        world_kill(&t->w, e);
    } else if (!e->is_notice) {
        answer(t, e);
    } else {
        job_notified(&t->w.q, e->job, (enum result)dice(3));
        world_errand_end(e);
    }
}

static void
edited(struct edit *edit, uint64_t id)
{
    (void)edit;
    (void)id;
}

static void
edit(struct test *t, enum edit_task task)
{
    struct entry *e = index_find(&t->w.q.index, t->ids[dice(IDS)]);

    if (e != NULL)
        (void)edit_message(&t->w.q, e, task, ~0U, &t->edits);
}

static void
kill_agent(struct test *t)
{
    list_foreach_safe (it, &t->w.errands) {
        struct errand *e = LIST_ENTRY(it, struct errand, link);

        if (!e->is_notice && e->agent == t)
            world_kill(&t->w, e);
    }
    agent_gone(&t->w.q, t->agent);
    t->agent = agent_up(&t->w.q, ROLE_SMTP, t);
}

/* More than are in memory at a time. */
static void
submit_list(struct test *t)
{
    uint64_t id = world_lease_try(&t->w);

    if (id == 0)
        return;
    t->ids[t->submitted++ % IDS] = id;
    world_submit_list(&t->w, id, LIST + dice(LIST / 2), 3);
}

static void
step(struct test *t)
{
    switch (dice(18)) {
    case 0:
    case 1:
        submit(t);
        break;
    case 2:
        edit(t, (enum edit_task)(EDIT_DELETE + dice(EDIT_EXPIRE_NOW)));
        break;
    case 3:
        world_pass_ms(&t->w, (int64_t)dice(300 * 1000));
        break;
    case 4:
        t->w.disk_fails = dice(4) == 0;
        break;
    case 9:
        t->w.route = dice(4) == 0 ? any_route : NULL;
        break;
    case 5:
        t->w.lookup_waits = dice(3) == 0;
        break;
    case 6:
        t->w.no_bounce = dice(4) == 0;
        break;
    case 7:
        edit_flush_all(&t->w.q, NULL);
        break;
    case 8:
        if (dice(4) == 0)
            kill_agent(t);
        else if (dice(10) == 0)
            submit_list(t);
        break;
    default:
        one_errand(t);
        break;
    }
    /* Not always to the end: what is under way meets what comes. */
    if (dice(3) > 0)
        world_settle(&t->w);
    else
        qmgr_pump(&t->w.q);
}

static void
release_all(struct test *t)
{
    const struct map *entries = &t->w.q.index.entries;

    for (struct map_node *n = map_first(entries); n != NULL;
         n = map_after(entries, n))
        (void)edit_message(&t->w.q, LIST_ENTRY(n, struct entry, node),
            EDIT_RELEASE, ~0U, &t->edits);
}

/* All are honest: what is there is delivered, or told of. */
static void
be_honest(struct test *t)
{
    struct world *w = &t->w;

    w->disk_fails = w->lookup_waits = w->no_bounce = false;
    w->route = NULL;
    for (unsigned day = 0; day < 12; day++) {
        release_all(t);
        world_settle(w);
        while (!list_empty(&w->errands)) {
            struct errand *e = world_errand(w, 0);
            struct world_mail told = {
                .settles = &e->attempt,
                .indexes = e->indexes,
                .index_count = e->count,
                .settle_only = true,
            };

            if (!e->is_notice) {
                world_finish(w, e, OUTCOME_SENT);
                continue;
            }
            if (e->kind != NOTICE_DELAY) {
                (void)world_submit(w, &told);
                world_settle(w);
            }
            world_notified(w, e, RESULT_OK);
        }
        world_pass_ms(w, DAY_MS / 4);
    }
}

static void
try_seed(uint64_t seed)
{
    static struct test t;

    t = (struct test){ .edits.done = edited };
    random_set_seed(seed);
    world_open(&t.w, main_cf);
    agent_up(&t.w.q, ROLE_SMTP, &t.w);
    t.agent = agent_up(&t.w.q, ROLE_SMTP, &t);
    for (unsigned i = 0; i < STEPS; i++)
        step(&t);
    be_honest(&t);
    if (t.w.q.index.entries.count > 0)
        fail_msg("seed %d: %zu messages are left", (int)seed,
            t.w.q.index.entries.count);
    assert_int_equal(t.edits.pending, 0);
    world_assert_empty(&t.w);
    world_close_all(&t.w);
}

static void
test_hostile(void **state)
{
    (void)state;
    log_set_sink(world_no_log, NULL, NULL);
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        try_seed(seed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

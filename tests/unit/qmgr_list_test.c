/*
 * Messages of a hundred thousand recipients: in memory they are bounded, they
 * hold up nobody, and each recipient gets what is due to him, once.
 */
#include "qmgr/batch.h"
#include "tests/unit/qmgr_world.h"

#include <limits.h>

enum {
    LIST = 100000,
    LIMIT = 8000,
    SETTLE_MS = 1000, /* queue_settle_delay */
    ASK_OUT = 40,     /* questions of a message that lookup has at a time */
    GATHER_MS = 50,   /* lookup is not waited for when it stands still longer */
};

static const char main_cf[] = "qmgr_message_recipient_limit = 8000\n"
                              "minimal_backoff_time = 60s\n"
                              "maximal_backoff_time = 600s\n"
                              "queue_run_delay = 60s\n"
                              "maximal_queue_lifetime = 1d\n";

/* What became of each recipient. */
struct fate {
    uint8_t delivered, told, tries;
};

struct list_test {
    struct world w;
    struct fate *fates;
    size_t count, most_in_memory;
    unsigned deliveries;
    bool all_deferred;
};

static int
open_world(void **state)
{
    struct list_test *x = mem_alloc(sizeof(*x));

    random_set_seed(3);
    world_open(&x->w, main_cf);
    agent_up(&x->w.q, ROLE_SMTP, x);
    x->fates = mem_alloc_array(LIST, sizeof(*x->fates));
    x->count = LIST;
    *state = x;
    return 0;
}

static int
close_world(void **state)
{
    struct list_test *x = *state;

    world_close_all(&x->w);
    mem_free(x->fates);
    mem_free(x);
    return 0;
}

static struct fate *
fate_of(struct list_test *x, const char *address)
{
    size_t i = strtoul(address + 1, NULL, 10);

    assert_int_equal(address[0], 'r');
    assert_true(i < x->count);
    return &x->fates[i];
}

/* One in ten is unknown; one in seven is deferred the first time. */
static enum outcome
outcome_of(struct list_test *x, const struct fate *f)
{
    size_t i = (size_t)(f - x->fates);

    if (i % 10 == 3)
        return OUTCOME_BOUNCED;
    if (x->all_deferred || (i % 7 == 0 && f->tries == 1))
        return OUTCOME_DEFERRED;
    return OUTCOME_SENT;
}

static void
deliver(struct list_test *x, struct errand *e)
{
    struct rcpt_result *results = mem_alloc_array(e->count, sizeof(*results));
    struct delivery_answer a = { .attempt = e->attempt, .results = results };

    for (size_t i = 0; i < e->count; i++) {
        struct fate *f = fate_of(x, e->addresses[i]);

        f->tries++;
        results[i].index = e->indexes[i];
        results[i].outcome = outcome_of(x, f);
        memcpy(results[i].status, "4.0.0", 6);
        results[i].text = SLICE_LIT("said the test");
        if (results[i].outcome == OUTCOME_SENT)
            f->delivered++;
    }
    a.count = e->count;
    x->deliveries++;
    job_answered(&x->w.q, e->job, &a);
    mem_free(results);
    world_errand_end(e);
}

/* A notice, or one of its recipients' notices of delay. */
static void
tell(struct list_test *x, struct errand *e)
{
    struct world_mail notice = {
        .sender = "",
        .recipients = { "postmaster@discard.test" },
        .settles = &e->attempt,
        .indexes = e->indexes,
        .index_count = e->count,
    };

    assert_int_equal(e->kind, NOTICE_FAILURE);
    for (size_t i = 0; i < e->count; i++)
        fate_of(x, e->addresses[i])->told++;
    world_submit(&x->w, &notice);
    job_notified(&x->w.q, e->job, RESULT_OK);
    world_errand_end(e);
}

static bool
is_notice_mail(const struct errand *e)
{
    return strcmp(e->nexthop, "discard.test") == 0;
}

static void
step(struct list_test *x)
{
    struct errand *e = world_errand(&x->w, 0);

    if (e->is_notice)
        tell(x, e);
    else if (is_notice_mail(e))
        world_report(&x->w, e, OUTCOME_SENT, DESTINATION_OK);
    else
        deliver(x, e);
    world_settle(&x->w);
    if (x->w.q.active_recipients > x->most_in_memory)
        x->most_in_memory = x->w.q.active_recipients;
}

static void
run(struct list_test *x, unsigned steps)
{
    while (steps-- > 0 && world_errand(&x->w, 0) != NULL)
        step(x);
}

static void
run_out(struct list_test *x)
{
    for (unsigned i = 0; x->w.q.index.entries.count > 0; i++) {
        assert_true(i < 100000);
        run(x, UINT_MAX);
        world_pass_ms(&x->w, 10000);
    }
}

static void
submit(struct list_test *x, unsigned destinations)
{
    world_submit_list(&x->w, world_lease(&x->w), x->count, destinations);
    world_settle(&x->w);
}

static void
judge(struct list_test *x, bool repeats)
{
    for (size_t i = 0; i < x->count; i++) {
        const struct fate *f = &x->fates[i];

        assert_int_equal(f->told, i % 10 == 3);
        if (i % 10 != 3 && !repeats)
            assert_int_equal(f->delivered, 1);
        else if (i % 10 != 3)
            assert_true(f->delivered >= 1);
    }
    world_assert_empty(&x->w);
    print_message("  %zu recipients in memory at most, %u deliveries\n",
        x->most_in_memory, x->deliveries);
}

static void
test_memory_is_bounded(void **state)
{
    struct list_test *x = *state;

    submit(x, 40);
    run_out(x);
    judge(x, false);
    assert_in_range(x->most_in_memory, BATCH_RCPTS, LIMIT);
}

/* The number of deliveries until that of a single message comes. */
static unsigned
wait_for_single(struct list_test *x, const char *to)
{
    struct world_mail one = { .sender = "one@x", .recipients = { to } };
    unsigned before = x->deliveries;

    world_submit(&x->w, &one);
    world_settle(&x->w);
    for (;;) {
        list_foreach (it, &x->w.errands) {
            struct errand *e = LIST_ENTRY(it, struct errand, link);

            if (e->is_notice || strcmp(e->addresses[0], to) != 0)
                continue;
            world_report(&x->w, e, OUTCOME_SENT, DESTINATION_OK);
            world_settle(&x->w);
            return x->deliveries - before;
        }
        step(x);
        assert_true(x->deliveries - before < 1000);
    }
}

/*
 * Beside lists of 100,000 recipients a message of one goes out after as many
 * deliveries as were under way: without slots and loans.
 */
static void
test_single_mail_passes(void **state)
{
    struct list_test *x = *state;
    unsigned same = 0, other = 0;

    submit(x, 1);
    run(x, 50);
    for (unsigned i = 0; i < 20; i++) {
        unsigned n = wait_for_single(x, "single@d0.test");

        same = n > same ? n : same;
        n = wait_for_single(x, "single@other.test");
        other = n > other ? n : other;
        run(x, 10);
    }
    print_message("  %u deliveries before it, %u to another destination\n",
        same, other);
    assert_in_range(same, 0, 2);
    assert_int_equal(other, 0);
    run_out(x);
    judge(x, false);
}

static bool
is_asked_for(struct list_test *x, const char *recipient)
{
    list_foreach (it, &x->w.asked)
        if (strcmp(LIST_ENTRY(it, struct asked, link)->recipient, recipient) ==
            0)
            return true;
    return false;
}

/*
 * However slow lookup is, few of a list's questions stand there before those of
 * others; and as it answers it does not run out of them.
 */
static void
test_single_questions_pass(void **state)
{
    struct list_test *x = *state;

    x->count = 1000;
    x->w.lookup_waits = true;
    submit(x, 40);
    assert_int_equal(world_count(&x->w.asked), ASK_OUT);
    for (unsigned i = 0; i < 9; i++) {
        char to[32];
        struct world_mail one = { .sender = "one@x", .recipients = { to } };

        (void)snprintf(to, sizeof(to), "single%u@discard.test", i);
        world_submit(&x->w, &one);
        world_settle(&x->w);
        assert_true(is_asked_for(x, to));
        assert_in_range(world_count(&x->w.asked), 0, ASK_OUT + 1);
        for (unsigned answered = 0; answered < 100; answered++) {
            assert_true(world_step_route(&x->w));
            world_settle(&x->w);
            if (answered > ASK_OUT)
                assert_in_range(world_count(&x->w.asked), ASK_OUT / 2, ASK_OUT);
        }
        assert_false(is_asked_for(x, to));
    }
    x->w.lookup_waits = false;
    world_settle(&x->w);
    run_out(x);
    judge(x, false);
}

/* Where a table is slow the rest of the list is asked for all the same. */
static void
test_slow_tables_hold_up_nobody(void **state)
{
    struct list_test *x = *state;

    x->count = 1000;
    x->w.lookup_waits = true;
    submit(x, 40);
    world_pass_ms(&x->w, GATHER_MS - 1);
    assert_int_equal(world_count(&x->w.asked), ASK_OUT);
    world_pass_ms(&x->w, GATHER_MS + 1);
    assert_int_equal(world_count(&x->w.asked), x->count);
    x->w.lookup_waits = false;
    world_settle(&x->w);
    run_out(x);
    judge(x, false);
}

/* Nor does the last one, who comes into memory alone, wait for answers of others. */
static void
test_last_one_waits_for_nobody(void **state)
{
    struct list_test *x = *state;

    x->count = 3 * BATCH_RCPTS + 1;
    x->w.lookup_waits = true;
    submit(x, 40);
    for (unsigned i = 0; i < 3 * BATCH_RCPTS - ASK_OUT; i++) {
        assert_true(world_step_route(&x->w));
        world_settle(&x->w);
    }
    assert_int_equal(world_count(&x->w.asked), ASK_OUT);
    world_pass_ms(&x->w, (int64_t)4 * GATHER_MS);
    run(x, UINT_MAX);
    world_pass_ms(&x->w, (int64_t)4 * GATHER_MS);
    assert_true(is_asked_for(x, "r3000@d0.test"));
    x->w.lookup_waits = false;
    world_settle(&x->w);
    run_out(x);
    judge(x, false);
}

/* Of several agents one has nothing of lists: single mail goes there. */
static void
test_an_agent_without_lists(void **state)
{
    struct list_test *x = *state;
    struct agent *others = agent_up(&x->w.q, ROLE_SMTP, x), *last;
    struct world_mail one = { .sender = "one@x",
        .recipients = { "single@d0.test" } };
    unsigned lists = 0;

    last = agent_up(&x->w.q, ROLE_SMTP, x);
    submit(x, 40);
    run(x, 50);
    world_submit(&x->w, &one);
    world_settle(&x->w);
    list_foreach (it, &x->w.errands) {
        const struct errand *e = LIST_ENTRY(it, struct errand, link);

        if (e->is_notice)
            continue;
        if (strcmp(e->addresses[0], "single@d0.test") == 0)
            assert_ptr_equal(e->job->agent, last);
        else
            assert_ptr_not_equal(e->job->agent, last);
        lists += e->job->agent == others;
    }
    assert_int_equal(last->running, 1);
    assert_int_equal(last->lists, 0);
    assert_int_equal(others->lists, lists);
    assert_true(lists > 0);
    while (world_count(&x->w.errands) > 0) {
        struct errand *e = world_errand(&x->w, 0);

        if (!e->is_notice && e->job->agent == last) {
            world_report(&x->w, e, OUTCOME_SENT, DESTINATION_OK);
            world_settle(&x->w);
        } else {
            step(x);
        }
        if (last->running == 0)
            break;
    }
    run_out(x);
    assert_int_equal(others->lists, 0);
    judge(x, false);
}

/* The power is cut in the middle: who is settled on disk stays settled. */
static void
test_power_cut(void **state)
{
    struct list_test *x = *state;
    size_t repeated = 0;

    submit(x, 7);
    for (unsigned cut = 0; cut < 5; cut++) {
        run(x, 300);
        world_pass_ms(&x->w, SETTLE_MS);
        world_crash(&x->w);
        world_start(&x->w);
        agent_up(&x->w.q, ROLE_SMTP, x);
        world_settle(&x->w);
    }
    run_out(x);
    for (size_t i = 0; i < x->count; i++)
        repeated += x->fates[i].delivered > 1;
    /* What was settled had its time to be written. */
    assert_int_equal(repeated, 0);
    judge(x, false);
}

/* A stop loses nothing, however short before it somebody was settled. */
static void
test_stop(void **state)
{
    struct list_test *x = *state;

    submit(x, 7);
    for (unsigned n = 0; n < 5; n++) {
        run(x, 300);
        qmgr_stop(&x->w.q);
        run(x, UINT_MAX);
        while (!qmgr_is_idle(&x->w.q))
            world_pass_ms(&x->w, 5);
        world_crash(&x->w);
        world_start(&x->w);
        agent_up(&x->w.q, ROLE_SMTP, x);
        world_settle(&x->w);
    }
    run_out(x);
    judge(x, false);
}

/* Nobody gets it for a day: it returns for all of them, once. */
static void
test_expiry(void **state)
{
    struct list_test *x = *state;

    x->count = 5000;
    x->all_deferred = true;
    submit(x, 3);
    run_out(x);
    for (size_t i = 0; i < x->count; i++) {
        assert_int_equal(x->fates[i].delivered, 0);
        assert_int_equal(x->fates[i].told, 1);
    }
    world_assert_empty(&x->w);
}

/* On hold in the middle, and released. */
static void
edited(struct edit *edit, uint64_t id)
{
    (void)edit;
    (void)id;
}

static void
test_hold(void **state)
{
    struct list_test *x = *state;
    struct edit edit = { .done = edited };
    struct entry *e;

    submit(x, 5);
    run(x, 400);
    e = LIST_ENTRY(map_first(&x->w.q.index.entries), struct entry, node);
    while (e->message == NULL || !mail_is_large(e->message))
        e = LIST_ENTRY(map_after(&x->w.q.index.entries, &e->node), struct entry,
            node);
    assert_true(edit_message(&x->w.q, e, EDIT_HOLD, ~0U, &edit));
    run(x, UINT_MAX);
    assert_int_equal(x->w.q.index.states[ENTRY_HELD], 1);
    assert_int_equal(x->w.q.active_recipients, 0);
    assert_true(edit_message(&x->w.q, e, EDIT_RELEASE, ~0U, &edit));
    world_settle(&x->w);
    run_out(x);
    judge(x, false);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        T(test_memory_is_bounded),
        T(test_single_mail_passes),
        T(test_single_questions_pass),
        T(test_slow_tables_hold_up_nobody),
        T(test_last_one_waits_for_nobody),
        T(test_an_agent_without_lists),
        T(test_power_cut),
        T(test_stop),
        T(test_expiry),
        T(test_hold),
    };

    log_set_sink(world_no_log, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * What is longer than a transaction. Of reasons: what became of each recipient is
 * written all the same, so that nobody gets a message again who has it. Of mail: it
 * is refused.
 */
#include "tests/unit/qmgr_world.h"

enum {
    SEGMENT = 1024 * 1024,
    DISK = 64 * 1024 * 1024,
    REASON = 2000, /* octets, twice for each */
    HOUR_MS = 3600 * 1000,
};

static const char main_cf[] = "queue_segment_size = 1048576\n"
                              "minimal_backoff_time = 3h\n"
                              "maximal_backoff_time = 3h\n";

/* Every third has it; the others hear a long story, each his own. */
static void
answer(struct world *w, struct errand *e)
{
    struct rcpt_result *results = mem_alloc_array(e->count, sizeof(*results));
    char *texts = mem_alloc(e->count * REASON);
    struct delivery_answer a = { .attempt = e->attempt,
        .destination = DESTINATION_OK,
        .results = results,
        .count = e->count };

    memset(texts, 'x', e->count * REASON);
    for (size_t i = 0; i < e->count; i++) {
        bool sent = e->indexes[i] % 3 == 0;
        char *text = texts + i * REASON;

        memcpy(text, e->addresses[i], strlen(e->addresses[i]));
        results[i] = (struct rcpt_result){ .index = e->indexes[i],
            .outcome = sent ? OUTCOME_SENT : OUTCOME_DEFERRED,
            .status = "4.2.2",
            .text = { text, REASON },
            .diagnostic = { text, REASON },
            .when_us = clock_wall_us() };
    }
    job_answered(&w->q, e->job, &a);
    mem_free(results);
    mem_free(texts);
    world_errand_end(e);
}

static size_t
answer_all(struct world *w)
{
    size_t told = 0;

    while (!list_empty(&w->errands)) {
        told += world_errand(w, 0)->count;
        answer(w, world_errand(w, 0));
        world_settle(w);
    }
    return told;
}

static void
try_with(size_t count)
{
    static struct world w;
    struct config_set *set = world_config(main_cf, world_master_cf);
    const struct entry *e;
    uint64_t id;

    log_set_sink(world_no_log, NULL, NULL);
    random_set_seed(5);
    world_open_on(&w, set, disk_sim_new(DISK), SEGMENT);
    agent_up(&w.q, ROLE_SMTP, &w);
    id = world_lease(&w);
    world_submit_list(&w, id, count, 1);
    world_pass_ms(&w, 3000);
    assert_int_equal(answer_all(&w), count);
    world_pass_ms(&w, 5000);
    e = index_find(&w.q.index, id);
    assert_int_equal(e->state, ENTRY_DEFERRED);
    assert_int_equal(w.q.writes.next == &w.q.writes, 1);
    /* The power is cut, and it is tried again: by those who do not have it. */
    world_restart(&w);
    assert_int_equal(index_find(&w.q.index, id)->state, ENTRY_DEFERRED);
    world_pass_ms(&w, (int64_t)4 * HOUR_MS);
    assert_int_equal(answer_all(&w), count - count / 3);
    world_pass_ms(&w, 5000);
    world_close_all(&w);
    config_drop(set);
}

static void
test_reasons(void **state)
{
    (void)state;
    try_with(600);
    try_with(6000); /* more than are in memory at a time */
}

/* Mail that no segment takes is refused for good: it would never be taken. */
static void
test_mail_too_large(void **state)
{
    static struct world w;
    struct config_set *set = world_config(main_cf, world_master_cf);

    (void)state;
    world_open_on(&w, set, disk_sim_new(DISK), SEGMENT);
    (void)world_accept(&w,
        &(struct world_mail){ .sender = "s@senders.test",
            .recipients = { "r@d.test" },
            .body = SEGMENT });
    assert_int_equal(w.answered_perm, 1);
    assert_non_null(strstr(w.last_text, "5.3.4"));
    assert_int_equal(w.q.index.entries.count, 0);
    world_close_all(&w);
    config_drop(set);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_mail_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

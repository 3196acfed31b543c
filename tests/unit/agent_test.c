#include "qmgr/agent.h"

#include "tests/unit/qmgr_world.h"

#include <signal.h>

/* What the queue manager makes of the ends of its agents. */

static const struct world_mail one = {
    .sender = "s@example.org",
    .recipients = { "r@example.com" },
    .body = 100,
};

static uint32_t last_process;

static int
open_world(void **state)
{
    struct world *w =
        world_new("minimal_backoff_time = 5s\nqueue_run_delay = 5s\n"
                  "maximal_backoff_time = 10s\n",
            world_master_cf);

    last_process = 0;
    *state = w;
    return 0;
}

static struct agent *
up(struct world *w)
{
    struct agent *a = agent_up(&w->q, ROLE_SMTP, w);

    a->process = ++last_process;
    return a;
}

/* Its link ends; what it has waits for master's word. */
static void
lose(struct world *w, struct agent *a)
{
    while (!list_empty(&w->errands)) {
        struct errand *e = world_errand(w, 0);

        job_lost(&w->q, e->job);
        world_errand_end(e);
    }
    agent_gone(&w->q, a);
}

/* So many agents end with the message. */
static void
end_agents(struct world *w, unsigned count, enum process_end end, uint32_t code)
{
    while (count-- > 0) {
        struct agent *a = up(w);

        world_pass_ms(w, 30000);
        if (world_count(&w->errands) != 1)
            fail_msg("%u: not dispatched", count);
        lose(w, a);
        agent_died(&w->q, last_process, end, code);
        world_settle(w);
    }
}

static const struct {
    const char *name;
    enum process_end end;
    uint32_t code;
    unsigned lives; /* held after so many; 0: never */
} ends[] = {
    { "crash", PROCESS_SIGNALED, SIGSEGV, DEATHS_HELD },
    { "assertion", PROCESS_SIGNALED, SIGABRT, DEATHS_HELD },
    { "bus", PROCESS_SIGNALED, SIGBUS, DEATHS_HELD },
    { "system call", PROCESS_SIGNALED, SIGSYS, DEATHS_HELD },
    { "exit", PROCESS_EXITED, 70, DEATHS_HELD },
    { "replaced", PROCESS_REPLACED, 0, DEATHS_HELD },
    { "ended", PROCESS_EXITED, 0, 0 },
    { "terminated", PROCESS_SIGNALED, SIGTERM, 0 },
    { "hung up", PROCESS_SIGNALED, SIGHUP, 0 },
    { "killed", PROCESS_SIGNALED, SIGKILL, KILLS_HELD },
};

static void
test_ends(void **state)
{
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct world *w = *state;
        unsigned most = ends[i].lives == 0 ? KILLS_HELD + 5 : ends[i].lives - 1;

        print_message("  %s\n", ends[i].name);
        world_submit(w, &one);
        end_agents(w, most, ends[i].end, ends[i].code);
        assert_int_equal(w->q.index.states[ENTRY_HELD], 0);
        if (ends[i].lives > 0) {
            end_agents(w, 1, ends[i].end, ends[i].code);
            assert_int_equal(w->q.index.states[ENTRY_HELD], 1);
        }
        world_teardown(state);
        open_world(state);
    }
}

/* Killed among others, a message is never held: it has to be alone for that. */
static void
test_killed_among_others(void **state)
{
    struct world *w = *state;

    for (unsigned i = 0; i < 2 * KILLS_HELD; i++) {
        struct agent *a;

        world_submit(w, &one);
        a = up(w);
        world_pass_ms(w, 30000);
        lose(w, a);
        agent_died(&w->q, last_process, PROCESS_SIGNALED, SIGKILL);
        world_settle(w);
        assert_int_equal(w->q.index.states[ENTRY_HELD], 0);
        /* The others live to be delivered. */
        a = up(w);
        world_pass_ms(w, 30000);
        while (world_count(&w->errands) > 0) {
            world_finish(w, world_errand(w, 0), OUTCOME_DEFERRED);
        }
        agent_gone(&w->q, a);
    }
}

/* An answer clears it, and nobody waits for ever for master's word. */
static void
test_cleared(void **state)
{
    struct world *w = *state;
    struct agent *a;

    world_submit(w, &one);
    end_agents(w, DEATHS_HELD - 1, PROCESS_SIGNALED, SIGSEGV);
    a = up(w);
    world_pass_ms(w, 30000);
    world_finish(w, world_errand(w, 0), OUTCOME_DEFERRED);
    agent_gone(&w->q, a);
    end_agents(w, DEATHS_HELD - 1, PROCESS_SIGNALED, SIGSEGV);
    assert_int_equal(w->q.index.states[ENTRY_HELD], 0);
    a = up(w);
    world_pass_ms(w, 30000);
    lose(w, a);
    world_pass_ms(w, VERDICT_MS - 1);
    assert_int_equal(w->q.jobs_out, 1);
    world_pass_ms(w, 1);
    assert_int_equal(w->q.jobs_out, 0);
    assert_int_equal(w->q.index.states[ENTRY_HELD], 0);
}

/* master's word may come before the link is found broken. */
static void
test_word_comes_first(void **state)
{
    struct world *w = *state;
    struct agent *a;

    world_submit(w, &one);
    end_agents(w, DEATHS_HELD - 1, PROCESS_SIGNALED, SIGSEGV);
    a = up(w);
    world_pass_ms(w, 30000);
    agent_died(&w->q, last_process, PROCESS_SIGNALED, SIGSEGV);
    lose(w, a);
    world_settle(w);
    assert_int_equal(w->q.index.states[ENTRY_HELD], 1);
}

/* It outlives a crash of ours. */
static void
test_kept_on_disk(void **state)
{
    struct world *w = *state;

    world_submit(w, &one);
    end_agents(w, KILLS_HELD - 1, PROCESS_SIGNALED, SIGKILL);
    world_crash(w);
    world_start(w);
    end_agents(w, 1, PROCESS_SIGNALED, SIGKILL);
    assert_int_equal(w->q.index.states[ENTRY_HELD], 1);
}

/* While a suspect waits for a process of its own, others pass it at once. */
static void
test_suspect_lets_others_pass(void **state)
{
    struct world *w = *state;
    struct agent *a;
    uint64_t fresh;

    world_submit(w, &one);
    end_agents(w, DEATHS_ALONE, PROCESS_SIGNALED, SIGSEGV);
    a = up(w);
    a->running = 1; /* with something else */
    a->alone = 1;   /* which is a suspect, too */
    world_pass_ms(w, 30000);
    assert_int_equal(world_count(&w->errands), 0);
    a->alone = 0;
    agent_up(&w->q, ROLE_SMTP, &w->q)->running = 1;
    fresh = world_submit(w, &one);
    world_settle(w);
    assert_int_equal(world_count(&w->errands), 1);
    assert_true(world_errand(w, 0)->attempt.id == fresh);
    list_foreach (it, &w->q.agents)
        LIST_ENTRY(it, struct agent, link)->running -= 1;
    ((struct agent *)world_errand(w, 0)->job->agent)->running = 1;
}

int
main(void)
{
#define AGENT_TEST(name) \
    cmocka_unit_test_setup_teardown(name, open_world, world_teardown)
    const struct CMUnitTest tests[] = {
        AGENT_TEST(test_ends),
        AGENT_TEST(test_killed_among_others),
        AGENT_TEST(test_cleared),
        AGENT_TEST(test_word_comes_first),
        AGENT_TEST(test_kept_on_disk),
        AGENT_TEST(test_suspect_lets_others_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

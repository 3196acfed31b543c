#include "lib/mail/late.h"

#include "qmgr/assign.h"
#include "tests/unit/qmgr_world.h"

/* Results that outlive a queue manager, and what agents make of them. */

enum { PROCESS = 7, RESULTS = 8 };

static const struct control_secrets first = { { 1 }, { 2 } };
static const struct control_secrets second = { { 3 }, { 1 } };
static const struct control_secrets third = { { 4 }, { 3 } };

static struct agent *elder;

static const struct world_mail two = {
    .sender = "s@example.org",
    .recipients = { "a@example.com", "b@example.com" },
    .body = 100,
};

static struct agent *
up(struct world *w, uint32_t process, bool is_elder)
{
    struct agent *a = agent_up(&w->q, ROLE_SMTP, w);

    a->process = process;
    a->elder = is_elder;
    return a;
}

static void
begin_first(struct world *w)
{
    late_set_secrets(&w->q, &first);
    up(w, PROCESS, false);
}

static void
begin_second(struct world *w)
{
    late_set_secrets(&w->q, &second);
    elder = up(w, PROCESS, true);
}

static void
begin_third(struct world *w)
{
    late_set_secrets(&w->q, &third);
    elder = up(w, PROCESS, true);
}

static int
open_world(void **state)
{
    struct world *w = world_new("minimal_backoff_time = 60s\n",
        world_master_cf);

    begin_first(w);
    w->before_begin = begin_second;
    *state = w;
    return 0;
}

/* What an agent says. */
struct word {
    struct late late;
    uint32_t indexes[RESULTS];
    struct rcpt_result results[RESULTS];
};

static void
word_of(const struct errand *e, size_t results, enum outcome outcome,
    struct word *to)
{
    memset(to, 0, sizeof(*to));
    to->late = (struct late){ .attempt = e->attempt,
        .proof = e->proof,
        .indexes = to->indexes,
        .index_count = e->count,
        .results = to->results,
        .count = results };
    for (size_t i = 0; i < e->count; i++)
        to->indexes[i] = e->indexes[i];
    for (size_t i = 0; i < results; i++) {
        to->results[i].index = e->indexes[i];
        to->results[i].outcome = outcome;
        to->results[i].text = SLICE_LIT("250 ok");
        memcpy(to->results[i].status, "2.0.0", sizeof("2.0.0"));
    }
}

static bool
tell(struct world *w, struct agent *a, const struct word *word)
{
    struct msg m;
    struct msg_in *in;
    bool good;

    late_encode(&word->late, &m);
    in = world_msg(buf_slice(&m.body));
    msg_fini(&m);
    good = late_take(&w->q, a, in);
    return good;
}

/* A message of two recipients was with an agent when the queue manager died. */
static uint64_t
crash_under_way(struct world *w, size_t results, enum outcome outcome,
    struct word *word)
{
    uint64_t id = world_submit(w, &two);

    world_settle(w);
    assert_int_equal(world_count(&w->errands), 1);
    word_of(world_errand(w, 0), results, outcome, word);
    world_crash(w);
    world_start(w);
    world_settle(w);
    return id;
}

static void
test_taken_over(void **state)
{
    struct world *w = *state;
    struct word word;

    crash_under_way(w, 2, OUTCOME_SENT, &word);
    assert_int_equal(world_count(&w->errands), 0);
    assert_true(tell(w, elder, &word));
    late_told_all(&w->q, elder);
    world_settle(w);
    assert_int_equal(world_count(&w->errands), 0);
    world_assert_empty(w);
    assert_int_equal(w->q.late.octets, 0);
}

/* The rest of the recipients is delivered; a failure is told to the sender. */
static void
test_some_of_them(void **state)
{
    static const enum outcome outcomes[] = { OUTCOME_SENT, OUTCOME_BOUNCED,
        OUTCOME_EXPANDED };

    for (size_t i = 0; i < 3; i++) {
        struct world *w = *state;
        struct word word;

        crash_under_way(w, 1, outcomes[i], &word);
        assert_true(tell(w, elder, &word));
        late_told_all(&w->q, elder);
        world_settle(w);
        assert_int_equal(world_count(&w->errands), 1);
        assert_int_equal(world_errand(w, 0)->count,
            outcomes[i] == OUTCOME_EXPANDED ? 2 : 1);
        if (outcomes[i] != OUTCOME_EXPANDED)
            assert_string_equal(world_errand(w, 0)->addresses[0],
                "b@example.com");
        world_teardown(state);
        open_world(state);
    }
}

static void
test_waits_a_second(void **state)
{
    struct world *w = *state;
    struct word word;

    crash_under_way(w, 0, OUTCOME_SENT, &word);
    world_submit(w, &two); /* fresh mail is not kept waiting */
    world_settle(w);
    assert_int_equal(world_count(&w->errands), 1);
    world_pass_ms(w, LATE_WAIT_MS - 1);
    assert_int_equal(world_count(&w->errands), 1);
    world_pass_ms(w, 1);
    assert_int_equal(world_count(&w->errands), 2);
}

static void
test_dead_agent_is_not_awaited(void **state)
{
    struct world *w = *state;
    struct word word;

    crash_under_way(w, 0, OUTCOME_SENT, &word);
    agent_gone(&w->q, elder);
    up(w, PROCESS + 1, false);
    world_settle(w);
    assert_int_equal(world_count(&w->errands), 1);
}

/* Too late for the wait: what is not with an agent again is settled still. */
static void
test_very_late(void **state)
{
    struct world *w = *state;
    struct word word;

    crash_under_way(w, 2, OUTCOME_SENT, &word);
    agent_gone(&w->q, elder); /* nobody to deliver it */
    elder = up(w, PROCESS, true);
    elder->running = AGENT_JOBS; /* and this one is full */
    world_pass_ms(w, LATE_WAIT_MS);
    assert_int_equal(world_count(&w->errands), 0);
    assert_int_equal(w->q.index.states[ENTRY_ACTIVE], 1);
    assert_true(tell(w, elder, &word));
    world_settle(w);
    world_assert_empty(w);
    elder->running = 0;
}

static void
test_with_an_agent_again(void **state)
{
    struct world *w = *state;
    struct word word;

    crash_under_way(w, 2, OUTCOME_SENT, &word);
    world_pass_ms(w, LATE_WAIT_MS);
    assert_int_equal(world_count(&w->errands), 1);
    assert_true(tell(w, elder, &word));
    world_settle(w);
    assert_int_equal(w->q.index.entries.count, 1);
    world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    world_assert_empty(w);
}

/* What a process that was taken over might try. */

static void
other_recipient(struct word *word)
{
    word->indexes[1] = 5;
    word->results[1].index = 5;
}

static void
fewer_recipients(struct word *word)
{
    word->late.index_count = word->late.count = 1;
}

static void
other_nonce(struct word *word)
{
    word->late.attempt.nonce++;
}

static void
other_number(struct word *word)
{
    word->late.attempt.number++;
}

static void
other_message(struct word *word)
{
    word->late.attempt.id--;
}

static void
other_proof(struct word *word)
{
    word->late.proof ^= 1;
}

static void (*const lies[])(struct word *) = { other_recipient,
    fewer_recipients, other_nonce, other_number, other_message, other_proof };

static void
test_lies(void **state)
{
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct world *w = *state;
        struct word word;

        crash_under_way(w, 2, OUTCOME_SENT, &word);
        lies[i](&word);
        assert_true(tell(w, elder, &word));
        assert_int_equal(w->q.late.kept.count, 0);
        late_told_all(&w->q, elder);
        world_settle(w);
        assert_int_equal(world_count(&w->errands), 1);
        assert_int_equal(world_errand(w, 0)->count, 2);
        world_teardown(state);
        open_world(state);
    }
}

static void
test_anothers_proof(void **state)
{
    struct world *w = *state;
    struct word word;

    crash_under_way(w, 2, OUTCOME_SENT, &word);
    elder->process++;
    for (unsigned i = 1; i < LATE_STRANGE_MAX; i++)
        assert_true(tell(w, elder, &word));
    assert_false(tell(w, elder, &word)); /* it has gone astray */
    assert_int_equal(w->q.late.kept.count, 0);
}

/* An attempt of the one before the last: others may have had it since. */
static void
test_two_before(void **state)
{
    struct world *w = *state;
    struct word word;

    crash_under_way(w, 2, OUTCOME_SENT, &word);
    w->before_begin = begin_third;
    world_crash(w);
    world_start(w);
    assert_true(tell(w, elder, &word));
    late_told_all(&w->q, elder);
    world_settle(w);
    assert_int_equal(world_count(&w->errands), 1);
}

/* One that ended before the crash is no proof for the next. */
static void
test_earlier_attempt(void **state)
{
    struct world *w = *state;
    struct word word;

    world_accept(w, &two);
    word_of(world_errand(w, 0), 2, OUTCOME_SENT, &word);
    world_finish(w, world_errand(w, 0), OUTCOME_DEFERRED);
    world_crash(w);
    world_start(w);
    assert_true(tell(w, elder, &word));
    late_told_all(&w->q, elder);
    world_pass_ms(w, 700 * 1000);
    assert_int_equal(world_count(&w->errands), 1);
    assert_int_equal(world_errand(w, 0)->count, 2);
}

static void
test_malformed(void **state)
{
    struct world *w = *state;
    struct word word;

    crash_under_way(w, 2, OUTCOME_SENT, &word);
    word.results[1].index = word.results[0].index; /* twice */
    assert_false(tell(w, elder, &word));
    word.late.index_count = word.late.count = 0;
    assert_false(tell(w, elder, &word)); /* of nobody */
    assert_false(late_take(&w->q, elder, world_msg(SLICE_LIT("\x0c\x7f"))));
}

/* Only one that was there before may speak, and only until it has said all. */
static void
test_state(void **state)
{
    struct world *w = *state;
    struct word word;

    crash_under_way(w, 0, OUTCOME_SENT, &word);
    assert_true(late_may(elder));
    late_told_all(&w->q, elder);
    assert_false(late_may(elder));
    late_told_all(&w->q, elder);
    assert_false(late_may(up(w, PROCESS + 1, false)));
}

int
main(void)
{
#define LATE_TEST(name) \
    cmocka_unit_test_setup_teardown(name, open_world, world_teardown)
    const struct CMUnitTest tests[] = {
        LATE_TEST(test_taken_over),
        LATE_TEST(test_some_of_them),
        LATE_TEST(test_waits_a_second),
        LATE_TEST(test_dead_agent_is_not_awaited),
        LATE_TEST(test_very_late),
        LATE_TEST(test_with_an_agent_again),
        LATE_TEST(test_lies),
        LATE_TEST(test_anothers_proof),
        LATE_TEST(test_two_before),
        LATE_TEST(test_earlier_attempt),
        LATE_TEST(test_malformed),
        LATE_TEST(test_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The settling protocol, explored. Agent, bounce, committer and loop are actors
 * whose steps come in any order, each of whom may die or fail, and an admin and
 * a power cut may come in between. The core is the real one.
 *
 * A run follows a plan: at each step the first of the possible actions is
 * taken, save at the steps that the plan names. All plans of up to DEVIATIONS
 * deviations are run, then many random ones. After each the rest is led to its
 * end, and the log is judged: no recipient lost, none settled twice, no notice
 * doubled. All of it also for a sender who asks to be told of success.
 */
#include "tests/unit/qmgr_world.h"

enum {
    STEPS_MAX = 64, /* of a run that are planned */
    DEVIATIONS = 2, /* exhaustively; MODEL_DEVIATIONS=3 takes a minute */
    RANDOM_RUNS = 20000,
    ACTIONS_MAX = 32,
    CHILDREN_MAX = 16,
};

static const char main_cf[] = "maximal_queue_lifetime = 1d\n"
                              "minimal_backoff_time = 10s\n"
                              "maximal_backoff_time = 20s\n"
                              "queue_run_delay = 10s\n";

/* Recipient 0 is an alias, recipient 1 unknown, recipient 2 gets his mail. */
enum { ALIAS, UNKNOWN, PLAIN, RCPTS };

enum action {
    ACT_COMMIT,
    ACT_PUMP,
    ACT_EXPAND,   /* the agent submits what the alias expands to */
    ACT_ANSWER,   /* the agent answers */
    ACT_NOTICE,   /* bounce submits a notice */
    ACT_NOTIFIED, /* bounce says that it is done */
    ACT_WAIT,     /* time passes */
    /* from here on it is not the way it should be */
    ACT_FAIL, /* a transaction fails */
    ACT_AGENT_DIES,
    ACT_EXPAND_AGAIN, /* the same token once more */
    ACT_EXPAND_LATE,  /* the token of an attempt that is over */
    ACT_NOTICE_AGAIN,
    ACT_SETTLE_WRONG, /* a recipient that was not in the attempt */
    ACT_DEFER,        /* the agent defers all */
    ACT_POWER,        /* is cut, and comes back */
    ACT_DELETE,
    ACT_HOLD_RELEASE,
    ACT_FLUSH,
};

struct run {
    struct world w;
    uint64_t id;         /* of the message */
    struct attempt late; /* a token of the past */
    bool has_late, expanded, noticed;
    bool sent[RCPTS]; /* the agent said so */
    bool deleted;
    unsigned deaths, fails, powers;
    struct edit edit;
    uint64_t child; /* submitted last, to be submitted again */
};

static struct config_set *set;

/* The sender wants to hear of success. */
static bool asks_success;

struct plan {
    unsigned count;
    struct {
        unsigned step, option;
    } at[8];
};

struct trace {
    unsigned steps;
    unsigned options[STEPS_MAX];
};

static void
edit_ended(struct edit *edit, uint64_t id)
{
    (void)edit;
    (void)id;
}

static void
open_run(struct run *r)
{
    const struct world_mail mail = {
        .sender = "s@example.org",
        .recipients = { "alias@x", "unknown@x", "plain@x" },
        .notify = asks_success ? NOTIFY_SUCCESS | NOTIFY_FAILURE : 0,
        .body = 10,
    };

    memset(r, 0, sizeof(*r));
    random_set_seed(1);
    world_open_set(&r->w, set);
    r->edit.done = edit_ended;
    agent_up(&r->w.q, ROLE_SMTP, r);
    r->id = world_submit(&r->w, &mail);
    while (r->w.answered_ok == 0)
        assert_true(world_step_txn(&r->w));
}

/* Routes and reads are answered at once: their order is not the question. */
static void
pump(struct run *r)
{
    do {
        qmgr_pump(&r->w.q);
    } while (world_step_route(&r->w) || world_step_disk(&r->w) || r->w.q.woken);
}

static struct errand *
find_errand(struct run *r, bool notice)
{
    list_foreach (it, &r->w.errands) {
        struct errand *e = LIST_ENTRY(it, struct errand, link);

        if (e->is_notice == notice && e->attempt.id == r->id)
            return e;
    }
    return NULL;
}

static bool
has_index(const struct errand *e, uint32_t index)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->indexes[i] == index)
            return true;
    return false;
}

static void
submit_child(struct run *r, struct world_mail *mail)
{
    mail->sender = "";
    mail->body = 10;
    r->child = world_lease(&r->w);
    world_submit_as(&r->w, r->child, mail, NULL);
}

/* What the alias stands for; the sender may want to be told. */
static void
submit_expanded(struct run *r, const struct attempt *token)
{
    static const uint32_t alias = ALIAS;
    static const struct rcpt_result told = {
        .outcome = OUTCOME_SENT,
        .status = "2.0.0",
        .text = SLICE_LIT("alias expanded"),
        .action = DSN_EXPANDED,
    };
    struct world_mail mail = {
        .recipients = { "child@x" },
        .settles = token,
        .indexes = &alias,
        .index_count = 1,
        .result = &told,
    };

    submit_child(r, &mail);
}

/* A notice of all that e is about; wrong: of one that it is not about. */
static void
submit_notice(struct run *r, const struct errand *e, bool wrong)
{
    uint32_t indexes[RCPTS];
    struct world_mail mail = {
        .recipients = { "s@example.org" },
        .settles = &e->attempt,
        .indexes = indexes,
    };

    for (uint32_t i = 0; i < RCPTS; i++)
        if (has_index(e, i) != wrong)
            indexes[mail.index_count++] = i;
    if (mail.index_count > 0)
        submit_child(r, &mail);
}

static void
answer(struct run *r, struct errand *e, enum outcome plain)
{
    struct rcpt_result results[RCPTS] = { 0 };
    struct delivery_answer a = { .attempt = e->attempt, .results = results };

    r->late = e->attempt;
    r->has_late = true;
    for (size_t i = 0; i < e->count; i++) {
        struct rcpt_result *one = &results[a.count++];

        one->index = e->indexes[i];
        memcpy(one->status, "2.0.0", 6);
        one->outcome = plain;
        if (plain == OUTCOME_DEFERRED)
            continue;
        if (one->index == ALIAS)
            one->outcome = r->expanded ? OUTCOME_EXPANDED : OUTCOME_DEFERRED;
        else if (one->index == UNKNOWN)
            one->outcome = OUTCOME_BOUNCED;
        else
            r->sent[PLAIN] = true;
    }
    r->expanded = false;
    job_answered(&r->w.q, e->job, &a);
    world_errand_end(e);
}

static void
power(struct run *r)
{
    r->powers++;
    world_crash(&r->w);
    r->has_late = r->expanded = r->noticed = false;
    memset(&r->edit, 0, sizeof(r->edit));
    r->edit.done = edit_ended;
    world_start(&r->w);
    agent_up(&r->w.q, ROLE_SMTP, r);
}

static void
delete_message(struct run *r)
{
    struct entry *e = index_find(&r->w.q.index, r->id);

    if (e != NULL &&
        edit_message(&r->w.q, e, EDIT_DELETE, UINT32_MAX, &r->edit))
        r->deleted = true;
}

static void
hold_and_release(struct run *r)
{
    struct entry *e = index_find(&r->w.q.index, r->id);

    if (e == NULL || !edit_message(&r->w.q, e, EDIT_HOLD, UINT32_MAX, &r->edit))
        return;
    pump(r);
    e = index_find(&r->w.q.index, r->id);
    if (e != NULL)
        (void)edit_message(&r->w.q, e, EDIT_RELEASE, UINT32_MAX, &r->edit);
}

/* What is possible now, what is usual first. */
static unsigned
possible(struct run *r, enum action actions[ACTIONS_MAX])
{
    struct errand *job = find_errand(r, false), *notice = find_errand(r, true);
    bool has_entry = index_find(&r->w.q.index, r->id) != NULL;
    bool quiet = true;
    unsigned n = 0;

#define CAN(action, condition)             \
    do {                                   \
        if (condition) {                   \
            actions[n++] = (action);       \
            quiet &= (action) >= ACT_FAIL; \
        }                                  \
    } while (0)
    CAN(ACT_PUMP, r->w.q.woken);
    CAN(ACT_EXPAND, job != NULL && !r->expanded && has_index(job, ALIAS));
    CAN(ACT_COMMIT, !list_empty(&r->w.txns));
    CAN(ACT_ANSWER, job != NULL);
    CAN(ACT_NOTICE, notice != NULL && !r->noticed);
    CAN(ACT_NOTIFIED, notice != NULL);
    if (quiet && has_entry)
        actions[n++] = ACT_WAIT;
    if (!has_entry)
        return quiet ? 0 : n;
    CAN(ACT_FAIL, !list_empty(&r->w.txns) && r->fails < 2);
    CAN(ACT_AGENT_DIES, job != NULL && r->deaths < 2);
    CAN(ACT_EXPAND_AGAIN, job != NULL && r->expanded && has_index(job, ALIAS));
    CAN(ACT_EXPAND_LATE, r->has_late);
    CAN(ACT_NOTICE_AGAIN, notice != NULL && r->noticed);
    CAN(ACT_SETTLE_WRONG, notice != NULL);
    CAN(ACT_DEFER, job != NULL);
    CAN(ACT_POWER, r->powers < 1);
    CAN(ACT_DELETE, !r->deleted);
    CAN(ACT_HOLD_RELEASE, true);
    CAN(ACT_FLUSH, true);
#undef CAN
    assert_true(n <= ACTIONS_MAX);
    return n;
}

static void
take_job_action(struct run *r, enum action action, struct errand *job)
{
    if (action == ACT_EXPAND || action == ACT_EXPAND_AGAIN) {
        r->expanded = true;
        submit_expanded(r, &job->attempt);
    } else if (action == ACT_ANSWER) {
        answer(r, job, OUTCOME_SENT);
    } else if (action == ACT_DEFER) {
        answer(r, job, OUTCOME_DEFERRED);
    } else {
        r->deaths++;
        r->late = job->attempt;
        r->has_late = true;
        r->expanded = false;
        world_kill(&r->w, job);
    }
}

static void
take_notice_action(struct run *r, enum action action, struct errand *notice)
{
    if (action == ACT_NOTICE || action == ACT_NOTICE_AGAIN) {
        r->noticed = true;
        submit_notice(r, notice, false);
    } else if (action == ACT_SETTLE_WRONG) {
        submit_notice(r, notice, true);
    } else {
        r->noticed = false;
        job_notified(&r->w.q, notice->job, RESULT_OK);
        world_errand_end(notice);
    }
}

static void
take(struct run *r, enum action action)
{
    struct entry *e = index_find(&r->w.q.index, r->id);

    switch (action) {
    case ACT_COMMIT:
        (void)world_step_txn(&r->w);
        break;
    case ACT_PUMP:
        pump(r);
        break;
    case ACT_WAIT:
        clock_advance_ms(5000);
        pump(r);
        break;
    case ACT_FAIL:
        r->fails++;
        r->w.disk_fails = true;
        (void)world_step_txn(&r->w);
        r->w.disk_fails = false;
        break;
    case ACT_EXPAND:
    case ACT_EXPAND_AGAIN:
    case ACT_ANSWER:
    case ACT_DEFER:
    case ACT_AGENT_DIES:
        take_job_action(r, action, find_errand(r, false));
        break;
    case ACT_NOTICE:
    case ACT_NOTICE_AGAIN:
    case ACT_SETTLE_WRONG:
    case ACT_NOTIFIED:
        take_notice_action(r, action, find_errand(r, true));
        break;
    case ACT_EXPAND_LATE:
        submit_expanded(r, &r->late);
        break;
    case ACT_POWER:
        power(r);
        break;
    case ACT_DELETE:
        delete_message(r);
        break;
    case ACT_HOLD_RELEASE:
        hold_and_release(r);
        break;
    case ACT_FLUSH:
        if (e != NULL)
            edit_flush(&r->w.q, e);
        break;
    }
}

/* Children are delivered, whatever the plan says about their parent. */
static void
deliver_children(struct run *r)
{
    list_foreach_safe (it, &r->w.errands) {
        struct errand *e = LIST_ENTRY(it, struct errand, link);

        if (e->attempt.id != r->id)
            world_report(&r->w, e, OUTCOME_SENT, DESTINATION_OK);
    }
}

static void
finish(struct run *r)
{
    enum action actions[ACTIONS_MAX];

    for (unsigned i = 0; r->w.q.index.entries.count > 0; i++) {
        struct entry *e = index_find(&r->w.q.index, r->id);

        assert_true(i < 2000);
        if (e != NULL && e->state == ENTRY_HELD) {
            (void)edit_message(&r->w.q, e, EDIT_RELEASE, UINT32_MAX, &r->edit);
            continue;
        }
        deliver_children(r);
        if (possible(r, actions) > 0)
            take(r, actions[0]);
        else
            world_pass_ms(&r->w, 1000);
    }
    world_settle(&r->w);
}

static void
count_set(struct slice octets, unsigned counts[RCPTS])
{
    uint32_t at = 0, start, count;

    while (set_next(&octets, &at, &start, &count))
        for (uint32_t i = start; i < start + count; i++)
            counts[i]++;
}

/* How often each recipient was settled by a transaction that is in the log. */
static void
judge(struct run *r)
{
    unsigned settled[RCPTS] = { 0 }, told[RCPTS] = { 0 };
    struct status_brief brief;
    struct rcpt_result result;
    struct why why;

    list_foreach (it, &r->w.log) {
        struct stored *s = LIST_ENTRY(it, struct stored, link);
        struct slice set_octets, rest = { s->head, s->head_len };

        if (s->type != RECORD_STATUS || s->id != r->id)
            continue;
        assert_int_equal(status_brief_decode((struct slice){ s->brief,
                                                 s->brief_len },
                             &brief, &why),
            RESULT_OK);
        if ((brief.flags & STATUS_PART) == 0)
            continue;
        assert_int_equal(status_settled((struct slice){ s->head, s->head_len },
                             &set_octets, &why),
            RESULT_OK);
        count_set(set_octets, settled);
        while (status_next_group(&rest, &result, &set_octets))
            count_set(set_octets, told);
    }
    for (unsigned i = 0; i < RCPTS; i++) {
        assert_in_range(settled[i], 0, 1);
        /* An alias is expanded once, and then told of. */
        assert_in_range(told[i], 0, asks_success && i == ALIAS ? 1 : 0);
        if (!r->deleted)
            assert_true(settled[i] == 1 || (r->sent[i] && !asks_success));
        /* Who gets his mail is not told of as failed, and the reverse. */
        if (i == PLAIN && !asks_success)
            assert_int_equal(settled[i], 0);
    }
    world_assert_empty(&r->w);
}

static bool verbose;

static void
run_plan(const struct plan *p, struct trace *t)
{
    struct run *r = mem_alloc(sizeof(*r));
    enum action actions[ACTIONS_MAX];
    unsigned next = 0;

    open_run(r);
    for (t->steps = 0; t->steps < STEPS_MAX; t->steps++) {
        unsigned n, option = 0;

        deliver_children(r);
        n = possible(r, actions);
        if (n == 0)
            break;
        t->options[t->steps] = n;
        if (next < p->count && p->at[next].step == t->steps)
            option = p->at[next++].option % n;
        if (verbose)
            print_message("  %u: %d of %u\n", t->steps, actions[option], n);
        take(r, actions[option]);
    }
    finish(r);
    judge(r);
    world_close_all(&r->w);
    mem_free(r);
}

static unsigned
/* NOLINTNEXTLINE(misc-no-recursion): left counts down */
explore(struct plan *p, unsigned from, unsigned left)
{
    struct trace t;
    unsigned runs = 1;

    run_plan(p, &t);
    if (left == 0)
        return runs;
    for (unsigned step = from; step < t.steps; step++) {
        for (unsigned option = 1; option < t.options[step]; option++) {
            p->at[p->count].step = step;
            p->at[p->count++].option = option;
            runs += explore(p, step + 1, left - 1);
            p->count--;
        }
    }
    return runs;
}

static void
test_every_deviation(void **state)
{
    const char *more = getenv("MODEL_DEVIATIONS");
    unsigned deviations = more == NULL ? DEVIATIONS : (unsigned)*more - '0';
    struct plan p = { 0 };

    (void)state;
    print_message("  %u runs\n", explore(&p, 0, deviations));
}

static void
test_random(void **state)
{
    struct trace t;
    uint64_t x = 88172645463325252;

    (void)state;
    for (unsigned run = 0; run < RANDOM_RUNS; run++) {
        struct plan p = { 0 };
        unsigned step = 0;

        while (p.count < sizeof(p.at) / sizeof(p.at[0])) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            step += 1 + (unsigned)(x >> 40) % 5;
            p.at[p.count].step = step;
            p.at[p.count++].option = (unsigned)(x >> 20) % 97;
        }
        run_plan(&p, &t);
    }
}

static void
test_every_deviation_told(void **state)
{
    asks_success = true;
    test_every_deviation(state);
}

static void
test_random_told(void **state)
{
    asks_success = true;
    test_random(state);
}

static int
open_set(void **state)
{
    struct why why;

    (void)state;
    verbose = getenv("VERBOSE") != NULL;
    /* The log of a thousand runs is of no use. */
    log_set_sink(world_no_log, NULL, NULL);
    assert_int_equal(config_from_text(main_cf, world_master_cf, &set, &why),
        RESULT_OK);
    return 0;
}

static int
close_set(void **state)
{
    (void)state;
    config_drop(set);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_deviation),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_every_deviation_told),
        cmocka_unit_test(test_random_told),
    };

    return cmocka_run_group_tests(tests, open_set, close_set);
}

/*
 * A day in the life of the queue manager, in seconds: scripted agents, clock
 * and disk. Mail comes in bursts; destinations go down and come back, are slow,
 * or take few sessions; agents die, bounce is away, the disk fills up, the
 * configuration is read again, the power is cut. In the end every message that was accepted
 * has reached each recipient or his failure its sender, once, unless the power
 * was cut between a delivery and its record; the queue is empty, the memory and
 * the disk are as they were.
 */
#include "qmgr/destination.h"
#include "qmgr/health.h"
#include "qmgr/lane.h"
#include "tests/unit/qmgr_world.h"

#include <malloc.h>

enum {
    MESSAGES = 2500, /* SIM_MESSAGES sets another number */
    DAYS = 3,        /* SIM_DAYS does; SIM_SEED: of the first */
    HOURS = 24,      /* SIM_HOURS: fewer make it denser */
    DESTINATIONS = 12,
    DEAD = 0,    /* never there */
    SLOW = 5,    /* a delivery takes long */
    BUSY = 7,    /* takes few sessions ... */
    TAKES = 2,   /* ... so many */
    BURST = 300, /* messages at once, now and then */
    RCPTS_MAX = 6,
    SEGMENT = 256 * 1024,
    DISK = 64 * 1024 * 1024,
    STEP_MS = 2000,
    SETTLE_MS = 1000, /* queue_settle_delay */
};

static const char main_cf[] = "maximal_queue_lifetime = 4h\n"
                              "bounce_queue_lifetime = 2h\n"
                              "minimal_backoff_time = 60s\n"
                              "maximal_backoff_time = 1200s\n"
                              "queue_run_delay = 60s\n"
                              "qmgr_message_active_limit = 300\n"
                              "default_destination_recipient_limit = 3\n";

/* What is known of one recipient of one message. */
struct fate {
    unsigned delivered, told; /* how often */
    bool may_repeat;          /* the power was cut before it was on disk */
};

struct sim {
    struct world w;
    unsigned total, accepted, refused, crashes, deaths;
    struct fate *fates;    /* RCPTS_MAX for each message */
    unsigned char *counts; /* recipients of each; 0: not accepted */
    enum result *answers;
    unsigned char *sizes;
    size_t *fresh;     /* fates that changed since the last commit */
    int64_t *fresh_at; /* and when */
    size_t fresh_count;
    struct agent *agents[2];
    bool bounce_away;
};

static uint64_t
dice(uint64_t below)
{
    return random_below(below);
}

/* Each destination is down for some hours of the day, one of them for all. */
static bool
is_down(unsigned destination)
{
    unsigned hour = (unsigned)((clock_now_ms() - 1000000) / 3600000);

    if (destination == DEAD)
        return true;
    return (hour + destination) % 7 == 0;
}

static void
changed(struct sim *s, struct fate *f)
{
    s->fresh_at[s->fresh_count % (1 << 16)] = clock_now_ms();
    s->fresh[s->fresh_count++ % (1 << 16)] = (size_t)(f - s->fates);
}

static struct fate *
fate_of(struct sim *s, const char *address)
{
    unsigned message, rcpt, destination;

    /* NOLINTNEXTLINE(cert-err34-c): we wrote it */
    assert_int_equal(sscanf(address, "m%u.%u@d%u.test", &message, &rcpt,
                         &destination),
        3);
    assert_true(message < s->total && rcpt < RCPTS_MAX);
    return &s->fates[message * RCPTS_MAX + rcpt];
}

/* Messages. */

static void
submit(struct sim *s, unsigned number)
{
    struct world_mail mail = { .body = 200 + dice(3000) };
    static char names[RCPTS_MAX][40];
    static char sender[40];
    unsigned count = dice(10) == 0 ? RCPTS_MAX : 1 + (unsigned)dice(2);
    uint64_t id;

    (void)snprintf(sender, sizeof(sender), "s%u@senders.test", number);
    mail.sender = sender;
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "m%u.%u@d%u.test", number, i,
            (unsigned)dice(DESTINATIONS));
        mail.recipients[i] = names[i];
    }
    s->sizes[number] = (unsigned char)count;
    s->answers[number] = RESULT_TEMPFAIL;
    id = world_lease_try(&s->w);
    if (id == 0)
        return;
    s->answers[number] = 99;
    world_submit_as(&s->w, id, &mail, &s->answers[number]);
}

static void
note_answers(struct sim *s, unsigned number)
{
    if (s->answers[number] == RESULT_OK && s->counts[number] == 0) {
        s->counts[number] = s->sizes[number];
        s->accepted++;
    } else if (s->answers[number] == RESULT_TEMPFAIL) {
        s->answers[number] = 98;
        s->refused++;
    }
}

/* Agents. */

static void
deliver(struct sim *s, struct errand *e)
{
    struct rcpt_result results[RCPTS_MAX] = { 0 };
    struct delivery_answer a = { .attempt = e->attempt, .results = results };
    unsigned destination = 0;

    assert_in_range(e->count, 1, RCPTS_MAX);
    /* NOLINTNEXTLINE(cert-err34-c): we wrote it */
    (void)sscanf(e->nexthop, "d%u.test", &destination);
    for (size_t i = 0; i < e->count; i++) {
        struct rcpt_result *r = &results[a.count++];
        struct fate *f;

        r->index = e->indexes[i];
        r->text = SLICE_LIT("simulated");
        memcpy(r->status, "2.0.0", 6);
        r->outcome = OUTCOME_SENT;
        if (is_down(destination)) {
            r->outcome = OUTCOME_DEFERRED;
            a.destination = DESTINATION_DEAD;
            a.destination_text = SLICE_LIT("connect: refused");
            continue;
        }
        f = fate_of(s, e->addresses[i]);
        /* One in ten is unknown, one in ten is greylisted at first. */
        if ((f - s->fates) % 10 == 3) {
            r->outcome = OUTCOME_BOUNCED;
        } else if (dice(10) == 0) {
            r->outcome = OUTCOME_DEFERRED;
        } else {
            f->delivered++;
            changed(s, f);
        }
    }
    job_answered(&s->w.q, e->job, &a);
    world_errand_end(e);
}

/* A session too many. */
static bool
is_refused(const struct errand *e, unsigned destination)
{
    const struct destination *d = e->job->destination;

    return destination == BUSY && d != NULL && d->running > TAKES &&
        health_takes_back(d);
}

/* Notices to senders are seen by bounce's end of it: nothing to route. */
static void
deliver_notice(struct sim *s, struct errand *e)
{
    world_report(&s->w, e, dice(20) == 0 ? OUTCOME_DEFERRED : OUTCOME_SENT,
        DESTINATION_OK);
}

static void
tell(struct sim *s, struct errand *e)
{
    enum result told = 99;
    struct world_mail notice = {
        .sender = "",
        .recipients = { "postmaster@senders.test" },
        .body = 500,
        .settles = &e->attempt,
        .indexes = e->indexes,
        .index_count = e->count,
    };

    uint64_t id = world_lease_try(&s->w);

    if (id != 0)
        world_submit_as(&s->w, id, &notice, &told);
    while (id != 0 && told == (enum result)99 &&
        (world_step_txn(&s->w) || world_step_disk(&s->w)))
        ;
    /* It is durable, or it is not: a notice is never in doubt. */
    for (size_t i = 0; told == RESULT_OK && i < e->count; i++)
        if (e->addresses[i][0] == 'm')
            fate_of(s, e->addresses[i])->told++;
    job_notified(&s->w.q, e->job, RESULT_OK);
    world_errand_end(e);
}

static void
errands(struct sim *s)
{
    struct errand *e;
    size_t nth = 0;

    while ((e = world_errand(&s->w, nth)) != NULL) {
        unsigned destination = DESTINATIONS;

        /* NOLINTNEXTLINE(cert-err34-c): we wrote it */
        (void)sscanf(e->nexthop, "d%u.test", &destination);
        if (destination == SLOW && dice(20) != 0)
            nth++;
        else if (e->is_notice)
            tell(s, e);
        else if (is_refused(e, destination))
            world_report(&s->w, e, OUTCOME_RETURNED, DESTINATION_BUSY);
        else if (strcmp(e->nexthop, "senders.test") == 0)
            deliver_notice(s, e);
        else
            deliver(s, e);
        if (dice(4) == 0)
            qmgr_pump(&s->w.q);
    }
}

static void
kill_agent(struct sim *s)
{
    unsigned which = (unsigned)dice(2);

    s->deaths++;
    list_foreach_safe (it, &s->w.errands) {
        struct errand *e = LIST_ENTRY(it, struct errand, link);

        if (!e->is_notice && e->agent == &s->agents[which])
            world_kill(&s->w, e);
    }
    agent_gone(&s->w.q, s->agents[which]);
    s->agents[which] = agent_up(&s->w.q, ROLE_SMTP, &s->agents[which]);
}

static void
agents_up(struct sim *s)
{
    for (unsigned i = 0; i < 2; i++)
        s->agents[i] = agent_up(&s->w.q, ROLE_SMTP, &s->agents[i]);
}

static void
cut_power(struct sim *s)
{
    /*
     * What was delivered since the last commit may be delivered again, if that
     * was within the settle delay: even a full disk takes what becomes of mail.
     */
    assert_true(s->fresh_count < 1 << 16);
    for (size_t i = 0; i < s->fresh_count; i++)
        if (clock_now_ms() - s->fresh_at[i] <= SETTLE_MS)
            s->fates[s->fresh[i]].may_repeat = true;
    s->crashes++;
    world_crash_by(&s->w, (enum cut)dice(CUT_KINDS), dice(1 << 30));
    /* A spool is not taken over while the disk is full. */
    disk_sim_set_capacity(s->w.sim, DISK);
    world_start(&s->w);
    s->w.settle_delay_ms = SETTLE_MS;
    agents_up(s);
}

static void
settle(struct sim *s)
{
    world_settle(&s->w);
    if (gather_due_ms(&s->w.gathered) == CLOCK_NEVER &&
        list_empty(&s->w.q.writes)) {
        s->fresh_count = 0;
        s->w.txn_failed = false;
    }
}

/* Trouble that comes now and then. */
static void
trouble(struct sim *s)
{
    switch (dice(120)) {
    case 0:
        cut_power(s);
        break;
    case 1:
    case 2:
        kill_agent(s);
        break;
    case 3:
        s->w.no_bounce = !s->w.no_bounce;
        break;
    case 4:
        s->w.no_lookup = !s->w.no_lookup;
        resolve_retry(&s->w.q);
        break;
    case 5:
        disk_sim_set_capacity(s->w.sim, disk_sim_used(s->w.sim) + 8192);
        break;
    case 6:
    case 7:
        disk_sim_set_capacity(s->w.sim, DISK);
        break;
    case 8:
        edit_flush_all(&s->w.q, NULL);
        break;
    case 9:
        qmgr_configure(&s->w.q, s->w.set);
        break;
    default:
        break;
    }
}

/* What waits for a flush is written when its time has come. */
static void
let_time_pass(struct sim *s, int64_t ms)
{
    int64_t end = clock_now_ms() + ms, due;

    while ((due = gather_due_ms(&s->w.gathered)) <= end) {
        if (due > clock_now_ms())
            clock_advance_ms(due - clock_now_ms());
        (void)world_step_txn(&s->w);
        qmgr_pump(&s->w.q); /* what waited for that is written next */
    }
    clock_advance_ms(end - clock_now_ms());
}

static void
pass(struct sim *s, int64_t ms)
{
    let_time_pass(s, ms);
    qmgr_pump(&s->w.q);
    while (world_step_route(&s->w) || world_step_disk(&s->w))
        ;
    qmgr_pump(&s->w.q);
    errands(s);
    trouble(s);
    settle(s);
    errands(s);
    settle(s);
}

static void
judge(struct sim *s)
{
    unsigned repeated = 0;

    for (unsigned n = 0; n < s->total; n++) {
        for (unsigned i = 0; i < RCPTS_MAX; i++) {
            struct fate *f = &s->fates[n * RCPTS_MAX + i];

            if (i >= s->counts[n]) {
                /* Never accepted, or not a recipient. */
                if (s->counts[n] > 0)
                    assert_int_equal(f->delivered + f->told, 0);
                continue;
            }
            assert_true(f->delivered + f->told > 0);
            assert_in_range(f->told, 0, 1);
            if (!f->may_repeat) {
                assert_int_equal(f->delivered + f->told, 1);
            }
            repeated += f->delivered > 1;
        }
    }
    print_message("  %u accepted, %u refused, %u crashes, %u agents died, "
                  "%u delivered again\n",
        s->accepted, s->refused, s->crashes, s->deaths, repeated);
}

static uint64_t
setting(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);

    return text == NULL ? fallback : strtoull(text, NULL, 10);
}

static void
sim_open(struct sim *s, struct config_set *set)
{
    memset(s, 0, sizeof(*s));
    s->total = (unsigned)setting("SIM_MESSAGES", MESSAGES);
    s->fates = mem_alloc_array((size_t)s->total * RCPTS_MAX, sizeof(*s->fates));
    s->counts = mem_alloc_array(s->total, 1);
    s->sizes = mem_alloc_array(s->total, 1);
    s->answers = mem_alloc_array(s->total, sizeof(*s->answers));
    s->fresh = mem_alloc_array(1 << 16, sizeof(*s->fresh));
    s->fresh_at = mem_alloc_array(1 << 16, sizeof(*s->fresh_at));
    world_open_on(&s->w, set, disk_sim_new(DISK), SEGMENT);
    s->w.settle_delay_ms = SETTLE_MS;
    agents_up(s);
}

static void
sim_close(struct sim *s)
{
    world_close_all(&s->w);
    mem_free(s->fates);
    mem_free(s->counts);
    mem_free(s->sizes);
    mem_free(s->answers);
    mem_free(s->fresh);
    mem_free(s->fresh_at);
}

static void
released(struct edit *edit, uint64_t id)
{
    (void)edit;
    (void)id;
}

/* Too many agents died while they had it: the admin lets it go on. */
static void
release_held(struct sim *s)
{
    static struct edit edit = { .done = released };

    for (struct map_node *n = map_first(&s->w.q.index.entries); n != NULL;
         n = map_after(&s->w.q.index.entries, n))
        (void)edit_message(&s->w.q, LIST_ENTRY(n, struct entry, node),
            EDIT_RELEASE, 1U << ENTRY_HELD, &edit);
}

static void
a_day(uint64_t seed)
{
    static struct sim s;
    struct config_set *set;
    struct spool_stats stats;
    struct why why;
    unsigned number = 0;
    int64_t hours = (int64_t)setting("SIM_HOURS", HOURS), noon, end;

    assert_int_equal(config_from_text(main_cf, world_master_cf, &set, &why),
        RESULT_OK);
    random_set_seed(seed);
    sim_open(&s, set);
    config_drop(set);
    noon = clock_now_ms() + hours * 1800000;
    end = 2 * noon - clock_now_ms();
    while (clock_now_ms() < end) {
        int64_t left = (end - clock_now_ms()) / 2;
        unsigned burst = (unsigned)dice(6), first = number;

        if (dice(s.total / BURST + 50) == 0)
            burst = BURST;
        while (burst-- > 0 && number < s.total)
            submit(&s, number++);
        pass(&s,
            number < s.total ? 1 + left / (s.total - number) * 2
                             : STEP_MS * 30);
        for (unsigned i = first; i < number; i++)
            note_answers(&s, i);
        /* A quiet day has one crash, too. */
        if (s.crashes == 0 && clock_now_ms() >= noon)
            cut_power(&s);
    }
    /* Peace: what is left runs out. */
    s.w.no_bounce = s.w.no_lookup = false;
    disk_sim_set_capacity(s.w.sim, DISK);
    resolve_retry(&s.w.q);
    for (unsigned i = 0; s.w.q.index.entries.count > 0; i++) {
        assert_true(i < 20000);
        if (i % 1000 == 0)
            release_held(&s);
        let_time_pass(&s, STEP_MS);
        qmgr_pump(&s.w.q);
        settle(&s);
        errands(&s);
        settle(&s);
    }
    judge(&s);
    /* In a short day the disk may be full for most of it. */
    assert_true(s.accepted > s.total / (hours < HOURS ? 100 : 4));
    world_assert_empty(&s.w);
    spool_stats(s.w.spool, &stats);
    /*
     * The mark of ids, and removals of messages that are still in a segment: of
     * those that the cleaner gathered in one, they are a quarter.
     */
    assert_in_range(stats.octets_live, 0, SEGMENT / 4);
    /* Nobody is remembered for ever. */
    world_pass_ms(&s.w, 2 * 3600000);
    assert_int_equal(s.w.q.destinations.count, 0);
    assert_int_equal(s.w.q.destination_lanes.count, 0);
    assert_int_equal(s.w.q.index.lanes.count, 0);
    assert_true(list_empty(&s.w.q.lanes_parked));
    list_foreach (it, &s.w.q.agents)
        assert_int_equal(LIST_ENTRY(it, struct agent, link)->running, 0);
    for (struct map_node *n = map_first(&s.w.q.transports); n != NULL;
         n = map_after(&s.w.q.transports, n)) {
        assert_int_equal(LIST_ENTRY(n, struct transport, node)->running, 0);
        assert_int_equal(LIST_ENTRY(n, struct transport, node)->waiting, 0);
    }
    sim_close(&s);
}

static void
test_days(void **state)
{
    uint64_t seed = setting("SIM_SEED", 1), before = 0;

    (void)state;
    log_set_sink(world_no_log, NULL, NULL);
    for (uint64_t day = 0; day < setting("SIM_DAYS", DAYS); day++, seed++) {
        print_message("  SIM_SEED=%llu\n", (unsigned long long)seed);
        a_day(seed);
        /* What stdio and the like keep for themselves, once for all. */
        if (day == 0)
            before = mallinfo2().uordblks;
        assert_in_range(mallinfo2().uordblks, 0, before);
    }
}

/*
 * What malloc() keeps for the thread that freed it counts as in use, and how
 * much that is depends on the day: without it, each day ends with the very heap
 * of the first. It is only heeded when the program starts.
 */
static void
start_without_cache(char **argv)
{
    static const char setting[] = "glibc.malloc.tcache_count=0";
    const char *now = getenv("GLIBC_TUNABLES");

    if (now != NULL && strcmp(now, setting) == 0)
        return;
    (void)setenv("GLIBC_TUNABLES", setting, 1);
    (void)execv("/proc/self/exe", argv);
    perror("/proc/self/exe");
    exit(1);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_days),
    };

    (void)argc;
    start_without_cache(argv);
    /* The maps' seed is drawn once, so it comes before anything else. */
    random_set_seed(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

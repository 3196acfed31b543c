/*
 * qmgr_world - everything outside the queue manager's core, in the hands of a
 * test: a disk, agents, bounce and lookup that answer when and what the test
 * says, a clock that stands still.
 *
 * What the core asks for gathers in lists (qmgr_world_state.h); the test decides
 * what happens next. world_settle() lets everything happen until nothing does
 * any more. Here are a world's beginning and end, and how time passes in it.
 */
#pragma once

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "lib/mail/queue_id.h"
#include "qmgr/core.h"
#include "qmgr/edit.h"
#include "qmgr/late.h"
#include "qmgr/mail.h"
#include "qmgr/recover.h"
#include "tests/unit/qmgr_world_disk.h"
#include "tests/unit/qmgr_world_errands.h"
#include "tests/unit/qmgr_world_lookup.h"
#include "tests/unit/qmgr_world_state.h"
#include "tests/unit/qmgr_world_submit.h"

WORLD_FN void
world_unverified(void *context, struct slice address)
{
    struct world *w = context;
    size_t len = strlen(w->verified);

    (void)snprintf(w->verified + len, WORLD_TEXT - len,
        SLICE_FMT " is not known;", SLICE_ARG(address));
}

WORLD_FN void
world_wake(void *context)
{
    (void)context;
}

static const struct outside world_outside = {
    .commit = world_commit,
    .disk = world_disk,
    .txn_max = world_txn_max,
    .has_room = world_has_room,
    .pressure = world_pressure,
    .room_take = world_room_take,
    .room_give = world_room_give,
    .close = world_close,
    .dead = world_dead,
    .resolve = world_resolve,
    .backlog = world_backlog,
    .deliver = world_deliver,
    .notify = world_notify,
    .answer = world_answer,
    .verified = world_verified,
    .unverified = world_unverified,
    .wake = world_wake,
};

/* Time. */

/* Everything but errands: disk, lookup and the core itself. */
WORLD_FN void
world_settle(struct world *w)
{
    bool more = true;

    while (more) {
        qmgr_pump(&w->q);
        more = w->q.woken;
        while ((!w->lookup_waits && world_step_route(w)) || world_step_disk(w))
            more = true;
        while (!w->disk_fails && world_step_txn(w))
            more = true;
        if (w->disk_fails)
            for (size_t n = world_count(&w->txns); n > 0; n--)
                (void)world_step_txn(w);
    }
}

/* Time goes on; timers fire when they are due. */
WORLD_FN void
world_pass_ms(struct world *w, int64_t ms)
{
    int64_t end = clock_now_ms() + ms;

    for (;;) {
        int64_t next;

        world_settle(w);
        next = qmgr_next_ms(&w->q);
        if (gather_due_ms(&w->gathered) < next)
            next = gather_due_ms(&w->gathered);
        if (next > end)
            break;
        if (next > clock_now_ms())
            clock_advance_ms(next - clock_now_ms());
    }
    clock_advance_ms(end - clock_now_ms());
    world_settle(w);
}

/* Steps, each with all that comes of it. */

WORLD_FN uint64_t
world_accept(struct world *w, const struct world_mail *mail)
{
    uint64_t id = world_submit(w, mail);

    world_settle(w);
    return id;
}

/* e ends so for all its recipients. */
WORLD_FN void
world_finish(struct world *w, struct errand *e, enum outcome outcome)
{
    world_report(w, e, outcome, DESTINATION_OK);
    world_settle(w);
}

/* bounce did what the notice e asks for, or did not. */
WORLD_FN void
world_notified(struct world *w, struct errand *e, enum result res)
{
    job_notified(&w->q, e->job, res);
    world_errand_end(e);
    world_settle(w);
}

WORLD_FN struct errand *
world_only_errand(struct world *w)
{
    assert_int_equal(world_count(&w->errands), 1);
    return world_errand(w, 0);
}

/* Life and death. */

WORLD_FN void
world_begin(struct world *w)
{
    if (w->before_begin != NULL)
        w->before_begin(w);
    late_begin(&w->q);
    recover_end(&w->q);
}

WORLD_FN void
world_start(struct world *w)
{
    w->frozen = false;
    w->lease_count = 0;
    qmgr_init(&w->q, &world_outside, w, w->set);
    if (w->sim != NULL)
        world_open_spool(w);
    else
        world_find_all(w);
    world_begin(w);
}

__attribute__((unused)) static const char world_master_cf[] =
    "smtp unix - - n - - smtp\n"
    "slow unix - - n - 2 smtp\n"
    "local unix - n n - - local\n"
    "error unix - - n - - error\n"
    "retry unix - - n - - error\n"
    "discard unix - - n - - discard\n"
    "bounce unix - - n - 0 bounce\n"
    "qmgr unix n - n 300 1 qmgr\n";

/* set is held. sim, if given, is the world's from now on. */
WORLD_FN void
world_open_on(struct world *w, struct config_set *set, struct disk_sim *sim,
    uint64_t segment_size)
{
    *w = (struct world){ .sim = sim, .segment_size = segment_size };
    list_init(&w->log);
    list_init(&w->txns);
    gather_init(&w->gathered);
    list_init(&w->disk);
    list_init(&w->errands);
    list_init(&w->asked);
    clock_set(1000000, 1700000000 * (int64_t)1000000);
    w->set = config_hold(set);
    world_start(w);
}

WORLD_FN void
world_open_set(struct world *w, struct config_set *set)
{
    world_open_on(w, set, NULL, 0);
}

/* What is held. */
WORLD_FN struct config_set *
world_config(const char *main_cf, const char *master_cf)
{
    struct config_set *set;
    struct why why;

    if (config_from_text(main_cf, master_cf, &set, &why) != RESULT_OK)
        fail_msg("%s", why.text);
    return set;
}

WORLD_FN void
world_open_with(struct world *w, const char *main_cf, const char *master_cf)
{
    struct config_set *set = world_config(main_cf, master_cf);

    world_open_set(w, set);
    config_drop(set);
}

WORLD_FN void
world_open(struct world *w, const char *main_cf)
{
    world_open_with(w, main_cf, world_master_cf);
}

/*
 * From now on nothing becomes durable; what was not is lost. On a simulated
 * disk the cut decides about what was written and not flushed.
 */
WORLD_FN void
world_crash_by(struct world *w, enum cut cut, uint64_t seed)
{
    struct disk_sim *rest = w->sim == NULL ? NULL
                                           : disk_sim_cut(w->sim, cut, seed);
    struct list *it;

    w->frozen = true;
    w->settle_delay_ms = 0;
    gather_take(&w->gathered, &w->txns);
    qmgr_stop(&w->q);
    while (!list_empty(&w->txns) || !list_empty(&w->disk) ||
        !list_empty(&w->errands) || !list_empty(&w->asked)) {
        while ((it = list_take(&w->asked)) != NULL)
            mem_free(LIST_ENTRY(it, struct asked, link));
        while (!list_empty(&w->errands))
            world_kill(w, world_errand(w, 0));
        while (world_step_disk(w) || world_step_txn(w))
            ;
    }
    list_foreach_safe (at, &w->q.agents)
        agent_gone(&w->q, LIST_ENTRY(at, struct agent, link));
    qmgr_fini(&w->q);
    if (w->sim == NULL)
        return;
    /* What it writes in the end goes to the disk that is thrown away. */
    spool_close(w->spool);
    w->spool = NULL;
    disk_sim_free(w->sim);
    w->sim = rest;
}

WORLD_FN void
world_crash(struct world *w)
{
    world_crash_by(w, CUT_LOST, 0);
}

WORLD_FN void
world_close_all(struct world *w)
{
    struct list *it;

    world_crash(w);
    while ((it = list_take(&w->log)) != NULL) {
        struct stored *s = LIST_ENTRY(it, struct stored, link);

        mem_free(s->brief);
        mem_free(s->head);
        mem_free(s->content);
        mem_free(s);
    }
    if (w->sim != NULL)
        disk_sim_free(w->sim);
    config_drop(w->set);
    clock_unset();
}

/* After a crash, with an agent, as far as it goes by itself. */
WORLD_FN void
world_restart(struct world *w)
{
    world_crash(w);
    world_start(w);
    agent_up(&w->q, ROLE_SMTP, w);
    world_settle(w);
}

/* A test's own. */
WORLD_FN struct world *
world_new(const char *main_cf, const char *master_cf)
{
    struct world *w = mem_alloc(sizeof(*w));

    random_set_seed(7);
    world_open_with(w, main_cf, master_cf);
    return w;
}

WORLD_FN void
world_free(struct world *w)
{
    world_close_all(w);
    mem_free(w);
}

/* For cmocka, behind a set-up that leaves a world_new() in *state. */
WORLD_FN int
world_teardown(void **state)
{
    world_free(*state);
    return 0;
}

/* Nothing of any message is needed any more. */
WORLD_FN void
world_assert_empty(struct world *w)
{
    assert_int_equal(w->q.index.entries.count, 0);
    assert_int_equal(w->q.index.parts.count, 0);
    assert_int_equal(w->q.held_octets, 0);
    assert_int_equal(w->q.active_recipients, 0);
    assert_int_equal(w->q.jobs_out, 0);
    assert_int_equal(w->q.bundles.count, 0);
    assert_int_equal(w->q.questions.count, 0);
    list_foreach (it, &w->log) {
        struct stored *s = LIST_ENTRY(it, struct stored, link);

        if (s->type != RECORD_META && s->type != RECORD_REMOVE)
            assert_true(s->dead);
    }
}

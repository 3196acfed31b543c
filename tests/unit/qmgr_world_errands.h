/*
 * qmgr_world_errands - the agents and bounce of a world: they get deliveries and
 * notices, and report or die when the test says.
 */
#pragma once

#include "qmgr/dispatch.h"
#include "qmgr/round.h"
#include "qmgr/settle.h"
#include "tests/unit/qmgr_world_state.h"

WORLD_FN size_t
world_backlog(void *context, const struct agent *agent)
{
    (void)context;
    (void)agent;
    return 0;
}

WORLD_FN struct errand *
world_errand_new(size_t count)
{
    struct errand *e = mem_alloc(sizeof(*e));

    assert_true(count > 0);
    e->indexes = mem_alloc_array(count, sizeof(*e->indexes));
    e->addresses = mem_alloc_array(count, sizeof(*e->addresses));
    e->results = mem_alloc_array(count, sizeof(*e->results));
    e->stays = mem_alloc_array(count, sizeof(*e->stays));
    return e;
}

WORLD_FN bool
world_deliver(void *context, struct agent *agent, struct delivery *d,
    struct job *job)
{
    struct world *w = context;
    struct errand *e = world_errand_new(d->recipient_count);

    e->job = job;
    e->attempt = d->attempt;
    e->proof = d->proof;
    e->agent = agent->peer;
    e->body_len = d->body.len;
    (void)snprintf(e->transport, WORLD_TEXT, SLICE_FMT,
        SLICE_ARG(d->transport));
    (void)snprintf(e->nexthop, WORLD_TEXT, SLICE_FMT, SLICE_ARG(d->nexthop));
    for (size_t i = 0; i < d->recipient_count; i++) {
        e->indexes[e->count] = d->recipients[i].index;
        (void)snprintf(e->addresses[e->count++], WORLD_TEXT, SLICE_FMT,
            SLICE_ARG(d->recipients[i].rcpt.address));
    }
    list_append(&w->errands, &e->link);
    return true;
}

WORLD_FN bool
world_notify(void *context, struct notice *n, struct job *job)
{
    struct world *w = context;
    struct errand *e;

    if (w->no_bounce)
        return false;
    e = world_errand_new(n->recipient_count);
    e->job = job;
    e->is_notice = true;
    e->kind = n->kind;
    e->is_damaged = n->is_damaged != 0;
    e->body_len = n->body.len;
    e->attempt = n->attempt;
    for (size_t i = 0; i < n->recipient_count; i++) {
        e->indexes[e->count] = n->recipients[i].index;
        e->results[e->count] = n->recipients[i].result;
        e->stays[e->count] = n->recipients[i].stays != 0;
        (void)snprintf(e->addresses[e->count++], WORLD_TEXT, SLICE_FMT,
            SLICE_ARG(n->recipients[i].rcpt.address));
    }
    list_append(&w->errands, &e->link);
    return true;
}

WORLD_FN struct errand *
world_errand(struct world *w, size_t nth)
{
    list_foreach (it, &w->errands)
        if (nth-- == 0)
            return LIST_ENTRY(it, struct errand, link);
    return NULL;
}

WORLD_FN void
world_errand_end(struct errand *e)
{
    list_remove(&e->link);
    mem_free(e->indexes);
    mem_free(e->addresses);
    mem_free(e->results);
    mem_free(e->stays);
    mem_free(e);
}

/* All recipients of e have that outcome. */
WORLD_FN void
world_report(struct world *w, struct errand *e, enum outcome outcome,
    enum destination_state state)
{
    struct rcpt_result *results = mem_alloc_array(e->count, sizeof(*results));
    struct delivery_answer a = {
        .attempt = e->attempt,
        .destination = state,
        .destination_text = SLICE_LIT("connect: refused"),
        .results = results,
        .count = e->count,
    };

    for (size_t i = 0; i < e->count; i++) {
        results[i].index = e->indexes[i];
        results[i].outcome = outcome;
        (void)snprintf(results[i].status, sizeof(results[i].status), "%s",
            outcome == OUTCOME_SENT           ? "2.0.0"
                : outcome == OUTCOME_DEFERRED ? "4.4.1"
                                              : "5.1.1");
        results[i].text = SLICE_LIT("said the test");
    }
    job_answered(&w->q, e->job, &a);
    mem_free(results);
    world_errand_end(e);
}

WORLD_FN void
world_kill(struct world *w, struct errand *e)
{
    if (e->job->agent != NULL)
        e->job->agent->fate = FATE_CRASHED;
    job_lost(&w->q, e->job);
    world_errand_end(e);
}

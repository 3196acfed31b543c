#include "smtp/deliver.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "smtp/target_find.h"
#include "smtp/transaction.h"

#include <stdio.h>

enum {
    RESOLVE_MS = 100 * 1000, /* for all questions about one destination */
};

/* One job's way through the hosts. */
struct attempt_run {
    struct client *client;
    struct job *job;
    uint32_t demand_mark;
    bool demand;
    int64_t sessions;       /* that carried mail: smtp_mx_session_limit */
    struct sock_addr tried; /* by an idle session: not once more */
    bool fallback;          /* smtp_fallback_relay's turn */
    bool loop;              /* try nobody else */
};

static bool
may_stay(const struct attempt_run *run, const struct session *s)
{
    const struct config *config = s->profile.config;
    int64_t count = config->smtp_connection_reuse_count_limit;
    int64_t age = config->smtp_connection_reuse_time_limit;

    if (s->dead || s->closing || run->client->draining || fiber_cancelled() ||
        config->smtp_connection_cache_time_limit <= 0)
        return false;
    if ((count > 0 && s->uses >= count) ||
        (age > 0 && clock_now_ms() - s->opened_ms >= age))
        return false;
    return config->smtp_connection_cache_on_demand &&
        (run->demand ||
            idle_demand_since(run->client->idle, s->profile.service,
                run->job->delivery.nexthop, run->demand_mark));
}

/* The session has done what it could for this job. */
static void
release(struct attempt_run *run, struct session *s)
{
    if (may_stay(run, s) &&
        idle_put(run->client->idle, s, run->job->delivery.nexthop,
            s->profile.config->smtp_connection_cache_time_limit))
        return;
    idle_dismiss(run->client->idle, s);
}

static bool
stopped(struct attempt_run *run)
{
    return run->job->unsettled == 0 || job_is_orphan(run->job) ||
        fiber_cancelled();
}

/*
 * Sessions that are open already, whatever their host: no questions to DNS, no
 * greeting. What the host defers is left for the others.
 */
static void
try_idle(struct attempt_run *run)
{
    struct job *job = run->job;
    struct session *s;

    while (!stopped(run) &&
        (s = idle_take(run->client->idle, job->profile.service,
             job->delivery.nexthop)) != NULL) {
        job->times.connected_us = 0;
        job->final = false;
        if (transaction_run(job, s) == TRANSACTION_STALE) {
            session_free(s);
            continue;
        }
        run->sessions++;
        run->tried = s->addr;
        release(run, s);
        return;
    }
}

/* A fresh session, greeted; NULL: the job knows why, and may be settled. */
static struct session *
open_session(struct attempt_run *run, const struct target *target)
{
    struct job *job = run->job;
    const char *loop_name = NULL;
    struct session *s = session_connect(&job->profile, target, &job->excuse);
    char id[32];

    if (s == NULL) {
        if (!fiber_cancelled())
            log_write(LOG_LEVEL_INFO, job->profile.tag, "%s", job->excuse.text);
        return NULL;
    }
    if (target->path.len == 0 && sock_addr_port(&target->addr) == 25 &&
        !job->profile.lmtp)
        loop_name = job->profile.config->myhostname;
    switch (session_greet(s, loop_name, target->best, job->delivery.nexthop,
        &job->excuse)) {
    case GREETED_OK:
        job->times.connected_us = clock_wall_us();
        return s;
    case GREETED_FAILED:
    case GREETED_REFUSED:
        break;
    }
    job->times.connected_us = clock_wall_us();
    if (fiber_cancelled()) {
        session_free(s);
        return NULL;
    }
    if (!excuse_is_soft(&job->excuse) || job->final) {
        if (excuse_is_soft(&job->excuse))
            job_destination(job,
                s->closing ? DESTINATION_BUSY : DESTINATION_DEAD, &job->excuse);
        if (!s->closing || !job_return(job, &job->excuse))
            job_fail(job, &job->excuse, s);
    } else {
        log_write(LOG_LEVEL_INFO, job->profile.tag, "%s: %s", job_id(job, id),
            job->excuse.text);
    }
    idle_dismiss(run->client->idle, s);
    return NULL;
}

/* One host. last: no other will be tried after it. */
static void
try_target(struct attempt_run *run, const struct target *target, bool last)
{
    struct job *job = run->job;
    struct session *s = idle_take_address(run->client->idle,
        job->profile.service, &target->addr);
    int64_t limit = job->profile.config->smtp_mx_session_limit;

    job->final = last;
    job->times.connected_us = 0;
    for (;;) {
        if (s == NULL)
            s = open_session(run, target);
        if (s == NULL)
            return;
        run->sessions++;
        job->final = last || (limit > 0 && run->sessions >= limit);
        if (transaction_run(job, s) == TRANSACTION_DONE)
            break;
        run->sessions--;
        job->final = last;
        session_free(s);
        s = idle_take_address(run->client->idle, job->profile.service,
            &target->addr);
    }
    release(run, s);
}

static void
try_targets(struct attempt_run *run, const struct targets *targets, bool last)
{
    struct job *job = run->job;
    int64_t limit = job->profile.config->smtp_mx_session_limit;

    for (size_t i = 0; i < targets->count && !stopped(run); i++) {
        if (limit > 0 && run->sessions >= limit)
            return;
        try_target(run, &targets->list[i], last && i + 1 == targets->count);
    }
}

/* One destination of the list. False: nothing else is to be tried. */
static bool
try_destination(struct attempt_run *run, struct slice text, bool last)
{
    struct job *job = run->job;
    const struct config *config = job->profile.config;
    struct targets targets;
    struct nexthop hop;
    struct why why;
    uint16_t port;

    if (!nexthop_port(slice_of(config->smtp_tcp_port), &port))
        port = job->profile.lmtp ? 24 : 25;
    if (nexthop_parse(text, job->profile.lmtp ? NEXTHOP_LMTP : NEXTHOP_SMTP,
            port, &hop, &why) != RESULT_OK) {
        excuse_from_why(&job->excuse, &why);
        log_write(LOG_LEVEL_WARNING, job->profile.tag, "%s", why.text);
        return true;
    }
    targets_find(&hop, config, run->client->own, &job->arena,
        clock_now_ms() + RESOLVE_MS, &targets, &job->excuse);
    if (run->tried.len > 0)
        targets_remove(&targets, &run->tried);
    run->sessions = 0;
    /* A better exchanger that fails is no reason to go round it. */
    try_targets(run, &targets, last || targets.we_are_exchanger);
    return !targets.loop && !targets.we_are_exchanger;
}

/* All destinations, and then the fallback relays, until one is the last. */
static void
try_destinations(struct attempt_run *run)
{
    const struct job *job = run->job;
    struct slice lists[2] = {
        job->delivery.nexthop,
        slice_of(job->profile.config->smtp_fallback_relay),
    };
    struct slice text, next;
    unsigned list = 0, tried = 0;
    bool more = false;

    while (!more && list < 2)
        more = nexthop_next(&lists[list], &next) || (list++, false);
    while (more && !stopped(run) && tried++ < NEXTHOP_LIST_MAX) {
        text = next;
        run->fallback = list == 1;
        for (more = false; !more && list < 2;)
            more = nexthop_next(&lists[list], &next) || (list++, false);
        if (!try_destination(run, text, !more))
            return;
    }
}

/*
 * Somebody is left over. What looks like a mistake in our own configuration is
 * not the sender's: deferred.
 */
static void
settle_rest(struct attempt_run *run)
{
    struct job *job = run->job;
    const char *mistake = NULL;

    if (!excuse_is_set(&job->excuse))
        excuse_set(&job->excuse, "4.3.0",
            "server unavailable or unable to receive mail");
    if (!excuse_is_soft(&job->excuse) && run->fallback)
        mistake = "smtp_fallback_relay";
    else if (!excuse_is_soft(&job->excuse) &&
        slice_eq_text(job->delivery.nexthop, job->profile.config->relayhost))
        mistake = "relayhost";
    if (mistake != NULL) {
        log_write(LOG_LEVEL_WARNING, job->profile.tag,
            "%s configuration problem", mistake);
        snprintf(job->excuse.status, sizeof(job->excuse.status), "4.3.5");
    }
    if (excuse_is_soft(&job->excuse) && run->sessions == 0 &&
        run->tried.len == 0)
        job_destination(job, DESTINATION_DEAD, &job->excuse);
    if (job->times.connected_us == 0)
        job->times.connected_us = clock_wall_us();
    job->final = true;
    job_fail_rest(job);
}

static void
run_job(struct attempt_run *run)
{
    struct job *job = run->job;
    const struct config *config = job->profile.config;

    run->demand = idle_note_demand(run->client->idle, job->profile.service,
        job->delivery.nexthop, config->smtp_connection_cache_time_limit,
        &run->demand_mark);
    try_idle(run);
    if (!stopped(run))
        try_destinations(run);
    if (job->unsettled > 0 && !job_is_orphan(job) && !fiber_cancelled())
        settle_rest(run);
}

void
deliver(struct client *client, struct request *r, struct config_set *set)
{
    struct job *job = job_new(r, set);
    struct attempt_run run = { .client = client, .job = job };

    if (job == NULL)
        return;
    job->fiber = fiber_self();
    list_append(&client->jobs, &job->node);
    client->job_count++;
    run_job(&run);
    client->job_count--;
    /*
     * Without qmgr, what had not reached its final dot was dropped, and will be
     * sent by the next qmgr's order; which is told of the rest.
     */
    job_end(job,
        idle_count(client->idle, job->profile.service, job->delivery.nexthop));
}

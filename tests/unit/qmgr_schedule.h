/*
 * What the tests of the scheduler share: a world with a few transports, and
 * steps in it.
 */
#pragma once

#include "qmgr/describe.h"
#include "tests/unit/qmgr_steps.h"

static const char main_cf[] = "minimal_backoff_time = 60s\n"
                              "maximal_backoff_time = 240s\n"
                              "queue_run_delay = 1s\n"
                              "transport_retry_time = 30s\n"
                              "qmgr_message_active_limit = 20\n"
                              "default_destination_concurrency_limit = 8\n"
                              "initial_destination_concurrency = 2\n"
                              "default_destination_recipient_limit = 4\n"
                              "paced_destination_rate_delay = 2s\n"
                              "spaced_transport_rate_delay = 0.5s\n"
                              "single_destination_recipient_limit = 1\n"
                              "single_destination_concurrency_limit = 1\n"
                              "defer_transports = waiting\n";

static const char master_cf[] = "smtp unix - - n - - smtp\n"
                                "slow unix - - n - 3 smtp\n"
                                "paced unix - - n - - smtp\n"
                                "spaced unix - - n - - smtp\n"
                                "single unix - - n - - smtp\n"
                                "waiting unix - - n - - smtp\n"
                                "local unix - n n - - local\n"
                                "retry unix - - n - - error\n"
                                "qmgr unix n - n 300 1 qmgr\n";

/* user@transport.domain goes to domain by that transport. */
WORLD_FN enum result
route_by_domain(struct world *w, struct slice recipient, struct route *route,
    struct why *why)
{
    struct slice domain = slice_skip(recipient, slice_find(recipient, '@') + 1);
    size_t dot = slice_find(domain, '.');

    (void)w;
    (void)why;
    *route = (struct route){ .class = CLASS_DEFAULT };
    (void)snprintf(route->transport, sizeof(route->transport), SLICE_FMT,
        SLICE_ARG(slice_head(domain, dot)));
    (void)snprintf(route->nexthop, sizeof(route->nexthop), SLICE_FMT,
        SLICE_ARG(slice_skip(domain, dot + 1)));
    return RESULT_OK;
}

WORLD_FN int
open_world(void **state)
{
    struct world *w = world_new(main_cf, master_cf);

    w->route = route_by_domain;
    *state = w;
    return 0;
}

/* A reload. */
WORLD_FN void
reconfigure(struct world *w, const char *text)
{
    struct config_set *set = world_config(text, master_cf);

    qmgr_configure(&w->q, set);
    config_drop(w->set);
    w->set = set;
}

WORLD_FN void
end_all(struct world *w)
{
    while (running(w) > 0)
        end_one(w, OUTCOME_SENT, DESTINATION_OK);
}

/* All of them, in no order; NULL at the end. Nothing may happen between. */
WORLD_FN struct destination *
destination_of(struct map_node *n)
{
    return n == NULL ? NULL : LIST_ENTRY(n, struct destination, node);
}

WORLD_FN struct destination *
destination_first(struct qmgr *q)
{
    return destination_of(map_first(&q->destinations));
}

WORLD_FN struct destination *
destination_after(struct qmgr *q, const struct destination *d)
{
    return destination_of(map_after(&q->destinations, &d->node));
}

WORLD_FN struct destination_view
describe(struct world *w, const char *nexthop)
{
    struct destination_view v = { 0 };

    for (struct destination *d = destination_first(&w->q); d != NULL;
         d = destination_after(&w->q, d))
        if (strcmp(d->nexthop, nexthop) == 0)
            destination_describe(&w->q, d, &v);
    return v;
}

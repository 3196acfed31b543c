#include "qmgr/describe.h"

#include "lib/base/clock.h"
#include "qmgr/bundle.h"
#include "qmgr/dispatch.h"
#include "qmgr/health.h"

#include <string.h>

static const char *const hold_texts[] = {
    [HOLD_NONE] = "",
    [HOLD_WINDOW] = "concurrency",
    [HOLD_BUSY] = "busy",
    [HOLD_DEAD] = "dead",
    [HOLD_PROBE] = "probe",
    [HOLD_RATE] = "destination rate delay",
    [HOLD_TRANSPORT_RATE] = "transport rate delay",
    [HOLD_PROCESSES] = "process limit",
    [HOLD_NO_AGENT] = "no process",
    [HOLD_TRANSPORT] = "defer_transports",
};

const char *
destination_hold_text(enum destination_hold hold)
{
    return hold_texts[hold];
}

static bool
has_agent(const struct qmgr *q, const struct transport *t)
{
    list_foreach (it, &q->agents)
        if (LIST_ENTRY(it, struct agent, link)->role == t->role)
            return true;
    return false;
}

/* What stands nearest to the destination comes first. */
static enum destination_hold
hold_of(const struct qmgr *q, const struct destination *d)
{
    const struct transport *t = d->transport;
    int64_t now = clock_now_ms();

    if (d->health == HEALTH_DEAD)
        return HOLD_DEAD;
    if (t->deferred)
        return HOLD_TRANSPORT;
    if (list_empty(&d->bundles))
        return HOLD_NONE;
    if (d->running >= health_window(d)) {
        if (d->health == HEALTH_PROBED)
            return HOLD_PROBE;
        return d->ceiling > 0 ? HOLD_BUSY : HOLD_WINDOW;
    }
    if (d->next_start_ms > now)
        return HOLD_RATE;
    if (t->next_start_ms > now)
        return HOLD_TRANSPORT_RATE;
    if (t->process_limit > 0 && t->running >= (size_t)t->process_limit)
        return HOLD_PROCESSES;
    return has_agent(q, t) ? HOLD_NONE : HOLD_NO_AGENT;
}

static int64_t
next_try_of(const struct destination *d, enum destination_hold hold)
{
    int64_t at = 0;

    if (hold == HOLD_DEAD)
        at = d->until_ms;
    else if (hold == HOLD_RATE)
        at = d->next_start_ms;
    else if (hold == HOLD_TRANSPORT_RATE)
        at = d->transport->next_start_ms;
    return at == 0 ? 0 : qmgr_wall_ms() + at - clock_now_ms();
}

void
destination_describe(struct qmgr *q, const struct destination *d,
    struct destination_view *v)
{
    size_t nexthop = strlen(d->nexthop);

    *v = (struct destination_view){
        .transport = d->transport->name,
        .nexthop = d->nexthop,
        .recipient = d->key[nexthop] == ' ' ? d->key + nexthop + 1 : "",
        .health = d->health,
        .hold = hold_of(q, d),
        .window_now = health_window(d),
        .window_limit = (size_t)d->transport->window_limit,
        .running = d->running,
        .idle_sessions = d->idle_sessions,
        .waiting_messages = d->gathering,
        .lane = d->lane,
        .rate_delay_ms = d->transport->rate_delay_ms,
        .failures = d->failures,
        .status = d->status,
        .reason = d->reason == NULL ? "" : d->reason,
    };
    v->next_try_ms = next_try_of(d, v->hold);
    list_foreach (it, &d->bundles) {
        v->waiting_messages++;
        v->waiting_recipients += LIST_ENTRY(it, struct bundle, link)->count;
    }
}

#include "qmgr/health.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "qmgr/destination_private.h"
#include "qmgr/lane.h"

#include <stdio.h>

enum {
    BUSY_RELAX_MS = 60 * 1000, /* until one session more is tried */
    BUSY_ALONE = 3,
    BUSY_PAUSE_MS = 1000, /* doubled each time */
};

size_t
health_window(const struct destination *d)
{
    double window = d->window;

    switch (d->health) {
    case HEALTH_DEAD:
        return 0;
    case HEALTH_PROBED:
        return 1;
    case HEALTH_LIVE:
        break;
    }
    /* With a delay between deliveries there is no side by side. */
    if (d->transport->rate_delay_ms > 0)
        return 1;
    /* A reload may have lowered it. */
    if (d->transport->window_limit > 0 &&
        window > (double)d->transport->window_limit)
        window = (double)d->transport->window_limit;
    if (d->ceiling > 0 && window > (double)d->ceiling)
        window = (double)d->ceiling;
    return window < 1 ? 1 : (size_t)window;
}

/* When nobody wants to go there for long, that it was dead is forgotten. */
static void
begin_probing(struct qmgr *q, struct destination *d)
{
    d->health = HEALTH_PROBED;
    d->until_ms = clock_now_ms() + q->config->maximal_backoff_time;
    destination_arm(q, d, d->until_ms);
    lane_touch(q, d->lane);
}

static void
look_again(struct qmgr *q, struct destination *d)
{
    if (d->health == HEALTH_PROBED && d->running == 0 &&
        list_empty(&d->bundles)) {
        d->health = HEALTH_LIVE;
        lane_touch(q, d->lane);
    } else {
        begin_probing(q, d);
    }
}

/* One more than it took, if so many are wanted at all. */
static void
relax(struct qmgr *q, struct destination *d)
{
    int64_t limit = d->transport->window_limit;

    d->ceiling++;
    d->relax_ms = clock_now_ms() + BUSY_RELAX_MS;
    if ((d->running == 0 && list_empty(&d->bundles)) ||
        (limit > 0 && d->ceiling >= (size_t)limit))
        d->ceiling = 0;
    else
        destination_arm(q, d, d->relax_ms);
}

void
health_look(struct qmgr *q, struct destination *d)
{
    int64_t now = clock_now_ms();

    if (d->health != HEALTH_LIVE && d->until_ms <= now)
        look_again(q, d);
    else if (d->health != HEALTH_LIVE)
        destination_arm(q, d, d->until_ms);
    if (d->ceiling > 0 && d->relax_ms <= now)
        relax(q, d);
    else if (d->ceiling > 0)
        destination_arm(q, d, d->relax_ms);
}

/* What agents say. */

static void
die(struct qmgr *q, struct destination *d, const char *status,
    struct slice text)
{
    int64_t pause = q->config->minimal_backoff_time;

    for (unsigned i = 0; i < d->failures; i++) {
        pause *= 2;
        if (pause >= q->config->maximal_backoff_time) {
            pause = q->config->maximal_backoff_time;
            break;
        }
    }
    d->failures++;
    d->health = HEALTH_DEAD;
    d->until_ms = clock_now_ms() + pause;
    d->window = (double)d->transport->window_first;
    d->success = d->failure = d->cohorts = 0;
    d->ceiling = d->alone = 0;
    mem_free(d->reason);
    d->reason = mem_text_of(slice_head(text, DESTINATION_REASON_MAX));
    (void)snprintf(d->status, sizeof(d->status), "%s",
        status[0] == '\0' ? "4.4.1" : status);
    timer_arm(q, &d->timer, d->until_ms);
    lane_touch(q, d->lane);
    destination_suspend_all(q, d);
    destination_touch(q, d);
}

/* Sums of fractions: a hair below a whole is the whole. */
static const double nearly_one = 1 - 1e-6;

static void
succeed(struct qmgr *q, struct destination *d)
{
    const struct transport *t = d->transport;

    d->cohorts = 0;
    d->failures = 0;
    d->alone = 0;
    if (d->health == HEALTH_PROBED) {
        d->health = HEALTH_LIVE;
        d->window = (double)t->window_first;
        lane_touch(q, d->lane);
        return;
    }
    /* Only a window that is in use says that a larger one would do. */
    if ((double)d->running < d->window ||
        (t->window_limit > 0 && d->window >= (double)t->window_limit))
        return;
    d->failure = 0;
    d->success += feedback_of(&t->positive, d->window);
    while (d->success > nearly_one) {
        d->success -= 1;
        d->window += 1;
    }
    if (t->window_limit > 0 && d->window > (double)t->window_limit)
        d->window = (double)t->window_limit;
}

static void
shrink(struct destination *d)
{
    d->success = 0;
    d->failure += feedback_of(&d->transport->negative, d->window);
    while (d->failure > nearly_one) {
        d->failure -= 1;
        d->window -= 1;
    }
    if (d->window < 1)
        d->window = 1;
}

static void
fail(struct qmgr *q, struct destination *d, const char *status,
    struct slice text)
{
    const struct transport *t = d->transport;

    if (d->health == HEALTH_DEAD)
        return;
    d->cohorts += 1 / (d->window < 1 ? 1 : d->window);
    shrink(d);

    if (d->health == HEALTH_PROBED ||
        (t->cohort_limit > 0 &&
            d->cohorts + 1 - nearly_one >= (double)t->cohort_limit))
        die(q, d, status, text);
}

bool
health_takes_back(const struct destination *d)
{
    return d->alone < BUSY_ALONE;
}

/* It refused while nothing else of ours was there: that takes time. */
static void
pause_for(struct qmgr *q, struct destination *d)
{
    d->next_start_ms = clock_now_ms() + (BUSY_PAUSE_MS << d->alone);
    d->alone++;
    destination_arm(q, d, d->next_start_ms);
}

/*
 * It takes so many and not one more. How many that is shows when all that were
 * begun together have been answered: those that were refused were too many.
 */
static void
yield_to(struct qmgr *q, struct destination *d, uint32_t generation)
{
    if (d->ceiling == 0 || generation == d->generation) {
        d->generation++;
        d->base = d->running;
        d->refused = 0;
    }
    d->refused++;
    d->ceiling = d->base > d->refused ? d->base - d->refused : 1;
    d->relax_ms = clock_now_ms() + BUSY_RELAX_MS;
    destination_arm(q, d, d->relax_ms);
    shrink(d);
}

static void
be_busy(struct qmgr *q, struct destination *d, uint32_t generation,
    const char *status, struct slice text)
{
    if (d->health == HEALTH_DEAD)
        return;
    if (d->running > 1)
        yield_to(q, d, generation);
    else if (d->health == HEALTH_PROBED || !health_takes_back(d))
        fail(q, d, status, text);
    else
        pause_for(q, d);
}

void
health_feedback(struct qmgr *q, struct destination *d, uint32_t generation,
    enum destination_state state, const char *status, struct slice text)
{
    switch (state) {
    case DESTINATION_OK:
        succeed(q, d);
        break;
    case DESTINATION_DEAD:
        fail(q, d, status, text);
        break;
    case DESTINATION_BUSY:
        be_busy(q, d, generation, status, text);
        break;
    }
    destination_touch(q, d);
}

void
health_revive(struct qmgr *q, struct destination *d)
{
    if (d->health != HEALTH_DEAD)
        return;
    d->failures = 0;
    begin_probing(q, d);
}

void
health_revive_all(struct qmgr *q)
{
    for (struct map_node *n = map_first(&q->destinations); n != NULL;
         n = map_after(&q->destinations, n))
        health_revive(q, LIST_ENTRY(n, struct destination, node));
}

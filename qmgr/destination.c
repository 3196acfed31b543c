#include "qmgr/destination.h"

#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "qmgr/inside.h"
#include "qmgr/lane.h"
#include "qmgr/opening.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    BUSY_RELAX_MS = 60 * 1000, /* until one session more is tried */
    BUSY_ALONE = 3,
    BUSY_PAUSE_MS = 1000, /* doubled each time */
    REASON_MAX = 1000,
};

struct destination_key {
    const struct transport *transport;
    struct slice key;
};

static bool
same_destination(const struct map_node *node, const void *key)
{
    const struct destination *d =
        (const struct destination *)(const void *)node;
    const struct destination_key *k = key;

    return d->transport == k->transport && slice_eq_text(k->key, d->key);
}

/* Not of addresses: the order of a map would differ from run to run. */
static uint64_t
hash_of(const struct transport *t, struct slice key)
{
    return map_hash_slice(key) ^ map_hash_u64(t->node.hash);
}

uint32_t
destination_lane(const struct transport *t, struct slice key)
{
    uint32_t lane = crc32c(0, t->name, strlen(t->name) + 1);

    lane = crc32c(lane, key.ptr, key.len);
    return lane == 0 ? 1 : lane;
}

static bool
same_lane(const struct map_node *node, const void *key)
{
    return LIST_ENTRY_CONST(node, struct destination, lane_node)->lane ==
        *(const uint32_t *)key;
}

struct destination *
destination_of_lane(const struct qmgr *q, uint32_t lane)
{
    struct map_node *n = map_find(&q->destination_lanes, map_hash_u64(lane),
        same_lane, &lane);

    return n == NULL ? NULL : LIST_ENTRY(n, struct destination, lane_node);
}

static struct destination *
find(struct qmgr *q, struct transport *t, struct slice key)
{
    struct destination_key k = { t, key };
    struct map_node *n = map_find(&q->destinations, hash_of(t, key),
        same_destination, &k);

    return n == NULL ? NULL : LIST_ENTRY(n, struct destination, node);
}

static void destination_free(struct qmgr *q, struct destination *d);

/* It has no use: nothing waits, nothing runs, nothing is to be remembered. */
static bool
is_idle(const struct destination *d)
{
    return list_empty(&d->bundles) && d->gathering == 0 && d->running == 0 &&
        d->health == HEALTH_LIVE && d->ceiling == 0 &&
        d->next_start_ms <= clock_now_ms();
}

static void
arm_earlier(struct qmgr *q, struct destination *d, int64_t at_ms)
{
    if (d->timer.node.slot == 0 || d->timer.node.due > at_ms)
        timer_arm(q, &d->timer, at_ms);
}

/* When nobody wants to go there for long, that it was dead is forgotten. */
static void
begin_probing(struct qmgr *q, struct destination *d)
{
    d->health = HEALTH_PROBED;
    d->until_ms = clock_now_ms() + q->config->maximal_backoff_time;
    arm_earlier(q, d, d->until_ms);
    lane_touch(q, d->lane);
}

static void
health_timeout(struct qmgr *q, struct destination *d)
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
        arm_earlier(q, d, d->relax_ms);
}

static void
timer_fired(struct qmgr *q, struct timer *t)
{
    struct destination *d = LIST_ENTRY(t, struct destination, timer);
    int64_t now = clock_now_ms();

    if (d->health != HEALTH_LIVE && d->until_ms <= now)
        health_timeout(q, d);
    else if (d->health != HEALTH_LIVE)
        arm_earlier(q, d, d->until_ms);
    if (d->ceiling > 0 && d->relax_ms <= now)
        relax(q, d);
    else if (d->ceiling > 0)
        arm_earlier(q, d, d->relax_ms);
    if (d->next_start_ms > now)
        arm_earlier(q, d, d->next_start_ms);
    if (is_idle(d))
        destination_free(q, d);
    else
        destination_touch(q, d);
}

static struct destination *
make(struct qmgr *q, struct transport *t, struct slice nexthop,
    struct slice key)
{
    struct destination *d = mem_alloc(sizeof(*d));

    d->transport = t;
    d->key = mem_text_of(key);
    d->nexthop = mem_text_of(nexthop);
    d->hash = hash_of(t, key);
    d->lane = destination_lane(t, key);
    d->window = (double)t->window_first;
    d->timer.fire = timer_fired;
    list_init(&d->ready_link);
    list_init(&d->bundles);
    map_add(&q->destinations, d->hash, &d->node);
    d->has_lane = destination_of_lane(q, d->lane) == NULL;
    if (d->has_lane)
        map_add(&q->destination_lanes, map_hash_u64(d->lane), &d->lane_node);
    return d;
}

static void
destination_free(struct qmgr *q, struct destination *d)
{
    assert(list_empty(&d->bundles));
    timer_disarm(q, &d->timer);
    map_remove(&q->destinations, &d->node);
    if (d->has_lane)
        map_remove(&q->destination_lanes, &d->lane_node);
    lane_touch(q, d->lane);
    list_remove(&d->ready_link);
    mem_free(d->key);
    mem_free(d->nexthop);
    mem_free(d->reason);
    mem_free(d);
}

/* Bundles. */

struct bundle_key {
    uint64_t serial;
    const struct destination *destination;
};

static uint64_t
bundle_hash(const struct bundle_key *k)
{
    return map_hash_u64(k->serial ^ k->destination->hash);
}

static bool
same_bundle(const struct map_node *node, const void *key)
{
    const struct bundle *b = (const struct bundle *)(const void *)node;
    const struct bundle_key *k = key;

    return b->message->serial == k->serial && b->destination == k->destination;
}

static struct bundle *
bundle_of(struct qmgr *q, struct destination *d, struct mail *m)
{
    struct bundle_key k = { m->serial, d };
    uint64_t hash = bundle_hash(&k);
    struct map_node *n = map_find(&q->bundles, hash, same_bundle, &k);
    struct bundle *b;

    if (n != NULL)
        return LIST_ENTRY(n, struct bundle, node);
    b = mem_alloc(sizeof(*b));
    b->message = m;
    b->destination = d;
    list_init(&b->rcpts);
    list_init(&b->link);
    b->gathering = true;
    d->gathering++;
    list_append(&m->bundles, &b->message_link);
    map_add(&q->bundles, hash, &b->node);
    return b;
}

static struct bundle *
bundle_put(struct qmgr *q, struct destination *d, struct rcpt *r)
{
    struct bundle *b = bundle_of(q, d, r->message);

    rcpt_set_state(r, RCPT_WAITING);
    r->bundle = b;
    r->message->transport = d->transport;
    list_append(&b->rcpts, &r->link);
    b->count++;
    d->transport->waiting++;
    return b;
}

static void
bundle_free(struct qmgr *q, struct bundle *b)
{
    if (b->gathering)
        b->destination->gathering--;
    map_remove(&q->bundles, &b->node);
    list_remove(&b->link);
    list_remove(&b->message_link);
    mem_free(b);
}

void
bundle_take(struct qmgr *q, struct rcpt *r)
{
    struct bundle *b = r->bundle;
    struct destination *d = b->destination;

    list_remove(&r->link);
    r->bundle = NULL;
    d->transport->waiting--;
    if (--b->count > 0)
        return;
    bundle_free(q, b);
    destination_touch(q, d);
    if (is_idle(d))
        destination_free(q, d);
}

void
bundle_free_all(struct qmgr *q, struct mail *m)
{
    list_foreach_safe (it, &m->bundles) {
        struct bundle *b = LIST_ENTRY(it, struct bundle, message_link);
        struct destination *d = b->destination;

        d->transport->waiting -= b->count;
        bundle_free(q, b);
        destination_touch(q, d);
        if (is_idle(d))
            destination_free(q, d);
    }
}

struct rcpt *
bundle_next(struct qmgr *q, struct bundle *b)
{
    struct list *it = list_take(&b->rcpts);
    struct rcpt *r;

    if (it == NULL) {
        bundle_free(q, b);
        return NULL;
    }
    b->count--;
    b->destination->transport->waiting--;
    r = LIST_ENTRY(it, struct rcpt, link);
    r->bundle = NULL;
    return r;
}

/* The queue. */

static int64_t
wall_of(int64_t at_ms)
{
    return qmgr_wall_ms() + at_ms - clock_now_ms();
}

/* Postfix's words. */
static void
suspend(struct qmgr *q, struct destination *d, struct rcpt *r)
{
    struct mail *m = r->message;
    int64_t until = wall_of(d->until_ms);
    char text[REASON_MAX + 64];

    (void)snprintf(text, sizeof(text), "delivery temporarily suspended: %s",
        d->reason);
    if (m->suspended++ == 0 || until < m->not_before_ms)
        m->not_before_ms = until;
    refuse_rcpt(q, r, d->status, text);
}

static void
refuse_bundles(struct qmgr *q, struct destination *d,
    void (*refuse)(struct qmgr *q, struct destination *d, struct rcpt *r))
{
    list_foreach_safe (it, &d->bundles) {
        struct bundle *b = LIST_ENTRY(it, struct bundle, link);
        struct rcpt *r;

        while ((r = bundle_next(q, b)) != NULL) {
            rcpt_set_state(r, RCPT_PENDING);
            refuse(q, d, r);
        }
    }
}

/* b has gathered what it gets, or enough. */
static void
join(struct qmgr *q, struct bundle *b)
{
    struct destination *d = b->destination;

    b->gathering = false;
    d->gathering--;
    list_append(&d->bundles, &b->link);
    if (d->health == HEALTH_DEAD)
        refuse_bundles(q, d, suspend);
    destination_touch(q, d);
}

static bool
is_full(const struct transport *t, size_t count)
{
    return t->recipient_limit > 0 && count >= (size_t)t->recipient_limit;
}

void
destination_enqueue(struct qmgr *q, struct transport *t, struct slice nexthop,
    struct rcpt *r)
{
    char text[2 * 1024];
    struct slice key = nexthop;
    struct destination *d;
    struct bundle *b;

    /* One recipient a delivery: then the limits hold for each recipient. */
    if (t->recipient_limit == 1) {
        int n = snprintf(text, sizeof(text), SLICE_FMT " " SLICE_FMT,
            SLICE_ARG(nexthop), SLICE_ARG(r->address));

        if (n > 0 && (size_t)n < sizeof(text))
            key = (struct slice){ text, (size_t)n };
    }
    d = find(q, t, key);
    if (d == NULL)
        d = make(q, t, nexthop, key);
    r->lane = d->lane;
    if (d->health == HEALTH_DEAD) {
        suspend(q, d, r);
        return;
    }
    b = bundle_put(q, d, r);
    if (b->gathering && (!mail_gathers(r->message) || is_full(t, b->count)))
        join(q, b);
}

void
bundle_join_all(struct qmgr *q, struct mail *m)
{
    list_foreach_safe (it, &m->bundles) {
        struct bundle *b = LIST_ENTRY(it, struct bundle, message_link);

        if (b->gathering)
            join(q, b);
    }
}

size_t
destination_window(const struct destination *d)
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

void
destination_touch(struct qmgr *q, struct destination *d)
{
    int64_t now = clock_now_ms();
    bool may = !list_empty(&d->bundles) && d->running < destination_window(d);

    if (may && d->next_start_ms > now) {
        arm_earlier(q, d, d->next_start_ms);
        may = false;
    }
    if (!may) {
        list_remove(&d->ready_link);
        return;
    }
    if (d->ready_link.next == &d->ready_link)
        list_append(&d->transport->ready, &d->ready_link);
    transport_touch(q, d->transport);
}

void
destination_started(struct qmgr *q, struct destination *d)
{
    d->running++;
    destination_touch(q, d);
}

void
destination_ended(struct qmgr *q, struct destination *d)
{
    assert(d->running > 0);
    d->running--;
    if (d->transport->rate_delay_ms > 0) {
        d->next_start_ms = clock_now_ms() + d->transport->rate_delay_ms;
        arm_earlier(q, d, d->next_start_ms);
    }
    destination_touch(q, d);
    if (is_idle(d))
        destination_free(q, d);
}

/* Feedback. */

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
    d->reason = mem_text_of(slice_head(text, REASON_MAX));
    (void)snprintf(d->status, sizeof(d->status), "%s",
        status[0] == '\0' ? "4.4.1" : status);
    timer_arm(q, &d->timer, d->until_ms);
    lane_touch(q, d->lane);
    refuse_bundles(q, d, suspend);
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
destination_takes_back(const struct destination *d)
{
    return d->alone < BUSY_ALONE;
}

void
destination_return(struct qmgr *q, struct destination *d, struct rcpt *r)
{
    struct bundle *b;

    r->job = NULL;
    rcpt_set_state(r, RCPT_PENDING);
    if (d->health == HEALTH_DEAD) {
        suspend(q, d, r);
        return;
    }
    b = bundle_put(q, d, r);
    if (b->gathering)
        join(q, b);
    list_remove(&b->link);
    list_prepend(&d->bundles, &b->link);
}

/* It refused while nothing else of ours was there: that takes time. */
static void
pause_for(struct qmgr *q, struct destination *d)
{
    d->next_start_ms = clock_now_ms() + (BUSY_PAUSE_MS << d->alone);
    d->alone++;
    arm_earlier(q, d, d->next_start_ms);
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
    arm_earlier(q, d, d->relax_ms);
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
    else if (d->health == HEALTH_PROBED || !destination_takes_back(d))
        fail(q, d, status, text);
    else
        pause_for(q, d);
}

void
destination_feedback(struct qmgr *q, struct destination *d, uint32_t generation,
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
destination_refuse_all(struct qmgr *q, struct destination *d,
    const char *status, const char *text)
{
    list_foreach_safe (it, &d->bundles) {
        struct bundle *b = LIST_ENTRY(it, struct bundle, link);
        struct rcpt *r;

        while ((r = bundle_next(q, b)) != NULL) {
            rcpt_set_state(r, RCPT_PENDING);
            refuse_rcpt(q, r, status, text);
        }
    }
    destination_touch(q, d);
    if (is_idle(d))
        destination_free(q, d);
}

void
destination_revive(struct qmgr *q, struct destination *d)
{
    if (d->health != HEALTH_DEAD)
        return;
    d->failures = 0;
    begin_probing(q, d);
}

void
destination_revive_all(struct qmgr *q)
{
    for (struct map_node *n = map_first(&q->destinations); n != NULL;
         n = map_after(&q->destinations, n))
        destination_revive(q, LIST_ENTRY(n, struct destination, node));
}

void
destination_fini_all(struct qmgr *q)
{
    struct map_node *next;

    for (struct map_node *n = map_first(&q->destinations); n != NULL;
         n = next) {
        next = map_after(&q->destinations, n);
        destination_free(q, LIST_ENTRY(n, struct destination, node));
    }
    map_fini(&q->destinations);
    map_fini(&q->destination_lanes);
    map_fini(&q->bundles);
}

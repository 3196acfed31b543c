#include "qmgr/destination.h"

#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "qmgr/bundle.h"
#include "qmgr/destination_private.h"
#include "qmgr/health.h"
#include "qmgr/inside.h"
#include "qmgr/lane.h"
#include "qmgr/opening.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

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

/* entry.lane of mail that is deferred for it; the same for ever, never 0. */
static uint32_t
lane_of(const struct transport *t, struct slice key)
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

/* It has no use: nothing waits, nothing runs, nothing is to be remembered. */
static bool
is_idle(const struct destination *d)
{
    return list_empty(&d->bundles) && d->gathering == 0 && d->running == 0 &&
        d->health == HEALTH_LIVE && d->ceiling == 0 &&
        d->next_start_ms <= clock_now_ms();
}

void
destination_arm(struct qmgr *q, struct destination *d, int64_t at_ms)
{
    if (d->timer.node.slot == 0 || d->timer.node.due > at_ms)
        timer_arm(q, &d->timer, at_ms);
}

static void
timer_fired(struct qmgr *q, struct timer *t)
{
    struct destination *d = LIST_ENTRY(t, struct destination, timer);

    health_look(q, d);
    if (d->next_start_ms > clock_now_ms())
        destination_arm(q, d, d->next_start_ms);
    destination_touch(q, d);
    destination_release(q, d);
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
    d->lane = lane_of(t, key);
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

void
destination_release(struct qmgr *q, struct destination *d)
{
    if (is_idle(d))
        destination_free(q, d);
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
    char text[DESTINATION_REASON_MAX + 64];

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

void
destination_suspend_all(struct qmgr *q, struct destination *d)
{
    refuse_bundles(q, d, suspend);
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
        destination_suspend_all(q, d);
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
destination_join_all(struct qmgr *q, struct mail *m)
{
    list_foreach_safe (it, &m->bundles) {
        struct bundle *b = LIST_ENTRY(it, struct bundle, message_link);

        if (b->gathering)
            join(q, b);
    }
}

void
destination_touch(struct qmgr *q, struct destination *d)
{
    int64_t now = clock_now_ms();
    bool may = !list_empty(&d->bundles) && d->running < health_window(d);

    if (may && d->next_start_ms > now) {
        destination_arm(q, d, d->next_start_ms);
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
        destination_arm(q, d, d->next_start_ms);
    }
    destination_touch(q, d);
    destination_release(q, d);
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
    destination_release(q, d);
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

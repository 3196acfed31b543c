#include "qmgr/lane.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "qmgr/destination.h"
#include "qmgr/round.h"

enum {
    LANE_SHARE = 4,
    KEPT_SHARE = 20, /* of the active set: for lanes that have nothing in it */
    LOOKS = 16,      /* lanes that are looked at in one pump */
    PUT_OFF_AT_A_TIME = 500,
    SPREAD = 4,             /* a fraction of minimal_backoff_time */
    SITE_SALT = 0x5bd1e995, /* a domain is no destination */
};

static uint32_t
name_of(const struct entry *e)
{
    if (e->lane != 0)
        return e->lane;
    return e->site == 0 ? 0 : e->site ^ SITE_SALT;
}

static bool
same_name(const struct map_node *node, const void *key)
{
    return ((const struct lane *)(const void *)node)->name ==
        *(const uint32_t *)key;
}

static struct lane *
find(const struct index *ix, uint32_t name)
{
    struct map_node *n = map_find(&ix->lanes, map_hash_u64(name), same_name,
        &name);

    return n == NULL ? NULL : LIST_ENTRY(n, struct lane, node);
}

static size_t
parked(const struct lane *l)
{
    return l->fresh.count + l->due.count;
}

static struct entry *
first_of(const struct heap *h)
{
    struct heap_node *n = heap_first(h);

    return n == NULL ? NULL : LIST_ENTRY(n, struct entry, timer);
}

static void
arm_expiry(struct lane *l)
{
    const struct heap_node *n = heap_first(&l->due);

    if (n == NULL)
        timer_disarm(l->q, &l->expiry);
    else
        timer_arm(l->q, &l->expiry, clock_now_ms() + n->due - qmgr_wall_ms());
}

/* Its lifetime ends while it is parked: due for that, see round_admit(). */
static void
expired(struct qmgr *q, struct timer *t)
{
    struct entry *e = first_of(&LIST_ENTRY(t, struct lane, expiry)->due);
    int64_t end = e->timer.due;

    entry_set_state(&q->index, e, ENTRY_DEFERRED);
    heap_set(&q->index.timers, &e->timer, end);
    qmgr_wake(q);
}

static struct lane *
make(struct qmgr *q, uint32_t name)
{
    struct lane *l = mem_alloc(sizeof(*l));

    l->q = q;
    l->name = name;
    l->expiry.fire = expired;
    list_init(&l->link);
    heap_init(&l->fresh);
    heap_init(&l->due);
    map_add(&q->index.lanes, map_hash_u64(name), &l->node);
    return l;
}

static void
free_if_idle(struct index *ix, struct lane *l)
{
    if (l->active > 0 || parked(l) > 0)
        return;
    timer_disarm(l->q, &l->expiry);
    list_remove(&l->link);
    map_remove(&ix->lanes, &l->node);
    heap_fini(&l->fresh);
    heap_fini(&l->due);
    mem_free(l);
}

static bool
has_room(struct qmgr *q, const struct lane *l)
{
    const struct destination *d = destination_of_lane(q, l->name);
    size_t limit = (size_t)q->config->qmgr_message_active_limit;
    size_t used = q->index.states[ENTRY_ACTIVE];
    size_t left = limit > used ? limit - used : 0;

    if (d != NULL && d->health == HEALTH_PROBED)
        return l->active == 0;
    return l->active == 0 ||
        (left > limit / KEPT_SHARE && l->active < LANE_SHARE * left);
}

/* Its sender is to hear of the delay, which takes a look at it. */
static bool
wants_warning(const struct qmgr *q, const struct entry *e)
{
    int64_t after = config_of_service(q->set, q->config->cleanup_service_name)
                        ->delay_warning_time;

    return after > 0 && (e->flags & (ENTRY_WARNED | ENTRY_BOUNCE)) == 0 &&
        qmgr_wall_ms() >= e->arrival_ms + after;
}

/*
 * There is no sense in looking at it before its destination is looked at. A
 * flush made its destination be looked at: when that is dead all the same,
 * trying each of the others would tell nobody anything. One that is to end does
 * so: also one whose end came while nobody was there to see it, or while it was
 * on hold.
 */
static bool
put_off(struct qmgr *q, struct entry *e)
{
    const struct destination *d = e->lane == 0
        ? NULL
        : destination_of_lane(q, e->lane);
    uint64_t spread = (uint64_t)q->config->minimal_backoff_time / SPREAD + 1;
    int64_t now = qmgr_wall_ms();

    if (d == NULL || d->health != HEALTH_DEAD || e->attempts == 0 ||
        (e->flags & (ENTRY_EXPIRE | ENTRY_REQUEUE)) != 0 ||
        now >= round_expiry_ms(q, e) || wants_warning(q, e))
        return false;
    e->flags &= (uint16_t)~ENTRY_FLUSHED;
    round_schedule(q, e,
        now + d->until_ms - clock_now_ms() + (int64_t)random_below(spread));
    return true;
}

static void
park(struct qmgr *q, struct lane *l, struct entry *e)
{
    /* Out of its heap; it stays what it is. */
    entry_set_state(&q->index, e, e->state);
    e->flags |= ENTRY_PARKED;
    if (e->state == ENTRY_INCOMING)
        heap_set(&l->fresh, &e->timer, e->arrival_ms);
    else
        heap_set(&l->due, &e->timer, round_expiry_ms(q, e));
    arm_expiry(l);
    if (l->link.next == &l->link)
        list_append(&q->lanes_parked, &l->link);
}

bool
lane_is_open(struct qmgr *q, const struct entry *e)
{
    const struct lane *l = find(&q->index, name_of(e));

    return l == NULL || (parked(l) == 0 && has_room(q, l));
}

enum admission
lane_admit(struct qmgr *q, struct entry *e)
{
    uint32_t name = name_of(e);
    struct lane *l;

    if (put_off(q, e))
        return ADMIT_NO;
    if (lane_is_open(q, e))
        return ADMIT;
    l = find(&q->index, name);
    park(q, l, e);
    return ADMIT_NO;
}

struct lane *
lane_enter(struct qmgr *q, const struct entry *e)
{
    uint32_t name = name_of(e);
    struct lane *l = find(&q->index, name);

    if (l == NULL)
        l = make(q, name);
    l->active++;
    return l;
}

void
lane_leave(struct qmgr *q, struct lane *l)
{
    l->active--;
    lane_touch(q, l->name);
    free_if_idle(&q->index, l);
}

void
lane_unpark(struct index *ix, struct entry *e)
{
    struct lane *l = find(ix, name_of(e));

    heap_remove(e->state == ENTRY_INCOMING ? &l->fresh : &l->due, &e->timer);
    e->flags &= (uint16_t)~ENTRY_PARKED;
    if (parked(l) == 0)
        list_remove(&l->link);
    arm_expiry(l);
    free_if_idle(ix, l);
}

/*
 * Its destination has died: what is parked waits for that instead. False: l is
 * gone with the last of them.
 */
static bool
put_off_parked(struct qmgr *q, struct lane *l)
{
    struct entry *e;
    size_t n = 0;

    l->active++; /* it stays */
    while ((e = first_of(&l->due)) != NULL && n++ < PUT_OFF_AT_A_TIME &&
        put_off(q, e))
        ;
    l->active--;
    if (n > PUT_OFF_AT_A_TIME)
        qmgr_wake(q);
    if (parked(l) > 0)
        return true;
    free_if_idle(&q->index, l);
    return false;
}

static struct entry *
first_parked(struct lane *l)
{
    l->fresh_turn = !l->fresh_turn;
    if (l->due.count == 0 || (l->fresh_turn && l->fresh.count > 0))
        return first_of(&l->fresh);
    return first_of(&l->due);
}

struct entry *
lane_next(struct qmgr *q)
{
    for (size_t looks = 0; looks < LOOKS; looks++) {
        struct list *it = list_take(&q->lanes_parked);
        const struct destination *d;
        struct lane *l;

        if (it == NULL)
            return NULL;
        list_append(&q->lanes_parked, it);
        l = LIST_ENTRY(it, struct lane, link);
        d = destination_of_lane(q, l->name);
        if (d != NULL && d->health == HEALTH_DEAD && !put_off_parked(q, l))
            continue;
        if (has_room(q, l))
            return first_parked(l);
    }
    return NULL;
}

void
lane_touch(struct qmgr *q, uint32_t name)
{
    struct lane *l = find(&q->index, name);

    if (l == NULL || parked(l) == 0)
        return;
    list_remove(&l->link);
    list_prepend(&q->lanes_parked, &l->link);
    qmgr_wake(q);
}

void
lane_fini_all(struct qmgr *q)
{
    struct map_node *next;

    for (struct map_node *n = map_first(&q->index.lanes); n != NULL; n = next) {
        struct lane *l = LIST_ENTRY(n, struct lane, node);

        next = map_after(&q->index.lanes, n);
        l->active = 0;
        heap_fini(&l->fresh);
        heap_fini(&l->due);
        free_if_idle(&q->index, l);
    }
}

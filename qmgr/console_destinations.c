/*
 * QUEUE_DESTINATIONS: what the scheduler knows of where mail goes, and how much
 * is deferred for it.
 *
 * A destination is known as long as something goes there. Deferred mail beyond
 * that is told by the domain of its recipients.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/mail/route.h"
#include "qmgr/console_private.h"
#include "qmgr/describe.h"
#include "qmgr/roll.h"
#include "qmgr/view.h"

#include <stdio.h>
#include <string.h>

enum {
    TURN = 1000, /* elements looked at before others have their turn */
    ROUTE_MS = 10 * 1000,
    ADDRESS_MAX = 1024,
};

/* Deferred messages that go the same way, as far as the index says. */
struct share {
    struct map_node node; /* by lane and site */
    uint32_t lane, site;
    uint64_t count, sample; /* one of them */
    int64_t due_ms;         /* of the first */
    bool told;
};

struct survey {
    struct console *console;
    struct request *request;
    struct slice name; /* asked for; empty: all */
    struct route route;
    bool has_route, route_told;
    struct map lanes;  /* struct share of a lane, with all its sites */
    struct map shares; /* of one lane and one site */
    uint64_t count;
};

static bool
same_share(const struct map_node *node, const void *key)
{
    const struct share *have = (const struct share *)(const void *)node;
    const struct share *want = key;

    return have->lane == want->lane && have->site == want->site;
}

static struct share *
share_of(struct map *shares, uint32_t lane, uint32_t site)
{
    struct share key = { .lane = lane, .site = site }, *s;
    uint64_t hash = map_hash_u64((uint64_t)lane << 32 | site);
    struct map_node *n = map_find(shares, hash, same_share, &key);

    if (n != NULL)
        return LIST_ENTRY(n, struct share, node);
    s = mem_alloc(sizeof(*s));
    s->lane = lane;
    s->site = site;
    s->due_ms = INT64_MAX;
    map_add(shares, hash, &s->node);
    return s;
}

static void
add_share(struct share *s, uint64_t count, uint64_t sample, int64_t due_ms)
{
    s->count += count;
    s->sample = sample;
    if (due_ms < s->due_ms)
        s->due_ms = due_ms;
}

static void
count_deferred(struct survey *v)
{
    const struct index *ix = &v->console->q->index;
    uint64_t cursor = 0;
    unsigned looked = 0;

    do {
        struct map_node *n = map_step(&ix->entries, &cursor);

        for (; n != NULL; n = n->next) {
            const struct entry *e = LIST_ENTRY(n, struct entry, node);

            if (e->state != ENTRY_DEFERRED)
                continue;
            add_share(share_of(&v->shares, e->lane, e->site), 1, e->id,
                e->timer.due);
            add_share(share_of(&v->lanes, e->lane, 0), 1, e->id, e->timer.due);
        }
        if (++looked % TURN == 0)
            fiber_yield();
    } while (cursor != 0);
}

static void
free_shares(struct map *shares)
{
    struct map_node *next;

    for (struct map_node *n = map_first(shares); n != NULL; n = next) {
        next = map_after(shares, n);
        map_remove(shares, n);
        mem_free(LIST_ENTRY(n, struct share, node));
    }
    map_fini(shares);
}

static void
send_one(struct survey *v, const struct queue_destination *d)
{
    struct msg m;

    queue_destination_encode(d, &m);
    request_item(v->request, &m);
    v->count++;
}

static bool
wait_room(struct survey *v)
{
    return request_wait_room(v->request, clock_now_ms() + CONSOLE_ROOM_MS) ==
        LINK_OK;
}

/* Destinations */

static bool
is_meant(struct survey *v, const struct destination_view *d, bool *is_route)
{
    *is_route = v->has_route && strcmp(d->transport, v->route.transport) == 0 &&
        strcasecmp(d->nexthop, v->route.nexthop) == 0;
    return v->name.len == 0 || *is_route ||
        slice_eq_nocase(v->name, slice_of(d->nexthop));
}

/* What is deferred for its lane, whatever the domains. */
static void
take_lane(struct survey *v, uint32_t lane, struct queue_destination *to)
{
    struct share *s = share_of(&v->lanes, lane, 0);

    if (s->told || s->count == 0)
        return;
    s->told = true;
    to->deferred = s->count;
    to->next_due_ms = s->due_ms;
}

static void
describe(struct survey *v, const struct destination *d)
{
    static const char *const healths[] = {
        [HEALTH_LIVE] = "live",
        [HEALTH_DEAD] = "dead",
        [HEALTH_PROBED] = "probed",
    };
    struct queue_destination to = { 0 };
    struct destination_view from;

    destination_describe(v->console->q, d, &from);
    if (!is_meant(v, &from, &to.is_route))
        return;
    v->route_told |= to.is_route;
    to.transport = slice_of(from.transport);
    to.nexthop = slice_of(from.nexthop);
    to.recipient = slice_of(from.recipient);
    to.health = slice_of(healths[from.health]);
    to.hold = slice_of(destination_hold_text(from.hold));
    to.window = from.window_now;
    to.window_limit = from.window_limit;
    to.running = from.running;
    to.idle_sessions = from.idle_sessions;
    to.waiting_messages = from.waiting_messages;
    to.waiting_recipients = from.waiting_recipients;
    to.rate_delay_ms = from.rate_delay_ms;
    to.next_try_ms = from.next_try_ms;
    to.failures = from.failures;
    to.status = slice_of(from.status);
    to.reason = slice_of(from.reason);
    take_lane(v, from.lane, &to);
    send_one(v, &to);
}

static bool
describe_all(struct survey *v)
{
    const struct map *all = &v->console->q->destinations;
    uint64_t cursor = 0;

    do {
        struct map_node *n = map_step(all, &cursor);
        bool any = n != NULL;

        for (; n != NULL; n = n->next)
            describe(v, LIST_ENTRY(n, struct destination, node));
        if (any && !wait_room(v))
            return false;
    } while (cursor != 0);
    return true;
}

/* Where it would go, if nothing of it is on its way. */
static void
tell_route(struct survey *v)
{
    struct queue_destination to = {
        .transport = slice_of(v->route.transport),
        .nexthop = slice_of(v->route.nexthop),
        .is_route = true,
    };

    if (!v->has_route || v->route_told)
        return;
    if (transport_find(v->console->q, to.transport)->deferred)
        to.hold = slice_of(destination_hold_text(HOLD_TRANSPORT));
    send_one(v, &to);
}

/* Deferred mail whose destination is not known (any more). */

/* By domain alone, those of lanes that were told left out. */
static void
merge_sites(struct survey *v, struct map *sites)
{
    for (struct map_node *n = map_first(&v->shares); n != NULL;
         n = map_after(&v->shares, n)) {
        const struct share *s = LIST_ENTRY(n, struct share, node);

        if (!share_of(&v->lanes, s->lane, 0)->told)
            add_share(share_of(sites, 0, s->site), s->count, s->sample,
                s->due_ms);
    }
}

/* A share is named by the domain of a message of it. */
static void
tell_share(struct survey *v, const struct share *s, const struct view *view)
{
    struct queue_destination to = {
        .deferred = s->count,
        .next_due_ms = s->due_ms,
    };

    if (!view->found || view->item.recipient_count == 0)
        return;
    if (s->site != 0)
        to.nexthop = queue_address_domain(view->item.recipients[0].address);
    to.reason = view->item.recipients[0].reason;
    if (v->name.len == 0 || slice_eq_nocase(v->name, to.nexthop))
        send_one(v, &to);
}

static bool
tell_batch(struct survey *v, const struct share *const *shares, size_t count,
    struct view *views)
{
    memset(views, 0, CONSOLE_BATCH * sizeof(*views));
    for (size_t i = 0; i < count; i++)
        views[i].id = shares[i]->sample;
    if (count > 0)
        view_read(v->console->q, views, count, VIEW_ITEM, NULL);
    for (size_t i = 0; i < count; i++) {
        tell_share(v, shares[i], &views[i]);
        view_fini(v->console->q, &views[i]);
    }
    return wait_room(v);
}

static void
tell_sites(struct survey *v)
{
    struct view *views = mem_alloc_array(CONSOLE_BATCH, sizeof(*views));
    const struct share *batch[CONSOLE_BATCH];
    struct map sites = { 0 };
    size_t n = 0;
    bool more = true;

    merge_sites(v, &sites);
    for (struct map_node *at = map_first(&sites); at != NULL && more;
         at = map_after(&sites, at)) {
        const struct share *s = LIST_ENTRY(at, struct share, node);

        if (v->name.len > 0 && s->site != index_site(v->name))
            continue;
        batch[n++] = s;
        if (n < CONSOLE_BATCH)
            continue;
        more = tell_batch(v, batch, n, views);
        n = 0;
    }
    if (more)
        (void)tell_batch(v, batch, n, views);
    free_shares(&sites);
    mem_free(views);
}

/* "example.org" is routed as mail to somebody there would be. */
static void
find_route(struct survey *v)
{
    struct route_question q = { .use = ROUTE_OF_MAIL };
    char address[ADDRESS_MAX];
    struct why why;
    int n;

    if (v->name.len == 0 || v->console->mode == CONSOLE_OFFLINE ||
        slice_find(v->name, '[') < v->name.len ||
        slice_find(v->name, ':') < v->name.len)
        return;
    n = snprintf(address, sizeof(address), "postmaster@" SLICE_FMT,
        SLICE_ARG(v->name));
    if (n < 0 || (size_t)n >= sizeof(address))
        return;
    q.recipient = (struct slice){ address, (size_t)n };
    v->has_route = route_resolve(&q, clock_now_ms() + ROUTE_MS, &v->route,
                       &why) == RESULT_OK;
}

static void
survey(struct survey *v)
{
    find_route(v);
    count_deferred(v);
    if (describe_all(v)) {
        tell_route(v);
        tell_sites(v);
    }
    free_shares(&v->lanes);
    free_shares(&v->shares);
    console_done(v->request, v->count);
}

void
console_destinations(struct console *c, struct request *r)
{
    struct queue_request *ask = mem_alloc(sizeof(*ask));
    struct survey *v = mem_alloc(sizeof(*v));

    fiber_shield();
    v->console = c;
    v->request = r;
    if (!queue_request_decode(r->in->body, ask)) {
        console_refuse(r, "malformed request");
    } else if (!console_walk_begin(c, r)) {
        console_refuse(r, "too many commands of one user at a time");
    } else {
        v->name = ask->site;
        survey(v);
    }
    console_walk_end(c);
    mem_free(v);
    mem_free(ask);
}

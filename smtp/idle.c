#include "smtp/idle.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum {
    /*
     * Destinations whose demand is remembered. Two that share a place may be
     * thought busier than they are, which costs an idle connection.
     */
    DEMAND_PLACES = 4096,
};

struct demand {
    int64_t last_ms;
    uint32_t count;
};

struct idle {
    struct map by_destination, by_address;
    struct list sessions; /* oldest first */
    unsigned count, leaving;
    struct demand demand[DEMAND_PLACES];
};

/* A key of one of the maps. */
struct key {
    const char *service;
    struct slice destination;
    const struct sock_addr *addr;
};

static uint64_t
destination_hash(const char *service, struct slice destination)
{
    return map_hash_slice_nocase(destination) ^
        map_hash_slice(slice_of(service)) * 31;
}

/* Family, port and address: padding and scope differ where they should not. */
static struct slice
address_octets(const struct sock_addr *addr)
{
    if (addr->u.any.sa_family == AF_INET)
        return (struct slice){ (const char *)&addr->u.in.sin_addr, 4 };
    if (addr->u.any.sa_family == AF_INET6)
        return (struct slice){ (const char *)&addr->u.in6.sin6_addr, 16 };
    return slice_of(addr->u.un.sun_path);
}

static uint64_t
address_hash(const char *service, const struct sock_addr *addr)
{
    uint64_t hash = map_hash_slice(address_octets(addr)) ^
        map_hash_slice(slice_of(service)) * 31;

    if (addr->u.any.sa_family != AF_UNIX)
        hash += sock_addr_port(addr);
    return hash;
}

static struct session *
of_destination(const struct map_node *node)
{
    return (struct session *)((uintptr_t)node -
        offsetof(struct session, by_destination));
}

static struct session *
of_address(const struct map_node *node)
{
    return (struct session *)((uintptr_t)node -
        offsetof(struct session, by_address));
}

static bool
is_of_destination(const struct map_node *node, const void *key)
{
    const struct key *k = key;
    const struct session *s = of_destination(node);

    return strcmp(s->profile.service, k->service) == 0 &&
        slice_eq_nocase(s->destination, k->destination);
}

static bool
is_of_address(const struct map_node *node, const void *key)
{
    const struct key *k = key;
    const struct session *s = of_address(node);

    return strcmp(s->profile.service, k->service) == 0 &&
        target_same_address(&s->addr, k->addr);
}

struct idle *
idle_new(void)
{
    struct idle *idle = mem_alloc(sizeof(*idle));

    map_init(&idle->by_destination);
    map_init(&idle->by_address);
    list_init(&idle->sessions);
    return idle;
}

void
idle_free(struct idle *idle)
{
    if (idle == NULL)
        return;
    map_fini(&idle->by_destination);
    map_fini(&idle->by_address);
    mem_free(idle);
}

bool
idle_note_demand(struct idle *idle, const char *service,
    struct slice destination, int64_t limit_ms, uint32_t *mark)
{
    struct demand *d =
        &idle->demand[destination_hash(service, destination) % DEMAND_PLACES];
    int64_t now = clock_now_ms();
    bool busy = d->count > 0 && now - d->last_ms <= limit_ms;

    d->last_ms = now;
    *mark = ++d->count;
    return busy;
}

bool
idle_demand_since(const struct idle *idle, const char *service,
    struct slice destination, uint32_t mark)
{
    return idle->demand[destination_hash(service, destination) % DEMAND_PLACES]
               .count != mark;
}

static void
remove_session(struct idle *idle, struct session *s)
{
    fiber_timer_disarm(&s->timer);
    map_remove(&idle->by_destination, &s->by_destination);
    map_remove(&idle->by_address, &s->by_address);
    list_remove(&s->node);
    idle->count--;
}

unsigned
idle_count(const struct idle *idle, const char *service,
    struct slice destination)
{
    struct key key = { service, destination, NULL };
    uint64_t hash = destination_hash(service, destination);
    unsigned n = 0;

    for (struct map_node *node =
             map_find(&idle->by_destination, hash, is_of_destination, &key);
         node != NULL; node = node->next)
        n += node->hash == hash && is_of_destination(node, &key);
    return n;
}

static void
leave(void *arg)
{
    struct session *s = arg;
    struct idle *idle = s->idle;

    session_quit(s);
    idle->leaving--;
}

/* QUIT may wait, and not all who call are fibers: it gets one of its own. */
void
idle_dismiss(struct idle *idle, struct session *s)
{
    s->idle = idle;
    idle->leaving++;
    if (s->dead || fiber_spawn("quit", leave, s) == NULL) {
        idle->leaving--;
        session_free(s);
    }
}

static void
expel(struct idle *idle, struct session *s)
{
    remove_session(idle, s);
    idle_dismiss(idle, s);
}

static void
expired(void *arg)
{
    struct session *s = arg;

    expel(s->idle, s);
}

bool
idle_put(struct idle *idle, struct session *s, struct slice destination,
    int64_t keep_ms)
{
    if (idle->count >= IDLE_MAX)
        return false;
    if (!slice_eq(s->destination, destination)) {
        char *copy = mem_text_of(destination);

        session_set_destination(s, (struct slice){ copy, destination.len });
    }
    s->idle = idle;
    s->timer.fn = expired;
    s->timer.arg = s;
    map_add(&idle->by_destination,
        destination_hash(s->profile.service, destination), &s->by_destination);
    map_add(&idle->by_address, address_hash(s->profile.service, &s->addr),
        &s->by_address);
    list_append(&idle->sessions, &s->node);
    idle->count++;
    fiber_timer_arm(&s->timer, clock_now_ms() + keep_ms);
    return true;
}

struct session *
idle_take(struct idle *idle, const char *service, struct slice destination)
{
    struct key key = { service, destination, NULL };
    struct map_node *node = map_find(&idle->by_destination,
        destination_hash(service, destination), is_of_destination, &key);
    struct session *s;

    if (node == NULL)
        return NULL;
    s = of_destination(node);
    remove_session(idle, s);
    return s;
}

struct session *
idle_take_address(struct idle *idle, const char *service,
    const struct sock_addr *addr)
{
    struct key key = { service, { 0 }, addr };
    struct map_node *node = map_find(&idle->by_address,
        address_hash(service, addr), is_of_address, &key);
    struct session *s;

    if (node == NULL)
        return NULL;
    s = of_address(node);
    remove_session(idle, s);
    return s;
}

void
idle_close(struct idle *idle)
{
    list_foreach_safe (it, &idle->sessions)
        expel(idle, LIST_ENTRY(it, struct session, node));
}

unsigned
idle_leaving(const struct idle *idle)
{
    return idle->leaving;
}

#include "lookup/counters.h"

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"

#include <stdio.h>
#include <time.h>

enum {
    TIME_SIZE = 32,
    /* Whoever sends mail makes up as many as he likes: others keep their room. */
    SENDERS_MAX = COUNTERS_MAX / 2,
};

/* The connections of one process with a client. */
struct share {
    struct share *next;
    const void *owner;
    uint32_t connections;
};

/* Whose time limits are for, and which are counted in the same time. */
struct period {
    int64_t unit_ms;
    struct list by_age; /* struct counter; those that began last stand last */
};

struct counter {
    struct map_node node; /* first: map_find() */
    struct list age;      /* of period->by_age */
    struct period *period;
    char *key;
    int64_t began_ms;
    uint32_t rates[COUNT_RATES];
    uint32_t connections;
    struct share *shares;
};

/* The highest value of something, and whose it was. */
struct record {
    uint32_t value;
    char key[COUNT_KEY_MAX + 1];
    int64_t unit_ms;
    int64_t at; /* seconds since 1970 */
};

struct counters {
    struct map map;
    struct period clients, users; /* and senders */
    struct record rates[COUNT_RATES], connections, size;
    size_t senders; /* of those in map */
    bool full;      /* was said */
};

struct counters *
counters_new(void)
{
    struct counters *c = mem_alloc(sizeof(*c));

    map_init(&c->map);
    list_init(&c->clients.by_age);
    list_init(&c->users.by_age);
    counters_set_units(c, 60 * 1000, 60 * 1000);
    return c;
}

static bool
is_sender(struct slice key)
{
    return slice_starts(key, SLICE_LIT("sender:"));
}

static void
drop(struct counters *c, struct counter *k)
{
    if (is_sender(slice_of(k->key)))
        c->senders--;
    map_remove(&c->map, &k->node);
    list_remove(&k->age);
    while (k->shares != NULL) {
        struct share *share = k->shares;

        k->shares = share->next;
        mem_free(share);
    }
    mem_free(k->key);
    mem_free(k);
}

static void
drop_all(struct counters *c, struct period *p)
{
    while (!list_empty(&p->by_age))
        drop(c, LIST_ENTRY(p->by_age.next, struct counter, age));
}

void
counters_free(struct counters *c)
{
    if (c == NULL)
        return;
    drop_all(c, &c->clients);
    drop_all(c, &c->users);
    map_fini(&c->map);
    mem_free(c);
}

void
counters_set_units(struct counters *c, int64_t clients_ms, int64_t users_ms)
{
    c->clients.unit_ms = clients_ms;
    c->users.unit_ms = users_ms;
}

size_t
counters_size(const struct counters *c)
{
    return c->map.count;
}

/* Finding */

static bool
same_key(const struct map_node *node, const void *key)
{
    const struct slice *want = key;

    _Static_assert(offsetof(struct counter, node) == 0, "cast below");
    return slice_eq_text(*want, ((const struct counter *)node)->key);
}

static bool
is_over(const struct counter *k)
{
    return clock_now_ms() - k->began_ms > k->period->unit_ms;
}

static void
begin_again(struct counter *k)
{
    memset(k->rates, 0, sizeof(k->rates));
    k->began_ms = clock_now_ms();
    list_remove(&k->age);
    list_append(&k->period->by_age, &k->age);
}

/*
 * The oldest that say nothing any more go, a few at each step, so that none
 * costs much. One with connections goes to the end instead.
 */
static void
expire(struct counters *c, struct period *p)
{
    for (int i = 0; i < 4 && !list_empty(&p->by_age); i++) {
        struct counter *k = LIST_ENTRY(p->by_age.next, struct counter, age);

        if (!is_over(k))
            return;
        if (k->connections == 0)
            drop(c, k);
        else
            begin_again(k);
    }
}

static void
note(struct record *r, uint32_t value, const struct counter *k)
{
    if (value <= r->value)
        return;
    r->value = value;
    (void)snprintf(r->key, sizeof(r->key), "%s", k->key);
    r->unit_ms = k->period->unit_ms;
    r->at = clock_wall_s();
}

static struct counter *
find(struct counters *c, struct slice key)
{
    return (
        struct counter *)map_find(&c->map, map_hash_slice(key), same_key, &key);
}

static bool
has_room(struct counters *c, struct slice key)
{
    bool sender = is_sender(key);

    if (c->map.count < COUNTERS_MAX && (!sender || c->senders < SENDERS_MAX))
        return true;
    if (!c->full)
        log_warning("%zu %s are counted: no more",
            sender ? c->senders : c->map.count,
            sender ? "senders" : "clients, users and senders");
    c->full = true;
    return false;
}

static struct period *
period_of(struct counters *c, struct slice key)
{
    return is_sender(key) || slice_starts(key, SLICE_LIT("login:"))
        ? &c->users
        : &c->clients;
}

static struct counter *
add(struct counters *c, struct slice key)
{
    struct counter *k;

    if (!has_room(c, key))
        return NULL;
    k = mem_alloc(sizeof(*k));
    k->key = mem_text_of(key);
    k->began_ms = clock_now_ms();
    if (is_sender(key))
        c->senders++;
    map_add(&c->map, map_hash_slice(key), &k->node);
    k->period = period_of(c, key);
    list_append(&k->period->by_age, &k->age);
    note(&c->size, (uint32_t)c->map.count, k);
    return k;
}

/* Counting */

static struct share *
share_of(struct counter *k, const void *owner)
{
    struct share *share = k->shares;

    while (share != NULL && share->owner != owner)
        share = share->next;
    if (share != NULL)
        return share;
    share = mem_alloc(sizeof(*share));
    share->owner = owner;
    share->next = k->shares;
    k->shares = share;
    return share;
}

static void
connect_one(struct counters *c, struct counter *k, const void *owner)
{
    share_of(k, owner)->connections++;
    k->connections++;
    note(&c->connections, k->connections, k);
}

/* More than there are, a process cannot end. */
static void
disconnect_one(struct counter *k, const void *owner)
{
    struct share *share = share_of(k, owner);

    if (share->connections == 0)
        return;
    share->connections--;
    k->connections--;
}

static void
count_rate(struct counters *c, struct counter *k, enum count_event event)
{
    if (is_over(k))
        begin_again(k);
    if (k->rates[event] < UINT32_MAX)
        k->rates[event]++;
    note(&c->rates[event], k->rates[event], k);
}

void
counters_count(struct counters *c, const void *owner, enum count_event event,
    struct slice key, struct count *count)
{
    struct counter *k;

    *count = (struct count){ .rate = 0 };
    expire(c, &c->clients);
    expire(c, &c->users);
    k = find(c, key);
    if (event == COUNT_DISCONNECT) {
        if (k != NULL)
            disconnect_one(k, owner);
        return;
    }
    if (k == NULL)
        k = add(c, key);
    if (k == NULL)
        return;
    if (event == COUNT_CONNECT || event == COUNT_AGAIN)
        connect_one(c, k, owner);
    if (event < COUNT_RATES) {
        count_rate(c, k, event);
        count->rate = k->rates[event];
    }
    count->connections = k->connections;
}

static void
forget_owner(const struct period *p, const void *owner)
{
    list_foreach (it, &p->by_age) {
        struct counter *k = LIST_ENTRY(it, struct counter, age);

        for (struct share **at = &k->shares; *at != NULL;) {
            struct share *share = *at;

            if (share->owner != owner) {
                at = &share->next;
                continue;
            }
            k->connections -= share->connections;
            *at = share->next;
            mem_free(share);
        }
    }
}

void
counters_forget(struct counters *c, const void *owner)
{
    forget_owner(&c->clients, owner);
    forget_owner(&c->users, owner);
}

/* Statistics */

static const char *
time_of(const struct record *r, char text[TIME_SIZE])
{
    time_t at = (time_t)r->at;
    struct tm tm;

    text[0] = '\0';
    if (localtime_r(&at, &tm) != NULL)
        (void)strftime(text, TIME_SIZE, "%b %e %H:%M:%S", &tm);
    return text;
}

void
counters_log(struct counters *c, const char *tag)
{
    static const char *const names[COUNT_RATES] = {
        [COUNT_CONNECT] = "connection",
        [COUNT_MAIL] = "message",
        [COUNT_RCPT] = "recipient",
        [COUNT_TLS] = "newtls",
        [COUNT_AUTH] = "auth",
    };
    char at[TIME_SIZE];

    for (size_t i = 0; i < COUNT_RATES; i++) {
        if (c->rates[i].value > 0)
            log_write(LOG_LEVEL_INFO, tag,
                "statistics: max %s rate %u/%jds for (%s) at %s", names[i],
                c->rates[i].value, (intmax_t)(c->rates[i].unit_ms / 1000),
                c->rates[i].key, time_of(&c->rates[i], at));
        if (i == COUNT_CONNECT && c->connections.value > 0)
            log_write(LOG_LEVEL_INFO, tag,
                "statistics: max connection count %u for (%s) at %s",
                c->connections.value, c->connections.key,
                time_of(&c->connections, at));
    }
    if (c->size.value > 0)
        log_write(LOG_LEVEL_INFO, tag, "statistics: max cache size %u at %s",
            c->size.value, time_of(&c->size, at));
    memset(c->rates, 0, sizeof(c->rates));
    memset(&c->connections, 0, sizeof(c->connections));
    memset(&c->size, 0, sizeof(c->size));
    c->full = false;
}

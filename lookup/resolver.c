#include "lookup/resolver.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/dns/dns_codec.h"
#include "lib/io/fiber.h"
#include "lookup/cache.h"
#include "lookup/event_base.h"
#include "lookup/recursor.h"
#include "lookup/resolv_conf.h"
#include "lookup/stub.h"
#include "lookup/wire.h"

#include <stdio.h>

struct resolver {
    bool trust_ad;
    bool fixed; /* dns_resolvers: fixed_conf instead of resolv.conf */
    struct resolv_conf fixed_conf;
    struct resolv_file file;
    int64_t cache_octets;
    struct cache *cache;          /* of the stub */
    struct map pending;           /* of the stub: struct pending */
    struct ub_event_base *events; /* of the recursor */
    struct recursor *recursor;    /* NULL until first needed */
    unsigned outstanding, waiting;
    struct fiber_cond room;
};

/*
 * A question that the stub is asking: whoever asks the same meanwhile waits
 * for that answer.
 */
struct pending {
    struct map_node node;
    char name[DNS_NAME_MAX + 1];
    size_t name_len;
    enum dns_type type;
    unsigned references;
    bool done;
    struct fiber_cond answered;
    struct buf octets; /* the answer, as dns_answer_encode() makes it */
};

struct resolver *
resolver_new(void)
{
    struct resolver *r = mem_alloc(sizeof(*r));

    r->file.path = "/etc/resolv.conf";
    fiber_cond_init(&r->room);
    map_init(&r->pending);
    return r;
}

static void
forget_answers(struct resolver *r)
{
    recursor_drop(r->recursor);
    r->recursor = NULL;
    if (r->cache != NULL)
        cache_clear(r->cache);
}

void
resolver_free(struct resolver *r)
{
    if (r == NULL)
        return;
    recursor_drop(r->recursor);
    event_base_drop(r->events);
    cache_free(r->cache);
    map_fini(&r->pending);
    mem_free(r);
}

enum result
resolver_configure(struct resolver *r, const struct config *config,
    struct why *why)
{
    struct resolv_conf conf;

    if (resolv_conf_parse_list(slice_of(config->dns_resolvers), &conf, why) !=
        RESULT_OK)
        return RESULT_PERMFAIL;
    r->fixed = conf.count > 0;
    r->fixed_conf = conf;
    r->trust_ad = config->dns_trust_ad;
    if (r->cache == NULL || r->cache_octets != config->dns_cache_size) {
        cache_free(r->cache);
        r->cache = cache_new((size_t)config->dns_cache_size);
        r->cache_octets = config->dns_cache_size;
    }
    forget_answers(r);
    return RESULT_OK;
}

/* The servers to ask now. */
static const struct resolv_conf *
servers(struct resolver *r)
{
    if (r->fixed)
        return &r->fixed_conf;
    if (resolv_file_check(&r->file))
        forget_answers(r);
    return &r->file.conf;
}

static bool
is_pending(const struct map_node *node, const void *key)
{
    const struct pending *p = (const struct pending *)((uintptr_t)node -
        offsetof(struct pending, node));
    const struct pending *k = key;

    return p->type == k->type &&
        slice_eq_nocase((struct slice){ p->name, p->name_len },
            (struct slice){ k->name, k->name_len });
}

static uint64_t
pending_hash(const struct pending *p)
{
    return map_hash_slice_nocase((struct slice){ p->name, p->name_len }) ^
        map_hash_u64(p->type);
}

static void
pending_drop(struct pending *p)
{
    if (--p->references > 0)
        return;
    buf_fini(&p->octets);
    mem_free(p);
}

static enum dns_status
read_octets(struct slice octets, struct arena *arena, struct dns_answer *answer)
{
    struct slice copy;
    struct why why;

    if (!arena_slice(arena, octets, &copy))
        return answer->status = DNS_TRYAGAIN;
    return dns_answer_decode(copy, arena, answer, &why);
}

/* Ask, on behalf of all who wait for p. */
static void
fill_pending(struct resolver *r, struct pending *p,
    const struct resolv_conf *conf, int64_t deadline)
{
    struct slice name = { p->name, p->name_len };
    struct resolv_conf now = *conf; /* may change while we wait */
    struct arena arena;
    struct dns_answer answer;
    struct why why = { 0 };
    struct msg m = { 0 };
    uint32_t ttl;

    arena_init(&arena, RESOLVER_ARENA_MAX);
    stub_ask(&now, name, p->type, &arena, deadline, &answer, &ttl);
    buf_init(&m.body, MESSAGE_SMALL);
    dns_answer_encode(&answer, &why, &m);
    buf_add(&p->octets, buf_slice(&m.body));
    cache_put(r->cache, name, p->type, buf_slice(&m.body), ttl);
    buf_fini(&m.body);
    arena_clear(&arena);
}

static enum dns_status
ask_stub(struct resolver *r, const struct resolv_conf *conf, struct slice name,
    enum dns_type type, struct arena *arena, int64_t deadline,
    struct dns_answer *answer)
{
    struct pending *p = mem_alloc(sizeof(*p));
    struct map_node *node;
    enum dns_status status = DNS_TRYAGAIN;

    memcpy(p->name, name.ptr, name.len);
    p->name_len = name.len;
    p->type = type;
    p->references = 1;
    node = map_find(&r->pending, pending_hash(p), is_pending, p);
    if (node != NULL) {
        mem_free(p);
        p = LIST_ENTRY(node, struct pending, node);
        p->references++;
        while (!p->done)
            if (fiber_cond_wait(&p->answered, deadline) != WAIT_OK)
                break;
    } else {
        fiber_cond_init(&p->answered);
        buf_init(&p->octets, MESSAGE_SMALL);
        map_add(&r->pending, pending_hash(p), &p->node);
        fill_pending(r, p, conf, deadline);
        map_remove(&r->pending, &p->node);
        p->done = true;
        fiber_cond_broadcast(&p->answered);
    }
    if (p->done)
        status = read_octets(buf_slice(&p->octets), arena, answer);
    pending_drop(p);
    return answer->status = status;
}

static enum dns_status
ask_recursor(struct resolver *r, const struct resolv_conf *conf,
    struct slice name, enum dns_type type, struct arena *arena,
    int64_t deadline, struct dns_answer *answer)
{
    if (r->events == NULL)
        r->events = event_base_new();
    if (r->recursor == NULL && r->events != NULL)
        r->recursor = recursor_new(r->events, conf, r->cache_octets);
    if (r->recursor == NULL)
        return DNS_TRYAGAIN;
    return recursor_ask(r->recursor, name, type, arena, deadline, answer);
}

/* Wait for a place among the questions under way. */
static bool
take_place(struct resolver *r, int64_t deadline)
{
    if (r->waiting >= RESOLVER_WAITING_MAX)
        return false;
    r->waiting++;
    while (r->outstanding >= RESOLVER_OUTSTANDING_MAX) {
        if (fiber_cond_wait(&r->room, deadline) != WAIT_OK) {
            r->waiting--;
            return false;
        }
    }
    r->waiting--;
    r->outstanding++;
    return true;
}

static enum dns_status
ask_servers(struct resolver *r, struct slice name, enum dns_type type,
    struct arena *arena, int64_t deadline, struct dns_answer *answer)
{
    const struct resolv_conf *conf = servers(r);
    struct slice octets;
    enum dns_status status;

    if (conf->count == 0)
        return DNS_TRYAGAIN;
    if (r->trust_ad && cache_find(r->cache, name, type, &octets))
        return read_octets(octets, arena, answer);
    if (!take_place(r, deadline))
        return DNS_TRYAGAIN;
    conf = servers(r);
    if (conf->count == 0)
        status = DNS_TRYAGAIN;
    else if (r->trust_ad)
        status = ask_stub(r, conf, name, type, arena, deadline, answer);
    else
        status = ask_recursor(r, conf, name, type, arena, deadline, answer);
    r->outstanding--;
    fiber_cond_signal(&r->room);
    return status;
}

static void
say_why(enum dns_status status, struct slice name, enum dns_type type,
    struct why *why)
{
    static const char *const words[] = {
        [DNS_OK] = "",
        [DNS_NXDOMAIN] = "Host not found",
        [DNS_NODATA] = "Host found but no data record of requested type",
        [DNS_TRYAGAIN] = "Host not found, try again",
        [DNS_INVALID] = "",
    };
    const char *kind = dns_type_name(type);

    switch (status) {
    case DNS_OK:
        break;
    case DNS_NXDOMAIN:
    case DNS_NODATA:
        (void)why_perm(why, "5.4.4",
            "Host or domain name not found. Name service error for "
            "name=" SLICE_FMT " type=%s: %s",
            SLICE_ARG(name), kind, words[status]);
        break;
    case DNS_TRYAGAIN:
        (void)why_temp(why, "4.4.3",
            "Host or domain name not found. Name service error for "
            "name=" SLICE_FMT " type=%s: %s",
            SLICE_ARG(name), kind, words[status]);
        break;
    case DNS_INVALID:
        (void)why_perm(why, "5.4.4",
            "Name service error for name=" SLICE_FMT
            " type=%s: Malformed or unexpected name server reply",
            SLICE_ARG(name), kind);
        break;
    }
}

enum dns_status
resolver_ask(struct resolver *r, struct slice name, enum dns_type type,
    struct arena *arena, int64_t deadline, struct dns_answer *answer,
    struct why *why)
{
    enum dns_status status;

    *answer = (struct dns_answer){ .status = DNS_INVALID };
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (!wire_name_is_valid(name)) {
        (void)why_perm(why, "5.4.4",
            "Name service error for " SLICE_FMT ": invalid host or domain name",
            SLICE_ARG(slice_head(name, DNS_NAME_MAX)));
        return DNS_INVALID;
    }
    status = ask_servers(r, name, type, arena, deadline, answer);
    answer->status = status;
    say_why(status, name, type, why);
    return status;
}

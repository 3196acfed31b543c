#include "lookup/recursor.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/dns/dns_codec.h"
#include "lib/io/fiber.h"
#include "lib/io/offload.h"
#include "lookup/event_base.h"
#include "lookup/wire.h"

#include <stdio.h>
#include <unbound.h>

enum {
    SECURE = 2, /* "sec" of libunbound's callback */
    RCODE_NXDOMAIN = 3,
};

struct recursor {
    struct ub_ctx *ctx;
    struct ub_event_base *base;
    unsigned references;
};

/* On the heap: the answer may come when nobody waits any more. */
struct ask {
    struct recursor *recursor;
    char name[DNS_NAME_MAX + 2];
    enum dns_type type;
    struct fiber_cond done;
    bool answered, abandoned;
    int error; /* of ub_resolve_event() */
    int rcode;
    bool secure;
    struct buf packet;
};

/* Zones that libunbound would answer by itself; resolv.conf's servers are to
 * be asked for all. */
static const char *const built_in_zones[] = {
    "localhost.",
    "127.in-addr.arpa.",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
    "home.arpa.",
    "onion.",
    "test.",
    "invalid.",
};

static bool
set_option(struct ub_ctx *ctx, const char *name, const char *value)
{
    int error = ub_ctx_set_option(ctx, name, value);

    if (error != 0)
        log_warning("libunbound: %s %s: %s", name, value, ub_strerror(error));
    return error == 0;
}

static void
set_options(struct ub_ctx *ctx, int64_t cache_octets)
{
    static const struct {
        const char *name, *value;
    } options[] = {
        { "module-config:", "iterator" },
        { "do-not-query-localhost:", "no" },
        { "unblock-lan-zones:", "yes" },
        { "insecure-lan-zones:", "yes" },
        { "edns-buffer-size:", "1232" },
        /* A resolver that was down is asked again at once, not in minutes. */
        { "infra-keep-probing:", "yes" },
        { "infra-host-ttl:", "60" },
        { "qname-minimisation:", "no" },
        { "cache-max-negative-ttl:", "3600" },
        { "use-syslog:", "no" },
        { "verbosity:", "0" },
    };
    char octets[32];

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        set_option(ctx, options[i].name, options[i].value);
    snprintf(octets, sizeof(octets), "%lld", (long long)cache_octets);
    set_option(ctx, "msg-cache-size:", octets);
    snprintf(octets, sizeof(octets), "%lld", (long long)cache_octets * 2);
    set_option(ctx, "rrset-cache-size:", octets);
}

static bool
set_forwarders(struct ub_ctx *ctx, const struct resolv_conf *conf)
{
    for (size_t i = 0; i < conf->count; i++) {
        char address[SOCK_TEXT_MAX], text[SOCK_TEXT_MAX + 8];
        int error;

        snprintf(text, sizeof(text), "%s@%u",
            sock_addr_text(&conf->servers[i], address),
            sock_addr_port(&conf->servers[i]));
        error = ub_ctx_set_fwd(ctx, text);
        if (error != 0) {
            log_warning("libunbound: resolver %s: %s", text,
                ub_strerror(error));
            return false;
        }
    }
    return true;
}

struct making {
    struct ub_event_base *base;
    const struct resolv_conf *conf;
    int64_t cache_octets;
    struct ub_ctx *ctx;
};

static void
make(void *arg)
{
    struct making *m = arg;

    m->ctx = ub_ctx_create_ub_event(m->base);
    if (m->ctx == NULL)
        return;
    set_options(m->ctx, m->cache_octets);
    if (m->conf->tcp)
        set_option(m->ctx, "tcp-upstream:", "yes");
    if (!set_forwarders(m->ctx, m->conf)) {
        ub_ctx_delete(m->ctx);
        m->ctx = NULL;
        return;
    }
    for (size_t i = 0; i < sizeof(built_in_zones) / sizeof(built_in_zones[0]);
         i++)
        ub_ctx_zone_remove(m->ctx, built_in_zones[i]);
}

struct recursor *
recursor_new(struct ub_event_base *base, const struct resolv_conf *conf,
    int64_t cache_octets)
{
    struct making making = { base, conf, cache_octets, NULL };
    struct recursor *r;

    on_thread_stack(make, &making);
    if (making.ctx == NULL)
        return NULL;
    r = mem_alloc(sizeof(*r));
    r->ctx = making.ctx;
    r->base = event_base_hold(base);
    r->references = 1;
    return r;
}

static void
unmake(void *arg)
{
    ub_ctx_delete(arg);
}

void
recursor_drop(struct recursor *r)
{
    if (r == NULL || --r->references > 0)
        return;
    on_thread_stack(unmake, r->ctx);
    event_base_drop(r->base);
    mem_free(r);
}

static void
ask_free(struct ask *a)
{
    recursor_drop(a->recursor);
    buf_fini(&a->packet);
    mem_free(a);
}

/*
 * libunbound has an answer. The last reference of a recursor is never given up
 * here, inside it: an abandoned question leaves that to a fiber.
 */
static void
give_up(void *arg)
{
    ask_free(arg);
}

static void
answered(void *arg, int rcode, void *packet, int len, int sec, char *bogus,
    int ratelimited)
{
    struct ask *a = arg;

    (void)bogus;
    (void)ratelimited;
    a->answered = true;
    a->rcode = rcode;
    a->secure = sec == SECURE;
    /* With another rcode the packet is of somebody else's question. */
    if (rcode == 0 && packet != NULL && len > 0)
        buf_add(&a->packet, (struct slice){ packet, (size_t)len });
    if (!a->abandoned)
        fiber_cond_broadcast(&a->done);
    else if (fiber_spawn("dns", give_up, a) == NULL)
        log_warning("no memory to forget a DNS question");
}

static void
start(void *arg)
{
    struct ask *a = arg;

    a->error = ub_resolve_event(a->recursor->ctx, a->name, (int)a->type, 1, a,
        answered, NULL);
}

static enum dns_status
read_answer(struct ask *a, struct arena *arena, struct dns_answer *answer)
{
    struct wire_info info;
    enum dns_status status;

    if (a->packet.len == 0)
        return a->rcode == RCODE_NXDOMAIN ? DNS_NXDOMAIN : DNS_TRYAGAIN;
    status = wire_answer(buf_slice(&a->packet), slice_of(a->name), a->type,
        arena, answer, &info);
    answer->secure = a->secure;
    /* libunbound follows CNAMEs: one that is left leads in a circle. */
    return info.alias.len > 0 ? DNS_TRYAGAIN : status;
}

enum dns_status
recursor_ask(struct recursor *r, struct slice name, enum dns_type type,
    struct arena *arena, int64_t deadline, struct dns_answer *answer)
{
    struct ask *a = mem_alloc(sizeof(*a));
    enum dns_status status;

    *answer = (struct dns_answer){ .status = DNS_TRYAGAIN };
    a->recursor = r;
    r->references++;
    a->type = type;
    snprintf(a->name, sizeof(a->name), SLICE_FMT, SLICE_ARG(name));
    buf_init(&a->packet, 65536);
    fiber_cond_init(&a->done);
    on_thread_stack(start, a);
    if (a->error != 0) {
        ask_free(a);
        return answer->status = DNS_TRYAGAIN;
    }
    while (!a->answered)
        if (fiber_cond_wait(&a->done, deadline) != WAIT_OK)
            break;
    if (!a->answered) {
        a->abandoned = true;
        return answer->status = DNS_TRYAGAIN;
    }
    status = read_answer(a, arena, answer);
    ask_free(a);
    return answer->status = status;
}

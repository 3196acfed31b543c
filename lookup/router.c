#include "lookup/router.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/address.h"
#include "lib/mail/address_class.h"
#include "lib/mail/address_lookup.h"
#include "lib/mail/routed.h"
#include "lib/table/table.h"
#include "lookup/transport.h"

#include <stdio.h>

enum { CLASSES = CLASS_DEFAULT + 1 };

/* The parameters of one use. */
struct way {
    const char *transports[CLASSES]; /* by class; NULL: it has none */
    const char *relayhost;
    struct table_list *transport_maps;
};

struct router {
    unsigned references;
    struct config_set *set;
    const struct config *config;
    struct address_classes *classes;
    struct way ways[ROUTE_OF_PROBE + 1]; /* by enum route_use */
    unsigned transport_forms;            /* of address_find() */
};

/* A result of transport_maps or of a parameter is no longer than this. */
enum { RESULT_MAX = 2 * ROUTE_TEXT_MAX };

enum { LEADS_MAX = 256 * 1024 }; /* octets of a%b%c@ours on its way */

static struct way
mail_way(const struct config *c)
{
    return (struct way){
        .transports = {
            [CLASS_LOCAL] = c->local_transport,
            [CLASS_VIRTUAL_MAILBOX] = c->virtual_transport,
            [CLASS_RELAY] = c->relay_transport,
            [CLASS_DEFAULT] = c->default_transport,
        },
        .relayhost = c->relayhost,
    };
}

static struct way
probe_way(const struct config *c)
{
    return (struct way){
        .transports = {
            [CLASS_LOCAL] = c->address_verify_local_transport,
            [CLASS_VIRTUAL_MAILBOX] = c->address_verify_virtual_transport,
            [CLASS_RELAY] = c->address_verify_relay_transport,
            [CLASS_DEFAULT] = c->address_verify_default_transport,
        },
        .relayhost = c->address_verify_relayhost,
    };
}

static enum result
check_transports(const struct way *way, const char *prefix, struct why *why)
{
    static const char *const names[CLASSES] = {
        [CLASS_LOCAL] = "local_transport",
        [CLASS_VIRTUAL_MAILBOX] = "virtual_transport",
        [CLASS_RELAY] = "relay_transport",
        [CLASS_DEFAULT] = "default_transport",
    };

    for (unsigned class = 0; class < CLASSES; class ++) {
        const char *text = way->transports[class];

        if (text != NULL && transport_split(slice_of(text)).name.len == 0)
            return why_perm(why, "4.3.5",
                "parameter %s%s: null transport is not allowed", prefix,
                names[class]);
    }
    return RESULT_OK;
}

static enum result
open_way(struct way *way, const char *prefix, const char *maps,
    const struct config *config, struct why *why)
{
    enum result res = check_transports(way, prefix, why);

    if (res == RESULT_OK)
        res = table_list_open_with(maps, TABLE_NO_SUBSTITUTION, config,
            &way->transport_maps, why);
    return res;
}

enum result
router_open(struct config_set *set, struct router **router, struct why *why)
{
    struct router *r = mem_alloc(sizeof(*r));
    const struct config *config = config_of_service(set,
        config_main(set)->rewrite_service_name);
    enum result res;

    r->references = 1;
    r->set = config_hold(set);
    r->config = config;
    r->transport_forms = ADDRESS_TRANSPORT |
        (address_class_parent_matches(config, "transport_maps")
                ? ADDRESS_PARENTS
                : ADDRESS_PARENTS_DOT);
    r->ways[ROUTE_OF_MAIL] = mail_way(config);
    r->ways[ROUTE_OF_PROBE] = probe_way(config);
    res = open_way(&r->ways[ROUTE_OF_MAIL], "", config->transport_maps, config,
        why);
    if (res == RESULT_OK)
        res = open_way(&r->ways[ROUTE_OF_PROBE], "address_verify_",
            config->address_verify_transport_maps, config, why);
    if (res == RESULT_OK)
        res = address_classes_open(config, &r->classes, why);
    if (res != RESULT_OK) {
        router_drop(r);
        return res;
    }
    *router = r;
    return RESULT_OK;
}

struct router *
router_hold(struct router *r)
{
    r->references++;
    return r;
}

void
router_drop(struct router *r)
{
    if (r == NULL || --r->references > 0)
        return;
    for (size_t i = 0; i <= ROUTE_OF_PROBE; i++)
        table_list_close(r->ways[i].transport_maps);
    address_classes_close(r->classes);
    config_drop(r->set);
    mem_free(r);
}

/* The domain of a completed address. */
static struct slice
domain_of(const char *address)
{
    struct slice local, domain;

    (void)address_split(slice_of(address), &local, &domain);
    return domain;
}

/*
 * The address as it will be delivered to: with a domain, without a final dot.
 * *no_domain: it had none, and so is local whatever mydestination says.
 */
static enum result
complete_address(const struct router *r, struct slice recipient, char *to,
    bool *no_domain, struct why *why)
{
    const struct config *config = r->config;
    struct slice local, domain;
    int n;

    if (recipient.len == 0)
        recipient = slice_of(config->empty_address_recipient);
    *no_domain = !address_split(recipient, &local, &domain);
    if (!*no_domain && domain.len == 0 && config->resolve_null_domain)
        *no_domain = true;
    if (*no_domain)
        domain = slice_of(config->myhostname);
    if (domain.len > 1 && domain.ptr[domain.len - 1] == '.')
        domain.len--;
    if (local.len == 0 || domain.len == 0)
        return why_perm(why, "5.1.3", "bad address syntax");
    /* A command that it is given to would take it for an option. */
    if (local.ptr[0] == '-' && !config->allow_min_user)
        return why_perm(why, "5.1.3", "bad address syntax");
    if (domain_is_literal(domain) || domain_is_valid(domain))
        n = snprintf(to, ROUTE_TEXT_MAX, SLICE_FMT "@" SLICE_FMT,
            SLICE_ARG(local), SLICE_ARG(domain));
    else if (config->resolve_numeric_domain)
        n = snprintf(to, ROUTE_TEXT_MAX, SLICE_FMT "@[" SLICE_FMT "]",
            SLICE_ARG(local), SLICE_ARG(domain));
    else
        return why_perm(why, "5.1.3", "bad address syntax");
    if (n < 0 || n >= ROUTE_TEXT_MAX || memchr(to, '\0', (size_t)n) != NULL ||
        (!domain_is_literal(domain_of(to)) && !domain_is_valid(domain_of(to))))
        return why_perm(why, "5.1.3", "bad address syntax");
    return RESULT_OK;
}

static void
set_nexthop(struct route *route, struct slice text)
{
    snprintf(route->nexthop, sizeof(route->nexthop), SLICE_FMT,
        SLICE_ARG(text));
}

/* Domains are the same in any case: one queue for all spellings. */
static void
set_nexthop_domain(struct route *route, struct slice domain)
{
    set_nexthop(route, domain);
    for (char *p = route->nexthop; *p != '\0'; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
}

/* The next hop that mail goes to when the transport's parameter names none. */
static void
default_nexthop(const struct way *way, struct route *route)
{
    bool off_host = route->class == CLASS_RELAY ||
        route->class == CLASS_DEFAULT;

    if (off_host && way->relayhost[0] != '\0')
        set_nexthop(route, slice_of(way->relayhost));
    else
        set_nexthop_domain(route, domain_of(route->address));
}

static void
route_by_class(const struct router *r, const struct way *way,
    struct route *route)
{
    const char *text = way->transports[route->class];
    struct transport t;

    if (text == NULL) {
        snprintf(route->transport, sizeof(route->transport), "error");
        set_nexthop(route,
            r->config->show_user_unknown_table_name
                ? SLICE_LIT("5.1.1 User unknown in virtual alias table")
                : SLICE_LIT("5.1.1 User unknown"));
        return;
    }
    t = transport_split(slice_of(text));
    snprintf(route->transport, sizeof(route->transport), SLICE_FMT,
        SLICE_ARG(t.name));
    if (t.nexthop.len > 0)
        set_nexthop(route, t.nexthop);
    else
        default_nexthop(way, route);
}

/*
 * transport(5): a null transport leaves the transport, and alone the next hop
 * too; a transport without next hop means the recipient's domain.
 */
static void
route_by_transport_map(struct slice value, struct route *route)
{
    struct transport t = transport_split(value);

    if (t.name.len > 0)
        snprintf(route->transport, sizeof(route->transport), SLICE_FMT,
            SLICE_ARG(t.name));
    if (t.nexthop.len > 0)
        set_nexthop(route, t.nexthop);
    else if (t.name.len > 0 && transport_is_error(t.name))
        set_nexthop(route, SLICE_LIT("Address is undeliverable"));
    else if (t.name.len > 0)
        set_nexthop_domain(route, domain_of(route->address));
}

static enum table_status
ask_transport_maps(const struct router *r, struct table_list *maps,
    struct slice address, struct buf *value, struct why *why)
{
    struct slice extension;
    enum table_status status = address_find(r->classes, maps,
        r->transport_forms, address, value, &extension, why);

    if (status == TABLE_NOT_FOUND)
        status = table_list_find(maps, SLICE_LIT("*"), value, why);
    return status;
}

static enum result
resolver_failure(struct why *why)
{
    log_warning("%s", why->text);
    return why_temp(why, "4.3.0", "address resolver failure");
}

static enum result
apply_transport_maps(const struct router *r, struct table_list *maps,
    struct route *route, struct why *why)
{
    enum result res = RESULT_OK;
    struct buf value;

    if (table_list_empty(maps) || route->class == CLASS_VIRTUAL_ALIAS)
        return RESULT_OK;
    buf_init(&value, RESULT_MAX);
    switch (
        ask_transport_maps(r, maps, slice_of(route->address), &value, why)) {
    case TABLE_FOUND:
        route_by_transport_map(slice_trim(buf_slice(&value)), route);
        break;
    case TABLE_NOT_FOUND:
        break;
    case TABLE_ERROR:
        res = resolver_failure(why);
        break;
    }
    buf_fini(&value);
    return res;
}

/* address may be a part of the one whose place it takes. */
static enum result
lead_to(const struct router *r, struct route *route, struct slice address,
    struct arena *arena, struct why *why)
{
    bool no_domain;

    if (slice_eq(address, slice_of(route->address)))
        return RESULT_OK;
    if (!arena_slice(arena, address, &address))
        return why_temp(why, "4.3.0", "address resolver failure");
    return complete_address(r, address, route->address, &no_domain, why);
}

/* An address of ours may lead on: user%elsewhere@ours. Sets the class. */
static enum result
follow(const struct router *r, struct route *route, struct why *why)
{
    struct arena arena;
    struct routed to;
    enum result res;

    arena_init(&arena, LEADS_MAX);
    res = routed_find(r->classes, r->config, slice_of(route->address), &arena,
        &to, why);
    if (res == RESULT_TEMPFAIL)
        res = resolver_failure(why);
    else if (res == RESULT_OK)
        res = lead_to(r, route, to.address, &arena, why);
    route->class = to.class;
    arena_clear(&arena);
    return res;
}

enum result
router_resolve(struct router *r, const struct route_question *q,
    struct route *route, struct why *why)
{
    const struct way *way = &r->ways[q->use];
    bool no_domain;
    enum result res;

    memset(route, 0, sizeof(*route));
    res = complete_address(r, q->recipient, route->address, &no_domain, why);
    if (res != RESULT_OK)
        return res;
    route->class = CLASS_LOCAL;
    if (!no_domain && (res = follow(r, route, why)) != RESULT_OK)
        return res;
    route_by_class(r, way, route);
    return apply_transport_maps(r, way->transport_maps, route, why);
}

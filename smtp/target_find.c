#include "smtp/target_find.h"

#include "lib/base/random.h"
#include "lib/dns/dns.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TARGETS_MAX = 200,   /* addresses of one destination that are kept */
    EXCHANGERS_MAX = 50, /* of its mail exchangers whose addresses are asked */
};

/* smtp_host_lookup */
enum { LOOKUP_DNS = 1, LOOKUP_NATIVE = 2 };

/* What finding the addresses of one destination goes by. */
struct finder {
    const struct nexthop *hop;
    const struct config *config;
    const struct own_addresses *own; /* NULL: no loop can be told by address */
    struct arena *arena;
    int64_t deadline;
    struct targets *targets;
    struct excuse *excuse;
    unsigned families; /* DNS_WANT_... of inet_protocols */
    unsigned lookup;   /* LOOKUP_... */
    bool dns;          /* smtp_dns_support_level is not "disabled" */
};

static bool
list_has(const char *list, const char *word)
{
    struct slice rest = slice_of(list), element;

    while (slice_word(&rest, ", \t\r\n", &element))
        if (slice_eq_nocase(element, slice_of(word)))
            return true;
    return false;
}

static void
read_settings(struct finder *f)
{
    const struct config *c = f->config;
    bool all = list_has(c->inet_protocols, "all");

    if (all || list_has(c->inet_protocols, "ipv4"))
        f->families |= DNS_WANT_INET;
    if (all || list_has(c->inet_protocols, "ipv6"))
        f->families |= DNS_WANT_INET6;
    f->dns = c->smtp_dns_support_level[0] != '\0'
        ? !slice_eq_nocase(slice_of(c->smtp_dns_support_level),
              SLICE_LIT("disabled"))
        : !c->disable_dns_lookups;
    if (f->dns && list_has(c->smtp_host_lookup, "dns"))
        f->lookup |= LOOKUP_DNS;
    if (!f->dns || list_has(c->smtp_host_lookup, "native"))
        f->lookup |= LOOKUP_NATIVE;
}

/* A soft failure stands, whatever hard ones follow. */
static void
excuse_keep_soft(struct excuse *e, const char *hard, const char *soft,
    const struct why *why)
{
    excuse_set(e, excuse_is_set(e) && excuse_is_soft(e) ? soft : hard, "%s",
        why->text);
}

static void
add_target(struct finder *f, struct slice host, const struct sock_addr *addr,
    uint32_t preference)
{
    struct targets *t = f->targets;
    struct target *target;

    if (t->count == t->room)
        return;
    target = &t->list[t->count++];
    *target = (struct target){ .host = host,
        .addr = *addr,
        .preference = preference };
    sock_addr_set_port(&target->addr, f->hop->port);
}

static void
add_records(struct finder *f, struct slice host, const struct dns_answer *a,
    uint32_t preference)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->records[i].addr.len > 0)
            add_target(f, host, &a->records[i].addr, preference);
}

/* False: there was no address, and the excuse says so. */
static bool
ask_dns(struct finder *f, struct slice host, uint32_t preference)
{
    static const struct {
        unsigned family;
        enum dns_type type;
    } types[] = {
        { DNS_WANT_INET, DNS_A },
        { DNS_WANT_INET6, DNS_AAAA },
    };
    size_t before = f->targets->count;
    bool soft = false;
    struct dns_answer answer;
    struct why why = { 0 }, soft_why = { 0 };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if ((f->families & types[i].family) == 0)
            continue;
        switch (dns_ask(host, types[i].type, f->arena, f->deadline, &answer,
            &why)) {
        case DNS_OK:
            add_records(f, host, &answer, preference);
            break;
        case DNS_TRYAGAIN:
            soft = true;
            soft_why = why;
            break;
        case DNS_NXDOMAIN:
        case DNS_NODATA:
        case DNS_INVALID:
            break;
        }
    }
    if (f->targets->count > before)
        return true;
    if (soft)
        excuse_set(f->excuse, "4.4.3", "%s", soft_why.text);
    else
        excuse_keep_soft(f->excuse, "5.4.4", "4.4.4", &why);
    return false;
}

static bool
ask_native(struct finder *f, struct slice host, uint32_t preference)
{
    size_t before = f->targets->count;
    struct dns_answer answer;
    struct why why = { 0 };

    switch (dns_ask_native(host, f->families, f->arena, f->deadline, &answer,
        &why)) {
    case DNS_OK:
        add_records(f, host, &answer, preference);
        break;
    case DNS_TRYAGAIN:
        excuse_set(f->excuse, "4.4.3", "%s", why.text);
        return false;
    case DNS_NXDOMAIN:
    case DNS_NODATA:
    case DNS_INVALID:
        excuse_keep_soft(f->excuse, "5.4.4", "4.4.4", &why);
        return false;
    }
    if (f->targets->count > before)
        return true;
    (void)why_perm(&why, "5.4.4", SLICE_FMT ": host not found",
        SLICE_ARG(host));
    excuse_keep_soft(f->excuse, "5.4.4", "4.4.4", &why);
    return false;
}

/* The addresses of one host, by the means of smtp_host_lookup. */
static void
add_host(struct finder *f, struct slice host, uint32_t preference)
{
    struct sock_addr addr;

    if (sock_addr_parse(host, f->hop->port, &addr)) {
        add_target(f, host, &addr, preference);
        return;
    }
    if ((f->lookup & LOOKUP_DNS) != 0) {
        if (ask_dns(f, host, preference))
            return;
        /* Only "there is no such name" is a reason to ask elsewhere. */
        if (excuse_is_soft(f->excuse))
            return;
    }
    if ((f->lookup & LOOKUP_NATIVE) != 0)
        (void)ask_native(f, host, preference);
}

static int
compare_preference(const void *a, const void *b)
{
    const struct dns_record *x = a, *y = b;

    return (x->preference > y->preference) - (x->preference < y->preference);
}

/* Equal preferences in random order: RFC 5321 section 5.1. */
static void
sort_exchangers(struct dns_answer *mx, bool shuffle)
{
    for (size_t i = mx->count; shuffle && i > 1; i--) {
        size_t j = (size_t)random_below(i);
        struct dns_record swap = mx->records[i - 1];

        mx->records[i - 1] = mx->records[j];
        mx->records[j] = swap;
    }
    qsort(mx->records, mx->count, sizeof(mx->records[0]), compare_preference);
}

/* The least preference at which one of our own addresses stands. */
static bool
find_myself(const struct finder *f, uint32_t *preference)
{
    char text[SOCK_TEXT_MAX];
    bool found = false;

    if (f->own == NULL)
        return false;
    for (size_t i = 0; i < f->targets->count; i++) {
        const struct target *t = &f->targets->list[i];

        if (!own_addresses_have(f->own,
                slice_of(sock_addr_text(&t->addr, text))))
            continue;
        if (!found || t->preference < *preference)
            *preference = t->preference;
        found = true;
    }
    return found;
}

static void
keep_below(struct targets *t, uint32_t preference)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->count; i++)
        if (t->list[i].preference < preference)
            t->list[kept++] = t->list[i];
    t->count = kept;
}

/*
 * Where we are an exchanger ourselves, only better ones may get the mail: RFC
 * 5321 section 5.1. Told by address, and only on SMTP's port, since other
 * services of this host are no loop.
 */
static void
cut_myself(struct finder *f, uint32_t best)
{
    uint32_t mine = UINT32_MAX;

    if (f->hop->port != 25 || !find_myself(f, &mine))
        return;
    f->targets->we_are_exchanger = true;
    keep_below(f->targets, mine);
    if (f->targets->count > 0)
        return;
    if (mine == best) {
        f->targets->loop = true;
        excuse_set(f->excuse, "5.4.6",
            "mail for " SLICE_FMT " loops back to myself",
            SLICE_ARG(f->hop->host));
    } else {
        excuse_set(f->excuse, "5.4.4",
            "unable to find primary relay for " SLICE_FMT,
            SLICE_ARG(f->hop->host));
    }
}

/*
 * Enough addresses of better exchangers make asking for the worse ones idle;
 * all of one preference are asked, since they are mixed.
 */
static bool
has_enough(const struct finder *f, const struct dns_answer *mx, size_t next)
{
    int64_t limit = f->config->smtp_mx_address_limit;

    return limit > 0 && f->targets->count >= (size_t)limit &&
        mx->records[next].preference != mx->records[next - 1].preference;
}

static void
add_exchangers(struct finder *f, struct dns_answer *mx)
{
    sort_exchangers(mx, f->config->smtp_randomize_addresses);
    for (size_t i = 0; i < mx->count && i < EXCHANGERS_MAX; i++) {
        if (i > 0 && has_enough(f, mx, i))
            break;
        if (mx->records[i].name.len > 0)
            add_host(f, mx->records[i].name, mx->records[i].preference);
    }
    if (f->targets->count > 0) {
        cut_myself(f, mx->records[0].preference);
        return;
    }
    if (!excuse_is_set(f->excuse) ||
        f->config->smtp_defer_if_no_mx_address_found)
        excuse_set(f->excuse,
            f->config->smtp_defer_if_no_mx_address_found ? "4.4.4" : "5.4.4",
            "no MX host for " SLICE_FMT " has a valid address record",
            SLICE_ARG(f->hop->host));
}

static void
ask_exchangers(struct finder *f)
{
    struct dns_answer mx;
    struct why why = { 0 };

    switch (dns_ask(f->hop->host, DNS_MX, f->arena, f->deadline, &mx, &why)) {
    case DNS_OK:
        if (mx.count == 1 && mx.records[0].name.len == 0)
            excuse_set(f->excuse, "5.1.0",
                "Domain " SLICE_FMT " does not accept mail (nullMX)",
                SLICE_ARG(f->hop->host));
        else
            add_exchangers(f, &mx);
        return;
    case DNS_NXDOMAIN:
    case DNS_NODATA:
        break;
    case DNS_TRYAGAIN:
        excuse_set(f->excuse, "4.4.3", "%s", why.text);
        if (!f->config->ignore_mx_lookup_error)
            return;
        break;
    case DNS_INVALID:
        excuse_set(f->excuse, "5.4.4", "%s", why.text);
        if (!f->config->ignore_mx_lookup_error)
            return;
        break;
    }
    /* No exchanger: the name is its own, RFC 5321 section 5.1. */
    excuse_clear(f->excuse);
    add_host(f, f->hop->host, 0);
    if (f->targets->count > 0)
        cut_myself(f, 0);
}

static void
add_unix(struct finder *f)
{
    struct slice path = f->hop->host;
    char full[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    int n;
    struct target *target = &f->targets->list[0];

    if (path.ptr[0] == '/')
        n = snprintf(full, sizeof(full), SLICE_FMT, SLICE_ARG(path));
    else
        n = snprintf(full, sizeof(full), "%s/" SLICE_FMT,
            f->config->queue_directory, SLICE_ARG(path));
    *target = (struct target){ .path = path };
    target->host = slice_of(f->config->myhostname);
    if (n < 0 || (size_t)n >= sizeof(full) ||
        !sock_addr_unix(full, &target->addr)) {
        excuse_set(f->excuse, "4.3.5", "unix-domain name too long: " SLICE_FMT,
            SLICE_ARG(path));
        return;
    }
    f->targets->count = 1;
}

static void
mark_best(struct targets *t)
{
    uint32_t best = UINT32_MAX;

    for (size_t i = 0; i < t->count; i++)
        if (t->list[i].preference < best)
            best = t->list[i].preference;
    for (size_t i = 0; i < t->count; i++)
        t->list[i].best = t->list[i].preference == best;
}

static enum target_family
preferred_family(const char *text)
{
    if (strcasecmp(text, "ipv6") == 0)
        return FAMILY_INET6;
    return strcasecmp(text, "ipv4") == 0 ? FAMILY_INET : FAMILY_ANY;
}

void
targets_find(const struct nexthop *hop, const struct config *config,
    const struct own_addresses *own, struct arena *arena, int64_t deadline,
    struct targets *targets, struct excuse *excuse)
{
    struct finder f = {
        .hop = hop,
        .config = config,
        .own = own,
        .arena = arena,
        .deadline = deadline,
        .targets = targets,
        .excuse = excuse,
    };

    *targets = (struct targets){ .room = TARGETS_MAX };
    excuse_clear(excuse);
    targets->list = arena_alloc(arena, TARGETS_MAX * sizeof(targets->list[0]));
    if (targets->list == NULL) {
        excuse_set(excuse, "4.3.0", "no memory for addresses");
        return;
    }
    read_settings(&f);
    if (hop->kind == NEXTHOP_UNIX)
        add_unix(&f);
    else if (hop->addr.len > 0)
        add_target(&f, hop->host, &hop->addr, 0);
    else if (hop->kind == NEXTHOP_HOST || !f.dns)
        add_host(&f, hop->host, 0);
    else
        ask_exchangers(&f);
    mark_best(targets);
    targets_sort(targets, preferred_family(config->smtp_address_preference),
        config->smtp_randomize_addresses);
    targets_limit(targets,
        config->smtp_mx_address_limit > 0
            ? (size_t)config->smtp_mx_address_limit
            : 0,
        config->smtp_balance_inet_protocols);
}

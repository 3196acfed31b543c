#include "smtpd/hosts.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/table/dns_filter.h"
#include "smtpd/profile.h"

enum { WAIT_MS = 60 * 1000 };

struct hosts
hosts_for(const struct profile *p)
{
    return (struct hosts){ p, clock_now_ms() + WAIT_MS };
}

bool
hosts_are_late(const struct hosts *h)
{
    return clock_now_ms() >= h->deadline;
}

enum dns_status
hosts_ask(const struct hosts *h, struct slice name, enum dns_type type,
    struct arena *arena, struct dns_answer *answer, struct why *why)
{
    enum dns_status status = dns_ask(name, type, arena, h->deadline, answer,
        why);

    return dns_filter_answer(h->profile->dns_filter, h->profile->tag, name,
        type, status, answer, why);
}

static enum hosts_status
status_of(enum dns_status status, enum dns_type type,
    const struct dns_answer *answer)
{
    switch (status) {
    case DNS_OK:
        return type == DNS_MX && answer->count == 1 &&
                answer->records[0].name.len == 0
            ? HOSTS_NULL_MX
            : HOSTS_FOUND;
    case DNS_NXDOMAIN:
    case DNS_NODATA:
        return HOSTS_NONE;
    case DNS_INVALID:
        return HOSTS_MALFORMED;
    case DNS_TRYAGAIN:
        break;
    }
    return HOSTS_UNKNOWN;
}

/*
 * The first type that the name has decides. What one type's question brings to
 * light of trouble counts only when no other is there.
 */
enum hosts_status
hosts_exists(const struct hosts *h, struct slice name, struct why *why)
{
    static const enum dns_type types[] = { DNS_MX, DNS_A, DNS_AAAA };
    enum hosts_status worst = HOSTS_NONE;

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct dns_answer answer;
        struct arena arena;
        enum dns_status dns;
        enum hosts_status status;
        struct why now;

        arena_init(&arena, HOSTS_ARENA_MAX);
        dns = hosts_ask(h, name, types[i], &arena, &answer, &now);
        status = status_of(dns, types[i], &answer);
        arena_clear(&arena);
        if (status == HOSTS_FOUND || status == HOSTS_NULL_MX)
            return status;
        if (status > worst) {
            worst = status;
            *why = now;
        }
        if (dns == DNS_NXDOMAIN)
            break;
    }
    return worst;
}

static enum dns_status
add_addresses(const struct hosts *h, struct slice name, enum dns_type type,
    struct host_addresses *to, struct why *why)
{
    struct dns_answer answer;
    struct arena arena;
    enum dns_status status;

    arena_init(&arena, HOSTS_ARENA_MAX);
    status = hosts_ask(h, name, type, &arena, &answer, why);
    for (size_t i = 0; status == DNS_OK && i < answer.count &&
         to->count < HOSTS_ADDRESSES_MAX;
         i++)
        if (answer.records[i].type == type)
            to->list[to->count++] = answer.records[i].addr;
    arena_clear(&arena);
    return status;
}

/* RFC 6761 section 6.3: not every resolver knows it, /etc/hosts always does. */
static bool
is_localhost(struct slice name)
{
    return slice_eq_nocase(name, SLICE_LIT("localhost")) ||
        slice_eq_nocase(name, SLICE_LIT("localhost."));
}

enum result
hosts_addresses(const struct hosts *h, struct slice name,
    struct host_addresses **addresses, struct why *why)
{
    struct host_addresses *to = *addresses = mem_alloc(sizeof(*to));
    enum dns_status v4, v6;
    struct why other;

    if (is_localhost(name)) {
        to->count = sock_addr_parse(SLICE_LIT("127.0.0.1"), 0, &to->list[0]);
        return RESULT_OK;
    }
    v4 = v6 = add_addresses(h, name, DNS_A, to, why);
    if (v4 != DNS_NXDOMAIN)
        v6 = add_addresses(h, name, DNS_AAAA, to, &other);
    if (to->count > 0)
        return RESULT_OK;
    if (v4 != DNS_TRYAGAIN && v6 == DNS_TRYAGAIN)
        *why = other;
    return v4 == DNS_TRYAGAIN || v6 == DNS_TRYAGAIN ? RESULT_TEMPFAIL
                                                    : RESULT_PERMFAIL;
}

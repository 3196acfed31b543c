/*
 * fake_dns - lookup's DNS in the process of a test: the linker takes what stands
 * here and the test's dns_ask() for lib/dns/dns.c.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/dns/dns.h"

struct fake_record {
    const char *name;
    enum dns_type type;
    uint16_t preference;
    const char *data; /* an address, where it is one; else a name or text */
};

enum { FAKE_RECORDS_MAX = 10 }; /* of one name and type */

/* What a zone has of this name and type: DNS_OK or DNS_NXDOMAIN. */
static inline enum dns_status
fake_dns_find(const struct fake_record *zone, size_t count, struct slice name,
    enum dns_type type, struct arena *arena, struct dns_answer *answer)
{
    *answer = (struct dns_answer){ .status = DNS_NXDOMAIN };
    answer->records = arena_alloc(arena,
        FAKE_RECORDS_MAX * sizeof(answer->records[0]));
    for (size_t i = 0; i < count && answer->count < FAKE_RECORDS_MAX; i++) {
        struct dns_record *r = &answer->records[answer->count];

        if (!slice_eq_nocase(name, slice_of(zone[i].name)) ||
            type != zone[i].type)
            continue;
        *r = (struct dns_record){ .type = type,
            .ttl = 300,
            .preference = zone[i].preference };
        if ((type != DNS_A && type != DNS_AAAA) ||
            !sock_addr_parse(slice_of(zone[i].data), 0, &r->addr))
            r->name = slice_of(zone[i].data);
        answer->count++;
    }
    if (answer->count > 0)
        answer->status = DNS_OK;
    return answer->status;
}

enum dns_status
dns_ask_native(struct slice host, unsigned families, struct arena *arena,
    int64_t deadline, struct dns_answer *answer, struct why *why)
{
    (void)families;
    return dns_ask(host, DNS_A, arena, deadline, answer, why);
}

/* Clients have no names, unless the test has an own function for that. */
#ifndef FAKE_DNS_HAS_CLIENTS
void
dns_ask_client(const struct sock_addr *addr, int64_t deadline,
    struct client_name *name)
{
    (void)addr;
    (void)deadline;
    memset(name, 0, sizeof(*name));
}
#endif

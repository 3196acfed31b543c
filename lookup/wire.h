/*
 * wire - DNS messages as they travel (RFC 1035 section 4): a question out, the
 * records of one type back.
 *
 * Everything in an answer comes from strangers: names are followed with a bound
 * on jumps and length, counts are bounded, and a name that is no host name
 * (RFC 1123, with '_' allowed) makes its record invalid.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/dns/dns.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WIRE_QUERY_MAX = 12 + 256 + 4 + 11, /* header, name, type, class, OPT */
    WIRE_UDP_MAX = 1232,  /* what we tell servers to send at most by UDP */
    WIRE_CNAMES_MAX = 16, /* followed within one answer */
};

enum wire_flag {
    WIRE_EDNS = 1,   /* add OPT with a larger UDP size */
    WIRE_DNSSEC = 2, /* and its DO bit, and AD in the header */
};

/*
 * A question for name (a final dot is welcome). Octets written, or 0 when name
 * is no domain name.
 */
size_t wire_query(uint16_t id, struct slice name, enum dns_type type,
    unsigned flags, unsigned char to[WIRE_QUERY_MAX]) ATTR_NONNULL;

/* What an answer says besides its records. */
struct wire_info {
    unsigned rcode;
    bool truncated; /* TC: ask again by TCP */
    bool authentic; /* AD */
    bool null_mx;   /* RFC 7505 */
    uint32_t ttl;   /* least of the answer, or of the SOA (RFC 2308) */
    /* A CNAME chain led here, without a record or an SOA's no: ask on. */
    struct slice alias;
};

/*
 * Read the answer to (name, type). Names and texts are in arena. The status is
 * DNS_OK, DNS_NXDOMAIN, DNS_NODATA, DNS_TRYAGAIN (SERVFAIL and other failures)
 * or DNS_INVALID (not a message, or no valid record among those there are).
 * answer->canonical is set when CNAMEs were followed. A null MX is DNS_OK with
 * one record whose name is empty.
 */
enum dns_status wire_answer(struct slice packet, struct slice name,
    enum dns_type type, struct arena *arena, struct dns_answer *answer,
    struct wire_info *info) ATTR_NONNULL ATTR_MUST_USE;

/* True when packet answers the question in query: id, QR, name, type, class. */
bool wire_answers(struct slice packet, struct slice query) ATTR_NONNULL;

/*
 * A name as it may stand in a record: letters, digits, '-', '_', '/', labels of
 * 1 to 63 octets, and not an address in disguise (last label all digits).
 */
bool wire_name_is_valid(struct slice name);

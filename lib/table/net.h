/*
 * net - blocks of addresses as match lists write them: "192.0.2.0/24",
 * "192.0.2.1", "[2001:db8::]/32", "[::1]".
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct net_address {
    unsigned size; /* octets: 4 or 16 */
    uint8_t octets[16];
};

struct net {
    struct net_address base;
    unsigned bits; /* leading ones that count */
};

enum net_syntax {
    NET_OK,
    NET_NOT,        /* a name, say */
    NET_HOST_BITS,  /* "192.0.2.1/24" */
    NET_BAD_LENGTH, /* "192.0.2.0/33" */
};

/*
 * An address without brackets; "IPv6:" in front is taken off, and an IPv4 in
 * IPv6 is an IPv4 address.
 */
bool net_address_parse(struct slice text, struct net_address *address)
    ATTR_NONNULL ATTR_MUST_USE;

/* What stands in a list. An IPv6 address must be in brackets. */
enum net_syntax net_parse(struct slice text, struct net *net)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * What stands in a cidr: table: brackets around the address, or around all of
 * it, may be there or not. An IPv4 in IPv6 stays IPv6 here, and "IPv6:" is
 * nothing, for tables are to find what they find with Postfix.
 * NET_HOST_BITS: *net is what was written.
 */
enum net_syntax net_parse_pattern(struct slice text, struct net *net)
    ATTR_NONNULL ATTR_MUST_USE;
bool net_address_parse_exact(struct slice text, struct net_address *address)
    ATTR_NONNULL ATTR_MUST_USE;

/* "192.0.2.0/24", host bits cleared. Returns text. */
enum { NET_TEXT_MAX = 64 };
const char *net_text(const struct net *net, char text[NET_TEXT_MAX])
    ATTR_NONNULL;

bool net_contains(const struct net *net, const struct net_address *address)
    ATTR_NONNULL;

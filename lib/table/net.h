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

bool net_contains(const struct net *net, const struct net_address *address)
    ATTR_NONNULL;

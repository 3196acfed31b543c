/*
 * dns_list - lists in DNS (RFC 5782): "zen.example.org=127.0.0.[2..11]*3" as
 * main.cf names them, what is asked of them, and which answers count.
 *
 * Behind '=' stands a pattern for the addresses that the list answers with: four
 * parts with dots, each a number or "[...]" with numbers and ranges "a..b",
 * separated by ';'. Without it any answer counts.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/io/sock.h"

#include <stdbool.h>
#include <stdint.h>

/* One bit for each value of an octet. */
struct octet_set {
    uint64_t bits[4];
};

struct dns_list {
    struct slice domain; /* without '='; borrows from the text */
    bool any;            /* no pattern */
    struct octet_set octets[4];
};

/* text must outlive *list. RESULT_PERMFAIL: why says what is wrong. */
enum result dns_list_parse(struct slice text, struct dns_list *list,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Does an answer count? IPv4 only: RFC 5782 section 2.1. */
bool dns_list_matches(const struct dns_list *list, const struct sock_addr *addr)
    ATTR_NONNULL;

/*
 * The name to ask for about an address: "2.0.0.192.zen.example.org"; nibbles
 * for IPv6. False when address is none.
 */
bool dns_list_name_of_address(struct slice address, struct slice domain,
    struct buf *to) ATTR_NONNULL ATTR_MUST_USE;

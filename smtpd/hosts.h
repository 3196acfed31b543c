/*
 * hosts - what DNS knows of the names that clients give: is there such a host,
 * which addresses has it?
 *
 * All wait, and take memory from an arena. One restriction may have many
 * questions, whose answers may all be late: they have one deadline.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/dns/dns.h"

#include <stdbool.h>
#include <stdint.h>

struct profile;

enum { HOSTS_ARENA_MAX = 256 * 1024 };

/* The questions of one restriction. */
struct hosts {
    const struct profile *profile; /* its smtpd_dns_reply_filter */
    int64_t deadline;
};
struct hosts hosts_for(const struct profile *p) ATTR_NONNULL;

/* Is there no time for another question? */
bool hosts_are_late(const struct hosts *h) ATTR_NONNULL;

enum hosts_status {
    HOSTS_FOUND,
    HOSTS_NULL_MX, /* RFC 7505: takes no mail */
    HOSTS_NONE,
    HOSTS_MALFORMED, /* the answer makes no sense */
    HOSTS_UNKNOWN,   /* DNS failed; why has a text */
};

/* Is there a mail exchanger or an address? */
enum hosts_status hosts_exists(const struct hosts *h, struct slice name,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Records of one type. DNS_OK: there is at least one. */
enum dns_status hosts_ask(const struct hosts *h, struct slice name,
    enum dns_type type, struct arena *arena, struct dns_answer *answer,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

enum { HOSTS_ADDRESSES_MAX = 64 };

/* IPv4 and IPv6. */
struct host_addresses {
    size_t count;
    struct sock_addr list[HOSTS_ADDRESSES_MAX];
};

/* RESULT_OK: there is at least one. Freed with mem_free(), whatever comes. */
enum result hosts_addresses(const struct hosts *h, struct slice name,
    struct host_addresses **addresses, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

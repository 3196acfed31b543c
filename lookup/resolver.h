/*
 * resolver - DNS for all of postern: which resolvers (resolv.conf, looked at
 * again when it changes, or dns_resolvers), by which means (libunbound, or the
 * stub where dns_trust_ad believes their AD bit), and how much at a time.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/dns/dns.h"

struct resolver;

enum {
    RESOLVER_OUTSTANDING_MAX = 2000, /* questions under way; more wait */
    RESOLVER_WAITING_MAX = 20000,    /* and even more are turned away */
    RESOLVER_ARENA_MAX = 1024 * 1024,
};

/* One for the process. */
struct resolver *resolver_new(void) ATTR_MUST_USE;

/* Nobody asks any more. */
void resolver_free(struct resolver *r);

/* Take over the settings. RESULT_PERMFAIL: dns_resolvers is malformed. */
enum result resolver_configure(struct resolver *r, const struct config *config,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * *why has Postfix's words unless the status is DNS_OK. A null MX (RFC 7505) is
 * one record with an empty name. Waits, at most until the deadline.
 */
enum dns_status resolver_ask(struct resolver *r, struct slice name,
    enum dns_type type, struct arena *arena, int64_t deadline,
    struct dns_answer *answer, struct why *why) ATTR_NONNULL;

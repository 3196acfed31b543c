/*
 * stub - one question to the resolvers, by UDP, and by TCP where the answer is
 * truncated: used where the resolver's AD bit is believed (dns_trust_ad), which
 * libunbound does not hand on.
 *
 * Each UDP question has a socket of its own, connected and with a port that the
 * kernel chose, and a random id: an answer that does not fit is not looked at.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/dns/dns.h"
#include "lookup/resolv_conf.h"

/*
 * Ask all servers in turn until one answers; CNAMEs that the server did not
 * follow are followed here. *ttl is how many seconds the answer may be kept,
 * 0 for none. Waits, at most until the deadline.
 */
enum dns_status stub_ask(const struct resolv_conf *conf, struct slice name,
    enum dns_type type, struct arena *arena, int64_t deadline,
    struct dns_answer *answer, uint32_t *ttl) ATTR_NONNULL;

/*
 * recursor - questions through libunbound, which asks resolv.conf's resolvers,
 * caches for all and (with a trust anchor) validates.
 *
 * "Recursor" is what it could be: it only ever forwards. Without a resolver to
 * forward to it must not be asked, or it would go to the root servers.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/dns/dns.h"
#include "lookup/resolv_conf.h"

#include <unbound-event.h>

struct recursor;

/* conf has at least one server. cache_octets for messages, twice as much for
 * records. NULL: libunbound does not want to. */
struct recursor *recursor_new(struct ub_event_base *base,
    const struct resolv_conf *conf, int64_t cache_octets) ATTR_MUST_USE;

/* Goes when its last question is answered. NULL is welcome. */
void recursor_drop(struct recursor *r);

/* Waits, at most until the deadline. */
enum dns_status recursor_ask(struct recursor *r, struct slice name,
    enum dns_type type, struct arena *arena, int64_t deadline,
    struct dns_answer *answer) ATTR_NONNULL ATTR_MUST_USE;

/*
 * route - where a recipient goes: asked of lookup, which does what Postfix's
 * trivial-rewrite does.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/ipc/link.h"

#include <stdbool.h>
#include <stdint.h>

/* ADDRESS_CLASS_README: who answers for a domain. */
enum address_class {
    CLASS_LOCAL,
    CLASS_VIRTUAL_ALIAS,
    CLASS_VIRTUAL_MAILBOX,
    CLASS_RELAY,
    CLASS_DEFAULT,
};

enum { ROUTE_TEXT_MAX = 1024 };

/* Probes of addresses may have routes of their own: address_verify_relayhost. */
enum route_use { ROUTE_OF_MAIL, ROUTE_OF_PROBE };

struct route_question {
    struct slice sender, recipient;
    enum route_use use;
};

struct route {
    enum address_class class;
    char transport[256]; /* service name; "error", "retry", "discard" too */
    char nexthop[ROUTE_TEXT_MAX]; /* of error: the text, with status in front */
    char address[ROUTE_TEXT_MAX]; /* recipient, perhaps changed */
};

/*
 * Wait for lookup's answer. RESULT_TEMPFAIL: a table failed or lookup is gone;
 * the recipient is deferred with *why. RESULT_PERMFAIL: the address is not
 * usable (it bounces with *why). Waits.
 */
enum result route_resolve(const struct route_question *q, int64_t deadline,
    struct route *route, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* For those who ask without a fiber (qmgr), and for lookup's end. */
void route_ask_encode(const struct route_question *q, struct msg *m)
    ATTR_NONNULL;
enum result route_ask_decode(struct slice in, struct route_question *q,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
void route_encode(enum result res, const struct route *route,
    const struct why *why, struct msg *m) ATTR_NONNULL;
enum result route_decode(struct slice in, struct route *route, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

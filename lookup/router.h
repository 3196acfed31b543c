/*
 * router - which transport and next hop an address has: what Postfix's
 * trivial-rewrite(8) calls "resolve".
 *
 * Address class first (lib/mail/address_class), then relayhost, then
 * transport_maps; for a probe the parameters address_verify_* in their place. One
 * router for a configuration; it is held while a question
 * is answered, since tables may wait.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/mail/route.h"

struct router;

/*
 * Under the overrides of the service rewrite_service_name. Holds set. Waits.
 */
enum result router_open(struct config_set *set, struct router **router,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
struct router *router_hold(struct router *r) ATTR_NONNULL;
void router_drop(struct router *r); /* NULL is welcome */

/*
 * RESULT_OK also when the answer
 * is the transport "error"; RESULT_TEMPFAIL: a table could not be asked;
 * RESULT_PERMFAIL: the address is not usable. Waits if a table does.
 */
enum result router_resolve(struct router *r, const struct route_question *q,
    struct route *route, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * recipient - addresses in an envelope against what we are responsible for:
 * relaying and unknown users.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/mail/routed.h"
#include "smtpd/evaluation.h"

/* What an address in standard form leads to: routed_find(). */
enum result recipient_place(struct session *s, struct slice address,
    struct routed *place, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * VERDICT_PERMIT: the recipient is in a domain of ours, and its local part does
 * not ask for routing to elsewhere (user%elsewhere@ours). VERDICT_REFUSED: a
 * table could not be asked. Waits.
 */
enum verdict recipient_permit_destination(struct evaluation *e) ATTR_NONNULL;

/*
 * Refuses what recipient_check() says does not exist; once for each evaluation.
 * Wait.
 */
enum verdict recipient_refuse_unlisted(struct evaluation *e) ATTR_NONNULL;
enum verdict sender_refuse_unlisted(struct evaluation *e) ATTR_NONNULL;

/*
 * probe - what is known of an address, and messages that find it out and are not
 * delivered (ADDRESS_VERIFICATION_README).
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/mail/verification.h"
#include "smtpd/session.h"

/*
 * Sends the probe that is due, and waits for its result as long as
 * address_verify_poll_count and _delay say. address is in standard form. False:
 * nobody can be asked. Waits.
 */
bool probe_ask(const struct session *s, struct slice address, struct buf *text,
    struct verify_answer *a) ATTR_NONNULL ATTR_MUST_USE;

/* Probes that are on their way into the queue get there. Waits. */
void probes_drain(int64_t deadline_ms);

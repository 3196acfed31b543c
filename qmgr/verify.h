/*
 * verify - what probes of smtpd's found (reject_unverified_recipient and the
 * like, verify(8)), in the book of verified addresses.
 *
 * A record is "CODE:PROBED:UPDATED:TEXT": what became of the recipient (0
 * deliverable, 1 not now, 2 not at all, 3 being probed for the first time), when
 * the latest probe was begun (0: it is over) and when this was found, both in
 * seconds since 1970; then the reply. The key is the address, in lower case.
 */
#pragma once

#include "qmgr/mail.h"

/*
 * If r's message is a probe with ENVELOPE_PROBE: keep result, settle r. False:
 * it is not.
 */
bool verify_keep(struct qmgr *q, struct rcpt *r,
    const struct rcpt_result *result) ATTR_NONNULL;

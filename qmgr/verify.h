/*
 * verify - what probes of smtpd's found (reject_unverified_recipient and the
 * like): lookup is told, which keeps it for all (lib/mail/verification).
 */
#pragma once

#include "qmgr/mail.h"

/*
 * If r's message is a probe with ENVELOPE_PROBE: tell result, settle r. False:
 * it is not.
 */
bool verify_keep(struct qmgr *q, struct rcpt *r,
    const struct rcpt_result *result) ATTR_NONNULL;

/* r is a probe's, and is settled untried: nothing is known of its address. */
void verify_give_up(struct qmgr *q, struct rcpt *r) ATTR_NONNULL;

/*
 * patience - how long another process may take with what we asked of it.
 *
 * Each of them has deadlines for all that it does; one that has not answered
 * when they must all have passed hangs, and whatever it has would stay with it
 * for ever. The link is dropped then, and master replaces the process.
 */
#pragma once

#include "lib/mail/delivery.h"
#include "qmgr/core.h"

/*
 * daemon_timeout, or what the agent's own timeouts add up to if that is longer:
 * for smtp that each command to each host that may be tried takes as long as it
 * may, and each piece of the content.
 */
int64_t patience_delivery_ms(const struct qmgr *q, const struct delivery *d)
    ATTR_NONNULL;

/* ipc_timeout, or the time that bounce gives itself if that is longer. */
int64_t patience_notice_ms(const struct qmgr *q) ATTR_NONNULL;

/* ipc_timeout */
int64_t patience_lookup_ms(const struct qmgr *q) ATTR_NONNULL;

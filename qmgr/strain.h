/*
 * strain - when this queue manager has about as much as it can hold: memory by
 * qmgr_memory_limit, disk by queue_minfree and what there is, and mail that
 * comes faster than it leaves.
 *
 * What settles recipients is taken whatever the strain: it is what empties the
 * queue.
 */
#pragma once

#include "lib/mail/pressure.h"
#include "qmgr/core.h"

/* Octets of memory that the queue takes, nearly. */
uint64_t strain_memory(const struct qmgr *q) ATTR_NONNULL;

/* No fresh message is to be taken, since memory is at its ceiling. */
bool strain_is_full(const struct qmgr *q) ATTR_NONNULL;

/*
 * Look, not too often, and tell outside of a change. In each pump; what happens
 * just behind a look is seen a little later, and while there is a strain it is
 * looked at without other reason.
 */
void strain_look(struct qmgr *q) ATTR_NONNULL;

/*
 * lease - queue ids, unique for the life of the spool.
 *
 * An id is the time, so it only has to be kept from repeating when the clock
 * steps back: a mark on disk is above all ids that were ever leased, and is
 * moved on, with a record of its own, before they reach it.
 */
#pragma once

#include "qmgr/core.h"

/* request is answered with LEASED when the mark allows. */
void lease_ask(struct qmgr *q, void *request, uint64_t count) ATTR_NONNULL;

/*
 * For messages that come with another's ids: so many ids of our own can be had
 * with lease_take(). False: not now, but soon.
 */
bool lease_ready(struct qmgr *q, uint64_t count) ATTR_NONNULL;
uint64_t lease_take(struct qmgr *q) ATTR_NONNULL;

/* True when some process may have got this id, or one above it. */
bool lease_covers(const struct qmgr *q, uint64_t id) ATTR_NONNULL;

/* A mark was found in the spool. */
void lease_recovered(struct qmgr *q, uint64_t mark,
    const struct spool_place *place) ATTR_NONNULL;

void lease_fini(struct qmgr *q) ATTR_NONNULL;

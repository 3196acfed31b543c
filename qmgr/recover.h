/*
 * recover - the spool's records become the index.
 *
 * Schedules survive: a deferred message is tried when it would have been, what
 * was active is tried at once.
 */
#pragma once

#include "qmgr/core.h"
#include "qmgr/spool/spool.h"

/* A spool_found_fn and a spool_damage_fn; context is struct qmgr. */
bool recover_found(void *context, const struct spool_found *f, struct why *why)
    ATTR_NONNULL;
void recover_damage(void *context, const char *text) ATTR_NONNULL;

/* The same for one message that comes while the queue runs. */
struct entry;
void recover_one_end(struct qmgr *q, struct entry *e) ATTR_NONNULL;

/* All was found: messages get their places in the queues. */
void recover_end(struct qmgr *q) ATTR_NONNULL;

/* Delete the blobs that no message has. */
void recover_sweep(struct qmgr *q, struct spool *s) ATTR_NONNULL;

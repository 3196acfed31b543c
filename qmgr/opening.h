/*
 * opening - the beginning of a message's active time: room for what will become
 * of its recipients is set aside, they are resolved, some in each turn, and
 * those of one destination gather for a moment, so that they go out together.
 */
#pragma once

#include "qmgr/mail.h"

/* The round begins. */
void mail_begin(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* More recipients of it have come into memory. */
void mail_begin_batch(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* Begin to resolve some of those that are to be; in this pump, and others. */
void mail_ask_some(struct qmgr *q) ATTR_NONNULL;

/* One of its recipients is resolved: more are asked for. */
void mail_resolved(struct qmgr *q, struct mail *m) ATTR_NONNULL;

static inline bool
mail_gathers(const struct mail *m)
{
    return m->gather.node.slot != 0;
}

/*
 * drops - which drop files were taken in, so that none is taken in twice.
 *
 * A submitter deletes the file when it knows that its message is durable. If
 * it dies before, the file is submitted again: perhaps when the message has
 * left the queue, perhaps to another queue manager. So a name is remembered
 * while its message is in the queue, and for an hour after, and the message
 * does not leave the queue within the first second.
 */
#pragma once

#include "qmgr/core.h"

void drops_init(struct qmgr *q) ATTR_NONNULL;
void drops_fini(struct qmgr *q) ATTR_NONNULL;

/* id: of its message, which may not be durable yet; 0: that has left. */
bool drops_known(struct qmgr *q, struct slice name, uint64_t *id) ATTR_NONNULL;
void drops_add(struct qmgr *q, const struct entry *e, struct slice name)
    ATTR_NONNULL;

/* How long e must not leave the queue yet. */
int64_t drops_wait_ms(const struct qmgr *q, const struct entry *e) ATTR_NONNULL;

/* e is not in the queue any more: it has left it, or never got in. */
enum drops_end { DROPS_LEFT, DROPS_REFUSED };
void drops_remove(struct qmgr *q, const struct entry *e, enum drops_end end)
    ATTR_NONNULL;

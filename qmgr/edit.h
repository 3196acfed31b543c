/*
 * edit - what an admin does to messages: delete, hold, release, requeue, expire
 * and flush.
 *
 * A message that is being delivered can be edited too. Deleting voids the
 * tokens of its attempts, so that nothing which is under way can settle or
 * notify any more; a transaction that is already on its way to the disk is
 * waited for. Holding lets the attempts end and begins none.
 */
#pragma once

#include "lib/base/why.h"
#include "qmgr/core.h"

#include <stdbool.h>
#include <stdint.h>

enum edit_task {
    EDIT_DELETE = 1,
    EDIT_HOLD,
    EDIT_RELEASE,
    EDIT_REQUEUE,
    EDIT_EXPIRE,     /* postsuper -e */
    EDIT_EXPIRE_NOW, /* postsuper -f, which releases what is held after it */
};

/* Who waits for what was ordered to be durable; outlives all its orders. */
struct edit {
    size_t pending;
    void (*done)(struct edit *edit, uint64_t id);
    void *owner;
};

/*
 * False: that message is in no state for it, or in none of the queues (a set
 * of 1 << enum entry_state). Otherwise edit->done comes later, once.
 */
bool edit_message(struct qmgr *q, struct entry *e, enum edit_task task,
    unsigned queues, struct edit *edit) ATTR_NONNULL;

/* Would it be done? */
bool edit_may(const struct entry *e, enum edit_task task, unsigned queues)
    ATTR_NONNULL;

/* For qmgr/ledger. */
bool edit_is_held(const struct entry *e) ATTR_NONNULL;
void edit_done(struct qmgr *q, struct edit *edit, uint64_t id) ATTR_NONNULL;

/* If it is deferred, try it now. */
void edit_flush(struct qmgr *q, struct entry *e) ATTR_NONNULL;

/*
 * All of it, and forget which destinations are dead. pause, unless NULL, is
 * called now and then so that others have their turn.
 */
void edit_flush_all(struct qmgr *q, void (*pause)(void))
    __attribute__((nonnull(1)));

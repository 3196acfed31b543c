/*
 * adopted - what is remembered of spools whose messages were taken over.
 *
 * While a spool is being adopted, each transaction that brings messages of it
 * says so with a RECORD_META: should it be cut short, the next try leaves out
 * what is here, or was here and has left. When all of it is here, one record
 * takes the place of these, and is kept for ever: a copy of that spool is not
 * taken over a second time.
 */
#pragma once

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "qmgr/core.h"
#include "qmgr/record.h"

#include <stdbool.h>
#include <stdint.h>

struct adopted {
    struct list link;    /* of q->adopted */
    char spool[33];      /* its id */
    bool complete;       /* nothing is left to be moved */
    struct map ids;      /* of messages that were moved, while incomplete */
    struct list records; /* that say so, in the log */
};

void adopted_init(struct qmgr *q) ATTR_NONNULL;
void adopted_fini(struct qmgr *q) ATTR_NONNULL;

/* NULL: nothing is known of that spool. */
struct adopted *adopted_find(const struct qmgr *q, struct slice spool)
    ATTR_NONNULL;

/* Was that message moved? */
bool adopted_has(const struct adopted *a, uint64_t id) ATTR_NONNULL;

/* A record that is durable, at the start or now. */
void adopted_found(struct qmgr *q, const struct adopted_record *r,
    const struct spool_place *place) ATTR_NONNULL;

/* At the start's end: say what was cut short. */
void adopted_tell(const struct qmgr *q) ATTR_NONNULL;

/* For the cleaner, as index_is_live() and index_moved(). */
bool adopted_is_live(const struct qmgr *q, const struct spool_place *place)
    ATTR_NONNULL;
bool adopted_moved(struct qmgr *q, const struct spool_place *from,
    const struct spool_place *to) ATTR_NONNULL;

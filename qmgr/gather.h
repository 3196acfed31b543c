/*
 * gather - transactions that wait for the next flush.
 *
 * Fresh mail and whatever somebody waits for go at the end of the turn. What
 * only says what became of recipients may wait for the next of these, so that
 * it needs no flush of its own; but no longer than queue_settle_delay, since a
 * power cut repeats what was settled in that time, and no more than GATHER_MAX
 * of them, so that fresh mail is not held up by what it takes along.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"
#include "qmgr/outside.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GATHER_MAX = 1000 };

struct gather {
    struct list txns; /* in order */
    size_t waiting;   /* of them may wait */
    bool urgent;      /* one of them must not */
    int64_t due_ms;   /* the first that waits is; CLOCK_NEVER: none */
};

void gather_init(struct gather *g) ATTR_NONNULL;

/* delay_ms is how long t may wait, since t->since_ms, if it may at all. */
void gather_add(struct gather *g, struct txn *t, int64_t delay_ms) ATTR_NONNULL;

/* What waits goes now: the system stops, or its settings have changed. */
void gather_hurry(struct gather *g) ATTR_NONNULL;

/* When they are to be handed over: 0 at once, CLOCK_NEVER: there are none. */
int64_t gather_due_ms(const struct gather *g) ATTR_NONNULL;

/* All of them, to the end of list: the order of the log is kept. */
void gather_take(struct gather *g, struct list *list) ATTR_NONNULL;

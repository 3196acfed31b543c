/*
 * roll - which messages are in the queue: what a listing or an order for all
 * goes by. For fibers.
 *
 * Calling it takes many short turns of the loop, in which mail comes and goes:
 * each message that is there from beginning to end is on the roll once, one that
 * comes or goes meanwhile at most once.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/mail/queue_control.h"
#include "qmgr/core.h"

#include <stddef.h>
#include <stdint.h>

struct roll {
    /* Queue by queue in the order of enum queue_name, each by age. */
    struct roll_part {
        uint64_t *ids;
        size_t count, room;
    } parts[QUEUE_NAMES];
};

/* queues: a set of 1 << queue_name. wants may be NULL. Waits. */
typedef bool (*roll_wants_fn)(const struct entry *e, const void *context);
void roll_call(struct qmgr *q, unsigned queues, roll_wants_fn wants,
    const void *context, struct roll *r) __attribute__((nonnull(1, 5)));
void roll_fini(struct roll *r) ATTR_NONNULL;

/*
 * A filter as far as the index can say: what it does not want need not be read.
 * Two domains may look alike to it. For roll_call(): context is the filter.
 */
struct roll_filter {
    const struct queue_filter *filter;
    uint32_t site; /* of the filter's domain; 0: it has none, or a pattern */
};
void roll_filter_init(struct roll_filter *rf, const struct queue_filter *f)
    ATTR_NONNULL;
bool roll_filter_wants(const struct entry *e, const void *filter) ATTR_NONNULL;

/*
 * The next of them, at most max; 0 at the end. *at starts as 0. Those who walk
 * it call fiber_yield() now and then.
 */
size_t roll_next(const struct roll *r, size_t *at, uint64_t *ids, size_t max)
    ATTR_NONNULL;

/* In which queue e is; false: in none that may be seen. */
bool roll_queue(const struct entry *e, enum queue_name *queue) ATTR_NONNULL;

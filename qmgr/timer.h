/*
 * timer - something to be done by the core at a time of the monotonic clock.
 */
#pragma once

#include "qmgr/heap.h"

struct qmgr;

struct timer {
    struct heap_node node; /* of q->clock */
    void (*fire)(struct qmgr *q, struct timer *t);
};

/* Arming an armed timer moves it. */
void timer_arm(struct qmgr *q, struct timer *t, int64_t at_ms) ATTR_NONNULL;
void timer_disarm(struct qmgr *q, struct timer *t) ATTR_NONNULL;

/* Fire what is due. */
void timer_run(struct qmgr *q) ATTR_NONNULL;

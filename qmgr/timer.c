#include "qmgr/timer.h"

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "qmgr/core.h"

void
timer_arm(struct qmgr *q, struct timer *t, int64_t at_ms)
{
    heap_set(&q->clock, &t->node, at_ms);
}

void
timer_disarm(struct qmgr *q, struct timer *t)
{
    heap_remove(&q->clock, &t->node);
}

void
timer_run(struct qmgr *q)
{
    int64_t now = clock_now_ms();

    for (;;) {
        struct heap_node *first = heap_first(&q->clock);
        struct timer *t;

        if (first == NULL || first->due > now)
            return;
        t = LIST_ENTRY(first, struct timer, node);
        heap_remove(&q->clock, first);
        t->fire(q, t);
    }
}

#include "qmgr/gather.h"

#include "lib/base/clock.h"

void
gather_init(struct gather *g)
{
    *g = (struct gather){ .due_ms = CLOCK_NEVER };
    list_init(&g->txns);
}

void
gather_add(struct gather *g, struct txn *t, int64_t delay_ms)
{
    int64_t since = t->since_ms == 0 ? clock_now_ms() : t->since_ms;

    list_append(&g->txns, &t->spool.link);
    if (!t->may_wait || delay_ms <= 0 || ++g->waiting >= GATHER_MAX)
        g->urgent = true;
    else if (since + delay_ms < g->due_ms)
        g->due_ms = since + delay_ms;
}

void
gather_hurry(struct gather *g)
{
    g->urgent = !list_empty(&g->txns);
}

int64_t
gather_due_ms(const struct gather *g)
{
    return g->urgent ? 0 : g->due_ms;
}

void
gather_take(struct gather *g, struct list *list)
{
    struct list *it;

    while ((it = list_take(&g->txns)) != NULL)
        list_append(list, it);
    gather_init(g);
}

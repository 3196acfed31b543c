#include "qmgr/spool/budget.h"

#include "lib/base/clock.h"

static void
add(struct budget *b, int64_t octets)
{
    b->octets += octets;
    if (b->octets > BUDGET_MOST)
        b->octets = BUDGET_MOST;
}

void
budget_mail(struct budget *b, uint64_t octets, bool behind)
{
    int64_t cost = (int64_t)octets + BUDGET_FLUSH;

    b->mail_ms = clock_now_ms();
    add(b, behind ? cost : cost / BUDGET_SHARE);
}

void
budget_spend(struct budget *b, uint64_t octets, unsigned flushes)
{
    b->octets -= (int64_t)octets + (int64_t)flushes * BUDGET_FLUSH;
}

bool
budget_is_idle(const struct budget *b)
{
    return clock_now_ms() - b->mail_ms >= BUDGET_IDLE_MS;
}

bool
budget_allows(struct budget *b)
{
    int64_t now = clock_now_ms(), passed = now - b->seen_ms;

    b->seen_ms = now;
    if (passed > BUDGET_MOST / BUDGET_FLOOR)
        passed = BUDGET_MOST / BUDGET_FLOOR;
    add(b, passed * BUDGET_FLOOR);
    /* What was overdrawn while nobody was there need not be paid back. */
    if (budget_is_idle(b) && b->octets < 0)
        b->octets = 0;
    return b->octets > 0 || budget_is_idle(b);
}

#include "qmgr/assign.h"

#include "qmgr/agent.h"
#include "qmgr/outside.h"

/*
 * A message that may have killed agents gets one at a time, and one that has
 * nothing else to lose: an idle one, or one that is fed no more until it is.
 */
static struct agent *
assign_suspect(struct qmgr *q, enum role role, const struct mail *m)
{
    struct agent *idle = NULL, *spared = NULL;

    list_foreach (it, &q->agents) {
        struct agent *a = LIST_ENTRY(it, struct agent, link);

        if (a->role != role)
            continue;
        if (a->alone == m->id)
            return a->running == 0 ? a : NULL;
        if (a->alone != 0)
            continue;
        if (a->running == 0)
            idle = a;
        else if (spared == NULL)
            spared = a;
    }
    if (idle != NULL)
        idle->alone = m->id;
    else if (spared != NULL)
        spared->alone = m->id;
    return idle;
}

static bool
has_room(struct qmgr *q, const struct agent *a)
{
    return a->running < AGENT_JOBS && a->alone == 0 &&
        q->outside->backlog(q->context, a) < AGENT_BACKLOG;
}

/* How well the agent at that place of its role suits; 0: not at all. */
static unsigned
fitness(struct qmgr *q, const struct agent *a, bool list, bool last,
    bool pinned)
{
    unsigned fit = pinned ? 2 : 1;

    if (!has_room(q, a) || (list && last))
        return 0;
    return list || a->lists > 0 ? fit : fit + 2;
}

enum assignment
assign(struct qmgr *q, const struct destination *d, const struct mail *m,
    struct agent **found)
{
    enum role role = d->transport->role;
    size_t count = agent_count(q, role), at = 0, pin;
    bool list = mail_is_large(m);
    unsigned best = 0;

    *found = NULL;
    if (entry_is_suspect(m->entry)) {
        *found = assign_suspect(q, role, m);
        return *found == NULL ? ASSIGN_LATER : ASSIGNED;
    }
    if (count == 0)
        return ASSIGN_FULL;
    pin = (size_t)(d->hash >> 32) % (list && count > 1 ? count - 1 : count);
    list_foreach (it, &q->agents) {
        struct agent *a = LIST_ENTRY(it, struct agent, link);
        unsigned fit;

        if (a->role != role)
            continue;
        fit = fitness(q, a, list, count > 1 && at == count - 1, at == pin);
        if (fit > best) {
            best = fit;
            *found = a;
        }
        at++;
    }
    if (*found != NULL)
        return ASSIGNED;
    return list ? ASSIGN_LATER : ASSIGN_FULL;
}

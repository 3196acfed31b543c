#include "qmgr/agent.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/queue_id.h"
#include "qmgr/dispatch.h"
#include "qmgr/late.h"
#include "qmgr/settle.h"

#include <assert.h>
#include <signal.h>

static void verdict_timeout(struct qmgr *q, struct timer *t);

struct agent *
agent_up(struct qmgr *q, enum role role, void *peer)
{
    struct agent *a = mem_alloc(sizeof(*a));

    a->role = role;
    a->peer = peer;
    a->serial = ++q->agent_serial;
    a->verdict.fire = verdict_timeout;
    list_init(&a->lost);
    list_append(&q->agents, &a->link);
    dispatch_touch_role(q, role);
    return a;
}

void
agent_release(struct qmgr *q, struct agent *a)
{
    if (a->peer != NULL || a->running > 0)
        return;
    timer_disarm(q, &a->verdict);
    list_remove(&a->link);
    mem_free(a);
}

size_t
agent_count(const struct qmgr *q, enum role role)
{
    size_t n = 0;

    list_foreach (it, &q->agents)
        n += LIST_ENTRY(it, const struct agent, link)->role == role;
    return n;
}

void
agent_gone(struct qmgr *q, struct agent *a)
{
    late_agent_gone(q, a);
    list_remove(&a->link);
    list_append(&q->fallen, &a->link);
    a->peer = NULL;
    agent_release(q, a);
}

/* Deaths. */

static enum agent_fate
fate_of_signal(uint32_t signal)
{
    switch (signal) {
    case SIGSEGV:
    case SIGABRT:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGSYS:
    case SIGTRAP:
    case SIGXCPU:
    case SIGXFSZ:
        return FATE_CRASHED;
    case SIGKILL:
        return FATE_KILLED;
    default:
        return FATE_ENDED;
    }
}

static enum agent_fate
fate_of(enum process_end end, uint32_t code)
{
    switch (end) {
    case PROCESS_EXITED:
        return code == 0 ? FATE_ENDED : FATE_CRASHED;
    case PROCESS_SIGNALED:
        return fate_of_signal(code);
    case PROCESS_REPLACED:
        break;
    }
    return FATE_CRASHED;
}

/* The last job's end may free it. */
static void
judge(struct qmgr *q, struct agent *a, enum agent_fate fate)
{
    struct list jobs, *it;

    if (a->fate != FATE_UNKNOWN)
        return;
    a->fate = fate;
    timer_disarm(q, &a->verdict);
    list_init(&jobs);
    while ((it = list_take(&a->lost)) != NULL)
        list_append(&jobs, it);
    while ((it = list_take(&jobs)) != NULL)
        job_lost(q, LIST_ENTRY(it, struct job, lost_link));
}

static void
verdict_timeout(struct qmgr *q, struct timer *t)
{
    judge(q, LIST_ENTRY(t, struct agent, verdict), FATE_ENDED);
}

static struct agent *
find(struct list *agents, uint32_t process)
{
    list_foreach (it, agents) {
        struct agent *a = LIST_ENTRY(it, struct agent, link);

        if (a->process == process)
            return a;
    }
    return NULL;
}

void
agent_died(struct qmgr *q, uint32_t process, enum process_end end,
    uint32_t code)
{
    struct agent *a = find(&q->agents, process);

    if (a == NULL)
        a = find(&q->fallen, process);
    if (a != NULL)
        judge(q, a, fate_of(end, code));
}

bool
agent_await_verdict(struct qmgr *q, struct job *j)
{
    struct agent *a = j->agent;

    if (a == NULL || a->fate != FATE_UNKNOWN || q->stopping)
        return false;
    list_append(&a->lost, &j->lost_link);
    if (a->verdict.node.slot == 0)
        timer_arm(q, &a->verdict, clock_now_ms() + VERDICT_MS);
    return true;
}

static void
hold(struct qmgr *q, struct mail *m, unsigned count, const char *what)
{
    char id[QUEUE_ID_SIZE];

    m->hold = true;
    log_warning("%s: %u delivery processes %s with this message: "
                "placed on hold",
        queue_id_text(m->id, q->long_ids, id), count, what);
}

void
agent_blame(struct qmgr *q, struct mail *m, const struct agent *a)
{
    struct entry *e = m->entry;

    if (m->last_death == a->serial)
        return;
    m->last_death = a->serial;
    if (a->fate == FATE_CRASHED && e->deaths < UINT8_MAX) {
        e->deaths++;
        if (e->deaths >= DEATHS_HELD)
            hold(q, m, e->deaths, "died");
    } else if (a->fate == FATE_KILLED && e->kills < UINT8_MAX &&
        (e->kills < KILLS_ALONE || a->alone == m->id)) {
        e->kills++;
        if (e->kills >= KILLS_HELD)
            hold(q, m, e->kills, "were killed");
    }
}

void
agent_clear(struct mail *m)
{
    m->entry->deaths = m->entry->kills = 0;
}

void
agent_fini_all(struct qmgr *q)
{
    struct list *const lists[] = { &q->agents, &q->fallen };

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        list_foreach_safe (it, lists[i]) {
            list_remove(it);
            mem_free(LIST_ENTRY(it, struct agent, link));
        }
}

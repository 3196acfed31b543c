/*
 * agent - a process that delivers, and what is made of its death.
 *
 * A message that kills its agents must be found, and one that was under way
 * when somebody else killed an agent must not be suspected. So when an agent is
 * gone its deliveries wait until master has said how it ended:
 *
 * - by a signal of a crash, with an exit status other than 0, or replaced
 *   because it broke a rule of the protocol or did not answer in time: each of
 *   its messages may have done it. After DEATHS_ALONE of these a message gets a
 *   process for itself, after DEATHS_HELD it is held.
 * - by SIGKILL: an admin, a test, or the kernel when memory is short. Nobody
 *   says which. KILLS_ALONE of these with a message that no agent lived through
 *   are needed before it is put into a process for itself, and from then on
 *   only those count that it meets there: at KILLS_HELD it is held.
 * - by another signal, or with status 0: somebody ended it. That says nothing.
 *
 * Whatever an agent answers clears the message of all suspicion.
 */
#pragma once

#include "lib/base/list.h"
#include "lib/daemon/control.h"
#include "lib/ipc/protocol.h"
#include "qmgr/index.h"
#include "qmgr/timer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job;
struct mail;
struct qmgr;

enum {
    DEATHS_ALONE = 2,
    DEATHS_HELD = 3,
    KILLS_ALONE = 10,
    KILLS_HELD = 15,
    VERDICT_MS = 3000, /* master says it within milliseconds */
};

enum agent_fate {
    FATE_UNKNOWN,
    FATE_ENDED, /* of no account */
    FATE_CRASHED,
    FATE_KILLED,
};

struct agent {
    struct list link; /* of q->agents, or q->fallen once it is gone */
    enum role role;
    uint64_t serial;
    uint32_t process; /* master's number of it */
    bool elder;       /* it worked for the queue manager before us ... */
    bool told_all;    /* ... and has nothing more to say of that */
    unsigned strange; /* late results of its that were refused */
    void *peer;       /* outside's; NULL: gone */
    size_t running;
    size_t lists;   /* deliveries of large messages among them */
    uint64_t alone; /* id of the message that it is kept free for; 0 */
    enum agent_fate fate;
    struct list lost; /* jobs that wait for it to be known */
    struct timer verdict;
};

struct agent *agent_up(struct qmgr *q, enum role role, void *peer) ATTR_NONNULL;

/* How many there are. */
size_t agent_count(const struct qmgr *q, enum role role) ATTR_NONNULL;

/* Its jobs have ended with job_lost(). */
void agent_gone(struct qmgr *q, struct agent *a) ATTR_NONNULL;

/* master's word; the agent may be gone already, or not yet. */
void agent_died(struct qmgr *q, uint32_t process, enum process_end end,
    uint32_t code) ATTR_NONNULL;

/* Free it if it is gone and nothing of it is under way. */
void agent_release(struct qmgr *q, struct agent *a) ATTR_NONNULL;

/* j was lost with its agent. True: it waits until it is known how. */
bool agent_await_verdict(struct qmgr *q, struct job *j) ATTR_NONNULL;

/* m was under way when a died: it may be the reason. */
void agent_blame(struct qmgr *q, struct mail *m, const struct agent *a)
    ATTR_NONNULL;

/* m was under way, and the agent lived. */
void agent_clear(struct mail *m) ATTR_NONNULL;

static inline bool
entry_is_suspect(const struct entry *e)
{
    return e->deaths >= DEATHS_ALONE || e->kills >= KILLS_ALONE;
}

void agent_fini_all(struct qmgr *q) ATTR_NONNULL;

/*
 * late - results of deliveries that the queue manager before us dispatched.
 *
 * Agents that outlived it tell what became of them (lib/mail/late). Until each
 * has said that there is nothing more, and at most for LATE_WAIT_MS, messages
 * that were in the queue at our start stay where they are: their delivery may be
 * under way, and they would go out twice. Fresh mail is not kept waiting: it
 * stands in front of them meanwhile (LATE_FIRST).
 *
 * What is told is kept until the message becomes active, which reads it back.
 * A result counts only with its proof, for the attempt that comes next by what
 * is on disk, and for a recipient that is not with an agent again.
 */
#pragma once

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/daemon/control.h"
#include "lib/ipc/link.h"
#include "qmgr/timer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct agent;
struct job;
struct mail;
struct qmgr;

/* Taken from the time of arrival of what enters during the wait. */
#define LATE_FIRST (INT64_C(1) << 60)

enum {
    LATE_WAIT_MS = 1000,
    LATE_OCTETS_MAX = 64 << 20, /* kept */
    LATE_STRANGE_MAX = 100, /* refused ones; then the agent has gone astray */
};

struct late_state {
    bool has_secrets;
    struct control_secrets secrets;
    bool waiting;   /* what was in the queue stays where it is */
    size_t awaited; /* agents that have not told all */
    size_t taken;   /* results, for the log */
    struct timer timer;
    struct map kept; /* by id; several may have the same */
    size_t octets;
};

void late_init(struct qmgr *q) ATTR_NONNULL;
void late_fini(struct qmgr *q) ATTR_NONNULL;

/* Without these there are no proofs, and nothing is waited for. */
void late_set_secrets(struct qmgr *q, const struct control_secrets *secrets)
    ATTR_NONNULL;

/* All agents are up, and nothing of the queue has been dispatched. */
void late_begin(struct qmgr *q) ATTR_NONNULL;

/* The proof that goes out with j. */
uint64_t late_prove(const struct qmgr *q, const struct job *j) ATTR_NONNULL;

/* May a say LATE or LATE_DONE? */
bool late_may(const struct agent *a) ATTR_NONNULL;

/*
 * A LATE message of a's; in is owned. False: the agent is not what it should
 * be, its link is to be dropped.
 */
bool late_take(struct qmgr *q, struct agent *a, struct msg_in *in)
    ATTR_NONNULL ATTR_MUST_USE;

void late_told_all(struct qmgr *q, struct agent *a) ATTR_NONNULL;
void late_agent_gone(struct qmgr *q, struct agent *a) ATTR_NONNULL;

/* m begins: what was told of it is applied. */
void late_apply(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* The message has left the queue. */
void late_forget(struct qmgr *q, uint64_t id) ATTR_NONNULL;

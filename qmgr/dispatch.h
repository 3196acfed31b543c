/*
 * dispatch - hands recipients to agents: which agent, how many at a time.
 *
 * A job is one attempt at some recipients of one message (or a request to
 * bounce about them), fenced by a token: the agent's answer and what the agent
 * submits settle recipients only under it. What becomes of a job is
 * qmgr/settle's.
 */
#pragma once

#include "qmgr/agent.h"
#include "qmgr/destination.h"
#include "qmgr/mail.h"

#include <stdbool.h>
#include <stdint.h>

enum job_kind {
    JOB_DELIVERY,
    JOB_FAILURE,
    JOB_DELAY,
    JOB_REPORT, /* of success, of a probe, or of a first round (sendmail -v) */
    JOB_REQUEUE,
};

struct job {
    struct map_node node;  /* of q->jobs, unless fenced */
    struct list link;      /* of message->jobs */
    struct list wait_link; /* of message->content_waiters */
    struct list lost_link; /* of agent->lost */
    enum job_kind kind;
    struct attempt attempt;
    struct mail *message;            /* NULL: of no account any more */
    struct destination *destination; /* JOB_DELIVERY, until it ended */
    struct agent *agent;             /* likewise */
    uint32_t generation;             /* of the destination when it began */
    bool fenced;                     /* its token is void */
    bool opening;                    /* its blob is */
    bool sent;
    bool ended;        /* no answer will come */
    unsigned settling; /* transactions under way that settle some of it */
    bool of_list;      /* counted in agent->lists */
    bool bare;         /* a notice whose message has no content any more */
    int fd;            /* of the blob */
    size_t count;
    struct rcpt *rcpts[];
};

/* Its processes have room, or there is one more: look at its transports. */
void dispatch_touch_role(struct qmgr *q, enum role role) ATTR_NONNULL;

/* Start what may be started. */
void dispatch(struct qmgr *q) ATTR_NONNULL;

/*
 * A new job for count recipients of m. They become OUT, save those that a notice
 * is about and does not settle: all of JOB_DELAY, and who is not DONE of
 * JOB_REPORT.
 */
struct job *job_new(struct qmgr *q, struct mail *m, enum job_kind kind,
    size_t count) ATTR_NONNULL;
void job_take(struct job *j, struct rcpt *r) ATTR_NONNULL;

/* NULL when there is none, or it is fenced. */
struct job *job_find(struct qmgr *q, const struct attempt *attempt)
    ATTR_NONNULL;

/* Get what it needs, then send it. */
void job_start(struct qmgr *q, struct job *j) ATTR_NONNULL;

/* The content is in memory. */
void job_send(struct qmgr *q, struct job *j) ATTR_NONNULL;

/*
 * Its content cannot be had. A notice goes out without, where that will not
 * change (RESULT_PERMFAIL).
 */
void job_give_up(struct qmgr *q, struct job *j, enum result res,
    const struct why *why) ATTR_NONNULL;

/* The agent is done with it, or will never be. */
void job_end(struct qmgr *q, struct job *j) ATTR_NONNULL;

/* Free it if nothing needs it any more. */
void job_release(struct qmgr *q, struct job *j) ATTR_NONNULL;

/*
 * Void all tokens of m. Those that are in a transaction remain its jobs until
 * that is through; the others forget m.
 */
void job_fence_all(struct qmgr *q, struct mail *m) ATTR_NONNULL;

void dispatch_fini(struct qmgr *q) ATTR_NONNULL;

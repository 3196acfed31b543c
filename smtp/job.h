/*
 * job - one DELIVER request under way: its recipients that are still open, what
 * became of the others, and the answer.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/list.h"
#include "lib/ipc/link.h"
#include "lib/mail/delivery_log.h"
#include "lib/mail/late_report.h"
#include "smtp/excuse.h"
#include "smtp/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JOB_ARENA_MAX = 64 * 1024 * 1024 };

/* Of one recipient. */
enum rcpt_state {
    RCPT_OPEN,     /* to be tried with this or the next host */
    RCPT_ASKED,    /* its RCPT was sent */
    RCPT_ACCEPTED, /* and accepted; the final dot decides */
    RCPT_SETTLED,  /* results[] says what became of it */
};

struct job {
    struct list node; /* among all that are under way */
    struct fiber *fiber;
    struct request *request;
    struct late_job late;
    struct profile profile;
    struct arena arena;
    struct delivery delivery;
    enum rcpt_state *states;     /* of delivery.recipients */
    struct rcpt_result *results; /* the same */
    size_t unsettled;
    struct delivery_times times;
    /*
     * No further host will be tried: a soft failure defers now. Until then it
     * leaves the recipient to the next host.
     */
    bool final;
    enum destination_state destination;
    char destination_status[10];
    struct slice destination_text;
    struct excuse excuse;  /* the latest failure of the whole */
    struct excuse scratch; /* of one recipient */
};

/*
 * Decode the request, which the job owns from now on. NULL: it made no sense
 * and was dropped.
 */
struct job *job_new(struct request *r, struct config_set *set) ATTR_NONNULL;

/*
 * Answer with what is settled, and free. Of a recipient that is not (the
 * process is ending, or qmgr is gone) nothing is said: qmgr takes it back as it
 * was.
 */
void job_end(struct job *job, uint32_t idle_sessions) ATTR_NONNULL;

/* qmgr died or dropped us: nobody waits for the answer any more. */
static inline bool
job_is_orphan(const struct job *job)
{
    return late_job_is_orphan(&job->late);
}

/*
 * Settle recipient i and log it. session is what it was tried with, or NULL.
 */
void job_settle(struct job *job, size_t i, enum outcome outcome,
    const struct excuse *excuse, const struct session *session)
    __attribute__((nonnull(1, 4)));

/*
 * Settled as sent, or a probe's recipient as deliverable, with the reply that
 * the session read last.
 */
void job_sent(struct job *job, size_t i, const struct session *session)
    ATTR_NONNULL;

/*
 * All recipients that are not settled fail for this reason: returned when it
 * is of class 5. Of class 4, they are deferred if the job is final, and else
 * stay open for the next host, with a line in the log.
 */
void job_fail(struct job *job, const struct excuse *excuse,
    const struct session *session) __attribute__((nonnull(1, 2)));

/*
 * The remote takes no more sessions: if qmgr wants them back, all recipients
 * that are not settled are RETURNED, with a line in the log. False: they are
 * the caller's still.
 */
bool job_return(struct job *job, const struct excuse *excuse) ATTR_NONNULL;

/* The same for those whose RCPT was accepted. */
void job_fail_accepted(struct job *job, const struct excuse *excuse,
    const struct session *session) __attribute__((nonnull(1, 2)));

/* The same for one recipient. */
void job_fail_recipient(struct job *job, size_t i, const struct excuse *excuse,
    const struct session *session) __attribute__((nonnull(1, 3)));

/* What qmgr shall think of the destination, the worst that was said. */
void job_destination(struct job *job, enum destination_state state,
    const struct excuse *excuse) ATTR_NONNULL;

/*
 * No host is left: those that are open get what was last said of each, or the
 * job's excuse.
 */
void job_fail_rest(struct job *job) ATTR_NONNULL;

/* All that is not settled is open again: a transaction came to nothing. */
void job_reopen(struct job *job) ATTR_NONNULL;

/* For the log: the queue id as its lines show it. Good until the next call. */
const char *job_id(const struct job *job, char text[32]) ATTR_NONNULL;

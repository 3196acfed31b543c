/*
 * late_report - an agent's end of lib/mail/late: its deliveries under way, and
 * what is told when the queue manager dies in the middle of them.
 *
 * Answers are kept for as long as the queue manager may keep their records from
 * the disk (queue_settle_delay): it may die before it has written them.
 *
 * What the dead one asked for is brought to a point where it can be left (before
 * the final dot, before the next mailbox) and its results are kept. The next
 * queue manager gets them, each as soon as it is there, and is then told that
 * there are no more: for up to a second it has waited for just that.
 */
#pragma once

#include "lib/daemon/daemon.h"
#include "lib/mail/delivery.h"

struct late_job {
    struct list node;
    struct request *request;
};

/* A DELIVER request that makes sense. */
void late_job_begin(struct late_job *j, struct request *r) ATTR_NONNULL;

/* Nobody waits for its answer any more. */
static inline bool
late_job_is_orphan(const struct late_job *j)
{
    return j->request->link == NULL;
}

/* The answer, or what is kept of it; the request is gone afterwards. */
void late_job_end(struct late_job *j, const struct config_set *set,
    const struct delivery *d, const struct delivery_answer *a) ATTR_NONNULL;

/* For daemon_options: peer_up, peer_gone. */
void late_report_peer_up(struct peer *p);
void late_report_peer_gone(struct peer *p);

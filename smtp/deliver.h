/*
 * deliver - one job from its destinations to its last recipient: which host,
 * which session, what when one fails.
 */
#pragma once

#include "lib/mail/own_addresses.h"
#include "smtp/idle.h"
#include "smtp/job.h"

/* What the process's jobs share. */
struct client {
    struct idle *idle;
    struct own_addresses *own; /* NULL: not known */
    struct list jobs;          /* under way, by node */
    size_t job_count;
    bool draining; /* keep no session */
};

/* Serve one DELIVER request under set, which it holds. Waits. */
void deliver(struct client *client, struct request *r, struct config_set *set)
    ATTR_NONNULL;

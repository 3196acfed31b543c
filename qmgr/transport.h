/*
 * transport - one way of delivery: a service of master.cf, with its limits.
 *
 * Its program says who delivers: smtp and lmtp are done by the smtp processes,
 * local, virtual and pipe by local; error, retry and discard take no process,
 * they are done in qmgr/inside.
 */
#pragma once

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/seldom.h"
#include "lib/ipc/protocol.h"
#include "qmgr/core.h"
#include "qmgr/timer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum transport_kind {
    TRANSPORT_NONE, /* master.cf has no such service */
    TRANSPORT_AGENT,
    TRANSPORT_ERROR,
    TRANSPORT_RETRY,
    TRANSPORT_DISCARD,
};

/* A term of SCHEDULER_README: a number, or number / (square root of) window. */
struct feedback {
    double amount;
    enum { FEEDBACK_CONSTANT, FEEDBACK_WINDOW, FEEDBACK_SQRT } per;
};

struct transport {
    struct map_node node; /* by name */
    char *name;
    const char *tag; /* "postfix/smtp" */
    enum transport_kind kind;
    enum role role; /* TRANSPORT_AGENT: of its processes */
    bool deferred;  /* defer_transports */

    int64_t process_limit; /* deliveries at a time; 0: no limit */
    int64_t window_limit;  /* for each destination; 0: no limit */
    int64_t window_first;
    int64_t recipient_limit; /* in one delivery; 0: no limit */
    int64_t waiting_limit;   /* recipients in memory: lists read no more */
    int64_t rate_delay_ms;   /* between deliveries to one destination */
    int64_t spacing_ms;      /* between all deliveries */
    int64_t cohort_limit;    /* 0: destinations are never given up */
    struct feedback positive, negative;

    struct list ready_link; /* of q->ready */
    struct list ready;      /* destinations that may start a delivery */
    size_t running;
    size_t waiting; /* recipients in the queues of its destinations */
    int64_t next_start_ms;
    struct timer timer;   /* at next_start_ms */
    int64_t agentless_ms; /* since when no process of its role is there; 0 */
    struct seldom complained; /* TRANSPORT_NONE: in the log */
};

/* Never NULL. It stays for good: transports are as few as master.cf's lines. */
struct transport *transport_find(struct qmgr *q, struct slice name)
    ATTR_NONNULL;

/* After a reload. */
void transport_configure_all(struct qmgr *q) ATTR_NONNULL;

/* It may be able to start a delivery now. */
void transport_touch(struct qmgr *q, struct transport *t) ATTR_NONNULL;

void transport_fini_all(struct qmgr *q) ATTR_NONNULL;

/* "1", "1/4", "1/concurrency", "1/sqrt_concurrency"; false: none of these. */
bool feedback_parse(const char *text, struct feedback *f)
    ATTR_NONNULL ATTR_MUST_USE;
double feedback_of(const struct feedback *f, double window) ATTR_NONNULL;

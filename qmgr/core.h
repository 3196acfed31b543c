/*
 * core - the queue manager's state, all of it on one thread.
 *
 * Events come in by the functions of the files beside this (a submission, an
 * agent's answer, a transaction that became durable, an admin's command) and
 * change what is known; qmgr_pump() then does what follows from it: timers,
 * admission to the active set, dispatch, records to be written. Nothing here
 * waits, reads a clock other than lib/base/clock, or touches disk or links
 * except through struct outside.
 */
#pragma once

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/seldom.h"
#include "lib/config/config.h"
#include "lib/mail/pressure.h"
#include "qmgr/heap.h"
#include "qmgr/index.h"
#include "qmgr/late.h"
#include "qmgr/outside.h"
#include "qmgr/past.h"
#include "qmgr/reserve.h"
#include "qmgr/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct qmgr {
    const struct outside *outside;
    void *context;         /* of outside */
    bool stopping;         /* nothing new is begun */
    int64_t stop_until_ms; /* what failed is waited for, clock_now_ms() */
    bool woken;
    size_t transactions; /* under way */
    size_t disk_jobs;    /* under way */
    struct heap clock;   /* struct timer, clock_now_ms() */

    struct config_set *set;      /* held */
    const struct config *config; /* of the qmgr line */
    const char *tag;             /* "postfix/qmgr" */
    bool long_ids;

    struct index index;

    /* qmgr/lease */
    uint64_t next_id;
    uint64_t mark;      /* durable: no id from here on was leased */
    uint64_t mark_next; /* on its way to the disk; 0: none */
    struct spool_place mark_place;
    struct entry *recovering; /* found last, not in index yet */
    struct list lease_waiters;

    /* qmgr/adopted, qmgr/adopt */
    struct list adopted;
    struct map adopted_places;
    struct adoption *adoption; /* under way */

    /* qmgr/intake, qmgr/drops */
    struct map lent; /* blobs */
    uint64_t lent_last;
    struct past ids_past;
    struct map drops_by_name, drops_by_id;
    struct past drops_past;

    /* qmgr/mail, qmgr/readback, qmgr/opening: the active set */
    size_t active_recipients;
    size_t held_octets; /* of contents in memory */
    uint64_t serial;    /* of the newest message */
    bool fresh_turn;    /* whose turn it is to be admitted */
    struct list dirty;  /* messages whose STATUS is to be written */
    struct list checks; /* messages to be looked at */
    struct list asking; /* messages with recipients to be resolved */
    struct list writes; /* of qmgr/ledger, under way */
    size_t owed;        /* of those that failed, and are tried again */

    /* qmgr/resolve */
    struct map questions;
    struct list unasked;
    struct map answers;
    struct list answers_used; /* least recently first */
    bool route_by_sender;

    /* qmgr/transport, qmgr/destination, qmgr/dispatch */
    struct map transports;
    struct map destinations;
    struct map destination_lanes; /* the same by their lane */
    struct list lanes_parked;     /* qmgr/lane */
    struct map bundles;
    struct list ready; /* transports with something to do */
    struct list agents;
    struct list fallen;    /* agents that are gone, with jobs to be judged */
    uint64_t agent_serial; /* of the newest */
    struct map jobs;       /* attempts that are under way, by nonce */
    size_t jobs_out;

    struct late_state late;
    struct reserve reserve;

    /* qmgr/notify */
    size_t notices;             /* being made */
    size_t probes;              /* of smtpd's, in memory */
    struct list notice_waiters; /* messages */

    /* qmgr/strain */
    enum pressure strain; /* as outside was told */
    int64_t strain_look_ms;
    struct seldom strain_said;
    struct timer strain_timer;
};

/* set is held until the end; outside outlives q. */
void qmgr_init(struct qmgr *q, const struct outside *outside, void *context,
    struct config_set *set) ATTR_NONNULL;

/* Forgets everything; nothing is on its way any more. */
void qmgr_fini(struct qmgr *q) ATTR_NONNULL;

/* A reload. Work under way goes on. */
void qmgr_configure(struct qmgr *q, struct config_set *set) ATTR_NONNULL;

/* Have qmgr_pump() called soon. */
void qmgr_wake(struct qmgr *q) ATTR_NONNULL;

/* Do what is due. q->woken afterwards: there is more already. */
void qmgr_pump(struct qmgr *q) ATTR_NONNULL;

/*
 * When qmgr_pump() is to be called at the latest, clock_now_ms();
 * CLOCK_NEVER: when something else happens.
 */
int64_t qmgr_next_ms(const struct qmgr *q) ATTR_NONNULL;

/* From now on nothing is begun; what is under way may end. */
void qmgr_stop(struct qmgr *q) ATTR_NONNULL;

/* Nothing is under way: no attempt, no transaction, no disk job. */
bool qmgr_is_idle(const struct qmgr *q) ATTR_NONNULL;

/* What outside calls when it is done with something. */
void txn_done(struct qmgr *q, struct txn *t) ATTR_NONNULL;
void disk_job_done(struct qmgr *q, struct disk_job *j) ATTR_NONNULL;

/* Hand a job to outside. */
void disk_job_start(struct qmgr *q, struct disk_job *j) ATTR_NONNULL;

int64_t qmgr_wall_ms(void);

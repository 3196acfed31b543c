/*
 * pool - the processes of each daemon: spawned, linked with each other, watched
 * and replaced.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"
#include "lib/config/config.h"
#include "lib/daemon/slots.h"
#include "lib/io/fiber.h"
#include "lib/ipc/link.h"
#include "master/logfile.h"
#include "master/process.h"
#include "master/rights.h"
#include "master/sockets.h"

#include <stdbool.h>
#include <stdint.h>

/* Where a process of a pool belongs, and how its predecessors fared. */
struct place {
    struct process *process; /* NULL: dead, or waits to be restarted */
    unsigned quick_deaths;   /* in a row */
    bool served;             /* the last one got as far as READY */
    struct fiber_timer restart;
    struct pools *pools;
    enum role role;
    unsigned index;
};

struct pool {
    struct place *places;
    unsigned wanted; /* that many of them are in use */
};

struct pools {
    struct list processes;
    struct pool by_role[ROLE_COUNT];
    bool columns[SLOTS_COLUMNS]; /* in use */
    struct fiber_cond changed;   /* somebody got ready, failed or died */
    unsigned failures; /* refused configurations and deaths before READY */
    char failure[600]; /* the last one */
    bool refused;      /* one of them was a refused configuration */
    bool stopping;     /* nobody is replaced */
    uint32_t started;  /* processes, ever */
    struct control_secrets secret_served; /* of the last qmgr that did */

    /* Of the instance; set before pools_start(). */
    struct config_set *set;
    int snapshot;
    uint32_t snapshot_length;
    int table_files; /* for lookup alone; -1: none */
    const struct rights *rights;
    const struct logfile *log;
    struct sockets *sockets;
    struct slots *slots;
    int slots_fd, children_lock;
    bool foreground;
};

void pools_init(struct pools *p) ATTR_NONNULL;

/*
 * As many processes as the configuration asks for; the others are drained. All
 * sockets are known to all after this, when pools_configure() came before.
 */
void pools_adjust(struct pools *p) ATTR_NONNULL;

/* Tell all of a new snapshot, new sockets and those that are gone. */
void pools_configure(struct pools *p, struct list *gone) ATTR_NONNULL;

/* The log was renewed: log->fd is passed on. */
void pools_reopen_log(struct pools *p) ATTR_NONNULL;

/*
 * Every process is ready. Waits until the deadline, until more than
 * failures_max of them failed, or one refuses its configuration, which it will
 * do again: false, and p->failure says why.
 */
bool pools_wait_ready(struct pools *p, unsigned failures_max, int64_t deadline)
    ATTR_NONNULL ATTR_MUST_USE;

/* No answer to CONFIGURE is under way any more. Waits. */
bool pools_wait_configured(struct pools *p, int64_t deadline)
    ATTR_NONNULL ATTR_MUST_USE;

/* Processes of that role in the present configuration. */
unsigned pools_wanted(const struct pools *p, enum role role) ATTR_NONNULL;

/* A process died early or refused its configuration: who waits is told. */
void pools_note_failure(struct pools *p, const struct process *c,
    const char *text) ATTR_NONNULL;

/* SIGCHLD: find out who died. */
void pools_reap(struct pools *p) ATTR_NONNULL;

/* The first process of that role is to look after a service. */
void pools_wake(struct pools *p, enum role role, const struct service *service)
    ATTR_NONNULL;

/* Have the processes of these roles (a set of ROLE_BIT()) end within ms. */
void pools_drain(struct pools *p, unsigned roles, uint32_t ms) ATTR_NONNULL;

/* Until none of these roles is left; at the deadline they are killed. Waits. */
void pools_wait_end(struct pools *p, unsigned roles, int64_t deadline)
    ATTR_NONNULL;

void pools_kill(struct pools *p, unsigned roles) ATTR_NONNULL;

unsigned pools_count(const struct pools *p) ATTR_NONNULL;

/*
 * process - one child of the master and what it is told.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"
#include "lib/config/config.h"
#include "lib/daemon/control.h"
#include "lib/io/fiber.h"
#include "lib/ipc/link.h"
#include "master/sockets.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pools;

enum process_state {
    PROCESS_NEW,         /* the others do not know it yet */
    PROCESS_CONFIGURING, /* it has to answer in time */
    PROCESS_BEGINNING,   /* qmgr reads its spool, ... */
    PROCESS_READY,
    PROCESS_LEAVING, /* told to drain */
};

struct process {
    struct list node; /* in pools.processes */
    enum role role;
    unsigned index;
    uint32_t number; /* of all that were ever started */
    pid_t pid;
    char *path;
    struct link *link; /* NULL: lost, and the process is killed */
    enum process_state state;
    int64_t started_ms;
    unsigned column; /* of the table of slots */
    bool has_column;
    bool awaited;  /* an answer to CONFIGURE is under way */
    bool refused;  /* its first configuration, and is killed */
    bool replaced; /* qmgr had no use for it, and it is killed */
    struct fiber_timer late;
    struct fiber_timer useless;     /* when it is killed for that */
    struct control_secrets secrets; /* qmgr's */
    struct pools *pools;
};

/* Spawned, new, and among pools->processes. NULL: that did not work. */
struct process *process_start(struct pools *p, enum role role, unsigned index)
    ATTR_NONNULL ATTR_MUST_USE;

/* It has been buried. */
void process_free(struct process *c) ATTR_NONNULL;

/* The present snapshot; expected LINKs follow before it is to begin. */
void process_configure(struct process *c, unsigned expected) ATTR_NONNULL;

void process_listen(struct process *c, const struct sock_entry *e) ATTR_NONNULL;
void process_unlisten(struct process *c, const struct sock_entry *e)
    ATTR_NONNULL;

/* elder was there before c was. */
void process_link(struct process *c, struct process *elder) ATTR_NONNULL;

/* Tell qmgr how the agent c ended; status is of waitpid(). */
void process_tell_death(struct process *qmgr, const struct process *c,
    int status) ATTR_NONNULL;
void process_wake(struct process *c, const struct service *service)
    ATTR_NONNULL;
void process_reopen_log(struct process *c) ATTR_NONNULL;

/* It is to drain and end within ms. */
void process_leave(struct process *c, uint32_t ms) ATTR_NONNULL;

void process_kill(struct process *c) ATTR_NONNULL;

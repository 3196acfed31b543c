/*
 * links - the core's outside as it is in the daemon: the committer's thread,
 * the I/O pool and the links to other processes.
 */
#pragma once

#include "lib/daemon/daemon.h"
#include "lib/io/fiber.h"
#include "qmgr/committer.h"
#include "qmgr/core.h"
#include "qmgr/pool.h"

struct outdoors {
    struct qmgr *q;
    struct spool *spool; /* NULL until it is open */
    struct committer *committer;
    struct pool pool;
    struct fiber_timer timer; /* the next pump */
    struct fiber_cond woken;  /* the pump's fiber waits here */
};

/* Its context is a struct outdoors. */
extern const struct outside links_outside;

/* What submitters and agents may ask of us; the context is struct peer. */
extern const struct link_handler links_handlers[];

/* The one queue manager of this process, for the handlers. */
void links_init(struct outdoors *o) ATTR_NONNULL;

void links_peer_up(struct peer *p);
void links_peer_gone(struct peer *p);
bool links_may(struct peer *p, enum message type);
void links_agent_died(uint32_t process, enum process_end end, uint32_t code);

/* Runs qmgr_pump() whenever there is a reason. */
void links_pump_main(void *arg);

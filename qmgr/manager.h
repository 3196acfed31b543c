/*
 * manager - the queue manager of this process: core, spool and threads put
 * together, for the daemon and for qmgr --offline.
 */
#pragma once

#include "lib/base/why.h"
#include "lib/config/config.h"
#include "qmgr/core.h"

#include <stdint.h>

struct manager;

/*
 * Takes the spool (waiting some seconds for a predecessor that is ending) and
 * reads it; needs a scheduler. Waits as a thread does.
 */
enum result manager_open(struct config_set *set, struct manager **m,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Begin to deliver. */
enum result manager_start(struct manager *m, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* A reload. What waits to be written is written: its delay may be another. */
void manager_configure(struct manager *m, struct config_set *set) ATTR_NONNULL;

/*
 * Begin nothing any more; wait until what is under way has ended, or the
 * deadline. Waits.
 */
void manager_drain(struct manager *m, int64_t deadline_ms) ATTR_NONNULL;

/*
 * Drained: seal the spool and forget everything. If something is under way
 * after all, the spool is left as a crash would leave it. Waits.
 */
void manager_close(struct manager *m);

struct qmgr *manager_core(struct manager *m) ATTR_NONNULL;

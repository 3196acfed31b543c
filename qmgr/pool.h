/*
 * pool - the I/O threads: what blocks in the spool besides commits.
 *
 * A bounded number of jobs is on fibers at a time, the others wait in line, so
 * that a million messages that come due at once do not become a million stacks.
 */
#pragma once

#include "lib/base/list.h"
#include "qmgr/core.h"
#include "qmgr/outside.h"

struct pool {
    struct qmgr *q;
    struct spool *spool;
    struct list waiting; /* struct disk_job */
    size_t waiting_count;
    size_t running;
};

void pool_init(struct pool *p, struct qmgr *q, struct spool *s) ATTR_NONNULL;
void pool_add(struct pool *p, struct disk_job *j) ATTR_NONNULL;

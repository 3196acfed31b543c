/*
 * lock - one master for each queue directory.
 *
 * Two locks of the kernel's, which no crash leaves stale. pid/master.pid is
 * locked by the master's process itself: who holds it is the master. pid/
 * children.lock is held by each process of the instance through a descriptor
 * that it inherited: while it is held something of a killed master is left.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Whether a master of that queue directory runs. Its process id is 0 where it
 * has none for us: in another container, or when we are another user, who can
 * only see that somebody listens at public/qmgr.
 */
bool lock_is_held(const char *queue_directory, pid_t *pid) ATTR_NONNULL;

/*
 * Become the master of the queue directory that is the working directory.
 * RESULT_PERMFAIL: there is one. Waits until deadline, blocking, for children
 * of a killed one to end; RESULT_TEMPFAIL when they do not. *children is to be
 * inherited by children.
 */
enum result lock_take(int64_t deadline, int *children, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* Wait, blocking, until nothing of an instance is left. */
enum result lock_wait_gone(const char *queue_directory, int64_t deadline,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

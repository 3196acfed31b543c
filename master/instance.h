/*
 * instance - one Postern: its configuration, sockets and processes, from start
 * to stop.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/daemon/slots.h"
#include "master/logfile.h"
#include "master/pool.h"
#include "master/rights.h"
#include "master/sockets.h"
#include "master/wakeup.h"

#include <stdbool.h>

struct instance {
    const char *config_directory;
    bool foreground;
    struct config_set *set;
    struct rights rights;
    struct logfile log;
    struct slots *slots;
    int slots_fd;
    struct sockets sockets;
    struct pools pools;
    struct wakeups wakeups;
    bool reloading;
};

/*
 * Make directories, become the one master of them, open the log and the
 * sockets. The working directory is queue_directory from then on. Takes over a
 * reference of set. Blocks.
 */
enum result instance_open(struct instance *in, const char *config_directory,
    struct config_set *set, bool foreground, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* Spawn the processes and wait until all serve. Waits. */
enum result instance_start(struct instance *in, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * Read the configuration again. When that fails the old one stays, and *why
 * has the first error. Waits.
 */
enum result instance_reload(struct instance *in, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* The log file was renamed: open it again, here and in all children. */
enum result instance_reopen_log(struct instance *in, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* No connections, finish what is under way, and end all children. Waits. */
void instance_stop(struct instance *in) ATTR_NONNULL;

/* End them at once. Waits. */
void instance_abort(struct instance *in) ATTR_NONNULL;

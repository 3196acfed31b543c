/*
 * service - the lines of master.cf that run a program for each connection, and
 * what spawn(8) understands of them.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/config/config.h"

#include <stdint.h>
#include <sys/types.h>

struct program_service {
    const char *name, *type; /* of the line, in the snapshot */
    const char **argv;       /* what is run; NULL at the end */
    const char **environment;
    uid_t uid;
    gid_t gid;
    int64_t time_limit; /* milliseconds; 0: none */
};

/*
 * All of a snapshot take the place of those that there were. RESULT_PERMFAIL:
 * one is wrong, and why names its line; all stays as it was. Digs deep: call it
 * with on_thread_stack().
 */
enum result services_use(struct config_set *set, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* NULL: it is there no more. Good until services_use() is called again. */
const struct program_service *services_find(const struct service *line)
    ATTR_NONNULL;

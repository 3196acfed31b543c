/*
 * program - another program, run for a while with descriptors, rights and
 * variables that it is given.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/io/fiber.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct program {
    const char *const *argv;        /* without "/" looked for in its PATH */
    const char *const *environment; /* "NAME=value"; all that it gets */
    int in, out, err; /* borrowed, and made to block: it shares them */
    bool change_user; /* as root: to these, and this one group */
    uid_t uid;
    gid_t gid;
};

/* The status that says that it could not be begun. */
enum { PROGRAM_NOT_RUN = 127 };

/*
 * Start it in a session of its own, in our directory, with nothing open but
 * these three, and an end by SIGKILL should this process die. The process id;
 * -1: errno. Each one has to be waited for.
 */
pid_t program_start(const struct program *p) ATTR_NONNULL ATTR_MUST_USE;

enum program_end {
    PROGRAM_ENDED, /* by itself */
    PROGRAM_LATE,  /* the rest were killed: the deadline came, */
    PROGRAM_CANCELLED,
    PROGRAM_UNWATCHED, /* or its end could not be waited for: errno */
};

/*
 * Until it has ended; at the deadline it, and what it started in its session's
 * process group, is killed. *status is of waitpid() in any case. Waits.
 */
enum program_end program_wait(pid_t pid, int64_t deadline, int *status)
    ATTR_NONNULL;

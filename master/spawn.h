/*
 * spawn - one child process: its descriptors, rights and environment.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/config.h"
#include "master/rights.h"

#include <stdbool.h>
#include <sys/types.h>

struct spawn {
    const char *path;
    int link;        /* becomes descriptor 3 */
    int children;    /* the lock that says that something of us is left */
    bool foreground; /* standard output and error stay */
    const struct rights *rights;
    struct identity who;
};

/* The process id, or -1 with errno. */
pid_t spawn(const struct spawn *s) ATTR_NONNULL ATTR_MUST_USE;

/*
 * Once at start: of our environment only what import_environment names is left
 * for all children, besides PATH and MAIL_CONFIG.
 */
void spawn_clean_environment(const struct config *config,
    const char *config_directory) ATTR_NONNULL;

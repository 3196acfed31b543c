/*
 * logfile - where the instance's processes write their log.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/io/logsink.h"

#include <stdbool.h>

struct logfile {
    enum logsink_kind kind;
    int fd; /* LOGSINK_FILE: open for appending, for the children; else -1 */
};

/*
 * What the configuration asks for, opened: maillog_file (which only root may
 * be able to open), /dev/stdout, or syslog when it is empty. background:
 * standard output leads nowhere, so that it is refused.
 */
enum result logfile_open(const struct config *config, bool background,
    struct logfile *log, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
void logfile_close(struct logfile *log) ATTR_NONNULL;

/* This process's own log goes there too. */
enum result logfile_use(const struct logfile *log, const struct config *config,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* What logfile_open() would refuse without opening anything. */
enum result logfile_check(const struct config *config, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

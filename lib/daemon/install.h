/*
 * install - where the programs are, relative to the one that runs: the tree may
 * have been moved anywhere.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/config.h"

/*
 * The path of a daemon, owned by the caller: in daemon_directory where that is
 * set to a directory with our daemons (a configuration taken over from Postfix
 * names Postfix's), else beside the running daemon or in ../libexec/postern of
 * the running command.
 */
char *install_daemon(const struct config *config, const char *name)
    ATTR_NONNULL ATTR_MUST_USE;

/* The path of a command, owned by the caller. */
char *install_command(const char *name) ATTR_NONNULL ATTR_MUST_USE;

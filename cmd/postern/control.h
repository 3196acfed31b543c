/*
 * control - what each command of postern does. Each returns the exit status.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/config.h"

struct control {
    const char *directory; /* of the configuration */
    struct config_set *set;
    const struct config *config; /* of set */
    const char *argument;        /* of a command that has one */
};

int control_start(const struct control *c) ATTR_NONNULL;
int control_start_fg(const struct control *c) ATTR_NONNULL;
int control_stop(const struct control *c) ATTR_NONNULL;
int control_abort(const struct control *c) ATTR_NONNULL;
int control_reload(const struct control *c) ATTR_NONNULL;
int control_status(const struct control *c) ATTR_NONNULL;
int control_check(const struct control *c) ATTR_NONNULL;
int control_flush(const struct control *c) ATTR_NONNULL;
int control_explain(const struct control *c) ATTR_NONNULL;
/* argv[at] is "explain", then "session" and the options of smtpd --explain. */
int control_explain_session(int argc, char **argv, int at) ATTR_NONNULL;
int control_adopt_spool(const struct control *c) ATTR_NONNULL;
/* What tables over the network have cost. */
int control_tables(const struct control *c) ATTR_NONNULL;
int control_logrotate(const struct control *c) ATTR_NONNULL;

/* Have the running processes open the log again; nothing where none run. */
int control_reopen_log(const struct control *c) ATTR_NONNULL;

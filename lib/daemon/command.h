/*
 * command - what the admin's commands have in common: main.cf, and a word to
 * whoever runs them that stands in the mail log too.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/log.h"
#include "lib/config/config.h"

/*
 * program is its name. Reads main.cf in directory (NULL: MAIL_CONFIG or the
 * default) and opens the log; trouble ends the command with status. The
 * snapshot is the caller's.
 */
struct config_set *command_begin(const char *program, const char *directory,
    int status) __attribute__((nonnull(1)));

/* From now on the log says so instead of the program's name. */
void command_log_as(const struct config_set *set, const char *name)
    ATTR_NONNULL;

/* To standard error with the program's name in front, and to the log. */
void command_say(enum log_level level, const char *fmt, ...) ATTR_PRINTF(2, 3);

/* command_say() and exit(status). */
void command_fail(int status, const char *fmt, ...) ATTR_PRINTF(2, 3)
    __attribute__((noreturn));

/*
 * command - what the admin's commands have in common: main.cf, and a word to
 * whoever runs them that stands in the mail log too.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/log.h"
#include "lib/base/why.h"
#include "lib/config/config.h"

/*
 * program is its name. Reads main.cf in directory (NULL: MAIL_CONFIG or the
 * default), which must be there, and opens the log; trouble ends the command
 * with status. The snapshot is the caller's.
 */
struct config_set *command_begin(const char *program, const char *directory,
    int status) __attribute__((nonnull(1)));

/*
 * For the commands of everybody, which have no log open: main.cf alone, and what
 * is wrong with it goes to the log's present sink.
 */
enum result command_load(const char *directory, struct config_set **set,
    struct why *why) __attribute__((nonnull(2, 3))) ATTR_MUST_USE;

/* Descriptors 0, 1 and 2 are open, so that no file takes their place. */
void command_hold_descriptors(void);

/*
 * Connect to public/NAME, a socket of the running mail system. Blocks; bounded
 * by some seconds.
 */
enum result command_connect(const struct config *config, const char *name,
    int *fd, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* From now on the log says so instead of the program's name. */
void command_log_as(const struct config_set *set, const char *name)
    ATTR_NONNULL;

/* To standard error with the program's name in front, and to the log. */
void command_say(enum log_level level, const char *fmt, ...) ATTR_PRINTF(2, 3);

/* command_say() and exit(status). */
void command_fail(int status, const char *fmt, ...) ATTR_PRINTF(2, 3)
    __attribute__((noreturn));

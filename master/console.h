/*
 * console - pid/master.socket: where the postern command asks the master to
 * reload, stop and tell. For the user that the master is, and root, alone; in
 * a directory where no daemon can put a socket of its own in its place.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/ipc/link.h"

enum console_verb {
    CONSOLE_STATUS,
    CONSOLE_RELOAD,
    CONSOLE_STOP,
    CONSOLE_ABORT,
    CONSOLE_REOPEN,
};

/*
 * Carry out what was asked for. *count: processes of the instance. Waits. An
 * answer is sent when this returns.
 */
typedef enum result (*console_fn)(void *context, enum console_verb verb,
    unsigned *count, struct why *why);

/* Listen. fn and context are for as long as the master runs. */
enum result console_open(console_fn fn, void *context, struct why *why)
    ATTR_MUST_USE;

/* Hang up on all; their last answers are sent before. */
void console_close(void);

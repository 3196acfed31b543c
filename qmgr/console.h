/*
 * console - serves the commands postqueue, postsuper and postcat.
 *
 * Who is in authorized_mailq_users may list, in authorized_flush_users flush:
 * everybody, by default; editing and reading mail is for root and for the
 * user that we are.
 */
#pragma once

#include "qmgr/core.h"

/* Offline: there is a spool, but nothing delivers, so nothing is flushed. */
enum console_mode { CONSOLE_ONLINE, CONSOLE_OFFLINE };

/*
 * Serve one connection to its end; owns fd. Waits. A user may have some at the
 * same time, and ask one thing at a time in each.
 */
void console_serve(int fd, struct qmgr *q, enum console_mode mode) ATTR_NONNULL;

/* It is time to leave: for those that ask nothing now, at once. */
void console_end(void);

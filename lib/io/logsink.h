/*
 * logsink - where log lines go: a file, syslog(3)'s socket, standard output.
 *
 * Lines of one turn of the loop are gathered and written with one call; a file
 * is opened for appending by each process and opened again after a rotation
 * (logsink_reopen()). Never through another process.
 *
 * File and stdout lines: "Mon dd hh:mm:ss HOST TAG[PID]: text". Syslog lines
 * go to /dev/log with the facility given, as RFC 3164 has them.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"

enum logsink_kind { LOGSINK_FILE, LOGSINK_SYSLOG, LOGSINK_STDOUT };

/*
 * For LOGSINK_FILE path is the file; for LOGSINK_SYSLOG facility is a name such
 * as "mail", and path the socket, NULL for /dev/log. May be called again to
 * change the sink, and to add this thread's scheduler. Sets log_set_sink(); with
 * a scheduler on this thread, also a hook that writes at the end of each turn;
 * outside of one each line is written at once. Safe for several threads.
 *
 * Lines that cannot be written (disk full, reader stuck) are lost; a line tells
 * how many when it works again. After a fork() the child logs with its own pid.
 *
 * RESULT_PERMFAIL: no such facility. The old sink stays when this fails.
 */
enum result logsink_open(enum logsink_kind kind, const char *path,
    const char *facility, struct why *why) ATTR_MUST_USE;

/*
 * Take over an open append descriptor (processes that could not open the file
 * themselves get it from master); path may be NULL.
 */
void logsink_take_fd(int fd, const char *path);

/* Open path again (log rotation); keeps the old one when that fails. */
void logsink_reopen(void);

/* Host name shown in file lines; default the system's, up to the first dot. */
void logsink_set_host(const char *host);

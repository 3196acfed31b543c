/*
 * log - one line per event, in the form that Postfix's log readers know.
 *
 * base formats a line and hands it to the sink; lib/io/logsink gathers the
 * lines of one turn of the loop and writes them to a file, syslog or stdout in
 * one go. Without a sink, lines go to standard error.
 *
 * The tag is what stands before "[PID]:", such as "postfix/smtpd". A process
 * has a default tag; a folded service (cleanup in smtpd, say) or a profile with
 * its own syslog_name passes its tag with each line.
 *
 * Control characters and octets above 126 are shown as '?', so that a peer
 * cannot forge a line; UTF-8 sequences are kept.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdarg.h>

enum log_level {
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING, /* the text gets the prefix "warning: " */
    LOG_LEVEL_ERROR,   /* "error: " */
    LOG_LEVEL_FATAL,   /* "fatal: "; the caller exits */
    LOG_LEVEL_PANIC,   /* "panic: "; a bug, the caller aborts */
};

enum { LOG_TEXT_MAX = 2000 }; /* octets of text kept of one line */

/* line has no newline. Called on the thread that logs. */
typedef void (*log_sink_fn)(void *context, enum log_level level,
    const char *tag, struct slice line);
typedef void (*log_flush_fn)(void *context);

void log_set_sink(log_sink_fn write, log_flush_fn flush, void *context);

/* tag must outlive its use; NULL for "postern". */
void log_set_tag(const char *tag);
const char *log_tag(void);

/* tag NULL means the process's own. */
void log_write(enum log_level level, const char *tag, const char *fmt, ...)
    ATTR_PRINTF(3, 4);

/* Ask the sink to write out what it holds, before an exit or abort. */
void log_flush(void);

#define log_info(...)    log_write(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, NULL, __VA_ARGS__)
#define log_error(...)   log_write(LOG_LEVEL_ERROR, NULL, __VA_ARGS__)
#define log_fatal(...)   log_write(LOG_LEVEL_FATAL, NULL, __VA_ARGS__)

#include "lib/base/log.h"

#include "lib/base/printable.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

/* The process's log: set up by main() before there are threads or fibers. */
static struct {
    log_sink_fn write;
    log_flush_fn flush;
    void *context;
    const char *tag;
} process_log;

static const char *const prefixes[] = {
    [LOG_LEVEL_INFO] = "",
    [LOG_LEVEL_WARNING] = "warning: ",
    [LOG_LEVEL_ERROR] = "error: ",
    [LOG_LEVEL_FATAL] = "fatal: ",
    [LOG_LEVEL_PANIC] = "panic: ",
};

void
log_set_sink(log_sink_fn write, log_flush_fn flush, void *context)
{
    process_log.write = write;
    process_log.flush = flush;
    process_log.context = context;
}

void
log_set_tag(const char *tag)
{
    process_log.tag = tag;
}

const char *
log_tag(void)
{
    return process_log.tag == NULL ? "postern" : process_log.tag;
}

static void
write_to_stderr(const char *tag, struct slice line)
{
    struct iovec iov[] = {
        { (void *)(uintptr_t)tag, strlen(tag) },
        { (void *)(uintptr_t) ": ", 2 },
        { (void *)(uintptr_t)line.ptr, line.len },
        { (void *)(uintptr_t) "\n", 1 },
    };

    if (writev(STDERR_FILENO, iov, sizeof(iov) / sizeof(iov[0])) < 0)
        return; /* nowhere left to say so */
}

void
log_write(enum log_level level, const char *tag, const char *fmt, ...)
{
    char text[LOG_TEXT_MAX];
    size_t used;
    va_list ap;

    if (tag == NULL)
        tag = log_tag();
    used = strlen(prefixes[level]);
    memcpy(text, prefixes[level], used);
    va_start(ap, fmt);
    (void)vsnprintf(text + used, sizeof(text) - used, fmt, ap);
    va_end(ap);
    used = strlen(text);
    printable_make(text, used);
    if (process_log.write != NULL)
        process_log.write(process_log.context, level, tag,
            (struct slice){ text, used });
    else
        write_to_stderr(tag, (struct slice){ text, used });
}

void
log_flush(void)
{
    if (process_log.flush != NULL)
        process_log.flush(process_log.context);
}

#include "lib/base/log.h"

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

/*
 * RFC 3629 section 4, without U+0080..U+009F, which are control characters. The
 * second octet's range leaves out forms that are longer than they need be (an
 * LF in disguise), surrogates and what lies above U+10FFFF.
 */
static const struct {
    unsigned char first_min, first_max, second_min, second_max, length;
} utf8[] = {
    { 0xc2, 0xc2, 0xa0, 0xbf, 2 },
    { 0xc3, 0xdf, 0x80, 0xbf, 2 },
    { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
    { 0xe1, 0xec, 0x80, 0xbf, 3 },
    { 0xed, 0xed, 0x80, 0x9f, 3 },
    { 0xee, 0xef, 0x80, 0xbf, 3 },
    { 0xf0, 0xf0, 0x90, 0xbf, 4 },
    { 0xf1, 0xf3, 0x80, 0xbf, 4 },
    { 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

/* Octets of the UTF-8 sequence at s, 0 when it is not one. */
static size_t
utf8_length(const unsigned char *s, size_t len)
{
    size_t row = 0, rows = sizeof(utf8) / sizeof(utf8[0]), n;

    while (row < rows && s[0] > utf8[row].first_max)
        row++;
    n = row < rows && s[0] >= utf8[row].first_min ? utf8[row].length : 0;
    if (n == 0 || n > len || s[1] < utf8[row].second_min ||
        s[1] > utf8[row].second_max)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static void
make_printable(char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i];
        size_t n = c < 0x80 ? 0
                            : utf8_length((unsigned char *)text + i, len - i);

        if (n > 0) {
            i += n;
            continue;
        }
        if (c < ' ' || c >= 0x7f)
            text[i] = '?';
        i++;
    }
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
    make_printable(text, used);
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

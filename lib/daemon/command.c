#include "lib/daemon/command.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/io/logsink.h"
#include "lib/io/sock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNECT_MS = 10 * 1000 };

/* The program's name, whether its log is open, and under which tag. */
static struct {
    const char *name;
    bool logs;
    char *tag; /* kept to the end: the log borrows it */
} command;

ATTR_PRINTF(2, 0)
static void
say(enum log_level level, const char *fmt, va_list ap)
{
    static const char *const words[] = {
        [LOG_LEVEL_INFO] = "",
        [LOG_LEVEL_WARNING] = "warning: ",
        [LOG_LEVEL_ERROR] = "error: ",
        [LOG_LEVEL_FATAL] = "fatal: ",
        [LOG_LEVEL_PANIC] = "panic: ",
    };
    char text[LOG_TEXT_MAX];

    (void)vsnprintf(text, sizeof(text), fmt, ap);
    (void)fprintf(stderr, "%s: %s%s\n", command.name, words[level], text);
    if (command.logs)
        log_write(level, NULL, "%s", text);
}

void
command_say(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(level, fmt, ap);
    va_end(ap);
}

void
command_fail(int status, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(LOG_LEVEL_FATAL, fmt, ap);
    va_end(ap);
    log_flush();
    exit(status);
}

/* Where the daemons write, if we may; else syslog. */
static bool
open_log(const struct config *config)
{
    struct why why;

    if (config->maillog_file[0] == '/' &&
        strcmp(config->maillog_file, "/dev/stdout") != 0 &&
        logsink_open(LOGSINK_FILE, config->maillog_file, NULL, &why) ==
            RESULT_OK)
        return true;
    return logsink_open(LOGSINK_SYSLOG, NULL, config->syslog_facility, &why) ==
        RESULT_OK;
}

static void
report(void *context, enum config_severity severity, const char *text)
{
    (void)context;
    if (severity == CONFIG_ERROR)
        command_say(LOG_LEVEL_ERROR, "%s", text);
}

static void
report_to_log(void *context, enum config_severity severity, const char *text)
{
    (void)context;
    if (severity == CONFIG_ERROR)
        log_fatal("%s", text);
}

/*
 * With the defaults of a main.cf that is not there these commands would act on
 * another mail system than was meant.
 */
static enum result
load(const char *directory, config_report_fn tell, struct config_set **set,
    struct why *why)
{
    const char *dir = directory == NULL ? config_default_directory()
                                        : directory;
    char *path = mem_format("%s/main.cf", dir);
    enum result res = access(path, F_OK) < 0 ? why_errno(why, "open %s", path)
                                             : RESULT_OK;

    mem_free(path);
    return res == RESULT_OK ? config_load_main(dir, tell, NULL, set, why) : res;
}

enum result
command_load(const char *directory, struct config_set **set, struct why *why)
{
    return load(directory, report_to_log, set, why);
}

void
command_hold_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

enum result
command_connect(const struct config *config, const char *name, int *fd,
    struct why *why)
{
    char *path = mem_format("%s/public/%s", config->queue_directory, name);
    struct sock_addr to;
    enum result res;

    if (!sock_addr_unix(path, &to))
        res = why_perm(why, "5.3.5", "%s: name is too long", path);
    else
        res = sock_connect(&to, NULL, clock_now_ms() + CONNECT_MS, fd, why);
    mem_free(path);
    return res;
}

void
command_log_as(const struct config_set *set, const char *name)
{
    char *tag = mem_format("%s/%s", config_main(set)->syslog_name, name);

    log_set_tag(tag);
    mem_free(command.tag);
    command.tag = tag;
}

struct config_set *
command_begin(const char *program, const char *directory, int status)
{
    struct config_set *set;
    struct why why;

    command.name = program;
    if (load(directory, report, &set, &why) != RESULT_OK)
        command_fail(status, "%s", why.text);
    command_log_as(set, program);
    command.logs = open_log(config_main(set));
    return set;
}

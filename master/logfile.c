#include "master/logfile.h"

#include "lib/base/slice.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STDOUT_PATH "/dev/stdout"

/* "/var" allows /var/log/x, not /variable. */
static bool
is_below(struct slice path, struct slice prefix)
{
    while (prefix.len > 1 && prefix.ptr[prefix.len - 1] == '/')
        prefix.len--;
    return slice_starts(path, prefix) &&
        (path.len == prefix.len || path.ptr[prefix.len] == '/' ||
            prefix.len == 1);
}

enum result
logfile_check(const struct config *config, struct why *why)
{
    struct slice path = slice_of(config->maillog_file);
    struct slice rest = slice_of(config->maillog_file_prefixes), prefix;

    if (path.len == 0)
        return RESULT_OK;
    while (config_list_next(&rest, &prefix))
        if (is_below(path, prefix))
            return RESULT_OK;
    return why_perm(why, "5.3.5",
        "parameter maillog_file: %s is not below maillog_file_prefixes: %s",
        config->maillog_file, config->maillog_file_prefixes);
}

/* "0600"; what cannot be read as a mode is the strictest. */
static mode_t
file_mode(const struct config *config)
{
    struct slice text = slice_of(config->maillog_file_permissions);
    unsigned mode = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '7' || i > 4)
            return 0600;
        mode = mode * 8 + (unsigned)(text.ptr[i] - '0');
    }
    return (mode & 0777) == 0 ? 0600 : (mode & 0777);
}

enum result
logfile_open(const struct config *config, bool background, struct logfile *log,
    struct why *why)
{
    enum result res;
    mode_t mode = file_mode(config);
    int fd;

    res = logfile_check(config, why);
    if (res != RESULT_OK)
        return res;
    if (config->maillog_file[0] == '\0') {
        *log = (struct logfile){ LOGSINK_SYSLOG, -1 };
        return RESULT_OK;
    }
    if (strcmp(config->maillog_file, STDOUT_PATH) == 0) {
        if (background)
            return why_perm(why, "5.3.5",
                "to log to stdout, use 'postern start-fg'");
        *log = (struct logfile){ LOGSINK_STDOUT, -1 };
        return RESULT_OK;
    }
    fd = open(config->maillog_file,
        O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, mode);
    if (fd < 0)
        return why_errno(why, "open maillog_file %s", config->maillog_file);
    *log = (struct logfile){ LOGSINK_FILE, fd };
    return RESULT_OK;
}

void
logfile_close(struct logfile *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

enum result
logfile_use(const struct logfile *log, const struct config *config,
    struct why *why)
{
    int fd;

    if (log->kind != LOGSINK_FILE)
        return logsink_open(log->kind, NULL, config->syslog_facility, why);
    fd = fcntl(log->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return why_errno(why, "the log's descriptor");
    logsink_take_fd(fd, config->maillog_file);
    return RESULT_OK;
}

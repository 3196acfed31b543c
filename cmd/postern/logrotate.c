/* postern logrotate: the log file aside, a new one, and the old one packed. */
#include "cmd/postern/control.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/daemon/command.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* "/var/log/mail.log.20261121-194500", owned by the caller. */
static char *
old_name(const struct config *config)
{
    time_t now = (time_t)clock_wall_s();
    char suffix[100];
    struct tm tm;

    (void)localtime_r(&now, &tm);
/* -Wformat-nonliteral: the format is the administrator's, as with Postfix. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (strftime(suffix, sizeof(suffix), config->maillog_file_rotate_suffix,
            &tm) == 0)
        suffix[0] = '\0';
#pragma GCC diagnostic pop
    return mem_format("%s.%s", config->maillog_file, suffix);
}

static int
compress(const struct control *c, char *name)
{
    char *program = mem_text(c->config->maillog_file_compressor);
    char *argv[] = { program, name, NULL };
    int error, status = 0;
    pid_t pid;

    error = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
    if (error != 0)
        command_fail(1, "cannot run %s: %s", program, strerror(error));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        command_fail(1, "%s %s failed", program, name);
    mem_free(program);
    return EX_OK;
}

int
control_logrotate(const struct control *c)
{
    const struct config *config = c->config;
    char *name;
    int status;

    if (config->maillog_file[0] == '\0' ||
        strcmp(config->maillog_file, "/dev/stdout") == 0)
        command_fail(1, "maillog_file names no file to rotate");
    name = old_name(config);
    if (access(name, F_OK) == 0)
        command_fail(1, "%s exists already", name);
    if (rename(config->maillog_file, name) < 0)
        command_fail(1, "rename %s: %s", config->maillog_file, strerror(errno));
    status = control_reopen_log(c);
    if (status == EX_OK && config->maillog_file_compressor[0] != '\0')
        status = compress(c, name);
    mem_free(name);
    return status;
}

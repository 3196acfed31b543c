/*
 * postern - start, stop and look after a mail system: postfix(1)'s commands.
 */
#include "cmd/postern/control.h"
#include "lib/base/log.h"
#include "lib/config/config.h"
#include "lib/daemon/command.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(const struct control *c);
} commands[] = {
    { "start", control_start },
    { "start-fg", control_start_fg },
    { "stop", control_stop },
    { "abort", control_abort },
    { "reload", control_reload },
    { "status", control_status },
    { "check", control_check },
    { "flush", control_flush },
    { "logrotate", control_logrotate },
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int
usage(void)
{
    fprintf(stderr, "usage: postern [-c config_directory] [-v] ");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(stderr, "%s%s", i == 0 ? "" : "|", commands[i].name);
    fprintf(stderr, "\n");
    return EX_USAGE;
}

static int
run(const struct control *c, const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(c);
    command_say(LOG_LEVEL_FATAL, "unknown command: %s", name);
    return usage();
}

int
main(int argc, char **argv)
{
    struct control c = { .directory = config_default_directory() };
    int option, status;

    while ((option = getopt(argc, argv, "c:v")) != -1) {
        if (option == 'c')
            c.directory = optarg;
        else if (option != 'v')
            return usage();
    }
    if (optind + 1 != argc)
        return usage();
    c.set = command_begin("postern", c.directory, EX_CONFIG);
    c.config = config_main(c.set);
    /* What we do is in the log under the tag that log readers know. */
    command_log_as(c.set, "postfix-script");
    status = run(&c, argv[optind]);
    config_drop(c.set);
    return status;
}

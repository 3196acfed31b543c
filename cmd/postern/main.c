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
    const char *argument; /* its name; NULL: there is none */
} commands[] = {
    { "start", control_start, NULL },
    { "start-fg", control_start_fg, NULL },
    { "stop", control_stop, NULL },
    { "abort", control_abort, NULL },
    { "reload", control_reload, NULL },
    { "status", control_status, NULL },
    { "check", control_check, NULL },
    { "tables", control_tables, NULL },
    { "flush", control_flush, NULL },
    { "logrotate", control_logrotate, NULL },
    { "explain", control_explain, "destination" },
    { "adopt-spool", control_adopt_spool, "directory" },
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int
usage(void)
{
    fprintf(stderr, "usage: postern [-c config_directory] [-v] ");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(stderr, "%s%s%s%s", i == 0 ? "" : "|", commands[i].name,
            commands[i].argument == NULL ? "" : " ",
            commands[i].argument == NULL ? "" : commands[i].argument);
    fprintf(stderr, "\n");
    return EX_USAGE;
}

static int
run(const struct control *c, const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        if ((c->argument != NULL) != (commands[i].argument != NULL))
            return usage();
        return commands[i].run(c);
    }
    command_say(LOG_LEVEL_FATAL, "unknown command: %s", name);
    return usage();
}

int
main(int argc, char **argv)
{
    struct control c = { .directory = config_default_directory() };
    int option, status;

    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "explain") == 0 &&
            strcmp(argv[i + 1], "session") == 0)
            return control_explain_session(argc, argv, i);
    while ((option = getopt(argc, argv, "c:v")) != -1) {
        if (option == 'c')
            c.directory = optarg;
        else if (option != 'v')
            return usage();
    }
    if (optind + 1 != argc && optind + 2 != argc)
        return usage();
    c.argument = argv[optind + 1]; /* NULL behind the last one */
    if (c.argument != NULL && c.argument[0] == '\0')
        return usage();
    c.set = command_begin("postern", c.directory, EX_CONFIG);
    c.config = config_main(c.set);
    /* What we do is in the log under the tag that log readers know. */
    command_log_as(c.set, "postfix-script");
    status = run(&c, argv[optind]);
    config_drop(c.set);
    return status;
}

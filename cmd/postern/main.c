/*
 * postern - start, stop and look after a mail system: postfix(1)'s commands.
 */
#include "cmd/postern/control.h"
#include "lib/base/log.h"
#include "lib/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define CONFIG_DIRECTORY "/etc/postern"

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

/* Warnings are the master's to log; errors keep us from going on. */
static void
tell_error(void *context, enum config_severity severity, const char *text)
{
    (void)context;
    if (severity == CONFIG_ERROR)
        fprintf(stderr, "postern: error: %s\n", text);
}

static int
run(const struct control *c, const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(c);
    fprintf(stderr, "postern: fatal: unknown command: %s\n", name);
    return usage();
}

int
main(int argc, char **argv)
{
    struct control c = { .directory = getenv("MAIL_CONFIG") };
    struct why why;
    int option, status;

    if (c.directory == NULL)
        c.directory = CONFIG_DIRECTORY;
    while ((option = getopt(argc, argv, "c:v")) != -1) {
        if (option == 'c')
            c.directory = optarg;
        else if (option != 'v')
            return usage();
    }
    if (optind + 1 != argc)
        return usage();
    if (config_load_main(c.directory, tell_error, NULL, &c.set, &why) !=
        RESULT_OK) {
        fprintf(stderr, "postern: fatal: %s\n", why.text);
        return EX_CONFIG;
    }
    c.config = config_main(c.set);
    status = run(&c, argv[optind]);
    config_drop(c.set);
    return status;
}

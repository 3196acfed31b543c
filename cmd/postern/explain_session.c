/*
 * postern explain session: which restriction would decide about a session, and
 * why. smtpd knows; it is run as a command, see smtpd/explain.h.
 */
#include "cmd/postern/control.h"
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/daemon/command.h"

#include <string.h>
#include <sysexits.h>
#include <unistd.h>

int
control_explain_session(int argc, char **argv, int at)
{
    const char *directory = config_default_directory();
    char **args = mem_alloc_array((size_t)argc + 4, sizeof(*args));
    char name[] = "smtpd", explain[] = "--explain", config[] = "--config";
    struct config_set *set;
    char *path;
    size_t n = 0;

    for (int i = 1; i + 1 < at; i++)
        if (strcmp(argv[i], "-c") == 0)
            directory = argv[i + 1];
    set = command_begin("postern", directory, EX_CONFIG);
    path = mem_format("%s/smtpd", config_main(set)->daemon_directory);
    args[n++] = name;
    args[n++] = explain;
    args[n++] = config;
    args[n++] = mem_text(directory);
    for (int i = at + 2; i < argc; i++)
        args[n++] = argv[i];
    (void)execv(path, args);
    command_fail(EX_OSERR, "cannot run %s", path);
}

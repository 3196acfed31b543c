#include "qmgr/offline.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/io/fiber.h"
#include "qmgr/console.h"
#include "qmgr/manager.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { COMMAND_FD = 3, END_MS = 30 * 1000 };

struct offline {
    struct config_set *set;
    int status;
};

/* What is written must be its owner's when the mail system starts again. */
static enum result
become_owner(const struct config *config, struct why *why)
{
    char *path = mem_format("%s/spool", config->queue_directory);
    enum result res = RESULT_OK;
    struct stat st;

    if (geteuid() != 0) {
        mem_free(path);
        return RESULT_OK;
    }
    if (stat(path, &st) < 0)
        res = why_errno(why, "%s", path);
    else if (setgroups(0, NULL) < 0 || setgid(st.st_gid) < 0 ||
        setuid(st.st_uid) < 0)
        res = why_errno(why, "become the owner of %s", path);
    mem_free(path);
    return res;
}

static void
run(void *arg)
{
    struct offline *o = arg;
    struct manager *m;
    struct why why;

    if (manager_open(o->set, &m, &why) != RESULT_OK) {
        log_fatal("%s", why.text);
        o->status = EX_TEMPFAIL;
    } else {
        qmgr_stop(manager_core(m));
        if (manager_start(m, &why) == RESULT_OK) {
            console_serve(COMMAND_FD, manager_core(m), CONSOLE_OFFLINE);
            o->status = EX_OK;
        }
        manager_drain(m, clock_now_ms() + END_MS);
        manager_close(m);
    }
    sched_stop();
}

int
offline_main(const char *config_directory)
{
    struct offline o = { .status = EX_OSERR };
    int flags = fcntl(COMMAND_FD, F_GETFL);
    struct why why;

    log_set_tag("qmgr");
    if (flags < 0 || fcntl(COMMAND_FD, F_SETFL, flags | O_NONBLOCK) < 0)
        return EX_USAGE;
    (void)fcntl(COMMAND_FD, F_SETFD, FD_CLOEXEC);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(077);
    if (config_load(config_directory, NULL, NULL, &o.set, &why) != RESULT_OK ||
        become_owner(config_main(o.set), &why) != RESULT_OK) {
        log_fatal("%s", why.text);
        return EX_CONFIG;
    }
    sched_open();
    if (fiber_spawn("offline", run, &o) == NULL)
        return EX_OSERR;
    sched_run();
    return o.status;
}

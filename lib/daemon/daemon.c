#include "lib/daemon/daemon.h"

#include "lib/base/log.h"
#include "lib/daemon/daemon_private.h"
#include "lib/io/fiber.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    MASTER_FD = 3,
    LOCK_FD = 4, /* see lib/daemon/lock.h; no program that we run has it */
};

static struct process process = { .private = -1 }; /* set up by daemon_init() */

/* The lifeline: without master there is nobody to stop or to replace us. */
static void
master_gone(struct link *l, void *context)
{
    (void)l;
    (void)context;
    log_flush();
    _exit(EX_OK);
}

static void
set_signals(void)
{
    /* Master ends us over the link; a group's SIGINT is for master alone. */
    static const int ignored[] = { SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGUSR1,
        SIGUSR2 };

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        (void)signal(ignored[i], SIG_IGN);
}

static void
set_limits(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)umask(077);
#ifndef POSTERN_TEST_HOOKS
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

static bool
is_socket(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

void
daemon_init(int argc, char **argv, const struct daemon_options *options)
{
    struct link_options master = {
        .self = options->role,
        .peer = ROLE_MASTER,
        .peer_name = "master",
        .handlers = orders_open(&process),
        .on_gone = master_gone,
    };
    int flags = fcntl(MASTER_FD, F_GETFL);

    if (argc != 1 || flags < 0 || !is_socket(MASTER_FD)) {
        fprintf(stderr, "%s: this program is run by postern's master only\n",
            argc > 0 ? argv[0] : role_name(options->role));
        exit(EX_USAGE);
    }
    log_set_tag(role_name(options->role));
    set_signals();
    set_limits();
    (void)fcntl(MASTER_FD, F_SETFL, flags | O_NONBLOCK);
    (void)fcntl(MASTER_FD, F_SETFD, FD_CLOEXEC);
    (void)fcntl(LOCK_FD, F_SETFD, FD_CLOEXEC);

    process.options = options;
    sched_open();
    peers_init(options);
    listeners_init(options);
    process.master = link_open(MASTER_FD, &master);
    if (process.master == NULL || !orders_begin())
        daemon_fail(EX_OSERR);
}

int
daemon_run(void)
{
    sched_run();
    log_flush();
    return EX_OK;
}

void
daemon_fail(int exit_status)
{
    log_flush();
    _exit(exit_status);
}

struct config_set *
daemon_config(void)
{
    return process.set;
}

bool
daemon_draining(void)
{
    return process.draining;
}

unsigned
daemon_index(void)
{
    return process.index;
}

unsigned
daemon_pool(void)
{
    return process.pool;
}

const struct control_secrets *
daemon_secrets(void)
{
    return process.has_secrets ? &process.secrets : NULL;
}

void
daemon_restart_peer(const struct peer *p)
{
    struct msg m;

    msg_init(&m, MESSAGE_RESTART);
    control_encode(&(struct control){ .role = p->role,
                       .index = p->index,
                       .process = p->process },
        &m);
    link_send(process.master, &m);
}

int
daemon_private(void)
{
    return process.private;
}

enum role
daemon_role(void)
{
    return process.options == NULL ? ROLE_COMMAND : process.options->role;
}

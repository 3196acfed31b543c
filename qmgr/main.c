/*
 * qmgr - the queue manager: owns the spool, accepts mail durably, schedules its
 * delivery, retries, expires. It touches neither network nor tables.
 */
#include "lib/daemon/daemon.h"
#include "qmgr/console.h"
#include "qmgr/links.h"
#include "qmgr/manager.h"
#include "qmgr/offline.h"

#include <string.h>
#include <sysexits.h>

/* The manager of this process: set once, when the first snapshot is there. */
static struct manager *manager;

static enum result
configure(struct config_set *set, struct why *why)
{
    if (manager == NULL)
        return manager_open(set, &manager, why);
    manager_configure(manager, set);
    return RESULT_OK;
}

static enum result
begin(struct why *why)
{
    if (daemon_secrets() != NULL)
        late_set_secrets(manager_core(manager), daemon_secrets());
    return manager_start(manager, why);
}

static void
serve(int fd, const struct sock_addr *client, const struct service *service,
    struct config_set *set, const char *public)
{
    (void)client;
    (void)service;
    (void)set;
    (void)public;
    console_serve(fd, manager_core(manager), CONSOLE_ONLINE);
}

/* Retries go by timers of their own, so a wakeup changes nothing. */
static void
wake(const struct service *service)
{
    (void)service;
}

static void
drain(int64_t deadline_ms)
{
    console_end();
    manager_drain(manager, deadline_ms);
    manager_close(manager);
}

int
main(int argc, char **argv)
{
    static const struct daemon_options options = {
        .role = ROLE_QMGR,
        .configure = configure,
        .handlers = links_handlers,
        .peer_up = links_peer_up,
        .peer_gone = links_peer_gone,
        .may = links_may,
        .agent_died = links_agent_died,
        .serve = serve,
        .begin = begin,
        .wake = wake,
        .drain = drain,
    };

    if (argc == 3 && strcmp(argv[1], "--offline") == 0)
        return offline_main(argv[2]);
    daemon_init(argc, argv, &options);
    return daemon_run();
}

#include "master/instance.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/control.h"
#include "lib/daemon/lock.h"
#include "lib/io/offload.h"
#include "master/complaints.h"
#include "master/directories.h"
#include "master/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    LEFTOVERS_MS = 10 * 1000, /* for children of a killed master to end */
    PORT_MS = 2000,           /* for their ports to be free */
    START_MS = 5 * 60 * 1000, /* a spool may be large, and have to be read */
    START_FAILURES_MAX = 2,   /* some process may fail that often */
    RELOAD_MS = 30 * 1000,

    /* What a stop gives each group; the last ones have next to nothing. */
    STOP_SESSIONS_MS = 5000,
    STOP_DELIVERIES_MS = 5000,
    STOP_QUEUE_MS = STOP_DELIVERIES_MS + 2000,
    STOP_AGENTS_AFTER_MS = 20,
    STOP_LOOKUP_MS = 1000,
    STOP_GRACE_MS = 500, /* from the deadline that a process knows to SIGKILL */

    AGENTS = ROLE_BIT(ROLE_SMTP) | ROLE_BIT(ROLE_LOCAL) | ROLE_BIT(ROLE_BOUNCE),
    EVERYBODY = ROLE_BIT(ROLE_COUNT) - 1,
};

static void
use_snapshot(struct instance *in, struct config_set *set,
    const struct snapshot *s)
{
    const struct snapshot old = { in->pools.snapshot, 0,
        in->pools.table_files };

    if (in->pools.set != NULL)
        snapshot_close(&old);
    in->pools.set = set;
    in->pools.snapshot = s->fd;
    in->pools.snapshot_length = s->length;
    in->pools.table_files = s->table_files;
}

static void
set_tag(const struct config *config)
{
    static char *tag;
    char *next = mem_format("%s/master", config->syslog_name);

    log_set_tag(next);
    mem_free(tag);
    tag = next;
}

static void
fill_pools(struct instance *in, int children_lock)
{
    in->pools.rights = &in->rights;
    in->pools.log = &in->log;
    in->pools.sockets = &in->sockets;
    in->pools.slots = in->slots;
    in->pools.slots_fd = in->slots_fd;
    in->pools.children_lock = children_lock;
    in->pools.foreground = in->foreground;
}

enum result
instance_open(struct instance *in, const char *config_directory,
    struct config_set *set, bool foreground, struct why *why)
{
    const struct config *config = config_main(set);
    struct list gone;
    enum result res;
    struct snapshot snapshot;
    int children;

    memset(in, 0, sizeof(*in));
    in->config_directory = config_directory;
    in->foreground = foreground;
    in->set = set;
    set_tag(config);
    res = rights_find(config, &in->rights, why);
    if (res == RESULT_OK)
        res = logfile_open(config, !foreground, &in->log, why);
    if (res == RESULT_OK)
        res = logfile_use(&in->log, config, why);
    if (res == RESULT_OK)
        res = directories_make(config, &in->rights, why);
    if (res != RESULT_OK)
        return res;
    if (chdir(config->queue_directory) < 0)
        return why_errno(why, "enter %s", config->queue_directory);
    res = lock_take(clock_now_ms() + LEFTOVERS_MS, &children, why);
    if (res != RESULT_OK)
        return res;
    in->slots = slots_create(&in->slots_fd);
    if (in->slots == NULL)
        return why_errno(why, "make the table of slots");
    sockets_init(&in->sockets, in->slots);
    list_init(&gone);
    res = sockets_update(&in->sockets, set, PORT_MS, &gone, why);
    if (res == RESULT_OK)
        res = snapshot_make(set, &snapshot, why);
    if (res != RESULT_OK)
        return res;
    pools_init(&in->pools);
    fill_pools(in, children);
    use_snapshot(in, set, &snapshot);
    wakeups_init(&in->wakeups, &in->pools);
    return RESULT_OK;
}

enum result
instance_start(struct instance *in, struct why *why)
{
    log_info("daemon started -- version %s, configuration %s",
        config_main(in->set)->mail_version, in->config_directory);
    pools_adjust(&in->pools);
    if (!pools_wait_ready(&in->pools, START_FAILURES_MAX,
            clock_now_ms() + START_MS))
        return why_perm(why, "5.3.0", "%s", in->pools.failure);
    wakeups_set(&in->wakeups, in->set);
    return RESULT_OK;
}

/* What a running instance cannot change. */
static enum result
check_unchanged(const struct instance *in, const struct config *next,
    const struct rights *rights, struct why *why)
{
    const struct config *now = config_main(in->set);

    if (strcmp(now->queue_directory, next->queue_directory) != 0)
        return why_perm(why, "5.3.5",
            "queue_directory has changed: stop and start instead of reload");
    if (rights->mail_owner.uid != in->rights.mail_owner.uid ||
        rights->queue_owner.uid != in->rights.queue_owner.uid)
        return why_perm(why, "5.3.5",
            "mail_owner or queue_owner has changed: stop and start instead "
            "of reload");
    return RESULT_OK;
}

static enum result
load(const char *directory, struct config_set **set, struct why *why)
{
    struct complaints found;
    enum result res;

    complaints_init(&found);
    res = config_load(directory, complaints_add, &found, set, why);
    complaints_log(&found);
    complaints_fini(&found);
    return res;
}

/* All that can fail comes before anything changes. */
static enum result
change_to(struct instance *in, struct config_set *set, struct list *gone,
    struct why *why)
{
    const struct config *config = config_main(set);
    struct logfile log = { .fd = -1 };
    struct rights rights;
    struct snapshot snapshot = { .fd = -1, .table_files = -1 };
    enum result res = rights_find(config, &rights, why);

    if (res == RESULT_OK)
        res = check_unchanged(in, config, &rights, why);
    if (res == RESULT_OK)
        res = logfile_open(config, !in->foreground, &log, why);
    if (res == RESULT_OK)
        res = snapshot_make(set, &snapshot, why);
    if (res == RESULT_OK)
        res = sockets_update(&in->sockets, set, 0, gone, why);
    if (res != RESULT_OK) {
        logfile_close(&log);
        snapshot_close(&snapshot);
        return res;
    }
    use_snapshot(in, set, &snapshot);
    logfile_close(&in->log);
    in->log = log;
    config_drop(in->set);
    in->set = set;
    return RESULT_OK;
}

/* The part of a reload that blocks and digs deep: files, users, host names. */
struct preparation {
    struct instance *in;
    struct list gone; /* sockets */
    enum result res;
    struct why *why;
};

static void
prepare(void *arg)
{
    struct preparation *p = arg;
    struct config_set *set;

    p->res = load(p->in->config_directory, &set, p->why);
    if (p->res != RESULT_OK)
        return;
    p->res = change_to(p->in, set, &p->gone, p->why);
    if (p->res != RESULT_OK)
        config_drop(set);
}

static enum result
reload(struct instance *in, struct why *why)
{
    struct preparation p = { .in = in, .why = why };
    const struct config *config;

    list_init(&p.gone);
    on_thread_stack(prepare, &p);
    if (p.res != RESULT_OK) {
        sockets_free(&p.gone);
        return p.res;
    }
    config = config_main(in->set);
    set_tag(config);
    p.res = logfile_use(&in->log, config, why);
    log_info("reload -- version %s, configuration %s", config->mail_version,
        in->config_directory);
    in->pools.failures = 0;
    in->pools.refused = false;
    pools_configure(&in->pools, &p.gone);
    sockets_free(&p.gone);
    pools_adjust(&in->pools);
    wakeups_set(&in->wakeups, in->set);
    if (!pools_wait_configured(&in->pools, clock_now_ms() + RELOAD_MS))
        return why_temp(why, "4.3.0",
            "not all processes have taken the configuration in time");
    if (in->pools.failures > 0)
        return why_perm(why, "5.3.5", "%s", in->pools.failure);
    return p.res;
}

enum result
instance_reload(struct instance *in, struct why *why)
{
    enum result res;

    if (in->pools.stopping)
        return why_temp(why, "4.3.2", "stopping");
    if (in->reloading)
        return why_temp(why, "4.3.2", "a reload is under way");
    in->reloading = true;
    res = reload(in, why);
    in->reloading = false;
    return res;
}

enum result
instance_reopen_log(struct instance *in, struct why *why)
{
    const struct config *config = config_main(in->set);
    struct logfile log;
    enum result res = logfile_open(config, !in->foreground, &log, why);

    if (res != RESULT_OK)
        return res;
    logfile_close(&in->log);
    in->log = log;
    pools_reopen_log(&in->pools);
    return logfile_use(&in->log, config, why);
}

static void
drain(struct instance *in, unsigned roles, int ms)
{
    pools_drain(&in->pools, roles, (uint32_t)ms);
}

static void
wait_end(struct instance *in, unsigned roles, int ms)
{
    pools_wait_end(&in->pools, roles, clock_now_ms() + ms + STOP_GRACE_MS);
}

/*
 * First those who take mail in. Then qmgr hands out no more work and waits for
 * the agents' answers, so it is told a little before they are. lookup serves
 * all of them to the end.
 */
void
instance_stop(struct instance *in)
{
    in->pools.stopping = true;
    wakeups_clear(&in->wakeups);
    sockets_free(&in->sockets.all);
    drain(in, ROLE_BIT(ROLE_SMTPD), STOP_SESSIONS_MS);
    wait_end(in, ROLE_BIT(ROLE_SMTPD), STOP_SESSIONS_MS);
    drain(in, ROLE_BIT(ROLE_QMGR), STOP_QUEUE_MS);
    (void)fiber_sleep_until(clock_now_ms() + STOP_AGENTS_AFTER_MS);
    drain(in, AGENTS, STOP_DELIVERIES_MS);
    wait_end(in, ROLE_BIT(ROLE_QMGR), STOP_QUEUE_MS);
    wait_end(in, AGENTS, 0);
    drain(in, ROLE_BIT(ROLE_LOOKUP) | ROLE_BIT(ROLE_SPAWN), STOP_LOOKUP_MS);
    wait_end(in, EVERYBODY, STOP_LOOKUP_MS);
}

void
instance_abort(struct instance *in)
{
    in->pools.stopping = true;
    wakeups_clear(&in->wakeups);
    sockets_free(&in->sockets.all);
    pools_kill(&in->pools, EVERYBODY);
    pools_wait_end(&in->pools, EVERYBODY, CLOCK_NEVER);
}

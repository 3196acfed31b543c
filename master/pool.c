#include "master/pool.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "lib/base/tlv.h"
#include "lib/daemon/control.h"
#include "lib/daemon/install.h"
#include "lib/io/sock.h"
#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    QUICK_DEATH_MS = 1500,
    BACKOFF_MS = 100,
    BACKOFF_MAX_MS = 5000, /* for one that does not get as far as serving */
    BACKOFF_SERVED_MAX_MS = 800, /* somebody kills it: serve within 2 s */
    SHRINK_MS = 10 * 60 * 1000,  /* for sessions of a process too many */
};

/* Who is linked with whom. */
static const enum role linked[][2] = {
    { ROLE_SMTPD, ROLE_QMGR },
    { ROLE_SMTPD, ROLE_LOOKUP },
    { ROLE_QMGR, ROLE_SMTP },
    { ROLE_QMGR, ROLE_LOCAL },
    { ROLE_QMGR, ROLE_BOUNCE },
    { ROLE_QMGR, ROLE_LOOKUP },
    { ROLE_SMTP, ROLE_LOOKUP },
    { ROLE_LOCAL, ROLE_LOOKUP },
    { ROLE_BOUNCE, ROLE_LOOKUP },
};

static bool
are_linked(enum role a, enum role b)
{
    for (size_t i = 0; i < sizeof(linked) / sizeof(linked[0]); i++)
        if ((linked[i][0] == a && linked[i][1] == b) ||
            (linked[i][0] == b && linked[i][1] == a))
            return true;
    return false;
}

void
pools_init(struct pools *p)
{
    memset(p, 0, sizeof(*p));
    list_init(&p->processes);
    fiber_cond_init(&p->changed);
}

static struct process *
process_of(struct list *node)
{
    return LIST_ENTRY(node, struct process, node);
}

void
pools_note_failure(struct pools *p, const struct process *c, const char *text)
{
    p->failures++;
    snprintf(p->failure, sizeof(p->failure), "%s: %s", role_name(c->role),
        text);
    fiber_cond_broadcast(&p->changed);
}

static bool
in_roles(const struct process *c, unsigned roles)
{
    return (roles & ROLE_BIT(c->role)) != 0;
}

/* Introduction. */

static bool
meets(const struct process *a, const struct process *b)
{
    return a != b && are_linked(a->role, b->role) &&
        a->state != PROCESS_LEAVING && b->state != PROCESS_LEAVING;
}

static unsigned
count_peers(struct pools *p, const struct process *c)
{
    unsigned n = 0;

    list_foreach (it, &p->processes)
        if (meets(c, process_of(it)))
            n++;
    return n;
}

static void
introduce(struct pools *p, struct process *c)
{
    list_foreach (it, &p->processes) {
        struct process *other = process_of(it);

        /* A pair of new ones is linked when the second's turn comes. */
        if (meets(c, other) && other->state != PROCESS_NEW)
            process_link(c, other);
    }
    list_foreach (it, &p->sockets->all) {
        struct sock_entry *e = LIST_ENTRY(it, struct sock_entry, node);

        if (e->role == c->role)
            process_listen(c, e);
    }
    c->state = PROCESS_CONFIGURING;
}

/*
 * All new ones get their configuration before any of them hears of another: a
 * daemon begins when it has heard of all.
 */
static void
introduce_new(struct pools *p)
{
    list_foreach (it, &p->processes)
        if (process_of(it)->state == PROCESS_NEW)
            process_configure(process_of(it), count_peers(p, process_of(it)));
    list_foreach (it, &p->processes)
        if (process_of(it)->state == PROCESS_NEW)
            introduce(p, process_of(it));
}

/* Birth and death. */

static void
plan_restart(struct place *at)
{
    int64_t most = at->served ? BACKOFF_SERVED_MAX_MS : BACKOFF_MAX_MS;
    int64_t wait = 0;

    if (at->quick_deaths > 1) {
        unsigned doublings = at->quick_deaths - 2;

        wait = doublings > 5 ? most : BACKOFF_MS << doublings;
        if (wait > most)
            wait = most;
    }
    fiber_timer_arm(&at->restart, clock_now_ms() + wait);
}

static void
start_in_place(struct place *at)
{
    at->process = process_start(at->pools, at->role, at->index);
    if (at->process == NULL) {
        at->quick_deaths++;
        at->served = false;
        plan_restart(at);
    }
}

static void
restart(void *arg)
{
    struct place *at = arg;

    if (at->pools->stopping || at->process != NULL ||
        at->index >= at->pools->by_role[at->role].wanted)
        return;
    start_in_place(at);
    introduce_new(at->pools);
}

/* How a process ended that should not have. */
static void
log_death(struct process *c, int status)
{
    char text[100];

    if (WIFSIGNALED(status))
        snprintf(text, sizeof(text), "killed by signal %d", WTERMSIG(status));
    else
        snprintf(text, sizeof(text), "exit status %d", WEXITSTATUS(status));
    log_warning("process %s pid %ld %s", c->path, (long)c->pid, text);
    if (c->state != PROCESS_READY)
        pools_note_failure(c->pools, c, text);
}

/* It judges by that whether a message may have killed an agent. */
static void
tell_qmgr(struct pools *p, const struct process *c, int status)
{
    const struct pool *qmgrs = &p->by_role[ROLE_QMGR];

    if ((c->role == ROLE_SMTP || c->role == ROLE_LOCAL) && qmgrs->wanted > 0 &&
        qmgrs->places[0].process != NULL)
        process_tell_death(qmgrs->places[0].process, c, status);
}

static void
process_ended(struct process *c, int status)
{
    struct pools *p = c->pools;
    struct place *at = &p->by_role[c->role].places[c->index];
    bool served = c->state == PROCESS_READY || c->state == PROCESS_LEAVING;
    bool quick = clock_now_ms() - c->started_ms < QUICK_DEATH_MS || !served;

    tell_qmgr(p, c, status);
    if (!c->refused && !c->replaced &&
        (c->state != PROCESS_LEAVING || (WIFSIGNALED(status) && !p->stopping)))
        log_death(c, status);
    if (at->process == c) {
        at->process = NULL;
        at->quick_deaths = quick ? at->quick_deaths + 1 : 0;
        at->served = served;
        if (!p->stopping && at->index < p->by_role[c->role].wanted) {
            if (at->quick_deaths > 1 && !served)
                log_warning("%s: bad command startup -- throttling", c->path);
            plan_restart(at);
        }
    }
    process_free(c);
    fiber_cond_broadcast(&p->changed);
}

void
pools_reap(struct pools *p)
{
    int status;
    pid_t pid;

    /* As process 1 we also bury those whom we do not know. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        list_foreach_safe (it, &p->processes)
            if (process_of(it)->pid == pid)
                process_ended(process_of(it), status);
}

/* Numbers. */

static unsigned
cores(void)
{
    unsigned n = thread_cores();

    return n > CONTROL_POOL_MAX ? CONTROL_POOL_MAX : n;
}

/* Root's rights are for those who have asked for them. */
static bool
has_spawn(const struct config_set *set)
{
    for (size_t i = 0; i < config_service_count(set); i++)
        if (strcmp(config_service(set, i)->program, "spawn") == 0)
            return true;
    return false;
}

unsigned
pools_wanted(const struct pools *p, enum role role)
{
    const struct config *config = config_main(p->set);
    int64_t n = role == ROLE_SMTPD ? config->smtpd_processes
        : role == ROLE_SMTP        ? config->smtp_processes
        : role == ROLE_LOCAL       ? config->local_processes
                                   : 1;

    if (role == ROLE_SPAWN)
        return has_spawn(p->set) ? 1 : 0;
    if (n <= 0)
        return cores();
    return n > CONTROL_POOL_MAX ? CONTROL_POOL_MAX : (unsigned)n;
}

static struct place *
places_of(struct pools *p, enum role role)
{
    struct pool *pool = &p->by_role[role];

    if (pool->places == NULL) {
        pool->places = mem_alloc_array(CONTROL_POOL_MAX, sizeof(*pool->places));
        for (unsigned i = 0; i < CONTROL_POOL_MAX; i++)
            pool->places[i] = (struct place){
                .pools = p,
                .role = role,
                .index = i,
                .restart = { .fn = restart, .arg = &pool->places[i] },
            };
    }
    return pool->places;
}

static void
adjust(struct pools *p, enum role role)
{
    struct pool *pool = &p->by_role[role];
    struct place *places = places_of(p, role);
    unsigned before = pool->wanted;

    pool->wanted = pools_wanted(p, role);
    for (unsigned i = 0; i < pool->wanted; i++)
        if (places[i].process == NULL && places[i].restart.slot == 0)
            start_in_place(&places[i]);
    for (unsigned i = pool->wanted; i < before; i++) {
        fiber_timer_disarm(&places[i].restart);
        if (places[i].process != NULL)
            process_leave(places[i].process, SHRINK_MS);
        places[i].process = NULL; /* it may come back while this one drains */
    }
}

void
pools_adjust(struct pools *p)
{
    static const enum role roles[] = { ROLE_LOOKUP, ROLE_QMGR, ROLE_BOUNCE,
        ROLE_SMTP, ROLE_LOCAL, ROLE_SPAWN, ROLE_SMTPD };

    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        adjust(p, roles[i]);
    introduce_new(p);
    list_foreach (at, &p->sockets->all)
        LIST_ENTRY(at, struct sock_entry, node)->announced = true;
}

/* For all. */

void
pools_configure(struct pools *p, struct list *gone)
{
    list_foreach (it, &p->processes) {
        struct process *c = process_of(it);

        if (c->state == PROCESS_LEAVING)
            continue;
        process_configure(c, 0);
        list_foreach (at, gone)
            if (LIST_ENTRY(at, struct sock_entry, node)->role == c->role)
                process_unlisten(c, LIST_ENTRY(at, struct sock_entry, node));
        list_foreach (at, &p->sockets->all) {
            struct sock_entry *e = LIST_ENTRY(at, struct sock_entry, node);

            if (e->role == c->role && !e->announced)
                process_listen(c, e);
        }
    }
    list_foreach (at, &p->sockets->all)
        LIST_ENTRY(at, struct sock_entry, node)->announced = true;
}

void
pools_reopen_log(struct pools *p)
{
    list_foreach (it, &p->processes)
        process_reopen_log(process_of(it));
}

static bool
all_ready(struct pools *p)
{
    for (unsigned role = 0; role < ROLE_COUNT; role++)
        for (unsigned i = 0; i < p->by_role[role].wanted; i++) {
            const struct process *c = p->by_role[role].places[i].process;

            if (c == NULL || c->state != PROCESS_READY)
                return false;
        }
    return true;
}

bool
pools_wait_ready(struct pools *p, unsigned failures_max, int64_t deadline)
{
    while (!all_ready(p)) {
        if (p->failures > failures_max || p->refused || p->stopping)
            return false;
        if (fiber_cond_wait(&p->changed, deadline) == WAIT_TIMEOUT) {
            snprintf(p->failure, sizeof(p->failure),
                "not all processes are ready in time");
            return false;
        }
    }
    return true;
}

static bool
any_awaited(struct pools *p)
{
    list_foreach (it, &p->processes)
        if (process_of(it)->awaited)
            return true;
    return false;
}

bool
pools_wait_configured(struct pools *p, int64_t deadline)
{
    while (any_awaited(p))
        if (fiber_cond_wait(&p->changed, deadline) != WAIT_OK)
            return false;
    return true;
}

void
pools_wake(struct pools *p, enum role role, const struct service *service)
{
    struct process *c = p->by_role[role].wanted == 0
        ? NULL
        : p->by_role[role].places[0].process;

    if (c != NULL && c->state == PROCESS_READY)
        process_wake(c, service);
}

void
pools_drain(struct pools *p, unsigned roles, uint32_t ms)
{
    list_foreach (it, &p->processes)
        if (in_roles(process_of(it), roles))
            process_leave(process_of(it), ms);
}

void
pools_kill(struct pools *p, unsigned roles)
{
    list_foreach (it, &p->processes) {
        struct process *c = process_of(it);

        if (!in_roles(c, roles))
            continue;
        c->state = PROCESS_LEAVING; /* no surprise */
        process_kill(c);
    }
}

static bool
any_left(struct pools *p, unsigned roles)
{
    list_foreach (it, &p->processes)
        if (in_roles(process_of(it), roles))
            return true;
    return false;
}

static void
log_late(struct pools *p, unsigned roles)
{
    list_foreach (it, &p->processes) {
        const struct process *c = process_of(it);

        if (in_roles(c, roles))
            log_warning("process %s pid %ld does not end: killed", c->path,
                (long)c->pid);
    }
}

void
pools_wait_end(struct pools *p, unsigned roles, int64_t deadline)
{
    while (any_left(p, roles))
        if (fiber_cond_wait(&p->changed, deadline) == WAIT_TIMEOUT) {
            log_late(p, roles);
            pools_kill(p, roles);
            deadline = CLOCK_NEVER; /* a killed one ends */
        }
}

unsigned
pools_count(const struct pools *p)
{
    unsigned n = 0;

    list_foreach (it, &p->processes)
        n++;
    return n;
}

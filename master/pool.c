#include "master/pool.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
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
    CONFIGURE_MS = 60 * 1000, /* a child that does not answer is killed */
    LEAVE_MS = 5000, /* likewise one that has drained and does not end */
    QUICK_DEATH_MS = 1500,
    BACKOFF_MS = 100,
    BACKOFF_MAX_MS = 5000,
    SHRINK_MS = 10 * 60 * 1000, /* for sessions of a process too many */
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

static bool
in_roles(const struct process *c, unsigned roles)
{
    return (roles & ROLE_BIT(c->role)) != 0;
}

static void
note_failure(struct pools *p, const struct process *c, const char *text)
{
    p->failures++;
    snprintf(p->failure, sizeof(p->failure), "%s: %s", role_name(c->role),
        text);
    fiber_cond_broadcast(&p->changed);
}

static void
kill_process(struct process *c)
{
    (void)kill(c->pid, SIGKILL);
}

/* Columns of the table of slots: one for each process that lives. */

static bool
take_column(struct pools *p, unsigned *column)
{
    for (unsigned i = 0; i < SLOTS_COLUMNS; i++)
        if (!p->columns[i]) {
            p->columns[i] = true;
            slots_clear_column(p->slots, i);
            *column = i;
            return true;
        }
    return false;
}

static void
give_column(struct process *c)
{
    if (!c->has_column)
        return;
    slots_clear_column(c->pools->slots, c->column);
    c->pools->columns[c->column] = false;
    c->has_column = false;
}

/* Messages. */

static void
take_ready(struct request *r)
{
    struct process *c = r->context;

    if (c->state == PROCESS_BEGINNING || c->state == PROCESS_CONFIGURING)
        c->state = PROCESS_READY;
    fiber_cond_broadcast(&c->pools->changed);
    request_drop(r);
}

static const struct link_handler handlers[] = {
    { MESSAGE_READY, take_ready, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

/*
 * Whoever closed it or broke a rule: without a link a child is of no use. One
 * that leaves has a moment for its own last steps.
 */
static void
link_gone(struct link *l, void *context)
{
    struct process *c = context;

    (void)l;
    c->link = NULL;
    if (c->state == PROCESS_LEAVING)
        fiber_timer_arm(&c->late, clock_now_ms() + LEAVE_MS);
    else
        kill_process(c);
}

static void
process_late(void *arg)
{
    struct process *c = arg;

    log_warning("process %s pid %ld does not %s", c->path, (long)c->pid,
        c->state == PROCESS_LEAVING ? "end" : "take its configuration");
    kill_process(c);
}

static enum result
configured_result(const struct msg_in *answer, struct why *why)
{
    struct slice rest = answer->body, text = { NULL, 0 };
    uint64_t result = RESULT_PERMFAIL;
    struct tlv t;

    while (tlv_next(&rest, &t)) {
        if (t.tag == ATTR_RESULT && !tlv_u64(t.value, RESULT_PERMFAIL, &result))
            result = RESULT_PERMFAIL;
        else if (t.tag == ATTR_TEXT)
            text = t.value;
    }
    return result == RESULT_OK
        ? RESULT_OK
        : why_perm(why, "5.3.5", SLICE_FMT, SLICE_ARG(text));
}

static void
configured(struct msg_in *answer, void *context)
{
    struct process *c = context;
    struct why why;

    c->awaited = false;
    fiber_timer_disarm(&c->late);
    if (answer == NULL)
        return; /* its death is dealt with elsewhere */
    if (configured_result(answer, &why) != RESULT_OK) {
        log_fatal("%s: %s", c->path, why.text);
        note_failure(c->pools, c, why.text);
        /* One that never worked is tried again later, by a new process. */
        if (c->state == PROCESS_CONFIGURING)
            kill_process(c);
    } else if (c->state == PROCESS_CONFIGURING) {
        c->state = PROCESS_BEGINNING;
    }
    msg_in_free(answer);
    fiber_cond_broadcast(&c->pools->changed);
}

/* The end of a drained process is told by its death. */
static void
forget(struct msg_in *answer, void *context)
{
    (void)context;
    msg_in_free(answer);
}

static void
put_dup(struct msg *m, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (copy < 0) {
        log_fatal("out of descriptors");
        log_flush();
        abort();
    }
    msg_put_fd(m, copy);
}

static void
send_configure(struct process *c, unsigned expected)
{
    struct pools *p = c->pools;
    struct control_configure configure = {
        .length = p->snapshot_length,
        .index = c->index,
        .pool = p->by_role[c->role].wanted,
        .expected = expected,
        .column = c->column,
        .log = p->log->kind,
        .has_log = p->log->fd >= 0,
        .has_slots = c->state == PROCESS_NEW && c->has_column,
    };
    struct msg m;

    if (c->link == NULL)
        return;
    msg_init(&m, MESSAGE_CONFIGURE);
    control_configure_encode(&configure, &m);
    put_dup(&m, p->snapshot);
    if (configure.has_log)
        put_dup(&m, p->log->fd);
    if (configure.has_slots)
        put_dup(&m, p->slots_fd);
    c->awaited = true;
    fiber_timer_arm(&c->late, clock_now_ms() + CONFIGURE_MS);
    link_ask(c->link, &m, configured, c);
}

/* fd is owned; -1: none. */
static void
send_control(struct process *c, enum message type, const struct control *what,
    int fd)
{
    struct msg m;

    msg_init(&m, type);
    control_encode(what, &m);
    if (fd >= 0)
        msg_put_fd(&m, fd);
    if (c->link != NULL)
        link_send(c->link, &m);
    else
        msg_fini(&m);
}

static void
send_listen(struct process *c, const struct sock_entry *e)
{
    struct control what = {
        .name = slice_of(e->name),
        .service = slice_of(e->service),
        .row = e->row,
    };
    int fd = fcntl(e->fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        log_error("out of descriptors for %s", e->name);
    else
        send_control(c, MESSAGE_LISTEN, &what, fd);
}

static void
send_unlisten(struct process *c, const struct sock_entry *e)
{
    struct control what = { .name = slice_of(e->name) };

    send_control(c, MESSAGE_UNLISTEN, &what, -1);
}

static void
link_both(struct process *a, struct process *b)
{
    int fds[2];

    if (sock_pair(fds) < 0) {
        log_error("out of descriptors for a link of %s and %s",
            role_name(a->role), role_name(b->role));
        kill_process(a);
        return;
    }
    send_control(a, MESSAGE_LINK,
        &(struct control){ .role = b->role, .index = b->index }, fds[0]);
    send_control(b, MESSAGE_LINK,
        &(struct control){ .role = a->role, .index = a->index }, fds[1]);
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
            link_both(c, other);
    }
    list_foreach (it, &p->sockets->all) {
        struct sock_entry *e = LIST_ENTRY(it, struct sock_entry, node);

        if (e->role == c->role)
            send_listen(c, e);
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
            send_configure(process_of(it), count_peers(p, process_of(it)));
    list_foreach (it, &p->processes)
        if (process_of(it)->state == PROCESS_NEW)
            introduce(p, process_of(it));
}

/* Birth and death. */

static void
open_link(struct process *c, int fd)
{
    char name[40];
    struct link_options options = {
        .self = ROLE_MASTER,
        .peer = c->role,
        .peer_name = name,
        .handlers = handlers,
        .context = c,
        .on_gone = link_gone,
    };

    snprintf(name, sizeof(name), "%s %u", role_name(c->role), c->index);
    c->link = link_open(fd, &options);
}

static bool
listens(enum role role)
{
    return role == ROLE_SMTPD || role == ROLE_QMGR;
}

/* NULL: it did not come into being. */
static struct process *
process_start(struct pools *p, enum role role, unsigned index)
{
    struct process *c = mem_alloc(sizeof(*c));
    int fds[2] = { -1, -1 };

    c->role = role;
    c->index = index;
    c->pools = p;
    c->path = install_daemon(config_main(p->set), role_name(role));
    c->started_ms = clock_now_ms();
    c->late.fn = process_late;
    c->late.arg = c;
    if (sock_pair(fds) == 0) {
        struct spawn s = {
            .path = c->path,
            .link = fds[1],
            .children = p->children_lock,
            .foreground = p->foreground,
            .rights = p->rights,
            .who = rights_of_role(p->rights, role),
        };

        c->pid = spawn(&s);
        close(fds[1]);
        if (c->pid > 0)
            open_link(c, fds[0]);
        else
            close(fds[0]);
    }
    if (c->pid <= 0) {
        log_error("cannot start %s: %s", c->path, strerror(errno));
        mem_free(c->path);
        mem_free(c);
        return NULL;
    }
    if (listens(role))
        c->has_column = take_column(p, &c->column);
    list_append(&p->processes, &c->node);
    if (c->link == NULL)
        kill_process(c);
    return c;
}

static void
plan_restart(struct place *at)
{
    int64_t wait = 0;

    if (at->quick_deaths > 1) {
        unsigned doublings = at->quick_deaths - 2;

        wait = doublings > 5 ? BACKOFF_MAX_MS : BACKOFF_MS << doublings;
        if (wait > BACKOFF_MAX_MS)
            wait = BACKOFF_MAX_MS;
    }
    fiber_timer_arm(&at->restart, clock_now_ms() + wait);
}

static void
start_in_place(struct place *at)
{
    at->process = process_start(at->pools, at->role, at->index);
    if (at->process == NULL) {
        at->quick_deaths++;
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
        note_failure(c->pools, c, text);
}

static void
process_ended(struct process *c, int status)
{
    struct pools *p = c->pools;
    struct place *at = &p->by_role[c->role].places[c->index];
    bool quick = clock_now_ms() - c->started_ms < QUICK_DEATH_MS ||
        (c->state != PROCESS_READY && c->state != PROCESS_LEAVING);

    fiber_timer_disarm(&c->late);
    give_column(c);
    list_remove(&c->node);
    if (c->state != PROCESS_LEAVING || (WIFSIGNALED(status) && !p->stopping))
        log_death(c, status);
    link_close(c->link);
    if (at->process == c) {
        at->process = NULL;
        at->quick_deaths = quick ? at->quick_deaths + 1 : 0;
        if (!p->stopping && at->index < p->by_role[c->role].wanted) {
            if (at->quick_deaths > 1)
                log_warning("%s: bad command startup -- throttling", c->path);
            plan_restart(at);
        }
    }
    mem_free(c->path);
    mem_free(c);
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
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > CONTROL_POOL_MAX ? CONTROL_POOL_MAX : (unsigned)n;
}

static unsigned
wanted_of(const struct config *config, enum role role)
{
    int64_t n = role == ROLE_SMTPD ? config->smtpd_processes
        : role == ROLE_SMTP        ? config->smtp_processes
        : role == ROLE_LOCAL       ? config->local_processes
                                   : 1;

    return n <= 0              ? cores()
        : n > CONTROL_POOL_MAX ? CONTROL_POOL_MAX
                               : (unsigned)n;
}

static void
leave(struct process *c, uint32_t ms)
{
    struct msg m;

    if (c->state == PROCESS_LEAVING)
        return;
    c->state = PROCESS_LEAVING;
    if (c->link == NULL)
        return;
    msg_init(&m, MESSAGE_DRAIN);
    control_encode(&(struct control){ .ms = ms }, &m);
    link_ask(c->link, &m, forget, NULL);
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

    pool->wanted = wanted_of(config_main(p->set), role);
    for (unsigned i = 0; i < pool->wanted; i++)
        if (places[i].process == NULL && places[i].restart.slot == 0)
            start_in_place(&places[i]);
    for (unsigned i = pool->wanted; i < before; i++) {
        fiber_timer_disarm(&places[i].restart);
        if (places[i].process != NULL)
            leave(places[i].process, SHRINK_MS);
        places[i].process = NULL; /* it may come back while this one drains */
    }
}

void
pools_adjust(struct pools *p)
{
    static const enum role roles[] = { ROLE_LOOKUP, ROLE_QMGR, ROLE_BOUNCE,
        ROLE_SMTP, ROLE_LOCAL, ROLE_SMTPD };

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
        send_configure(c, 0);
        list_foreach (at, gone)
            if (LIST_ENTRY(at, struct sock_entry, node)->role == c->role)
                send_unlisten(c, LIST_ENTRY(at, struct sock_entry, node));
        list_foreach (at, &p->sockets->all) {
            struct sock_entry *e = LIST_ENTRY(at, struct sock_entry, node);

            if (e->role == c->role && !e->announced)
                send_listen(c, e);
        }
    }
    list_foreach (at, &p->sockets->all)
        LIST_ENTRY(at, struct sock_entry, node)->announced = true;
}

void
pools_reopen_log(struct pools *p)
{
    list_foreach (it, &p->processes) {
        struct process *c = process_of(it);
        struct msg m;

        if (c->link == NULL)
            continue;
        msg_init(&m, MESSAGE_REOPEN_LOG);
        if (p->log->fd >= 0)
            put_dup(&m, p->log->fd);
        link_send(c->link, &m);
    }
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
        if (p->failures > failures_max || p->stopping)
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
    char *name;

    if (c == NULL || c->state != PROCESS_READY)
        return;
    name = mem_format("%s/%s", service->name, service->type);
    send_control(c, MESSAGE_WAKE,
        &(struct control){ .service = slice_of(name) }, -1);
    mem_free(name);
}

void
pools_drain(struct pools *p, unsigned roles, uint32_t ms)
{
    list_foreach (it, &p->processes)
        if (in_roles(process_of(it), roles))
            leave(process_of(it), ms);
}

void
pools_kill(struct pools *p, unsigned roles)
{
    list_foreach (it, &p->processes)
        if (in_roles(process_of(it), roles))
            kill_process(process_of(it));
}

static bool
any_left(struct pools *p, unsigned roles)
{
    list_foreach (it, &p->processes)
        if (in_roles(process_of(it), roles))
            return true;
    return false;
}

void
pools_wait_end(struct pools *p, unsigned roles, int64_t deadline)
{
    while (any_left(p, roles))
        if (fiber_cond_wait(&p->changed, deadline) == WAIT_TIMEOUT) {
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

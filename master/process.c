#include "master/process.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "lib/base/tlv.h"
#include "lib/daemon/control.h"
#include "lib/daemon/install.h"
#include "lib/io/sock.h"
#include "master/pool.h"
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
    LEAVE_MS = 5000,  /* likewise one that has drained and does not end */
    USELESS_MS = 200, /* and one of no use: it may be about to end by itself */
};

void
process_kill(struct process *c)
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
    if (c->role == ROLE_QMGR)
        c->pools->secret_served = c->secrets;
    fiber_cond_broadcast(&c->pools->changed);
    request_drop(r);
}

static struct process *
find_process(struct pools *p, const struct control *what)
{
    list_foreach (it, &p->processes) {
        struct process *c = LIST_ENTRY(it, struct process, node);

        if (c->number == what->process && c->role == what->role)
            return c;
    }
    return NULL;
}

/*
 * The link of qmgr and that process has ended: it broke a rule or was silent
 * for too long, or it is dying, which we shall know in a moment.
 */
static void
take_restart(struct request *r)
{
    struct process *qmgr = r->context, *c = NULL;
    struct control what;

    if (control_decode(r->in, &what))
        c = find_process(qmgr->pools, &what);
    if (c != NULL && c != qmgr && c->state != PROCESS_LEAVING &&
        c->useless.slot == 0)
        fiber_timer_arm(&c->useless, clock_now_ms() + USELESS_MS);
    request_drop(r);
}

static void
process_useless(void *arg)
{
    struct process *c = arg;

    if (c->state == PROCESS_LEAVING)
        return;
    log_warning("process %s pid %ld has lost its link to qmgr: replaced",
        c->path, (long)c->pid);
    c->replaced = true;
    process_kill(c);
}

static const struct link_handler handlers[] = {
    { MESSAGE_READY, take_ready, SERVE_INLINE },
    { MESSAGE_RESTART, take_restart, SERVE_INLINE },
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
        process_kill(c);
}

static void
process_late(void *arg)
{
    struct process *c = arg;

    log_warning("process %s pid %ld does not %s", c->path, (long)c->pid,
        c->state == PROCESS_LEAVING ? "end" : "take its configuration");
    process_kill(c);
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
        pools_note_failure(c->pools, c, why.text);
        /* One that never worked is tried again later, by a new process. */
        c->pools->refused = true;
        c->refused = c->state == PROCESS_CONFIGURING;
        if (c->refused)
            process_kill(c);
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

void
process_configure(struct process *c, unsigned expected)
{
    struct pools *p = c->pools;
    struct control_configure configure = {
        .length = p->snapshot_length,
        .index = c->index,
        .pool = pools_wanted(p, c->role),
        .expected = expected,
        .column = c->column,
        .log = p->log->kind,
        .has_log = p->log->fd >= 0,
        .has_slots = c->state == PROCESS_NEW && c->has_column,
        .has_secrets = c->role == ROLE_QMGR,
        .secrets = c->secrets,
        .has_private = c->role == ROLE_LOOKUP && p->table_files >= 0,
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
    if (configure.has_private)
        put_dup(&m, p->table_files);
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

void
process_listen(struct process *c, const struct sock_entry *e)
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

void
process_unlisten(struct process *c, const struct sock_entry *e)
{
    struct control what = { .name = slice_of(e->name) };

    send_control(c, MESSAGE_UNLISTEN, &what, -1);
}

static void
send_link(struct process *to, const struct process *peer, bool elder, int fd)
{
    send_control(to, MESSAGE_LINK,
        &(struct control){ .role = peer->role,
            .index = peer->index,
            .process = peer->number,
            .elder = elder },
        fd);
}

void
process_link(struct process *c, struct process *elder)
{
    int fds[2];

    if (sock_pair(fds) < 0) {
        log_error("out of descriptors for a link of %s and %s",
            role_name(c->role), role_name(elder->role));
        process_kill(c);
        return;
    }
    send_link(c, elder, true, fds[0]);
    send_link(elder, c, false, fds[1]);
}

void
process_tell_death(struct process *qmgr, const struct process *c, int status)
{
    struct control what = {
        .role = c->role,
        .index = c->index,
        .process = c->number,
    };

    if (c->replaced) {
        what.end = PROCESS_REPLACED;
    } else if (WIFSIGNALED(status)) {
        what.end = PROCESS_SIGNALED;
        what.code = (uint32_t)WTERMSIG(status);
    } else {
        what.code = (uint32_t)WEXITSTATUS(status);
    }
    send_control(qmgr, MESSAGE_DIED, &what, -1);
}

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
    return role == ROLE_SMTPD || role == ROLE_QMGR || role == ROLE_SPAWN ||
        role == ROLE_LOOKUP;
}

static void
make_secrets(struct process *c)
{
    memcpy(c->secrets.former, c->pools->secret_served.own,
        sizeof(c->secrets.former));
    for (size_t i = 0; i < sizeof(c->secrets.own); i += sizeof(uint64_t)) {
        uint64_t octets = random_u64();

        memcpy(c->secrets.own + i, &octets, sizeof(octets));
    }
}

struct process *
process_start(struct pools *p, enum role role, unsigned index)
{
    struct process *c = mem_alloc(sizeof(*c));
    int fds[2] = { -1, -1 };

    c->role = role;
    c->index = index;
    c->number = ++p->started;
    c->pools = p;
    if (role == ROLE_QMGR)
        make_secrets(c);
    c->path = install_daemon(config_main(p->set), role_name(role));
    c->started_ms = clock_now_ms();
    c->late.fn = process_late;
    c->late.arg = c;
    c->useless.fn = process_useless;
    c->useless.arg = c;
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
        process_kill(c);
    return c;
}

void
process_leave(struct process *c, uint32_t ms)
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

void
process_free(struct process *c)
{
    fiber_timer_disarm(&c->late);
    fiber_timer_disarm(&c->useless);
    give_column(c);
    list_remove(&c->node);
    link_close(c->link);
    mem_free(c->path);
    mem_free(c);
}

void
process_wake(struct process *c, const struct service *service)
{
    char *name = mem_format("%s/%s", service->name, service->type);

    send_control(c, MESSAGE_WAKE,
        &(struct control){ .service = slice_of(name) }, -1);
    mem_free(name);
}

void
process_reopen_log(struct process *c)
{
    struct msg m;

    if (c->link == NULL)
        return;
    msg_init(&m, MESSAGE_REOPEN_LOG);
    if (c->pools->log->fd >= 0)
        put_dup(&m, c->pools->log->fd);
    link_send(c->link, &m);
}

#include "lib/daemon/daemon.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/daemon/control.h"
#include "lib/daemon/daemon_private.h"
#include "lib/io/fiber.h"
#include "lib/io/logsink.h"
#include "lib/io/offload.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    MASTER_FD = 3,
    LOCK_FD = 4, /* see lib/daemon/lock.h; no program that we run has it */
};

/* A message of master, in the order in which it came. */
struct order {
    struct list node;
    struct request *request;
};

/* The process under master: set up by daemon_init(). */
static struct {
    const struct daemon_options *options;
    struct link *master;
    struct list orders;
    struct fiber_cond ordered;
    struct config_set *set;
    char *tag;
    uint32_t index, pool;
    uint32_t expected; /* peers, before the daemon begins */
    bool begun, draining;
    bool refused; /* our first configuration: master will end us */
    bool has_secrets;
    struct control_secrets secrets;
    int exit_status;
    int private; /* during configure() */
} process = { .private = -1 };

static void carry_out(struct request *r);

static void
take_order(struct request *r)
{
    struct order *o = mem_alloc(sizeof(*o));

    o->request = r;
    list_append(&process.orders, &o->node);
    fiber_cond_signal(&process.ordered);
}

static void
orders_main(void *arg)
{
    (void)arg;
    for (;;) {
        struct list *first = list_take(&process.orders);

        if (first != NULL) {
            struct order *o = LIST_ENTRY(first, struct order, node);

            carry_out(o->request);
            mem_free(o);
        } else if (fiber_cond_wait(&process.ordered, CLOCK_NEVER) != WAIT_OK) {
            return;
        }
    }
}

static const struct link_handler orders[] = {
    { MESSAGE_CONFIGURE, take_order, SERVE_INLINE },
    { MESSAGE_LINK, take_order, SERVE_INLINE },
    { MESSAGE_LISTEN, take_order, SERVE_INLINE },
    { MESSAGE_UNLISTEN, take_order, SERVE_INLINE },
    { MESSAGE_DRAIN, take_order, SERVE_INLINE },
    { MESSAGE_WAKE, take_order, SERVE_INLINE },
    { MESSAGE_REOPEN_LOG, take_order, SERVE_INLINE },
    { MESSAGE_DIED, take_order, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

/* The lifeline: without master there is nobody to stop or to replace us. */
static void
master_gone(struct link *l, void *context)
{
    (void)l;
    (void)context;
    log_flush();
    _exit(process.exit_status);
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
        .handlers = orders,
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
    list_init(&process.orders);
    fiber_cond_init(&process.ordered);
    sched_open();
    peers_init(options);
    listeners_init(options);
    process.master = link_open(MASTER_FD, &master);
    if (process.master == NULL ||
        fiber_spawn("orders", orders_main, NULL) == NULL)
        daemon_fail(EX_OSERR);
}

int
daemon_run(void)
{
    sched_run();
    log_flush();
    return process.exit_status;
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

/* CONFIGURE */

struct snapshot {
    struct slice octets;
    struct config_set *set;
    enum result res;
    struct why *why;
};

static void
decode_snapshot(void *arg)
{
    struct snapshot *s = arg;

    s->res = config_decode(s->octets, &s->set, s->why);
}

/* Evaluating parameters digs deeper than a fiber's stack is. */
static enum result
read_snapshot(int fd, size_t length, struct config_set **set, struct why *why)
{
    struct snapshot s = { .why = why };
    void *at = length == 0 ? MAP_FAILED
                           : mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);

    if (at == MAP_FAILED)
        return why_errno(why, "map the configuration");
    s.octets = (struct slice){ at, length };
    on_thread_stack(decode_snapshot, &s);
    munmap(at, length);
    *set = s.set;
    return s.res;
}

static enum result
open_log(struct msg_in *in, const struct control_configure *c,
    const struct config *config, struct why *why)
{
    char *tag = mem_format("%s/%s", config->syslog_name,
        role_name(process.options->role));

    log_set_tag(tag);
    mem_free(process.tag);
    process.tag = tag;
    if (c->has_log) {
        logsink_take_fd(msg_in_take_fd(in, 1), NULL);
        return RESULT_OK;
    }
    return logsink_open(c->log, NULL, config->syslog_facility, why);
}

static enum result
map_slots(struct msg_in *in, const struct control_configure *c, struct why *why)
{
    struct slots *slots = slots_map(in->fds[c->has_log ? 2 : 1]);

    if (slots == NULL)
        return why_errno(why, "map the table of slots");
    listeners_set_slots(slots, c->column);
    return RESULT_OK;
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

static enum result
configure(struct msg_in *in, struct why *why)
{
    struct control_configure c;
    struct config_set *set = NULL;
    enum result res;

    if (!control_configure_decode(in, &c))
        return why_perm(why, "5.3.0", "malformed CONFIGURE");
    res = read_snapshot(in->fds[0], c.length, &set, why);
    if (res == RESULT_OK)
        res = open_log(in, &c, config_main(set), why);
    if (res == RESULT_OK && c.has_slots)
        res = map_slots(in, &c, why);
    if (res == RESULT_OK) {
        process.index = c.index;
        process.pool = c.pool;
        process.has_secrets = c.has_secrets;
        process.secrets = c.secrets;
        process.private = c.has_private ? in->fds[in->fd_count - 1] : -1;
        res = process.options->configure(set, why);
    }
    process.private = -1;
    if (res != RESULT_OK) {
        config_drop(set);
        return res;
    }
    config_drop(process.set);
    process.set = set;
    if (!process.begun)
        process.expected = c.expected;
    listeners_configure(set);
    return RESULT_OK;
}

static void
carry_out_configure(struct request *r)
{
    struct msg answer;
    struct why why = { .text = "" };
    enum result res = configure(r->in, &why);

    msg_init(&answer, MESSAGE_CONFIGURED);
    tlv_put_u64(&answer.body, ATTR_RESULT, (uint64_t)res);
    if (res != RESULT_OK)
        tlv_put(&answer.body, ATTR_TEXT, slice_of(why.text));
    process.refused = process.set == NULL;
    request_reply(r, &answer);
}

/* LINK, LISTEN, UNLISTEN */

static void
begin_main(void *arg)
{
    struct why why;
    struct msg ready;

    (void)arg;
    if (process.options->begin != NULL &&
        process.options->begin(&why) != RESULT_OK) {
        log_fatal("%s", why.text);
        daemon_fail(EX_CONFIG);
    }
    peers_release();
    listeners_begin();
    msg_init(&ready, MESSAGE_READY);
    link_send(process.master, &ready);
}

static void
begin_when_complete(void)
{
    if (process.begun || process.set == NULL || process.expected > 0)
        return;
    process.begun = true;
    if (fiber_spawn("begin", begin_main, NULL) == NULL)
        daemon_fail(EX_OSERR);
}

/* Master does not err: what it says wrong was not said by it. */
static void
check_order(struct request *r, struct control *c, unsigned fds)
{
    if (control_decode(r->in, c) && r->in->fd_count == fds &&
        process.set != NULL)
        return;
    log_fatal("malformed %s of master", message_rule(r->in->type)->name);
    daemon_fail(EX_SOFTWARE);
}

static void
carry_out_link(struct request *r)
{
    struct control c;

    check_order(r, &c, 1);
    peers_add(&c, msg_in_take_fd(r->in, 0));
    if (process.expected > 0)
        process.expected--;
    request_drop(r);
}

static void
carry_out_listen(struct request *r)
{
    struct control c;

    check_order(r, &c, 1);
    if (!process.draining && process.options->serve != NULL)
        listeners_add(&c, msg_in_take_fd(r->in, 0), process.set);
    request_drop(r);
}

static void
carry_out_unlisten(struct request *r)
{
    struct control c;

    check_order(r, &c, 0);
    listeners_remove(c.name);
    request_drop(r);
}

/* DRAIN */

static void
drain_main(void *arg)
{
    struct request *r = arg;
    struct control c;
    struct msg answer;
    int64_t deadline;

    if (!control_decode(r->in, &c))
        daemon_fail(EX_SOFTWARE);
    deadline = clock_now_ms() + c.ms;
    process.draining = true;
    listeners_close();
    if (process.options->drain != NULL)
        process.options->drain(deadline);
    listeners_wait_idle(deadline);
    peers_close(deadline);
    log_flush();
    msg_init(&answer, MESSAGE_DRAINED);
    request_reply(r, &answer);
    link_close(process.master);
    sched_stop();
}

/* WAKE */

static void
wake_main(void *arg)
{
    struct request *r = arg;
    struct control c;
    const struct service *service;
    struct config_set *set = config_hold(process.set);
    char *name;

    check_order(r, &c, 0);
    name = mem_text_of(slice_head(c.service, slice_rfind(c.service, '/')));
    service = config_find_service(set, name, NULL);
    mem_free(name);
    request_drop(r);
    if (service != NULL && !process.draining)
        process.options->wake(service);
    config_drop(set);
}

static void
carry_out_reopen(struct request *r)
{
    if (r->in->fd_count == 1)
        logsink_take_fd(msg_in_take_fd(r->in, 0), NULL);
    else
        logsink_reopen();
    request_drop(r);
}

static void
on_fiber(struct request *r, const char *name, fiber_fn fn)
{
    if (fiber_spawn(name, fn, r) == NULL)
        request_drop(r);
}

static void
carry_out_drain(struct request *r)
{
    on_fiber(r, "drain", drain_main);
}

static void
carry_out_wake(struct request *r)
{
    if (process.options->wake != NULL && process.set != NULL)
        on_fiber(r, "wake", wake_main);
    else
        request_drop(r);
}

/* DIED */

static void
carry_out_died(struct request *r)
{
    struct control c;

    check_order(r, &c, 0);
    if (process.options->agent_died != NULL)
        process.options->agent_died(c.process, c.end, c.code);
    request_drop(r);
}

/* One after the other: a LINK means the configuration that came before it. */
static const struct {
    enum message type;
    link_serve_fn carry_out;
} deeds[] = {
    { MESSAGE_CONFIGURE, carry_out_configure },
    { MESSAGE_LINK, carry_out_link },
    { MESSAGE_LISTEN, carry_out_listen },
    { MESSAGE_UNLISTEN, carry_out_unlisten },
    { MESSAGE_DRAIN, carry_out_drain },
    { MESSAGE_WAKE, carry_out_wake },
    { MESSAGE_REOPEN_LOG, carry_out_reopen },
    { MESSAGE_DIED, carry_out_died },
};

static void
carry_out(struct request *r)
{
    if (process.refused) {
        /* Told to leave before master knew: there is nothing to finish. */
        if (r->in->type == MESSAGE_DRAIN)
            daemon_fail(EX_CONFIG);
        request_drop(r);
        return;
    }
    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
        if (deeds[i].type == r->in->type) {
            deeds[i].carry_out(r);
            break;
        }
    begin_when_complete();
}

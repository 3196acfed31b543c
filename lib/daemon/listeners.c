#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "lib/base/seldom.h"
#include "lib/daemon/daemon_private.h"
#include "lib/io/fiber.h"
#include "lib/io/sock.h"

#include <errno.h>
#include <unistd.h>

enum {
    /* A full service looks this often whether another process has a slot. */
    FULL_LOOK_MS = 20,
    /* Two that took the last slot at once: asked again soon, and apart. */
    FULL_QUICK_LOOKS = 3,
    FULL_QUICK_MS = 3,
    NO_DESCRIPTOR_MS = 100,
    /*
     * One process of the pool is woken for a connection. Should it die in that
     * moment, the others look by themselves.
     */
    LOOK_MS = 5000,
    WARN_MS = 10 * 1000, /* not each time */
};

struct listener {
    struct list node;
    int fd;
    struct io_wait wait;
    char *name;
    char *service_name;            /* "smtp/inet", or "public/..." */
    const struct service *service; /* in set; NULL: none */
    struct config_set *set;
    unsigned row;
    struct fiber_cond freed; /* a slot of ours */
    struct fiber *fiber;     /* NULL: not accepting */
    unsigned sessions;       /* they use this struct */
    bool closed;
};

struct session {
    struct listener *listener;
    int fd;
    struct sock_addr client;
    const struct service *service;
    struct config_set *set;
};

/* The process's sockets: set up by daemon_init(). */
static struct {
    const struct daemon_options *options;
    struct list all;
    struct slots *slots;
    unsigned column;
    unsigned sessions;
    unsigned accepting; /* fibers */
    struct fiber_cond idle;
    bool begun;
    struct seldom no_room;
} listeners = { .all = LIST_INIT(listeners.all) };

void
listeners_init(const struct daemon_options *options)
{
    listeners.options = options;
    list_init(&listeners.all);
    fiber_cond_init(&listeners.idle);
}

void
listeners_set_slots(struct slots *slots, unsigned column)
{
    slots_unmap(listeners.slots);
    listeners.slots = slots;
    listeners.column = column;
}

static const char *
public_name(const struct listener *l)
{
    return slice_starts(slice_of(l->service_name), SLICE_LIT("public/"))
        ? l->service_name
        : NULL;
}

static const struct service *
first_smtpd(const struct config_set *set)
{
    for (size_t i = 0; i < config_service_count(set); i++) {
        const struct service *s = config_service(set, i);

        if ((slice_eq_text(slice_of(s->type), "inet") ||
                slice_eq_text(slice_of(s->type), "pass")) &&
            slice_eq_text(slice_of(s->program), "smtpd"))
            return s;
    }
    return NULL;
}

static const struct service *
find_service(const struct listener *l, const struct config_set *set)
{
    struct slice name = slice_of(l->service_name), type;
    size_t slash = slice_rfind(name, '/');
    const struct service *found = NULL;

    if (public_name(l) != NULL)
        return slice_eq_text(name, "public/smtp")
            ? first_smtpd(set)
            : config_find_service(set, l->service_name + slash + 1, NULL);
    type = slice_skip(name, slash + 1);
    for (size_t i = 0; i < config_service_count(set); i++) {
        const struct service *s = config_service(set, i);

        if (slice_eq_text(slice_head(name, slash), s->name) &&
            slice_eq_text(type, s->type))
            found = s;
    }
    return found;
}

static void
listener_free(struct listener *l)
{
    list_remove(&l->node);
    config_drop(l->set);
    mem_free(l->name);
    mem_free(l->service_name);
    mem_free(l);
}

static void
session_main(void *arg)
{
    struct session *s = arg;
    struct listener *l = s->listener;

    listeners.options->serve(s->fd, &s->client, s->service, s->set,
        public_name(l));
    slots_give(listeners.slots, l->row, listeners.column);
    config_drop(s->set);
    mem_free(s);
    fiber_cond_signal(&l->freed);
    if (--l->sessions == 0 && l->closed && l->fiber == NULL)
        listener_free(l);
    if (--listeners.sessions == 0)
        fiber_cond_broadcast(&listeners.idle);
}

/* The slot is taken. */
static void
session_start(struct listener *l, int fd, const struct sock_addr *client)
{
    struct session *s = mem_alloc(sizeof(*s));

    *s = (struct session){
        .listener = l,
        .fd = fd,
        .client = *client,
        .service = l->service,
        .set = config_hold(l->set),
    };
    if (fiber_spawn("session", session_main, s) == NULL) {
        log_warning("no memory for a session of %s", l->name);
        slots_give(listeners.slots, l->row, listeners.column);
        config_drop(s->set);
        mem_free(s);
        close(fd);
        return;
    }
    l->sessions++;
    listeners.sessions++;
}

static void
wait_for_slot(struct listener *l, unsigned looks)
{
    int64_t ms = looks < FULL_QUICK_LOOKS
        ? 1 + (int64_t)random_below(FULL_QUICK_MS)
        : FULL_LOOK_MS;

    (void)fiber_cond_wait(&l->freed, clock_now_ms() + ms);
}

static void
warn_no_room(const struct listener *l)
{
    if (seldom_due(&listeners.no_room, WARN_MS))
        log_warning("accept connection on %s: out of descriptors or memory",
            l->name);
}

/* Accept failed. */
static void
accept_again(struct listener *l)
{
    if (errno == EAGAIN) {
        int64_t look = clock_now_ms() + LOOK_MS;

        if (io_wait_readable(&l->wait, look) == WAIT_CANCELLED)
            return; /* closed */
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
        errno == ENOBUFS) {
        warn_no_room(l);
        (void)fiber_sleep_until(clock_now_ms() + NO_DESCRIPTOR_MS);
    }
}

/*
 * We leave, and may have been woken for connections that nobody else was woken
 * for: they are ours. When the whole service ends they have at least a reply.
 */
static void
accept_rest(struct listener *l)
{
    struct sock_addr client;
    int fd;

    while (slots_take(listeners.slots, l->row, listeners.column)) {
        fd = sock_accept(l->fd, &client);
        if (fd < 0) {
            slots_give(listeners.slots, l->row, listeners.column);
            return;
        }
        session_start(l, fd, &client);
    }
}

/* One connection for each turn, so that the processes of a pool share them. */
static void
accept_main(void *arg)
{
    struct listener *l = arg;
    unsigned looks = 0;

    while (!l->closed) {
        struct sock_addr client;
        int fd;

        if (!slots_take(listeners.slots, l->row, listeners.column)) {
            wait_for_slot(l, looks++);
            continue;
        }
        looks = 0;
        fd = sock_accept(l->fd, &client);
        if (fd >= 0) {
            session_start(l, fd, &client);
            fiber_yield();
        } else {
            int sys = errno;

            slots_give(listeners.slots, l->row, listeners.column);
            errno = sys;
            accept_again(l);
        }
    }
    accept_rest(l);
    l->fiber = NULL;
    listeners.accepting--;
    io_wait_fini(&l->wait);
    close(l->fd);
    if (l->sessions == 0)
        listener_free(l);
}

static void
listener_begin(struct listener *l)
{
    l->fiber = fiber_spawn("accept", accept_main, l);
    if (l->fiber == NULL) {
        log_fatal("no memory to accept connections on %s", l->name);
        daemon_fail(1);
    }
    listeners.accepting++;
}

void
listeners_add(const struct control *c, int fd, struct config_set *set)
{
    struct listener *l = mem_alloc(sizeof(*l));

    *l = (struct listener){
        .fd = fd,
        .name = mem_text_of(c->name),
        .service_name = mem_text_of(c->service),
        .row = c->row,
    };
    fiber_cond_init(&l->freed);
    if (io_wait_init_shared(&l->wait, fd) < 0) {
        log_fatal("wait for connections on %s", l->name);
        daemon_fail(1);
    }
    list_append(&listeners.all, &l->node);
    l->set = config_hold(set);
    l->service = find_service(l, set);
    if (listeners.begun)
        listener_begin(l);
}

void
listeners_begin(void)
{
    listeners.begun = true;
    list_foreach (it, &listeners.all)
        listener_begin(LIST_ENTRY(it, struct listener, node));
}

/* A removed service keeps what it had until its UNLISTEN comes. */
void
listeners_configure(struct config_set *set)
{
    list_foreach (it, &listeners.all) {
        struct listener *l = LIST_ENTRY(it, struct listener, node);
        const struct service *service = find_service(l, set);

        if (service == NULL && public_name(l) == NULL)
            continue;
        config_drop(l->set);
        l->set = config_hold(set);
        l->service = service;
    }
}

static void
listener_close(struct listener *l)
{
    if (l->closed)
        return;
    l->closed = true;
    list_remove(&l->node);
    if (l->fiber != NULL) {
        fiber_cancel(l->fiber);
    } else {
        io_wait_fini(&l->wait);
        close(l->fd);
        listener_free(l);
    }
}

void
listeners_remove(struct slice name)
{
    list_foreach_safe (it, &listeners.all) {
        struct listener *l = LIST_ENTRY(it, struct listener, node);

        if (slice_eq_text(name, l->name))
            listener_close(l);
    }
}

void
listeners_close(void)
{
    list_foreach_safe (it, &listeners.all)
        listener_close(LIST_ENTRY(it, struct listener, node));
    while (listeners.accepting > 0) /* they are cancelled: soon */
        fiber_yield();
}

void
listeners_wait_idle(int64_t deadline)
{
    while (listeners.sessions > 0 &&
        fiber_cond_wait(&listeners.idle, deadline) == WAIT_OK)
        ;
}

/* In master's name and words, which those who watch the log know. */
static void
log_strain(const struct listener *l, uint32_t limit)
{
    const char *tag = config_tag_of_service(l->set, "master", "master");
    const char *port = strrchr(l->name, ':');

    log_write(LOG_LEVEL_WARNING, tag,
        "service \"%s\" (%s) has reached its process limit \"%u\": new clients "
        "may experience noticeable delays",
        l->service->name, port == NULL ? l->name : port + 1, limit);
    log_write(LOG_LEVEL_WARNING, tag,
        "to avoid this condition, increase the process count in master.cf or "
        "reduce the service time per client");
    log_write(LOG_LEVEL_WARNING, tag,
        "see smtpd(8), Overload, for limits that shorten by themselves");
}

/* NULL: it has none. */
static const struct listener *
find_listener(const struct service *service)
{
    list_foreach (it, &listeners.all) {
        const struct listener *l = LIST_ENTRY(it, struct listener, node);

        if (l->service == service && public_name(l) == NULL)
            return l;
    }
    return NULL;
}

bool
daemon_strained(const struct service *service)
{
    const struct listener *l = find_listener(service);
    uint32_t begun;

    if (l == NULL || !slots_strained(listeners.slots, l->row, &begun))
        return false;
    if (begun != 0)
        log_strain(l, begun);
    return true;
}

bool
daemon_exceeded(const struct service *service)
{
    const struct listener *l = find_listener(service);

    return l != NULL && slots_exceeded(listeners.slots, l->row);
}

#include "lookup/event_base.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/io/fiber.h"
#include "lib/io/offload.h"

#include <assert.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

struct base {
    struct ub_event_base super; /* first: libunbound sees only this */
    int epoll;
    struct io_wait wait; /* of epoll */
    struct fiber *pump;
    unsigned references;
};

struct event {
    struct ub_event super; /* first */
    struct base *base;
    int fd;
    short bits; /* UB_EV_... */
    void (*cb)(int fd, short bits, void *arg);
    void *arg;
    bool added;
    bool watched;     /* fd is in the epoll set */
    int64_t limit_ms; /* of the present activation, -1: none */
    struct fiber_timer timer;
};

static struct event *
event_of(struct ub_event *ev)
{
    assert(ev->magic == UB_EVENT_MAGIC);
    return (struct event *)(void *)ev;
}

static void
unwatch(struct event *e)
{
    if (e->watched)
        epoll_ctl(e->base->epoll, EPOLL_CTL_DEL, e->fd, NULL);
    e->watched = false;
}

static int
watch(struct event *e)
{
    struct epoll_event ee = { .data.ptr = e };

    if (e->fd < 0 || (e->bits & (UB_EV_READ | UB_EV_WRITE)) == 0)
        return 0;
    if ((e->bits & UB_EV_READ) != 0)
        ee.events |= EPOLLIN;
    if ((e->bits & UB_EV_WRITE) != 0)
        ee.events |= EPOLLOUT;
    if (epoll_ctl(e->base->epoll, EPOLL_CTL_ADD, e->fd, &ee) < 0)
        return -1;
    e->watched = true;
    return 0;
}

static int
event_del(struct ub_event *ev)
{
    struct event *e = event_of(ev);

    unwatch(e);
    fiber_timer_disarm(&e->timer);
    e->added = false;
    return 0;
}

static void
arm(struct event *e)
{
    if (e->limit_ms >= 0)
        fiber_timer_arm(&e->timer, clock_now_ms() + e->limit_ms);
}

/* Call back: e may be changed or freed by it, so nothing is done after. */
static void
fire(struct event *e, short bits)
{
    if ((e->bits & UB_EV_PERSIST) != 0)
        arm(e);
    else
        event_del(&e->super);
    e->cb(e->fd, bits, e->arg);
}

static void
timed_out(void *arg)
{
    fire(arg, UB_EV_TIMEOUT);
}

static int
event_add(struct ub_event *ev, struct timeval *tv)
{
    struct event *e = event_of(ev);

    event_del(ev);
    if (watch(e) < 0)
        return -1;
    e->added = true;
    e->limit_ms = tv == NULL ? -1
                             : (int64_t)tv->tv_sec * 1000 + tv->tv_usec / 1000;
    arm(e);
    return 0;
}

static void
event_add_bits(struct ub_event *ev, short bits)
{
    event_of(ev)->bits |= bits;
}

static void
event_del_bits(struct ub_event *ev, short bits)
{
    struct event *e = event_of(ev);

    e->bits = (short)(e->bits & ~bits);
}

static void
event_set_fd(struct ub_event *ev, int fd)
{
    event_of(ev)->fd = fd;
}

static void
event_free(struct ub_event *ev)
{
    event_del(ev);
    mem_free(event_of(ev));
}

static int
timer_add(struct ub_event *ev, struct ub_event_base *base,
    void (*cb)(int, short, void *), void *arg, struct timeval *tv)
{
    struct event *e = event_of(ev);

    event_del(ev);
    e->base = (struct base *)(void *)base;
    e->cb = cb;
    e->arg = arg;
    return event_add(ev, tv);
}

static int
signal_add(struct ub_event *ev, struct timeval *tv)
{
    (void)ev;
    (void)tv;
    return -1;
}

static int
signal_del(struct ub_event *ev)
{
    (void)ev;
    return -1;
}

static void
nothing_to_unregister(struct ub_event *ev)
{
    (void)ev;
}

static void
nothing_would_block(struct ub_event *ev, int bit)
{
    (void)ev;
    (void)bit;
}

static struct ub_event_vmt event_methods = {
    .add_bits = event_add_bits,
    .del_bits = event_del_bits,
    .set_fd = event_set_fd,
    .free = event_free,
    .add = event_add,
    .del = event_del,
    .add_timer = timer_add,
    .del_timer = event_del,
    .add_signal = signal_add,
    .del_signal = signal_del,
    .winsock_unregister_wsaevent = nothing_to_unregister,
    .winsock_tcp_wouldblock = nothing_would_block,
};

static struct ub_event *
base_new_event(struct ub_event_base *base, int fd, short bits,
    void (*cb)(int, short, void *), void *arg)
{
    struct event *e = mem_alloc(sizeof(*e));

    e->super.magic = UB_EVENT_MAGIC;
    e->super.vmt = &event_methods;
    e->base = (struct base *)(void *)base;
    e->fd = fd;
    e->bits = bits;
    e->cb = cb;
    e->arg = arg;
    e->timer.fn = timed_out;
    e->timer.arg = e;
    return &e->super;
}

/* libunbound has no need of signals. */
static struct ub_event *
base_new_signal(struct ub_event_base *base, int fd,
    void (*cb)(int, short, void *), void *arg)
{
    (void)base;
    (void)fd;
    (void)cb;
    (void)arg;
    return NULL;
}

static struct ub_event *
base_no_wsaevent(struct ub_event_base *base, void *wsaevent,
    void (*cb)(int, short, void *), void *arg)
{
    return base_new_signal(base, wsaevent == NULL ? -1 : 0, cb, arg);
}

static void
base_free(struct ub_event_base *base)
{
    (void)base;
}

static int
base_dispatch(struct ub_event_base *base)
{
    (void)base;
    return 0;
}

static int
base_loopexit(struct ub_event_base *base, struct timeval *tv)
{
    (void)base;
    (void)tv;
    return 0;
}

static struct ub_event_base_vmt base_methods = {
    .free = base_free,
    .dispatch = base_dispatch,
    .loopexit = base_loopexit,
    .new_event = base_new_event,
    .new_signal = base_new_signal,
    .winsock_register_wsaevent = base_no_wsaevent,
};

/*
 * Everything that is ready. One at a time: what a callback does away with must
 * not be in a list of ours.
 */
static void
dispatch(void *arg)
{
    struct base *base = arg;
    struct epoll_event ee;

    while (epoll_wait(base->epoll, &ee, 1, 0) == 1) {
        struct event *e = ee.data.ptr;
        short bits = 0;

        if ((ee.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
            bits |= UB_EV_READ;
        if ((ee.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
            bits |= UB_EV_WRITE;
        bits = (short)(bits & e->bits);
        if (bits == 0) {
            unwatch(e);
            continue;
        }
        fire(e, bits);
    }
}

static void
pump(void *arg)
{
    struct base *base = arg;

    while (io_wait_readable(&base->wait, CLOCK_NEVER) == WAIT_OK)
        on_thread_stack(dispatch, base);
    io_wait_fini(&base->wait);
    close(base->epoll);
    mem_free(base);
}

struct ub_event_base *
event_base_hold(struct ub_event_base *base)
{
    ((struct base *)(void *)base)->references++;
    return base;
}

void
event_base_drop(struct ub_event_base *ub)
{
    struct base *base = (struct base *)(void *)ub;

    if (base != NULL && --base->references == 0)
        fiber_cancel(base->pump);
}

struct ub_event_base *
event_base_new(void)
{
    struct base *base = mem_alloc(sizeof(*base));

    base->references = 1;
    base->super.magic = UB_EVENT_MAGIC;
    base->super.vmt = &base_methods;
    base->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (base->epoll < 0)
        goto fail;
    if (io_wait_init(&base->wait, base->epoll) < 0)
        goto fail_close;
    base->pump = fiber_spawn("unbound", pump, base);
    if (base->pump == NULL)
        goto fail_fini;
    return &base->super;
fail_fini:
    io_wait_fini(&base->wait);
fail_close:
    close(base->epoll);
fail:
    mem_free(base);
    return NULL;
}

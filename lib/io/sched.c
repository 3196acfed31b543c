#include "lib/io/sched.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    RUN_MAX = 1024, /* fibers resumed before descriptors get a look again */
    HOOK_ROUNDS = 16,
};

static _Thread_local struct sched *here;

struct sched *
sched_here(void)
{
    return here;
}

bool
sched_is_open(void)
{
    return here != NULL;
}

/* data.ptr NULL means the eventfd. */
static int
open_fds(struct sched *s)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };

    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll_fd < 0)
        return -1;
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->wake_fd < 0)
        return -1;
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &event);
}

/*
 * A child of fork() has its parent's epoll: taking a descriptor out of it there
 * would make the parent deaf. The child has no scheduler until it opens one.
 */
static void
forget_in_child(void)
{
    here = NULL;
}

static void
watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, forget_in_child);
}

void
sched_open(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sched *s = mem_alloc(sizeof(*s));

    assert(here == NULL);
    (void)pthread_once(&once, watch_forks);
    if (open_fds(s) < 0)
        abort();
    list_init(&s->ready);
    list_init(&s->yielded);
    list_init(&s->hooks);
    list_init(&s->fibers);
    list_init(&s->posts);
    (void)pthread_mutex_init(&s->post_lock, NULL);
    stack_pool_init(&s->stacks);
    sanitize_thread(&s->sanitize);
    here = s;
}

static void
run_hooks(struct sched *s)
{
    list_foreach_safe (item, &s->hooks) {
        struct sched_hook *hook = LIST_ENTRY(item, struct sched_hook, link);

        hook->run(hook->context);
    }
}

void
sched_close(void)
{
    struct sched *s = here;

    assert(s != NULL && s->running == NULL);
    (void)sched_run_posts(s);
    run_hooks(s);
    while (list_take(&s->hooks) != NULL)
        continue;
    list_foreach (item, &s->fibers)
        sanitize_end(&LIST_ENTRY(item, struct fiber, all)->sanitize);
    (void)close(s->epoll_fd);
    (void)close(s->wake_fd);
    (void)pthread_mutex_destroy(&s->post_lock);
    timers_fini(&s->timers);
    stack_pool_fini(&s->stacks);
    mem_free(s);
    here = NULL;
}

void
sched_stop(void)
{
    here->stopping = true;
}

bool
sched_in_turn(void)
{
    return here != NULL && here->in_turn;
}

size_t
sched_count(void)
{
    return here->count;
}

void
sched_add_hook(struct sched_hook *hook)
{
    list_append(&here->hooks, &hook->link);
}

void
sched_remove_hook(struct sched_hook *hook)
{
    list_remove(&hook->link);
}

/*
 * The lock is held until the end: once the scheduler can see the post, what
 * waited for it may end, and the scheduler with it.
 */
void
sched_post(struct sched *s, struct sched_post *post)
{
    (void)pthread_mutex_lock(&s->post_lock);
    if (!post->underway) {
        post->underway = true;
        list_append(&s->posts, &post->link);
        if (s->asleep)
            (void)eventfd_write(s->wake_fd, 1);
        s->asleep = false;
    }
    (void)pthread_mutex_unlock(&s->post_lock);
}

/* NULL when there is none. The loop is awake from now on. */
static struct sched_post *
take_post(struct sched *s)
{
    struct sched_post *post = NULL;
    struct list *item;

    (void)pthread_mutex_lock(&s->post_lock);
    s->asleep = false;
    item = list_take(&s->posts);
    if (item != NULL) {
        post = LIST_ENTRY(item, struct sched_post, link);
        post->underway = false;
    }
    (void)pthread_mutex_unlock(&s->post_lock);
    return post;
}

/* False when something was posted before. */
static bool
fall_asleep(struct sched *s)
{
    bool idle;

    (void)pthread_mutex_lock(&s->post_lock);
    idle = s->asleep = list_empty(&s->posts);
    (void)pthread_mutex_unlock(&s->post_lock);
    return idle;
}

bool
sched_run_posts(struct sched *s)
{
    struct sched_post *post;
    bool ran = false;

    while ((post = take_post(s)) != NULL) {
        post->run(post->arg);
        ran = true;
    }
    return ran;
}

static int
wait_init(struct io_wait *w, int fd, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = w };

    *w = (struct io_wait){ .fd = fd };
    return epoll_ctl(here->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int
io_wait_init(struct io_wait *w, int fd)
{
    return wait_init(w, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int
io_wait_init_shared(struct io_wait *w, int fd)
{
    return wait_init(w, fd, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE);
}

/* Closing would not do it: another process may hold the same open file. */
void
io_wait_fini(struct io_wait *w)
{
    assert(w->reader == NULL && w->writer == NULL);
    if (here != NULL)
        (void)epoll_ctl(here->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    w->fd = -1;
}

enum wait_result
io_wait_readable(struct io_wait *w, int64_t deadline_ms)
{
    struct fiber *f = fiber_self();
    enum wait_result result = WAIT_OK;

    assert(f != NULL && w->reader == NULL);
    if (fiber_cut_short(f))
        return WAIT_CANCELLED;
    if (!w->readable && !w->hangup) {
        w->reader = f;
        result = fiber_park(deadline_ms, FIBER_HEARS);
        w->reader = NULL;
    }
    if (result == WAIT_OK)
        w->readable = false;
    return result;
}

enum wait_result
io_wait_writable(struct io_wait *w, int64_t deadline_ms)
{
    struct fiber *f = fiber_self();
    enum wait_result result = WAIT_OK;

    assert(f != NULL && w->writer == NULL);
    if (fiber_cut_short(f))
        return WAIT_CANCELLED;
    if (!w->writable) {
        w->writer = f;
        result = fiber_park(deadline_ms, FIBER_HEARS);
        w->writer = NULL;
    }
    if (result == WAIT_OK)
        w->writable = false;
    return result;
}

static void
take_event(const struct epoll_event *event)
{
    struct io_wait *w = event->data.ptr;

    if (w == NULL)
        return; /* the eventfd; an edge needs no reading */
    if (event->events & (EPOLLRDHUP | EPOLLHUP))
        w->hangup = true;
    if (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        w->readable = true;
        if (w->reader != NULL)
            fiber_wake(w->reader, WAIT_OK);
    }
    if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        w->writable = true;
        if (w->writer != NULL)
            fiber_wake(w->writer, WAIT_OK);
    }
}

static int
sleep_ms(const struct sched *s)
{
    int64_t next = timers_next(&s->timers), left;

    if (next == CLOCK_NEVER)
        return -1;
    left = next - clock_now_ms();
    return left <= 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
}

static bool
poll_events(struct sched *s, bool may_sleep)
{
    struct epoll_event events[EVENTS_MAX];
    int timeout_ms = 0, n;

    if (may_sleep && fall_asleep(s))
        timeout_ms = sleep_ms(s);
    /* A signal (EINTR) makes a turn without events. */
    n = epoll_wait(s->epoll_fd, events, EVENTS_MAX, timeout_ms);
    for (int i = 0; i < n; i++)
        take_event(&events[i]);
    return n > 0;
}

/* Each timer once, even if one arms itself again in the past. */
static bool
run_timers(struct sched *s)
{
    struct fiber_timer *t;
    bool ran = false;
    int64_t now;

    if (s->timers.count == 0)
        return false;
    now = clock_now_ms();
    for (size_t n = s->timers.count; n > 0; n--) {
        t = timers_take_due(&s->timers, now);
        if (t == NULL)
            break;
        t->fn(t->arg);
        ran = true;
    }
    return ran;
}

static bool
run_ready(struct sched *s)
{
    struct list *item;
    unsigned n = 0;

    while (n < RUN_MAX && (item = list_take(&s->ready)) != NULL) {
        fiber_resume(LIST_ENTRY(item, struct fiber, link));
        n++;
    }
    return n > 0;
}

static bool
run_ready_and_hooks(struct sched *s)
{
    bool ran = false;

    for (unsigned round = 0; round < HOOK_ROUNDS; round++) {
        ran |= run_ready(s);
        run_hooks(s);
        if (list_empty(&s->ready))
            break;
    }
    return ran;
}

static bool
turn(struct sched *s, bool may_sleep)
{
    struct list *item;
    bool ran;

    s->in_turn = true;
    ran = run_ready_and_hooks(s);

    may_sleep = may_sleep && list_empty(&s->ready) && list_empty(&s->yielded) &&
        s->count > 0 && !s->stopping;
    ran |= poll_events(s, may_sleep);
    ran |= run_timers(s);
    ran |= sched_run_posts(s);
    while ((item = list_take(&s->yielded)) != NULL)
        list_append(&s->ready, item);
    s->in_turn = false;
    return ran || !list_empty(&s->ready);
}

void
sched_run(void)
{
    struct sched *s = here;

    assert(s != NULL && s->running == NULL);
    while (s->count > 0 && !s->stopping)
        (void)turn(s, true);
    run_hooks(s); /* for what timers and posts made in the last turn */
    s->stopping = false;
}

bool
sched_turn(void)
{
    assert(here != NULL && here->running == NULL);
    return turn(here, false);
}

int64_t
sched_next_deadline(void)
{
    return timers_next(&here->timers);
}

/*
 * sched - inside of the scheduler, for lib/io only.
 *
 * A turn of the loop: runnable fibers, hooks, epoll, timers, what other threads
 * posted.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"
#include "lib/io/context.h"
#include "lib/io/fiber.h"
#include "lib/io/sanitize.h"
#include "lib/io/stack.h"
#include "lib/io/timers.h"

#include <pthread.h>

/*
 * A call that another thread asks for: run(arg) on the scheduler's thread, not
 * on a fiber; it does not wait. A post that is still under way is not sent a
 * second time.
 */
struct sched_post {
    struct list link;
    void (*run)(void *arg);
    void *arg;
    bool underway;
};

struct sched {
    int epoll_fd;
    struct list ready;   /* fibers that go on in this turn */
    struct list yielded; /* and in the next */
    struct list hooks;
    struct list fibers; /* all that have not ended */
    size_t count;
    struct timers timers;
    bool stopping;
    bool in_turn; /* hooks will run before the loop sleeps */

    struct fiber *running;
    struct context thread; /* where the loop was left */
    struct sanitize sanitize;
    struct stack_pool stacks;
    void (*call_fn)(void *arg); /* on_thread_stack() */
    void *call_arg;

    pthread_mutex_t post_lock; /* for all that follows */
    struct list posts;
    bool asleep; /* a post must wake the loop */
    int wake_fd; /* eventfd, with which it does */
};

enum fiber_state {
    FIBER_READY, /* or running */
    FIBER_PARKED,
    FIBER_ENDED,
};

/* Lies at the top of its own stack; what a switch touches comes first. */
struct fiber {
    struct list link; /* ready, yielded, or waiters of a condition */
    struct sched *sched;
    struct context context;
    int64_t deadline_ms;
    enum fiber_state state;
    enum wait_result result;
    bool cancelled, shielded;
    bool deaf;                /* its present wait is not cut short */
    struct fiber_timer timer; /* may stay armed, too early, between waits */
    struct sanitize sanitize;
    struct list all;
    const char *name;
    fiber_fn fn;
    void *arg;
    char *stack;
};

/* NULL when there is none on this thread. */
struct sched *sched_here(void);

/* The hooks of this thread's scheduler will run before it sleeps or ends. */
bool sched_in_turn(void);

/* Any thread. */
void sched_post(struct sched *s, struct sched_post *post) ATTR_NONNULL;

/* On the scheduler's thread: run what was posted. True if there was any. */
bool sched_run_posts(struct sched *s) ATTR_NONNULL;

/* Run f until it parks or ends; call only from the loop. */
void fiber_resume(struct fiber *f) ATTR_NONNULL;

/* Cancelled and not shielded: no wait that hears may begin. */
bool fiber_cut_short(const struct fiber *f) ATTR_NONNULL;

enum fiber_hearing {
    FIBER_HEARS, /* cancellation ends the wait, or keeps it from starting */
    FIBER_DEAF,
};

/*
 * Park the running fiber until fiber_wake() or the deadline. The caller has put
 * it where its waker will find it.
 */
enum wait_result fiber_park(int64_t deadline_ms, enum fiber_hearing hearing);

/* Does nothing to a fiber that is not parked, any more. */
void fiber_wake(struct fiber *f, enum wait_result result) ATTR_NONNULL;

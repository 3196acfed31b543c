/*
 * fiber - stackful fibers over edge-triggered epoll, one scheduler a thread.
 *
 * A session is a fiber: a function that waits where the dialogue waits. Fibers
 * never move between threads, and are switched only where they wait, so what is
 * shared by the fibers of one thread needs no lock; but across a wait nothing
 * shared is what it was.
 *
 * Every wait has an absolute deadline (clock_now_ms()) and three ways to end.
 * Cancelling a fiber makes its present wait, and each later one that does not
 * begin with fiber_shield(), return WAIT_CANCELLED: there is no jump. Clean-up
 * code does not wait.
 *
 * Stacks are FIBER_STACK octets (four times that under the sanitizers), pooled,
 * with a guard page. Keep off VLAs, alloca, big locals, getaddrinfo() and
 * recursion on a peer's input; see offload.h for what blocks or digs deep.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fiber;

enum { FIBER_STACK = 64 * 1024 };

enum wait_result {
    WAIT_OK,
    WAIT_TIMEOUT,
    WAIT_CANCELLED,
};

typedef void (*fiber_fn)(void *arg);

/*
 * The scheduler of the calling thread. sched_run() runs fibers until
 * sched_stop() or until none is left; it must be called outside any fiber.
 * sched_close() drops what fibers there still are, without running them on.
 *
 * A child of fork() has no scheduler: what waits blocks there, and it must not
 * return from the fiber in which it was born. It may open one of its own.
 */
void sched_open(void);
void sched_close(void);
void sched_run(void);
void sched_stop(void);

/* Is there one on this thread? */
bool sched_is_open(void);

/* Fibers of this thread that have not ended. */
size_t sched_count(void);

/*
 * For tests and the simulator, which move the clock by hand: one turn of the
 * loop without sleeping. True if anything ran. So
 *     while (sched_turn()) continue;
 * comes to rest where only the clock or a descriptor leads on.
 * sched_next_deadline() says when a timer may be due: never later than the
 * next one is, CLOCK_NEVER when there is none.
 */
bool sched_turn(void);
int64_t sched_next_deadline(void);

/*
 * At the end of each turn of the loop (all runnable fibers have run, before
 * the thread sleeps in epoll) each hook is called once: logs and links gather
 * what one turn makes and write it out in one go. A hook does not wait.
 * Returns a handle for sched_remove_hook().
 */
struct sched_hook {
    struct list link;
    void (*run)(void *context);
    void *context;
};
void sched_add_hook(struct sched_hook *hook) ATTR_NONNULL;
void sched_remove_hook(struct sched_hook *hook) ATTR_NONNULL;

/*
 * Start fn(arg) on a fiber of its own; it runs at the next chance, not at once.
 * name (for gdb and the log) must outlive the fiber. NULL only when there is no
 * memory for a stack.
 */
struct fiber *fiber_spawn(const char *name, fiber_fn fn, void *arg)
    ATTR_MUST_USE;

/* The running fiber; NULL outside. */
struct fiber *fiber_self(void);

/* As given to fiber_spawn(). */
const char *fiber_name(const struct fiber *f) ATTR_NONNULL;

/* False outside of a fiber: code that serves tools too can block instead. */
bool fiber_inside(void);

/* f's waits end with WAIT_CANCELLED. f has not ended. Does not wait. */
void fiber_cancel(struct fiber *f) ATTR_NONNULL;
bool fiber_cancelled(void);

/* From now on this fiber's waits are not cut short by cancellation. */
void fiber_shield(void);

/* Let the other runnable fibers go first. Waits. */
void fiber_yield(void);

/* WAIT_TIMEOUT is the normal end. Waits; outside of a fiber it blocks. */
enum wait_result fiber_sleep_until(int64_t deadline_ms);

/*
 * Descriptors. One registration for as long as fd is used through fibers:
 * io_wait_init() adds it to epoll (EPOLLET, both directions), io_wait_fini()
 * takes it out; the caller closes fd afterwards. At most one fiber waits for
 * each direction. Readiness seen since the last wait in a direction ends the
 * next wait at once: try the system call first, wait at EAGAIN, try again.
 * fd must be non-blocking.
 *
 * After a read that filled less than its buffer the try can be left out: more
 * octets make an edge, and so did the end, which "hangup" keeps. Not so where
 * descriptors are passed: there a read also ends where one came.
 */
struct io_wait {
    int fd;
    bool readable, writable; /* edges seen and not yet consumed */
    bool hangup; /* the peer sends no more: always readable from now on */
    struct fiber *reader, *writer;
};
int io_wait_init(struct io_wait *w, int fd) ATTR_NONNULL ATTR_MUST_USE;

/*
 * For a listening socket that other processes wait for as well: a connection
 * wakes one of those that are idle, not all. Who was woken and does not accept
 * leaves the connection waiting for the next one.
 */
int io_wait_init_shared(struct io_wait *w, int fd) ATTR_NONNULL ATTR_MUST_USE;
void io_wait_fini(struct io_wait *w) ATTR_NONNULL;
enum wait_result io_wait_readable(struct io_wait *w, int64_t deadline_ms)
    ATTR_NONNULL ATTR_MUST_USE;
enum wait_result io_wait_writable(struct io_wait *w, int64_t deadline_ms)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * Conditions: fibers of one thread wait, others wake them. A woken fiber
 * becomes runnable; it looks again at what it waited for.
 */
struct fiber_cond {
    struct list waiters;
};
void fiber_cond_init(struct fiber_cond *c) ATTR_NONNULL;
enum wait_result fiber_cond_wait(struct fiber_cond *c, int64_t deadline_ms)
    ATTR_NONNULL;
void fiber_cond_signal(struct fiber_cond *c) ATTR_NONNULL;    /* one, oldest */
void fiber_cond_broadcast(struct fiber_cond *c) ATTR_NONNULL; /* all */

/*
 * Timers without a fiber: fn(arg) is called from the loop at the deadline, not
 * on a fiber, and does not wait. Arming an armed timer moves it.
 */
struct fiber_timer {
    size_t slot; /* place in the heap + 1; 0: not armed */
    int64_t deadline_ms;
    void (*fn)(void *arg);
    void *arg;
};
void fiber_timer_arm(struct fiber_timer *t, int64_t deadline_ms) ATTR_NONNULL;
void fiber_timer_disarm(struct fiber_timer *t) ATTR_NONNULL;

/*
 * Give the part of this fiber's stack that is not in use back to the kernel
 * (after a TLS handshake, in a long idle wait): costs 3 us, saves 12 KB.
 */
void fiber_trim_stack(void);

/*
 * Inside callbacks of libraries that must not be parked (OpenSSL, libcurl,
 * libunbound, libgsasl): a wait between these two is an assertion failure.
 */
void fiber_forbid_wait(void);
void fiber_allow_wait(void);

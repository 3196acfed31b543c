/*
 * offload - work that blocks or digs deep, off the fiber.
 */
#pragma once

#include "lib/base/attr.h"

/*
 * Run fn(arg) on a thread of a small pool and wait for it (flush, NSS,
 * getaddrinfo(), crypt(3), Berkeley DB). Waits, and is not cut short by
 * cancellation, since fn uses the caller's stack. Outside of a fiber fn is
 * simply called. threads are started when first needed, at most
 * OFFLOAD_THREADS: what waits for a journal's commit waits together, so that
 * few threads mean few deliveries for each commit.
 */
enum { OFFLOAD_THREADS = 32 };
void offload(void (*fn)(void *arg), void *arg);

/*
 * A pool of one's own, for what may hang for long (a slow database) and must
 * not keep others waiting. Threads are started when first needed. Freed when
 * nothing is offloaded to it any more.
 */
struct offload_pool;
struct offload_pool *offload_pool_new(unsigned threads) ATTR_MUST_USE;
void offload_pool_free(struct offload_pool *pool); /* NULL is welcome */
void offload_to(struct offload_pool *pool, void (*fn)(void *arg), void *arg);

/*
 * End the pool's threads, when nothing is offloaded any more. What is offloaded
 * later starts new ones.
 */
void offload_close(void);

/*
 * Call fn(arg) on the stack of the thread that runs the scheduler (8 MB): for
 * regular expressions and the like, which recurse but do not wait. fn must not
 * wait. Does not wait itself.
 */
void on_thread_stack(void (*fn)(void *arg), void *arg);

/*
 * thread - threads that leave signals to those who know what to do about them.
 */
#pragma once

#include "lib/base/attr.h"

#include <pthread.h>
#include <stddef.h>

/* With all signals blocked. 0, or an errno. */
int thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg)
    __attribute__((nonnull(1, 2))) ATTR_MUST_USE;

enum { THREADS_EACH_MAX = 8 };

/*
 * fn(context, i) for each i below count, in any order and on up to so many
 * threads side by side, the caller's among them. Returns when all are done.
 * Without memory for more threads the caller's does it alone.
 */
void thread_each(unsigned threads, size_t count,
    void (*fn)(void *context, size_t i), void *context)
    __attribute__((nonnull(3)));

/* Cores at hand, 1 when that is not known. */
unsigned thread_cores(void) ATTR_MUST_USE;

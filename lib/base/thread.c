#include "lib/base/thread.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

int
thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
    sigset_t all, before;
    int error;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, NULL, fn, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

struct each {
    void (*fn)(void *context, size_t i);
    void *context;
    size_t count;
    atomic_size_t next;
};

static void *
take_each(void *arg)
{
    struct each *e = arg;

    for (size_t i; (i = atomic_fetch_add(&e->next, 1)) < e->count;)
        e->fn(e->context, i);
    return NULL;
}

void
thread_each(unsigned threads, size_t count, void (*fn)(void *context, size_t i),
    void *context)
{
    struct each e = { .fn = fn, .context = context, .count = count };
    pthread_t others[THREADS_EACH_MAX];
    size_t most = threads < THREADS_EACH_MAX ? threads : THREADS_EACH_MAX;
    size_t started = 0;

    while (started + 1 < most && started + 1 < count &&
        thread_start(&others[started], take_each, &e) == 0)
        started++;
    (void)take_each(&e);
    for (size_t i = 0; i < started; i++)
        (void)pthread_join(others[i], NULL);
}

unsigned
thread_cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : (unsigned)n;
}

#include "lib/io/offload.h"

#include "lib/base/clock.h"
#include "lib/io/sched.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* On the stack of the fiber that waits for it. */
struct job {
    struct list link; /* in the queue */
    void (*fn)(void *arg);
    void *arg;
    struct fiber *fiber;
    struct sched_post done;
    bool finished; /* the fiber's thread only */
};

/* The process's pool; all of it under the lock. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct list queue;
    pthread_t threads[OFFLOAD_THREADS];
    unsigned started, idle, queued;
    bool closing;
} pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .work = PTHREAD_COND_INITIALIZER,
    .queue = LIST_INIT(pool.queue),
};

static void *
work(void *arg)
{
    struct list *item;

    (void)pthread_mutex_lock(&pool.lock);
    for (;;) {
        while ((item = list_take(&pool.queue)) != NULL) {
            struct job *job = LIST_ENTRY(item, struct job, link);

            pool.queued--;
            (void)pthread_mutex_unlock(&pool.lock);
            job->fn(job->arg);
            sched_post(job->fiber->sched, &job->done);
            (void)pthread_mutex_lock(&pool.lock);
        }
        if (pool.closing)
            break;
        pool.idle++;
        (void)pthread_cond_wait(&pool.work, &pool.lock);
        pool.idle--;
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return arg;
}

/* Signals are for the threads that know what to do about them. */
static bool
start_thread(void)
{
    sigset_t all, before;
    int error;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&pool.threads[pool.started], NULL, work, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return false;
    pool.started++;
    return true;
}

/* False when there is no thread at all to do it. */
static bool
enqueue(struct job *job)
{
    bool served;

    (void)pthread_mutex_lock(&pool.lock);
    assert(!pool.closing);
    if (pool.queued >= pool.idle && pool.started < OFFLOAD_THREADS)
        (void)start_thread();
    served = pool.started > 0;
    if (served) {
        list_append(&pool.queue, &job->link);
        pool.queued++;
        (void)pthread_cond_signal(&pool.work);
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return served;
}

static void
on_done(void *arg)
{
    struct job *job = arg;

    job->finished = true;
    fiber_wake(job->fiber, WAIT_OK);
}

void
offload(void (*fn)(void *arg), void *arg)
{
    struct job job = { .fn = fn, .arg = arg, .fiber = fiber_self() };

    job.done.run = on_done;
    job.done.arg = &job;
    /* Without a thread it is better to be slow than to fail. */
    if (job.fiber == NULL || !enqueue(&job)) {
        fn(arg);
        return;
    }
    while (!job.finished)
        (void)fiber_park(CLOCK_NEVER, FIBER_DEAF);
}

void
offload_close(void)
{
    unsigned count;

    (void)pthread_mutex_lock(&pool.lock);
    assert(list_empty(&pool.queue));
    pool.closing = true;
    count = pool.started;
    (void)pthread_cond_broadcast(&pool.work);
    (void)pthread_mutex_unlock(&pool.lock);
    for (unsigned i = 0; i < count; i++)
        (void)pthread_join(pool.threads[i], NULL);
    pool.started = 0;
    pool.closing = false;
}

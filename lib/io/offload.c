#include "lib/io/offload.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "lib/io/sched.h"

#include <assert.h>

/* On the stack of the fiber that waits for it. */
struct job {
    struct list link; /* in the queue */
    void (*fn)(void *arg);
    void *arg;
    struct fiber *fiber;
    struct sched_post done;
    bool finished; /* the fiber's thread only */
};

/* All of it under the lock. */
struct offload_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct list queue;
    pthread_t *threads;
    unsigned most, started, idle, queued;
    bool closing;
};

/* The process's own. */
static pthread_t common_threads[OFFLOAD_THREADS];
static struct offload_pool common = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .work = PTHREAD_COND_INITIALIZER,
    .queue = LIST_INIT(common.queue),
    .threads = common_threads,
    .most = OFFLOAD_THREADS,
};

static void *
work(void *arg)
{
    struct offload_pool *pool = arg;
    struct list *item;

    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while ((item = list_take(&pool->queue)) != NULL) {
            struct job *job = LIST_ENTRY(item, struct job, link);

            pool->queued--;
            (void)pthread_mutex_unlock(&pool->lock);
            job->fn(job->arg);
            sched_post(job->fiber->sched, &job->done);
            (void)pthread_mutex_lock(&pool->lock);
        }
        if (pool->closing)
            break;
        pool->idle++;
        (void)pthread_cond_wait(&pool->work, &pool->lock);
        pool->idle--;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* False when there is no thread at all to do it. */
static bool
enqueue(struct offload_pool *pool, struct job *job)
{
    bool served;

    (void)pthread_mutex_lock(&pool->lock);
    assert(!pool->closing);
    if (pool->queued >= pool->idle && pool->started < pool->most &&
        thread_start(&pool->threads[pool->started], work, pool) == 0)
        pool->started++;
    served = pool->started > 0;
    if (served) {
        list_append(&pool->queue, &job->link);
        pool->queued++;
        (void)pthread_cond_signal(&pool->work);
    }
    (void)pthread_mutex_unlock(&pool->lock);
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
offload_to(struct offload_pool *pool, void (*fn)(void *arg), void *arg)
{
    struct job job = { .fn = fn, .arg = arg, .fiber = fiber_self() };

    job.done.run = on_done;
    job.done.arg = &job;
    /* Without a thread it is better to be slow than to fail. */
    if (job.fiber == NULL || !enqueue(pool, &job)) {
        fn(arg);
        return;
    }
    while (!job.finished)
        (void)fiber_park(CLOCK_NEVER, FIBER_DEAF);
}

void
offload(void (*fn)(void *arg), void *arg)
{
    offload_to(&common, fn, arg);
}

static void
end_threads(struct offload_pool *pool)
{
    unsigned count;

    (void)pthread_mutex_lock(&pool->lock);
    assert(list_empty(&pool->queue));
    pool->closing = true;
    count = pool->started;
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < count; i++)
        (void)pthread_join(pool->threads[i], NULL);
    pool->started = 0;
    pool->closing = false;
}

void
offload_close(void)
{
    end_threads(&common);
}

struct offload_pool *
offload_pool_new(unsigned threads)
{
    struct offload_pool *pool = mem_alloc(sizeof(*pool));

    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    list_init(&pool->queue);
    pool->threads = mem_alloc_array(threads, sizeof(pthread_t));
    pool->most = threads;
    return pool;
}

void
offload_pool_free(struct offload_pool *pool)
{
    if (pool == NULL)
        return;
    end_threads(pool);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->lock);
    mem_free(pool->threads);
    mem_free(pool);
}

#include "lib/io/channel.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/io/sched.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct channel {
    pthread_mutex_t lock; /* for all up to "attached" */
    pthread_cond_t arrived;
    size_t capacity;
    size_t reserved; /* places promised and not used yet */
    size_t head, count;
    bool closed;
    bool asleep; /* the receiver must be woken */

    struct sched *attached; /* NULL: the receiver is a thread */
    struct sched_post post;
    struct fiber_cond receiver; /* scheduler only */

    void *ring[];
};

static void
wake_receiver(void *arg)
{
    struct channel *ch = arg;

    fiber_cond_broadcast(&ch->receiver);
}

struct channel *
channel_new(size_t capacity)
{
    struct channel *ch;
    size_t size;

    if (capacity == 0 ||
        __builtin_mul_overflow(capacity, sizeof(void *), &size) ||
        __builtin_add_overflow(size, sizeof(*ch), &size))
        abort();
    ch = mem_alloc(size);
    (void)pthread_mutex_init(&ch->lock, NULL);
    (void)pthread_cond_init(&ch->arrived, NULL);
    ch->capacity = capacity;
    ch->post.run = wake_receiver;
    ch->post.arg = ch;
    fiber_cond_init(&ch->receiver);
    return ch;
}

/* A wake-up may still be on its way to a scheduler that is still there. */
void
channel_free(struct channel *ch)
{
    if (ch == NULL)
        return;
    if (ch->attached != NULL && ch->attached == sched_here())
        (void)sched_run_posts(ch->attached);
    (void)pthread_cond_destroy(&ch->arrived);
    (void)pthread_mutex_destroy(&ch->lock);
    mem_free(ch);
}

bool
channel_reserve(struct channel *ch, size_t n)
{
    bool room;

    (void)pthread_mutex_lock(&ch->lock);
    room = n <= ch->capacity - ch->count - ch->reserved;
    if (room)
        ch->reserved += n;
    (void)pthread_mutex_unlock(&ch->lock);
    return room;
}

void
channel_unreserve(struct channel *ch, size_t n)
{
    (void)pthread_mutex_lock(&ch->lock);
    assert(n <= ch->reserved);
    ch->reserved -= n;
    (void)pthread_mutex_unlock(&ch->lock);
}

/* Called with the lock, which it gives up. */
static void
wake_and_unlock(struct channel *ch)
{
    bool wake = ch->asleep;
    struct sched *attached = ch->attached;

    ch->asleep = false;
    if (wake && attached == NULL)
        (void)pthread_cond_signal(&ch->arrived);
    else if (wake)
        sched_post(attached, &ch->post);
    (void)pthread_mutex_unlock(&ch->lock);
}

void
channel_send(struct channel *ch, void *message)
{
    (void)pthread_mutex_lock(&ch->lock);
    assert(ch->reserved > 0 && !ch->closed);
    ch->reserved--;
    ch->ring[(ch->head + ch->count) % ch->capacity] = message;
    ch->count++;
    wake_and_unlock(ch);
}

void
channel_close(struct channel *ch)
{
    (void)pthread_mutex_lock(&ch->lock);
    ch->closed = true;
    wake_and_unlock(ch);
}

/* Called with the lock. */
static size_t
take(struct channel *ch, void **messages, size_t max)
{
    size_t n = 0;

    for (; n < max && ch->count > 0; n++) {
        messages[n] = ch->ring[ch->head];
        ch->head = (ch->head + 1) % ch->capacity;
        ch->count--;
    }
    ch->asleep = n == 0 && !ch->closed;
    return n;
}

size_t
channel_receive_wait(struct channel *ch, void **messages, size_t max)
{
    size_t n;

    (void)pthread_mutex_lock(&ch->lock);
    assert(ch->attached == NULL && max > 0);
    while ((n = take(ch, messages, max)) == 0 && !ch->closed)
        (void)pthread_cond_wait(&ch->arrived, &ch->lock);
    ch->asleep = false;
    (void)pthread_mutex_unlock(&ch->lock);
    return n;
}

int
channel_attach(struct channel *ch)
{
    (void)pthread_mutex_lock(&ch->lock);
    ch->attached = sched_here();
    (void)pthread_mutex_unlock(&ch->lock);
    return ch->attached == NULL ? -1 : 0;
}

size_t
channel_receive(struct channel *ch, void **messages, size_t max)
{
    enum wait_result result = WAIT_OK;

    assert(max > 0);
    for (;;) {
        bool closed;
        size_t n;

        (void)pthread_mutex_lock(&ch->lock);
        assert(ch->attached == sched_here());
        n = take(ch, messages, max);
        closed = ch->closed;
        (void)pthread_mutex_unlock(&ch->lock);
        if (n > 0 || closed || result != WAIT_OK)
            return n;
        result = fiber_cond_wait(&ch->receiver, CLOCK_NEVER);
    }
}

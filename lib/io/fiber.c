#include "lib/io/fiber.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/io/offload.h"
#include "lib/io/sched.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

/* Holds outside of fibers too, where nothing is to be forbidden. */
static _Thread_local unsigned waits_forbidden;

/* f leaves its stack for the loop's; comes back when it is resumed. */
static void
leave(struct fiber *f)
{
    struct sched *s = f->sched;

    sanitize_leave(f->state == FIBER_ENDED ? NULL : &f->sanitize, &s->sanitize);
    context_swap(&f->context, &s->thread);
    sanitize_enter(&f->sanitize, NULL);
}

static void
run(void *arg)
{
    struct fiber *f = arg;

    sanitize_enter(&f->sanitize, &f->sched->sanitize);
    f->fn(f->arg);
    assert(waits_forbidden == 0);
    f->state = FIBER_ENDED;
    leave(f);
    abort();
}

static void
free_fiber(struct fiber *f)
{
    struct sched *s = f->sched;

    timers_disarm(&s->timers, &f->timer);
    list_remove(&f->all);
    s->count--;
    sanitize_end(&f->sanitize);
    stack_give(&s->stacks, f->stack);
}

void
fiber_resume(struct fiber *f)
{
    struct sched *s = f->sched;

    s->running = f;
    for (;;) {
        sanitize_leave(&s->sanitize, &f->sanitize);
        context_swap(&s->thread, &f->context);
        sanitize_enter(&s->sanitize, NULL);
        if (s->call_fn == NULL)
            break;
        s->call_fn(s->call_arg);
        s->call_fn = NULL;
    }
    s->running = NULL;
    if (f->state == FIBER_ENDED)
        free_fiber(f);
}

void
on_thread_stack(void (*fn)(void *arg), void *arg)
{
    struct fiber *f = fiber_self();

    if (f == NULL || f->sched->call_fn != NULL) { /* we are on it already */
        fn(arg);
        return;
    }
    fiber_forbid_wait();
    f->sched->call_fn = fn;
    f->sched->call_arg = arg;
    leave(f);
    fiber_allow_wait();
}

static void
on_timer(void *arg)
{
    struct fiber *f = arg;

    if (f->state != FIBER_PARKED || f->deadline_ms == CLOCK_NEVER)
        return;
    if (f->timer.deadline_ms >= f->deadline_ms)
        fiber_wake(f, WAIT_TIMEOUT);
    else
        timers_arm(&f->sched->timers, &f->timer, f->deadline_ms);
}

/*
 * Stacks are at equal places of their pages. Without an offset the same few
 * lines of the cache would serve the tops of all of them.
 */
static struct fiber *
place_in(char *stack, size_t nth)
{
    const size_t line = 64,
                 size = (sizeof(struct fiber) + line - 1) & ~(line - 1);

    return (
        struct fiber *)(void *)(stack + STACK_SIZE - size - nth % 16 * line);
}

struct fiber *
fiber_spawn(const char *name, fiber_fn fn, void *arg)
{
    struct sched *s = sched_here();
    struct fiber *f;
    char *stack;

    assert(s != NULL);
    stack = stack_take(&s->stacks);
    if (stack == NULL)
        return NULL;
    sanitize_fresh(stack, STACK_SIZE);
    f = place_in(stack, s->count);
    *f = (struct fiber){ .sched = s,
        .name = name,
        .fn = fn,
        .arg = arg,
        .stack = stack,
        .state = FIBER_READY };
    f->timer.fn = on_timer;
    f->timer.arg = f;
    sanitize_begin(&f->sanitize, stack, (size_t)((char *)f - stack));
    context_make(&f->context, stack, (size_t)((char *)f - stack), run, f);
    list_append(&s->fibers, &f->all);
    list_append(&s->ready, &f->link);
    s->count++;
    return f;
}

struct fiber *
fiber_self(void)
{
    struct sched *s = sched_here();

    return s == NULL ? NULL : s->running;
}

bool
fiber_inside(void)
{
    return fiber_self() != NULL;
}

const char *
fiber_name(const struct fiber *f)
{
    return f->name;
}

bool
fiber_cut_short(const struct fiber *f)
{
    return f->cancelled && !f->shielded;
}

/*
 * A timer that is armed for an earlier wait stays as it is: on_timer() then
 * moves it. Most waits end long before their deadline, and cost no heap work.
 */
enum wait_result
fiber_park(int64_t deadline_ms, enum fiber_hearing hearing)
{
    struct fiber *f = fiber_self();

    assert(f != NULL && waits_forbidden == 0);
    if (hearing == FIBER_HEARS && fiber_cut_short(f))
        return WAIT_CANCELLED;
    f->deadline_ms = deadline_ms;
    if (deadline_ms != CLOCK_NEVER &&
        (f->timer.slot == 0 || f->timer.deadline_ms > deadline_ms))
        timers_arm(&f->sched->timers, &f->timer, deadline_ms);
    f->deaf = hearing == FIBER_DEAF;
    f->state = FIBER_PARKED;
    leave(f);
    return f->result;
}

void
fiber_wake(struct fiber *f, enum wait_result result)
{
    if (f->state != FIBER_PARKED)
        return;
    f->state = FIBER_READY;
    f->result = result;
    list_remove(&f->link);
    list_append(&f->sched->ready, &f->link);
}

void
fiber_cancel(struct fiber *f)
{
    f->cancelled = true;
    if (!f->shielded && !f->deaf)
        fiber_wake(f, WAIT_CANCELLED);
}

bool
fiber_cancelled(void)
{
    struct fiber *f = fiber_self();

    return f != NULL && f->cancelled;
}

void
fiber_shield(void)
{
    struct fiber *f = fiber_self();

    if (f != NULL)
        f->shielded = true;
}

void
fiber_yield(void)
{
    struct fiber *f = fiber_self();

    assert(f != NULL && waits_forbidden == 0);
    list_append(&f->sched->yielded, &f->link);
    leave(f);
}

enum wait_result
fiber_sleep_until(int64_t deadline_ms)
{
    int64_t left;

    if (fiber_inside()) {
        return fiber_park(deadline_ms, FIBER_HEARS);
    }
    while ((left = deadline_ms - clock_now_ms()) > 0)
        (void)poll(NULL, 0, left > 60000 ? 60000 : (int)left);
    return WAIT_TIMEOUT;
}

void
fiber_cond_init(struct fiber_cond *c)
{
    list_init(&c->waiters);
}

enum wait_result
fiber_cond_wait(struct fiber_cond *c, int64_t deadline_ms)
{
    struct fiber *f = fiber_self();
    enum wait_result result;

    assert(f != NULL);
    list_append(&c->waiters, &f->link);
    result = fiber_park(deadline_ms, FIBER_HEARS);
    list_remove(&f->link);
    return result;
}

void
fiber_cond_signal(struct fiber_cond *c)
{
    if (!list_empty(&c->waiters))
        fiber_wake(LIST_ENTRY(c->waiters.next, struct fiber, link), WAIT_OK);
}

void
fiber_cond_broadcast(struct fiber_cond *c)
{
    while (!list_empty(&c->waiters))
        fiber_cond_signal(c);
}

void
fiber_timer_arm(struct fiber_timer *t, int64_t deadline_ms)
{
    timers_arm(&sched_here()->timers, t, deadline_ms);
}

void
fiber_timer_disarm(struct fiber_timer *t)
{
    if (t->slot > 0)
        timers_disarm(&sched_here()->timers, t);
}

/* The frames of madvise() itself need some of what lies below ours. */
void
fiber_trim_stack(void)
{
    const uintptr_t page = 4096, margin = 1024;
    struct fiber *f = fiber_self();
    uintptr_t end = ((uintptr_t)__builtin_frame_address(0) - margin) &
        ~(page - 1);

    if (f != NULL && end > (uintptr_t)f->stack)
        (void)madvise(f->stack, end - (uintptr_t)f->stack, MADV_DONTNEED);
}

void
fiber_forbid_wait(void)
{
    waits_forbidden++;
}

void
fiber_allow_wait(void)
{
    assert(waits_forbidden > 0);
    waits_forbidden--;
}

#include "lib/io/fiber.h"
#include "lib/io/sock.h"
#include "tests/unit/fibers.h"

#include <stdio.h>
#include <unistd.h>

static const char *const result_names[] = { "ok ", "timeout ", "cancelled " };

/* Waiting, and three ways to end it */

struct waiting {
    struct fiber_cond cond;
    struct io_wait io;
    int fds[2];
    int64_t deadline;
    enum wait_result result;
    bool ended, shield;
};

static enum wait_result
wait_sleep(struct waiting *w)
{
    return fiber_sleep_until(w->deadline);
}

static enum wait_result
wait_cond(struct waiting *w)
{
    return fiber_cond_wait(&w->cond, w->deadline);
}

static enum wait_result
wait_readable(struct waiting *w)
{
    return io_wait_readable(&w->io, w->deadline);
}

/* The edge of being writable at the start is not what is waited for. */
static enum wait_result
wait_writable(struct waiting *w)
{
    static const char full[2048];

    while (write(w->fds[0], full, sizeof(full)) > 0)
        continue;
    w->io.writable = false;
    return io_wait_writable(&w->io, w->deadline);
}

static void
wake_cond(struct waiting *w)
{
    fiber_cond_signal(&w->cond);
}

static void
wake_reader(struct waiting *w)
{
    assert_int_equal(write(w->fds[1], "x", 1), 1);
}

static void
wake_writer(struct waiting *w)
{
    char octets[2048];

    while (read(w->fds[1], octets, sizeof(octets)) > 0)
        continue;
}

static const struct {
    const char *name;
    enum wait_result (*wait)(struct waiting *w);
    void (*wake)(struct waiting *w); /* NULL: only time does */
} kinds[] = {
    { "sleep", wait_sleep, NULL },
    { "cond", wait_cond, wake_cond },
    { "readable", wait_readable, wake_reader },
    { "writable", wait_writable, wake_writer },
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static size_t kind;

static void
wait_as_told(void *arg)
{
    struct waiting *w = arg;

    if (w->shield)
        fiber_shield();
    if (io_wait_init(&w->io, w->fds[0]) < 0)
        return;
    /* Take the edge of being writable. */
    if (io_wait_writable(&w->io, CLOCK_NEVER) == WAIT_CANCELLED &&
        !fiber_cancelled())
        return;
    w->result = kinds[kind].wait(w);
    io_wait_fini(&w->io);
    w->ended = true;
}

static struct fiber *
begin_wait(struct waiting *w, int64_t deadline)
{
    struct fiber *f;

    *w = (struct waiting){ .deadline = deadline, .shield = w->shield };
    print_message("  %s\n", kinds[kind].name);
    fiber_cond_init(&w->cond);
    assert_int_equal(sock_pair(w->fds), 0);
    f = spawn(wait_as_told, w);
    return f;
}

static void
end_wait(struct waiting *w)
{
    assert_true(w->ended);
    (void)close(w->fds[0]);
    (void)close(w->fds[1]);
    assert_int_equal(sched_count(), 0);
}

static void
test_woken(void **state)
{
    (void)state;
    for (kind = 0; kind < KINDS; kind++) {
        struct waiting w = { .shield = false };

        if (kinds[kind].wake == NULL)
            continue;
        (void)begin_wait(&w, CLOCK_NEVER);
        settle();
        assert_false(w.ended);
        kinds[kind].wake(&w);
        settle();
        assert_int_equal(w.result, WAIT_OK);
        end_wait(&w);
    }
}

static void
test_timeout(void **state)
{
    (void)state;
    for (kind = 0; kind < KINDS; kind++) {
        struct waiting w = { .shield = false };

        (void)begin_wait(&w, clock_now_ms() + 50);
        settle();
        advance(49);
        assert_false(w.ended);
        advance(1);
        assert_int_equal(w.result, WAIT_TIMEOUT);
        end_wait(&w);
    }
}

static void
test_cancel(void **state)
{
    (void)state;
    for (kind = 0; kind < KINDS; kind++) {
        struct waiting w = { .shield = false };
        struct fiber *f = begin_wait(&w, CLOCK_NEVER);

        settle();
        fiber_cancel(f);
        assert_false(w.ended); /* it does not run at once */
        settle();
        assert_int_equal(w.result, WAIT_CANCELLED);
        end_wait(&w);
    }
}

/* Cancelled before it ever waits. */
static void
test_cancel_early(void **state)
{
    (void)state;
    for (kind = 0; kind < KINDS; kind++) {
        struct waiting w = { .shield = false };

        fiber_cancel(begin_wait(&w, CLOCK_NEVER));
        settle();
        assert_int_equal(w.result, WAIT_CANCELLED);
        end_wait(&w);
    }
}

static void
test_shield(void **state)
{
    (void)state;
    for (kind = 0; kind < KINDS; kind++) {
        struct waiting w = { .shield = true };
        struct fiber *f = begin_wait(&w, clock_now_ms() + 50);

        settle();
        fiber_cancel(f);
        settle();
        assert_false(w.ended);
        advance(50);
        assert_int_equal(w.result, WAIT_TIMEOUT);
        end_wait(&w);
    }
}

/* Woken first and cancelled afterwards, in one turn: the wake-up counts. */
static void
test_wake_then_cancel(void **state)
{
    struct waiting w = { .shield = false };
    struct fiber *f;

    (void)state;
    kind = 1;
    f = begin_wait(&w, CLOCK_NEVER);
    settle();
    fiber_cond_signal(&w.cond);
    fiber_cancel(f);
    settle();
    assert_int_equal(w.result, WAIT_OK);
    end_wait(&w);
}

/* Conditions */

struct taker {
    struct fiber_cond *cond;
    const char *name;
    int64_t deadline;
};

static void
take_turn(void *arg)
{
    struct taker *t = arg;
    enum wait_result result = fiber_cond_wait(t->cond, t->deadline);

    note(t->name);
    note(result_names[result]);
}

static void
test_cond_fifo(void **state)
{
    struct fiber_cond cond;
    struct taker takers[] = {
        { &cond, "a:", CLOCK_NEVER },
        { &cond, "b:", NOW + 10 },
        { &cond, "c:", CLOCK_NEVER },
        { &cond, "d:", CLOCK_NEVER },
    };

    (void)state;
    fiber_cond_init(&cond);
    fiber_cond_signal(&cond); /* nobody there: not kept */
    for (unsigned i = 0; i < 4; i++)
        spawn(take_turn, &takers[i]);
    settle();
    assert_string_equal(notes, "");
    fiber_cond_signal(&cond);
    settle();
    assert_string_equal(notes, "a:ok ");
    advance(10);
    assert_string_equal(notes, "a:ok b:timeout ");
    fiber_cond_broadcast(&cond);
    settle();
    assert_string_equal(notes, "a:ok b:timeout c:ok d:ok ");
    assert_true(list_empty(&cond.waiters));
}

/* Timers */

static int64_t fired[MANY];
static unsigned fired_count;

static void
on_fire(void *arg)
{
    struct fiber_timer *t = arg;

    fired[fired_count++] = t->deadline_ms;
}

static void
test_timers_in_order(void **state)
{
    static struct fiber_timer timers[MANY];
    uint32_t x = 1;

    (void)state;
    fired_count = 0;
    for (unsigned i = 0; i < MANY; i++) {
        x = x * 1103515245 + 12345;
        timers[i] = (struct fiber_timer){ .fn = on_fire, .arg = &timers[i] };
        fiber_timer_arm(&timers[i], NOW + 1 + (x >> 16) % 1000);
    }
    /* Some move, some go. */
    for (unsigned i = 0; i < MANY; i += 3)
        fiber_timer_arm(&timers[i], timers[i].deadline_ms / 2 + NOW);
    for (unsigned i = 1; i < MANY; i += 3)
        fiber_timer_disarm(&timers[i]);
    advance(2000);
    assert_int_equal(fired_count, MANY - (MANY + 1) / 3);
    for (unsigned i = 1; i < fired_count; i++)
        assert_true(fired[i - 1] <= fired[i]);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(timers[i].slot, 0);
    assert_true(sched_next_deadline() == CLOCK_NEVER);
}

static void
on_fire_again(void *arg)
{
    struct fiber_timer *t = arg;

    fired_count++;
    if (fired_count < 3)
        fiber_timer_arm(t, 0); /* in the past */
}

static void
test_timer_rearms_itself(void **state)
{
    struct fiber_timer t = { .fn = on_fire_again, .arg = &t };

    (void)state;
    fired_count = 0;
    fiber_timer_arm(&t, NOW + 5);
    assert_true(sched_next_deadline() == NOW + 5);
    settle();
    assert_int_equal(fired_count, 0);
    advance(5);
    assert_int_equal(fired_count, 3);
    fiber_timer_disarm(&t); /* harmless */
}

/* Deadlines that move outwards and inwards from wait to wait. */
static void
sleep_variously(void *arg)
{
    static const int64_t deadlines[] = { 100, 500, 200, 900, CLOCK_NEVER, 300 };
    struct fiber_cond *cond = arg;
    char text[32];

    for (unsigned i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
        enum wait_result result = fiber_cond_wait(cond,
            deadlines[i] == CLOCK_NEVER ? CLOCK_NEVER : NOW + deadlines[i]);

        (void)snprintf(text, sizeof(text), "%d@%d ", (int)result,
            (int)(clock_now_ms() - NOW));
        note(text);
    }
}

static void
test_deadlines_move(void **state)
{
    struct fiber_cond cond;

    (void)state;
    fiber_cond_init(&cond);
    spawn(sleep_variously, &cond);
    settle();
    fiber_cond_signal(&cond); /* ends the wait until 100 */
    settle();
    for (unsigned ms = 0; ms < 1000; ms += 50) {
        advance(50);
        if (ms == 800) {
            fiber_cond_signal(&cond);
            settle();
        }
    }
    /* 500 is reached; 200 has passed then; 900 is woken before it comes. */
    assert_string_equal(notes, "0@0 1@500 1@500 0@850 ");
    fiber_cond_signal(&cond);
    settle();
    assert_string_equal(notes, "0@0 1@500 1@500 0@850 0@1000 1@1000 ");
}

/* Descriptors */

static void
read_later(void *arg)
{
    int *fds = arg;
    struct io_wait w;
    char c;

    if (io_wait_init(&w, fds[0]) < 0)
        note("init ");
    (void)fiber_sleep_until(NOW + 10);
    /* The edge came while we slept. */
    note(result_names[io_wait_readable(&w, NOW + 20)]);
    if (read(fds[0], &c, 1) != 1)
        note("no octet ");
    /* It is used up. */
    note(result_names[io_wait_readable(&w, NOW + 20)]);
    note(result_names[io_wait_readable(&w, CLOCK_NEVER)]);
    /* The end is not. */
    note(result_names[io_wait_readable(&w, CLOCK_NEVER)]);
    note(w.hangup ? "hangup " : "");
    io_wait_fini(&w);
}

static void
test_edges(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(sock_pair(fds), 0);
    spawn(read_later, fds);
    settle();
    assert_int_equal(write(fds[1], "x", 1), 1);
    settle();
    assert_string_equal(notes, "");
    advance(10);
    assert_string_equal(notes, "ok ");
    advance(10);
    assert_string_equal(notes, "ok timeout ");
    (void)close(fds[1]);
    settle();
    assert_string_equal(notes, "ok timeout ok ok hangup ");
    (void)close(fds[0]);
}

static void
yield_until_told(void *arg)
{
    bool *told = arg;

    while (!*told)
        fiber_yield();
}

static int told_fds[2];

static void
tell(void *arg)
{
    bool *told = arg;
    struct io_wait w;

    if (io_wait_init(&w, told_fds[0]) == 0) {
        note(result_names[io_wait_readable(&w, CLOCK_NEVER)]);
        io_wait_fini(&w);
    }
    *told = true;
}

/* One that never waits does not keep descriptors from being seen. */
static void
test_yield_is_fair(void **state)
{
    bool told = false;

    (void)state;
    assert_int_equal(sock_pair(told_fds), 0);
    spawn(tell, &told);
    spawn(yield_until_told, &told);
    assert_int_equal(write(told_fds[1], "x", 1), 1);
    sched_run();
    assert_string_equal(notes, "ok ");
    (void)close(told_fds[0]);
    (void)close(told_fds[1]);
}

/* Hooks */

struct hooked {
    struct sched_hook hook;
    struct fiber_cond cond;
    unsigned runs, wakes;
};

static void
on_turn(void *context)
{
    struct hooked *h = context;

    h->runs++;
    if (h->wakes > 0) {
        h->wakes--;
        note("hook ");
        fiber_cond_signal(&h->cond);
    }
}

static void
wait_for_hook(void *arg)
{
    struct hooked *h = arg;

    for (unsigned i = 0; i < 2; i++)
        note(result_names[fiber_cond_wait(&h->cond, CLOCK_NEVER)]);
}

static void
test_hooks(void **state)
{
    struct hooked h = { .wakes = 2 };

    (void)state;
    fiber_cond_init(&h.cond);
    h.hook.run = on_turn;
    h.hook.context = &h;
    sched_add_hook(&h.hook);
    spawn(wait_for_hook, &h);
    (void)sched_turn();
    /* What a hook wakes runs before the turn ends, then hooks run again. */
    assert_string_equal(notes, "hook ok hook ok ");
    assert_int_equal(h.runs, 3);
    sched_remove_hook(&h.hook);
    (void)sched_turn();
    assert_int_equal(h.runs, 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIBER_TEST(test_woken),
        FIBER_TEST(test_timeout),
        FIBER_TEST(test_cancel),
        FIBER_TEST(test_cancel_early),
        FIBER_TEST(test_shield),
        FIBER_TEST(test_wake_then_cancel),
        FIBER_TEST(test_cond_fifo),
        FIBER_TEST(test_timers_in_order),
        FIBER_TEST(test_timer_rearms_itself),
        FIBER_TEST(test_deadlines_move),
        FIBER_TEST(test_edges),
        FIBER_TEST(test_yield_is_fair),
        FIBER_TEST(test_hooks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

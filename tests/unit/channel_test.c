#include "lib/io/channel.h"

#include "tests/unit/fibers.h"

#include <pthread.h>
#include <stdio.h>

/* Each sender sends 1 .. EACH times its number. */
enum { SENDERS = 3, EACH = 2000, BATCH = 16 };

struct sending {
    struct channel *ch;
    uintptr_t number;
};

static void *
send_all(void *arg)
{
    struct sending *s = arg;

    for (uintptr_t i = 1; i <= EACH; i++) {
        while (!channel_reserve(s->ch, 1))
            (void)sched_yield();
        channel_send(s->ch, (void *)(i * SENDERS + s->number));
    }
    return NULL;
}

struct receiving {
    struct channel *ch;
    size_t count;
    uintptr_t last[SENDERS]; /* of each sender */
    bool in_order;
};

static void
take_in(struct receiving *r, void **messages, size_t n)
{
    r->count += n;
    for (size_t i = 0; i < n; i++) {
        uintptr_t value = (uintptr_t)messages[i];

        if (value <= r->last[value % SENDERS])
            r->in_order = false;
        r->last[value % SENDERS] = value;
    }
}

static void
receive_in_fiber(void *arg)
{
    struct receiving *r = arg;
    void *messages[BATCH];
    size_t n;

    while ((n = channel_receive(r->ch, messages, BATCH)) > 0)
        take_in(r, messages, n);
}

static void *
receive_in_thread(void *arg)
{
    struct receiving *r = arg;
    void *messages[BATCH];
    size_t n;

    while ((n = channel_receive_wait(r->ch, messages, BATCH)) > 0)
        take_in(r, messages, n);
    return NULL;
}

static void *
close_after(void *arg)
{
    struct sending *s = arg;
    pthread_t threads[SENDERS];

    for (unsigned i = 0; i < SENDERS; i++) {
        s[i].number = i;
        (void)pthread_create(&threads[i], NULL, send_all, &s[i]);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        (void)pthread_join(threads[i], NULL);
    channel_close(s->ch);
    return NULL;
}

static void
check_received(const struct receiving *r)
{
    assert_int_equal(r->count, SENDERS * EACH);
    assert_true(r->in_order);
    for (uintptr_t i = 0; i < SENDERS; i++)
        assert_int_equal(r->last[i], EACH * SENDERS + i);
}

static const size_t capacities[] = { 1, 2, 64 };

static void
test_to_scheduler(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
        struct channel *ch = channel_new(capacities[i]);
        struct sending s[SENDERS] = { { ch, 0 }, { ch, 0 }, { ch, 0 } };
        struct receiving r = { .ch = ch, .in_order = true };
        pthread_t closer;

        assert_int_equal(channel_attach(ch), 0);
        spawn(receive_in_fiber, &r);
        assert_int_equal(pthread_create(&closer, NULL, close_after, s), 0);
        sched_run();
        (void)pthread_join(closer, NULL);
        check_received(&r);
        channel_free(ch);
    }
}

static void
test_to_thread(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
        struct channel *ch = channel_new(capacities[i]);
        struct sending s[SENDERS] = { { ch, 0 }, { ch, 0 }, { ch, 0 } };
        struct receiving r = { .ch = ch, .in_order = true };
        pthread_t receiver;

        assert_int_equal(pthread_create(&receiver, NULL, receive_in_thread, &r),
            0);
        (void)close_after(s);
        (void)pthread_join(receiver, NULL);
        check_received(&r);
        channel_free(ch);
    }
}

static void
test_reserve(void **state)
{
    struct channel *ch = channel_new(3);
    void *messages[4];
    int a, b;

    (void)state;
    assert_false(channel_reserve(ch, 4));
    assert_true(channel_reserve(ch, 2));
    assert_false(channel_reserve(ch, 2));
    channel_send(ch, &a); /* one promised, one in it */
    assert_false(channel_reserve(ch, 2));
    assert_true(channel_reserve(ch, 1));
    assert_false(channel_reserve(ch, 1));
    channel_unreserve(ch, 1);
    channel_send(ch, &b);
    assert_int_equal(channel_receive_wait(ch, messages, 1), 1);
    assert_ptr_equal(messages[0], &a);
    assert_true(channel_reserve(ch, 2)); /* around the end of the ring */
    assert_false(channel_reserve(ch, 1));
    channel_send(ch, &a);
    channel_send(ch, &b);
    channel_close(ch);
    assert_int_equal(channel_receive_wait(ch, messages, 4), 3);
    assert_ptr_equal(messages[0], &b);
    assert_ptr_equal(messages[1], &a);
    assert_ptr_equal(messages[2], &b);
    assert_int_equal(channel_receive_wait(ch, messages, 4), 0);
    channel_free(ch);
    channel_free(NULL);
}

static void
receive_once(void *arg)
{
    void *messages[1];

    note(channel_receive(arg, messages, 1) == 0 ? "nothing " : "something ");
}

/* Cancelled, closed while it waits, closed before. */
static void
test_ends(void **state)
{
    struct channel *ch = channel_new(1);
    struct fiber *f;

    (void)state;
    assert_int_equal(channel_attach(ch), 0);
    f = spawn(receive_once, ch);
    settle();
    fiber_cancel(f);
    settle();
    assert_string_equal(notes, "nothing ");
    spawn(receive_once, ch);
    settle();
    assert_true(channel_reserve(ch, 1));
    channel_send(ch, ch);
    settle();
    assert_string_equal(notes, "nothing something ");
    spawn(receive_once, ch);
    settle();
    channel_close(ch);
    settle();
    assert_string_equal(notes, "nothing something nothing ");
    spawn(receive_once, ch);
    settle();
    assert_string_equal(notes, "nothing something nothing nothing ");
    channel_free(ch);
}

static void
receive_and_free(void *arg)
{
    struct channel *ch = arg;
    void *messages[1];

    note(channel_receive(ch, messages, 1) == 0 ? "nothing " : "something ");
    channel_free(ch);
}

/* A wake-up that is under way does not find the channel gone. */
static void
test_free_with_wake_up(void **state)
{
    struct channel *ch = channel_new(1);
    struct fiber *f;

    (void)state;
    assert_int_equal(channel_attach(ch), 0);
    f = spawn(receive_and_free, ch);
    settle();
    channel_close(ch); /* posts */
    fiber_cancel(f);   /* wakes it before the post does */
    settle();
    assert_string_equal(notes, "nothing ");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIBER_TEST(test_to_scheduler),
        FIBER_TEST(test_to_thread),
        FIBER_TEST(test_reserve),
        FIBER_TEST(test_ends),
        FIBER_TEST(test_free_with_wake_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

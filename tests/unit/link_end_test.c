/*
 * How requests and links end: answered too late, cancelled, closed, the peer
 * gone.
 */
#include "lib/ipc/link.h"
#include "lib/ipc/link_private.h"
#include "tests/unit/link_ends.h"

#include <unistd.h>

/* Asked with a deadline: the peer that does not answer is dropped. */

static void
count_lost(struct msg_in *answer, void *context)
{
    CHECK(answer == NULL);
    msg_in_free(answer);
    ++*(unsigned *)context;
}

static void
count_answered(struct msg_in *answer, void *context)
{
    CHECK(answer != NULL);
    msg_in_free(answer);
    ++*(unsigned *)context;
}

static void
overdue_fiber(void *arg)
{
    unsigned lost = 0, answered = 0;
    int64_t first = clock_now_ms() + 200, last = first + 300;
    struct end a, b;
    struct msg m;

    (void)arg;
    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, keep_all);
    put_count(&m, MESSAGE_LEASE, 1);
    link_ask_until(a.link, &m, first, count_answered, &answered);
    put_count(&m, MESSAGE_LEASE, 2);
    link_ask(a.link, &m, count_lost, &lost);
    put_count(&m, MESSAGE_LEASE, 3);
    link_ask_until(a.link, &m, last, count_lost, &lost);
    fiber_yield();
    (void)fiber_sleep_until(clock_now_ms() + 1);
    CHECK(b.kept_count == 3);
    serve_lease(b.kept[0]);
    (void)fiber_sleep_until(first + 10);
    CHECK(answered == 1);
    CHECK((lost == 0 && a.gone == 0) || clock_now_ms() >= last);
    (void)fiber_sleep_until(last + 10);
    settle();
    CHECK(lost == 2 && a.gone == 1);
    CHECK(strstr(logged, "link to qmgr dropped: LEASE: not answered in time") !=
        NULL);
    for (unsigned i = 1; i < b.kept_count; i++)
        request_drop(b.kept[i]);
    settle();
}

static void
test_overdue(void **state)
{
    (void)state;
    run(overdue_fiber, NULL);
}

static void
timeout_fiber(void *arg)
{
    struct end a, b;
    struct msg m;
    struct msg_in *answer = NULL;

    (void)arg;
    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, keep_all);
    put_count(&m, MESSAGE_LEASE, 1);
    CHECK(link_call(a.link, &m, clock_now_ms() + 5, &answer) == LINK_TIMEOUT);
    CHECK(b.kept_count == 1);

    /* The late answer harms nobody. */
    if (b.kept_count == 1)
        serve_lease(b.kept[0]);
    settle();
    CHECK(a.gone == 0 && b.gone == 0);
    link_close(b.link);
    settle();
    CHECK(a.gone == 1);
}

static void
test_timeout(void **state)
{
    (void)state;
    run(timeout_fiber, NULL);
}

static void
gone_fiber(void *arg)
{
    struct end a, b;
    struct waiting_call calls[10];
    struct fiber *f = NULL;

    (void)arg;
    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, keep_all);
    for (int i = 0; i < 10; i++) {
        calls[i] = (struct waiting_call){ .a = &a };
        f = fiber_spawn("call", waiting_call_fiber, &calls[i]);
        CHECK(f != NULL);
    }
    settle();
    fiber_cancel(f);
    settle();
    CHECK(calls[9].done && calls[9].status == LINK_CANCELLED);
    CHECK(b.kept_count == 10);

    link_close(b.link); /* the peer dies with requests under way */
    settle();
    CHECK(a.gone == 1 && b.gone == 0);
    for (int i = 0; i < 9; i++)
        CHECK(calls[i].done && calls[i].status == LINK_GONE);

    /* What the dead one was serving has lost its way back. */
    for (unsigned i = 0; i < b.kept_count; i++) {
        struct msg answer;

        CHECK(b.kept[i]->link == NULL && b.kept[i]->context == NULL);
        put_count(&answer, MESSAGE_LEASED, 1);
        request_reply(b.kept[i], &answer);
    }
    CHECK(logged[0] == '\0');
}

static void
test_gone(void **state)
{
    (void)state;
    run(gone_fiber, NULL);
}

static void
close_fiber(void *arg)
{
    struct end a, b;
    struct msg m;
    int null = 0;

    (void)arg;
    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, keep_all);
    put_count(&m, MESSAGE_LEASE, 1);
    link_ask(a.link, &m, note_null, &null);
    link_close(a.link);
    CHECK(null == 1);
    link_close(a.link); /* its fiber has not run yet: harmless */
    settle();
    CHECK(a.gone == 0 && b.gone == 1);
    CHECK(b.kept_count == 1); /* what was asked before had been sent */
    for (unsigned i = 0; i < b.kept_count; i++)
        request_drop(b.kept[i]);
}

static void
test_close(void **state)
{
    (void)state;
    run(close_fiber, NULL);
}

/* One who asks again whenever he is told that the link is gone, like qmgr. */
struct stubborn {
    struct end *us;
    unsigned told;
    bool asking; /* inside link_ask() */
    bool inside; /* was told there */
};

static void stubborn_ask(struct stubborn *s);

static void
stubborn_told(struct msg_in *answer, void *context)
{
    struct stubborn *s = context;

    CHECK(answer == NULL);
    s->told++;
    s->inside |= s->asking;
    if (s->us->link != NULL && s->told < 1000)
        stubborn_ask(s);
}

static void
stubborn_ask(struct stubborn *s)
{
    bool before = s->asking;
    struct msg m;

    s->asking = true;
    put_count(&m, MESSAGE_LEASE, 1);
    link_ask(s->us->link, &m, stubborn_told, s);
    s->asking = before;
}

static void
stubborn_fiber(void *arg)
{
    struct end us;
    struct stubborn s = { .us = &us };
    int fds[2];

    (void)arg;
    /* The peer dies. */
    CHECK(sock_pair(fds) == 0);
    open_end(&us, fds[0], ROLE_SMTPD, ROLE_QMGR, NULL);
    stubborn_ask(&s);
    settle();
    CHECK(s.told == 0);
    close(fds[1]);
    settle();
    CHECK(us.gone == 1 && s.told >= 1 && s.told < 10 && !s.inside);

    /* It breaks a rule, and is asked before the link has ended. */
    s.told = 0;
    CHECK(sock_pair(fds) == 0);
    open_end(&us, fds[0], ROLE_SMTPD, ROLE_QMGR, NULL);
    link_break_with(us.link, MESSAGE_NONE, "for a test");
    stubborn_ask(&s);
    CHECK(s.told == 0);
    settle();
    CHECK(us.gone == 1 && s.told >= 1 && s.told < 10 && !s.inside);
    close(fds[1]);
}

static void
test_stubborn(void **state)
{
    (void)state;
    run(stubborn_fiber, NULL);
}

/* No descriptor may be left behind. */
static void
test_no_leak(void **state)
{
    int before = count_fds();

    (void)state;
    run(gone_fiber, NULL);
    assert_int_equal(count_fds(), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_overdue),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_stubborn),
        cmocka_unit_test(test_no_leak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

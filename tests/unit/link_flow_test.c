/*
 * Who takes what is sent, and when: streams, links that are held, peers that
 * read slowly or not at all.
 */
#include "lib/base/buf.h"
#include "lib/io/stream.h"
#include "lib/ipc/frame.h"
#include "lib/ipc/link.h"
#include "lib/ipc/link_private.h"
#include "tests/unit/link_ends.h"

#include <unistd.h>

enum { ITEMS = 3000 };

static void
serve_list(struct request *r)
{
    struct msg m;

    for (unsigned i = 0; i < ITEMS; i++) {
        msg_init(&m, MESSAGE_QUEUE_ITEM);
        CHECK(buf_reserve(&m.body, 2000) != NULL);
        buf_advance(&m.body, 2000);
        request_item(r, &m);
        CHECK(request_wait_room(r, soon()) == LINK_OK);
        CHECK(link_backlog(r->link) < LINK_ROOM + 4096);
    }
    put_count(&m, MESSAGE_QUEUE_DONE, ITEMS);
    request_reply(r, &m);
}

static const struct link_handler list_handlers[] = {
    { MESSAGE_QUEUE_LIST, serve_list, SERVE_FIBER },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

static void
count_items(struct msg_in *in, void *context)
{
    unsigned *items = context;

    CHECK(in != NULL);
    if (in == NULL)
        return;
    if (in->type == MESSAGE_QUEUE_ITEM)
        (*items)++;
    else
        CHECK(count_of(in) == *items);
    msg_in_free(in);
}

static void
stream_fiber(void *arg)
{
    struct end a, b;
    struct msg m;
    unsigned items = 0;

    (void)arg;
    open_pair(&a, &b, ROLE_COMMAND, ROLE_QMGR, list_handlers);
    msg_init(&m, MESSAGE_QUEUE_LIST);
    link_ask(a.link, &m, count_items, &items);
    for (int i = 0; i < 5000 && items < ITEMS; i++)
        (void)fiber_sleep_until(clock_now_ms() + 1);
    settle();
    CHECK(items == ITEMS);
    link_close(a.link);
}

static void
test_stream(void **state)
{
    (void)state;
    run(stream_fiber, NULL);
}

static void
hold_fiber(void *arg)
{
    struct end a, b = { .gone = 0 };
    struct link_options options = {
        .self = ROLE_QMGR,
        .peer = ROLE_SMTPD,
        .peer_name = "smtpd",
        .handlers = lease_inline,
        .context = &b,
        .on_gone = count_gone,
        .hold = true,
    };
    struct many many = { 0, 0 };
    int fds[2];

    (void)arg;
    CHECK(sock_pair(fds) == 0);
    open_end(&a, fds[0], ROLE_SMTPD, ROLE_QMGR, NULL);
    b.link = link_open(fds[1], &options);
    for (uint64_t i = 1; i <= 100; i++) {
        struct msg m;

        put_count(&m, MESSAGE_LEASE, i);
        link_ask(a.link, &m, many_done, &many);
    }
    settle();
    CHECK(b.served == 0);
    link_release(b.link);
    settle();
    CHECK(b.served == 100 && many.answered == 100);
    link_close(b.link);
}

static void
test_hold(void **state)
{
    (void)state;
    run(hold_fiber, NULL);
}

/* A peer that takes nothing: dropped when 64 MB lie here, and not before. */
static void
backlog_fiber(void *arg)
{
    struct end us;
    int fds[2];
    size_t sent = 0;

    (void)arg;
    CHECK(sock_pair(fds) == 0);
    open_end(&us, fds[0], ROLE_QMGR, ROLE_SMTPD, NULL);
    while (us.link != NULL && sent < 2 * (size_t)LINK_BACKLOG_MAX) {
        struct msg m;

        msg_init(&m, MESSAGE_PRESSURE);
        CHECK(buf_reserve(&m.body, 60000) != NULL);
        buf_advance(&m.body, 60000);
        link_send(us.link, &m);
        sent += 60000;
        fiber_yield();
    }
    CHECK(us.gone == 1 && sent > LINK_BACKLOG_MAX);
    CHECK(strstr(logged, "PRESSURE: the peer does not take what we send"));
    close(fds[1]);
}

static void
test_backlog(void **state)
{
    (void)state;
    run(backlog_fiber, NULL);
}

struct submitters {
    struct end *a;
    unsigned done;
};

static void
submit_megabyte(void *arg)
{
    struct submitters *s = arg;
    struct msg m;
    struct msg_in *answer = NULL;

    msg_init(&m, MESSAGE_SUBMIT);
    CHECK(buf_reserve(&m.body, 1000000) != NULL);
    buf_advance(&m.body, 1000000);
    CHECK(link_call(s->a->link, &m, soon(), &answer) == LINK_OK);
    msg_in_free(answer);
    s->done++;
}

/* More than the backlog may hold at once: the callers wait, nothing is lost. */
static void
pressure_fiber(void *arg)
{
    struct end a, b = { .gone = 0 };
    struct submitters s = { .a = &a };
    struct link_options options = {
        .self = ROLE_QMGR,
        .peer = ROLE_SMTPD,
        .peer_name = "smtpd",
        .handlers = keep_all,
        .context = &b,
        .on_gone = count_gone,
        .pause_at = 5000000,
    };
    int fds[2];

    (void)arg;
    CHECK(sock_pair(fds) == 0);
    open_end(&a, fds[0], ROLE_SMTPD, ROLE_QMGR, NULL);
    b.link = link_open(fds[1], &options);
    for (int i = 0; i < 100; i++)
        CHECK(fiber_spawn("submit", submit_megabyte, &s) != NULL);
    settle();
    while (s.done < 100 && b.gone == 0) {
        CHECK(b.kept_count <= 7); /* it paused */
        CHECK(link_backlog(a.link) < 4 * LINK_ROOM);
        for (unsigned i = 0; i < b.kept_count; i++) {
            struct msg answer;

            put_count(&answer, MESSAGE_SUBMITTED, 0);
            request_reply(b.kept[i], &answer);
        }
        b.kept_count = 0;
        (void)fiber_sleep_until(clock_now_ms() + 1);
    }
    CHECK(s.done == 100 && a.gone == 0);
    link_close(a.link);
}

static void
test_pressure(void **state)
{
    (void)state;
    run(pressure_fiber, NULL);
}

/* A link, and how many requests of a busy one were served before its own. */
struct quiet {
    struct end end;
    const struct end *busy;
    unsigned waited_for;
};

static void
serve_quiet(struct request *r)
{
    struct quiet *q = LIST_ENTRY(r->context, struct quiet, end);

    q->waited_for = q->busy->served;
    serve_lease(r);
}

static const struct link_handler quiet_handlers[] = {
    { MESSAGE_LEASE, serve_quiet, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

enum {
    BUSY = 2000,        /* requests in one read */
    TURN_OCTETS = 2048, /* of a link, until another has its turn */
};

static void
ask_for_leases(struct end *e, uint64_t count, struct many *many)
{
    for (uint64_t i = 1; i <= count; i++) {
        struct msg m;

        put_count(&m, MESSAGE_LEASE, i);
        link_ask(e->link, &m, many_done, many);
    }
}

/* All has been sent before anything is read, that of the busy one first. */
static void
turns_fiber(void *arg)
{
    struct end busy_peer, busy, quiet_peer;
    struct quiet quiet = { .busy = &busy };
    struct many busy_answers = { 0, 0 }, quiet_answers = { 0, 0 };
    int busy_fds[2], quiet_fds[2];

    (void)arg;
    CHECK(sock_pair(busy_fds) == 0);
    CHECK(sock_pair(quiet_fds) == 0);
    open_end(&busy_peer, busy_fds[0], ROLE_SMTPD, ROLE_QMGR, NULL);
    open_end(&quiet_peer, quiet_fds[0], ROLE_SMTPD, ROLE_QMGR, NULL);
    ask_for_leases(&busy_peer, BUSY, &busy_answers);
    ask_for_leases(&quiet_peer, 1, &quiet_answers);
    settle();
    open_end(&busy, busy_fds[1], ROLE_QMGR, ROLE_SMTPD, lease_inline);
    open_end(&quiet.end, quiet_fds[1], ROLE_QMGR, ROLE_SMTPD, quiet_handlers);
    settle();
    CHECK(busy_answers.answered == BUSY && quiet_answers.answered == 1);
    CHECK(quiet.waited_for > 0); /* or it was first, and this shows nothing */
    CHECK(quiet.waited_for <= TURN_OCTETS / FRAME_HEAD);
    link_close(busy_peer.link);
    link_close(quiet_peer.link);
}

/* A peer with much to say does not keep the others waiting until it is done. */
static void
test_turns(void **state)
{
    (void)state;
    run(turns_fiber, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_backlog),
        cmocka_unit_test(test_pressure),
        cmocka_unit_test(test_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

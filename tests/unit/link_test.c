#include "lib/ipc/link.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/put.h"
#include "lib/base/tlv.h"
#include "lib/io/fiber.h"
#include "lib/io/sock.h"
#include "lib/ipc/frame.h"
#include "lib/ipc/link_private.h"

#include <assert.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * A failed cmocka assertion jumps, which it must not do on a fiber's stack:
 * fibers note the first failure, and the test asserts on it when they are done.
 */
static int failed_line;
#define CHECK(cond)                      \
    do {                                 \
        if (!(cond) && failed_line == 0) \
            failed_line = __LINE__;      \
    } while (0)

static char log_text[8192];

static void
keep_log(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    size_t used = strlen(log_text);

    (void)context;
    (void)level;
    (void)tag;
    snprintf(log_text + used, sizeof(log_text) - used, SLICE_FMT "\n",
        SLICE_ARG(line));
}

static void
run(fiber_fn fn, void *arg)
{
    failed_line = 0;
    log_text[0] = '\0';
    log_set_sink(keep_log, NULL, NULL);
    sched_open();
    assert_non_null(fiber_spawn("test", fn, arg));
    sched_run();
    sched_close();
    log_set_sink(NULL, NULL, NULL);
    if (failed_line != 0)
        fail_msg("line %d; log: %s", failed_line, log_text);
}

/* One end of a link, and what happened to it. */
struct end {
    struct link *link;
    int gone;
    unsigned served;
    struct request *kept[110];
    unsigned kept_count;
};

static void
count_gone(struct link *l, void *context)
{
    struct end *e = context;

    CHECK(e->link == l);
    e->link = NULL;
    e->gone++;
}

static void
open_end(struct end *e, int fd, enum role self, enum role peer,
    const struct link_handler *handlers)
{
    struct link_options options = {
        .self = self,
        .peer = peer,
        .peer_name = role_name(peer),
        .handlers = handlers,
        .context = e,
        .on_gone = count_gone,
    };

    *e = (struct end){ .link = link_open(fd, &options) };
    CHECK(e->link != NULL);
}

static void
open_pair(struct end *a, struct end *b, enum role a_role, enum role b_role,
    const struct link_handler *handlers)
{
    int fds[2];

    CHECK(sock_pair(fds) == 0);
    open_end(a, fds[0], a_role, b_role, NULL);
    open_end(b, fds[1], b_role, a_role, handlers);
}

static int64_t
soon(void)
{
    return clock_now_ms() + 60000; /* a busy machine, and a sanitizer */
}

/* Let what is runnable run, until nothing more comes of it. */
static void
settle(void)
{
    for (int i = 0; i < 20; i++)
        (void)fiber_sleep_until(clock_now_ms() + 1);
}

static uint64_t
count_of(const struct msg_in *in)
{
    struct slice rest = in->body;
    struct tlv t;
    uint64_t n = 0;

    while (tlv_next(&rest, &t))
        if (t.tag == ATTR_COUNT && !tlv_u64(t.value, UINT64_MAX, &n))
            n = 0;
    return n;
}

static void
put_count(struct msg *m, enum message type, uint64_t n)
{
    msg_init(m, type);
    tlv_put_u64(&m->body, ATTR_COUNT, n);
}

/* Answers LEASE with twice its number. */
static void
serve_lease(struct request *r)
{
    struct msg answer;

    assert(r != NULL);
    ((struct end *)r->context)->served++;
    put_count(&answer, MESSAGE_LEASED, 2 * count_of(r->in));
    request_reply(r, &answer);
}

static void
serve_lease_late(struct request *r)
{
    (void)fiber_sleep_until(clock_now_ms() + 1);
    serve_lease(r);
}

static void
keep_request(struct request *r)
{
    struct end *e = r->context;

    e->kept[e->kept_count++] = r;
}

static void
drop_request(struct request *r)
{
    ((struct end *)r->context)->served++;
    request_drop(r);
}

static const struct link_handler lease_inline[] = {
    { MESSAGE_LEASE, serve_lease, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};
static const struct link_handler lease_fiber[] = {
    { MESSAGE_LEASE, serve_lease_late, SERVE_FIBER },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};
static const struct link_handler keep_all[] = {
    { MESSAGE_LEASE, keep_request, SERVE_INLINE },
    { MESSAGE_SUBMIT, keep_request, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

static void
call_twice(const struct link_handler *handlers)
{
    struct end a, b;

    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, handlers);
    for (uint64_t i = 1; i <= 2; i++) {
        struct msg m;
        struct msg_in *answer = NULL;

        put_count(&m, MESSAGE_LEASE, i);
        CHECK(link_call(a.link, &m, soon(), &answer) == LINK_OK);
        CHECK(answer != NULL && answer->type == MESSAGE_LEASED);
        CHECK(answer != NULL && count_of(answer) == 2 * i);
        msg_in_free(answer);
    }
    CHECK(b.served == 2);
    link_close(a.link);
    settle();
    CHECK(a.gone == 0 && b.gone == 1);
}

static void
call_fiber(void *arg)
{
    (void)arg;
    call_twice(lease_inline);
    call_twice(lease_fiber);
}

static void
test_call(void **state)
{
    (void)state;
    run(call_fiber, NULL);
}

enum { MANY = 20000 };
struct many {
    uint64_t answered, sum;
};

static void
many_done(struct msg_in *answer, void *context)
{
    struct many *m = context;

    CHECK(answer != NULL);
    if (answer != NULL) {
        m->answered++;
        CHECK(count_of(answer) == 2 * m->answered); /* in order */
        m->sum += count_of(answer);
    }
    msg_in_free(answer);
}

static void
pipeline_fiber(void *arg)
{
    struct end a, b;
    struct many many = { 0, 0 };

    (void)arg;
    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, lease_inline);
    for (uint64_t i = 1; i <= MANY; i++) {
        struct msg m;

        put_count(&m, MESSAGE_LEASE, i);
        link_ask(a.link, &m, many_done, &many);
    }
    for (int i = 0; i < 2000 && many.answered < MANY; i++)
        (void)fiber_sleep_until(clock_now_ms() + 1);
    CHECK(many.answered == MANY);
    CHECK(many.sum == (uint64_t)MANY * (MANY + 1));
    link_close(a.link);
}

static void
test_pipeline(void **state)
{
    (void)state;
    run(pipeline_fiber, NULL);
}

/* Answers SUBMIT with the length and the octets' sum. */
static void
serve_submit(struct request *r)
{
    struct msg answer;
    uint64_t sum = 0;

    for (size_t i = 0; i < r->in->body.len; i++)
        sum += (unsigned char)r->in->body.ptr[i];
    put_count(&answer, MESSAGE_SUBMITTED, sum);
    request_reply(r, &answer);
}

static void
serve_borrow(struct request *r)
{
    struct msg answer;
    int pipe_fds[2];

    CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
    CHECK(write(pipe_fds[1], "blob", 4) == 4);
    close(pipe_fds[1]);
    msg_init(&answer, MESSAGE_BLOB);
    msg_put_fd(&answer, pipe_fds[0]);
    request_reply(r, &answer);
}

static const struct link_handler submit_handlers[] = {
    { MESSAGE_SUBMIT, serve_submit, SERVE_INLINE },
    { MESSAGE_BORROW_BLOB, serve_borrow, SERVE_INLINE },
    { MESSAGE_LEASE, serve_lease, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

/* Bodies around every size at which they take another way. */
static void
sizes_fiber(void *arg)
{
    static const size_t sizes[] = { 0, 1, 8191, 8192, 8193, 32768 - 12, 32768,
        65536 - 13, 65536 - 12, 65536 - 11, 65536, 1000000, 5000000 };
    struct end a, b;

    (void)arg;
    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, submit_handlers);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct msg m;
        struct msg_in *answer = NULL;
        uint64_t sum = 0;

        msg_init(&m, MESSAGE_SUBMIT);
        for (size_t k = 0; k < sizes[i]; k++) {
            buf_add_octet(&m.body, (unsigned char)(k * 7));
            sum += (unsigned char)(k * 7);
        }
        CHECK(link_call(a.link, &m, soon(), &answer) == LINK_OK);
        CHECK(answer != NULL && count_of(answer) == sum);
        msg_in_free(answer);
    }
    link_close(a.link);
}

static void
test_sizes(void **state)
{
    (void)state;
    run(sizes_fiber, NULL);
}

static void
check_blob(struct msg_in *answer, void *context)
{
    char text[5] = "";
    int fd;

    CHECK(answer != NULL && answer->type == MESSAGE_BLOB);
    if (answer == NULL)
        return;
    fd = msg_in_take_fd(answer, 0);
    CHECK(fd >= 0 && msg_in_take_fd(answer, 0) == -1);
    CHECK(read(fd, text, sizeof(text)) == 4 && strcmp(text, "blob") == 0);
    close(fd);
    (*(unsigned *)context)++;
    msg_in_free(answer);
}

/* Frames with descriptors amid others: each keeps its own. */
static void
fds_fiber(void *arg)
{
    struct end a, b;
    unsigned blobs = 0;
    struct many many = { 0, 0 };

    (void)arg;
    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, submit_handlers);
    for (uint64_t i = 1; i <= 50; i++) {
        struct msg m;

        msg_init(&m, MESSAGE_BORROW_BLOB);
        link_ask(a.link, &m, check_blob, &blobs);
        put_count(&m, MESSAGE_LEASE, i);
        link_ask(a.link, &m, many_done, &many);
    }
    settle();
    CHECK(blobs == 50 && many.answered == 50);
    link_close(a.link);
}

static void
test_fds(void **state)
{
    (void)state;
    run(fds_fiber, NULL);
}

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
    CHECK(strstr(log_text,
              "link to qmgr dropped: LEASE: not answered in time") != NULL);
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

struct waiting_call {
    struct end *a;
    enum link_status status;
    bool done;
};

static void
waiting_call_fiber(void *arg)
{
    struct waiting_call *w = arg;
    struct msg m;
    struct msg_in *answer = NULL;

    put_count(&m, MESSAGE_LEASE, 1);
    w->status = link_call(w->a->link, &m, soon(), &answer);
    msg_in_free(answer);
    w->done = true;
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
    CHECK(log_text[0] == '\0');
}

static void
test_gone(void **state)
{
    (void)state;
    run(gone_fiber, NULL);
}

static void
note_null(struct msg_in *answer, void *context)
{
    CHECK(answer == NULL);
    (*(int *)context)++;
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

/*
 * A rogue: raw octets into the socket of a link to ROLE_QMGR. All are refused
 * with a line that names peer, message and rule.
 */
static const struct {
    const char *name;
    enum role peer;
    uint32_t length;
    uint16_t type, fds;
    uint32_t number;
    unsigned sent_fds;
    const char *log;
} rogues[] = {
    { "no such message", ROLE_SMTPD, 0, 9999, 0, 1, 0,
        "smtpd dropped: message 9999: no such message" },
    { "type none", ROLE_SMTPD, 0, MESSAGE_NONE, 0, 1, 0, "dropped: frame" },
    { "another's", ROLE_SMTP, 0, MESSAGE_SUBMIT, 0, 1, 0,
        "smtp dropped: SUBMIT: not its to send" },
    { "not for us", ROLE_SMTPD, 0, MESSAGE_RESOLVE, 0, 1, 0,
        "smtpd dropped: RESOLVE: not for us" },
    { "too long", ROLE_SMTPD, MESSAGE_ENVELOPE + 1, MESSAGE_SUBMIT, 0, 1, 0,
        "SUBMIT: too long" },
    { "longest", ROLE_SMTPD, UINT32_MAX, MESSAGE_LEASE, 0, 1, 0,
        "LEASE: too long" },
    { "no number", ROLE_SMTPD, 0, MESSAGE_LEASE, 0, 0, 0,
        "LEASE: request number" },
    { "a number", ROLE_SMTPD, 0, MESSAGE_RETURN_BLOB, 0, 7, 0,
        "RETURN_BLOB: request number" },
    { "answers nothing", ROLE_BOUNCE, 0, MESSAGE_NOTIFIED, 0, 7, 0,
        "bounce dropped: NOTIFIED: answers no request" },
    { "claims descriptors", ROLE_SMTPD, 0, MESSAGE_LEASE, 1, 1, 0,
        "LEASE: too many descriptors" },
    { "claims too many", ROLE_SMTPD, 0, MESSAGE_LEASE, UINT16_MAX, 1, 0,
        "LEASE: too many descriptors" },
    { "sends descriptors", ROLE_SMTPD, 0, MESSAGE_LEASE, 0, 1, 1,
        "descriptors that no frame claims" },
    { "sends many", ROLE_SMTPD, 0, MESSAGE_LEASE, 0, 1, 8,
        "descriptors that no frame claims" },
    { "not served", ROLE_SMTPD, 0, MESSAGE_SUBMIT, 0, 1, 0,
        "SUBMIT: not served here" },
};

static void
send_raw(int fd, uint32_t length, uint16_t type, uint16_t fds, uint32_t number,
    unsigned sent_fds)
{
    struct frame f = { length, type, fds, number };
    char head[FRAME_HEAD];
    int sent[SOCK_FDS_MAX];

    frame_encode(&f, head);
    for (unsigned i = 0; i < sent_fds; i++)
        sent[i] = STDIN_FILENO;
    CHECK(sock_send_fds(fd, (struct slice){ head, sizeof(head) }, sent,
              sent_fds) == sizeof(head));
}

static void
rogue_fiber(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof(rogues) / sizeof(rogues[0]); i++) {
        struct end us;
        int fds[2];
        char octet;

        log_text[0] = '\0';
        CHECK(sock_pair(fds) == 0);
        open_end(&us, fds[0], ROLE_QMGR, rogues[i].peer, lease_inline);
        send_raw(fds[1], rogues[i].length, rogues[i].type, rogues[i].fds,
            rogues[i].number, rogues[i].sent_fds);
        settle();
        if (us.gone != 1 || strstr(log_text, rogues[i].log) == NULL)
            print_message("  %s: %s\n", rogues[i].name, log_text);
        CHECK(us.gone == 1);
        CHECK(strstr(log_text, rogues[i].log) != NULL);
        while (read(fds[1], &octet, 1) == 1) /* an answer before the end */
            ;
        CHECK(read(fds[1], &octet, 1) == 0);
        close(fds[1]);
    }
}

static void
test_rogue(void **state)
{
    (void)state;
    run(rogue_fiber, NULL);
}

/* What came along with a broken rule is not served: there is nobody any more. */
static void
broken_at_once_fiber(void *arg)
{
    struct end us;
    int fds[2];

    (void)arg;
    CHECK(sock_pair(fds) == 0);
    open_end(&us, fds[0], ROLE_QMGR, ROLE_SMTPD, lease_fiber);
    send_raw(fds[1], 0, MESSAGE_LEASE, 0, 1, 0);
    send_raw(fds[1], 0, MESSAGE_LEASE, 0, 2, 0);
    send_raw(fds[1], 0, MESSAGE_LEASE, 0, 0, 0);
    settle();
    CHECK(us.gone == 1 && us.served == 0);
    close(fds[1]);
}

static void
test_broken_at_once(void **state)
{
    (void)state;
    run(broken_at_once_fiber, NULL);
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

/* Answers of the wrong kind to a request that is under way. */
static void
wrong_answer_fiber(void *arg)
{
    static const struct {
        uint16_t type;
        uint32_t number;
        const char *log;
    } wrong[] = {
        { MESSAGE_SUBMITTED, 1, "SUBMITTED: answers another kind" },
        { MESSAGE_LEASED, 2, "LEASED: answers no request" },
        { MESSAGE_LEASED, UINT32_MAX, "LEASED: answers no request" },
    };

    (void)arg;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct end us;
        struct msg m;
        int fds[2], null = 0;

        CHECK(sock_pair(fds) == 0);
        open_end(&us, fds[0], ROLE_SMTPD, ROLE_QMGR, NULL);
        put_count(&m, MESSAGE_LEASE, 1); /* its number is 1 */
        link_ask(us.link, &m, note_null, &null);
        settle();
        send_raw(fds[1], 0, wrong[i].type, 0, wrong[i].number, 0);
        settle();
        CHECK(us.gone == 1 && null == 1);
        CHECK(strstr(log_text, wrong[i].log) != NULL);
        close(fds[1]);
    }
    {
        /* An item where no stream was asked for. */
        struct end us;
        struct msg m;
        int fds[2], null = 0;

        CHECK(sock_pair(fds) == 0);
        open_end(&us, fds[0], ROLE_COMMAND, ROLE_QMGR, NULL);
        msg_init(&m, MESSAGE_QUEUE_FLUSH);
        link_ask(us.link, &m, note_null, &null);
        settle();
        send_raw(fds[1], 0, MESSAGE_QUEUE_ITEM, 0, 1, 0);
        settle();
        CHECK(us.gone == 1 && null == 1);
        close(fds[1]);
    }
    {
        /* A second answer to the same request. */
        struct end us;
        struct waiting_call w = { .a = &us };
        int fds[2];

        CHECK(sock_pair(fds) == 0);
        open_end(&us, fds[0], ROLE_SMTPD, ROLE_QMGR, NULL);
        CHECK(fiber_spawn("call", waiting_call_fiber, &w) != NULL);
        settle();
        send_raw(fds[1], 0, MESSAGE_LEASED, 0, 1, 0);
        settle();
        CHECK(w.done && w.status == LINK_OK && us.gone == 0);
        send_raw(fds[1], 0, MESSAGE_LEASED, 0, 1, 0);
        settle();
        CHECK(us.gone == 1);
        close(fds[1]);
    }
}

static void
test_wrong_answer(void **state)
{
    (void)state;
    run(wrong_answer_fiber, NULL);
}

/* Cut off at each octet: no message, no line, the link simply ends. */
static void
truncated_fiber(void *arg)
{
    struct frame f = { 5, MESSAGE_LEASE, 0, 1 };
    char octets[FRAME_HEAD + 5] = { 0 };

    (void)arg;
    frame_encode(&f, octets);
    for (size_t n = 0; n < sizeof(octets); n++) {
        struct end us;
        int fds[2];

        CHECK(sock_pair(fds) == 0);
        open_end(&us, fds[0], ROLE_QMGR, ROLE_SMTPD, lease_inline);
        for (size_t i = 0; i < n; i++) {
            CHECK(write(fds[1], octets + i, 1) == 1);
            fiber_yield();
        }
        CHECK(us.gone == 0);
        close(fds[1]);
        settle();
        CHECK(us.gone == 1 && us.served == 0);
    }
    CHECK(log_text[0] == '\0');
}

static void
test_truncated(void **state)
{
    (void)state;
    run(truncated_fiber, NULL);
}

/*
 * Every role sends every type to every role: what the table of protocol.h does
 * not grant drops the link with a line that names both.
 */
static void
matrix_fiber(void *arg)
{
    struct link_handler all[MESSAGE_COUNT];
    unsigned n = 0;

    (void)arg;
    for (unsigned t = 1; t < MESSAGE_COUNT; t++) {
        enum message_kind kind = message_rule(t)->kind;

        if (kind != KIND_ANSWER && kind != KIND_ITEM)
            all[n++] = (struct link_handler){ (enum message)t, drop_request,
                SERVE_INLINE };
    }
    all[n] = (struct link_handler){ MESSAGE_NONE, NULL, SERVE_INLINE };

    for (unsigned from = 0; from < ROLE_COUNT; from++)
        for (unsigned to = 0; to < ROLE_COUNT; to++)
            for (unsigned t = 1; t < MESSAGE_COUNT + 1; t++) {
                const struct message_rule *rule = message_rule(t);
                bool legal = rule != NULL && (rule->from & (1U << from)) &&
                    (rule->to & (1U << to)) && rule->kind != KIND_ANSWER &&
                    rule->kind != KIND_ITEM;
                uint32_t number = rule != NULL && rule->kind == KIND_ONE_WAY
                    ? 0
                    : 1;
                char want[100], text[FRAME_NAME_MAX];
                struct end us;
                int fds[2];

                log_text[0] = '\0';
                CHECK(sock_pair(fds) == 0);
                open_end(&us, fds[0], (enum role)to, (enum role)from, all);
                send_raw(fds[1], 0, (uint16_t)t, 0, number, 0);
                for (int i = 0; i < 6; i++)
                    fiber_yield();
                snprintf(want, sizeof(want),
                    "link to %s dropped: %s: ", role_name((enum role)from),
                    frame_name(t, text));
                CHECK(us.gone == !legal);
                CHECK(us.served == legal);
                CHECK(legal ? log_text[0] == '\0'
                            : strstr(log_text, want) != NULL);
                link_close(us.link);
                close(fds[1]);
                fiber_yield();
            }
}

static void
test_matrix(void **state)
{
    (void)state;
    run(matrix_fiber, NULL);
}

static bool
never(void *context, enum message type)
{
    (void)context;
    return type != MESSAGE_LEASE;
}

static void
gate_fiber(void *arg)
{
    struct end us = { .gone = 0 };
    struct link_options options = {
        .self = ROLE_QMGR,
        .peer = ROLE_SMTPD,
        .peer_name = "smtpd 3",
        .handlers = lease_inline,
        .context = &us,
        .on_gone = count_gone,
        .may = never,
    };
    int fds[2];

    (void)arg;
    CHECK(sock_pair(fds) == 0);
    us.link = link_open(fds[0], &options);
    send_raw(fds[1], 0, MESSAGE_LEASE, 0, 1, 0);
    settle();
    CHECK(us.gone == 1 && us.served == 0);
    CHECK(strstr(log_text, "smtpd 3 dropped: LEASE: not in this state"));
    close(fds[1]);
}

static void
test_gate(void **state)
{
    (void)state;
    run(gate_fiber, NULL);
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
    CHECK(strstr(log_text, "PRESSURE: the peer does not take what we send"));
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

/* A message that grew past what its rule allows ends the link, not the peer. */
static void
too_large_fiber(void *arg)
{
    struct end a, b;
    struct msg m;
    struct msg_in *answer = NULL;

    (void)arg;
    open_pair(&a, &b, ROLE_SMTPD, ROLE_QMGR, lease_inline);
    msg_init(&m, MESSAGE_LEASE);
    for (int i = 0; i < MESSAGE_SMALL / 10 + 1; i++)
        buf_add(&m.body, SLICE_LIT("0123456789"));
    CHECK(buf_failed(&m.body));
    CHECK(link_call(a.link, &m, soon(), &answer) == LINK_GONE);
    settle();
    CHECK(a.gone == 1 && b.gone == 1 && b.served == 0);
}

static void
test_too_large(void **state)
{
    (void)state;
    run(too_large_fiber, NULL);
}

static void
test_wire(void **state)
{
    struct msg m;
    struct msg_in *in = NULL;
    struct why why;
    struct frame f = { MESSAGE_SMALL + 1, MESSAGE_LEASE, 0, 1 };
    char head[FRAME_HEAD];
    int fds[2], fd;

    (void)state;
    assert_int_equal(sock_pair(fds), 0);
    put_count(&m, MESSAGE_BLOB, 42);
    fd = dup(STDIN_FILENO);
    msg_put_fd(&m, fd);
    assert_int_equal(wire_send(fds[0], &m, 9, soon(), &why), RESULT_OK);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* it went */
    assert_int_equal(wire_recv(fds[1], soon(), &in, &why), RESULT_OK);
    assert_int_equal(in->type, MESSAGE_BLOB);
    assert_int_equal(in->number, 9);
    assert_int_equal(in->fd_count, 1);
    assert_int_equal(count_of(in), 42);
    msg_in_free(in);

    assert_int_equal(wire_recv(fds[1], clock_now_ms() + 5, &in, &why),
        RESULT_TEMPFAIL);
    frame_encode(&f, head);
    assert_int_equal(write(fds[0], head, sizeof(head)), sizeof(head));
    assert_int_equal(wire_recv(fds[1], soon(), &in, &why), RESULT_PERMFAIL);
    assert_string_equal(why.text, "LEASE: too long");
    close(fds[0]);
    assert_int_equal(wire_recv(fds[1], soon(), &in, &why), RESULT_TEMPFAIL);
    close(fds[1]);
}

/* No descriptor may be left behind by all of this. */
static int
count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            n++;
    return n;
}

static void
test_no_leak(void **state)
{
    int before = count_fds();

    (void)state;
    run(rogue_fiber, NULL);
    run(fds_fiber, NULL);
    run(gone_fiber, NULL);
    run(truncated_fiber, NULL);
    assert_int_equal(count_fds(), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_fds),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_overdue),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_rogue),
        cmocka_unit_test(test_broken_at_once),
        cmocka_unit_test(test_stubborn),
        cmocka_unit_test(test_wrong_answer),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_gate),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_backlog),
        cmocka_unit_test(test_pressure),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_wire),
        cmocka_unit_test(test_no_leak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

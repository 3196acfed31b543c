/*
 * smtpd_world - sessions of smtpd in this process: a client that follows a
 * script, and a queue manager that takes everything.
 *
 * A script is lines: "> text" is sent with CRLF; "= text" is sent as it is,
 * with \r, \n and \\ for what they mean; "< text" must come; "L text" must be the
 * next line of the log that begins like it; "EOF" says that the server hung up.
 * In what is expected '*' stands for a queue id. Each "<" of a line that was not
 * yet read waits for nothing: sockets of this process are as fast as we are.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/daemon/daemon_private.h"
#include "lib/io/sock.h"
#include "lib/mail/cleanup.h"
#include "lib/mail/submission.h"
#include "smtpd/profile.h"
#include "smtpd/sessions.h"
#include "tests/unit/fibers.h"
#include "tests/unit/tables.h"

#include <ctype.h>
#include <fcntl.h>

/* A test may have another master.cf. */
#ifndef WORLD_MASTER
#    define WORLD_MASTER                   \
        "smtp inet n - n - - smtpd\n"      \
        "cleanup unix n - n - 0 cleanup\n" \
        "pickup unix n - n 60 1 pickup\n"
#endif

/* 2026-11-21 20:05:11 UTC */
#define WORLD_US INT64_C(1795291511000000)

static struct {
    struct config_set *set;
    struct link *queue; /* the queue manager's end */
    enum result answer; /* what it says of a submission */
    const char *status; /* and why */
    unsigned submitted;
    uint64_t next_id;
    struct buf header, body; /* of the last submission */
    struct buf envelope;     /* of the last submission, as text */
    struct buf log;
    size_t log_seen;
    enum result compiled;
    struct why why;
} world;

static void
world_log(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    (void)context;
    (void)level;
    (void)tag;
    buf_add(&world.log, line);
    buf_add_octet(&world.log, '\n');
}

/* The queue manager */

static void
world_lease(struct request *r)
{
    const struct queue_answer a = { .id = world.next_id, .count = 1 };
    struct msg m;

    world.next_id += 1024;
    queue_answer_encode(MESSAGE_LEASED, &a, &m);
    request_reply(r, &m);
}

static void
world_note(const struct submission *s)
{
    buf_clear(&world.header);
    buf_clear(&world.body);
    buf_clear(&world.envelope);
    buf_add(&world.header, s->header);
    buf_add(&world.body, s->body);
    buf_add_format(&world.envelope, "from=" SLICE_FMT " flags=%u ret=%d",
        SLICE_ARG(s->envelope.sender), s->envelope.flags, s->envelope.ret);
    if (s->envelope.filter.len > 0)
        buf_add_format(&world.envelope, " filter=" SLICE_FMT,
            SLICE_ARG(s->envelope.filter));
    buf_add_format(&world.envelope, " envid=" SLICE_FMT,
        SLICE_ARG(s->envelope.envid));
    for (size_t i = 0; i < s->envelope.recipient_count; i++) {
        const struct recipient *rcpt = &s->envelope.recipients[i];

        buf_add_format(&world.envelope, " to=" SLICE_FMT ",%u," SLICE_FMT,
            SLICE_ARG(rcpt->address), rcpt->notify, SLICE_ARG(rcpt->orcpt));
    }
}

static void
world_submit(struct request *r)
{
    struct queue_answer a = { .result = world.answer };
    struct submission s;
    struct arena arena;
    struct msg m;

    arena_init(&arena, 1 << 20);
    if (submission_decode(r->in->body, SIZE_MAX, &arena, &s, &world.why) ==
        RESULT_OK) {
        world.submitted++;
        world_note(&s);
    }
    arena_clear(&arena);
    if (world.answer == RESULT_TEMPFAIL)
        (void)why_temp(&a.why, world.status, "the disk is full");
    queue_answer_encode(MESSAGE_SUBMITTED, &a, &m);
    request_reply(r, &m);
}

static const struct link_handler world_handlers[] = {
    { MESSAGE_LEASE, world_lease, SERVE_INLINE },
    { MESSAGE_SUBMIT, world_submit, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

static void
world_open_queue(void)
{
    static const struct link_handler none[] = {
        { MESSAGE_NONE, NULL, SERVE_INLINE },
    };
    static const struct daemon_options smtpd = {
        .role = ROLE_SMTPD,
        .handlers = none,
    };
    const struct link_options qmgr = {
        .self = ROLE_QMGR,
        .peer = ROLE_SMTPD,
        .peer_name = "smtpd 0",
        .handlers = world_handlers,
    };
    const struct control c = { .role = ROLE_QMGR };
    int fds[2];

    assert_int_equal(sock_pair(fds), 0);
    peers_init(&smtpd);
    peers_add(&c, fds[0]);
    world.queue = link_open(fds[1], &qmgr);
    assert_non_null(world.queue);
    peers_release();
}

/* Configuration */

static void
world_compile(void *arg)
{
    (void)arg;
    world.compiled = profiles_compile(world.set, &world.why);
}

/* main_cf is put behind what all tests share. */
static void
world_configure(const char *main_cf)
{
    char *all = mem_format("compatibility_level = 3.6\n"
                           "syslog_name = postern\n"
                           "mail_name = Postern\n"
                           "myhostname = mx.test\n"
                           "mydomain = test\n"
                           "mydestination = local.test\n"
                           "local_recipient_maps = inline:{ann=x,bob=x}\n"
                           "virtual_mailbox_domains = v.test\n"
                           "virtual_mailbox_maps = inline:{u1@v.test=x}\n"
                           "virtual_alias_maps =\n"
                           "relay_domains = relay.test\n"
                           "alias_maps =\n"
                           "inet_interfaces = 127.0.0.1\n"
                           "mynetworks = 127.0.0.1\n"
                           "smtpd_peername_lookup = no\n"
                           "queue_directory = /\n"
                           "enable_long_queue_ids = yes\n"
                           "%s",
        main_cf);
    enum result res = config_from_text(all, WORLD_MASTER, &world.set,
        &world.why);

    mem_free(all);
    if (res != RESULT_OK)
        fail_msg("%s", world.why.text);
    (void)spawn(world_compile, NULL);
    settle();
}

static void
world_open(const char *main_cf)
{
    memset(&world, 0, sizeof(world));
    world.next_id = (uint64_t)WORLD_US * 1024;
    buf_init(&world.header, 1 << 20);
    buf_init(&world.body, 1 << 20);
    buf_init(&world.envelope, 1 << 20);
    buf_init(&world.log, 1 << 20);
    notes[0] = '\0';
    clock_set(NOW, WORLD_US);
    sched_open();
    log_set_sink(world_log, NULL, NULL);
    world_open_queue();
    world_configure(main_cf);
}

static void
world_close(void)
{
    link_close(world.queue);
    settle();
    peers_close(clock_now_ms());
    settle();
    cleanup_close_tables();
    profiles_forget();
    config_drop(world.set);
    sched_close();
    clock_unset();
    log_set_sink(NULL, NULL, NULL);
    buf_fini(&world.header);
    buf_fini(&world.body);
    buf_fini(&world.envelope);
    buf_fini(&world.log);
}

/* A client */

struct visitor {
    int fd;
    struct sock_addr addr;
    const struct service *service;
    int served; /* the other end of fd */
    bool public;
    struct buf in;
};

static void
visitor_main(void *arg)
{
    struct visitor *v = arg;

    sessions_serve(v->served, &v->addr, v->service, world.set, v->public);
}

static void
visitor_come(struct visitor *v, const char *addr)
{
    int fds[2];

    memset(v, 0, sizeof(*v));
    buf_init(&v->in, 1 << 20);
    assert_true(sock_addr_parse(slice_of(addr), 12345, &v->addr));
    assert_int_equal(sock_pair(fds), 0);
    v->fd = fds[0];
    v->served = fds[1];
    v->service = config_find_service(world.set, "smtp", "inet");
    (void)spawn(visitor_main, v);
    settle();
}

static void
visitor_go(struct visitor *v)
{
    if (v->fd >= 0)
        close(v->fd);
    v->fd = -1;
    settle();
    buf_fini(&v->in);
}

/* False at the end. */
static bool
visitor_read(struct visitor *v)
{
    char *room = buf_reserve(&v->in, 65536);
    ssize_t n = read(v->fd, room, 65536);

    if (n > 0)
        buf_advance(&v->in, (size_t)n);
    return n != 0;
}

static void
visitor_send(struct visitor *v, struct slice octets)
{
    while (octets.len > 0) {
        ssize_t n = write(v->fd, octets.ptr, octets.len);

        if (n < 0)
            break;
        octets = slice_skip(octets, (size_t)n);
        settle();
    }
    settle();
}

/* '*' in want is a queue id. */
static bool
world_same(struct slice got, struct slice want)
{
    while (want.len > 0) {
        if (want.ptr[0] == '*') {
            size_t n = 0;

            while (n < got.len && isalnum((unsigned char)got.ptr[n]))
                n++;
            if (n == 0)
                return false;
            got = slice_skip(got, n);
        } else if (got.len == 0 || got.ptr[0] != want.ptr[0]) {
            return false;
        } else {
            got = slice_skip(got, 1);
        }
        want = slice_skip(want, 1);
    }
    return got.len == 0;
}

static void
visitor_expect(struct visitor *v, struct slice want)
{
    struct slice rest, line;
    size_t lf;

    (void)visitor_read(v);
    rest = buf_slice(&v->in);
    lf = slice_find(rest, '\n');
    if (lf == rest.len)
        fail_msg("no reply, expected: " SLICE_FMT, SLICE_ARG(want));
    line = slice_head(rest, lf);
    if (line.len == 0 || line.ptr[line.len - 1] != '\r')
        fail_msg("reply without CRLF: " SLICE_FMT, SLICE_ARG(line));
    line.len--;
    if (!world_same(line, want))
        fail_msg("got: " SLICE_FMT "\nexpected: " SLICE_FMT, SLICE_ARG(line),
            SLICE_ARG(want));
    buf_consume(&v->in, lf + 1);
}

static void
world_expect_log(struct slice want)
{
    struct slice rest = slice_skip(buf_slice(&world.log), world.log_seen), line;

    while (slice_line(&rest, &line)) {
        world.log_seen += line.len + 1;
        if (world_same(line, want))
            return;
    }
    fail_msg("not in the log: " SLICE_FMT "\nlog:\n%s", SLICE_ARG(want),
        buf_text(&world.log));
}

static void
visitor_send_raw(struct visitor *v, struct slice text)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '\\' && i + 1 < text.len) {
            c = text.ptr[++i];
            c = c == 'r' ? '\r' : c == 'n' ? '\n' : c;
        }
        buf_add_octet(&out, (unsigned char)c);
    }
    visitor_send(v, buf_slice(&out));
    buf_fini(&out);
}

static void
visitor_step(struct visitor *v, struct slice step)
{
    struct slice text = slice_skip(step, 2);

    if (step.len == 0)
        return;
    if (slice_eq(step, SLICE_LIT("EOF"))) {
        if (visitor_read(v) || v->in.len > 0)
            fail_msg("the server did not hang up: %s", buf_text(&v->in));
        return;
    }
    switch (step.ptr[0]) {
    case '>':
        visitor_send(v, text);
        visitor_send(v, SLICE_LIT("\r\n"));
        break;
    case '=':
        visitor_send_raw(v, text);
        break;
    case '<':
        visitor_expect(v, text);
        break;
    case 'L':
        world_expect_log(text);
        break;
    default:
        fail_msg("what is this? " SLICE_FMT, SLICE_ARG(step));
    }
}

static void
visitor_play(struct visitor *v, const char *script)
{
    struct slice rest = slice_of(script), step;

    while (slice_line(&rest, &step))
        visitor_step(v, step);
}

/* One client, one script, then it hangs up. */
static inline void
world_play(const char *addr, const char *script)
{
    struct visitor v;

    visitor_come(&v, addr);
    visitor_play(&v, script);
    visitor_go(&v);
}

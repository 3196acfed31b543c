/*
 * smtp_source - numbered messages into an SMTP server, as fast as it takes them.
 *
 * smtp_source -p PORT [-n MESSAGES] [-c SESSIONS] [-m MESSAGES-A-SESSION]
 *             [-r RECIPIENTS] [-l OCTETS] [-t RECIPIENT] [-k MODULUS]
 *             [-b FIRST-NUMBER] [-w PAUSE-MS]
 *
 * In RECIPIENT, %u becomes a running number from 1 to MODULUS, and %d one from
 * 1 to 100. Every message carries "X-Number: N" and "X-Sent: nanoseconds". One
 * command at a time, as most servers of the world send. -w: rest before each
 * message.
 *
 * Prints one JSON object: counts, seconds from the first connection to the last
 * 250, latency from the end of data to its 250. Exit status 1 if any message
 * was not accepted.
 */
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/base/printable.h"
#include "lib/io/fiber.h"
#include "lib/io/sock.h"
#include "lib/io/stream.h"
#include "tests/bench/tally.h"

#include <assert.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    WAIT_MS = 120 * 1000,
    LINE_MAX_OCTETS = 4096,
    MESSAGE_MAX = 64 * 1024 * 1024,
    DESTINATIONS = 100,
};

struct source {
    uint32_t port, messages, sessions, per_session, recipients, octets, modulus;
    uint32_t first, pause_ms;
    const char *recipient;
    struct sock_addr server;
    struct buf body; /* of every message, with the final dot */

    uint32_t begun, accepted, rejected, lost_sessions, running_number;
    int64_t start_ns, last_ns;
    struct samples dot;
    struct buf error; /* the first thing that went wrong */
};

struct session {
    struct source *source;
    struct stream *st;
};

static int64_t
deadline(void)
{
    return clock_now_ms() + WAIT_MS;
}

static bool
failed(struct source *s, const char *where, struct slice what)
{
    if (s->error.len > 0)
        return false;
    buf_add_format(&s->error, "%s: ", where);
    for (size_t i = 0; i < what.len; i++)
        buf_add_octet(&s->error,
            what.ptr[i] == '"' || what.ptr[i] == '\\'
                ? '\''
                : (unsigned char)what.ptr[i]);
    printable_make(s->error.ptr, s->error.len);
    return false;
}

/* Read one reply. True if it has this code. */
static bool
expect(struct session *c, const char *where, const char *code)
{
    struct slice line;

    do {
        if (stream_read_line(c->st, LINE_MAX_OCTETS, deadline(), &line) !=
            STREAM_OK)
            return failed(c->source, where, SLICE_LIT("connection lost"));
    } while (line.len > 3 && line.ptr[3] == '-');
    return slice_starts(line, slice_of(code)) || failed(c->source, where, line);
}

static bool
say(struct session *c, const char *command, const char *code)
{
    assert(c->st != NULL);
    stream_printf(c->st, deadline(), "%s\r\n", command);
    return stream_flush(c->st, deadline()) == STREAM_OK
        ? expect(c, command, code)
        : failed(c->source, command, SLICE_LIT("connection lost"));
}

/* "RCPT TO:<...>" of the next recipient. */
static void
next_recipient(struct source *s, struct buf *to)
{
    uint32_t n = s->running_number++ % s->modulus + 1;

    buf_clear(to);
    buf_add_text(to, "RCPT TO:<");
    for (const char *p = s->recipient; *p != '\0'; p++) {
        if (p[0] == '%' && (p[1] == 'u' || p[1] == 'd')) {
            uint32_t d = (n - 1) % DESTINATIONS + 1;

            buf_add_format(to, "%" PRIu32, p[1] == 'u' ? n : d);
            p++;
        } else {
            buf_add_octet(to, (unsigned char)*p);
        }
    }
    buf_add_text(to, ">");
}

static bool
send_content(struct session *c, uint32_t number)
{
    struct source *s = c->source;
    int64_t sent_ns = tally_now_ns();

    stream_printf(c->st, deadline(),
        "From: sender@bench.test\r\nTo: somebody@bench.test\r\n"
        "Subject: bench %" PRIu32 "\r\nMessage-Id: <%" PRIu32
        ".%d@bench.test>\r\n"
        "Date: Mon, 01 Jan 2024 00:00:00 +0000\r\n"
        "X-Number: %" PRIu32 "\r\nX-Sent: %" PRId64 "\r\n\r\n",
        number, number, (int)getpid(), number, sent_ns);
    stream_write(c->st, buf_slice(&s->body), deadline());
    if (stream_flush(c->st, deadline()) != STREAM_OK)
        return failed(s, "data", SLICE_LIT("connection lost"));
    if (!expect(c, "end of data", "250"))
        return false;
    s->last_ns = tally_now_ns();
    samples_add(&s->dot, s->last_ns - sent_ns);
    s->accepted++;
    return true;
}

static bool
send_message(struct session *c, uint32_t number)
{
    struct source *s = c->source;
    struct buf line;
    bool ok;

    if (s->pause_ms > 0)
        (void)fiber_sleep_until(clock_now_ms() + s->pause_ms);
    buf_init(&line, LINE_MAX_OCTETS);
    ok = say(c, "MAIL FROM:<sender@bench.test>", "250");
    for (uint32_t i = 0; ok && i < s->recipients; i++) {
        next_recipient(s, &line);
        ok = say(c, buf_text(&line), "250");
    }
    buf_fini(&line);
    ok = ok && say(c, "DATA", "354") && send_content(c, number);
    if (!ok)
        s->rejected++;
    return ok;
}

static bool
connect_session(struct session *c)
{
    struct why why;
    int fd, on = 1;

    if (sock_connect(&c->source->server, NULL, deadline(), &fd, &why) !=
        RESULT_OK)
        return failed(c->source, "connect", slice_of(why.text));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->st = stream_new(fd);
    return expect(c, "greeting", "220") && say(c, "EHLO bench.test", "250");
}

/* One connection after the other. */
static void
session_main(void *arg)
{
    struct source *s = arg;

    while (s->begun < s->messages && s->lost_sessions <= s->messages / 10) {
        struct session c = { .source = s };
        bool ok = connect_session(&c);

        for (uint32_t i = 0; ok && i < s->per_session && s->begun < s->messages;
             i++)
            ok = send_message(&c, s->first + s->begun++);
        if (ok)
            (void)say(&c, "QUIT", "221");
        else
            s->lost_sessions++;
        stream_free(c.st);
    }
}

static void
make_body(struct source *s)
{
    buf_init(&s->body, MESSAGE_MAX);
    for (uint32_t i = 0; i < s->octets; i++)
        buf_add_octet(&s->body,
            i % 74 == 72       ? '\r'
                : i % 74 == 73 ? '\n'
                               : (unsigned char)('a' + i % 26));
    buf_add_text(&s->body, "\r\n.\r\n");
}

static void
report(struct source *s)
{
    double seconds = (double)(s->last_ns - s->start_ns) / 1e9;

    (void)printf("{\"accepted\": %" PRIu32 ", \"rejected\": %" PRIu32
                 ", \"lost_sessions\": %" PRIu32 ", \"secs\": %.4f, "
                 "\"rate\": %.1f, \"cpu\": %.3f, \"start_ns\": %" PRId64,
        s->accepted, s->rejected, s->lost_sessions, seconds,
        seconds > 0 ? s->accepted / seconds : 0, tally_cpu_s(), s->start_ns);
    samples_print(&s->dot, "dot");
    (void)printf(", \"error\": \"%s\"}\n", buf_text(&s->error));
}

static uint32_t
number(const char *text)
{
    uint32_t n = 0;

    if (!num_parse_u32(slice_of(text), MESSAGE_MAX, &n)) {
        (void)fprintf(stderr, "smtp_source: %s: no number\n", text);
        exit(EX_USAGE);
    }
    return n;
}

static void
options(struct source *s, int argc, char **argv)
{
    const struct {
        char letter;
        uint32_t *value;
    } numbers[] = {
        { 'p', &s->port },
        { 'n', &s->messages },
        { 'c', &s->sessions },
        { 'm', &s->per_session },
        { 'r', &s->recipients },
        { 'l', &s->octets },
        { 'k', &s->modulus },
        { 'b', &s->first },
        { 'w', &s->pause_ms },
    };
    int c;

    while ((c = getopt(argc, argv, "p:n:c:m:r:l:k:b:w:t:")) != -1) {
        if (c == 't')
            s->recipient = optarg;
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
            if (c == numbers[i].letter)
                *numbers[i].value = number(optarg);
        if (c == '?')
            exit(EX_USAGE);
    }
    if (s->port == 0 || s->port > UINT16_MAX || s->modulus == 0 ||
        optind != argc)
        exit(EX_USAGE);
}

int
main(int argc, char **argv)
{
    struct source s = {
        .messages = 1000,
        .sessions = 100,
        .per_session = 1,
        .recipients = 1,
        .octets = 10 * 1024,
        .modulus = 100,
        .recipient = "user@relay.test",
    };

    options(&s, argc, argv);
    buf_init(&s.error, LINE_MAX_OCTETS * 2);
    make_body(&s);
    if (!sock_addr_parse(SLICE_LIT("127.0.0.1"), (uint16_t)s.port, &s.server))
        return EX_SOFTWARE;
    sched_open();
    s.start_ns = s.last_ns = tally_now_ns();
    for (uint32_t i = 0; i < s.sessions; i++)
        if (fiber_spawn("session", session_main, &s) == NULL)
            return EX_OSERR;
    sched_run();
    report(&s);
    (void)fflush(stdout);
    /* As the daemons do: what memory is left ends with the process. */
    _exit(s.accepted == s.messages ? EXIT_SUCCESS : EXIT_FAILURE);
}

/*
 * smtp_sink - takes mail from smtp_source's messages, counts and times it.
 *
 * smtp_sink -p PORT [-n MAX-NUMBER] [-d MS]
 *
 * Listens at 127.0.0.1 and at 127.0.1.1 to 127.0.1.100: an address for each of
 * a hundred destinations. To each line on standard input it answers with a JSON
 * object: what was counted since the line "reset" (which is answered too).
 * Ends with its standard input.
 *
 * "numbers" is how many different messages came, "doubles" how many came again;
 * e2e is the time from the first octet of content at the source to our 250.
 * -d: an answer waits so long, give or take a half, as from hosts far away.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/base/random.h"
#include "lib/io/fiber.h"
#include "lib/io/sock.h"
#include "lib/io/stream.h"
#include "tests/bench/tally.h"

#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    LINE_MAX_OCTETS = 64 * 1024,
    IDLE_MS = 600 * 1000,
    DESTINATIONS = 100,
    BACKLOG = 1024,
    NUMBERS_MAX = 1 << 24,
};

struct sink {
    uint32_t port, numbers_max, distance_ms;
    unsigned char *seen; /* by number */
    uint64_t messages, recipients, numbers, doubles, sessions;
    int64_t last_ns;
    struct samples e2e;
};

struct listener {
    struct sink *sink;
    struct io_wait wait;
};

struct session {
    struct sink *sink;
    struct stream *st;
    uint32_t recipients;
    uint64_t number; /* UINT64_MAX: it has none */
    uint64_t sent_ns;
};

static int64_t
deadline(void)
{
    return clock_now_ms() + IDLE_MS;
}

static void
take_number(const struct session *c)
{
    struct sink *k = c->sink;

    if (c->number >= k->numbers_max)
        return;
    if (k->seen[c->number] != 0) {
        k->doubles++;
        return;
    }
    k->seen[c->number] = 1;
    k->numbers++;
    samples_add(&k->e2e, k->last_ns - (int64_t)c->sent_ns);
}

/* True while the header goes on. */
static bool
take_header(struct session *c, struct slice line)
{
    static const struct slice number = SLICE_LIT("X-Number: "),
                              sent = SLICE_LIT("X-Sent: ");

    /* Both lines are ours, or the message is not counted. */
    if (slice_starts(line, number) &&
        !num_parse_u64(slice_skip(line, number.len), UINT64_MAX, &c->number))
        c->number = UINT64_MAX;
    if (slice_starts(line, sent) &&
        !num_parse_u64(slice_skip(line, sent.len), INT64_MAX, &c->sent_ns))
        c->number = UINT64_MAX;
    return line.len > 0;
}

static bool
take_content(struct session *c)
{
    bool header = true;
    struct slice line;

    c->number = UINT64_MAX;
    for (;;) {
        if (stream_read_line(c->st, LINE_MAX_OCTETS, deadline(), &line) !=
            STREAM_OK)
            return false;
        if (slice_eq_text(line, "."))
            break;
        header = header && take_header(c, line);
    }
    c->sink->last_ns = tally_now_ns();
    c->sink->messages++;
    c->sink->recipients += c->recipients;
    take_number(c);
    return true;
}

static const char ehlo[] = "250-sink.test\r\n250-PIPELINING\r\n"
                           "250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n";

static bool
is(struct slice line, const char *verb)
{
    return slice_starts_nocase(line, slice_of(verb));
}

/* The reply to one command; NULL ends the session. */
static const char *
answer(struct session *c, struct slice line)
{
    if (is(line, "EHLO"))
        return ehlo;
    if (is(line, "MAIL"))
        c->recipients = 0;
    else if (is(line, "RCPT"))
        c->recipients++;
    else if (is(line, "QUIT"))
        return NULL;
    return "250 2.0.0 Ok\r\n";
}

static bool
reply(struct session *c, const char *text)
{
    stream_write(c->st, slice_of(text), deadline());
    /* What was sent together is answered together. */
    if (stream_buffered(c->st) > 0)
        return true;
    if (c->sink->distance_ms > 0)
        (void)fiber_sleep_until(clock_now_ms() + c->sink->distance_ms / 2 +
            (int64_t)random_below(c->sink->distance_ms));
    return stream_flush(c->st, deadline()) == STREAM_OK;
}

static void
session_main(void *arg)
{
    struct session *c = arg;
    struct slice line;
    bool ok = reply(c, "220 sink.test ESMTP\r\n");

    while (ok &&
        stream_read_line(c->st, LINE_MAX_OCTETS, deadline(), &line) ==
            STREAM_OK) {
        const char *text = "250 2.0.0 Ok\r\n";

        if (is(line, "DATA")) {
            ok = reply(c, "354 go on\r\n") && take_content(c);
        } else {
            text = answer(c, line);
            ok = text != NULL;
        }
        ok = ok && reply(c, text);
        if (text == NULL && reply(c, "221 2.0.0 Bye\r\n") &&
            stream_flush(c->st, deadline()) != STREAM_OK)
            ok = false;
    }
    stream_free(c->st);
    mem_free(c);
}

static void
accept_one(struct sink *k, int fd)
{
    struct session *c = mem_alloc(sizeof(*c));
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    *c = (struct session){ .sink = k, .st = stream_new(fd) };
    k->sessions++;
    if (fiber_spawn("session", session_main, c) == NULL) {
        stream_free(c->st);
        mem_free(c);
    }
}

static void
listener_main(void *arg)
{
    struct listener *l = arg;

    for (;;) {
        int fd = sock_accept(l->wait.fd, NULL);

        if (fd >= 0)
            accept_one(l->sink, fd);
        else if (io_wait_readable(&l->wait, CLOCK_NEVER) != WAIT_OK)
            return;
    }
}

static void
listen_at(struct sink *k, const char *host)
{
    struct listener *l = mem_alloc(sizeof(*l));
    struct sock_addr addr;
    struct why why;
    int fd;

    l->sink = k;
    if (!sock_addr_parse(slice_of(host), (uint16_t)k->port, &addr) ||
        sock_listen(&addr, BACKLOG, &fd, &why) != RESULT_OK ||
        io_wait_init(&l->wait, fd) < 0 ||
        fiber_spawn("listener", listener_main, l) == NULL) {
        (void)fprintf(stderr, "smtp_sink: cannot listen at %s\n", host);
        exit(EX_OSERR);
    }
}

static void
report(struct sink *k)
{
    (void)printf("{\"messages\": %" PRIu64 ", \"recipients\": %" PRIu64
                 ", \"numbers\": %" PRIu64 ", \"doubles\": %" PRIu64
                 ", \"sessions\": %" PRIu64 ", \"last_ns\": %" PRId64
                 ", \"cpu\": %.3f",
        k->messages, k->recipients, k->numbers, k->doubles, k->sessions,
        k->last_ns, tally_cpu_s());
    samples_print(&k->e2e, "e2e");
    (void)printf("}\n");
    (void)fflush(stdout);
}

static void
reset(struct sink *k)
{
    k->messages = k->recipients = k->numbers = k->doubles = k->sessions = 0;
    samples_clear(&k->e2e);
    memset(k->seen, 0, k->numbers_max);
}

static void
questions_main(void *arg)
{
    struct stream *in = stream_new(STDIN_FILENO);
    struct sink *k = arg;
    struct slice line;

    while (stream_read_line(in, LINE_MAX_OCTETS, CLOCK_NEVER, &line) ==
        STREAM_OK) {
        if (slice_eq_text(line, "reset"))
            reset(k);
        report(k);
    }
    sched_stop();
}

static uint32_t
number(const char *text, uint32_t max)
{
    uint32_t n = 0;

    if (!num_parse_u32(slice_of(text), max, &n))
        exit(EX_USAGE);
    return n;
}

int
main(int argc, char **argv)
{
    struct sink k = { .numbers_max = 1000000 };
    int c;

    while ((c = getopt(argc, argv, "p:n:d:")) != -1)
        if (c == 'p')
            k.port = number(optarg, UINT16_MAX);
        else if (c == 'n')
            k.numbers_max = number(optarg, NUMBERS_MAX);
        else if (c == 'd')
            k.distance_ms = number(optarg, IDLE_MS);
        else
            return EX_USAGE;
    if (k.port == 0 || optind != argc)
        return EX_USAGE;
    k.seen = mem_alloc(k.numbers_max);
    (void)fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    sched_open();
    listen_at(&k, "127.0.0.1");
    for (unsigned i = 1; i <= DESTINATIONS; i++) {
        char *host = mem_format("127.0.1.%u", i);

        listen_at(&k, host);
        mem_free(host);
    }
    if (fiber_spawn("questions", questions_main, &k) == NULL)
        return EX_OSERR;
    report(&k); /* ready */
    sched_run();
    (void)fflush(stdout);
    /* As the daemons do: what memory is left ends with the process. */
    _exit(EXIT_SUCCESS);
}

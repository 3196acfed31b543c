/*
 * smtp_servers - SMTP and LMTP servers that play a script, and the zones in which
 * the client finds them.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/io/sock.h"
#include "lib/io/stream.h"
#include "tests/unit/failure.h"
#include "tests/unit/fake_dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    SERVERS = 3, /* 127.x.y.1 .. 3, all at one port */
    WAIT_MS = 20000,
};

/*
 * A script, a line each:
 *     > text    send a line        < text   a line must begin so
 *     ~         content up to the final dot, kept
 *     close     hang up            hang     wait until the client does
 *     meet      what the test has in servers.meet
 *     ---       end of this connection's part; the next one plays on
 */
struct server {
    const char *script; /* NULL: nobody listens */
    int listener;
    unsigned connections;
};

static struct {
    struct server all[SERVERS];
    uint16_t port;
    struct buf content; /* what "~" took */
    void (*meet)(void); /* what happens at "meet" */
} servers;

/* Zones that lookup would know: the linker takes these for lib/dns/dns.c. */
static const struct fake_record zone[] = {
    /* "@2": address of server 2 */
    { "two.test", DNS_MX, 20, "mx2.test" },
    { "two.test", DNS_MX, 10, "mx1.test" },
    { "mx1.test", DNS_A, 0, "@0" },
    { "mx2.test", DNS_A, 0, "@1" },
    { "null.test", DNS_MX, 0, "" },
    { "bare.test", DNS_A, 0, "@0" },
    { "broken.test", DNS_MX, 0, "nowhere.test" },
};

static inline void
server_address(unsigned i, struct sock_addr *addr)
{
    char text[32];

    snprintf(text, sizeof(text), "127.%u.%u.%u", 64 + (getpid() >> 8 & 63),
        getpid() & 255, i + 1);
    if (!sock_addr_parse(slice_of(text), servers.port, addr))
        failure("address %s", text);
}

enum dns_status
dns_ask(struct slice name, enum dns_type type, struct arena *arena,
    int64_t deadline, struct dns_answer *answer, struct why *why)
{
    (void)deadline;
    *answer = (struct dns_answer){ .status = DNS_TRYAGAIN };
    if (slice_eq_text(name, "again.test")) {
        (void)why_temp(why, "4.4.3", "try again");
        return DNS_TRYAGAIN;
    }
    if (fake_dns_find(zone, sizeof(zone) / sizeof(zone[0]), name, type, arena,
            answer) == DNS_OK) {
        for (size_t i = 0; i < answer->count; i++)
            if (slice_starts(answer->records[i].name, SLICE_LIT("@")))
                server_address((unsigned)(answer->records[i].name.ptr[1] - '0'),
                    &answer->records[i].addr);
        return DNS_OK;
    }
    (void)why_perm(why, "5.4.4", "name=" SLICE_FMT " not found",
        SLICE_ARG(name));
    return DNS_NXDOMAIN;
}

static inline int64_t
soon(void)
{
    return clock_now_ms() + WAIT_MS;
}

static inline bool
read_content(struct stream *st)
{
    struct slice line;

    for (;;) {
        if (stream_read_line(st, 4096, soon(), &line) != STREAM_OK)
            return false;
        if (slice_eq(line, SLICE_LIT(".")))
            return true;
        buf_add(&servers.content, line);
        buf_add_octet(&servers.content, '\n');
    }
}

/* One line of a script. False: the connection is over. */
static inline bool
/* NOLINTNEXTLINE(misc-no-recursion): over our own scripts */
play_line(struct server *server, struct stream *st, struct slice step)
{
    struct slice line, want = slice_skip(step, 2);

    if (step.ptr[0] == '>') {
        stream_write(st, want, soon());
        stream_write(st, SLICE_LIT("\r\n"), soon());
        return stream_flush(st, soon()) == STREAM_OK;
    }
    if (step.ptr[0] == '<') {
        if (stream_read_line(st, 4096, soon(), &line) != STREAM_OK) {
            failure("server %td: end instead of " SLICE_FMT,
                server - servers.all, SLICE_ARG(want));
            return false;
        }
        if (!slice_starts(line, want)) {
            failure("server %td: \"" SLICE_FMT "\" instead of " SLICE_FMT,
                server - servers.all, SLICE_ARG(line), SLICE_ARG(want));
            return false;
        }
        return !slice_eq_text(line, "QUIT") ||
            play_line(server, st, SLICE_LIT("> 221 bye"));
    }
    if (step.ptr[0] == '~' && !read_content(st))
        failure("server %td: end within the content", server - servers.all);
    if (slice_eq_text(step, "meet")) {
        servers.meet();
        return true;
    }
    if (slice_eq_text(step, "hang"))
        while (stream_read_line(st, 4096, soon(), &line) == STREAM_OK)
            if (slice_eq(line, SLICE_LIT(".")))
                failure("server %td: a final dot", server - servers.all);
    return step.ptr[0] == '~';
}

/* Play this connection's part, and leave the rest to the next. */
static inline void
play(struct server *server, struct stream *st)
{
    struct slice rest = slice_of(server->script), step;
    bool open = true;

    while (slice_line(&rest, &step)) {
        if (slice_eq_text(step, "---"))
            break;
        if (open)
            open = play_line(server, st, step);
    }
    server->script = rest.ptr;
    /* What the script does not say, the client may: QUIT, say. */
    while (open && stream_read_line(st, 4096, soon(), &step) == STREAM_OK) {
        if (slice_eq_text(step, "QUIT"))
            open = play_line(server, st, SLICE_LIT("> 221 bye"));
        else
            failure("server %td: \"" SLICE_FMT "\" past the script's end",
                server - servers.all, SLICE_ARG(step));
    }
}

static inline void
serve(void *arg)
{
    struct server *server = arg;
    struct io_wait w;
    int fd;

    if (io_wait_init(&w, server->listener) < 0)
        failure("io_wait_init");
    for (;;) {
        struct stream *st;

        fd = sock_accept(server->listener, NULL);
        if (fd < 0) {
            if (io_wait_readable(&w, soon()) != WAIT_OK)
                break;
            continue;
        }
        server->connections++;
        st = stream_new(fd);
        if (server->script == NULL || server->script[0] == '\0')
            failure("server %td: one connection too many",
                server - servers.all);
        else
            play(server, st);
        stream_free(st);
    }
    io_wait_fini(&w);
}

/* An address for each server, all at one port that is free on each. */
static inline bool
open_listeners(const char *const scripts[])
{
    struct sock_addr addr;
    socklen_t len = sizeof(addr.u);

    servers.port = 0;
    for (unsigned i = 0; i < SERVERS; i++) {
        struct server *server = &servers.all[i];

        *server = (struct server){ .script = scripts[i], .listener = -1 };
        server_address(i, &addr);
        /* A port that is taken and not listened on refuses connections. */
        server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (bind(server->listener, &addr.u.any, addr.len) < 0)
            return false;
        if (i == 0) {
            getsockname(server->listener, &addr.u.any, &len);
            servers.port = ntohs(addr.u.in.sin_port);
        }
        if (server->script != NULL && listen(server->listener, 10) < 0)
            return false;
    }
    return true;
}

static inline void
close_listeners(void)
{
    for (unsigned i = 0; i < SERVERS; i++)
        close(servers.all[i].listener);
}

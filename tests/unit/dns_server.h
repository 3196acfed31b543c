/*
 * dns_server - a name server of a few names, as two fibers: serve_udp() and
 * serve_tcp(), to be cancelled.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/dns/dns.h"
#include "lib/io/sock.h"
#include "lib/io/stream.h"
#include "tests/unit/failure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    uint16_t port; /* UDP's and TCP's */
    int udp, tcp;
    unsigned questions, tcp_questions;
    bool silent; /* to be told: answers nothing */
} server;

/*
 * What the server knows. rcode 0 without data: the name is there, the type is
 * not. Names that are not here do not exist.
 */
static const struct {
    const char *name;
    enum dns_type type;
    unsigned rcode;
    const char *data; /* "10 mx1.test", "192.0.2.1", "text", a name */
} zone[] = {
    { "two.test", DNS_MX, 0, "20 mx2.test" },
    { "two.test", DNS_MX, 0, "10 mx1.test" },
    { "mx1.test", DNS_A, 0, "192.0.2.1" },
    { "mx1.test", DNS_AAAA, 0, "2001:db8::1" },
    { "null.test", DNS_MX, 0, "0 ." },
    { "alias.test", DNS_CNAME, 0, "mx1.test" },
    { "loop.test", DNS_CNAME, 0, "loop2.test" },
    { "loop2.test", DNS_CNAME, 0, "loop.test" },
    { "text.test", DNS_TXT, 0, "v=spf1 -all" },
    { "1.2.0.192.in-addr.arpa", DNS_PTR, 0, "mx1.test" },
    { "fail.test", DNS_A, 2, NULL },
    { "large.test", DNS_TXT, 0, "large" },
    { "odd.test", DNS_MX, 0, "10 bad!name.test" },
    { "localhost", DNS_A, 0, "127.0.0.9" },
    { "forged.test", DNS_A, 0, "192.0.2.9" },
};

static inline void
put_name(struct buf *to, const char *name)
{
    struct slice rest = slice_of(name), label;

    while (slice_word(&rest, ".", &label)) {
        buf_add_octet(to, (unsigned char)label.len);
        buf_add(to, label);
    }
    buf_add_octet(to, 0);
}

static inline void
put_u16(struct buf *to, unsigned n)
{
    buf_add_octet(to, (unsigned char)(n >> 8));
    buf_add_octet(to, (unsigned char)n);
}

static inline void
put_data(struct buf *to, enum dns_type type, const char *data)
{
    struct sock_addr addr;
    char *end;

    switch (type) {
    case DNS_A:
    case DNS_AAAA:
        if (!sock_addr_parse(slice_of(data), 0, &addr))
            failure("address %s", data);
        if (type == DNS_A)
            buf_add(to, (struct slice){ (const char *)&addr.u.in.sin_addr, 4 });
        else
            buf_add(to,
                (struct slice){ (const char *)&addr.u.in6.sin6_addr, 16 });
        break;
    case DNS_MX:
        put_u16(to, (unsigned)strtoul(data, &end, 10));
        put_name(to, end + 1);
        break;
    case DNS_TXT:
        for (int i = strcmp(data, "large") == 0 ? 20 : 1; i > 0; i--) {
            char text[201];

            memset(text, 'x', 200);
            text[200] = '\0';
            if (strcmp(data, "large") != 0)
                snprintf(text, sizeof(text), "%s", data);
            buf_add_octet(to, (unsigned char)strlen(text));
            buf_add_text(to, text);
        }
        break;
    case DNS_CNAME:
    case DNS_NS:
    case DNS_PTR:
        put_name(to, data);
        break;
    }
}

/* The name in a question, as text; 0 octets when it makes no sense. */
static inline size_t
question_name(struct slice packet, char *name, size_t *len)
{
    size_t at = 12;

    *len = 0;
    while (at < packet.len && packet.ptr[at] != 0) {
        size_t n = (unsigned char)packet.ptr[at];

        if (*len > 0)
            name[(*len)++] = '.';
        memcpy(name + *len, packet.ptr + at + 1, n);
        *len += n;
        at += n + 1;
    }
    name[*len] = '\0';
    return at + 1;
}

static inline void
put_record(struct buf *to, const char *owner, size_t i)
{
    struct buf data;

    buf_init(&data, 8192);
    put_data(&data, zone[i].type, zone[i].data);
    put_name(to, owner);
    put_u16(to, zone[i].type);
    put_u16(to, 1);
    put_u16(to, 0);
    put_u16(to, 300);
    put_u16(to, (unsigned)data.len);
    buf_add(to, buf_slice(&data));
    buf_fini(&data);
}

static inline void
put_soa(struct buf *to)
{
    put_name(to, "test");
    put_u16(to, 6);
    put_u16(to, 1);
    put_u16(to, 0);
    put_u16(to, 100);
    put_u16(to, 22);
    buf_add_octet(to, 0);
    buf_add_octet(to, 0);
    for (int i = 0; i < 5; i++) {
        put_u16(to, 0);
        put_u16(to, 60);
    }
}

static inline void
answer_question(struct slice packet, bool tcp, struct buf *to)
{
    char name[512];
    size_t name_len, end = question_name(packet, name, &name_len);
    unsigned type = (unsigned)(unsigned char)packet.ptr[end] << 8 |
        (unsigned char)packet.ptr[end + 1];
    unsigned rcode = 3, count = 0;
    struct buf records;
    bool truncated;

    server.questions++;
    server.tcp_questions += tcp;
    buf_init(&records, 65536);
    for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
        if (strcasecmp(zone[i].name, name) != 0)
            continue;
        rcode = zone[i].rcode;
        if (zone[i].data != NULL &&
            (type == zone[i].type || zone[i].type == DNS_CNAME)) {
            put_record(&records, name, i);
            count++;
        }
    }
    truncated = !tcp && records.len > 1000;
    buf_clear(to);
    buf_add(to, slice_head(packet, 2));
    put_u16(to, 0x81a0 | rcode | (truncated ? 0x200 : 0)); /* QR RD RA AD */
    put_u16(to, 1);
    put_u16(to, truncated ? 0 : count);
    put_u16(to, count == 0 ? 1 : 0);
    put_u16(to, 0);
    buf_add(to, slice_skip(slice_head(packet, end + 4), 12));
    if (!truncated)
        buf_add(to, buf_slice(&records));
    if (count == 0)
        put_soa(to);
    buf_fini(&records);
}

/* Answers to questions that nobody asked, by one who guesses their ids. */
static inline void
forge(struct slice answer, const struct sock_addr *to)
{
    char octets[1024];

    if (answer.len > sizeof(octets))
        failure("answer too long to be forged");
    memcpy(octets, answer.ptr, answer.len);
    for (unsigned i = 0; i < 200; i++) {
        octets[0] ^= 1;
        octets[1] = (char)(octets[1] + 1);
        sendto(server.udp, octets, answer.len, 0, &to->u.any, to->len);
        octets[0] ^= 1;
    }
}

static inline void
serve_udp(void *arg)
{
    struct io_wait w;
    struct buf answer;

    (void)arg;
    buf_init(&answer, 65536);
    if (io_wait_init(&w, server.udp) < 0)
        failure("io_wait_init");
    for (;;) {
        char packet[2048];
        struct sock_addr from;
        ssize_t n;

        from.len = sizeof(from.u);
        n = recvfrom(server.udp, packet, sizeof(packet), 0, &from.u.any,
            &from.len);
        if (n < 0) {
            if (io_wait_readable(&w, CLOCK_NEVER) != WAIT_OK)
                break;
            continue;
        }
        if (server.silent || n < 17)
            continue;
        answer_question((struct slice){ packet, (size_t)n }, false, &answer);
        if (memmem(packet, (size_t)n, "forged", 6) != NULL) {
            forge(buf_slice(&answer), &from);
            continue;
        }
        sendto(server.udp, answer.ptr, answer.len, 0, &from.u.any, from.len);
    }
    io_wait_fini(&w);
    buf_fini(&answer);
}

/* One question over TCP: a length of two octets before it and its answer. */
static inline void
serve_connection(struct stream *st, struct buf *answer)
{
    unsigned char prefix[2];
    struct slice octets;
    size_t len;

    if (stream_peek_at_least(st, 2, clock_now_ms() + 5000, &octets) !=
        STREAM_OK)
        return;
    len = (size_t)(unsigned char)octets.ptr[0] << 8 |
        (unsigned char)octets.ptr[1];
    if (stream_peek_at_least(st, len + 2, clock_now_ms() + 5000, &octets) !=
        STREAM_OK)
        return;
    answer_question(slice_skip(octets, 2), true, answer);
    prefix[0] = (unsigned char)(answer->len >> 8);
    prefix[1] = (unsigned char)answer->len;
    stream_write(st, (struct slice){ (char *)prefix, 2 },
        clock_now_ms() + 5000);
    stream_write(st, buf_slice(answer), clock_now_ms() + 5000);
    if (stream_flush(st, clock_now_ms() + 5000) != STREAM_OK)
        failure("TCP answer");
    /* libunbound closes first. */
    if (stream_peek(st, clock_now_ms() + 1000, &octets) == STREAM_OK)
        stream_consume(st, octets.len);
}

static inline void
serve_tcp(void *arg)
{
    struct io_wait w;
    struct buf answer;

    (void)arg;
    buf_init(&answer, 65536);
    if (io_wait_init(&w, server.tcp) < 0)
        failure("io_wait_init");
    for (;;) {
        int fd = sock_accept(server.tcp, NULL);
        struct stream *st;

        if (fd < 0) {
            if (io_wait_readable(&w, CLOCK_NEVER) != WAIT_OK)
                break;
            continue;
        }
        st = stream_new(fd);
        serve_connection(st, &answer);
        stream_free(st);
    }
    io_wait_fini(&w);
    buf_fini(&answer);
}

/* UDP and TCP at one port that was free for both. */
static inline void
open_server(void)
{
    struct sock_addr addr;
    struct why why;
    socklen_t len;

    do {
        assert_true(sock_addr_parse(SLICE_LIT("127.0.0.1"), 0, &addr));
        server.udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(server.udp, &addr.u.any, addr.len), 0);
        len = sizeof(addr.u);
        getsockname(server.udp, &addr.u.any, &len);
        server.port = ntohs(addr.u.in.sin_port);
        if (sock_listen(&addr, 10, &server.tcp, &why) == RESULT_OK)
            return;
        close(server.udp);
    } while (true);
}

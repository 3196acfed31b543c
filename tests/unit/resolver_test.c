/*
 * lookup's DNS, by libunbound and by the stub, against a server of a few names:
 * what becomes of each kind of answer, caching, several at once, none there.
 */
#include "lookup/resolver.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/io/fiber.h"
#include "lib/io/stream.h"
#include "lookup/resolv_conf.h"
#include "lookup/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    uint16_t port;
    int udp, tcp;
    unsigned questions, tcp_questions;
    bool silent;
    char failure[256];
    struct resolver *resolver;
    const char *mode;
} t;

ATTR_PRINTF(1, 2)
static void
failure(const char *fmt, ...)
{
    va_list ap;

    if (t.failure[0] != '\0')
        return;
    va_start(ap, fmt);
    vsnprintf(t.failure, sizeof(t.failure), fmt, ap);
    va_end(ap);
}

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

static void
put_name(struct buf *to, const char *name)
{
    struct slice rest = slice_of(name), label;

    while (slice_word(&rest, ".", &label)) {
        buf_add_octet(to, (unsigned char)label.len);
        buf_add(to, label);
    }
    buf_add_octet(to, 0);
}

static void
put_u16(struct buf *to, unsigned n)
{
    buf_add_octet(to, (unsigned char)(n >> 8));
    buf_add_octet(to, (unsigned char)n);
}

static void
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
static size_t
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

static void
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

static void
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

static void
answer_question(struct slice packet, bool tcp, struct buf *to)
{
    char name[512];
    size_t name_len, end = question_name(packet, name, &name_len);
    unsigned type = (unsigned)(unsigned char)packet.ptr[end] << 8 |
        (unsigned char)packet.ptr[end + 1];
    unsigned rcode = 3, count = 0;
    struct buf records;
    bool truncated;

    t.questions++;
    t.tcp_questions += tcp;
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
static void
forge(struct slice answer, const struct sock_addr *to)
{
    char octets[1024];

    if (answer.len > sizeof(octets))
        failure("answer too long to be forged");
    memcpy(octets, answer.ptr, answer.len);
    for (unsigned i = 0; i < 200; i++) {
        octets[0] ^= 1;
        octets[1] = (char)(octets[1] + 1);
        sendto(t.udp, octets, answer.len, 0, &to->u.any, to->len);
        octets[0] ^= 1;
    }
}

static void
serve_udp(void *arg)
{
    struct io_wait w;
    struct buf answer;

    (void)arg;
    buf_init(&answer, 65536);
    if (io_wait_init(&w, t.udp) < 0)
        failure("io_wait_init");
    for (;;) {
        char packet[2048];
        struct sock_addr from;
        ssize_t n;

        from.len = sizeof(from.u);
        n = recvfrom(t.udp, packet, sizeof(packet), 0, &from.u.any, &from.len);
        if (n < 0) {
            if (io_wait_readable(&w, CLOCK_NEVER) != WAIT_OK)
                break;
            continue;
        }
        if (t.silent || n < 17)
            continue;
        answer_question((struct slice){ packet, (size_t)n }, false, &answer);
        if (memmem(packet, (size_t)n, "forged", 6) != NULL) {
            forge(buf_slice(&answer), &from);
            continue;
        }
        sendto(t.udp, answer.ptr, answer.len, 0, &from.u.any, from.len);
    }
    io_wait_fini(&w);
    buf_fini(&answer);
}

static void
serve_tcp(void *arg)
{
    struct io_wait w;
    struct buf answer;

    (void)arg;
    buf_init(&answer, 65536);
    if (io_wait_init(&w, t.tcp) < 0)
        failure("io_wait_init");
    for (;;) {
        int fd = sock_accept(t.tcp, NULL);
        struct slice octets;
        struct stream *st;
        size_t len;

        if (fd < 0) {
            if (io_wait_readable(&w, CLOCK_NEVER) != WAIT_OK)
                break;
            continue;
        }
        st = stream_new(fd);
        if (stream_peek_at_least(st, 2, clock_now_ms() + 5000, &octets) ==
            STREAM_OK) {
            len = (size_t)(unsigned char)octets.ptr[0] << 8 |
                (unsigned char)octets.ptr[1];
            if (stream_peek_at_least(st, len + 2, clock_now_ms() + 5000,
                    &octets) == STREAM_OK) {
                unsigned char prefix[2];

                answer_question(slice_skip(octets, 2), true, &answer);
                prefix[0] = (unsigned char)(answer.len >> 8);
                prefix[1] = (unsigned char)answer.len;
                stream_write(st, (struct slice){ (char *)prefix, 2 },
                    clock_now_ms() + 5000);
                stream_write(st, buf_slice(&answer), clock_now_ms() + 5000);
                if (stream_flush(st, clock_now_ms() + 5000) != STREAM_OK)
                    failure("TCP answer");
                /* libunbound closes first. */
                if (stream_peek(st, clock_now_ms() + 1000, &octets) ==
                    STREAM_OK)
                    stream_consume(st, octets.len);
            }
        }
        stream_free(st);
    }
    io_wait_fini(&w);
    buf_fini(&answer);
}

static const struct {
    const char *name;
    enum dns_type type;
    enum dns_status want;
    const char *records; /* "20 mx2.test|10 mx1.test" in any order */
    const char *canonical;
} cases[] = {
    { "two.test", DNS_MX, DNS_OK, "10 mx1.test|20 mx2.test", "" },
    { "TWO.test.", DNS_MX, DNS_OK, "10 mx1.test|20 mx2.test", "" },
    { "mx1.test", DNS_A, DNS_OK, "192.0.2.1", "" },
    { "mx1.test", DNS_AAAA, DNS_OK, "2001:db8::1", "" },
    { "mx1.test", DNS_MX, DNS_NODATA, "", "" },
    { "null.test", DNS_MX, DNS_OK, "0 ", "" },
    { "alias.test", DNS_A, DNS_OK, "192.0.2.1", "mx1.test" },
    { "alias.test", DNS_MX, DNS_NODATA, "", "mx1.test" },
    { "loop.test", DNS_A, DNS_TRYAGAIN, "", NULL },
    { "text.test", DNS_TXT, DNS_OK, "v=spf1 -all", "" },
    { "1.2.0.192.in-addr.arpa", DNS_PTR, DNS_OK, "mx1.test", "" },
    { "none.test", DNS_A, DNS_NXDOMAIN, "", "" },
    { "none.test", DNS_MX, DNS_NXDOMAIN, "", "" },
    { "fail.test", DNS_A, DNS_TRYAGAIN, "", "" },
    { "odd.test", DNS_MX, DNS_INVALID, "", "" },
    { "localhost", DNS_A, DNS_OK, "127.0.0.9", "" },
    { "192.0.2.1", DNS_A, DNS_INVALID, "", "" },
    { "a..b", DNS_A, DNS_INVALID, "", "" },
    { "", DNS_A, DNS_INVALID, "", "" },
};

static void
show_record(const struct dns_record *r, struct buf *to)
{
    char address[SOCK_TEXT_MAX];

    if (r->type == DNS_A || r->type == DNS_AAAA)
        buf_add_text(to, sock_addr_text(&r->addr, address));
    else if (r->type == DNS_MX)
        buf_add_format(to, "%u " SLICE_FMT, r->preference, SLICE_ARG(r->name));
    else
        buf_add(to, r->name);
}

/* Each record of the answer is named in want, and there are as many. */
static void
check_records(const char *question, const struct dns_answer *a,
    const char *want)
{
    struct slice rest;
    struct buf shown;
    size_t wanted = want[0] != '\0';

    for (const char *p = want; *p != '\0'; p++)
        wanted += *p == '|';
    if (a->status != DNS_OK ? want[0] != '\0' : wanted != a->count)
        failure("%s: %zu records", question, a->count);
    buf_init(&shown, 8192);
    for (size_t i = 0; a->status == DNS_OK && i < a->count; i++) {
        bool found = false;

        buf_clear(&shown);
        show_record(&a->records[i], &shown);
        for (rest = slice_of(want); rest.len > 0;) {
            struct slice one = slice_head(rest, slice_find(rest, '|'));

            found = found || slice_eq(one, buf_slice(&shown));
            rest = slice_skip(rest, one.len + 1);
        }
        if (!found)
            failure("%s: record %s", question, buf_text(&shown));
    }
    buf_fini(&shown);
}

static void
ask(const char *name, enum dns_type type, struct arena *arena,
    struct dns_answer *answer)
{
    struct why why;

    resolver_ask(t.resolver, slice_of(name), type, arena,
        clock_now_ms() + 10000, answer, &why);
}

static void
ask_cases(bool trust_ad)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dns_answer answer;
        struct arena arena;

        arena_init(&arena, 1 << 20);
        ask(cases[i].name, cases[i].type, &arena, &answer);
        if (answer.status != cases[i].want)
            failure("%s %d: status %d", cases[i].name, cases[i].type,
                answer.status);
        check_records(cases[i].name, &answer, cases[i].records);
        if (cases[i].canonical != NULL && answer.status != DNS_TRYAGAIN &&
            !slice_eq_text(answer.canonical, cases[i].canonical))
            failure("%s: canonical \"" SLICE_FMT "\"", cases[i].name,
                SLICE_ARG(answer.canonical));
        if (answer.status == DNS_OK && answer.secure != trust_ad)
            failure("%s: secure %d", cases[i].name, answer.secure);
        arena_clear(&arena);
    }
}

static void
ask_large(void)
{
    struct dns_answer answer;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    ask("large.test", DNS_TXT, &arena, &answer);
    if (answer.status != DNS_OK || answer.count != 1 ||
        answer.records[0].name.len != 4000)
        failure("large.test: status %d", answer.status);
    if (t.tcp_questions == 0)
        failure("TCP was not used");
    arena_clear(&arena);
}

/* A second time nothing is asked of the server, SERVFAIL and nonsense apart. */
static void
ask_cached(void)
{
    struct dns_answer answer;
    struct arena arena;
    unsigned before = t.questions;

    arena_init(&arena, 1 << 20);
    ask("two.test", DNS_MX, &arena, &answer);
    ask("none.test", DNS_A, &arena, &answer);
    ask("mx1.test", DNS_MX, &arena, &answer);
    ask("large.test", DNS_TXT, &arena, &answer);
    if (t.questions != before)
        failure("%u questions were not cached", t.questions - before);
    arena_clear(&arena);
}

static unsigned together;

static void
ask_one_of_many(void *arg)
{
    struct dns_answer answer;
    struct arena arena;

    (void)arg;
    arena_init(&arena, 1 << 20);
    ask("many.test", DNS_A, &arena, &answer);
    if (answer.status != DNS_NXDOMAIN)
        failure("many.test: status %d", answer.status);
    arena_clear(&arena);
    together--;
}

/* A hundred who ask the same at once are one question. */
static void
ask_together(void)
{
    unsigned before = t.questions;

    together = 100;
    for (unsigned i = 0; i < 100; i++)
        if (fiber_spawn("ask", ask_one_of_many, NULL) == NULL)
            failure("fiber");
    while (together > 0)
        fiber_sleep_until(clock_now_ms() + 1);
    if (t.questions != before + 1)
        failure("%u questions, not one", t.questions - before);
}

static void
ask_silent(void)
{
    struct dns_answer answer;
    struct arena arena;
    struct why why;
    int64_t start = clock_now_ms();

    t.silent = true;
    arena_init(&arena, 1 << 20);
    resolver_ask(t.resolver, SLICE_LIT("silent.test"), DNS_A, &arena,
        clock_now_ms() + 200, &answer, &why);
    if (answer.status != DNS_TRYAGAIN || clock_now_ms() - start > 2000)
        failure("silent server: status %d", answer.status);
    t.silent = false;
    /* And it is asked again once it speaks. */
    ask("mx2.silent.test", DNS_A, &arena, &answer);
    if (answer.status != DNS_NXDOMAIN)
        failure("after silence: status %d", answer.status);
    arena_clear(&arena);
}

/* Whoever guesses does not get the time to be right: TCP. */
static void
ask_forged(void)
{
    unsigned before = t.tcp_questions;
    struct dns_answer answer;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    ask("forged.test", DNS_A, &arena, &answer);
    check_records("forged.test", &answer, "192.0.2.9");
    if (answer.status != DNS_OK || t.tcp_questions != before + 1)
        failure("forged: status %d", answer.status);
    arena_clear(&arena);
}

static void
configure(const char *text)
{
    struct config_set *set;
    struct why why;

    if (config_from_text(text, "", &set, &why) != RESULT_OK ||
        resolver_configure(t.resolver, config_main(set), &why) != RESULT_OK)
        failure("%s: %s", text, why.text);
    config_drop(set);
}

static void
run_mode(bool trust_ad)
{
    char text[128];

    snprintf(text, sizeof(text),
        "dns_resolvers=127.0.0.1@%u\ndns_trust_ad=%s\n", t.port,
        trust_ad ? "yes" : "no");
    t.mode = trust_ad ? "stub" : "libunbound";
    configure(text);
    t.tcp_questions = 0;
    ask_cases(trust_ad);
    ask_large();
    ask_cached();
    ask_together();
    if (trust_ad)
        ask_forged();
    ask_silent();
}

static void
run(void *arg)
{
    struct fiber *udp = fiber_spawn("udp", serve_udp, NULL);
    struct fiber *tcp = fiber_spawn("tcp", serve_tcp, NULL);

    (void)arg;
    t.resolver = resolver_new();
    run_mode(true);
    if (t.failure[0] == '\0')
        run_mode(false);
    resolver_free(t.resolver);
    fiber_cancel(udp);
    fiber_cancel(tcp);
}

static void
open_server(void)
{
    struct sock_addr addr;
    struct why why;
    socklen_t len;

    do {
        assert_true(sock_addr_parse(SLICE_LIT("127.0.0.1"), 0, &addr));
        t.udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(t.udp, &addr.u.any, addr.len), 0);
        len = sizeof(addr.u);
        getsockname(t.udp, &addr.u.any, &len);
        t.port = ntohs(addr.u.in.sin_port);
        if (sock_listen(&addr, 10, &t.tcp, &why) == RESULT_OK)
            return;
        close(t.udp);
    } while (true);
}

static void
test_modes(void **state)
{
    (void)state;
    open_server();
    sched_open();
    assert_non_null(fiber_spawn("test", run, NULL));
    sched_run();
    sched_close();
    close(t.udp);
    close(t.tcp);
    if (t.failure[0] != '\0')
        fail_msg("%s: %s", t.mode, t.failure);
}

static const struct {
    const char *text;
    size_t count;
    const char *first;
    unsigned port;
    int64_t timeout_ms;
    unsigned attempts;
} confs[] = {
    { "", 0, NULL, 0, 5000, 2 },
    { "nameserver 127.0.0.1\n", 1, "127.0.0.1", 53, 5000, 2 },
    { "# x\nnameserver\t::1 # x\nnameserver 192.0.2.1", 2, "::1", 53, 5000, 2 },
    { "nameserver 127.0.0.1@5353\noptions timeout:1 attempts:9 rotate\n", 1,
        "127.0.0.1", 5353, 1000, 5 },
    { "nameserver [::1]:54\noptions timeout:0\n", 1, "::1", 54, 1000, 2 },
    { "nameserver example.com\nnameserver 1.2.3.4@\nnameserver\n", 0, NULL, 0,
        5000, 2 },
    { "nameserver 1.2.3.4@99999\nsearch a b\ndomain c\n", 0, NULL, 0, 5000, 2 },
};

static void
test_resolv_conf(void **state)
{
    struct resolv_conf conf;
    struct why why;
    char text[SOCK_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(confs) / sizeof(confs[0]); i++) {
        resolv_conf_parse(slice_of(confs[i].text), &conf);
        assert_int_equal(conf.count, confs[i].count);
        assert_int_equal(conf.timeout_ms, confs[i].timeout_ms);
        assert_int_equal(conf.attempts, confs[i].attempts);
        if (conf.count == 0)
            continue;
        assert_string_equal(sock_addr_text(&conf.servers[0], text),
            confs[i].first);
        assert_int_equal(sock_addr_port(&conf.servers[0]), confs[i].port);
    }
    assert_int_equal(resolv_conf_parse_list(SLICE_LIT("127.0.0.1@5, [::1]"),
                         &conf, &why),
        RESULT_OK);
    assert_int_equal(conf.count, 2);
    assert_int_equal(resolv_conf_parse_list(SLICE_LIT("127.0.0.1,x"), &conf,
                         &why),
        RESULT_PERMFAIL);
}

/* A file that comes, changes and goes is noticed, at most once a second. */
static void
test_resolv_file(void **state)
{
    char path[] = "/tmp/postern-resolv-XXXXXX";
    int fd = mkstemp(path);
    struct resolv_file file = { .path = path };

    (void)state;
    assert_true(fd >= 0);
    clock_set(1000000, 0);
    assert_true(resolv_file_check(&file));
    assert_int_equal(file.conf.count, 0);
    assert_int_equal(write(fd, "nameserver 127.0.0.1\n", 21), 21);
    assert_false(resolv_file_check(&file));
    clock_advance_ms(1000);
    assert_true(resolv_file_check(&file));
    assert_int_equal(file.conf.count, 1);
    clock_advance_ms(1000);
    assert_false(resolv_file_check(&file));
    unlink(path);
    clock_advance_ms(1000);
    assert_true(resolv_file_check(&file));
    assert_int_equal(file.conf.count, 0);
    clock_unset();
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolv_conf),
        cmocka_unit_test(test_resolv_file),
        cmocka_unit_test(test_modes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

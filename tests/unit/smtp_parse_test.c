/* What the SMTP client reads and writes: next hops, replies, dots. */
#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "smtp/dots.h"
#include "smtp/excuse.h"
#include "smtp/nexthop.h"
#include "smtp/reply.h"
#include "smtp/source.h"
#include "smtp/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
    const char *text;
    enum nexthop_protocol protocol;
    bool good;
    enum nexthop_kind kind;
    const char *host;
    uint16_t port;
    bool address;
} hops[] = {
    { "example.com", NEXTHOP_SMTP, true, NEXTHOP_DOMAIN, "example.com", 25 },
    { "example.com:2525", NEXTHOP_SMTP, true, NEXTHOP_DOMAIN, "example.com",
        2525 },
    { "example.com:submission", NEXTHOP_SMTP, true, NEXTHOP_DOMAIN,
        "example.com", 587 },
    { "[example.com]", NEXTHOP_SMTP, true, NEXTHOP_HOST, "example.com", 25 },
    { "[example.com]:26", NEXTHOP_SMTP, true, NEXTHOP_HOST, "example.com", 26 },
    { "[192.0.2.1]:26", NEXTHOP_SMTP, true, NEXTHOP_HOST, "192.0.2.1", 26,
        true },
    { "192.0.2.1", NEXTHOP_SMTP, true, NEXTHOP_HOST, "192.0.2.1", 25, true },
    { "[IPv6:2001:db8::1]:26", NEXTHOP_SMTP, true, NEXTHOP_HOST,
        "IPv6:2001:db8::1", 26, true },
    { "[2001:db8::1]", NEXTHOP_SMTP, true, NEXTHOP_HOST, "2001:db8::1", 25,
        true },
    { "host", NEXTHOP_LMTP, true, NEXTHOP_HOST, "host", 25 },
    { "inet:host:24", NEXTHOP_LMTP, true, NEXTHOP_HOST, "host", 24 },
    { "inet:[192.0.2.1]:24", NEXTHOP_LMTP, true, NEXTHOP_HOST, "192.0.2.1", 24,
        true },
    { "unix:private/lmtp", NEXTHOP_LMTP, true, NEXTHOP_UNIX, "private/lmtp" },
    { "unix:/run/lmtp", NEXTHOP_LMTP, true, NEXTHOP_UNIX, "/run/lmtp" },

    { "", NEXTHOP_SMTP },
    { ":25", NEXTHOP_SMTP },
    { "[]", NEXTHOP_SMTP },
    { "[host", NEXTHOP_SMTP },
    { "[host]x", NEXTHOP_SMTP },
    { "host:", NEXTHOP_SMTP },
    { "host:0", NEXTHOP_SMTP },
    { "host:65536", NEXTHOP_SMTP },
    { "host:nosuchservice", NEXTHOP_SMTP },
    { "2001:db8::1", NEXTHOP_SMTP },
    { "unix:", NEXTHOP_LMTP },
    { "inet:", NEXTHOP_LMTP },
};

static void
test_nexthop(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hops); i++) {
        struct nexthop hop;
        struct why why;
        enum result res = nexthop_parse(slice_of(hops[i].text),
            hops[i].protocol, 25, &hop, &why);

        print_message("  %s\n", hops[i].text);
        assert_int_equal(res, hops[i].good ? RESULT_OK : RESULT_TEMPFAIL);
        if (!hops[i].good)
            continue;
        assert_int_equal(hop.kind, hops[i].kind);
        assert_true(slice_eq_text(hop.host, hops[i].host));
        assert_int_equal(hop.port, hops[i].port);
        assert_int_equal(hop.addr.len > 0, hops[i].address);
        if (hop.addr.len > 0)
            assert_int_equal(sock_addr_port(&hop.addr), hops[i].port);
    }
}

static void
test_nexthop_list(void **state)
{
    struct slice rest = SLICE_LIT(" [a]:25,b ,\tc:26 "), word;
    static const char *const want[] = { "[a]:25", "b", "c:26" };

    (void)state;
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_true(nexthop_next(&rest, &word));
        assert_true(slice_eq_text(word, want[i]));
    }
    assert_false(nexthop_next(&rest, &word));
}

static const struct {
    const char *text; /* lines with LF */
    enum reply_step want;
    unsigned code;
    const char *status, *line;
} replies[] = {
    { "550 5.1.1 a\033[2Jb\302\233c\377 \303\244", REPLY_DONE, 550, "5.1.1",
        "550 5.1.1 a?[2Jb??c? \303\244" },
    { "250 ok", REPLY_DONE, 250, "2.0.0", "250 ok" },
    { "250", REPLY_DONE, 250, "2.0.0", "250" },
    { "250-a\n250-b\n250 c", REPLY_DONE, 250, "2.0.0", "250-a 250-b 250 c" },
    { "550 5.1.1 no user", REPLY_DONE, 550, "5.1.1", "550 5.1.1 no user" },
    { "550  5.1.1 no user", REPLY_DONE, 550, "5.1.1", "550  5.1.1 no user" },
    { "550-5.1.1 a\n550 5.7.1 b", REPLY_DONE, 550, "5.7.1",
        "550-5.1.1 a 550 5.7.1 b" },
    { "550 5.123.999 x", REPLY_DONE, 550, "5.123.999", "550 5.123.999 x" },
    { "450 5.1.1 x", REPLY_DONE, 450, "4.0.0", "450 5.1.1 x" },
    { "550 5.1 x", REPLY_DONE, 550, "5.0.0", "550 5.1 x" },
    { "550 5.1.1234 x", REPLY_DONE, 550, "5.0.0", "550 5.1.1234 x" },
    { "550 5.1.1x", REPLY_DONE, 550, "5.0.0", "550 5.1.1x" },
    { "354 3.0.0 go", REPLY_DONE, 354, "3.0.0", "354 3.0.0 go" },
    { "550 a\tb\033[1m\177", REPLY_DONE, 550, "5.0.0", "550 a b?[1m?" },
    /* The last line's code counts, as with Postfix. */
    { "250-a\n550 b", REPLY_DONE, 550, "5.0.0", "250-a 550 b" },

    { "", REPLY_GARBAGE },
    { "25", REPLY_GARBAGE },
    { "hello", REPLY_GARBAGE },
    { "250x", REPLY_GARBAGE },
    { "199 x", REPLY_GARBAGE },
    { "600 x", REPLY_GARBAGE },
    { "-50 x", REPLY_GARBAGE },
    { "250-x\nHTTP/1.1", REPLY_GARBAGE },
    { "250-x", REPLY_MORE },
};

static void
test_reply(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(replies); i++) {
        struct slice rest = slice_of(replies[i].text), line;
        enum reply_step step = REPLY_GARBAGE;
        struct reply r;
        struct buf one;

        print_message("  %s\n", replies[i].text);
        reply_init(&r);
        buf_init(&one, 1000);
        while (slice_line(&rest, &line)) {
            step = reply_add_line(&r, line);
            if (step != REPLY_MORE)
                break;
        }
        assert_int_equal(step, replies[i].want);
        if (step == REPLY_DONE) {
            assert_int_equal(r.code, replies[i].code);
            assert_string_equal(r.status, replies[i].status);
            reply_one_line(&r, 1000, &one);
            assert_string_equal(buf_text(&one), replies[i].line);
        }
        buf_fini(&one);
        reply_fini(&r);
    }
}

/* However much a server says, what is kept of it is bounded. */
static void
test_reply_bounds(void **state)
{
    static char line[REPLY_LINE_MAX];
    struct reply r;
    struct excuse *e = malloc(sizeof(*e));
    unsigned n;

    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line, "550-", 4);
    reply_init(&r);
    for (n = 0; n < REPLY_LINES_MAX; n++)
        assert_int_equal(reply_add_line(&r,
                             (struct slice){ line, sizeof(line) }),
            REPLY_MORE);
    assert_int_equal(reply_add_line(&r, SLICE_LIT("550 x")), REPLY_GARBAGE);
    assert_true(r.text.len <= REPLY_TEXT_MAX);
    reply_clear(&r);
    line[3] = ' ';
    assert_int_equal(reply_add_line(&r, (struct slice){ line, sizeof(line) }),
        REPLY_DONE);
    excuse_from_reply(e, "mx[1]", "mx", &r, "RCPT TO command");
    assert_true(strlen(e->text) <= EXCUSE_TEXT_MAX);
    assert_non_null(strstr(e->text, "(in reply to RCPT TO command)"));
    reply_fini(&r);
    free(e);
}

static void
add_to_buf(void *context, struct slice octets)
{
    buf_add(context, octets);
}

static const struct {
    const char *name, *in;
    size_t limit;
    const char *want;
} stuffings[] = {
    { "empty", "", 0, ".\r\n" },
    { "one line", "a\r\n", 0, "a\r\n.\r\n" },
    { "no end", "a", 0, "a\r\n.\r\n" },
    { "dot", ".\r\n", 0, "..\r\n.\r\n" },
    { "dots", "..\r\n.a\r\n", 0, "...\r\n..a\r\n.\r\n" },
    { "dot within", "a.b\r\n", 0, "a.b\r\n.\r\n" },
    { "dot after dot line", ".\r\n.\r\n", 0, "..\r\n..\r\n.\r\n" },
    { "empty lines", "\r\n\r\n.", 0, "\r\n\r\n..\r\n.\r\n" },
    { "at the limit", "abcd\r\n", 4, "abcd\r\n.\r\n" },
    { "past the limit", "abcde\r\n", 4, "abcd\r\n e\r\n.\r\n" },
    { "far past the limit", "abcdefghij\r\nk\r\n", 4,
        "abcd\r\n efg\r\n hij\r\nk\r\n.\r\n" },
    { "past, and no end", "abcdef", 4, "abcd\r\n ef\r\n.\r\n" },
    { "a stuffed dot is not counted", ".bcd\r\n", 4, "..bcd\r\n.\r\n" },
    { "a broken line does not begin with a dot", "abcd.f\r\n", 4,
        "abcd\r\n .f\r\n.\r\n" },
};

static void
test_dots(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(stuffings); i++) {
        struct slice in = slice_of(stuffings[i].in);

        print_message("  %s\n", stuffings[i].name);
        /* Cut anywhere, the outcome is the same. */
        for (size_t piece = 1; piece <= in.len + 1; piece++) {
            struct buf out;
            struct dots d = { .limit = stuffings[i].limit,
                .write = add_to_buf,
                .context = &out };

            buf_init(&out, 1000);
            for (struct slice rest = in; rest.len > 0;
                 rest = slice_skip(rest, piece))
                dots_add(&d, slice_head(rest, piece));
            dots_end(&d);
            assert_string_equal(buf_text(&out), stuffings[i].want);
            buf_fini(&out);
        }
    }
}

static void
add_target(struct targets *t, const char *address, uint32_t preference)
{
    struct target *target = &t->list[t->count++];

    *target = (struct target){ .preference = preference };
    assert_true(sock_addr_parse(slice_of(address), 25, &target->addr));
}

static const struct {
    const char *name;
    enum target_family preferred;
    size_t limit;
    bool balance;
    const char *want;
} orders[] = {
    { "by preference", FAMILY_ANY, 0, false,
        "192.0.2.1 2001:db8::1 192.0.2.2 2001:db8::2 192.0.2.3" },
    { "IPv6 first", FAMILY_INET6, 0, false,
        "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 192.0.2.3" },
    { "IPv4 first", FAMILY_INET, 0, false,
        "192.0.2.1 2001:db8::1 192.0.2.2 192.0.2.3 2001:db8::2" },
    { "limit", FAMILY_ANY, 2, false, "192.0.2.1 2001:db8::1" },
    { "limit without balance", FAMILY_INET6, 1, true, "2001:db8::1" },
    { "balance", FAMILY_ANY, 3, true, "192.0.2.1 2001:db8::1 2001:db8::2" },
};

static void
test_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(orders); i++) {
        struct target list[5];
        struct targets t = { .list = list, .room = 5 };
        char text[SOCK_TEXT_MAX];
        struct buf got;

        print_message("  %s\n", orders[i].name);
        add_target(&t, "192.0.2.1", 10);
        add_target(&t, "192.0.2.2", 20);
        add_target(&t, "2001:db8::2", 20);
        add_target(&t, "2001:db8::1", 10);
        add_target(&t, "192.0.2.3", 20);
        targets_sort(&t, orders[i].preferred, false);
        targets_limit(&t, orders[i].limit, orders[i].balance);
        buf_init(&got, 1000);
        for (size_t k = 0; k < t.count; k++)
            buf_add_format(&got, "%s%s", k > 0 ? " " : "",
                sock_addr_text(&t.list[k].addr, text));
        assert_string_equal(buf_text(&got), orders[i].want);
        buf_fini(&got);
    }
}

static const struct {
    const char *config;
    int family;
    const char *want; /* NULL: any */
} sources[] = {
    { "", AF_INET, NULL },
    { "smtp_bind_address=192.0.2.9\n", AF_INET, "192.0.2.9" },
    { "smtp_bind_address=192.0.2.9\n", AF_INET6, NULL },
    { "smtp_bind_address6=[2001:db8::9]\n", AF_INET6, "2001:db8::9" },
    { "smtp_bind_address=here\n", AF_INET, NULL },
    { "inet_interfaces=192.0.2.9\n", AF_INET, "192.0.2.9" },
    { "inet_interfaces=192.0.2.9, [2001:db8::9]\n", AF_INET6, "2001:db8::9" },
    { "inet_interfaces=192.0.2.9, 192.0.2.8\n", AF_INET, NULL },
    { "inet_interfaces=192.0.2.9, localhost\n", AF_INET, NULL },
    { "inet_interfaces=127.0.0.1\n", AF_INET, NULL },
    { "inet_interfaces=all\n", AF_INET, NULL },
    { "inet_interfaces=192.0.2.9\n", AF_UNIX, NULL },
};

static void
quiet(void *context, enum log_level level, const char *tag, struct slice line)
{
    (void)context;
    (void)level;
    (void)tag;
    (void)line;
}

static void
test_source(void **state)
{
    (void)state;
    log_set_sink(quiet, NULL, NULL);
    for (size_t i = 0; i < COUNT(sources); i++) {
        struct config_set *set;
        struct sock_addr from;
        struct why why;
        char text[SOCK_TEXT_MAX];

        assert_int_equal(config_from_text(sources[i].config, "", &set, &why),
            RESULT_OK);
        assert_int_equal(source_address(config_main(set), sources[i].family,
                             &from),
            sources[i].want != NULL);
        if (sources[i].want != NULL)
            assert_string_equal(sock_addr_text(&from, text), sources[i].want);
        config_drop(set);
    }
    log_set_sink(NULL, NULL, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nexthop),
        cmocka_unit_test(test_nexthop_list),
        cmocka_unit_test(test_reply),
        cmocka_unit_test(test_reply_bounds),
        cmocka_unit_test(test_dots),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_source),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

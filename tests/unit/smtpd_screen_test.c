/*
 * Screening before the session: replies and log lines as postscreen(8) has them,
 * and what is remembered.
 */
#define WORLD_MASTER                     \
    "smtp inet n - n - 1 postscreen\n"   \
    "  -o postscreen_greet_wait=6s\n"    \
    "smtpd pass - - n - - smtpd\n"       \
    "dnsblog unix - - n - 0 dnsblog\n"   \
    "tlsproxy unix - - n - 0 tlsproxy\n" \
    "cleanup unix n - n - 0 cleanup\n"   \
    "pickup unix n - n 60 1 pickup\n"
#include "lib/base/num.h"
#include "lib/table/memo.h"
#include "smtpd/screen_private.h"
#include "tests/unit/fake_dns.h"
#include "tests/unit/smtpd_world.h"

#define CLIENT "192.0.2.7"
#define AT     "[192.0.2.7]:12345"

/* lookup's memory, in place of lib/table/memo.c: one record. */
static struct {
    char key[64], value[256];
    int64_t end_s;
    unsigned asked;
} memory;

enum memo_status
memo_find(enum memo_book book, struct slice key, int64_t deadline_ms,
    struct buf *value)
{
    (void)deadline_ms;
    assert_int_equal(book, MEMO_SCREEN);
    memory.asked++;
    fiber_yield();
    buf_clear(value);
    if (!slice_eq_text(key, memory.key) || memory.end_s <= clock_wall_s())
        return MEMO_NOT_FOUND;
    buf_add_text(value, memory.value);
    return MEMO_FOUND;
}

void
memo_keep(enum memo_book book, struct slice key, struct slice value,
    int64_t end_s)
{
    assert_int_equal(book, MEMO_SCREEN);
    snprintf(memory.key, sizeof(memory.key), SLICE_FMT, SLICE_ARG(key));
    snprintf(memory.value, sizeof(memory.value), SLICE_FMT, SLICE_ARG(value));
    memory.end_s = end_s;
}

/* DNS, in place of lib/dns/dns.c. */
static const struct fake_record zone[] = {
    { "7.2.0.192.bad.test", DNS_A, 0, "127.0.0.2" },
    { "7.2.0.192.worse.test", DNS_A, 0, "127.0.0.9" },
    { "7.2.0.192.good.test", DNS_A, 0, "127.0.0.1" },
    { "7.2.0.192.slow.test", DNS_A, 0, "127.0.0.1" },
};

enum dns_status
dns_ask(struct slice name, enum dns_type type, struct arena *arena,
    int64_t deadline, struct dns_answer *answer, struct why *why)
{
    (void)why;
    assert_int_equal(type, DNS_A);
    if (slice_ends_nocase(name, SLICE_LIT("slow.test")))
        (void)fiber_sleep_until(deadline);
    else
        fiber_yield();
    return fake_dns_find(zone, sizeof(zone) / sizeof(zone[0]), name, type,
        arena, answer);
}

#define TEASER   "< 220-mx.test ESMTP Postern\n"
#define GREETING "< 220 mx.test ESMTP Postern\n"
#define EHLO                      \
    "> EHLO foo\n"                \
    "< 250-mx.test\n"             \
    "< 250-SIZE 10240000\n"       \
    "< 250-VRFY\n"                \
    "< 250-ETRN\n"                \
    "< 250-ENHANCEDSTATUSCODES\n" \
    "< 250-8BITMIME\n"            \
    "< 250-DSN\n"                 \
    "< 250-SMTPUTF8\n"            \
    "< 250 LIMITS RCPTMAX=1000\n"
#define MAIL    "> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n"
#define RCPT    "> RCPT TO:<x@relay.test>\n"
#define QUIT    "> QUIT\n< 221 2.0.0 Bye\nEOF\n"
#define CONNECT "L CONNECT from " AT " to []:0\n"

static const struct dialogue {
    const char *name, *config, *client, *known, *script, *kept;
} dialogues[] = {
    { "new", "", CLIENT, NULL,
        TEASER "T 6000\n" GREETING "> HELO foo\n"
               "< 250 mx.test\n" MAIL RCPT "< 250 2.1.5 Ok\n" QUIT CONNECT
               "L PASS NEW " AT "\n"
               "L connect from unknown[192.0.2.7]\n"
               "L disconnect from unknown[192.0.2.7] helo=1 mail=1 rcpt=1 "
               "quit=1 commands=4\n",
        "1795377917;0;0;0;0" },
    { "known", "", CLIENT, "1795377911;0;0;0;0",
        GREETING QUIT CONNECT "L PASS OLD " AT "\n"
                              "L connect from unknown[192.0.2.7]\n",
        NULL },
    { "known, and expired", "", CLIENT, "1795291510;0;0;0;0",
        TEASER "T 6000\n" GREETING QUIT CONNECT "L PASS OLD " AT "\n", NULL },
    { "own networks", "", "127.0.0.1", NULL,
        GREETING QUIT "L CONNECT from [127.0.0.1]:12345 to []:0\n"
                      "L ALLOWLISTED [127.0.0.1]:12345\n"
                      "L connect from unknown[127.0.0.1]\n",
        NULL },
    { "the old words", "respectful_logging = no\n", "127.0.0.1", NULL,
        GREETING QUIT "L WHITELISTED [127.0.0.1]:12345\n", NULL },
    { "denied, and ignored",
        "postscreen_access_list = cidr:{{192.0.2.0/24 reject}}\n", CLIENT, NULL,
        TEASER "T 6000\n" GREETING QUIT "L DENYLISTED " AT "\n"
               "L PASS NEW " AT "\n",
        NULL },
    { "denied, and dropped",
        "postscreen_access_list = cidr:{{192.0.2.9 reject}, {192.0.2.0/24 "
        "reject}}\npostscreen_denylist_action = drop\n",
        CLIENT, NULL,
        "< 521 5.3.2 Service currently unavailable\nEOF\n"
        "L DENYLISTED " AT "\nL DISCONNECT " AT "\n",
        NULL },
    { "denied, and refused",
        "postscreen_access_list = permit_mynetworks reject\n"
        "postscreen_denylist_action = enforce\n",
        CLIENT, NULL,
        TEASER "T 6000\n" GREETING EHLO MAIL RCPT
               "< 550 5.3.2 Service currently unavailable\n"
               "> RCPT TO:<y@relay.test>\n"
               "< 550 5.3.2 Service currently unavailable\n"
               "> DATA\n"
               "< 554 5.5.1 Error: no valid recipients\n" QUIT
               "L DENYLISTED " AT "\n"
               "L NOQUEUE: reject: RCPT from " AT ": 550 5.3.2 Service "
               "currently unavailable; from=<a@b.test>, to=<x@relay.test>, "
               "proto=ESMTP, helo=<foo>\n"
               "L NOQUEUE: reject: RCPT from " AT ": 550 5.3.2 Service "
               "currently unavailable; from=<a@b.test>, to=<y@relay.test>, "
               "proto=ESMTP, helo=<foo>\n"
               "L DISCONNECT " AT "\n",
        NULL },
    { "pregreet, ignored", "smtpd_forbid_unauth_pipelining = no\n", CLIENT,
        NULL,
        TEASER "T 70\n= HELO foo\\r\\n\nT 5930\n" GREETING
               "< 250 mx.test\n" QUIT "L PREGREET 10 after 0.07 from " AT
               ": HELO foo\\r\\n\n"
               "L connect from unknown[192.0.2.7]\n",
        NULL },
    { "pregreet, dropped", "postscreen_greet_action = drop\n", CLIENT, NULL,
        TEASER "T 1100\n= EHLO \\r\\n\n< 521 5.5.1 Protocol error\nEOF\n"
               "L PREGREET 7 after 1.1 from " AT ": EHLO \\r\\n\n"
               "L DISCONNECT " AT "\n",
        NULL },
    { "pregreet, refused", "postscreen_greet_action = enforce\n", CLIENT, NULL,
        TEASER "= HELO foo\\r\\n\nT 6000\n" GREETING "< 250 mx.test\n" MAIL RCPT
               "< 550 5.5.1 Protocol error\n" QUIT
               "L PREGREET 10 after 0 from " AT ": HELO foo\\r\\n\n"
               "L NOQUEUE: reject: RCPT from " AT ": 550 5.5.1 Protocol error; "
               "from=<a@b.test>, to=<x@relay.test>, proto=SMTP, helo=<foo>\n"
               "L DISCONNECT " AT "\n",
        NULL },
    { "no teaser", "postscreen_greet_banner =\n", CLIENT, NULL,
        "T 6000\n" GREETING QUIT "L PASS NEW " AT "\n", NULL },
    { "lists, ignored", "postscreen_dnsbl_sites = bad.test, other.test\n",
        CLIENT, NULL,
        TEASER "T 6000\n" GREETING QUIT
               "L addr 192.0.2.7 listed by domain bad.test as 127.0.0.2\n"
               "L DNSBL rank 1 for " AT "\n"
               "L connect from unknown[192.0.2.7]\n",
        "1795377917;0;0;0;0" },
    { "lists, refused",
        "postscreen_dnsbl_sites = bad.test=127.0.0.[1..3]*2, "
        "worse.test=127.0.0.9*3 good.test=127.0.0.1*-2 bad.test=127.0.0.7*9\n"
        "postscreen_dnsbl_threshold = 3\n"
        "postscreen_dnsbl_reply_map = inline:{worse.test=list.test}\n"
        "postscreen_dnsbl_action = enforce\n",
        CLIENT, NULL,
        TEASER "T 6000\n" GREETING EHLO MAIL RCPT
               "< 550 5.7.1 Service unavailable; client [192.0.2.7] blocked "
               "using list.test\n" QUIT "L DNSBL rank 3 for " AT "\n"
               "L NOQUEUE: reject: RCPT from " AT ": 550 5.7.1 Service "
               "unavailable; client [192.0.2.7] blocked using list.test; "
               "from=<a@b.test>, to=<x@relay.test>, proto=ESMTP, helo=<foo>\n"
               "L DISCONNECT " AT "\n",
        NULL },
    { "lists, below the threshold",
        "postscreen_dnsbl_sites = bad.test*2 good.test*-1\n"
        "postscreen_dnsbl_threshold = 2\npostscreen_dnsbl_action = drop\n",
        CLIENT, NULL, TEASER "T 6000\n" GREETING QUIT "L PASS NEW " AT "\n",
        "1795377917;1795291817;0;0;0" },
    { "lists, dropped, softly",
        "postscreen_dnsbl_sites = bad.test\npostscreen_dnsbl_action = drop\n"
        "soft_bounce = yes\n",
        CLIENT, NULL,
        TEASER "T 6000\n< 421 4.7.1 Service unavailable; client [192.0.2.7] "
               "blocked using bad.test\nEOF\n",
        NULL },
    { "a list that is slow",
        "postscreen_dnsbl_sites = slow.test good.test*-1\n"
        "postscreen_dnsbl_action = drop\n",
        CLIENT, NULL, TEASER "T 6000\n" GREETING QUIT "T 9000\n", NULL },
    { "praise spares the wait",
        "postscreen_dnsbl_sites = good.test*-3\n"
        "postscreen_dnsbl_allowlist_threshold = -2\n"
        "postscreen_pipelining_enable = yes\n",
        CLIENT, NULL, TEASER "T 100\n" GREETING QUIT "L PASS NEW " AT "\n",
        "1795291811;1795291811;1795291811;1795291811;1795291811" },
    { "hang up", "", CLIENT, NULL,
        TEASER "T 2800\nX\nL HANGUP after 2.8 from " AT
               " in tests before SMTP handshake\nL DISCONNECT " AT "\n",
        NULL },
    { "after the greeting",
        "postscreen_pipelining_enable = yes\n"
        "postscreen_non_smtp_command_enable = yes\n"
        "postscreen_bare_newline_enable = yes\n",
        CLIENT, NULL,
        TEASER "T 6000\n" GREETING EHLO MAIL RCPT "< 250 2.1.5 Ok\n" QUIT
               "L connect from unknown[192.0.2.7]\n"
               "L PASS NEW " AT "\n"
               "L disconnect from unknown[192.0.2.7] ehlo=1 mail=1 rcpt=1 "
               "quit=1 commands=4\n",
        "1795377917;0;1797883517;1797883517;1797883517" },
    { "sent ahead",
        "postscreen_pipelining_enable = yes\n"
        "smtpd_forbid_unauth_pipelining = no\n",
        CLIENT, NULL,
        TEASER "T 6000\n" GREETING EHLO
               "= MAIL FROM:<a@b>\\r\\nRCPT TO:<x@relay.test>\\r\\n\n"
               "< 250 2.1.0 Ok\n"
               "< 550 5.5.1 Protocol error\n" QUIT
               "L COMMAND PIPELINING from " AT
               " after MAIL: RCPT TO:<x@relay.test>\\r\\n\n"
               "L NOQUEUE: reject: RCPT from " AT ": 550 5.5.1 Protocol error; "
               "from=<a@b>, to=<x@relay.test>, proto=ESMTP, helo=<foo>\n",
        "1795377917;0;0;0;0" },
    { "another protocol", "postscreen_non_smtp_command_enable = yes\n", CLIENT,
        NULL,
        TEASER "T 6000\n" GREETING "> CONNECT example.com:25\n"
               "< 521 5.7.0 Error: I can break rules, too. Goodbye.\nEOF\n"
               "L NON-SMTP COMMAND from " AT
               " after CONNECT: CONNECT example.com:25\n",
        NULL },
    { "bare newline, ignored",
        "postscreen_bare_newline_enable = yes\n"
        "smtpd_forbid_bare_newline = no\n",
        CLIENT, NULL,
        TEASER "T 6000\n" GREETING "= HELO foo\\n\n"
               "< 250 mx.test\n" MAIL RCPT "< 250 2.1.5 Ok\n" QUIT
               "L BARE NEWLINE from " AT " after CONNECT\n"
               "L PASS NEW " AT "\n",
        "1795377917;0;0;0;1795295117" },
    { "limits of who is refused",
        "postscreen_denylist_action = enforce\n"
        "postscreen_access_list = reject\n"
        "postscreen_command_count_limit = 2\n",
        CLIENT, "1795377911;0;0;0;0",
        GREETING "> NOOP\n< 250 2.0.0 Ok\n> VRFY x\n"
                 "< 252 2.0.0 Cannot VRFY user, but will take messages for "
                 "it\n"
                 "> NOOP\n"
                 "< 421 4.7.0 mx.test Error: too many commands\nEOF\n"
                 "L COMMAND COUNT LIMIT from " AT " after VRFY\n"
                 "L DISCONNECT " AT "\n",
        NULL },
    { "silence",
        "postscreen_denylist_action = enforce\n"
        "postscreen_access_list = reject\n",
        CLIENT, "1795377911;0;0;0;0",
        GREETING "T 300000\n"
                 "< 421 4.4.2 mx.test Error: timeout exceeded\nEOF\n"
                 "L COMMAND TIME LIMIT from " AT " after CONNECT\n",
        NULL },
    { "a footer",
        "postscreen_denylist_action = enforce\n"
        "postscreen_access_list = reject\n"
        "postscreen_reject_footer = \\c, call us\n",
        CLIENT, "1795377911;0;0;0;0",
        GREETING "> HELO foo\n< 250 mx.test\n" MAIL RCPT
                 "< 550 5.3.2 Service currently unavailable, call us\n" QUIT,
        NULL },
    { "veto",
        "postscreen_allowlist_interfaces = !192.0.2.1 static:all\n"
        "postscreen_upstream_proxy_protocol = haproxy\n",
        "127.0.0.1", NULL,
        "> PROXY TCP4 192.0.2.7 192.0.2.1 12345 25\n" TEASER "T 6000\n" GREETING
        "> HELO foo\n< 250 mx.test\n" MAIL RCPT
        "< 450 4.3.2 Service currently unavailable\n" QUIT "L CONNECT from " AT
        " to [192.0.2.1]:25\n"
        "L ALLOWLIST VETO " AT "\n"
        "L DISCONNECT " AT "\n",
        NULL },
    { "no room", "postscreen_pre_queue_limit = 1\n", "192.0.2.8", NULL,
        TEASER "B\n"
               "L NOQUEUE: reject: CONNECT from [192.0.2.9]:12345: all "
               "screening ports busy\n",
        NULL },
};

static void
remember(const char *known)
{
    memset(&memory, 0, sizeof(memory));
    if (known == NULL)
        return;
    snprintf(memory.key, sizeof(memory.key), CLIENT);
    snprintf(memory.value, sizeof(memory.value), "%s", known);
    memory.end_s = INT64_MAX;
}

static void
play(const struct dialogue *d)
{
    struct visitor v, other;
    struct slice rest = slice_of(d->script), step;

    visitor_come(&v, d->client);
    while (slice_line(&rest, &step)) {
        if (step.len > 2 && step.ptr[0] == 'T') {
            uint32_t ms;

            assert_true(num_parse_u32(slice_skip(step, 2), 1000000, &ms));
            advance(ms);
        } else if (slice_eq_text(step, "X")) {
            assert_int_equal(shutdown(v.fd, SHUT_RDWR), 0);
            settle();
        } else if (slice_eq_text(step, "B")) {
            visitor_come(&other, "192.0.2.9");
            visitor_play(&other,
                "< 421 4.3.2 All screening ports are "
                "busy\nEOF\n");
            visitor_go(&other);
        } else {
            visitor_step(&v, step);
        }
    }
    visitor_go(&v);
    advance(10000);
}

static void
test_dialogues(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
        const struct dialogue *d = &dialogues[i];

        print_message("  %s\n", d->name);
        remember(d->known);
        world_open(d->config);
        if (world.compiled != RESULT_OK)
            fail_msg("%s", world.why.text);
        play(d);
        world_close();
        if (d->kept != NULL)
            assert_string_equal(memory.value, d->kept);
    }
}

static void
test_records(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t first, last;
    } cases[] = {
        { "1;2;3;4;5", true, 1, 5 },
        { "7", true, 7, 0 },
        { "1;2;3;4;5;6", false, 0, 0 },
        { "x", false, 0, 0 },
        { "-1;2", false, 0, 0 },
        { "", false, 0, 0 },
        { "99999999999999999999", false, 0, 0 },
    };
    int64_t until[TESTS];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(until, 0, sizeof(until));
        assert_int_equal(screen_record_parse(slice_of(cases[i].text), until),
            cases[i].good);
        assert_int_equal(until[0], cases[i].first);
        assert_int_equal(until[TESTS - 1], cases[i].last);
    }
}

/* What cannot be obeyed stops the start. */
static void
test_errors(void **state)
{
    static const char *const cases[] = {
        "postscreen_dnsbl_sites = a.test*x\n",
        "postscreen_dnsbl_sites = a.test=127.0.0\n",
        "postscreen_access_list = allow\n",
        "smtpd_service_name = nowhere\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world_open(cases[i]);
        print_message("  %s", world.why.text);
        assert_int_equal(world.compiled, RESULT_PERMFAIL);
        world_close();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

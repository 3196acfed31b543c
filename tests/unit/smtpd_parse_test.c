/*
 * Command lines, addresses, ESMTP parameters and xtext.
 */
#include "lib/mail/xtext.h"
#include "smtpd/command.h"
#include "smtpd/esmtp.h"
#include "smtpd/path_argument.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { ARENA_MAX = 1 << 20 };

static struct arena arena;

static int
open_arena(void **state)
{
    (void)state;
    arena_init(&arena, ARENA_MAX);
    return 0;
}

static int
close_arena(void **state)
{
    (void)state;
    arena_clear(&arena);
    return 0;
}

static void
assert_slice(struct slice got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    if (got.len > 0)
        assert_memory_equal(got.ptr, want, got.len);
}

static void
test_commands(void **state)
{
    static const struct {
        const char *line;
        enum verb verb;
        const char *args;
    } cases[] = {
        { "MAIL FROM:<a@b>", VERB_MAIL, "FROM:<a@b>" },
        { "  mail\t FROM:<a@b> \t", VERB_MAIL, "FROM:<a@b>" },
        { "quit", VERB_QUIT, "" },
        { "QUITX", VERB_UNKNOWN, "" },
        { "unknown", VERB_UNKNOWN, "" },
        { "MAILFROM:<a>", VERB_UNKNOWN, "" },
        { "", VERB_COUNT, "" },
        { " \t ", VERB_COUNT, "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice args;

        assert_int_equal(command_parse(slice_of(cases[i].line), &args),
            cases[i].verb);
        assert_slice(args, cases[i].args);
    }
}

static void
test_forbidden(void **state)
{
    static const char list[] = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}";
    static const struct {
        const char *line;
        bool forbidden;
    } cases[] = {
        { "GET / HTTP/1.0", true },
        { "get", true },
        { "GETX", false },
        { "Subject: foo", true },
        { "Subject:foo", true },
        { "MAIL FROM:<a@b>", false },
        { "MAILFROM:<a@b>", true },
        { "\x16\x03\x01", true },
        { ".", true },
        { "x", false },
        { "", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice line = slice_of(cases[i].line), args;
        enum verb verb = command_parse(line, &args);

        print_message("  %s\n", cases[i].line);
        assert_int_equal(command_is_forbidden(list, verb, line),
            cases[i].forbidden);
    }
    assert_false(command_is_forbidden("", VERB_UNKNOWN, SLICE_LIT("GET /")));
}

static void
test_paths(void **state)
{
    static const struct {
        const char *args;
        enum path_status want, strict;
        const char *address, *text, *parameters;
    } cases[] = {
        { "FROM:<a@b>", PATH_FOUND, PATH_FOUND, "a@b", "<a@b>", "" },
        { "from : <a@b>  SIZE=1", PATH_FOUND, PATH_FOUND, "a@b", "<a@b>",
            "  SIZE=1" },
        { "FROM:<>", PATH_FOUND, PATH_FOUND, "", "<>", "" },
        { "FROM:< a@b >", PATH_FOUND, PATH_FOUND, "a@b", "< a@b >", "" },
        { "FROM:a@b X=1", PATH_FOUND, PATH_MALFORMED, "a@b", "a@b", " X=1" },
        { "FROM:<postmaster>", PATH_FOUND, PATH_FOUND, "postmaster",
            "<postmaster>", "" },
        { "FROM:<\"a b\"@c>", PATH_FOUND, PATH_FOUND, "a b@c", "<\"a b\"@c>",
            "" },
        { "FROM:<\"a> b\"@c> Y", PATH_FOUND, PATH_FOUND, "a> b@c",
            "<\"a> b\"@c>", " Y" },
        { "FROM:<@x,@y:a@b>", PATH_FOUND, PATH_FOUND, "a@b", "<@x,@y:a@b>",
            "" },
        { "FROM:<@md.test>", PATH_FOUND, PATH_FOUND, "@md.test", "<@md.test>",
            "" },
        { "FROM:<a@b@c>", PATH_FOUND, PATH_FOUND, "a@b@c", "<a@b@c>", "" },
        { "FROM:<a..b@c>", PATH_FOUND, PATH_FOUND, "a..b@c", "<a..b@c>", "" },
        { "FROM:<a@[192.0.2.1]>", PATH_FOUND, PATH_FOUND, "a@[192.0.2.1]",
            "<a@[192.0.2.1]>", "" },

        { "FROM:<a@b.test.>", PATH_FOUND, PATH_FOUND, "a@b.test.",
            "<a@b.test.>", "" },

        /* RFC 822 */
        { "FROM:<<a@b>>", PATH_FOUND, PATH_MALFORMED, "a@b", "<<a@b>>", "" },
        { "FROM:a@b>", PATH_FOUND, PATH_MALFORMED, "a@b", "a@b>", "" },
        { "FROM:<Ann Lee <a@b>> X", PATH_FOUND, PATH_MALFORMED, "a@b",
            "<Ann Lee <a@b>>", " X" },
        { "FROM:\"Lee, A\"<a@b>", PATH_FOUND, PATH_MALFORMED, "a@b",
            "\"Lee, A\"<a@b>", "" },
        { "FROM:<a(c)@b(d)>", PATH_FOUND, PATH_MALFORMED, "a@b", "<a(c)@b(d)>",
            "" },
        { "FROM:<a @ b . c>", PATH_FOUND, PATH_MALFORMED, "a@b.c",
            "<a @ b . c>", "" },
        { "FROM:<g:a@b;>", PATH_FOUND, PATH_MALFORMED, "a@b", "<g:a@b;>", "" },
        { "FROM:(c)", PATH_FOUND, PATH_MALFORMED, "", "(c)", "" },
        { "FROM:<a@b><c@d>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<a@b>,<c@d>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<<a@b>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<a@b:25>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<Ann <@b>>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<Ann <a@c..d>>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<Ann <a\001@b>>", PATH_MALFORMED, PATH_MALFORMED },

        { "", PATH_MISSING, PATH_MISSING },
        { "FROM", PATH_MISSING, PATH_MISSING },
        { "FROM:", PATH_MISSING, PATH_MISSING },
        { "TO:<a@b>", PATH_MISSING, PATH_MISSING },
        { "FROM:<a@b", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<a@b>x", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<a b@c>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<a@>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<a@c..d>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<a@-c.d>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<a@[300.1.2.3]>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<\"a b>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<a\\", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<a\001b@c>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<\"a\rb\"@c>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<a\\\rb@c>", PATH_MALFORMED, PATH_MALFORMED },
        { "FROM:<a,b@c>", PATH_MALFORMED, PATH_MALFORMED },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct path_argument path = { .text = { NULL, 0 } };

        print_message("  %s\n", cases[i].args);
        assert_int_equal(path_argument_parse(slice_of(cases[i].args), "FROM",
                             true, &arena, &path),
            cases[i].strict);
        assert_int_equal(path_argument_parse(slice_of(cases[i].args), "FROM",
                             false, &arena, &path),
            cases[i].want);
        if (cases[i].want != PATH_FOUND)
            continue;
        assert_slice(path.address, cases[i].address);
        assert_slice(path.text, cases[i].text);
        assert_slice(path.parameters, cases[i].parameters);
    }
}

static void
test_mail_parameters(void **state)
{
    static const struct {
        const char *words;
        int code; /* 0: fine */
        uint64_t size;
        bool eight_bit;
        enum dsn_ret ret;
        const char *envid;
    } cases[] = {
        { "", 0, 0, false, RET_UNSET, "" },
        { " SIZE=12 body=8bitmime RET=hdrs ENVID=a+20b", 0, 12, true, RET_HDRS,
            "a b" },
        { " RET=FULL BODY=7BIT AUTH=<>", 0, 0, false, RET_FULL, "" },
        { " size=1 size=2", 0, 2, false, RET_UNSET, "" },
        { " SIZE=9223372036854775807", 0, INT64_MAX, false, RET_UNSET, "" },
        { " SIZE=9223372036854775808", 552 },
        { " SIZE=", 501 },
        { " SIZE=x", 501 },
        { " SIZE=-1", 501 },
        { " SIZE", 555 },
        { " BODY=foo", 555 },
        { " BODY=BINARYMIME", 555 },
        { " SMTPUTF8", 555 },
        { " RET=x", 501 },
        { " RET=FULL RET=FULL", 501 },
        { " ENVID=", 501 },
        { " ENVID=a+2", 501 },
        { " ENVID=a+0A", 501 },
        { " ENVID=a ENVID=b", 501 },
        { " FOO=BAR", 555 },
        { " =x", 555 },
        { " AUTH=1 AUTH=1 AUTH=1 AUTH=1 AUTH=1 AUTH=1 AUTH=1 AUTH=1 AUTH=1 "
          "AUTH=1 AUTH=1 AUTH=1 AUTH=1 AUTH=1 AUTH=1 AUTH=1 AUTH=1 AUTH=1 "
          "AUTH=1 AUTH=1 AUTH=1",
            501 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mail_parameters p;
        struct refusal no = { .code = 0 };

        print_message("  %s\n", cases[i].words);
        assert_int_equal(mail_parameters_parse(slice_of(cases[i].words),
                             ESMTP_DSN, &arena, &p, &no),
            cases[i].code == 0);
        assert_int_equal(no.code, cases[i].code);
        if (cases[i].code != 0)
            continue;
        assert_int_equal(p.size, cases[i].size);
        assert_int_equal(p.eight_bit, cases[i].eight_bit);
        assert_int_equal(p.ret, cases[i].ret);
        assert_slice(p.envid, cases[i].envid);
    }
}

static void
test_rcpt_parameters(void **state)
{
    static const struct {
        const char *words;
        int code; /* 0: fine */
        uint32_t notify;
        const char *orcpt;
    } cases[] = {
        { "", 0, 0, "" },
        { " NOTIFY=NEVER", 0, NOTIFY_NEVER, "" },
        { " NOTIFY=DELAY,", 0, NOTIFY_DELAY, "" },
        { " notify=success,Delay,FAILURE", 0,
            NOTIFY_SUCCESS | NOTIFY_DELAY | NOTIFY_FAILURE, "" },
        { " ORCPT=rfc822;a+40b", 0, 0, "rfc822;a@b" },
        { " ORCPT=rfc822;", 0, 0, "rfc822;" },
        { " ORCPT=x+20y;a", 0, 0, "x+20y;a" }, /* the type is no xtext */
        { " NOTIFY", 555 },
        { " NOTIFY=", 501 },
        { " NOTIFY=NEVER,DELAY", 501 },
        { " NOTIFY=,", 501 },
        { " NOTIFY=DELAY,X", 501 },
        { " NOTIFY=DELAY NOTIFY=DELAY", 501 },
        { " ORCPT=", 501 },
        { " ORCPT=rfc822", 501 },
        { " ORCPT=;a", 501 },
        { " ORCPT=a(b;c", 501 },
        { " ORCPT=rfc822;a+2", 501 },
        { " ORCPT=rfc822;a ORCPT=rfc822;b", 501 },
        { " SIZE=1", 555 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rcpt_parameters p;
        struct refusal no = { .code = 0 };

        print_message("  %s\n", cases[i].words);
        assert_int_equal(rcpt_parameters_parse(slice_of(cases[i].words),
                             ESMTP_DSN, &arena, &p, &no),
            cases[i].code == 0);
        assert_int_equal(no.code, cases[i].code);
        if (cases[i].code != 0)
            continue;
        assert_int_equal(p.notify, cases[i].notify);
        assert_slice(p.orcpt, cases[i].orcpt);
    }
}

static void
test_xtext(void **state)
{
    static const struct {
        const char *in, *want; /* NULL: refused */
    } cases[] = {
        { "", "" },
        { "abc", "abc" },
        { "a+2Bb", "a+b" },
        { "+20+3D", " =" },
        { "+C3+A4", "\xc3\xa4" },
        { "a+", NULL },
        { "a+2", NULL },
        { "a+2b", NULL }, /* lower case */
        { "a+ZZ", NULL },
        { "a b", NULL },
        { "+0D+0A", NULL },
        { "+00", NULL },
        { "+7F", NULL },
        { "\xc3\xa4", NULL },
    };
    struct buf b, back;

    (void)state;
    buf_init(&b, ARENA_MAX);
    buf_init(&back, ARENA_MAX);
    /* Not xtext, but sent by clients, and with one meaning only. */
    assert_true(xtext_decode(SLICE_LIT("a=b"), &b));
    assert_string_equal(buf_text(&b), "a=b");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].in);
        buf_clear(&b);
        assert_int_equal(xtext_decode(slice_of(cases[i].in), &b),
            cases[i].want != NULL);
        if (cases[i].want == NULL)
            continue;
        assert_string_equal(buf_text(&b), cases[i].want);
        buf_clear(&back);
        xtext_encode(buf_slice(&b), &back);
        assert_string_equal(buf_text(&back), cases[i].in);
    }
    buf_fini(&b);
    buf_fini(&back);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_forbidden),
        cmocka_unit_test_setup_teardown(test_paths, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_mail_parameters, open_arena,
            close_arena),
        cmocka_unit_test_setup_teardown(test_rcpt_parameters, open_arena,
            close_arena),
        cmocka_unit_test(test_xtext),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * What clean-up makes of a message: header, body, what it adds and logs.
 */
#include "lib/mail/cleanup.h"

#include "tests/unit/cleanup_world.h"

/*
 * Content, and what is to come out of it for a foreign client. Each is fed in
 * pieces of all sizes, which must make no difference.
 */
static const struct {
    const char *name, *in, *header, *body;
} contents[] = {
    { "plain", "A: 1\r\nB: 2\r\n\r\nbody\r\n", "A: 1\r\nB: 2\r\n", "body\r\n" },
    { "no last line end", "A: 1\r\n\r\nbody", "A: 1\r\n", "body\r\n" },
    { "header only", "A: 1\r\n", "A: 1\r\n", "" },
    { "header without end", "A: 1", "A: 1\r\n", "" },
    { "empty line last", "A: 1\r\n\r\n", "A: 1\r\n", "" },
    { "nothing", "", "", "" },
    { "body only", "\r\nbody\r\n", "", "body\r\n" },
    { "folded", "A: 1\r\n\t2\r\n 3\r\nB: 4\r\n\r\nx\r\n",
        "A: 1\r\n\t2\r\n 3\r\nB: 4\r\n", "x\r\n" },
    { "text in place of a header", "A: 1\r\nnot a header\r\nB: 2\r\n",
        "A: 1\r\n", "not a header\r\nB: 2\r\n" },
    { "text at once", "hello world\r\nA: 1\r\n", "",
        "hello world\r\nA: 1\r\n" },
    { "blanks before the colon", "A \t: 1\r\n 2\r\nB : : 3\r\n",
        "A: 1\r\n 2\r\nB: : 3\r\n", "" },
    { "begins with a blank", " A: 1\r\n\r\n", "", " A: 1\r\n\r\n" },
    { "mailbox line", "From bob Sat\r\nA: 1\r\n\r\nx\r\n",
        "X-Mailbox-Line: From bob Sat\r\nA: 1\r\n", "x\r\n" },
    { "quoted mailbox line", ">>From bob\r\nA: 1\r\n\r\n",
        "X-Mailbox-Line: >>From bob\r\nA: 1\r\n", "" },
    { "mailbox line too late", "A: 1\r\nFrom bob\r\n", "A: 1\r\n",
        "From bob\r\n" },
    { "dropped",
        "Bcc: a\r\n b\r\nA: 1\r\nReturn-Path: <x>\r\n"
        "Content-Length: 9\r\nRESENT-BCC: q\r\n\r\nBcc: x\r\n",
        "A: 1\r\n", "Bcc: x\r\n" },
    { "bare CR", "A: 1\r2\r\n\r\na\rb\r\r\nc\r\n", "A: 1 2\r\n",
        "a b \r\nc\r\n" },
    { "bare LF", "A: 1\nB: 2\n\na\nb\r\nc\n", "A: 1\r\nB: 2\r\n",
        "a\r\nb\r\nc\r\n" },
    { "CR last", "A: 1\r\n\r\na\r", "A: 1\r\n", "a\r\n" },
    { "only line ends", "A: 1\r\n\r\n\r\n\r\n", "A: 1\r\n", "\r\n\r\n" },
    { "CRs", "A: 1\r\n\r\n\r\r\r\n", "A: 1\r\n", "  \r\n" },
    { "foreign addresses stay", "To: ann\r\nFrom: bob\r\n\r\n",
        "To: ann\r\nFrom: bob\r\n", "" },
};

static void
test_contents(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        struct mail m = { .content = slice_of(contents[i].in) };

        print_message("  %s\n", contents[i].name);
        for (m.piece = 0; m.piece <= m.content.len; m.piece++) {
            run_ok(&m);
            assert_string_equal(buf_text(&queue.header), contents[i].header);
            assert_string_equal(buf_text(&queue.body), contents[i].body);
            assert_int_equal(queue.envelope.size,
                queue.header.len + 2 + queue.body.len);
        }
    }
}

static void
test_own_client(void **state)
{
    struct mail m = {
        .own_client = true,
        .sender = "bob",
        .sender_name = "Bob B. Builder",
        .content = SLICE_LIT("To: ann, \"x y\" <joe>, a@b.example (c)\r\n"
                             "Cc: g: u@v;\r\n\r\nx\r\n"),
        .main_cf = "append_dot_mydomain = yes\n",
    };

    (void)state;
    run_ok(&m);
    assert_string_equal(buf_text(&queue.header),
        "To: ann@mail.example.com, \"x y\" <joe@mail.example.com>, "
        "a@b.example (c)\r\n"
        "Cc: g: u@v.example.com;\r\n"
        "Message-Id: <20261121200511.1234@mail.example.com>\r\n"
        "Date: Sat, 21 Nov 2026 20:05:11 +0000 (UTC)\r\n"
        "From: \"Bob B. Builder\" <bob@mail.example.com>\r\n");
    assert_string_equal(queue.sender, "bob@mail.example.com");
    assert_string_equal(queue.message_id,
        "<20261121200511.1234@mail.example.com>");
    assert_true(slice_eq_text(queue.envelope.rewrite, "local"));
}

static const struct {
    const char *name, *in, *out;
    const char *main_cf;
    bool own_client;
} completions[] = {
    { "complete",
        "Message-ID: <1@x>\r\nDate: d\r\nFrom: a@b.c\r\nTo: a@b.c\r\n",
        "Message-ID: <1@x>\r\nDate: d\r\nFrom: a@b.c\r\nTo: a@b.c\r\n", "",
        true },
    { "resent", "Resent-From: a@b.c\r\nMessage-ID: <1@x>\r\n",
        "Resent-From: a@b.c\r\nMessage-ID: <1@x>\r\n"
        "Resent-Message-Id: <20261121200511.1234@mail.example.com>\r\n"
        "Resent-Date: Sat, 21 Nov 2026 20:05:11 +0000 (UTC)\r\n",
        "", true },
    { "always", "Date: d\r\nFrom: a\r\n",
        "Date: d\r\nFrom: a\r\n"
        "Message-Id: <20261121200511.1234@mail.example.com>\r\n",
        "always_add_missing_headers = yes\n", false },
    { "undisclosed", "Message-ID: <1@x>\r\nDate: d\r\nFrom: a@b.c\r\n",
        "Message-ID: <1@x>\r\nDate: d\r\nFrom: a@b.c\r\n"
        "To: undisclosed-recipients:;\r\n",
        "undisclosed_recipients_header = To: undisclosed-recipients:;\n",
        true },
    { "remote domain", "To: ann, b@host\r\n",
        "To: ann@remote.invalid, b@host.remote.invalid\r\n",
        "remote_header_rewrite_domain = remote.invalid\n"
        "append_dot_mydomain = yes\n",
        false },
    { "obsolete From", "Date: d\r\nMessage-ID: <1@x>\r\n",
        "Date: d\r\nMessage-ID: <1@x>\r\nFrom: bob@example.net (N)\r\n",
        "header_from_format = obsolete\n", true },
};

static void
test_completion(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(completions) / sizeof(completions[0]); i++) {
        struct mail m = {
            .own_client = completions[i].own_client,
            .main_cf = completions[i].main_cf,
            .sender_name = "N",
            .content = slice_of(completions[i].in),
        };

        print_message("  %s\n", completions[i].name);
        run_ok(&m);
        assert_string_equal(buf_text(&queue.header), completions[i].out);
    }
}

static void
test_null_sender(void **state)
{
    struct mail m = { .own_client = true,
        .sender = "",
        .content = SLICE_LIT("Date: d\r\nMessage-ID: <1@x>\r\n") };

    (void)state;
    run_ok(&m);
    assert_string_equal(queue.sender, "");
    assert_string_equal(buf_text(&queue.header),
        "Date: d\r\nMessage-ID: <1@x>\r\n"
        "From: MAILER-DAEMON\r\n");
}

/* A name with a line end in it must not make a header. */
static void
test_name_injection(void **state)
{
    struct mail m = { .own_client = true,
        .sender_name = "x\r\nBcc: y",
        .content = SLICE_LIT("Date: d\r\nMessage-ID: <1@x>\r\n") };

    (void)state;
    run_ok(&m);
    assert_string_equal(buf_text(&queue.header),
        "Date: d\r\nMessage-ID: <1@x>\r\nFrom: bob@example.net\r\n");
}

static void
test_prepended(void **state)
{
    struct mail m = { .prepend = "Received: from x\r\n\tby y\r\nX: 1\r\n",
        .content = SLICE_LIT("Received: z\r\nA: 1\r\n\r\nb\r\n") };

    (void)state;
    run_ok(&m);
    assert_string_equal(buf_text(&queue.header),
        "Received: from x\r\n\tby y\r\nX: 1\r\nReceived: z\r\nA: 1\r\n");
    assert_int_equal(queue.envelope.hops, 2);
    /* Line ends in what was quoted there begin nothing. */
    m.prepend = "Received: from x\ry\r\r\n\tby \r.\rz\nX: 1\r\n";
    run_ok(&m);
    assert_string_equal(buf_text(&queue.header),
        "Received: from x y \r\n\tby  . z X: 1\r\n"
        "Received: z\r\nA: 1\r\n");
}

static void
test_log(void **state)
{
    struct mail m = { .main_cf = "syslog_name = postfix\n",
        .content = SLICE_LIT("Message-ID: <1@x>\r\n"
                             "Resent-Message-Id:\r\n <2@x>\r\n\r\n") };

    (void)state;
    run_ok(&m);
    assert_string_equal(buf_text(&logged),
        "postfix/cleanup: 1234: message-id=<1@x>\n"
        "postfix/cleanup: 1234: resent-message-id=<2@x>\n");
    m.content = SLICE_LIT("A: 1\r\n");
    run_ok(&m);
    assert_string_equal(buf_text(&logged),
        "postfix/cleanup: 1234: message-id=<>\n");
}

/* Beyond the first block that is looked at. */
#define X64       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define FAR_EIGHT "A: 1\r\n\r\n" X64 X64 "x\x80x" X64

static void
test_8bit(void **state)
{
    static const char *const eight[] = { "A: \xc3\xa4\r\n", "A: 1\r\n\r\n\xff",
        FAR_EIGHT };
    struct mail m = { .content = SLICE_LIT("A: 1\r\n\r\nx\r\n") };

    (void)state;
    run_ok(&m);
    assert_int_equal(queue.envelope.flags & ENVELOPE_8BIT, 0);
    for (size_t i = 0; i < sizeof(eight) / sizeof(eight[0]); i++) {
        m.content = slice_of(eight[i]);
        run_ok(&m);
        assert_int_equal(queue.envelope.flags & ENVELOPE_8BIT, ENVELOPE_8BIT);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_own_client),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_null_sender),
        cmocka_unit_test(test_name_injection),
        cmocka_unit_test(test_prepended),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_8bit),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

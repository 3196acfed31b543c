#include "bounce/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct config config = { .myhostname = "mx.example",
    .myorigin = "example",
    .mail_name = "Postern",
    .bounce_size_limit = 1000 };

static struct notice_recipient
recipient(uint32_t notify)
{
    return (struct notice_recipient){
        .rcpt = { .address = SLICE_LIT("bob@example.com"),
            .original = SLICE_LIT("robert@example.com"),
            .notify = notify },
        .result = { .outcome = OUTCOME_BOUNCED,
            .status = "5.1.1",
            .text = SLICE_LIT("host mx said: 550 no"),
            .remote = SLICE_LIT("mx.example.com"),
            .diagnostic = SLICE_LIT("550 no"),
            .diagnostic_type = SLICE_LIT("smtp") },
    };
}

static const struct {
    enum notice_kind kind;
    uint32_t notify;
    bool want;
} wanted[] = {
    { NOTICE_FAILURE, 0, true },
    { NOTICE_DELAY, 0, true },
    { NOTICE_SUCCESS, 0, false },
    { NOTICE_FAILURE, NOTIFY_NEVER, false },
    { NOTICE_FAILURE, NOTIFY_SUCCESS, false },
    { NOTICE_SUCCESS, NOTIFY_SUCCESS, true },
    { NOTICE_DELAY, NOTIFY_FAILURE, false },
    { NOTICE_VERIFY, NOTIFY_NEVER, true },
};

static void
test_who_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct notice n = { .kind = wanted[i].kind };
        struct notice_recipient r = recipient(wanted[i].notify);

        assert_int_equal(report_wants(&n, &r), wanted[i].want);
    }
}

static void
test_body_comes_back(void **state)
{
    struct notice n = { .kind = NOTICE_FAILURE, .envelope.size = 1000 };
    struct report r = { .config = &config, .n = &n };

    (void)state;
    assert_true(report_returns_body(&r));
    n.envelope.size = 1001;
    assert_false(report_returns_body(&r));
    n.envelope.size = 10;
    n.envelope.ret = RET_HDRS;
    assert_false(report_returns_body(&r));
    n.envelope.ret = RET_UNSET;
    n.kind = NOTICE_DELAY;
    assert_false(report_returns_body(&r));
    n.kind = NOTICE_FAILURE;
    r.postmaster = true;
    assert_true(report_returns_body(&r));
    n.envelope.sender = (struct slice)SLICE_LIT("ann@example.org");
    assert_false(report_returns_body(&r));
}

static void
assert_has(struct buf *text, const char *part)
{
    if (strstr(buf_text(text), part) == NULL)
        fail_msg("no %s in:\n%s", part, buf_text(text));
}

static void
test_report(void **state)
{
    struct notice_recipient rcpts[2] = { recipient(0),
        recipient(NOTIFY_NEVER) };
    struct notice n = { .kind = NOTICE_FAILURE,
        .envelope = { .id = 1 << 20,
            .sender = SLICE_LIT("ann@example.org"),
            .envid = SLICE_LIT("QQ1"),
            .arrival_us = 1700000000000000 },
        .recipients = rcpts,
        .recipient_count = 2 };
    struct report r = { .config = &config,
        .n = &n,
        .id = 2 << 20,
        .to = SLICE_LIT("ann@example.org"),
        .now_s = 1700000100 };
    struct buf text;
    const char *second;

    (void)state;
    rcpts[1].rcpt.address = SLICE_LIT("silent@example.com");
    buf_init(&text, 100000);
    report_begin(&r, &text);
    report_end(&r, &text);
    assert_has(&text, "To: ann@example.org\r\n");
    assert_has(&text, "report-type=delivery-status;");
    assert_has(&text, "boundary=\"100000.1700000100/mx.example\"");
    assert_has(&text, "Original-Envelope-Id: QQ1\r\n");
    assert_has(&text, "Final-Recipient: rfc822; bob@example.com\r\n");
    assert_has(&text, "Original-Recipient: rfc822;robert@example.com\r\n");
    assert_has(&text, "Action: failed\r\nStatus: 5.1.1\r\n");
    assert_has(&text, "Remote-MTA: dns; mx.example.com\r\n");
    assert_has(&text, "Diagnostic-Code: smtp; 550 no\r\n");
    assert_has(&text, "X-Postern-Queue-ID: 100000\r\n");
    assert_has(&text, "\r\n\r\nReturn-Path: <ann@example.org>\r\n");
    assert_has(&text, "From: Mail Delivery System <MAILER-DAEMON@");
    assert_has(&text, "\r\n--100000.1700000100/mx.example--\r\n");
    assert_null(strstr(buf_text(&text), "silent@example.com"));
    /* No line without CR, and none of a length that SMTP forbids. */
    for (const char *p = buf_text(&text); *p != '\0'; p = second + 1) {
        second = strchr(p, '\n');
        assert_non_null(second);
        assert_true(second > p && second[-1] == '\r' && second - p < 998);
    }
    buf_fini(&text);
}

/* Agents talk to strangers: what they tell stays where it is put. */
static void
test_stays_in_its_line(void **state)
{
    struct notice_recipient rcpt = recipient(0);
    struct notice n = { .kind = NOTICE_FAILURE,
        .envelope = { .id = 1 << 20,
            .sender = SLICE_LIT("ann@example.org"),
            .envid = SLICE_LIT("a\r\nX: 1") },
        .recipients = &rcpt,
        .recipient_count = 1 };
    struct report r = { .config = &config,
        .n = &n,
        .to = SLICE_LIT("ann\r\nX: 2@example.org") };
    struct buf text;

    (void)state;
    memcpy(rcpt.result.status, "5\r\nX: 3", sizeof("5\r\nX: 3"));
    rcpt.rcpt.address = SLICE_LIT("b\nX: 4@example.com");
    rcpt.rcpt.original = SLICE_LIT("c\rX: 5@example.com");
    rcpt.result.text = SLICE_LIT("host\001 \033[2J said \302\2331m no");
    rcpt.result.remote = SLICE_LIT("mx\r\n\r\nX: 6");
    rcpt.result.diagnostic_type = SLICE_LIT("x\r\nX: 7");
    buf_init(&text, 100000);
    report_begin(&r, &text);
    assert_null(strstr(buf_text(&text), "\nX: "));
    assert_null(strstr(buf_text(&text), "\rX: "));
    assert_null(strchr(buf_text(&text), '\033'));
    assert_null(strstr(buf_text(&text), "\302\233"));
    assert_has(&text, "Remote-MTA: dns; mx????X: 6\r\n");
    rcpt.rcpt.orcpt = SLICE_LIT("rfc822;d\r\nX: 8");
    buf_clear(&text);
    report_begin(&r, &text);
    assert_has(&text, "Original-Recipient: rfc822;d??X: 8\r\n");
    buf_fini(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_told),
        cmocka_unit_test(test_body_comes_back),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_stays_in_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

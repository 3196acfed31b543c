/*
 * Sessions: what is submitted, pipelining, pauses, leaving, drains, and which
 * configurations are refused.
 */
#include "lib/mail/cleanup.h"
#include "lib/mail/queue_id.h"
#include "tests/unit/smtpd_dialogues.h"

static void
assert_text(struct buf *got, const char *want)
{
    assert_string_equal(buf_text(got), want);
}

static void
test_submission(void **state)
{
    (void)state;
    world_open("");
    world_play(FOREIGN,
        EHLO
        "> MAIL FROM:<a@b.test> RET=FULL ENVID=x+2By BODY=8BITMIME\n"
        "< 250 2.1.0 Ok\n"
        "> RCPT TO:<u1@v.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b\n"
        "< 250 2.1.5 Ok\n"
        "> DATA\n"
        "< 354 End data with <CR><LF>.<CR><LF>\n"
        "= Subject: x\\r\\n\\r\\n..hi\\nthere\\r\\nyou\\rthere\\r\\n.\\r\\n\n"
        "< 250 2.0.0 Ok: queued as *\n");
    assert_int_equal(world.submitted, 1);
    assert_text(&world.envelope,
        "from=a@b.test flags=2 ret=1 envid=x+y to=u1@v.test,10,rfc822;a@b");
    assert_text(&world.body, ".hi\r\nthere\r\nyou there\r\n");
    {
        char id[QUEUE_ID_SIZE];
        char *want = mem_format(
            "Received: from foo (unknown [192.0.2.7])\r\n"
            "\tby mx.test (Postern) with ESMTP id %s\r\n"
            "\tfor <u1@v.test>; Sat, 21 Nov 2026 20:05:11 +0000 (UTC)\r\n"
            "Subject: x\r\n",
            queue_id_text((uint64_t)WORLD_US * 1024, true, id));

        assert_text(&world.header, want);
        mem_free(want);
    }
    world_close();
}

/* Nobody learns of a blind copy, and own clients get what is missing. */
static void
test_received_of_several(void **state)
{
    (void)state;
    world_open("");
    world_play(OWN,
        GREETING "> MAIL FROM:<a@b.test>\n"
                 "< 250 2.1.0 Ok\n"
                 "> RCPT TO:<u1@v.test>\n"
                 "< 250 2.1.5 Ok\n"
                 "> RCPT TO:<ann@local.test>\n"
                 "< 250 2.1.5 Ok\n"
                 "> DATA\n"
                 "< 354 End data with <CR><LF>.<CR><LF>\n"
                 "> .\n"
                 "< 250 2.0.0 Ok: queued as *\n");
    assert_non_null(strstr(buf_text(&world.header),
        "Received: from unknown (unknown [127.0.0.1])\r\n"
        "\tby mx.test (Postern) with SMTP id "));
    assert_non_null(strstr(buf_text(&world.header),
        ";\r\n\tSat, 21 Nov 2026 20:05:11 +0000 (UTC)\r\n"));
    assert_non_null(strstr(buf_text(&world.header), "From: a@b.test\r\n"));
    world_close();
}

static void
test_pipelining(void **state)
{
    struct visitor v;

    (void)state;
    world_open("");
    visitor_come(&v, OWN);
    visitor_play(&v, EHLO);
    /* One group, one write: all replies come together. */
    visitor_send(&v,
        SLICE_LIT("MAIL FROM:<a@b>\r\nRCPT TO:<u1@v.test>\r\nRCPT "
                  "TO:<nobody@v.test>\r\nDATA\r\n"));
    visitor_play(&v,
        "< 250 2.1.0 Ok\n"
        "< 250 2.1.5 Ok\n"
        "< 550 5.1.1 <nobody@v.test>: Recipient address rejected: User unknown "
        "in virtual mailbox table\n"
        "< 354 End data with <CR><LF>.<CR><LF>\n");
    visitor_send(&v,
        SLICE_LIT("hi\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<u1@v.test>\r\n"));
    visitor_play(&v,
        "< 250 2.0.0 Ok: queued as *\n"
        "< 250 2.1.0 Ok\n"
        "< 250 2.1.5 Ok\n");
    visitor_go(&v);
    assert_int_equal(world.submitted, 1);
    world_close();
}

enum { AHEAD = 3000, A_FEW = 100 };

/* How many lines of the log have text, up to the first that has end, if any. */
static size_t
lines_logged(const char *text, const char *end)
{
    const char *at = buf_text(&world.log);
    const char *last = end == NULL ? at + world.log.len : strstr(at, end);
    size_t n = 0;

    assert_non_null(last);
    for (; (at = strstr(at, text)) != NULL && at < last; at++)
        n++;
    return n;
}

/*
 * Who sends thousands of commands ahead is not served to the end of them while
 * another of this process waits: both are refused something, which is logged.
 */
static void
test_turns(void **state)
{
    struct visitor busy, other;
    struct buf ahead;

    (void)state;
    world_open("smtpd_soft_error_limit = 100000\n"
               "smtpd_hard_error_limit = 100000\n");
    buf_init(&ahead, 1 << 20);
    for (unsigned i = 0; i < AHEAD; i++)
        buf_add_text(&ahead, "RCPT TO:<nobody@v.test>\r\n");
    visitor_come(&busy, OWN);
    visitor_play(&busy, EHLO "> MAIL FROM:<a@b>\n< 250 2.1.0 Ok\n");
    visitor_come(&other, OWN);
    visitor_play(&other, HELO);
    assert_int_equal(write(busy.fd, ahead.ptr, ahead.len), ahead.len);
    while (lines_logged("reject: RCPT", NULL) == 0) /* it has begun */
        assert_true(sched_turn());
    visitor_send(&other, SLICE_LIT("VRFY nobody@v.test\r\n"));
    assert_in_range(lines_logged("reject: RCPT", "reject: VRFY"), 1, A_FEW);
    while (lines_logged("reject: RCPT", NULL) < AHEAD) {
        assert_true(visitor_read(&busy));
        settle();
    }
    visitor_go(&other);
    visitor_go(&busy);
    buf_fini(&ahead);
    world_close();
}

/* Octet for octet, as a slow network would bring it. */
static void
test_trickle(void **state)
{
    static const char text[] =
        "EHLO foo\r\nMAIL FROM:<a@b>\r\nRCPT TO:<u1@v.test>\r\nDATA\r\n"
        "Subject: x\r\n\r\n.\r.\r\nhi\r\n..\r\n.\r\nQUIT\r\n";
    struct visitor v;

    (void)state;
    world_open("");
    visitor_come(&v, FOREIGN);
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        visitor_send(&v, (struct slice){ text + i, 1 });
    (void)visitor_read(&v);
    visitor_go(&v);
    assert_int_equal(world.submitted, 1);
    assert_text(&world.body, " .\r\nhi\r\n.\r\n");
    world_expect_log(
        SLICE_LIT("disconnect from unknown[192.0.2.7] ehlo=1 mail=1 "
                  "rcpt=1 data=1 quit=1 commands=5"));
    world_close();
}

static void
test_leaving(void **state)
{
    (void)state;
    world_open("");
    world_play(OWN, GREETING);
    world_expect_log(
        SLICE_LIT("lost connection after CONNECT from unknown[127.0.0.1]"));
    world_expect_log(
        SLICE_LIT("disconnect from unknown[127.0.0.1] commands=0/0"));
    world_play(OWN,
        EHLO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 250 2.1.5 Ok\n"
             "> DATA\n"
             "< 354 End data with <CR><LF>.<CR><LF>\n"
             "= abc\\r\\n\n");
    world_expect_log(SLICE_LIT(
        "lost connection after DATA (5 bytes) from unknown[127.0.0.1]"));
    world_expect_log(SLICE_LIT("disconnect from unknown[127.0.0.1] ehlo=1 "
                               "mail=1 rcpt=1 data=0/1 commands=3/4"));
    assert_int_equal(world.submitted, 0);
    world_close();
}

static void
test_timeouts(void **state)
{
    struct visitor v;

    (void)state;
    world_open("smtpd_timeout = 10s\n");
    visitor_come(&v, OWN);
    visitor_play(&v, HELO);
    visitor_send(&v, SLICE_LIT("NO"));
    advance(9000);
    visitor_send(&v, SLICE_LIT("O")); /* does not stretch it */
    advance(1001);
    visitor_play(&v, "< 421 4.4.2 mx.test Error: timeout exceeded\nEOF\n");
    visitor_go(&v);
    world_expect_log(SLICE_LIT("timeout after HELO from unknown[127.0.0.1]"));

    visitor_come(&v, OWN);
    visitor_play(&v,
        HELO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 250 2.1.5 Ok\n"
             "> DATA\n"
             "< 354 End data with <CR><LF>.<CR><LF>\n");
    advance(10001);
    visitor_play(&v, "< 421 4.4.2 mx.test Error: timeout exceeded\nEOF\n");
    visitor_go(&v);
    world_expect_log(
        SLICE_LIT("timeout after DATA (0 bytes) from unknown[127.0.0.1]"));
    world_close();
}

/* Who errs is slowed down, and forgiven when mail comes through. */
static void
test_error_sleep(void **state)
{
    struct visitor v;

    (void)state;
    world_open("smtpd_soft_error_limit = 1\nsmtpd_error_sleep_time = 5s\n");
    visitor_come(&v, OWN);
    visitor_play(&v,
        HELO "> x1\n"
             "< 500 5.5.2 Error: command not recognized\n"
             "> x2\n"
             "< 500 5.5.2 Error: command not recognized\n"
             "> NOOP\n");
    (void)visitor_read(&v);
    assert_int_equal(v.in.len, 0);
    advance(5000);
    visitor_play(&v, "< 250 2.0.0 Ok\n");
    visitor_go(&v);
    world_close();
}

static void
test_queue_trouble(void **state)
{
    const char *const talk = HELO "> MAIL FROM:<a@b>\n"
                                  "< 250 2.1.0 Ok\n"
                                  "> RCPT TO:<u1@v.test>\n"
                                  "< 250 2.1.5 Ok\n"
                                  "> DATA\n"
                                  "< 354 End data with <CR><LF>.<CR><LF>\n"
                                  "> .\n";
    struct visitor v;

    (void)state;
    world_open("");
    world.answer = RESULT_TEMPFAIL;
    world.status = "4.3.1";
    visitor_come(&v, OWN);
    visitor_play(&v, talk);
    visitor_play(&v, "< 452 4.3.1 Insufficient system storage\n");
    visitor_go(&v);
    world.status = "4.3.0";
    visitor_come(&v, OWN);
    visitor_play(&v, talk);
    visitor_play(&v, "< 451 4.3.0 Error: queue file write error\n");
    visitor_go(&v);
    world_close();
}

static void
drain_main(void *arg)
{
    (void)arg;
    sessions_drain(clock_now_ms() + 60000);
    note("drained");
}

static void
test_drain(void **state)
{
    struct visitor idle, busy;

    (void)state;
    world_open("");
    visitor_come(&idle, OWN);
    visitor_play(&idle, EHLO);
    visitor_come(&busy, OWN);
    visitor_play(&busy,
        EHLO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 250 2.1.5 Ok\n"
             "> DATA\n"
             "< 354 End data with <CR><LF>.<CR><LF>\n");
    (void)spawn(drain_main, NULL);
    settle();
    visitor_play(&idle,
        "< 421 4.3.2 mx.test Service not available, closing channel\nEOF\n");
    assert_string_equal(notes, "");
    visitor_play(&busy,
        "> .\n< 250 2.0.0 Ok: queued as *\n> QUIT\n"
        "< 221 2.0.0 Bye\nEOF\n");
    assert_string_equal(notes, "drained");
    visitor_go(&idle);
    visitor_go(&busy);
    world_close();
}

/* A session in DATA that does not come to its end is cut at the deadline. */
static void
test_drain_deadline(void **state)
{
    struct visitor v;

    (void)state;
    world_open("");
    visitor_come(&v, OWN);
    visitor_play(&v,
        EHLO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 250 2.1.5 Ok\n"
             "> DATA\n"
             "< 354 End data with <CR><LF>.<CR><LF>\n");
    (void)spawn(drain_main, NULL);
    settle();
    advance(59000);
    visitor_play(&v,
        "< 421 4.3.2 mx.test Service not available, closing channel\nEOF\n");
    assert_string_equal(notes, "drained");
    assert_int_equal(world.submitted, 0);
    visitor_go(&v);
    world_close();
}

/* What would let in what its admin wanted out stops the start. */
static void
test_refused_configurations(void **state)
{
    static const struct {
        const char *config, *text;
    } cases[] = {
        { "smtpd_recipient_restrictions = foo_bar reject\n", "\"foo_bar\"" },
        { "smtpd_client_restrictions = check_client_access x\n",
            "need maptype:mapname" },
        { "smtpd_client_restrictions = check_client_access\n",
            "requires an argument" },
        { "smtpd_client_restrictions = check_client_access foo:/x\n", "foo" },
        { "smtpd_data_restrictions = reject_rbl_client x.test=127.0.0\n",
            "bad pattern" },
        { "smtpd_restriction_classes = nothing\n", "is undefined" },
        { "smtpd_restriction_classes = some\nsome = foo_bar\n",
            "class some: unknown" },
        { "smtpd_relay_restrictions =\n"
          "smtpd_recipient_restrictions = permit_mynetworks\n",
            "at least one working instance" },
        { "smtpd_relay_restrictions =\n"
          "smtpd_recipient_restrictions = warn_if_reject reject\n",
            "at least one working instance" },
        { "smtpd_sender_restrictions = warn_if_reject\n", "behind it" },
        { "smtpd_sender_restrictions = sleep x\n", "followed by number" },
        { "local_header_rewrite_clients = reject\n", "no meaning there" },
        { "smtpd_upstream_proxy_protocol = foo\n", "foo" },
        { "smtpd_upstream_proxy_protocol = haproxy\n"
          "smtpd_upstream_proxy_use = perhaps\n",
            "perhaps" },
        { "receive_override_options = no_way\n", "receive_override_options" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s", cases[i].config);
        world_open(cases[i].config);
        assert_int_equal(world.compiled, RESULT_PERMFAIL);
        if (strstr(world.why.text, cases[i].text) == NULL)
            fail_msg("%s", world.why.text);
        world_close();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_submission),
        cmocka_unit_test(test_received_of_several),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_trickle),
        cmocka_unit_test(test_leaving),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_error_sleep),
        cmocka_unit_test(test_queue_trouble),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_deadline),
        cmocka_unit_test(test_refused_configurations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

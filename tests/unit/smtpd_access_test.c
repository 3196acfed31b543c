/*
 * Tables of restrictions: what their entries do, and which keys are looked for.
 * Replies and log lines as Postfix 3.7 has them.
 */
#include "tests/unit/smtpd_restrictions.h"

static const struct dialogue dialogues[] = {
    /* Actions */
    { "REJECT", SENDER_TABLE("{a@s.test=REJECT},{b@s.test=reject 5.1.1 go}"),
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN("554 5.7.1 <a@s.test>: Sender address rejected: Access denied") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                "b@s.test")
                ANN("554 5.1.7 <b@s.test>: Sender address rejected: go") LOG(
                    "reject") "554 5.7.1 <a@s.test>: Sender address "
                              "rejected: Access denied" DETAILS("a@s.test") },
    { "codes",
        SENDER_TABLE("{a@s.test=450 4.2.1 busy},{b@s.test=550 no}, "
                     "{c@s.test=DEFER},{d@s.test=12}"),
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN("450 4.2.1 <a@s.test>: Sender address rejected: busy") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                "b@s.test")
                ANN("550 5.7.1 <b@s.test>: Sender address rejected: no") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                    "c@s.test")
                    ANN("450 4.7.1 <c@s.test>: Sender address rejected: "
                        "Access denied") "> RSET\n< 250 2.0.0 Ok\n" MAIL("d@s.test")
                        ANN(OK) },
    { "WARN, INFO, HOLD",
        SENDER_TABLE("{a@s.test=WARN hi},{b@s.test=INFO},{c@s.test=HOLD}"),
        CLIENT,
        HELLO MAIL("a@s.test") ANN(OK) "> RSET\n< 250 2.0.0 Ok\n" MAIL(
            "b@s.test") ANN(OK) "> RSET\n< 250 2.0.0 Ok\n" MAIL("c@s.test")
            ANN(OK) LOG("warn") "hi" DETAILS("a@s.test") LOG("info") DETAILS(
                "b@s.test")
                LOG("hold") "<c@s.test>: Sender address triggers HOLD action" DETAILS(
                    "c@s.test") },
    { "DEFER_IF_PERMIT", SENDER_TABLE("{a@s.test=DEFER_IF_PERMIT later}"),
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN("450 4.7.1 <a@s.test>: Sender address rejected: later")
                RCPT("x@other.test",
                    "454 4.7.1 <x@other.test>: Relay access denied") },
    { "DEFER_IF_REJECT",
        SENDER_TABLE(
            "{a@s.test=DEFER_IF_REJECT wait, reject}") "smtpd_helo_restrictions = defer_if_reject\n"
                                                       "smtpd_relay_restrictions = defer_if_reject, "
                                                       "reject_unauth_destination\n",
        CLIENT,
        HELLO MAIL("a@s.test") ANN(OK) RCPT("x@other.test",
            "450 4.7.0 <x@other.test>: Recipient address rejected: "
            "defer_if_reject requested") },
    { "entries that make no sense",
        SENDER_TABLE("{a@s.test=FOO BAR},{b@s.test=FILTER foo},"
                     "{c@s.test=REDIRECT foo},{d@s.test=PREPEND foo},"
                     "{e@s.test=BCC},{f@s.test=check_sender_access x},"
                     "{g@s.test=650 x}"),
        CLIENT,
        HELLO MAIL("a@s.test") ANN(
            "451 4.3.5 Server configuration error") "> RSET\n< 250 2.0.0 Ok\n" MAIL("b@s.test")
            ANN(OK) "> RSET\n< 250 2.0.0 Ok\n" MAIL("c@s.test") ANN(
                OK) "> RSET\n< 250 2.0.0 Ok\n" MAIL("d@s.test")
                ANN(OK) "> RSET\n< 250 2.0.0 Ok\n" MAIL("e@s.test") ANN(
                    OK) "> RSET\n< 250 2.0.0 Ok\n" MAIL("f@s.test")
                    ANN("451 4.3.5 Server configuration error") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                        "g@s.test")
                        ANN("451 4.3.5 Server configuration error") "L warning: unknown smtpd restriction: \"FOO\"\n"
                                                                    "L warning: unknown smtpd restriction: \"650\"\n" },
    { "a table that fails",
        "smtpd_sender_restrictions = check_sender_access "
        "fail:x\n",
        CLIENT,
        HELLO MAIL("a@s.test") ANN("451 4.3.5 <a@s.test>: Sender address "
                                   "rejected: Server configuration error") },

    /* Keys */
    { "keys of addresses",
        "recipient_delimiter = +\n"
        "parent_domain_matches_subdomains = smtpd_access_maps\n" SENDER_TABLE(
            "{a+x@s.test=550 full},{a@s.test=550 bare},{s.test=550 domain},"
            "{test=550 tld},{u@=550 user},{<>=550 null}"),
        CLIENT,
        HELLO MAIL("a+x@s.test")
            ANN("550 5.7.1 <a+x@s.test>: Sender address rejected: full") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                "a+y@s.test")
                ANN("550 5.7.1 <a+y@s.test>: Sender address rejected: bare") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                    "c@d.s.test") ANN("550 5.7.1 <c@d.s.test>: Sender address rejected: "
                                      "domain") "> RSET\n< 250 2.0.0 Ok\n" MAIL("c@o.test")
                    ANN("550 5.7.1 <c@o.test>: Sender address rejected: tld") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                        "u+x@other")
                        ANN("550 5.7.1 <u+x@other>: Sender address rejected: user") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                            "")
                            ANN("550 5.7.1 <>: Sender address rejected: null") },
    { "parents with a dot",
        "parent_domain_matches_subdomains =\n" SENDER_TABLE(
            "{s.test=550 domain},{.s.test=550 below}"),
        CLIENT,
        HELLO MAIL("c@d.s.test")
            ANN("550 5.7.1 <c@d.s.test>: Sender address rejected: below") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                "c@s.test")
                ANN("550 5.7.1 <c@s.test>: Sender address rejected: "
                    "domain") },
    { "the key of the null sender",
        "smtpd_null_access_lookup_key = nobody\n" SENDER_TABLE(
            "{nobody=550 null}"),
        CLIENT,
        HELLO MAIL("") ANN("550 5.7.1 <>: Sender address rejected: null") },
    { "networks",
        "smtpd_client_restrictions = inline:{{192.0.2=554 net},"
        "{192.0.2.9=OK},{2001:db8=554 six}}\n",
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN("554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: net") },
    { "an IPv6 network",
        "smtpd_client_restrictions = inline:{{2001:db8=554 six}}\n",
        "2001:db8::1",
        HELLO MAIL("a@s.test") ANN(
            "554 5.7.1 <unknown[2001:db8::1]>: Client host rejected: six") },
    { "HELO and its parents",
        "smtpd_helo_restrictions = inline:{{test=554 h}}\n", CLIENT,
        HELLO MAIL("a@s.test")
            ANN("554 5.7.1 <helo.test>: Helo command rejected: h") },
    { "no permission for routing",
        "smtpd_relay_restrictions = check_recipient_access "
        "inline:{other.test=OK}, reject_unauth_destination\n",
        CLIENT,
        HELLO MAIL("a@s.test") RCPT("x@other.test", OK)
            RCPT("x%other.test@local.test", OK) RCPT("x%y.test@other.test",
                "554 5.7.1 <x%y.test@other.test>: Relay access denied") },
    { "routing that we do not know is routing",
        "allow_percent_hack = no\nswap_bangpath = no\n"
        "smtpd_relay_restrictions = reject_unauth_destination\n",
        CLIENT,
        HELLO MAIL("a@s.test") RCPT("x%y.test@relay.test",
            "554 5.7.1 <x%y.test@relay.test>: Relay access denied")
            RCPT("y.test!x@relay.test",
                "554 5.7.1 <y.test!x@relay.test>: Relay access denied")
                RCPT("x%relay.test@local.test",
                    "554 5.7.1 <x%relay.test@local.test>: Relay access "
                    "denied") },
    { "routing through us to where we relay",
        "smtpd_relay_restrictions = reject_unauth_destination\n", CLIENT,
        HELLO MAIL("a@s.test") RCPT("x%relay.test@local.test", OK)
            RCPT("x%other.test@local.test",
                "554 5.7.1 <x%other.test@local.test>: Relay access denied") },
    { "a warning is no answer",
        "smtpd_recipient_restrictions = "
        "warn_if_reject reject_unlisted_recipient\n",
        CLIENT,
        HELLO MAIL("a@s.test") RCPT("nobody@v.test",
            "550 5.1.1 <nobody@v.test>: Recipient address rejected: "
            "User unknown in virtual mailbox table") },
    { "put off before it is asked who there is",
        "smtpd_helo_restrictions = check_helo_access "
        "inline:{{helo.test=DEFER_IF_PERMIT later}}\n",
        CLIENT,
        HELLO MAIL("a@s.test") RCPT("nobody@v.test",
            "450 4.7.1 <helo.test>: Helo command rejected: later") },
    { "DEFER_IF_REJECT holds for both lists of RCPT",
        "smtpd_relay_restrictions = check_client_access "
        "static:DEFER_IF_REJECT, permit\n"
        "smtpd_recipient_restrictions = reject\n",
        CLIENT,
        HELLO MAIL("a@s.test") ANN("450 4.7.1 <unknown[192.0.2.7]>: Client "
                                   "host rejected: Service unavailable") },
    { "and for no other",
        "smtpd_client_restrictions = check_client_access "
        "static:DEFER_IF_REJECT\n"
        "smtpd_recipient_restrictions = reject\n",
        CLIENT,
        HELLO MAIL("a@s.test") ANN("554 5.7.1 <ann@local.test>: Recipient "
                                   "address rejected: Access denied") },
    { "no HELO, no verdict on it", "smtpd_helo_restrictions = reject\n", CLIENT,
        "< 220 mx.test ESMTP Postern\n" MAIL("a@s.test")
            ANN(OK) "> HELO helo.test\n< 250 mx.test\n" MAIL("a@s.test")
                ANN("554 5.7.1 <helo.test>: Helo command rejected: "
                    "Access denied") },
};

#include "tests/unit/dialogue_table.h"

/* What becomes of the message. */
static void
test_messages(void **state)
{
#define SEND                                          \
    "> DATA\n< 354 End data with <CR><LF>.<CR><LF>\n" \
    "= Subject: x\\r\\n\\r\\nhi\\r\\n.\\r\\n\n< 250 2.0.0 Ok: queued as *\n"
    static const struct {
        const char *action;
        const char *envelope, *header; /* are in it */
        unsigned submitted;
    } cases[] = {
        { "DUNNO", "to=ann@local.test", "Received:", 1 },
        { "HOLD", "flags=1 ", "Received:", 1 },
        { "REDIRECT z@y.test", " to=z@y.test,0,", "Received:", 1 },
        { "BCC z@y.test", "to=ann@local.test,0, to=z@y.test,1,",
            "Received:", 1 },
        { "PREPEND X-A: b", "to=ann@local.test", "X-A: b\r\n", 1 },
        { "FILTER smtp:[127.0.0.1]:1", "filter=smtp:[127.0.0.1]:1",
            "Received:", 1 },
        { "DISCARD", "", "", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned stage = 0; stage < 2; stage++) {
            char *config = mem_format("%s = check_sender_access "
                                      "inline:{{a@s.test=%s}}\n",
                stage == 0 ? "smtpd_sender_restrictions"
                           : "smtpd_end_of_data_restrictions",
                cases[i].action);

            print_message("  %s", config);
            world_open(config);
            world_play(CLIENT, HELLO MAIL("a@s.test") ANN(OK) SEND);
            assert_int_equal(world.submitted, cases[i].submitted);
            if (strstr(buf_text(&world.envelope), cases[i].envelope) == NULL)
                fail_msg("%s", buf_text(&world.envelope));
            /* Too late for a header when there is no more header. */
            if (stage == 0 &&
                strstr(buf_text(&world.header), cases[i].header) == NULL)
                fail_msg("%s", buf_text(&world.header));
            world_close();
            mem_free(config);
        }
    }
}

/* What VRFY finds is not for the transaction in which it comes. */
static void
test_vrfy(void **state)
{
    (void)state;
    world_open("smtpd_recipient_restrictions = "
               "check_recipient_access inline:{{held@relay.test=HOLD}}\n");
    world_play(CLIENT,
        HELLO MAIL(
            "a@s.test") "> VRFY held@relay.test\n"
                        "L NOQUEUE: hold: VRFY from unknown[192.0.2.7]: "
                        "<held@relay.test>: Recipient address triggers HOLD action; "
                        "from=<a@s.test> to=<held@relay.test> proto=SMTP "
                        "helo=<helo.test>\n"
                        "< 252 2.0.0 held@relay.test\n" ANN(OK) SEND);
    assert_int_equal(world.submitted, 1);
    if (strstr(buf_text(&world.envelope), "flags=1 ") != NULL)
        fail_msg("%s", buf_text(&world.envelope));
    world_close();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_vrfy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

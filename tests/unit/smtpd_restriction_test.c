/*
 * Restrictions: lists in lists, what is judged at once and what at RCPT or DATA,
 * and who is known. Replies and log lines as Postfix 3.7 has them.
 */
#include "smtpd/evaluation.h"
#include "smtpd/session.h"
#include "tests/unit/smtpd_restrictions.h"

static const struct dialogue dialogues[] = {
    /* Lists in lists */
    { "classes and warn_if_reject",
        "smtpd_restriction_classes = one, two, round\n"
        "one = two\n"
        "two = reject_non_fqdn_helo_hostname, reject\n"
        "round = round\n"
        "smtpd_recipient_restrictions = warn_if_reject one, "
        "check_sender_access inline:{{a@s.test=round},{b@s.test=one}}\n",
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN("451 4.3.5 Server configuration error") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                "b@s.test")
                ANN("554 5.7.1 <b@s.test>: Sender address rejected: Access "
                    "denied")
                    LOG("reject_warning") "554 5.7.1 <ann@local.test"
                                          ">: Recipient address "
                                          "rejected: Access "
                                          "denied" DETAILS("a@s.test") },
    { "a list from a table",
        "smtpd_client_restrictions = inline:{{192.0.2.7=warn_if_reject "
        "reject, sleep 0, check_helo_access inline:{helo.test=DUNNO}, "
        "permit_mynetworks, reject}}\n",
        CLIENT,
        HELLO MAIL("a@s.test") ANN("554 5.7.1 <unknown[192.0.2.7]>: Client "
                                   "host rejected: Access denied") },
    { "no files and no hosts from a table",
        "smtpd_helo_restrictions = check_helo_access "
        "texthash:/etc/host.conf\n" SENDER_TABLE(
            "{a@s.test=check_client_access texthash:/etc/hosts},"
            "{b@s.test=texthash:/etc/hosts},"
            "{c@s.test=check_policy_service inet:127.0.0.1:9},"
            "{d@s.test=check_client_access proxy:texthash:/etc/host.conf}"),
        CLIENT,
        HELLO MAIL("a@s.test") ANN(
            "451 4.3.5 Server configuration error") "> RSET\n< 250 2.0.0 Ok\n" MAIL("b@s.test")
            ANN("451 4.3.5 Server configuration error") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                "c@s.test")
                ANN("451 4.3.5 Server configuration error") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                    "d@s.test") ANN(OK) },
    { "421 and 521 end the session", SENDER_TABLE("{a@s.test=521 5.7.0 go}"),
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN("521 5.7.0 <a@s.test>: Sender address rejected: go") "EOF\n" },
    { "421 at once",
        "smtpd_delay_reject = no\n"
        "smtpd_client_restrictions = inline:{{192.0.2.7=421 4.7.0 later}}\n",
        CLIENT,
        "< 421 4.7.0 <unknown[192.0.2.7]>: Client host rejected: later\n"
        "EOF\n" },
    { "permits in the log",
        "smtpd_log_access_permit_actions = static:all\n" SENDER_TABLE(
            "{a@s.test=OK}"),
        CLIENT,
        HELLO MAIL("a@s.test") ANN(OK)
            LOG("permit") "action=OK for Sender address=a@s.test from "
                          "inline:{{a@s.test=OK}}" DETAILS("a@s.test") },

    /* At once */
    { "what is put off until RCPT",
        "smtpd_delay_reject = no\n"
        "smtpd_client_restrictions = defer_if_permit\n",
        CLIENT,
        HELLO MAIL("a@s.test") RCPT("x@other.test",
            "454 4.7.1 <x@other.test>: Relay access denied")
            ANN("450 4.7.0 <unknown[192.0.2.7]>: Client host rejected: "
                "defer_if_permit requested") },
    { "what is put off, without HELO",
        "smtpd_delay_reject = no\n"
        "smtpd_client_restrictions = defer_if_permit\n",
        CLIENT,
        "< 220 mx.test ESMTP Postern\n" MAIL("a@s.test")
            ANN("450 4.7.0 <unknown[192.0.2.7]>: Client host rejected: "
                "defer_if_permit requested") },
    { "a sender at once",
        "smtpd_delay_reject = no\n" SENDER_TABLE("{a@s.test=REJECT}"), CLIENT,
        HELLO "> MAIL FROM:<a@s.test>\n"
              "< 554 5.7.1 <a@s.test>: Sender address rejected: Access denied\n"
              "L NOQUEUE: reject: MAIL from unknown[192.0.2.7]: 554 5.7.1 "
              "<a@s.test>: Sender address rejected: Access denied; "
              "from=<a@s.test> proto=SMTP helo=<helo.test>\n" },

    /* DATA */
    { "DATA: who is alone is named",
        "smtpd_data_restrictions = check_recipient_access "
        "inline:{{ann@local.test=REJECT}}, reject_multi_recipient_bounce\n",
        CLIENT,
        HELLO MAIL("") ANN(
            OK) "> DATA\n< 554 5.7.1 <ann@local.test>: Recipient address "
                "rejected: Access denied\n" RCPT("bob@local.test",
                    OK) "> DATA\n< 550 5.5.3 <DATA>: Data command rejected: "
                        "Multi-recipient bounce\n"
                        "L *: reject: DATA from unknown[192.0.2.7]: 554 5.7.1 "
                        "<ann@local.test>: Recipient address rejected: Access denied; "
                        "from=<> to=<ann@local.test> proto=SMTP helo=<helo.test>\n"
                        "L *: reject: DATA from unknown[192.0.2.7]: 550 5.5.3 <DATA>: "
                        "Data command rejected: Multi-recipient bounce; from=<> "
                        "proto=SMTP helo=<helo.test>\n" },
    { "reject_plaintext_session",
        "smtpd_client_restrictions = reject_plaintext_session\n", CLIENT,
        HELLO MAIL("a@s.test")
            ANN("450 4.7.1 Session encryption is required") },
};

#include "tests/unit/dialogue_table.h"

/* What TLS and AUTH will say: certificates and logins. */
static struct {
    enum verdict verdict;
    const char *fingerprint, *user;
    struct refusal no;
} known;

static void
evaluate(void *arg)
{
    struct session s = { .profile = profile_use(world.set,
                             config_find_service(world.set, "smtp", "inet"),
                             false, false) };
    struct evaluation e;
    char text[] = "unknown[192.0.2.7]", name[] = "unknown";
    char *user = known.user == NULL ? NULL : mem_text(known.user);

    (void)arg;
    s.config = s.profile->config;
    s.where = "RCPT";
    s.peer.text = text;
    s.peer.name = name;
    s.login.user = user;
    s.tls.fingerprint = known.fingerprint;
    s.tls.on = s.tls.trusted = known.fingerprint != NULL;
    evaluation_begin(&e, &s, &known.no);
    known.verdict = evaluation_run(&e, STAGE_CLIENT);
    mem_free(user);
    profile_leave(s.profile);
}

static void
test_who_is_known(void **state)
{
    static const struct {
        const char *list, *fingerprint, *user;
        enum verdict verdict;
        const char *text;
    } cases[] = {
        { "permit_tls_clientcerts, reject", "AA:BB", NULL, VERDICT_PERMIT, "" },
        { "permit_tls_clientcerts, reject", "AA:CC", NULL, VERDICT_REFUSED,
            "Access denied" },
        { "permit_tls_clientcerts, reject", NULL, NULL, VERDICT_REFUSED,
            "Access denied" },
        { "permit_tls_all_clientcerts, reject", "AA:CC", NULL, VERDICT_PERMIT,
            "" },
        { "reject_plaintext_session", "AA:BB", NULL, VERDICT_NONE, "" },
        { "permit_sasl_authenticated, reject", NULL, "ann", VERDICT_PERMIT,
            "" },
        { "permit_sasl_authenticated, reject", NULL, NULL, VERDICT_REFUSED,
            "Access denied" },
        { "check_sasl_access inline:{{ann=554 you}}", NULL, "ann",
            VERDICT_REFUSED, "<ann>: SASL login name rejected: you" },
        { "check_sasl_access inline:{{ann=554 you}}", NULL, NULL, VERDICT_NONE,
            "" },
        { "check_ccert_access inline:{{AA:BB=554 you}}", "AA:BB", NULL,
            VERDICT_REFUSED, "<AA:BB>: Client certificate rejected: you" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *config = mem_format("relay_clientcerts = inline:{AA:BB=x}\n"
                                  "smtpd_client_restrictions = %s\n",
            cases[i].list);

        print_message("  %s\n", cases[i].list);
        world_open(config);
        known.fingerprint = cases[i].fingerprint;
        known.user = cases[i].user;
        (void)spawn(evaluate, NULL);
        settle();
        assert_int_equal(known.verdict, cases[i].verdict);
        if (known.verdict == VERDICT_REFUSED &&
            strstr(known.no.text, cases[i].text) == NULL)
            fail_msg("%s", known.no.text);
        world_close();
        mem_free(config);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_who_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

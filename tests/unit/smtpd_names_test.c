/*
 * Restrictions that ask DNS: lists of clients and names, hosts behind names,
 * unknown domains, backups, names of clients. Replies as Postfix 3.7 has them.
 */
#include "tests/unit/smtpd_restrictions.h"

static const struct dialogue dialogues[] = {
    /* DNS */
    { "a list of clients",
        "smtpd_client_restrictions = reject_rbl_client listed.test\n", CLIENT,
        HELLO MAIL("a@s.test")
            ANN("554 5.7.1 Service unavailable; Client host [192.0.2.7] "
                "blocked using listed.test; listed; see http://x/?7") },
    { "a pattern for answers",
        "smtpd_client_restrictions = reject_rbl_client "
        "listed2.test=127.0.0.[1;3..8], reject_rbl_client "
        "listed2.test=127.0.0.[9..11]\n",
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN("554 5.7.1 Service unavailable; Client host [192.0.2.7] "
                "blocked using listed2.test") },
    { "a reply of one's own",
        "maps_rbl_reject_code = 550\n"
        "rbl_reply_maps = inline:{{listed.test=$$rbl_code 4.2.1 $$rbl_class "
        "$$client_name $$helo_name $$rbl_what $$sender_domain $$$$x}}\n"
        "smtpd_client_restrictions = reject_rbl_client listed.test\n",
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN("550 5.2.1 Client host unknown helo.test 192.0.2.7 s.test "
                "$x") },
    { "a reply that is none",
        "default_rbl_reply = hello\n"
        "smtpd_client_restrictions = reject_rbl_client listed.test\n",
        CLIENT, HELLO MAIL("a@s.test") ANN("450 4.7.1 Service unavailable") },
    { "lists of names",
        "smtpd_sender_restrictions = warn_if_reject reject_rhsbl_helo "
        "rhs.test, reject_rhsbl_sender rhs.test\n"
        "smtpd_recipient_restrictions = reject_rhsbl_recipient rhs2.test\n",
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN("554 5.7.1 Service unavailable; Sender address [a@s.test] "
                "blocked using rhs.test") "> RSET\n< 250 2.0.0 Ok\n" MAIL("")
                RCPT("x@relay.test",
                    "554 5.7.1 Service unavailable; Recipient address "
                    "[x@relay.test] blocked using rhs2.test") },
    { "a list that cannot be asked",
        "smtpd_client_restrictions = reject_rbl_client again.test, "
        "permit_dnswl_client again.test, reject\n",
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN("450 4.7.1 <192.0.2.7>: Client host rejected: Service "
                "unavailable") },
    { "an allow list is no relay",
        "smtpd_relay_restrictions = permit_dnswl_client wl.test, "
        "reject_unauth_destination\n"
        "smtpd_recipient_restrictions = permit_dnswl_client wl.test, reject\n",
        "192.0.2.8",
        HELLO MAIL("a@s.test") ANN(OK) RCPT("x@other.test",
            "554 5.7.1 <x@other.test>: Relay access denied") },
    { "hosts behind names",
        "smtpd_sender_restrictions = check_sender_mx_access "
        "inline:{{192.0.2.80=554 mx}}, check_sender_ns_access "
        "inline:{{ns.s.test=554 ns}}, check_sender_a_access "
        "inline:{{192.0.2.79=554 a}}\n",
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN("554 5.7.1 <a@s.test>: Sender address rejected: mx") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                "a@deep.s.test")
                ANN("554 5.7.1 <a@deep.s.test>: Sender address rejected: ns") "> RSET\n< 250 2.0.0 Ok\n" MAIL(
                    "a@[192.0.2.80]")
                    ANN("554 5.7.1 <a@[192.0.2.80]>: Sender address "
                        "rejected: mx") },
    { "hosts behind no names",
        "smtpd_delay_reject = no\n"
        "smtpd_helo_restrictions = check_helo_mx_access "
        "inline:{{nowhere.test=554 itself},{192.0.2.80=554 bare},"
        "{127.0.0.1=554 loop}}\n",
        CLIENT,
        "< 220 mx.test ESMTP Postern\n"
        "> HELO nowhere.test\n"
        "< 554 5.7.1 <nowhere.test>: Helo command rejected: itself\n"
        "> HELO 192.0.2.80\n"
        "< 554 5.7.1 <192.0.2.80>: Helo command rejected: bare\n"
        "> HELO localhost\n"
        "< 554 5.7.1 <localhost>: Helo command rejected: loop\n" },
    { "an allow list is no relay in any list",
        "smtpd_helo_restrictions = permit_dnswl_client wl.test, reject\n",
        "192.0.2.8",
        HELLO MAIL("a@s.test") ANN(OK) RCPT("x@other.test",
            "554 5.7.1 <helo.test>: Helo command rejected: Access denied") },
    { "OK for hosts behind names",
        "smtpd_sender_restrictions = check_sender_mx_access "
        "inline:{{192.0.2.80=OK}}\n",
        CLIENT,
        HELLO MAIL("a@s.test") ANN(
            "451 4.3.5 Server configuration error") "L warning: restriction check_sender_mx_access returns OK for "
                                                    "a@s.test\n" },
    { "unknown domains",
        "smtpd_sender_restrictions = reject_unknown_sender_domain\n"
        "smtpd_helo_restrictions = reject_unknown_helo_hostname\n"
        "smtpd_relay_restrictions = permit\n"
        "smtpd_recipient_restrictions = reject_unknown_recipient_domain, "
        "reject\n"
        "unknown_hostname_reject_code = 550\n",
        CLIENT,
        "< 220 mx.test ESMTP Postern\n"
        "> HELO nowhere.test\n"
        "< 250 mx.test\n" MAIL("a@s.test") ANN(
            "550 5.7.1 <nowhere.test>: Helo command rejected: Host not "
            "found") "> HELO host.test\n< 250 mx.test\n" MAIL("a@nowhere.test")
            ANN("450 4.1.8 <a@nowhere.test>: Sender "
                "address rejected: Domain not found") "> RSET\n< 250 2.0.0 Ok\n" MAIL("a@null.test")
                ANN("550 5.7.27 <a@null.test>: Sender address rejected: "
                    "Domain null.test does not accept mail (nullMX)") "> RSET\n< 250 2.0.0 Ok\n" MAIL("a@host.test")
                    RCPT("x@again.test",
                        "554 5.7.1 <x@again.test>: Recipient "
                        "address rejected: Access denied") RCPT("x@null.test",
                        "556 5.1.10 <x@null.test>: Recipient address "
                        "rejected: Domain null.test does not accept mail "
                        "(nullMX)") },
    { "records that are ignored",
        "smtpd_sender_restrictions = reject_unknown_sender_domain\n"
        "smtpd_client_restrictions = reject_rbl_client listed.test, "
        "reject_rbl_client listed2.test\n"
        "smtpd_dns_reply_filter = inline:{"
        "{host.test. 300 IN AAAA 2001:db8::5=Ignore},"
        "{s.test. 300 IN MX 10 mx.s.test.=IGNORE},"
        "{7.2.0.192.listed.test. 300 IN A 127.0.0.2=IGNORE},"
        "{null.test. 300 IN MX 0 .=KEEP}}\n",
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN("554 5.7.1 Service unavailable; Client host [192.0.2.7] "
                "blocked using listed2.test") "> RSET\n< 250 2.0.0 Ok\n"
                                              "L ignoring DNS RR: "
                                              "7.2.0.192.listed.test. 300 IN A "
                                              "127.0.0.2\n"
                                              "L warning: "
                                              "7.2.0.192.listed.test: RBL "
                                              "lookup error: Error looking "
                                              "up name=7.2.0.192.listed.test "
                                              "type=A: DNS reply filter drops "
                                              "all results\n" },
    { "an answer of which nothing is left",
        "smtpd_sender_restrictions = reject_unknown_sender_domain\n"
        "smtpd_dns_reply_filter = inline:{"
        "{host.test. 300 IN AAAA 2001:db8::5=Ignore},"
        "{s.test. 300 IN MX 10 mx.s.test.=IGNORE},"
        "{null.test. 300 IN MX 0 .=KEEP}}\n",
        CLIENT,
        HELLO MAIL("a@s.test")
            ANN(OK) "> RSET\n< 250 2.0.0 Ok\n" MAIL("a@host.test") ANN(
                "450 4.1.8 <a@host.test>: Sender address "
                "rejected: Domain not found") "> RSET\n< 250 "
                                              "2.0.0 Ok\n" MAIL("a@null.test")
                                                  ANN("450 4.1.8 <a@null.test>: Sender address rejected: Domain not "
                                                      "found") },
    { "what cannot be known",
        "smtpd_sender_restrictions = reject_unknown_sender_domain\n", CLIENT,
        HELLO MAIL("a@again.test")
            ANN("450 4.1.8 <a@again.test>: Sender address rejected: Domain "
                "not found") RCPT("x@other.test",
                "454 4.7.1 <x@other.test>: Relay access denied") },
    { "what cannot be known is deferred at once",
        "reject_tempfail_action = defer\n"
        "smtpd_sender_restrictions = reject_unknown_sender_domain\n",
        CLIENT,
        HELLO MAIL("a@again.test") RCPT("x@other.test",
            "450 4.1.8 <a@again.test>: Sender address rejected: Domain not "
            "found") },
    { "permit_mx_backup",
        "smtpd_relay_restrictions = permit_mx_backup, "
        "reject_unauth_destination\n"
        "permit_mx_backup_networks = 192.0.2.90\n",
        CLIENT,
        HELLO MAIL("a@s.test") RCPT("x@backup.test", OK) RCPT("x@primary.test",
            "554 5.7.1 <x@primary.test>: Relay access denied")
            RCPT("x@again.test",
                "450 4.4.4 <x@again.test>: Recipient address rejected: Unable "
                "to look up mail exchanger information: name=again.test "
                "type=15") RCPT("x%y@backup.test",
                "554 5.7.1 <x%y@backup.test>: Relay access "
                "denied") },
    { "a backup of strangers",
        "smtpd_relay_restrictions = permit_mx_backup, "
        "reject_unauth_destination\n"
        "permit_mx_backup_networks = 192.0.2.91\n",
        CLIENT,
        HELLO MAIL("a@s.test") RCPT("x@backup.test",
            "554 5.7.1 <x@backup.test>: Relay access denied") },
    { "a backup of nobody who can be found",
        "smtpd_relay_restrictions = permit_mx_backup, "
        "reject_unauth_destination\n"
        "permit_mx_backup_networks = 192.0.2.90\n",
        CLIENT,
        HELLO MAIL("a@s.test") RCPT("x@lost.test",
            "554 5.7.1 <x@lost.test>: Relay access denied") },
    { "names of clients",
        "smtpd_peername_lookup = yes\n"
        "smtpd_client_restrictions = reject_rhsbl_reverse_client rhs.test\n",
        "192.0.2.9",
        HELLO MAIL("a@s.test") ANN(
            "554 5.7.1 Service unavailable; Unverified Client host "
            "[client.test] blocked using rhs.test") "L warning: hostname client.test does not resolve to address "
                                                    "192.0.2.9\n" },
    { "a name that is not proven opens no door",
        "smtpd_peername_lookup = yes\n"
        "smtpd_client_restrictions = check_reverse_client_hostname_access "
        "inline:{{client.test=OK}}\n",
        "192.0.2.9",
        HELLO MAIL("a@s.test") ANN("451 4.3.5 Server configuration error") },
};

#include "tests/unit/dialogue_table.h"

/* Four lists are asked together, and none of them again for the next RCPT. */
static void
test_lists_together(void **state)
{
    (void)state;
    dns.asked = dns.now = dns.most = 0;
    world_open("smtpd_recipient_restrictions = permit_mynetworks, "
               "reject_rbl_client a.test, reject_rbl_client b.test, "
               "permit_dnswl_client c.test, reject_rhsbl_helo d.test, "
               "reject_rbl_client a.test=127.0.0.1\n");
    world_play(CLIENT,
        HELLO MAIL("a@s.test") ANN(OK) RCPT("bob@local.test", OK));
    assert_int_equal(dns.asked, 4);
    assert_int_equal(dns.most, 4);
    world_close();

    /* Hosts of which nothing is known in time: one deadline for all. */
    dns.asked = 0;
    world_open("smtpd_sender_restrictions = check_sender_mx_access "
               "inline:{{mx.s.test=554 found}}\n");
    world_play(CLIENT,
        HELLO MAIL("a@slow.test")
            ANN("554 5.7.1 <a@slow.test>: Sender address rejected: found"));
    assert_int_equal(dns.asked, 3);
    assert_int_equal(clock_now_ms(), NOW + 60 * 1000);
    world_close();

    /* Who is permitted before them costs no question. */
    dns.asked = 0;
    world_open("smtpd_recipient_restrictions = permit_mynetworks, "
               "reject_rbl_client a.test\n");
    world_play("127.0.0.1", HELLO MAIL("a@s.test") ANN(OK));
    assert_int_equal(dns.asked, 0);
    world_close();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_lists_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

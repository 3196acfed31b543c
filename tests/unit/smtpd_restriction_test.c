/*
 * Restrictions: tables and their actions, classes, lists in DNS, hosts behind
 * names. Replies and log lines as Postfix 3.7 has them.
 */
#define FAKE_DNS_HAS_CLIENTS /* an own dns_ask_client() */
#include "smtpd/evaluation.h"
#include "smtpd/session.h"
#include "tests/unit/fake_dns.h"
#include "tests/unit/smtpd_dialogues.h"

#define CLIENT "192.0.2.7"

/* DNS, in place of lib/dns/dns.c: how often and how many at a time is counted. */
static struct {
    unsigned asked, now, most;
} dns;

static const struct fake_record zone[] = {
    { "7.2.0.192.listed.test", DNS_A, 0, "127.0.0.2" },
    { "7.2.0.192.listed.test", DNS_TXT, 0, "listed; see http://x/?7" },
    { "7.2.0.192.listed2.test", DNS_A, 0, "127.0.0.9" },
    { "8.2.0.192.wl.test", DNS_A, 0, "127.0.0.1" },
    { "s.test.rhs.test", DNS_A, 0, "127.0.0.4" },
    { "helo.test.rhs.test", DNS_A, 0, "127.0.0.4" },
    { "relay.test.rhs2.test", DNS_A, 0, "127.0.0.4" },
    { "client.test.rhs.test", DNS_A, 0, "127.0.0.4" },
    { "s.test", DNS_MX, 10, "mx.s.test" },
    { "mx.s.test", DNS_A, 0, "192.0.2.80" },
    { "s.test", DNS_NS, 0, "ns.s.test" },
    { "ns.s.test", DNS_A, 0, "192.0.2.53" },
    { "s.test", DNS_A, 0, "192.0.2.79" },
    { "deep.s.test", DNS_A, 0, "192.0.2.79" },
    { "null.test", DNS_MX, 0, "" },
    { "host.test", DNS_AAAA, 0, "2001:db8::5" },
    { "backup.test", DNS_MX, 10, "first.test" },
    { "backup.test", DNS_MX, 20, "me.test" },
    { "first.test", DNS_A, 0, "192.0.2.90" },
    { "me.test", DNS_A, 0, "127.0.0.1" },
    { "primary.test", DNS_MX, 10, "me.test" },
    { "lost.test", DNS_MX, 10, "nowhere.test" },
    { "lost.test", DNS_MX, 20, "me.test" },
    { "slow.test", DNS_MX, 10, "mx1.late.test" },
    { "slow.test", DNS_MX, 10, "mx2.late.test" },
    { "slow.test", DNS_MX, 10, "mx3.late.test" },
    { "slow.test", DNS_MX, 20, "mx.s.test" },
};

static bool
exists(struct slice name)
{
    for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++)
        if (slice_eq_nocase(name, slice_of(zone[i].name)))
            return true;
    return false;
}

enum dns_status
dns_ask(struct slice name, enum dns_type type, struct arena *arena,
    int64_t deadline, struct dns_answer *answer, struct why *why)
{
    dns.asked++;
    if (++dns.now > dns.most)
        dns.most = dns.now;
    fiber_yield();
    dns.now--;
    (void)why_perm(why, "5.4.4", "name=" SLICE_FMT " type=%u", SLICE_ARG(name),
        type);
    if (fake_dns_find(zone, sizeof(zone) / sizeof(zone[0]), name, type, arena,
            answer) == DNS_OK)
        return DNS_OK;
    if (slice_ends_nocase(name, SLICE_LIT("again.test")))
        return answer->status = DNS_TRYAGAIN;
    if (slice_ends_nocase(name, SLICE_LIT("late.test"))) {
        if (deadline > clock_now_ms())
            clock_advance_ms(deadline - clock_now_ms());
        return answer->status = DNS_TRYAGAIN;
    }
    return answer->status = exists(name) ? DNS_NODATA : DNS_NXDOMAIN;
}

/* 192.0.2.7 is client.test; 192.0.2.9 only says so. */
void
dns_ask_client(const struct sock_addr *addr, int64_t deadline,
    struct client_name *name)
{
    char text[SOCK_TEXT_MAX];
    bool good = strcmp(sock_addr_text(addr, text), CLIENT) == 0;

    (void)deadline;
    *name = (struct client_name){
        .status = good ? CLIENT_NAME_OK : CLIENT_NAME_PERM,
    };
    snprintf(name->name, sizeof(name->name), good ? "client.test" : "unknown");
    snprintf(name->reverse_name, sizeof(name->reverse_name), "client.test");
}

#define HELLO                       \
    "< 220 mx.test ESMTP Postern\n" \
    "> HELO helo.test\n"            \
    "< 250 mx.test\n"
#define MAIL(sender)             \
    "> MAIL FROM:<" sender ">\n" \
    "< 250 2.1.0 Ok\n"
#define RCPT(recipient, reply)    \
    "> RCPT TO:<" recipient ">\n" \
    "< " reply "\n"
#define ANN(reply) RCPT("ann@local.test", reply)
#define OK         "250 2.1.5 Ok"
#define LOG(verb)  "L NOQUEUE: " verb ": RCPT from unknown[192.0.2.7]: "
#define DETAILS(s) \
    "; from=<" s "> to=<ann@local.test> proto=SMTP helo=<helo.test>\n"
#define SENDER_TABLE(entries) \
    "smtpd_sender_restrictions = check_sender_access inline:{" entries "}\n"

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
            RCPT("x%other.test@local.test",
                "554 5.7.1 <x%other.test@local.test>: Relay access denied") },

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
                "type=15") RCPT("x%backup.test@local.test",
                "554 5.7.1 <x%backup.test@local.test>: Relay access "
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
        HELLO MAIL("a@s.test")
            ANN("554 5.7.1 Service unavailable; Unverified Client host "
                "[client.test] blocked using rhs.test") },
    { "a name that is not proven opens no door",
        "smtpd_peername_lookup = yes\n"
        "smtpd_client_restrictions = check_reverse_client_hostname_access "
        "inline:{{client.test=OK}}\n",
        "192.0.2.9",
        HELLO MAIL("a@s.test") ANN("451 4.3.5 Server configuration error") },
};

static void
test_dialogues(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
        test_dialogue(&dialogues[i]);
}

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
        cmocka_unit_test(test_lists_together),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_vrfy),
        cmocka_unit_test(test_who_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

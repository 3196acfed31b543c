/*
 * smtpd_restrictions - what tests of restrictions share: a DNS with hosts, lists
 * and names of clients, and words for dialogues that come as far as RCPT.
 */
#pragma once

#define FAKE_DNS_HAS_CLIENTS /* an own dns_ask_client() */
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

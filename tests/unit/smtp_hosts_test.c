/*
 * The SMTP and LMTP client and several servers: which is tried when, sessions
 * that are used again.
 */
#include "tests/unit/smtp_dialogue.h"

/* clang-format off */
static const struct dialogue dialogues[] = {
    { "exchangers in order", "two.test%", "a@x", "sent 2.0.0",
        { HELLO ONE_MAIL } },
    { "second exchanger", "two.test%", "a@x", "sent 2.0.0",
        { NULL, HELLO ONE_MAIL }, .log = "connect to mx1.test[" },
    { "second after greeting", "two.test%", "a@x", "sent 2.0.0",
        { "> 450 no\n", HELLO ONE_MAIL }, .log = "refused to talk to me" },
    { "only the deferred one goes to the second", "two.test%", "a@x b@x c@x",
        "sent 2.0.0|bounced 5.0.0|sent 2.0.0",
        { HELLO MAIL "< RCPT TO:<a@x>\n> 450 later\n"
                     "< RCPT TO:<b@x>\n> 550 never\n" RCPT("c@x") DATA,
            HELLO ONE_MAIL } },
    { "both defer", "two.test%", "a@x",
        "deferred 4.0.0 host mx2.test[!] said: 451 two",
        { HELLO MAIL "< RCPT\n> 451 one\n", HELLO MAIL "< RCPT\n> 451 two\n" } },
    { "the second is down", "two.test%", "a@x",
        "deferred 4.0.0 host mx1.test[#] said: 451 one",
        { HELLO MAIL "< RCPT\n> 451 one\n", NULL } },
    { "lost, then the second", "two.test%", "a@x", "sent 2.0.0",
        { HELLO "< MAIL\nclose\n", HELLO ONE_MAIL } },
    { "session limit", "two.test%", "a@x", "deferred 4.0.0",
        { HELLO MAIL "< RCPT\n> 451 one\n" },
        .config = "smtp_mx_session_limit=1" },
    { "address limit", "two.test%", "a@x", "deferred 4.4.1", { NULL },
        .config = "smtp_mx_address_limit=1",
        .destination = DESTINATION_DEAD },
    { "no exchanger", "bare.test%", "a@x", "sent 2.0.0", { HELLO ONE_MAIL } },
    { "null exchanger", "null.test%", "a@x",
        "bounced 5.1.0 Domain null.test does not accept mail (nullMX)" },
    { "no such domain", "gone.test", "a@x",
        "bounced 5.4.4 name=gone.test not found" },
    { "exchanger without address", "broken.test", "a@x", "bounced 5.4.4" },
    { "resolver fails", "again.test", "a@x", "deferred 4.4.3 try again",
        .destination = DESTINATION_DEAD },
    { "relayhost is wrong", "gone.test", "a@x", "deferred 4.3.5",
        .config = "relayhost=gone.test",
        .log = "relayhost configuration problem",
        .destination = DESTINATION_DEAD },
    { "list of destinations", "[#]%, [!]%", "a@x", "sent 2.0.0",
        { NULL, HELLO ONE_MAIL } },
    { "fallback relay", "gone.test", "a@x", "sent 2.0.0", { HELLO ONE_MAIL },
        .config = "smtp_fallback_relay=bare.test%" },
    { "bad nexthop", "[#", "a@x", "deferred 4.3.5",
        .destination = DESTINATION_DEAD },

    { "reuse", "[#]%", "a@x", "sent 2.0.0",
        { HELLO_PIPE PIPE_MAIL "< QUIT\n---\n"
          HELLO_PIPE PIPE_MAIL PIPE_MAIL PIPE_MAIL },
        .deliveries = 4, .log = "conn_use=3" },
    { "stale connection", "[#]%", "a@x", "sent 2.0.0",
        { HELLO_PIPE PIPE_MAIL "< QUIT\n---\n"
          HELLO_PIPE PIPE_MAIL "close\n---\n" HELLO_PIPE PIPE_MAIL },
        .deliveries = 3 },
    { "stale with 421", "[#]%", "a@x", "sent 2.0.0",
        { HELLO ONE_MAIL "< QUIT\n---\n" HELLO ONE_MAIL
          "< MAIL\n> 421 bye\n---\n" HELLO ONE_MAIL },
        .deliveries = 3 },
    { "reuse after refusal begins with RSET", "[#]%", "a@x", "bounced 5.0.0",
        { HELLO MAIL "< RCPT\n> 550 no\n< QUIT\n---\n"
          HELLO MAIL "< RCPT\n> 550 no\n< RSET\n> 250 ok\n" MAIL
          "< RCPT\n> 550 no\n" },
        .deliveries = 3 },
    { "reuse limit", "[#]%", "a@x", "sent 2.0.0",
        { HELLO ONE_MAIL "< QUIT\n---\n" HELLO ONE_MAIL ONE_MAIL
          "< QUIT\n---\n" HELLO ONE_MAIL },
        .deliveries = 4, .config = "smtp_connection_reuse_count_limit=2" },
    { "no cache", "[#]%", "a@x", "sent 2.0.0",
        { HELLO ONE_MAIL "< QUIT\n---\n" HELLO ONE_MAIL "< QUIT\n" },
        .deliveries = 2, .config = "smtp_connection_cache_on_demand=no" },

    { "LMTP", "inet:#%", "a@x b@x", "sent 2.1.5 250 2.1.5 a|bounced 5.2.2",
        { "> 220 mx\n< LHLO client.test\n> 250 mx\n" MAIL RCPT("a@x")
          RCPT("b@x") "< DATA\n> 354 go\n~\n> 250 2.1.5 a\n> 552 5.2.2 b\n" },
        .transport = "lmtp" },
    { "LMTP, one left over", "inet:#%", "a@x b@x c@x",
        "deferred 4.2.1|sent 2.0.0|deferred 4.4.2 lost connection",
        { "> 220 mx\n< LHLO client.test\n> 250 mx\n" MAIL RCPT("a@x")
          RCPT("b@x") RCPT("c@x")
          "< DATA\n> 354 go\n~\n> 450 4.2.1 a\n> 250 2.0.0 b\nclose\n" },
        .transport = "lmtp", .destination = DESTINATION_DEAD },
    { "LMTP has no HELO", "inet:#%", "a@x", "bounced 5.0.0",
        { "> 220 mx\n< LHLO\n> 500 what\n< QUIT\n" }, .transport = "lmtp" },
};
/* clang-format on */

#include "tests/unit/dialogue_main.h"

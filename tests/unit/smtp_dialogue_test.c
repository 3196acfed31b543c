/*
 * The SMTP client and one server: what is asked of it, and what becomes of each
 * recipient by its replies.
 */
#include "tests/unit/smtp_dialogue.h"

/* clang-format off */
static const struct dialogue dialogues[] = {
    { "plain", "[#]%", "a@x", "sent 2.0.0 250 2.0.0 Ok: queued as X",
        { HELLO ONE_MAIL "< QUIT\n" }, .content = "Subject: t\n\nhello\n",
        .log = "relay=" },
    { "pipelined", "[#]%", "a@x", "sent 2.0.0 250 2.0.0 done",
        { HELLO_PIPE PIPE_MAIL } },
    { "helo", "[#]%", "a@x", "sent 2.0.0 250 ok",
        { "> 220 mx.test\n< EHLO client.test\n> 502 what?\n"
          "< HELO client.test\n> 250 mx.test\n" MAIL RCPT("a@x")
          "< DATA\n> 354 go\n~\n> 250 ok\n" } },
    { "a parameter in a domain", "[#]%", "a@x>\tNOTIFY=<NEVER b@x>X a@x",
        "bounced 5.1.3 bad recipient|bounced 5.1.3 bad recipient|sent 2.0.0",
        { HELLO ONE_MAIL } },
    { "a command in an address", "[#]%", "a\r\nRCPT@x a\001@x a@x\r a@x",
        "bounced 5.1.3|bounced 5.1.3|bounced 5.1.3|sent 2.0.0",
        { HELLO ONE_MAIL } },
    { "a parameter in ORCPT", "[#]%", "a@x", "sent 2.0.0 250 2.0.0 done",
        { "> 220 mx.test ESMTP\n< EHLO client.test\n> 250-mx.test\n"
          "> 250 DSN\n" MAIL
          "< RCPT TO:<a@x> ORCPT=rfc822;a@y\n> 250 2.1.5 ok\n"
          "< DATA\n> 354 go\n~\n> 250 2.0.0 done\n" },
        .orcpt = "x NOTIFY=NEVER;a" },
    { "dots", "[#]%", "a@x", "sent 2.0.0", { HELLO ONE_MAIL },
        .body = ".\r\n..a\r\nb.\r\n.",
        .content = "Subject: t\n\n..\n...a\nb.\n..\n" },
    { "blob", "[#]%", "a@x", "sent 2.0.0", { HELLO ONE_MAIL },
        .blob = 100000 },
    { "blob, pipelined", "[#]%", "a@x", "sent 2.0.0",
        { HELLO_PIPE_ANY PIPE_MAIL }, .blob = 3000 },
    { "blob is not what was lent", "[#]%", "a@x",
        "deferred 4.3.0 local data error while talking to #[#]",
        { HELLO MAIL RCPT("a@x") "< DATA\n> 354 go\nhang\n" },
        .blob = 3000, .bad_crc = true },
    { "blob, next host is not tried", "two.test%", "a@x", "deferred 4.3.0",
        { HELLO MAIL RCPT("a@x") "< DATA\n> 354 go\nhang\n" },
        .blob = 3000, .bad_crc = true },
    { "two recipients", "[#]%", "a@x b@x", "sent 2.0.0|sent 2.0.0",
        { HELLO MAIL RCPT("a@x") RCPT("b@x") DATA } },
    { "one refused", "[#]%", "a@x b@x c@x",
        "sent 2.0.0|bounced 5.1.1 host #[#] said: 550 5.1.1 no such user "
        "(in reply to RCPT TO command)|deferred 4.0.0 host #[#] said: "
        "450 later (in reply to RCPT TO command)",
        { HELLO MAIL RCPT("a@x")
          "< RCPT TO:<b@x>\n> 550 5.1.1 no such user\n"
          "< RCPT TO:<c@x>\n> 450 later\n" DATA } },
    { "pipelined, all refused", "[#]%", "a@x b@x",
        "bounced 5.0.0|bounced 5.7.1",
        { HELLO_PIPE
          "< MAIL\n< RCPT\n< RCPT\n< DATA\n> 250 ok\n> 550 no\n"
          "> 550 5.7.1 no\n> 554 no valid recipients\n< QUIT\n" } },
    { "pipelined, all refused but DATA taken", "[#]%", "a@x", "bounced 5.0.0",
        { HELLO_PIPE "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 550 no\n> 354 go\n"
                     "~\n> 554 nothing\n< QUIT\n" },
        .content = "" },
    { "too many recipients", "[#]%", "a@x b@x", "sent 2.0.0|deferred 4.5.3",
        { HELLO MAIL RCPT("a@x") "< RCPT TO:<b@x>\n> 552 5.5.3 too many\n"
                                 DATA } },
    { "mailbox full", "[#]%", "a@x b@x", "sent 2.0.0|bounced 5.2.2",
        { HELLO MAIL RCPT("a@x") "< RCPT TO:<b@x>\n> 552 5.2.2 full\n" DATA } },
    { "sender refused", "[#]%", "a@x b@x",
        "bounced 5.1.8 host #[#] said: 550-5.1.8 you 550 5.1.8 again (in "
        "reply to MAIL FROM command)|bounced 5.1.8",
        { HELLO "< MAIL\n> 550-5.1.8 you\n> 550 5.1.8 again\n< QUIT\n" } },
    { "sender refused, pipelined", "[#]%", "a@x", "bounced 5.0.0",
        { HELLO_PIPE
          "< MAIL\n< RCPT\n< DATA\n> 550 no\n> 503 no\n> 503 no\n< QUIT\n" } },
    { "DATA refused", "[#]%", "a@x",
        "deferred 4.3.0 host #[#] said: 451 4.3.0 busy (in reply to DATA "
        "command)",
        { HELLO MAIL RCPT("a@x") "< DATA\n> 451 4.3.0 busy\n< QUIT\n" } },
    { "content refused", "[#]%", "a@x",
        "bounced 5.6.0 host #[#] said: 554 5.6.0 spam (in reply to end of "
        "DATA command)",
        { HELLO MAIL RCPT("a@x") "< DATA\n> 354 go\n~\n> 554 5.6.0 spam\n" } },
    { "code out of class", "[#]%", "a@x", "bounced 5.0.0",
        { HELLO MAIL RCPT("a@x") "< DATA\n> 354 go\n~\n> 554 2.0.0 spam\n" } },
    { "greeting 5xx is the server's", "[#]%", "a@x",
        "deferred 4.0.0 host #[#] refused to talk to me: 554 go away",
        { "> 554 go away\n< QUIT\n" }, .destination = DESTINATION_DEAD },
    { "greeting 5xx is for good", "[#]%", "a@x", "bounced 5.0.0",
        { "> 554 go away\n< QUIT\n" }, .config = "smtp_skip_5xx_greeting=no" },
    { "greeting 421", "[#]%", "a@x", "deferred 4.3.2",
        { "> 421 4.3.2 busy\n" }, .destination = DESTINATION_BUSY },
    { "greeting 421, another turn", "[#]%", "a@x b@x",
        "returned 4.3.2|returned 4.3.2", { "> 421 4.3.2 busy\n" },
        .destination = DESTINATION_BUSY, .may_return = true },
    { "MAIL 421, another turn", "[#]%", "a@x", "returned 4.7.0",
        { HELLO "< MAIL\n> 421 4.7.0 too many\n" },
        .destination = DESTINATION_BUSY, .may_return = true },
    { "greeting 554, no other turn", "[#]%", "a@x", "deferred 4.0.0",
        { "> 554 go away\n< QUIT\n" }, .destination = DESTINATION_DEAD,
        .may_return = true },
    { "no greeting", "[#]%", "a@x",
        "deferred 4.4.2 lost connection with #[#] while receiving the initial "
        "server greeting",
        { "close\n" }, .destination = DESTINATION_DEAD },
    { "no SMTP", "[#]%", "a@x", "deferred 4.5.0 Protocol error",
        { "> hello there\nhang\n" }, .destination = DESTINATION_DEAD },
    { "reply without end", "[#]%", "a@x", "deferred 4.5.0 Protocol error",
        {
#define TEN "> 220-x\n> 220-x\n> 220-x\n> 220-x\n> 220-x\n" \
            "> 220-x\n> 220-x\n> 220-x\n> 220-x\n> 220-x\n"
            TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "hang\n" },
        .destination = DESTINATION_DEAD },
    { "lost at MAIL", "[#]%", "a@x",
        "deferred 4.4.2 lost connection with #[#] while sending MAIL FROM",
        { HELLO "< MAIL\nclose\n" }, .destination = DESTINATION_DEAD },
    { "lost at RCPT", "[#]%", "a@x b@x",
        "deferred 4.4.2 lost connection with #[#] while sending RCPT TO|"
        "deferred 4.4.2",
        { HELLO MAIL RCPT("a@x") "< RCPT\nclose\n" },
        .destination = DESTINATION_DEAD },
    { "lost after the dot", "[#]%", "a@x",
        "deferred 4.4.2 lost connection with #[#] while sending end of data "
        "-- message may be sent more than once",
        { HELLO MAIL RCPT("a@x") "< DATA\n> 354 go\n~\nclose\n" },
        .destination = DESTINATION_DEAD },
    { "silent", "[#]%", "a@x",
        "deferred 4.4.2 conversation with #[#] timed out while sending MAIL "
        "FROM",
        { HELLO "< MAIL\nhang\n" }, .config = "smtp_mail_timeout=1s",
        .destination = DESTINATION_DEAD },
    { "refused connection", "[#]%", "a@x", "deferred 4.4.1 connect to #[#]:",
        { NULL }, .destination = DESTINATION_DEAD },
    { "too large", "[#]%", "a@x",
        "bounced 5.3.4 message size 19 exceeds size limit 10 of server #[#]",
        { "> 220 mx\n< EHLO\n> 250-mx\n> 250 SIZE 10\n< QUIT\n" } },
    { "8BITMIME", "[#]%", "a@x", "sent 2.0.0",
        { HELLO_PIPE "< MAIL FROM:<s@client.test> SIZE=19 BODY=8BITMIME\n"
                     "< RCPT\n< DATA\n> 250 ok\n> 250 ok\n> 354 go\n~\n"
                     "> 250 2.0.0 ok\n" },
        .flags = ENVELOPE_8BIT },
    { "SMTPUTF8", "[#]%", "\xc3\xa9@x", "sent 2.0.0",
        { "> 220 mx\n< EHLO\n> 250-mx\n> 250 SMTPUTF8\n"
          "< MAIL FROM:<s@client.test> SMTPUTF8\n> 250 ok\n"
          "< RCPT TO:<\xc3\xa9@x>\n> 250 ok\n" DATA },
        .config = "smtputf8_enable=yes" },
    { "no SMTPUTF8", "[#]%", "\xc3\xa9@x",
        "bounced 5.6.7 SMTPUTF8 is required, but was not offered by host #[#]",
        { HELLO "< QUIT\n" }, .config = "smtputf8_enable=yes" },
    { "SMTPUTF8 without need", "[#]%", "a@x", "sent 2.0.0", { HELLO ONE_MAIL },
        .flags = ENVELOPE_UTF8 },
    { "quoted", "[#]%", "a b@x", "sent 2.0.0|sent 2.0.0",
        { HELLO MAIL RCPT("a") RCPT("b@x") DATA } },
};
/* clang-format on */

#include "tests/unit/dialogue_main.h"

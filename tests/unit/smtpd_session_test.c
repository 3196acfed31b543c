/*
 * Dialogues, replies and log lines as Postfix 3.7 has them (where it differs from
 * 3.12: as that has them).
 */
#include "lib/mail/cleanup.h"
#include "lib/mail/queue_id.h"
#include "tests/unit/smtpd_world.h"

#define GREETING "< 220 mx.test ESMTP Postern\n"
#define EHLO                               \
    GREETING "> EHLO foo\n"                \
             "< 250-mx.test\n"             \
             "< 250-PIPELINING\n"          \
             "< 250-SIZE 10240000\n"       \
             "< 250-VRFY\n"                \
             "< 250-ETRN\n"                \
             "< 250-ENHANCEDSTATUSCODES\n" \
             "< 250-8BITMIME\n"            \
             "< 250-DSN\n"                 \
             "< 250-SMTPUTF8\n"            \
             "< 250-CHUNKING\n"            \
             "< 250-BINARYMIME\n"          \
             "< 250 LIMITS RCPTMAX=1000\n"
#define HELO       \
    GREETING       \
    "> HELO foo\n" \
    "< 250 mx.test\n"
#define OWN     "127.0.0.1"
#define FOREIGN "192.0.2.7"

static const struct dialogue {
    const char *name, *config, *client, *script;
} dialogues[] = {
    { "one message", "", OWN,
        EHLO "> MAIL FROM:<a@b.test>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<x@relay.test>\n"
             "< 250 2.1.5 Ok\n"
             "> DATA\n"
             "< 354 End data with <CR><LF>.<CR><LF>\n"
             "= Subject: x\\r\\n\\r\\nhi\\r\\n.\\r\\n\n"
             "< 250 2.0.0 Ok: queued as *\n"
             "> QUIT\n"
             "< 221 2.0.0 Bye\n"
             "EOF\n"
             "L connect from unknown[127.0.0.1]\n"
             "L *: client=unknown[127.0.0.1]\n"
             "L disconnect from unknown[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 "
             "quit=1 commands=5\n" },
    { "order of commands", "", OWN,
        GREETING "> RCPT TO:<x@y>\n"
                 "< 503 5.5.1 Error: need MAIL command\n"
                 "> DATA\n"
                 "< 503 5.5.1 Error: need RCPT command\n"
                 "> data x\n"
                 "< 503 5.5.1 Error: need RCPT command\n"
                 "> MAIL FROM:<a@b>\n"
                 "< 250 2.1.0 Ok\n"
                 "> MAIL FROM:<a@b>\n"
                 "< 503 5.5.1 Error: nested MAIL command\n"
                 "> DATA\n"
                 "< 554 5.5.1 Error: no valid recipients\n"
                 "> RSET\n"
                 "< 250 2.0.0 Ok\n"
                 "> RSET x\n"
                 "< 501 5.5.4 Syntax: RSET\n"
                 "> NOOP x\n"
                 "< 250 2.0.0 Ok\n"
                 "> EXPN x\n"
                 "< 500 5.5.2 Error: command not recognized\n"
                 "> STARTTLS\n"
                 "< 502 5.5.1 Error: command not implemented\n"
                 "> AUTH PLAIN\n"
                 "< 503 5.5.1 Error: authentication not enabled\n"
                 "> ETRN foo.test\n"
                 "< 459 <foo.test>: service unavailable\n"
                 "L disconnect from unknown[127.0.0.1] starttls=0/1 auth=0/1 "
                 "mail=1/2 rcpt=0/1 data=0/3 rset=1/2 noop=1 etrn=0/1 "
                 "unknown=0/1 commands=3/13\n" },
    { "HELO clears the transaction", "", OWN,
        HELO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> HELO bar\n"
             "< 250 mx.test\n"
             "> RCPT TO:<x@relay.test>\n"
             "< 503 5.5.1 Error: need MAIL command\n" },
    { "syntax of HELO and empty lines", "", OWN,
        GREETING "> HELO\n"
                 "< 501 Syntax: HELO hostname\n"
                 "> EHLO\n"
                 "< 501 Syntax: EHLO hostname\n"
                 "> HELO a b\n"
                 "< 250 mx.test\n"
                 "> \n"
                 "< 500 5.5.2 Error: bad syntax\n" },
    { "syntax of MAIL", "", OWN,
        GREETING "> MAIL\n"
                 "< 501 5.5.4 Syntax: MAIL FROM:<address>\n"
                 "> MAIL FROM\n"
                 "< 501 5.5.4 Syntax: MAIL FROM:<address>\n"
                 "> MAIL FROM:\n"
                 "< 501 5.5.4 Syntax: MAIL FROM:<address>\n"
                 "> MAIL TO:<a@b>\n"
                 "< 501 5.5.4 Syntax: MAIL FROM:<address>\n"
                 "> MAIL FROM:<a@b>x\n"
                 "< 501 5.1.7 Bad sender address syntax\n"
                 "> MAIL FROM:<a b>\n"
                 "< 501 5.1.7 Bad sender address syntax\n"
                 "> MAIL FROM:<a@c..d>\n"
                 "< 501 5.1.7 Bad sender address syntax\n"
                 "> MAIL FROM:<a@b> FOO\n"
                 "< 555 5.5.4 Unsupported option: FOO\n"
                 "> MAIL FROM:<a@b> SIZE=99999999\n"
                 "< 552 5.3.4 Message size exceeds fixed limit\n"
                 "> MAIL FROM:a@b\n"
                 "< 250 2.1.0 Ok\n"
                 "L warning: Illegal address syntax from unknown[127.0.0.1] in "
                 "MAIL command: <a@b>x\n"
                 "L NOQUEUE: reject: MAIL from unknown[127.0.0.1]: 552 5.3.4 "
                 "Message size exceeds fixed limit; from=<a@b> proto=SMTP\n" },
    { "syntax of RCPT", "", OWN,
        EHLO "> MAIL FROM:<>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT\n"
             "< 501 5.5.4 Syntax: RCPT TO:<address>\n"
             "> RCPT TO:\n"
             "< 501 5.5.4 Syntax: RCPT TO:<address>\n"
             "> RCPT TO:<>\n"
             "< 501 5.1.3 Bad recipient address syntax\n"
             "> RCPT TO:<a\n"
             "< 501 5.1.3 Bad recipient address syntax\n"
             "> RCPT TO:<x@relay.test> NOTIFY=FOO\n"
             "< 501 5.5.4 Error: Bad NOTIFY parameter syntax\n"
             "> RCPT TO:<x@relay.test> ORCPT=x\n"
             "< 501 5.5.4 Error: Bad ORCPT parameter syntax\n"
             "> RCPT TO:x@relay.test\n"
             "< 250 2.1.5 Ok\n" },
    { "relaying and unknown users", "", FOREIGN,
        HELO
        "> MAIL FROM:<a@b.test>\n"
        "< 250 2.1.0 Ok\n"
        "> RCPT TO:<x@other.test>\n"
        "< 454 4.7.1 <x@other.test>: Relay access denied\n"
        "> RCPT TO:<nobody@local.test>\n"
        "< 550 5.1.1 <nobody@local.test>: Recipient address rejected: "
        "User unknown in local recipient table\n"
        "> RCPT TO:<ann@local.test>\n"
        "< 250 2.1.5 Ok\n"
        "> RCPT TO:<nobody@v.test>\n"
        "< 550 5.1.1 <nobody@v.test>: Recipient address rejected: User "
        "unknown in virtual mailbox table\n"
        "> RCPT TO:<a%b@local.test>\n"
        "< 454 4.7.1 <a%b@local.test>: Relay access denied\n"
        "> RCPT TO:<b!a@local.test>\n"
        "< 454 4.7.1 <b!a@local.test>: Relay access denied\n"
        "> RCPT TO:<\"a@b\"@local.test>\n"
        "< 454 4.7.1 <a@b@local.test>: Relay access denied\n"
        "> RCPT TO:<ann@[127.0.0.1]>\n"
        "< 250 2.1.5 Ok\n"
        "> RCPT TO:<postmaster>\n"
        "< 250 2.1.5 Ok\n"
        "> RCPT TO:<Postmaster@local.test>\n"
        "< 250 2.1.5 Ok\n"
        "> RCPT TO:<postmaster@v.test>\n"
        "< 550 5.1.1 <postmaster@v.test>: Recipient address rejected: User "
        "unknown in virtual mailbox table\n"
        "> RCPT TO:<abuse>\n"
        "< 454 4.7.1 <abuse>: Relay access denied\n"
        "L NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 454 4.7.1 "
        "<x@other.test>: Relay access denied; from=<a@b.test> "
        "to=<x@other.test> proto=SMTP helo=<foo>\n"
        "L *: client=unknown[192.0.2.7]\n"
        "L *: reject: RCPT from unknown[192.0.2.7]: 550 5.1.1 "
        "<nobody@v.test>: Recipient address rejected: User unknown in "
        "virtual mailbox table; from=<a@b.test> to=<nobody@v.test> "
        "proto=SMTP helo=<foo>\n" },
    { "reject_unauth_destination",
        "smtpd_relay_restrictions = reject_unauth_destination\n", OWN,
        EHLO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<x@other.test>\n"
             "< 554 5.7.1 <x@other.test>: Relay access denied\n" },
    { "reject at each stage",
        "smtpd_recipient_restrictions = reject\n"
        "smtpd_sender_restrictions = warn_if_reject reject\n",
        OWN,
        EHLO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 554 5.7.1 <u1@v.test>: Recipient address rejected: Access "
             "denied\n"
             "L NOQUEUE: reject_warning: RCPT from unknown[127.0.0.1]: 554 "
             "5.7.1 <a@b>: Sender address rejected: Access denied; from=<a@b> "
             "to=<u1@v.test> proto=ESMTP helo=<foo>\n" },
    { "reject of the client", "smtpd_client_restrictions = reject\n", OWN,
        EHLO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 554 5.7.1 <unknown[127.0.0.1]>: Client host rejected: Access "
             "denied\n" },
    { "reject of the client at once",
        "smtpd_client_restrictions = reject\nsmtpd_delay_reject = no\n", OWN,
        "< 554 5.7.1 <unknown[127.0.0.1]>: Client host rejected: Access denied\n"
        "> EHLO foo\n"
        "< 503 5.7.0 Error: access denied for unknown[127.0.0.1]\n"
        "> NOOP\n"
        "< 503 5.7.0 Error: access denied for unknown[127.0.0.1]\n"
        "> QUIT\n"
        "< 221 2.0.0 Bye\n"
        "L NOQUEUE: reject: CONNECT from unknown[127.0.0.1]: 554 5.7.1 "
        "<unknown[127.0.0.1]>: Client host rejected: Access denied; "
        "proto=SMTP\n" },
    { "reject of HELO and sender at once",
        "smtpd_helo_restrictions = reject\nsmtpd_sender_restrictions = defer\n"
        "smtpd_delay_reject = no\n",
        OWN,
        GREETING "> EHLO foo\n"
                 "< 554 5.7.1 <foo>: Helo command rejected: Access denied\n"
                 "> MAIL FROM:<a@b>\n"
                 "< 450 4.3.2 <a@b>: Sender address rejected: Try again later\n"
                 "> RCPT TO:<u1@v.test>\n"
                 "< 503 5.5.1 Error: need MAIL command\n"
                 "L NOQUEUE: reject: EHLO from unknown[127.0.0.1]: 554 5.7.1 "
                 "<foo>: Helo command rejected: Access denied; proto=SMTP "
                 "helo=<foo>\n" },
    { "reject of DATA", "smtpd_data_restrictions = reject\n", OWN,
        EHLO
        "> MAIL FROM:<a@b>\n"
        "< 250 2.1.0 Ok\n"
        "> RCPT TO:<u1@v.test>\n"
        "< 250 2.1.5 Ok\n"
        "> DATA\n"
        "< 554 5.7.1 <DATA>: Data command rejected: Access denied\n"
        "L *: reject: DATA from unknown[127.0.0.1]: 554 5.7.1 <DATA>: Data "
        "command rejected: Access denied; from=<a@b> to=<u1@v.test> "
        "proto=ESMTP helo=<foo>\n" },
    { "reject at the end of data", "smtpd_end_of_data_restrictions = defer\n",
        OWN,
        EHLO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 250 2.1.5 Ok\n"
             "> DATA\n"
             "< 354 End data with <CR><LF>.<CR><LF>\n"
             "= x\\r\\n.\\r\\n\n"
             "< 450 4.3.2 <END-OF-MESSAGE>: End-of-data rejected: Try again "
             "later\n"
             "> NOOP\n"
             "< 250 2.0.0 Ok\n"
             "L *: reject: END-OF-MESSAGE from unknown[127.0.0.1]: 450 4.3.2 "
             "<END-OF-MESSAGE>: End-of-data rejected: Try again later; "
             "from=<a@b> to=<u1@v.test> proto=ESMTP helo=<foo>\n" },
    { "soft_bounce, smtpd_helo_required, defer_if_permit",
        "soft_bounce = yes\nsmtpd_helo_required = yes\n"
        "smtpd_recipient_restrictions = defer_if_permit\n"
        "smtpd_relay_restrictions = reject_unauth_destination\n",
        FOREIGN,
        GREETING "> MAIL FROM:<a@b>\n"
                 "< 403 4.5.1 Error: send HELO/EHLO first\n"
                 "> RSET\n"
                 "< 250 2.0.0 Ok\n"
                 "> HELO foo\n"
                 "< 250 mx.test\n"
                 "> RCPT TO:<a@b>\n"
                 "< 403 4.5.1 Error: need MAIL command\n"
                 "> MAIL FROM:<a@b>\n"
                 "< 250 2.1.0 Ok\n"
                 "> RCPT TO:<u1@v.test>\n"
                 "< 450 4.7.0 <u1@v.test>: Recipient address rejected: "
                 "defer_if_permit requested\n"
                 "> RCPT TO:<x@other.test>\n"
                 "< 454 4.7.1 <x@other.test>: Relay access denied\n"
                 "> FOO\n"
                 "< 400 4.5.2 Error: command not recognized\n"
                 "L NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 454 4.7.1 "
                 "<x@other.test>: Relay access denied; from=<a@b> "
                 "to=<x@other.test> proto=SMTP helo=<foo>\n" },
    { "defer_if_reject",
        "smtpd_recipient_restrictions = defer_if_reject reject\n", OWN,
        HELO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 450 4.7.0 <u1@v.test>: Recipient address rejected: "
             "defer_if_reject requested\n" },
    { "names of clients and addresses",
        "smtpd_recipient_restrictions = reject_non_fqdn_sender "
        "reject_non_fqdn_recipient reject_non_fqdn_helo_hostname "
        "reject_invalid_helo_hostname reject_unknown_client_hostname\n",
        OWN,
        HELO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 504 5.5.2 <a@b>: Sender address rejected: need fully-qualified "
             "address\n"
             "> RSET\n"
             "< 250 2.0.0 Ok\n"
             "> MAIL FROM:<a@b.test>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1>\n"
             "< 504 5.5.2 <u1>: Recipient address rejected: need "
             "fully-qualified address\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 504 5.5.2 <foo>: Helo command rejected: need fully-qualified "
             "hostname\n"
             "> HELO x.test\n"
             "< 250 mx.test\n"
             "> MAIL FROM:<a@b.test>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 450 4.7.25 Client host rejected: cannot find your hostname, "
             "[127.0.0.1]\n" },
    { "invalid HELO",
        "smtpd_helo_restrictions = reject_invalid_helo_hostname\n", OWN,
        GREETING "> HELO a..b\n"
                 "< 250 mx.test\n"
                 "> MAIL FROM:<a@b>\n"
                 "< 250 2.1.0 Ok\n"
                 "> RCPT TO:<u1@v.test>\n"
                 "< 501 5.5.2 <a..b>: Helo command rejected: Invalid name\n" },
    { "unlisted sender", "smtpd_sender_restrictions = reject_unlisted_sender\n",
        OWN,
        HELO "> MAIL FROM:<nobody@v.test>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 550 5.1.0 <nobody@v.test>: Sender address rejected: User "
             "unknown in virtual mailbox table\n" },
    { "VRFY", "", OWN,
        GREETING
        "> VRFY\n"
        "< 501 5.5.4 Syntax: VRFY address [SMTPUTF8]\n"
        "> VRFY ann@local.test\n"
        "< 252 2.0.0 ann@local.test\n"
        "> VRFY nobody@local.test\n"
        "< 550 5.1.1 <nobody@local.test>: Recipient address rejected: "
        "User unknown in local recipient table\n"
        "L NOQUEUE: reject: VRFY from unknown[127.0.0.1]: 550 5.1.1 "
        "<nobody@local.test>: Recipient address rejected: User unknown "
        "in local recipient table; to=<nobody@local.test> "
        "proto=SMTP\n" },
    { "what is quoted is one line", "", OWN,
        EHLO "> ETRN x\r250\001ok\n"
             "< 501 Error: invalid parameter syntax\n" },
    { "VRFY switched off", "disable_vrfy_command = yes\n", OWN,
        GREETING "> VRFY x\n"
                 "< 502 5.5.1 VRFY command is disabled\n" },
    { "no SMTP: TLS", "", OWN,
        GREETING "= \\\\x\\r\\n\n"
                 "< 221 2.7.0 Error: I can break rules, too. Goodbye.\n"
                 "EOF\n"
                 "L warning: non-SMTP command from unknown[127.0.0.1]: \\x\n"
                 "L disconnect from unknown[127.0.0.1] unknown=0/1 "
                 "commands=0/1\n" },
    { "no SMTP: HTTP", "", OWN,
        GREETING "> GET / HTTP/1.0\n"
                 "< 221 2.7.0 Error: I can break rules, too. Goodbye.\n"
                 "EOF\n" },
    { "no SMTP: a header", "", OWN,
        GREETING "> Subject: foo\n"
                 "< 221 2.7.0 Error: I can break rules, too. Goodbye.\n"
                 "EOF\n" },
    { "too many errors",
        "smtpd_hard_error_limit = 2\nsmtpd_error_sleep_time = 0\n", OWN,
        GREETING "> x1\n"
                 "< 500 5.5.2 Error: command not recognized\n"
                 "> x2\n"
                 "< 500 5.5.2 Error: command not recognized\n"
                 "< 421 4.7.0 mx.test Error: too many errors\n"
                 "EOF\n"
                 "L too many errors after UNKNOWN from unknown[127.0.0.1]\n"
                 "L disconnect from unknown[127.0.0.1] unknown=0/2 "
                 "commands=0/2\n" },
    { "errors that are no commands",
        "smtpd_hard_error_limit = 2\nsmtpd_error_sleep_time = 0\n", OWN,
        GREETING "> \n"
                 "< 500 5.5.2 Error: bad syntax\n"
                 "> NOOP \xff\n"
                 "< 500 5.5.2 Error: bad UTF-8 syntax\n"
                 "< 421 4.7.0 mx.test Error: too many errors\n"
                 "EOF\n" },
    { "too much junk",
        "smtpd_hard_error_limit = 2\nsmtpd_junk_command_limit = 1\n", OWN,
        GREETING "> NOOP\n"
                 "< 250 2.0.0 Ok\n"
                 "> NOOP\n"
                 "< 250 2.0.0 Ok\n"
                 "> NOOP\n"
                 "< 250 2.0.0 Ok\n"
                 "< 421 4.7.0 mx.test Error: too many errors\n"
                 "EOF\n" },
    { "too many recipients",
        "smtpd_recipient_limit = 1\nsmtpd_recipient_overshoot_limit = 1\n"
        "smtpd_hard_error_limit = 1\n",
        OWN,
        HELO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 250 2.1.5 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 452 4.5.3 Error: too many recipients\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 452 4.5.3 Error: too many recipients\n"
             "< 421 4.7.0 mx.test Error: too many errors\n"
             "EOF\n" },
    { "message too large", "message_size_limit = 20\n", OWN,
        HELO "> MAIL FROM:<a@b> SIZE=21\n"
             "< 552 5.3.4 Message size exceeds fixed limit\n"
             "> MAIL FROM:<a@b> SIZE=20\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 250 2.1.5 Ok\n"
             "> DATA\n"
             "< 354 End data with <CR><LF>.<CR><LF>\n"
             "= 0123456789012345678\\r\\n.\\r\\n\n"
             "< 552 5.3.4 Error: message file too big\n" },
    { "too long a line", "line_length_limit = 512\n", OWN,
        GREETING "> NOOP "
                 "0123456789012345678901234567890123456789012345678901234567890"
                 "0123456789012345678901234567890123456789012345678901234567890"
                 "0123456789012345678901234567890123456789012345678901234567890"
                 "0123456789012345678901234567890123456789012345678901234567890"
                 "0123456789012345678901234567890123456789012345678901234567890"
                 "0123456789012345678901234567890123456789012345678901234567890"
                 "0123456789012345678901234567890123456789012345678901234567890"
                 "0123456789012345678901234567890123456789012345678901234567890"
                 "0123456789012345678901234567890123456789012345678901234567890"
                 "\n"
                 "< 500 5.5.2 Error: line too long\n"
                 "> NOOP\n"
                 "< 250 2.0.0 Ok\n" },
    { "bare LF rejected", "smtpd_forbid_bare_newline = reject\n", FOREIGN,
        HELO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 250 2.1.5 Ok\n"
             "> DATA\n"
             "< 354 End data with <CR><LF>.<CR><LF>\n"
             "= a\\nb\\r\\n.\\r\\n\n"
             "< 550 5.5.2 mx.test Error: bare <LF> received\n"
             "= NOOP\\n\n"
             "< 550 5.5.2 mx.test Error: bare <LF> received\n"
             "EOF\n" },
    { "bare LF: a client that may", "smtpd_forbid_unauth_pipelining = no\n",
        OWN,
        GREETING
        "= HELO foo\\nMAIL FROM:<a@b>\\nRCPT TO:<u1@v.test>\\nDATA\\n\n"
        "< 250 mx.test\n"
        "< 250 2.1.0 Ok\n"
        "< 250 2.1.5 Ok\n"
        "< 354 End data with <CR><LF>.<CR><LF>\n"
        "= hi\\n.\\n\n"
        "< 250 2.0.0 Ok: queued as *\n" },
    { "smuggling: the end is CRLF.CRLF", "", FOREIGN,
        EHLO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test>\n"
             "< 250 2.1.5 Ok\n"
             "> DATA\n"
             "< 354 End data with <CR><LF>.<CR><LF>\n"
             "= a\\n.\\nMAIL FROM:<x@y>\\r\\n.\\nRSET\\r\\n.\\rRSET\\n.\\r\\n"
             "RSET\\r\\n.\\r\\n\n"
             "< 250 2.0.0 Ok: queued as *\n"
             "> QUIT\n"
             "< 221 2.0.0 Bye\n"
             "EOF\n"
             "L disconnect from unknown[192.0.2.7] ehlo=1 mail=1 rcpt=1 data=1 "
             "quit=1 commands=5\n" },
    { "DSN parameters", "", OWN,
        EHLO "> MAIL FROM:<a@b> RET=HDRS ENVID=x+2By BODY=8BITMIME\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<u1@v.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b\n"
             "< 250 2.1.5 Ok\n"
             "> RCPT TO:<ann@local.test> NOTIFY=NEVER\n"
             "< 250 2.1.5 Ok\n"
             "> DATA\n"
             "< 354 End data with <CR><LF>.<CR><LF>\n"
             "> .\n"
             "< 250 2.0.0 Ok: queued as *\n" },
    { "commands that do nothing", "smtpd_noop_commands = FOO VRFY\n", OWN,
        GREETING "> foo bar\n"
                 "< 250 2.0.0 Ok\n"
                 "> VRFY nobody@local.test\n"
                 "< 250 2.0.0 Ok\n"
                 "L disconnect from unknown[127.0.0.1] noop=2 commands=2\n" },
    { "receive_override_options",
        "receive_override_options = no_unknown_recipient_checks\n", OWN,
        HELO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<nobody@v.test>\n"
             "< 250 2.1.5 Ok\n" },
    { "bare LF noted", "smtpd_forbid_bare_newline = note\n", FOREIGN,
        HELO
        "> MAIL FROM:<a@b>\n"
        "< 250 2.1.0 Ok\n"
        "> RCPT TO:<u1@v.test>\n"
        "< 250 2.1.5 Ok\n"
        "> DATA\n"
        "< 354 End data with <CR><LF>.<CR><LF>\n"
        "= a\\nb\\r\\n.\\r\\n\n"
        "< 250 2.0.0 Ok: queued as *\n"
        "L *: note: END-OF-MESSAGE from unknown[192.0.2.7]: bare <LF> received; from=<a@b> to=<u1@v.test> "
        "proto=SMTP helo=<foo>\n" },
};

static void
test_dialogues(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
        const struct dialogue *d = &dialogues[i];

        print_message("  %s\n", d->name);
        world_open(d->config);
        if (world.compiled != RESULT_OK)
            fail_msg("%s", world.why.text);
        {
            /* What the log says at the end comes after the client has left. */
            const char *log = strstr(d->script, "\nL ");
            char *talk = mem_text_of(slice_head(slice_of(d->script),
                log == NULL ? strlen(d->script)
                            : (size_t)(log + 1 - d->script)));
            struct visitor v;

            visitor_come(&v, d->client);
            visitor_play(&v, talk);
            visitor_go(&v);
            if (log != NULL)
                visitor_play(&v, log + 1);
            mem_free(talk);
        }
        world_close();
    }
}

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
        cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_submission),
        cmocka_unit_test(test_received_of_several),
        cmocka_unit_test(test_pipelining),
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

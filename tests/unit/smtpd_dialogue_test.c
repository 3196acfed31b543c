/*
 * What clients say and hear: commands and their order, syntax, limits, line ends.
 * Replies and log lines as Postfix 3.7 has them (where it differs from 3.12: as
 * that has them).
 */
#include "tests/unit/smtpd_dialogues.h"

static const struct dialogue dialogues[] = {
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

#include "tests/unit/dialogue_main.h"

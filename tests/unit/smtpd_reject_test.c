/*
 * Who is refused at which stage, by restrictions that need no table. Replies and
 * log lines as Postfix 3.7 has them.
 */
#include "tests/unit/smtpd_dialogues.h"

static const struct dialogue dialogues[] = {
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
    { "no reverse name",
        "smtpd_client_restrictions = reject_unknown_reverse_client_hostname\n",
        OWN,
        GREETING "> MAIL FROM:<a@b>\n"
                 "< 250 2.1.0 Ok\n"
                 "> RCPT TO:<u1@v.test>\n"
                 "< 450 4.7.1 Client host rejected: cannot find your reverse "
                 "hostname, [127.0.0.1]\n" },
    { "a bad literal is no name at all",
        "smtpd_helo_restrictions = reject_non_fqdn_helo_hostname\n"
        "smtpd_delay_reject = no\n",
        OWN,
        GREETING "> HELO [1.2.3]\n"
                 "< 501 5.5.2 <[1.2.3]>: Helo command rejected: invalid ip "
                 "address\n"
                 "> HELO foo\n"
                 "< 504 5.5.2 <foo>: Helo command rejected: need "
                 "fully-qualified hostname\n"
                 "> HELO [1.2.3.4]\n"
                 "< 250 mx.test\n" },
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
    { "receive_override_options",
        "receive_override_options = no_unknown_recipient_checks\n", OWN,
        HELO "> MAIL FROM:<a@b>\n"
             "< 250 2.1.0 Ok\n"
             "> RCPT TO:<nobody@v.test>\n"
             "< 250 2.1.5 Ok\n" },
};

#include "tests/unit/dialogue_main.h"

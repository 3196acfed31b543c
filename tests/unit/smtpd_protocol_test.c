/*
 * Extensions of the protocol: BDAT, XCLIENT, XFORWARD, PROXY, SMTPUTF8, what is
 * kept back, filtered and put behind replies. Replies and log lines as Postfix
 * 3.7 has them.
 */
#include "smtpd/proxy_header.h"
#include "smtpd/xattribute.h"
#include "tests/unit/smtpd_dialogues.h"

#define CLIENT "192.0.2.7"
#define BEGIN                                  \
    "> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n" \
    "> RCPT TO:<ann@local.test>\n< 250 2.1.5 Ok\n"

static const struct dialogue dialogues[] = {
    /* BDAT */
    { "chunks", "", CLIENT,
        EHLO BEGIN "= BDAT 14\\r\\nSubject: x\\r\\n\\r\\n\n"
                   "< 250 2.0.0 Ok: 14 bytes\n"
                   "> DATA\n< 503 5.5.1 Error: DATA after BDAT\n"
                   "> RCPT TO:<bob@local.test>\n"
                   "< 503 5.5.1 Error: RCPT after BDAT\n"
                   "> MAIL FROM:<c@d>\n< 503 5.5.1 Error: nested MAIL command\n"
                   "= BDAT 7 LAST\\r\\n.\\r\\nx\\r\\n.QUIT\\r\\n\n"
                   "< 250 2.0.0 Ok: 21 bytes queued as *\n"
                   "< 221 2.0.0 Bye\n" },
    { "an empty last chunk", "", CLIENT,
        EHLO BEGIN "= BDAT 3\\r\\nabc\n< 250 2.0.0 Ok: 3 bytes\n"
                   "> BDAT 0 LAST\n< 250 2.0.0 Ok: 3 bytes queued as *\n" BEGIN
                   "> RSET\n< 250 2.0.0 Ok\n"
                   "L *: client=unknown[192.0.2.7]\n" },
    { "chunks of nobody", "", CLIENT,
        EHLO "= BDAT 6\\r\\nQUIT\\r\\nNOOP\\r\\n\n"
             "< 503 5.5.1 Error: need RCPT command\n< 250 2.0.0 Ok\n"
             "= BDAT 6\\r\\nQUIT\\r\\nNOOP\\r\\n\n"
             "< 551 5.0.0 Discarded 6 bytes after earlier error\n"
             "< 250 2.0.0 Ok\n"
             "= BDAT 6 LAST\\r\\nQUIT\\r\\nNOOP\\r\\n\n"
             "< 551 5.0.0 Discarded 6 bytes after earlier error\n"
             "< 250 2.0.0 Ok\n" BEGIN },
    { "the size of chunks", "message_size_limit = 20\n", CLIENT,
        GREETING
        "> EHLO foo\n"
        "< 250-mx.test\n< 250-PIPELINING\n< 250-SIZE 20\n"
        "< 250-VRFY\n< 250-ETRN\n< 250-ENHANCEDSTATUSCODES\n"
        "< 250-8BITMIME\n< 250-DSN\n< 250-SMTPUTF8\n"
        "< 250-CHUNKING\n< 250-BINARYMIME\n< 250 LIMITS RCPTMAX=1000\n" BEGIN
        "= BDAT 10\\r\\n0123456789\n< 250 2.0.0 Ok: 10 bytes\n"
        "= BDAT 11\\r\\n01234567890\n"
        "< 552 5.3.4 Chunk exceeds message size limit\n"
        "= BDAT 1 LAST\\r\\n0\n"
        "< 551 5.0.0 Discarded 1 bytes after earlier error\n"
        "L warning: *: BDAT request from unknown[192.0.2.7] exceeds "
        "message size limit\n" },
    { "a bad size", "", CLIENT,
        EHLO BEGIN "> BDAT 18446744073709551616\n"
                   "< 521 5.5.4 Syntax: BDAT count [LAST]\nEOF\n"
                   "L warning: *: malformed BDAT command syntax from "
                   "unknown[192.0.2.7]: BDAT 18446744073709551616\n" },
    { "no size", "", CLIENT,
        GREETING "> BDAT\n< 521 5.5.4 Syntax: BDAT count [LAST]\nEOF\n" },
    { "no LAST", "", CLIENT,
        GREETING "> BDAT 4 LAST X\n< 521 5.5.4 Syntax: BDAT count [LAST]\n"
                 "EOF\n" },
    { "nothing", "", CLIENT,
        EHLO "> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n"
             "> BDAT 0\n< 551 5.7.1 Null BDAT request\n"
             "= BDAT 1 LAST\\r\\nx\n"
             "< 551 5.0.0 Discarded 1 bytes after earlier error\n" },
    { "a bare LF in a chunk", "smtpd_forbid_bare_newline = reject\n", CLIENT,
        EHLO BEGIN "= BDAT 4\\r\\na\\nb\\n\n"
                   "< 550 5.5.2 mx.test Error: bare <LF> received\n"
                   "> BDAT 0 LAST\n"
                   "< 551 5.0.0 Discarded 0 bytes after earlier error\n"
                   "L *: reject: BDAT content from unknown[192.0.2.7]: bare "
                   "<LF> received; from=<a@b.test> to=<ann@local.test> "
                   "proto=ESMTP helo=<foo>\n" },
    { "BDAT that is not offered",
        "smtpd_discard_ehlo_keywords = chunking, silent-discard\n", CLIENT,
        GREETING "> EHLO foo\n"
                 "< 250-mx.test\n< 250-PIPELINING\n< 250-SIZE 10240000\n"
                 "< 250-VRFY\n< 250-ETRN\n< 250-ENHANCEDSTATUSCODES\n"
                 "< 250-8BITMIME\n< 250-DSN\n< 250-SMTPUTF8\n"
                 "< 250 LIMITS RCPTMAX=1000\n"
                 "> BDAT 4 LAST\n< 521 5.5.1 Error: command not implemented\n"
                 "EOF\n" },

    /* XCLIENT, XFORWARD */
    { "XCLIENT", "smtpd_authorized_xclient_hosts = 192.0.2.7, 192.0.2.8\n",
        CLIENT,
        GREETING EHLO_WITH(
            "< 250-XCLIENT NAME ADDR PROTO HELO REVERSE_NAME "
            "PORT LOGIN DESTADDR DESTPORT\n") "> XCLIENT\n< 501 5.5.4 Syntax: XCLIENT attribute=value...\n"
                                              "> XCLIENT FOO=x\n< 501 5.5.4 Bad XCLIENT attribute name: FOO\n"
                                              "> XCLIENT NAME\n< 501 5.5.4 Error: attribute=value expected\n"
                                              "> XCLIENT ADDR=1.2.3.300\n< 501 5.5.4 Bad ADDR syntax: 1.2.3.300\n"
                                              "> XCLIENT PORT=65536\n< 501 5.5.4 Bad PORT syntax: 65536\n"
                                              "> XCLIENT HELO=a+0Ab\n< 501 5.5.4 Bad HELO syntax: a+0Ab\n"
                                              "> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n"
                                              "> XCLIENT ADDR=1.2.3.4\n"
                                              "< 503 5.5.1 Error: MAIL transaction in progress\n"
                                              "> RSET\n< 250 2.0.0 Ok\n"
                                              "> XCLIENT NAME=spike.test ADDR=192.0.2.8 PORT=99\n" GREETING
                                              "> XCLIENT NAME=s.test REVERSE_NAME=r.test ADDR=IPV6:2001:DB8::1 "
                                              "HELO=h+22.test PROTO=ESMTP LOGIN=ann+2Bx\n" GREETING
                                                  BEGIN
                                              "> XCLIENT ADDR=1.2.3.4\n"
                                              "< 503 5.5.1 Error: MAIL transaction in progress\n"
                                              "> RSET\n< 250 2.0.0 Ok\n"
                                              "> XCLIENT ADDR=1.2.3.4\n" GREETING
                                              "> XCLIENT ADDR=1.2.3.5\n" GREETING
                                              "L *: client=s.test[2001:db8::1], sasl_method=XCLIENT, "
                                              "sasl_username=ann+x\n" },
    { "whose networks", "smtpd_authorized_xclient_hosts = 192.0.2.7\n", CLIENT,
        GREETING "> XCLIENT ADDR=127.0.0.1 NAME=[TEMPUNAVAIL]\n" GREETING
                 "> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n"
                 "> RCPT TO:<x@other.test>\n< 250 2.1.5 Ok\n" },
    { "a login", "smtpd_authorized_xclient_hosts = 192.0.2.7\n", CLIENT,
        GREETING "> XCLIENT LOGIN=ann\n" GREETING
                 "> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n"
                 "> RCPT TO:<x@other.test>\n< 250 2.1.5 Ok\n"
                 "> RSET\n< 250 2.0.0 Ok\n"
                 "> XCLIENT LOGIN=[UNAVAILABLE]\n" GREETING
                 "> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n"
                 "> RCPT TO:<x@other.test>\n"
                 "< 454 4.7.1 <x@other.test>: Relay access denied\n" },
    { "a client that is refused at once",
        "smtpd_delay_reject = no\n"
        "smtpd_authorized_xclient_hosts = 192.0.2.7\n"
        "smtpd_client_restrictions = check_client_access "
        "inline:{{192.0.2.66=REJECT}}\n",
        CLIENT,
        GREETING "> XCLIENT ADDR=192.0.2.66\n"
                 "< 554 5.7.1 <unknown[192.0.2.66]>: Client host rejected: "
                 "Access denied\n"
                 "> EHLO foo\n"
                 "< 503 5.7.0 Error: access denied for unknown[192.0.2.66]\n" },
    { "nobody's XCLIENT", "", CLIENT,
        EHLO "> XCLIENT ADDR=1.2.3.4\n"
             "< 550 5.7.0 Error: insufficient authorization\n"
             "> XFORWARD ADDR=1.2.3.4\n"
             "< 550 5.7.0 Error: insufficient authorization\n" },
    { "XFORWARD", "smtpd_authorized_xforward_hosts = 192.0.2.7\n", CLIENT,
        GREETING EHLO_WITH(
            "< 250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT\n") "> XFORWARD SOURCE=FOO\n< 501 5.5.4 Bad SOURCE syntax: FOO\n"
                                                                       "> XFORWARD NAME=spike.test ADDR=192.0.2.9 PORT=55\n"
                                                                       "< 250 2.0.0 Ok\n"
                                                                       "> XFORWARD HELO=h IDENT=abc SOURCE=REMOTE PROTO=SMTP\n"
                                                                       "< 250 2.0.0 Ok\n" BEGIN
                                                                       "> RSET\n< 250 2.0.0 Ok\n" BEGIN
                                                                       "L *: client=unknown[192.0.2.7], orig_queue_id=abc, "
                                                                       "orig_client=spike.test[192.0.2.9]\n"
                                                                       "L *: client=unknown[192.0.2.7]\n" },

    /* PROXY */
    { "a proxy", "smtpd_upstream_proxy_protocol = haproxy\n", CLIENT,
        "= PROXY TCP4 192.0.2.9 192.0.2.1 1234 25\\r\\n\n" GREETING
        "> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n"
        "> RCPT TO:<x@other.test>\n"
        "< 454 4.7.1 <x@other.test>: Relay access denied\n"
        "L connect from unknown[192.0.2.9]\n" },
    { "no proxy", "smtpd_upstream_proxy_protocol = haproxy\n", CLIENT,
        "= EHLO foo\\r\\n\n"
        "< 421 4.3.0 mx.test Server local error\nEOF\n"
        "L warning: haproxy read: short protocol header: EHLO foo?? from "
        "192.0.2.7\n" },
    { "nobody's proxy",
        "smtpd_upstream_proxy_protocol = haproxy\n"
        "smtpd_upstream_proxy_networks = 192.0.2.8\n",
        CLIENT, "< 421 4.3.0 mx.test Server local error\nEOF\n" },
    { "with and without a proxy: without",
        "smtpd_upstream_proxy_protocol = haproxy\n"
        "smtpd_upstream_proxy_use = accept\n"
        "smtpd_upstream_proxy_networks = 192.0.2.8\n",
        CLIENT, GREETING },
    { "with and without a proxy: with",
        "smtpd_upstream_proxy_protocol = haproxy\n"
        "smtpd_upstream_proxy_use = accept\n"
        "smtpd_upstream_proxy_networks = 192.0.2.7\n",
        CLIENT,
        "= PROXY UNKNOWN\\r\\n\n" GREETING "> QUIT\n< 221 2.0.0 Bye\n"
        "L connect from unknown[192.0.2.7]\n" },
    { "a proxy that is forbidden",
        "smtpd_upstream_proxy_protocol = haproxy\n"
        "smtpd_upstream_proxy_use = forbid\n",
        CLIENT,
        GREETING "> PROXY TCP4 192.0.2.9 192.0.2.1 1234 25\n"
                 "< 500 5.5.2 Error: command not recognized\n" },

    /* SMTPUTF8 */
    { "UTF-8", "", CLIENT,
        EHLO "> MAIL FROM:<\xc3\xa9@b.test> SMTPUTF8\n< 250 2.1.0 Ok\n"
             "> RCPT TO:<\xff@local.test>\n"
             "< 500 5.5.2 Error: bad UTF-8 syntax\n"
             "> RCPT TO:<\xc3\xa9@local.test>\n"
             "< 550 5.1.1 <\xc3\xa9@local.test>: Recipient address rejected: "
             "User unknown in local recipient table\n"
             "> MAIL FROM:<a@b> SMTPUTF8=x\n"
             "< 503 5.5.1 Error: nested MAIL command\n"
             "> RSET\n< 250 2.0.0 Ok\n"
             "> MAIL FROM:<a@b> SMTPUTF8=x\n"
             "< 555 5.5.4 Unsupported option: SMTPUTF8=x\n" },
    { "UTF-8 by the book", "strict_smtputf8 = yes\n", CLIENT,
        EHLO "> MAIL FROM:<\xc3\xa9@b.test>\n"
             "< 553 5.6.7 Must declare SMTPUTF8 to send unicode address\n"
             "> VRFY \xc3\xa9@local.test\n"
             "< 553 5.6.7 Must declare SMTPUTF8 to send unicode address\n"
             "> VRFY ann@local.test SMTPUTF8\n< 252 2.0.0 ann@local.test\n"
             "> MAIL FROM:<\xc3\xa9@b.test> SMTPUTF8\n< 250 2.1.0 Ok\n" },
    { "no UTF-8", "smtputf8_enable = no\n", CLIENT,
        GREETING "> MAIL FROM:<a@b.test> SMTPUTF8\n"
                 "< 555 5.5.4 Unsupported option: SMTPUTF8\n" },

    /* Kept back, filtered, put behind */
    { "keywords",
        "smtpd_discard_ehlo_keywords = dsn\n"
        "smtpd_discard_ehlo_keyword_address_maps = "
        "inline:{{192.0.2.7=etrn dsn pipelining vrfy size enhancedstatuscodes "
        "8bitmime smtputf8 chunking}}\n",
        CLIENT,
        GREETING "> EHLO foo\n< 250-mx.test\n< 250 LIMITS RCPTMAX=1000\n"
                 "> MAIL FROM:<a@b.test> RET=FULL\n"
                 "< 501 5.7.1 DSN support is disabled\n"
                 "L discarding EHLO keywords: 8BITMIME ETRN PIPELINING SIZE "
                 "VRFY ENHANCEDSTATUSCODES DSN SMTPUTF8 CHUNKING\n" },
    { "keywords kept back from who says HELO, or nothing",
        "smtpd_discard_ehlo_keywords = dsn, smtputf8, chunking\n", CLIENT,
        GREETING "> MAIL FROM:<a@b.test> ENVID=x\n"
                 "< 501 5.7.1 DSN support is disabled\n"
                 "> HELO foo\n< 250 mx.test\n"
                 "> MAIL FROM:<a@b.test> SMTPUTF8\n"
                 "< 555 5.5.4 Unsupported option: SMTPUTF8\n"
                 "> BDAT 0 LAST\n< 521 5.5.1 Error: command not implemented\n"
                 "EOF\n" },
    { "a transaction comes before the syntax of XCLIENT",
        "smtpd_authorized_xclient_hosts = 192.0.2.7\n", CLIENT,
        GREETING "> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n"
                 "> XCLIENT\n< 503 5.5.1 Error: MAIL transaction in "
                 "progress\n"
                 "> QUIT\n< 221 2.0.0 Bye\n"
                 "L disconnect from unknown[192.0.2.7] xclient=0/1 mail=1 "
                 "quit=1 commands=2/3\n" },
    { "UTF-8 in the verb", "smtpd_forbidden_commands =\n", CLIENT,
        GREETING "> \xff\xfe\n< 500 5.5.2 Error: bad UTF-8 syntax\n" },
    { "no UTF-8 in a domain", "smtputf8_enable = no\n", CLIENT,
        GREETING "> MAIL FROM:<a@b\xc3\xa9.test>\n"
                 "< 501 5.1.7 Bad sender address syntax\n"
                 "> MAIL FROM:<a@192.0.2.1>\n"
                 "< 501 5.1.7 Bad sender address syntax\n" },
    { "numeric domains", "resolve_numeric_domain = yes\n", CLIENT,
        GREETING "> MAIL FROM:<a@192.0.2.1>\n< 250 2.1.0 Ok\n" },
    { "footers",
        "smtpd_reject_footer = \\c. Call $server_name\\nfrom $client_address\n"
        "smtpd_reject_footer_maps = inline:{{503 5.5.1 Error: need MAIL "
        "command=Say MAIL}}\n",
        CLIENT,
        GREETING "> FOO\n"
                 "< 500-5.5.2 Error: command not recognized. Call mx.test\n"
                 "< 500 5.5.2 from 192.0.2.7\n"
                 "> RCPT TO:<a@b>\n"
                 "< 503-5.5.1 Error: need MAIL command\n"
                 "< 503 5.5.1 Say MAIL\n"
                 "> NOOP\n< 250 2.0.0 Ok\n" },
    { "replies changed",
        "smtpd_reject_filter_maps = inline:{{503 5.5.1 Error: need MAIL "
        "command=450 4.0.0 No},{500 5.5.2 Error: command not "
        "recognized=250 ok}}\n",
        CLIENT,
        GREETING "> RCPT TO:<a@b>\n< 450 4.0.0 No\n"
                 "> FOO\n< 500 5.5.2 Error: command not recognized\n" },
    { "commands changed",
        "smtpd_command_filter = inline:{{foo bar=NOOP},{nothing=}}\n", CLIENT,
        GREETING "> foo bar\n< 250 2.0.0 Ok\n" },
    { "forbidden by a table", "smtpd_forbidden_commands = inline:{{foo=x}}\n",
        CLIENT,
        GREETING "> GET /\n< 500 5.5.2 Error: command not recognized\n"
                 "> FOO /\n"
                 "< 221 2.7.0 Error: I can break rules, too. Goodbye.\nEOF\n" },
    { "sent along with EHLO", "", CLIENT,
        GREETING "= EHLO foo\\r\\nNOOP\\r\\n\n"
                 "< 554 5.5.0 Error: SMTP protocol synchronization\nEOF\n"
                 "L improper command pipelining after EHLO from "
                 "unknown[192.0.2.7]: NOOP\\r\\n\n" },
    { "sent along without ESMTP", "", CLIENT,
        GREETING "= RSET\\r\\nRSET\\r\\n\n"
                 "< 554 5.5.0 Error: SMTP protocol synchronization\nEOF\n" },
    { "sent along, and let be",
        "smtpd_forbid_unauth_pipelining = no\n"
        "smtpd_recipient_restrictions = "
        "reject_unauth_pipelining\n",
        CLIENT,
        GREETING "= EHLO foo\\r\\nNOOP\\r\\n\n"
                 "< 250-mx.test\n< 250-PIPELINING\n< 250-SIZE 10240000\n"
                 "< 250-VRFY\n< 250-ETRN\n< 250-ENHANCEDSTATUSCODES\n"
                 "< 250-8BITMIME\n< 250-DSN\n< 250-SMTPUTF8\n"
                 "< 250-CHUNKING\n< 250-BINARYMIME\n< 250 LIMITS RCPTMAX=1000\n"
                 "< 250 2.0.0 Ok\n"
                 "> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n"
                 "> RCPT TO:<ann@local.test>\n"
                 "< 503 5.5.0 <ann@local.test>: Recipient address rejected: "
                 "Improper use of SMTP command pipelining\n" },
    { "an id for each MAIL", "smtpd_delay_open_until_valid_rcpt = no\n", CLIENT,
        EHLO "> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n"
             "> RCPT TO:<x@other.test>\n"
             "< 454 4.7.1 <x@other.test>: Relay access denied\n"
             "L *: client=unknown[192.0.2.7]\n"
             "L *: reject: RCPT from unknown[192.0.2.7]: 454 4.7.1 "
             "<x@other.test>: Relay access denied; from=<a@b.test> "
             "to=<x@other.test> proto=ESMTP helo=<foo>\n" },
    { "ETRN",
        "smtpd_etrn_restrictions = check_etrn_access "
        "inline:{{a.test=REJECT}}\nfast_flush_domains = a.test, b.test\n",
        CLIENT,
        EHLO "> ETRN\n< 500 Syntax: ETRN domain\n"
             "> ETRN a b\n< 500 Syntax: ETRN domain\n"
             "> ETRN a..b\n< 501 Error: invalid parameter syntax\n"
             "> ETRN x.test\n< 459 <x.test>: service unavailable\n"
             "> ETRN @a.test\n"
             "< 554 5.7.1 <a.test>: Etrn command rejected: Access denied\n"
             "> MAIL FROM:<a@b.test>\n< 250 2.1.0 Ok\n"
             "> ETRN b.test\n< 503 Error: MAIL transaction in progress\n"
             "L warning: reject: ETRN x.test... from unknown[192.0.2.7]\n"
             "L NOQUEUE: reject: ETRN from unknown[192.0.2.7]: 554 5.7.1 "
             "<a.test>: Etrn command rejected: Access denied; proto=ESMTP "
             "helo=<foo>\n" },
};

#include "tests/unit/dialogue_table.h"

/* Who talks before he is spoken to. */
static void
test_early(void **state)
{
    struct visitor v;
    int fds[2];

    (void)state;
    world_open("");
    memset(&v, 0, sizeof(v));
    buf_init(&v.in, 1 << 20);
    assert_true(sock_addr_parse(SLICE_LIT(CLIENT), 1, &v.addr));
    assert_int_equal(sock_pair(fds), 0);
    v.fd = fds[0];
    v.served = fds[1];
    v.service = config_find_service(world.set, "smtp", "inet");
    assert_int_equal(write(v.fd, "EHLO x\r\n", 8), 8);
    (void)spawn(visitor_main, &v);
    settle();
    visitor_play(&v,
        "< 554 5.5.0 Error: SMTP protocol synchronization\nEOF\n"
        "L improper command pipelining after CONNECT from "
        "unknown[192.0.2.7]: EHLO x\\r\\n\n");
    visitor_go(&v);
    world_close();
}

/* What comes out of chunks, cut anywhere, and who is said to have sent it. */
static void
test_content(void **state)
{
    static const struct {
        const char *config, *script, *header, *body;
    } cases[] = {
        { "",
            "= BDAT 18\\r\\nSubject: x\\r\\n\\r\\na\\r\\n.\n"
            "< 250 2.0.0 Ok: 18 bytes\n"
            "= BDAT 5 LAST\\r\\n\\r\\n..\\n\n"
            "< 250 2.0.0 Ok: 23 bytes queued as *\n",
            "with ESMTP id", "a\r\n.\r\n..\r\n" },
        { "",
            "= BDAT 1\\r\\n\\r\n< 250 2.0.0 Ok: 1 bytes\n"
            "= BDAT 3\\r\\n\\na\\r\n< 250 2.0.0 Ok: 3 bytes\n"
            "= BDAT 5 LAST\\r\\nb\\rc\\n.\n"
            "< 250 2.0.0 Ok: 9 bytes queued as *\n",
            "Received: from foo", "a b c\r\n.\r\n" },
        { "smtpd_hide_client_session = yes\n",
            "> BDAT 0 LAST\n< 250 2.0.0 Ok: 0 bytes queued as *\n",
            "Received: by mx.test (Postern) id ", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct visitor v;

        world_open(cases[i].config);
        visitor_come(&v, CLIENT);
        visitor_play(&v, EHLO BEGIN);
        visitor_play(&v, cases[i].script);
        visitor_go(&v);
        assert_int_equal(world.submitted, 1);
        assert_string_equal(buf_text(&world.body), cases[i].body);
        if (strstr(buf_text(&world.header), cases[i].header) == NULL)
            fail_msg("%s", buf_text(&world.header));
        world_close();
    }
}

/* smtpd_per_request_deadline: octets earn time, trickles do not. */
static void
test_pace(void **state)
{
    struct visitor v;

    (void)state;
    world_open("smtpd_per_request_deadline = yes\nsmtpd_timeout = 10\n"
               "smtpd_min_data_rate = 1\n");
    visitor_come(&v, CLIENT);
    visitor_play(&v,
        EHLO BEGIN "> DATA\n< 354 End data with <CR><LF>.<CR><LF>\n");
    for (int i = 0; i < 4; i++) { /* 40 octets in 24 seconds */
        visitor_send(&v, SLICE_LIT("12345678\r\n"));
        clock_advance_ms(6000);
        settle();
    }
    visitor_send(&v, SLICE_LIT("1"));
    clock_advance_ms(6000);
    settle();
    clock_advance_ms(6000);
    settle();
    visitor_play(&v, "< 421 4.4.2 mx.test Error: timeout exceeded\nEOF\n");
    visitor_go(&v);
    world_close();
}

static void
test_proxy_headers(void **state)
{
#define V2(rest) SLICE_LIT("\r\n\r\n\0\r\nQUIT\n" rest)
    static const struct {
        struct slice in;
        enum proxy_status status;
        const char *client;
        uint16_t port;
    } cases[] = {
        { SLICE_LIT(""), PROXY_MORE, "", 0 },
        { SLICE_LIT("PRO"), PROXY_MORE, "", 0 },
        { SLICE_LIT("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r"), PROXY_MORE, "", 0 },
        { SLICE_LIT("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nX"), PROXY_FOUND,
            "1.2.3.4", 9 },
        { SLICE_LIT("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n"), PROXY_FOUND,
            "2001:db8::1", 65535 },
        { SLICE_LIT("PROXY TCP4 ::1 ::1 1 2\r\n"), PROXY_BAD, "", 0 },
        { SLICE_LIT("PROXY TCP6 1.2.3.4 ::1 1 2\r\n"), PROXY_BAD, "", 0 },
        { SLICE_LIT("PROXY TCP6 IPv6:::1 ::1 1 2\r\n"), PROXY_BAD, "", 0 },
        { SLICE_LIT("PROXY TCP4 1.2.3.4 5.6.7.8 65536 10\r\n"), PROXY_BAD, "",
            0 },
        { SLICE_LIT("PROXY TCP4 1.2.3.4 5.6.7.8 9\r\n"), PROXY_BAD, "", 0 },
        { SLICE_LIT("PROXY TCP4 1.2.3.4 5.6.7.8 9 10 11\r\n"), PROXY_BAD, "",
            0 },
        { SLICE_LIT("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\n"), PROXY_BAD, "", 0 },
        { SLICE_LIT("PROXY UDP4 1.2.3.4 5.6.7.8 9 10\r\n"), PROXY_BAD, "", 0 },
        { SLICE_LIT("PROXY UNKNOWN x y z\r\n"), PROXY_LOCAL, "", 0 },
        { SLICE_LIT("QUIT"), PROXY_BAD, "", 0 },
        { SLICE_LIT("\r\n\r\n"), PROXY_MORE, "", 0 },
        { SLICE_LIT("\r\nQ"), PROXY_BAD, "", 0 },
        { V2(""), PROXY_MORE, "", 0 },
        { V2("\x21\x11\0\x0c\1\2\3\4\5\6\7\10\0\11\0\12"), PROXY_FOUND,
            "1.2.3.4", 9 },
        { V2("\x21\x11\0\x0c\1\2\3\4\5\6\7\10\0\11\0"), PROXY_MORE, "", 0 },
        { V2("\x21\x11\0\x0f\1\2\3\4\5\6\7\10\0\11\0\12\1\0\0"), PROXY_FOUND,
            "1.2.3.4", 9 },
        { V2("\x21\x11\0\x0b\1\2\3\4\5\6\7\10\0\11\0"), PROXY_BAD, "", 0 },
        { V2("\x21\x12\0\x0c\1\2\3\4\5\6\7\10\0\11\0\12"), PROXY_BAD, "", 0 },
        { V2("\x20\x00\0\0"), PROXY_LOCAL, "", 0 },
        { V2("\x11\x11\0\0"), PROXY_BAD, "", 0 },
        { V2("\x21\x11\xff\xff"), PROXY_BAD, "", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct proxy_header h;
        const char *wrong;
        char text[SOCK_TEXT_MAX];

        print_message("  %zu\n", i);
        assert_int_equal(proxy_header_parse(cases[i].in, &h, &wrong),
            cases[i].status);
        if (cases[i].status != PROXY_FOUND)
            continue;
        assert_string_equal(sock_addr_text(&h.client, text), cases[i].client);
        assert_int_equal(sock_addr_port(&h.client), cases[i].port);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_proxy_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

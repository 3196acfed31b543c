"""SMTP as a client sees it: every command in every state, limits, log lines.

The expectations are what Postfix 3.7 answers to the same octets.
"""
import re
import time

import contract
import pytest


@pytest.fixture(scope="module")
def mx():
    """One server for all dialogues that change nothing for others."""
    with contract.rig() as rig:
        rig.set(mynetworks="127.0.0.1/32", smtpd_error_sleep_time="0",
                smtpd_recipient_limit="5", message_size_limit="20000",
                smtpd_soft_error_limit="190", smtpd_hard_error_limit="200",
                virtual_alias_domains="va.test",
                virtual_alias_maps=rig.table("va", "info@va.test u3@md.test\n"
                                             "a@loop.test b@loop.test\n"
                                             "b@loop.test a@loop.test\n"),
                relay_domains="relay.test loop.test",
                relay_recipient_maps=rig.table("relays", "known@relay.test x\n"),
                transport_maps=rig.table("routes", "err.test error:5.7.0 closed down\n"
                                         "plain.test error:closed\n"
                                         "mute.test error:\n"
                                         "later.test retry:4.7.0 not now\n"
                                         "soon.test retry:soon\n"),
                relay_transport="discard", default_transport="discard")
        yield rig.start()


def check(rig, replies, prepare=(), source="127.0.0.1"):
    """Each line of replies ("command -> reply") in a session of its own."""
    wrong = []
    for text in replies.strip().splitlines():
        line, want = text.split(" -> ")
        with contract.Wire("127.0.0.1", rig.port, source) as w:
            w.reply()
            for before in prepare:
                assert w(before)[0] == "2"
            got = w(line)
        if got != want:
            wrong.append(f"{line} -> {got}, not {want}")
    assert not wrong, "\n".join(wrong)


def test_hello_and_quit(mx):
    with mx.wire(hello=None) as w:
        assert re.fullmatch(r"220 mx\.test\.example ESMTP \S+", w.banner)
        assert w("HELO client.example") == "250 mx.test.example"
        lines = w("ehlo client.example").split("\n")
        assert lines[0] == "250-mx.test.example"
        assert {"PIPELINING", "SIZE 20000", "VRFY", "ENHANCEDSTATUSCODES",
                "8BITMIME", "DSN"} <= {line[4:] for line in lines[1:]}
        assert w("HELO") == "501 Syntax: HELO hostname"
        assert w("EHLO") == "501 Syntax: EHLO hostname"
        assert w("quit") == "221 2.0.0 Bye"
        assert w.at_end()


def test_commands(mx):
    check(mx, """
RCPT TO:<u1@md.test> -> 503 5.5.1 Error: need MAIL command
DATA -> 503 5.5.1 Error: need RCPT command
NOOP -> 250 2.0.0 Ok
NOOP with words -> 250 2.0.0 Ok
RSET -> 250 2.0.0 Ok
RSET now -> 501 5.5.4 Syntax: RSET
VRFY u1@md.test -> 252 2.0.0 u1@md.test
VRFY <u1@md.test> -> 252 2.0.0 <u1@md.test>
VRFY nobody9@md.test -> 550 5.1.1 <nobody9@md.test>: Recipient address rejected: User unknown in virtual mailbox table
EXPN list -> 500 5.5.2 Error: command not recognized
FOO BAR -> 500 5.5.2 Error: command not recognized
AUTH PLAIN -> 503 5.5.1 Error: authentication not enabled
STARTTLS -> 502 5.5.1 Error: command not implemented
GET / HTTP/1.0 -> 221 2.7.0 Error: I can break rules, too. Goodbye.
 -> 500 5.5.2 Error: bad syntax
""", prepare=["EHLO client.example"])


def test_mail(mx):
    check(mx, """
MAIL -> 501 5.5.4 Syntax: MAIL FROM:<address>
MAIL FROM -> 501 5.5.4 Syntax: MAIL FROM:<address>
MAIL TO:<a@b.example> -> 501 5.5.4 Syntax: MAIL FROM:<address>
MAIL FROM:<a@b.example> BODY=WRONG -> 555 5.5.4 Unsupported option: BODY=WRONG
MAIL FROM:<a@b.example> BODY=8bitmime -> 250 2.1.0 Ok
MAIL FROM:<a@b.example> SIZE=abc -> 501 5.5.4 Bad message size syntax
MAIL FROM:<a@b.example> SIZE=20000 -> 250 2.1.0 Ok
MAIL FROM:<a@b.example> SIZE=20001 -> 552 5.3.4 Message size exceeds fixed limit
MAIL FROM:<a@b.example> NOVEL=1 -> 555 5.5.4 Unsupported option: NOVEL=1
MAIL FROM:<a@b.example> RET=SOME -> 501 5.5.4 Bad RET parameter syntax
MAIL FROM:<a@b.example> RET=full ENVID=x+2By -> 250 2.1.0 Ok
MAIL FROM:<a@b.example> ENVID=+zz -> 501 5.5.4 Bad ENVID parameter syntax
MAIL FROM:<a@b.example -> 501 5.1.7 Bad sender address syntax
MAIL FROM:<a b@c.example> -> 501 5.1.7 Bad sender address syntax
MAIL FROM:<@route,@more:a@b.example> -> 250 2.1.0 Ok
MAIL FROM: <a@b.example> -> 250 2.1.0 Ok
MAIL FROM:a@b.example -> 250 2.1.0 Ok
mail from:<a@b.example> -> 250 2.1.0 Ok
MAIL FROM:<> -> 250 2.1.0 Ok
MAIL FROM:<"a b"@c.example> -> 250 2.1.0 Ok
MAIL FROM:<justlocal> -> 250 2.1.0 Ok
""", prepare=["EHLO client.example"])


SENT = ["EHLO client.example", "MAIL FROM:<a@b.example>"]


def test_rcpt(mx):
    check(mx, """
RCPT -> 501 5.5.4 Syntax: RCPT TO:<address>
RCPT FROM:<u1@md.test> -> 501 5.5.4 Syntax: RCPT TO:<address>
RCPT TO:<> -> 501 5.1.3 Bad recipient address syntax
RCPT TO:<u1@md.test -> 501 5.1.3 Bad recipient address syntax
RCPT TO:<u1@> -> 501 5.1.3 Bad recipient address syntax
RCPT TO:<U1@MD.TEST> -> 250 2.1.5 Ok
RCPT TO: u1@md.test -> 250 2.1.5 Ok
RCPT TO:<"u1"@md.test> -> 250 2.1.5 Ok
RCPT TO:<u1@md.test> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;u1@md.test -> 250 2.1.5 Ok
RCPT TO:<u1@md.test> NOTIFY=NEVER,SUCCESS -> 501 5.5.4 Error: Bad NOTIFY parameter syntax
RCPT TO:<u1@md.test> ORCPT=bogus -> 501 5.5.4 Error: Bad ORCPT parameter syntax
RCPT TO:<u1@md.test> FOO=BAR -> 555 5.5.4 Unsupported option: FOO=BAR
RCPT TO:<nobody9@md.test> -> 550 5.1.1 <nobody9@md.test>: Recipient address rejected: User unknown in virtual mailbox table
RCPT TO:<nobody9@mx.test.example> -> 550 5.1.1 <nobody9@mx.test.example>: Recipient address rejected: User unknown in local recipient table
RCPT TO:<nosuch> -> 550 5.1.1 <nosuch>: Recipient address rejected: User unknown in local recipient table
RCPT TO:<nobody@va.test> -> 550 5.1.1 <nobody@va.test>: Recipient address rejected: User unknown in virtual alias table
RCPT TO:<unknown@relay.test> -> 550 5.1.1 <unknown@relay.test>: Recipient address rejected: User unknown in relay recipient table
RCPT TO:<info@va.test> -> 250 2.1.5 Ok
RCPT TO:<known@relay.test> -> 250 2.1.5 Ok
RCPT TO:<Postmaster@mx.test.example> -> 250 2.1.5 Ok
RCPT TO:<postmaster> -> 250 2.1.5 Ok
RCPT TO:<root> -> 250 2.1.5 Ok
RCPT TO:<root@[127.0.0.1]> -> 250 2.1.5 Ok
RCPT TO:<x@elsewhere.example> -> 250 2.1.5 Ok
RCPT TO:<x@err.test> -> 550 5.7.0 <x@err.test>: Recipient address rejected: closed down
RCPT TO:<x@plain.test> -> 550 5.1.1 <x@plain.test>: Recipient address rejected: closed
RCPT TO:<x@mute.test> -> 550 5.1.1 <x@mute.test>: Recipient address rejected: Address is undeliverable
RCPT TO:<x@later.test> -> 450 4.7.0 <x@later.test>: Recipient address rejected: not now
RCPT TO:<x@soon.test> -> 450 4.1.1 <x@soon.test>: Recipient address rejected: soon
""", prepare=SENT)


def test_rcpt_from_outside(mx):
    check(mx, """
RCPT TO:<u1@md.test> -> 250 2.1.5 Ok
RCPT TO:<known@relay.test> -> 250 2.1.5 Ok
RCPT TO:<postmaster> -> 250 2.1.5 Ok
RCPT TO:<x@elsewhere.example> -> 454 4.7.1 <x@elsewhere.example>: Relay access denied
RCPT TO:<x@[192.0.2.1]> -> 454 4.7.1 <x@[192.0.2.1]>: Relay access denied
RCPT TO:<x%elsewhere.example@mx.test.example> -> 454 4.7.1 <x%elsewhere.example@mx.test.example>: Relay access denied
RCPT TO:<elsewhere.example!x@mx.test.example> -> 454 4.7.1 <elsewhere.example!x@mx.test.example>: Relay access denied
RCPT TO:<@mx.test.example:x@elsewhere.example> -> 454 4.7.1 <x@elsewhere.example>: Relay access denied
RCPT TO:<"x@elsewhere.example"@mx.test.example> -> 454 4.7.1 <x@elsewhere.example@mx.test.example>: Relay access denied
""", prepare=SENT, source="127.0.0.2")


def test_order_of_commands(mx):
    with mx.wire(hello=None) as w:  # without a greeting, as long as none is asked
        assert w.replies("MAIL FROM:<a@b.example>", "MAIL FROM:<c@d.example>",
                         "RCPT TO:<u1@md.test>", "RSET", "RCPT TO:<u1@md.test>") == [
            "250 2.1.0 Ok", "503 5.5.1 Error: nested MAIL command",
            "250 2.1.5 Ok", "250 2.0.0 Ok", "503 5.5.1 Error: need MAIL command"]
    with mx.wire() as w:  # a new EHLO begins anew
        assert w("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok"
        assert w("DATA") == "554 5.5.1 Error: no valid recipients"
        assert w("EHLO client.example").startswith("250-")
        assert w("RCPT TO:<u1@md.test>") == "503 5.5.1 Error: need MAIL command"


def test_transactions(mx):
    with mx.wire() as w:
        first, second = w.mail(), w.mail(["u1@md.test", "u2@md.test"], sender="")
        assert first != second
        assert w("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok"
        assert w("RCPT TO:<u1@md.test>") == "250 2.1.5 Ok"
        assert w("DATA").startswith("354 ")
        w.send("Subject: big\r\n\r\n" + "line of text\r\n" * 2000)
        assert w(".") == "552 5.3.4 Error: message file too big"
        assert w("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok"
        assert w("RCPT TO:<a@loop.test>") == "250 2.1.5 Ok"
        assert w("DATA").startswith("354 ")
        assert w(".") == "451 4.6.0 Alias expansion error"
        assert w("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok"
        assert w("RCPT TO:<u1@md.test>") == "250 2.1.5 Ok"
        assert w("DATA").startswith("354 ")
        w.send("Received: x\r\n" * 51)
        assert w(".") == "554 5.4.0 Error: too many hops"
    with mx.wire() as w:
        assert w("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok"
        answers = w.replies(*[f"RCPT TO:<u{i}@md.test>" for i in range(1, 8)])
        assert answers == ["250 2.1.5 Ok"] * 5 + [
            "452 4.5.3 Error: too many recipients"] * 2
        assert w("DATA").startswith("354 ")
        w.queued(w("\r\nx\r\n."))


def test_pipelining(mx):
    with mx.wire() as w:
        w.send("MAIL FROM:<a@b.example>\r\nRCPT TO:<u1@md.test>\r\n"
               "RCPT TO:<nope@md.test>\r\nDATA\r\n")
        assert [w.reply()[:3] for _ in range(4)] == ["250", "250", "550", "354"]
        w.send("x\r\n.\r\nQUIT\r\n")
        w.queued(w.reply())
        assert w.reply() == "221 2.0.0 Bye" and w.at_end()
    with mx.wire() as w:
        w.send("MAIL FROM:<a@b.example>\r\nRCPT TO:<nope@md.test>\r\nDATA\r\n")
        assert [w.reply() for _ in range(3)][2] == \
            "554 5.5.1 Error: no valid recipients"


def test_log_of_a_session(mx):
    with mx.wire() as w:
        w("MAIL FROM:<log@b.example>")
        w("RCPT TO:<nope@md.test>")
        w("RCPT TO:<u1@md.test>")
        w("RCPT TO:<nope@md.test>")
        w("DATA")
        qid = w.queued(w("."))
        w("FOO")
        w("QUIT")
    refused = (r"reject: RCPT from unknown\[127\.0\.0\.1\]: 550 5\.1\.1 <nope@md\.test>: "
               r"Recipient address rejected: User unknown in virtual mailbox table; "
               r"from=<log@b\.example> to=<nope@md\.test> proto=ESMTP "
               r"helo=<client\.example>$")
    mx.wait_log(r"^\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ postfix/smtpd\[\d+\]: "
                r"connect from unknown\[127\.0\.0\.1\]$")
    mx.wait_log("NOQUEUE: " + refused)
    mx.wait_log(f"{qid}: client=unknown\\[127.0.0.1\\]$")
    mx.wait_log(f"{qid}: " + refused)
    mx.wait_log(r"disconnect from unknown\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=1/3 "
                r"data=1 quit=1 unknown=0/1 commands=5/8$")
    # Who leaves when his mail was taken, without QUIT, is nothing to be told of.
    with mx.wire() as w:
        w.mail()
    mx.wait_log(r"disconnect from unknown\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=1 data=1 commands=4$")
    assert "lost connection after END-OF-MESSAGE" not in mx.log()
    with mx.wire() as w:
        w("MAIL FROM:<a@b.example>")
    mx.wait_log(r"lost connection after MAIL from unknown\[127\.0\.0\.1\]$")
    with mx.wire() as w:
        w("MAIL FROM:<a@b.example>")
        w("RCPT TO:<u1@md.test>")
        w("DATA")
        w.send("unfinished\r\n")
    mx.wait_log(r"lost connection after DATA \(\d+ bytes\) from unknown\[127\.0\.0\.1\]$")


def test_room_for_the_largest_message():
    """One and a half times message_size_limit must be free."""
    with contract.rig() as rig:
        rig.set(message_size_limit="10000000000000").start()
        with rig.wire() as w:
            assert w("MAIL FROM:<a@b.example>") == "452 4.3.1 Insufficient system storage"
        rig.wait_log(r"postfix/smtpd\[\d+\]: warning: not enough free space in mail queue: "
                     r"\d+ bytes < 15000000000000 ")


def test_limits_of_a_session():
    with contract.rig() as rig:
        rig.set(smtpd_hard_error_limit="4", smtpd_soft_error_limit="2",
                smtpd_error_sleep_time="0", smtpd_junk_command_limit="5",
                smtpd_timeout="1s")
        rig.start()
        with rig.wire() as w:
            assert [w("FOO")[:3] for _ in range(4)] == ["500"] * 4
            assert w.reply() == "421 4.7.0 mx.test.example Error: too many errors"
        rig.wait_log(r"too many errors after UNKNOWN from unknown\[127\.0\.0\.1\]$")
        started = time.monotonic()
        with rig.wire() as w:
            assert w("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok"
            assert w.reply() == "421 4.4.2 mx.test.example Error: timeout exceeded"
            assert w.at_end() and time.monotonic() - started > 0.8
        rig.wait_log(r"timeout after MAIL from unknown\[127\.0\.0\.1\]$")

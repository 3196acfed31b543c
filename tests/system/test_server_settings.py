"""Settings of the SMTP server, each with what it changes."""
import re

import pytest
from test_smtpd import Client
from waiting import wait_for

BEGIN = [("EHLO me", "250-"), ("MAIL FROM:<a@b.test>", "250")]
LETTER = [("RCPT TO:<u1@md.test>", "250"), ("DATA", "354"),
          ("Subject: x\r\n\r\nx\r\n.", "250")]


@pytest.fixture
def server(instance):
    return instance.set(smtpd_error_sleep_time="0",
                        smtpd_junk_command_limit="1000",
                        smtpd_authorized_xclient_hosts="127.0.0.1",
                        smtpd_relay_restrictions="reject_unauth_destination",
                        mynetworks="192.0.2.0/24")


def letter(server, *before):
    """One message, as it comes to its mailbox."""
    with Client(server.port) as c:
        c.play(*before, *BEGIN, *LETTER)
    path, = server.wait_maildir("u1")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("value, line", [
    ("yes", "(Authenticated sender: ann)"), ("no", None)])
def test_login_in_received(server, value, line):
    server.set(smtpd_sasl_authenticated_header=value).start()
    text = letter(server, ("XCLIENT LOGIN=ann", "220"))
    assert (line in text) if line else ("ann" not in text)
    assert "with ESMTPA id" in text


def test_hidden_client(server):
    server.set(smtpd_hide_client_session="yes").start()
    received = re.search(r"^Received: by mx\.test\.example \(\w+\) id",
                         letter(server), re.M)
    assert received


@pytest.mark.parametrize("code", ["521", "550"])
def test_code_for_bare_newlines(server, code):
    server.set(smtpd_forbid_bare_newline="reject",
               smtpd_forbid_bare_newline_reject_code=code).start()
    with Client(server.port) as c:
        c.play(*BEGIN, *LETTER[:2])
        c.send("Subject: x\r\n\r\nx\ny\r\n.\r\n")
        assert c.reply().startswith(f"{code} 5.5.2 ")


@pytest.mark.parametrize("value, code", [("yes", "550"), ("no", "250")])
def test_senders_of_ours_are_listed(server, value, code):
    server.set(smtpd_reject_unlisted_sender=value).start()
    with Client(server.port) as c:
        c.play(("EHLO me", "250-"), ("MAIL FROM:<nobody@md.test>", "250"),
               ("RCPT TO:<u1@md.test>", code))


@pytest.mark.parametrize("classes, wanted", [
    ("sendmail, verify", False), ("smtpd", True), ("all", True)])
def test_utf8_that_nobody_announced(server, sink, classes, wanted):
    """The next hop is asked for SMTPUTF8 when the header needs it."""
    hop = sink(replies={"EHLO": "250-sink\r\n250-8BITMIME\r\n250 SMTPUTF8"})
    server.write("transport", f"far.test smtp:[127.0.0.1]:{hop.port}\n")
    server.set(smtputf8_autodetect_classes=classes, relay_domains="far.test")
    server.start()
    with Client(server.port) as c:
        c.play(*BEGIN, ("RCPT TO:<x@far.test>", "250"), ("DATA", "354"))
        c.sock.sendall("Subject: h\u00e4h\r\n\r\nx\r\n.\r\n".encode())
        assert c.reply().startswith("250")
    hop.wait()
    mail, = [line for line in hop.commands if line.startswith("MAIL")]
    assert ("SMTPUTF8" in mail) == wanted


def test_rates(server):
    """Of AUTH by client, of mail by login; exceptions; a unit that passes."""
    server.set(smtpd_client_auth_rate_limit="2",
               smtpd_login_message_rate_limit="1",
               smtpd_client_message_rate_limit="1",
               smtpd_client_event_limit_exceptions="127.0.0.3",
               anvil_rate_time_unit="3s").start()
    with Client(server.port, "127.0.0.2") as c:
        c.play(("EHLO me", "250-"), ("AUTH PLAIN", "503"),
               ("AUTH PLAIN", "503"), ("AUTH PLAIN", "450 4.7.1 Error: too "
                                       "many AUTH commands from 127.0.0.2"))
        c.play(("MAIL FROM:<a@b.test>", "250"), ("RSET", "250"),
               ("MAIL FROM:<a@b.test>", "450 4.7.1 Error: too much mail"))
        wait_for(lambda: c.say("MAIL FROM:<a@b.test>").startswith("250"),
                 step=0.3)
    server.wait_log(r"warning: AUTH command rate limit exceeded: 3 from "
                    r"unknown\[127\.0\.0\.2\] for service ")
    with Client(server.port, "127.0.0.3") as c:
        c.play(("EHLO me", "250-"), *[("AUTH PLAIN", "503")] * 4)
    with Client(server.port) as c:  # a login has a limit wherever it is from
        c.play(("XCLIENT ADDR=192.0.2.7 LOGIN=ann", "220"), *BEGIN,
               ("RSET", "250"), ("MAIL FROM:<c@b.test>",
                                 "450 4.7.1 Error: too much mail from ann"))

"""The SMTP server as RFC 5321 section 4 has it, by transcripts; and what the
admin's tables, limits and commands make of it."""
import re
import socket
import time

import pytest
from waiting import wait_for


class Client:
    """One SMTP connection, from an address of its own."""

    def __init__(self, port, source="127.0.0.1", greeting="220"):
        self.sock = socket.socket()
        self.sock.settimeout(20)
        self.sock.bind((source, 0))
        self.sock.connect(("127.0.0.1", port))
        self.file = self.sock.makefile("rb")
        self.greeting = self.reply()
        assert self.greeting.startswith(greeting), self.greeting

    def reply(self):
        text = ""
        while True:
            line = self.file.readline().decode("latin-1")
            text += line
            if not line or line[3:4] == " ":
                return text

    def send(self, octets):
        self.sock.sendall(octets.encode("latin-1"))

    def say(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def play(self, *steps):
        """Lines with the start of the reply that each shall get."""
        for line, want in steps:
            got = self.say(line)
            assert got.startswith(want), f"{line!r}: {got!r}, not {want!r}"

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# How a session comes to each state of section 4.1.4.
STATES = {
    "connected": [],
    "HELO": [("HELO me", "250")],
    "EHLO": [("EHLO me", "250-")],
    "MAIL": [("EHLO me", "250-"), ("MAIL FROM:<a@b.test>", "250")],
    "RCPT": [("EHLO me", "250-"), ("MAIL FROM:<a@b.test>", "250"),
             ("RCPT TO:<u1@md.test>", "250")],
    "BDAT": [("EHLO me", "250-"), ("MAIL FROM:<a@b.test>", "250"),
             ("RCPT TO:<u1@md.test>", "250"),
             ("BDAT 14\r\nSubject: x\r\n", "250 2.0.0 Ok: 14 bytes")],
    "failed": [("EHLO me", "250-"), ("MAIL FROM:<a@b.test>", "250"),
               ("BDAT 3\r\nx", "554 5.5.1")],
    "binary": [("EHLO me", "250-"),
               ("MAIL FROM:<a@b.test> BODY=BINARYMIME", "250"),
               ("RCPT TO:<u1@md.test>", "250")],
    "sent": [("EHLO me", "250-"), ("MAIL FROM:<a@b.test>", "250"),
             ("RCPT TO:<u1@md.test>", "250"), ("DATA", "354"),
             ("Subject: x\r\n\r\nx\r\n.", "250 2.0.0 Ok: queued as ")],
}
# Each command in each state; what is not named is the same in all of them.
OPEN = ("MAIL", "RCPT", "BDAT", "failed", "binary")  # in a transaction
ILL_TIMED = "554 5.5.0"  # octets behind BDAT, where nothing may be pipelined
ORDER = [
    ("HELO me", {}, "250 mx"),
    ("EHLO me", {}, "250-mx"),
    ("MAIL FROM:<a@b.test>", dict.fromkeys(OPEN, "503 5.5.1"), "250 2.1.0"),
    ("RCPT TO:<u2@md.test>", {"MAIL": "250 2.1.5", "RCPT": "250 2.1.5",
                              "binary": "250 2.1.5"}, "503 5.5.1"),
    ("DATA", {"MAIL": "554 5.5.1", "RCPT": "354 "}, "503 5.5.1"),
    ("BDAT 3\r\nx", {"connected": ILL_TIMED, "HELO": ILL_TIMED,
                     "MAIL": "554 5.5.1", "RCPT": "250 2.0.0 Ok: 3 bytes\r",
                     "binary": "250 2.0.0 Ok: 3 bytes\r",
                     "BDAT": "250 2.0.0 Ok: 3 bytes\r",
                     "failed": "551 5.0.0 Discarded 3 bytes after"},
     "503 5.5.1"),
    ("BDAT 0 LAST", {"MAIL": "554 5.5.1",
                     "RCPT": "250 2.0.0 Ok: 0 bytes queued as ",
                     "binary": "250 2.0.0 Ok: 0 bytes queued as ",
                     "BDAT": "250 2.0.0 Ok: 14 bytes queued as ",
                     "failed": "551 5.0.0 Discarded 0 bytes after"},
     "503 5.5.1"),
    ("RSET", {}, "250 2.0.0"),
    ("NOOP", {}, "250 2.0.0"),
    ("VRFY u1@md.test", {}, "252 2.0.0"),
    ("HELP", {}, "214 2.0.0"),
    ("QUIT", {}, "221 2.0.0"),
    ("STARTTLS", {}, "502 5.5.1"),
    ("AUTH PLAIN AAAA", {}, "503 5.5.1"),
    ("ETRN x.test", dict.fromkeys(OPEN, "503 "), "459"),
    ("XCLIENT ADDR=192.0.2.1", dict.fromkeys(OPEN, "503 5.5.1"), "550 5.7.0"),
    ("XFORWARD ADDR=192.0.2.1", dict.fromkeys(OPEN, "503 5.5.1"), "550 5.7.0"),
    ("EXPN x", {}, "500 5.5.2"),
    ("SEND FROM:<a@b.test>", {}, "500 5.5.2"),
    ("SOML FROM:<a@b.test>", {}, "500 5.5.2"),
    ("SAML FROM:<a@b.test>", {}, "500 5.5.2"),
    ("TURN", {}, "500 5.5.2"),
    ("", {}, "500 5.5.2"),
]
# Where smtpd_helo_required holds, before HELO.
NEEDS_HELO = {"MAIL FROM:<a@b.test>", "ETRN x.test", "AUTH PLAIN AAAA"}
# Syntax errors, after EHLO and, for RCPT and what follows, MAIL.
SYNTAX = [
    ("", "500 5.5.2"), ("FOO", "500 5.5.2"), ("HELO", "501"), ("EHLO ", "501"),
    ("MAIL", "501 5.5.4"), ("MAIL FROM", "501 5.5.4"),
    ("MAIL FROM:", "501 5.5.4"), ("MAIL TO:<a@b>", "501 5.5.4"),
    ("MAIL FROM:<a@b", "501 5.1.7"), ("MAIL FROM:<a@b>x", "501 5.1.7"),
    ("MAIL FROM:<a@b..c>", "501 5.1.7"), ("MAIL FROM:<a b@c>", "501 5.1.7"),
    ("MAIL FROM:<@>", "501 5.1.7"), ("MAIL FROM:<a@b> X", "555 5.5.4"),
    ("MAIL FROM:<a@b> SIZE=x", "501 5.5.4"),
    ("MAIL FROM:<a@b> SIZE=99999999999", "552 5.3.4"),
    ("MAIL FROM:<a@b> BODY=x", "555 5.5.4"),
    ("MAIL FROM:<a@b> BODY=", "555 5.5.4"),
    ("MAIL FROM:<a@b> RET=x", "501 5.5.4"),
    ("MAIL FROM:<a@b> RET=FULL RET=FULL", "501 5.5.4"),
    ("MAIL FROM:<a@b> ENVID=a+0A", "501 5.5.4"),
    ("MAIL FROM:<a@b> ENVID=+4", "501 5.5.4"),
    ("MAIL FROM:<> SIZE=1 BODY=8BITMIME RET=HDRS ENVID=a+2Bb SMTPUTF8",
     "250 2.1.0"),
    ("RSET", "250 2.0.0"),
    ("MAIL FROM:<a@b> BODY", "555 5.5.4"), ("MAIL FROM:<a@b> SIZE", "555 5.5.4"),
    ("MAIL FROM:<a@b> SMTPUTF8=x", "555 5.5.4"),
    ("MAIL FROM:<a@b> REQUIRETLS", "555 5.5.4"),
    ("MAIL FROM:<a@b> ENVID=", "501 5.5.4"),
    ("MAIL FROM:<a@b>SIZE=1", "501 5.1.7"), ("MAIL FROM:<a@b..>", "501 5.1.7"),
    ("MAIL FROM:<a@-b>", "501 5.1.7"),
    ("MAIL FROM:<a@[300.1.1.1]>", "501 5.1.7"),
    ("MAIL FROM:<a\xff@b>", "500 5.5.2"),
    ("MAIL FROM:<@x,@y:a@b>", "250 2.1.0"), ("RSET", "250"),
    ("MAIL FROM:<\"a b\"@c>", "250 2.1.0"), ("RSET", "250"),
    ("MAIL FROM:<a@[192.0.2.1]>", "250 2.1.0"), ("RSET", "250"),
    ("MAIL FROM:<a@[IPv6:2001:db8::1]>", "250 2.1.0"), ("RSET", "250"),
    ("mail from: a@b auth=<>", "250 2.1.0"),
    ("RCPT", "501 5.5.4"), ("RCPT TO:", "501 5.5.4"),
    ("RCPT TO:<\"\">", "501 5.1.3"), ("RCPT TO:<u1@md.test>>", "250 2.1.5"),
    ("RCPT TO:<u1@md.test> NOTIFY=", "501 5.5.4"),
    ("RCPT TO:<u1@md.test> NOTIFY=DELAY NOTIFY=DELAY", "501 5.5.4"),
    ("RCPT TO:<u1@md.test> ORCPT=;x", "501 5.5.4"),
    ("RCPT FROM:<a@b>", "501 5.5.4"), ("RCPT TO:<>", "501 5.1.3"),
    ("RCPT TO:<u1@md.test", "501 5.1.3"),
    ("RCPT TO:<u1@md.test> NOTIFY=x", "501 5.5.4"),
    ("RCPT TO:<u1@md.test> NOTIFY=NEVER,DELAY", "501 5.5.4"),
    ("RCPT TO:<u1@md.test> ORCPT=rfc822", "501 5.5.4"),
    ("RCPT TO:<u1@md.test> ORCPT=rfc822;a+zz", "501 5.5.4"),
    ("RCPT TO:<u1@md.test> X=1", "555 5.5.4"),
    ("RCPT TO:<u1@md.test> NOTIFY=DELAY,FAILURE ORCPT=rfc822;u+2Bx@y",
     "250 2.1.5"),
    ("RCPT TO:<Postmaster>", "250 2.1.5"),
    ("RSET x", "501 5.5.4"), ("DATA x", "501 5.5.4"),
    ("VRFY", "501 5.5.4"), ("VRFY <", "501 5.1.3"), ("ETRN", "503"),
    ("NOOP x y", "250 2.0.0"), ("XFORWARD", "503 5.5.1"),
    ("RSET", "250 2.0.0"), ("ETRN", "500"), ("ETRN a b", "500"),
    ("ETRN @", "501"),
    ("BDAT", "521 5.5.4"),  # the end: where its octets end is not known
]


@pytest.fixture
def server(instance):
    instance.set(smtpd_error_sleep_time="0", smtpd_hard_error_limit="1000",
                 smtpd_junk_command_limit="1000",
                 smtpd_relay_restrictions="permit_mynetworks, "
                 "reject_unauth_destination",
                 mynetworks="127.0.0.1/32")
    return instance


@pytest.mark.parametrize("state", STATES)
def test_commands_in_states(server, state):
    server.start()
    for command, special, usual in ORDER:
        with Client(server.port) as c:
            c.play(*STATES[state])
            c.play((command, special.get(state, usual)))


def test_helo_is_required(server):
    server.set(smtpd_helo_required="yes").start()
    for command, special, usual in ORDER:
        want = special.get("connected", usual)
        if command in NEEDS_HELO:
            want = "503 5.5.1 Error: send HELO/EHLO first"
        with Client(server.port) as c:
            c.play((command, want))


def test_strict_envelopes(server):
    """RFC 5321 section 4.1.2: nothing but a path in brackets."""
    server.set(strict_rfc821_envelopes="yes").start()
    with Client(server.port) as c:
        c.play(("EHLO me", "250-"), ("MAIL FROM:a@b.test", "501 5.1.7"),
               ("MAIL FROM:<a (x) @b.test>", "501 5.1.7"),
               ("MAIL FROM:<a@b.test>", "250"),
               ("RCPT TO:u1@md.test", "501 5.1.3"),
               ("RCPT TO:<u1@md.test>", "250"))


@pytest.mark.parametrize("allowed", ["no", "yes"])
def test_addresses_like_options(server, allowed):
    """allow_min_user: no command is given -x for an address."""
    server.set(allow_min_user=allowed).start()
    sender, recipient = (("250", "250") if allowed == "yes" else
                         ("501 5.1.7", "501 5.1.3"))
    with Client(server.port) as c:
        c.play(("EHLO me", "250-"), ("MAIL FROM:<-x@b.test>", sender),
               ("RSET", "250"), ('MAIL FROM:<"-x"@b.test>', sender),
               ("RSET", "250"), ("MAIL FROM:<a-x@b.test>", "250"),
               ("RCPT TO:<-x@discard.test>", recipient),
               ("RCPT TO:<u-x@discard.test>", "250"))


def test_syntax(server):
    server.start()
    with Client(server.port) as c:
        c.play(("EHLO me", "250-"), *SYNTAX)


@pytest.mark.parametrize("end", [
    "\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r\n\x00.\r\n"])
def test_smuggling_in(server, end):
    """Neither with DATA nor with BDAT does anything but CRLF.CRLF end it."""
    inner = ("MAIL FROM:<evil@b.test>\r\nRCPT TO:<u2@md.test>\r\nDATA\r\n"
             "Subject: smuggled\r\n\r\nx\r\n.\r\n")
    server.set(smtpd_forbid_bare_newline_exclusions="", mynetworks="")
    server.set(smtpd_relay_restrictions="reject_unauth_destination")
    server.start()
    begin = [("EHLO me", "250-"), ("MAIL FROM:<a@b.test>", "250"),
             ("RCPT TO:<u1@md.test>", "250")]
    with Client(server.port) as c:
        c.play(*begin, ("DATA", "354"))
        c.send("Subject: outer\r\n\r\nx" + end + inner)
        assert c.reply().startswith("250 2.0.0 Ok: queued"), end
        c.play(("NOOP", "250 2.0.0 Ok\r\n"))
    with Client(server.port) as c:
        content = "Subject: outer\r\n\r\nx" + end + inner
        c.play(*begin)
        c.send(f"BDAT {len(content)} LAST\r\n{content}")
        assert c.reply().startswith("250 2.0.0 Ok: "), end
        c.play(("NOOP", "250 2.0.0 Ok\r\n"))
    server.wait_log(r": to=<u1@md\.test>.*status=sent", count=2)
    assert "evil@b.test" not in server.log()
    for mail in (server.mail / "u1" / "new").iterdir():
        assert b"\r" not in mail.read_bytes()
    assert not (server.mail / "u2").exists()


def test_tables_and_classes(server):
    server.write("access", "bad.test REJECT no mail from you\n"
                 "hold@b.test HOLD\nfar@b.test REDIRECT u3@md.test\n"
                 "top@b.test PREPEND X-Seen: yes\nclass@b.test strict\n")
    server.set(smtpd_restriction_classes="strict",
               strict="reject_non_fqdn_helo_hostname",
               smtpd_sender_restrictions="check_sender_access "
               f"texthash:{server.conf}/access")
    server.start()
    with Client(server.port, "127.0.0.2") as c:
        c.play(("EHLO me", "250-"), ("MAIL FROM:<a@x.bad.test>", "250"),
               ("RCPT TO:<u1@md.test>", "554 5.7.1 <a@x.bad.test>: Sender "
                "address rejected: no mail from you"), ("RSET", "250"),
               ("MAIL FROM:<class@b.test>", "250"),
               ("RCPT TO:<u1@md.test>", "504 5.5.2 <me>: Helo command "
                "rejected: need fully-qualified hostname"), ("RSET", "250"))
        for sender in ("hold", "far", "top"):
            c.play((f"MAIL FROM:<{sender}@b.test>", "250"),
                   ("RCPT TO:<u1@md.test>", "250"), ("DATA", "354"),
                   ("Subject: x\r\n\r\nx\r\n.", "250"))
    server.wait_log(r": to=<u3@md\.test>.*status=sent")
    server.wait_log(r": to=<u1@md\.test>.*status=sent")
    mail, = (server.mail / "u1" / "new").iterdir()
    assert b"\nX-Seen: yes\nReceived: " in mail.read_bytes()
    assert server.command("mailq").stdout.count("!") == 1


def test_client_limits(server):
    """Over all processes; who has left counts no more; statistics."""
    server.set(smtpd_client_connection_count_limit="3",
               smtpd_client_message_rate_limit="2",
               smtpd_sender_recipient_rate_limit="1",
               anvil_status_update_time="1s", smtpd_processes="2")
    server.start()
    open_ones = [Client(server.port, "127.0.0.2") for _ in range(3)]
    with Client(server.port, "127.0.0.2", "421 4.7.0 ") as c:
        assert "too many connections from 127.0.0.2" in c.greeting
    with Client(server.port, "127.0.0.3"):
        pass
    open_ones[0].close()
    deadline = time.monotonic() + 20
    while True:
        with Client(server.port, "127.0.0.2", "") as c:
            if c.greeting.startswith("220"):
                break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    c = open_ones[1]
    for want in ("250", "250", "450 4.7.1 Error: too much mail from 127.0.0.2"):
        c.play(("EHLO me", "250-"), ("MAIL FROM:<a@b.test>", want))
    c = open_ones[2]
    with Client(server.port) as mine:  # mynetworks: but senders have limits
        mine.play(("EHLO me", "250-"), ("MAIL FROM:<S@b.test>", "250"),
                  ("RCPT TO:<u1@md.test>", "250"),
                  ("RCPT TO:<u2@md.test>", "450 4.7.1 Error: too many "
                   "recipients from s@b.test"))
    for c in open_ones:
        c.close()
    server.wait_log(r"anvil\[\d+\]: statistics: max connection count [34] for "
                    r"\(127\.0\.0\.1:\d+:127\.0\.0\.2\) at ")
    server.wait_log(r"smtpd\[\d+\]: warning: Connection concurrency limit "
                    r"exceeded: 4 from unknown\[127\.0\.0\.2\] for service ")


def test_etrn(server):
    """What is deferred for a site is tried again, and others' is not."""
    server.set(relay_domains="site.test", transport_maps=None,
               default_transport="smtp:[127.0.0.1]:1",
               relay_transport="smtp:[127.0.0.1]:1")
    server.start()
    with Client(server.port) as c:
        for domain in ("site.test", "other.test"):
            c.play(("EHLO me", "250-"), ("MAIL FROM:<a@b.test>", "250"),
                   (f"RCPT TO:<x@{domain}>", "250"), ("DATA", "354"),
                   ("Subject: x\r\n\r\nx\r\n.", "250"))
        # The log says so before qmgr has heard of it: what is active is left alone.
        wait_for(lambda: [e["queue_name"] for e in server.queue()] == 2 * ["deferred"],
                 what="both to be deferred")
        c.play(("ETRN site.test", "250 Queuing started"),
               ("ETRN other.test", "459 <other.test>: service unavailable"))
    server.wait_log(r"to=<x@site\.test>.*status=deferred", count=2)
    assert len(re.findall("to=<x@other.test>.*deferred", server.log())) == 1


def test_xclient_and_proxy(server):
    proxy_port = server.port + 1
    server.set(smtpd_authorized_xclient_hosts="127.0.0.1")
    server.service(f"127.0.0.1:{proxy_port} inet n - n - - smtpd "
                   "-o smtpd_upstream_proxy_protocol=haproxy "
                   "-o smtpd_upstream_proxy_networks=127.0.0.1")
    server.start()
    with Client(server.port) as c:
        c.play(("XCLIENT ADDR=192.0.2.7 NAME=far.test LOGIN=ann", "220"),
               ("EHLO me", "250-"), ("MAIL FROM:<a@b.test>", "250"),
               ("RCPT TO:<u1@md.test>", "250"), ("DATA", "354"),
               ("Subject: x\r\n\r\nx\r\n.", "250"))
    server.wait_log(r"client=far\.test\[192\.0\.2\.7\], sasl_method=XCLIENT, "
                    r"sasl_username=ann$")
    server.wait_log(r": to=<u1@md\.test>.*status=sent")
    mail, = (server.mail / "u1" / "new").iterdir()
    assert b"from me (far.test [192.0.2.7])" in mail.read_bytes()
    assert b" with ESMTPA id " in mail.read_bytes()
    with socket.create_connection(("127.0.0.1", proxy_port)) as s:
        s.sendall(b"PROXY TCP4 192.0.2.9 192.0.2.1 99 25\r\n")
        assert s.recv(1000).startswith(b"220 ")
    server.wait_log(r"connect from unknown\[192\.0\.2\.9\]")
    with Client(proxy_port, "127.0.0.2", "421 4.3.0"):
        pass


def test_explain_session(server):
    server.set(smtpd_client_restrictions="warn_if_reject reject",
               smtpd_recipient_restrictions="check_client_access "
               "inline:{{192.0.2.7=450 4.7.1 later}}")

    def explain(*more):
        return server.command("postern", "explain", "session", "--name",
                              "x.test", "--helo", "h", "--from", "a@b.test",
                              *more, check=False)
    server.start()  # and it is not in our way
    done = explain("--client", "192.0.2.7", "--to", "u1@md.test")
    assert done.returncode == 1
    assert ("decided by: smtpd_recipient_restrictions: check_client_access "
            "inline:{{192.0.2.7=450 4.7.1 later}}\n") in done.stdout
    assert "smtpd_client_restrictions: reject: no opinion\n" in done.stdout
    assert "caches" not in done.stdout  # those are the system's
    done = explain("--client", "192.0.2.8", "--to", "x@other.test")
    assert done.returncode == 1
    assert ("decided by: smtpd_relay_restrictions: reject_unauth_destination\n"
            in done.stdout)
    done = explain("--client", "127.0.0.1", "--to", "x@other.test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert explain("--client", "192.0.2.8").returncode == 64
    assert "NOQUEUE" not in server.log()

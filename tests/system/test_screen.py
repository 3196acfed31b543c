"""Screening before the session: master.cf and main.cf as a site that uses
Postfix's postscreen(8) has them, lists in DNS served by NSD, log lines as
POSTSCREEN_README has them."""
import re
import smtplib
import socket
import time

import pytest

SERVICES = """\
127.0.0.1:{port} inet n - n - 1 postscreen
smtpd     pass  -       -       n       -       -       smtpd
dnsblog   unix  -       -       n       -       0       dnsblog
tlsproxy  unix  -       -       n       -       0       tlsproxy
"""

ZONE = """\
$ORIGIN list.test.
@ 300 IN SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
2.0.0.127.bad A 127.0.0.4
2.0.0.127.worse A 127.0.0.10
3.0.0.127.good A 127.0.0.1
"""

@pytest.fixture
def lists(nsd):
    """The port of a name server that has lists of addresses."""
    return nsd({"list.test": ZONE}).port


@pytest.fixture
def screened(instance):
    """Not started. 127.0.0.1 is no client that is let through unseen."""
    instance.master_cf = instance.master_cf.replace(
        next(line for line in instance.master_cf.splitlines(True)
             if "{port}" in line), SERVICES)
    return instance.set(mynetworks="127.0.0.9", postscreen_greet_wait="1s",
                        smtpd_relay_restrictions="reject_unauth_destination",
                        smtpd_forbid_unauth_pipelining="no")


def connect(instance, source="127.0.0.2"):
    return socket.create_connection(("127.0.0.1", instance.port), 20,
                                    source_address=(source, 0))


def line(sock):
    with sock.makefile("rb", 0) as f:
        return f.readline().decode()


def client(instance, source="127.0.0.2"):
    return smtplib.SMTP("127.0.0.1", instance.port, "client.example", 20,
                        source_address=(source, 0))


def deliver(instance, source="127.0.0.2"):
    with client(instance, source) as smtp:
        smtp.sendmail("a@client.example", ["u1@md.test"], "Subject: x\n\nhi\n")
        return smtp.sock.getsockname() if smtp.sock else None


def refused(instance, source="127.0.0.2"):
    with client(instance, source) as smtp:
        smtp.ehlo()
        smtp.mail("a@client.example")
        return smtp.rcpt("u1@md.test")


def test_new_then_old(screened):
    screened.start()
    began = time.monotonic()
    deliver(screened)
    assert time.monotonic() - began >= 1
    screened.wait_log(r"postfix/postscreen\[\d+\]: CONNECT from "
                      r"\[127\.0\.0\.2\]:\d+ to \[127\.0\.0\.1\]:"
                      rf"{screened.port}$")
    screened.wait_log(r"postfix/postscreen\[\d+\]: PASS NEW "
                      r"\[127\.0\.0\.2\]:\d+$")
    screened.wait_log(r"postfix/smtpd\[\d+\]: connect from "
                      r"unknown\[127\.0\.0\.2\]$")
    began = time.monotonic()
    deliver(screened)
    assert time.monotonic() - began < 1
    screened.wait_log(r"postscreen\[\d+\]: PASS OLD \[127\.0\.0\.2\]:\d+$")
    screened.wait_maildir("u1", 2)


def test_known_after_a_restart(screened):
    screened.start()
    deliver(screened)
    # What is new goes to the file a second later.
    screened.command("postern", "stop")
    screened.start()
    deliver(screened)
    screened.wait_log(r"PASS OLD \[127\.0\.0\.2\]:\d+$")


def test_own_networks(screened):
    screened.start()
    deliver(screened, "127.0.0.9")
    screened.wait_log(r"postscreen\[\d+\]: ALLOWLISTED \[127\.0\.0\.9\]:\d+$")


def test_deny_list(screened):
    access = screened.write("access.cidr", "127.0.0.3 permit\n"
                                           "127.0.0.0/8 reject\n")
    screened.set(postscreen_access_list=f"permit_mynetworks, cidr:{access}",
                 postscreen_denylist_action="drop").start()
    deliver(screened, "127.0.0.3")
    with connect(screened) as sock:
        assert line(sock) == "521 5.3.2 Service currently unavailable\r\n"
        assert sock.recv(1) == b""
    screened.wait_log(r"postscreen\[\d+\]: DENYLISTED \[127\.0\.0\.2\]:\d+$")
    screened.wait_log(r"postscreen\[\d+\]: DISCONNECT \[127\.0\.0\.2\]:\d+$")


def test_pregreet(screened):
    screened.set(postscreen_greet_action="enforce").start()
    with connect(screened) as sock:
        assert line(sock) == "220-mx.test.example ESMTP Postern\r\n"
        sock.sendall(b"HELO x\r\n")
        assert line(sock).startswith("220 ")
        assert line(sock).startswith("250 ")
        sock.sendall(b"MAIL FROM:<a@b>\r\n")
        assert line(sock) == "250 2.1.0 Ok\r\n"
        sock.sendall(b"RCPT TO:<u1@md.test>\r\n")
        assert line(sock) == "550 5.5.1 Protocol error\r\n"
        sock.sendall(b"QUIT\r\n")
        assert line(sock) == "221 2.0.0 Bye\r\n"
    screened.wait_log(r"postscreen\[\d+\]: PREGREET 8 after [0-9.]+ from "
                      r"\[127\.0\.0\.2\]:\d+: HELO x\\r\\n$")
    screened.wait_log(r"postscreen\[\d+\]: NOQUEUE: reject: RCPT from "
                      r"\[127\.0\.0\.2\]:\d+: 550 5\.5\.1 Protocol error; "
                      r"from=<a@b>, to=<u1@md\.test>, proto=SMTP, helo=<x>$")
    assert "smtpd[" not in screened.log()


def test_hang_up(screened):
    screened.start()
    connect(screened).close()
    screened.wait_log(r"postscreen\[\d+\]: HANGUP after [0-9.]+ from "
                      r"\[127\.0\.0\.2\]:\d+ in tests before SMTP handshake$")


def test_lists(screened, lists):
    screened.set(dns_resolvers=f"127.0.0.1@{lists}", dns_trust_ad="yes",
                 postscreen_dnsbl_sites="bad.list.test=127.0.0.[2..8]*1, "
                 "worse.list.test*2 good.list.test*-3",
                 postscreen_dnsbl_threshold="3",
                 postscreen_dnsbl_action="enforce").start()
    code, text = refused(screened)
    assert code == 550
    assert text == (b"5.7.1 Service unavailable; client [127.0.0.2] blocked "
                    b"using worse.list.test")
    screened.wait_log(r"postfix/dnsblog\[\d+\]: addr 127\.0\.0\.2 listed by "
                      r"domain bad\.list\.test as 127\.0\.0\.4$")
    screened.wait_log(r"postscreen\[\d+\]: DNSBL rank 3 for "
                      r"\[127\.0\.0\.2\]:\d+$")
    screened.wait_log(r"NOQUEUE: reject: RCPT from \[127\.0\.0\.2\]:\d+: 550 "
                      r"5\.7\.1 Service unavailable; client \[127\.0\.0\.2\] "
                      r"blocked using worse\.list\.test; "
                      r"from=<a@client\.example>, to=<u1@md\.test>, "
                      r"proto=ESMTP, helo=<client\.example>$")
    deliver(screened, "127.0.0.4")
    screened.wait_log(r"PASS NEW \[127\.0\.0\.4\]:\d+$")


def test_praise(screened, lists):
    screened.set(dns_resolvers=f"127.0.0.1@{lists}", dns_trust_ad="yes",
                 postscreen_dnsbl_sites="good.list.test*-3",
                 postscreen_dnsbl_allowlist_threshold="-2",
                 postscreen_greet_wait="20s").start()
    began = time.monotonic()
    deliver(screened, "127.0.0.3")
    assert time.monotonic() - began < 10
    screened.wait_log(r"PASS NEW \[127\.0\.0\.3\]:\d+$")


def test_after_the_greeting(screened):
    """Who is new delivers all the same, in the same connection."""
    screened.set(postscreen_pipelining_enable="yes",
                 postscreen_non_smtp_command_enable="yes",
                 postscreen_bare_newline_enable="yes",
                 postscreen_bare_newline_action="drop").start()
    deliver(screened)
    screened.wait_log(r"PASS NEW \[127\.0\.0\.2\]:\d+$")
    screened.wait_maildir("u1")
    with connect(screened, "127.0.0.3") as sock:
        line(sock), line(sock)
        sock.sendall(b"HELO x\n")
        assert line(sock) == "521 5.5.1 Protocol error\r\n"
    screened.wait_log(r"postscreen\[\d+\]: BARE NEWLINE from "
                      r"\[127\.0\.0\.3\]:\d+ after CONNECT$")


def test_too_many_connections(screened):
    screened.set(postscreen_client_connection_count_limit="2",
                 postscreen_greet_wait="5s").start()
    held = [connect(screened) for _ in range(2)]
    for sock in held:
        line(sock)
    with connect(screened) as sock:
        assert line(sock) == "421 4.7.0 Error: too many connections\r\n"
    screened.wait_log(r"NOQUEUE: reject: CONNECT from \[127\.0\.0\.2\]:\d+: "
                      r"too many connections$")
    for sock in held:
        sock.close()


def test_needs_a_server(screened):
    screened.master_cf = re.sub(r"(?m)^smtpd .*\n", "", screened.master_cf)
    screened.write_config()
    done = screened.command("postern", "start", check=False)
    assert done.returncode != 0
    assert ('postscreen needs a service "smtpd" of type pass'
            in screened.log() + done.stderr)


def test_stop_does_not_wait(screened):
    """Neither for who is under test nor for who is refused."""
    screened.set(postscreen_greet_wait="60s",
                 postscreen_access_list="cidr:{{127.0.0.3 reject}}",
                 postscreen_denylist_action="enforce").start()
    with connect(screened) as sock:
        assert line(sock).startswith("220-")
        began = time.monotonic()
        screened.command("postern", "stop")
        assert time.monotonic() - began < 5
        assert line(sock).startswith("421 4.3.2 ")

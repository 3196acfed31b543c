"""Behind HAProxy, as Debian has it ("make check-peers" unpacks it), with PROXY v1
and v2: who the client is, by whom it is believed, and health checks."""
import contextlib
import csv
import io
import re
import smtplib
import socket
import time

import pytest
import peers
from waiting import free_port, wait_for

PROXY = "127.0.0.8"  # the address that HAProxy connects from
CONF = """\
global
    stats socket {socket} mode 600 level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout check 2s
frontend mx
    bind 127.0.0.1:{port}
    default_backend postern
backend postern
    {check}
    server here 127.0.0.1:{behind} source {source} {send} {options}
"""
SEND = {"v1": "send-proxy", "v2": "send-proxy-v2"}


class HAProxy(peers.Program):
    def __init__(self, instance, send="v2", options="", check="", source=PROXY):
        program = peers.find("haproxy")
        if not program:
            pytest.skip("haproxy is not here: make check-peers")
        self.port = free_port()
        self.control = instance.base / "haproxy.sock"
        conf = instance.write("haproxy.cfg", CONF.format(
            socket=self.control, port=self.port, behind=instance.port, send=SEND[send],
            options=options, check=check, source=source))
        super().__init__(instance.base, [program, "-db", "-f", conf], "haproxy")
        wait_for(lambda: self.answers() or self.process.poll() is not None, 20, what="HAProxy")
        assert self.process.poll() is None, self.text()

    def answers(self):
        with socket.socket(socket.AF_UNIX) as s:
            return self.control.exists() and s.connect_ex(str(self.control)) == 0

    def status(self):
        """What it thinks of us: "UP", "DOWN"."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.control))
            s.sendall(b"show stat\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        rows = csv.DictReader(io.StringIO(text.lstrip("# ")))
        return next(row for row in rows if row["svname"] == "here")["status"]


@pytest.fixture
def haproxy(instance):
    running = []

    def start(**options):
        running.append(HAProxy(instance, **options))
        return running[-1]
    yield start
    for one in running:
        one.close()


@pytest.fixture
def behind(instance):
    """Not started. Nobody is at home here but 127.0.0.9."""
    return instance.set(
        smtpd_upstream_proxy_protocol="haproxy", smtpd_upstream_proxy_networks=PROXY,
        mynetworks="127.0.0.9",
        smtpd_relay_restrictions="permit_mynetworks, reject_unauth_destination")


def client(port, source="127.0.0.5"):
    return smtplib.SMTP("127.0.0.1", port, "client.example", 20, source_address=(source, 0))


def rcpt(port, source, to="u1@md.test"):
    with client(port, source) as smtp:
        smtp.ehlo()
        assert smtp.mail("a@client.example")[0] == 250
        code, text = smtp.rcpt(to)
        return code, text.decode()


def line(sock):
    with sock.makefile("rb", 0) as f:
        return f.readline().decode()


@pytest.mark.parametrize("send", SEND)
def test_who_the_client_is(behind, haproxy, send):
    """In the log, the header, restrictions and counts it is who connected there."""
    behind.set(smtpd_client_restrictions="check_client_access inline:{{127.0.0.6=REJECT no}}",
               smtpd_client_connection_count_limit="2").start()
    proxy = haproxy(send=send)
    with client(proxy.port) as smtp:
        smtp.sendmail("a@client.example", ["u1@md.test"], "Subject: x\n\nhi\n")
    behind.wait_log(r"smtpd\[\d+\]: connect from unknown\[127\.0\.0\.5\]$")
    behind.wait_log(r": client=unknown\[127\.0\.0\.5\]$")
    assert "(unknown [127.0.0.5])" in behind.message(behind.wait_maildir("u1")[0])["Received"]
    assert rcpt(proxy.port, "127.0.0.6") == (
        554, "5.7.1 <unknown[127.0.0.6]>: Client host rejected: no")
    behind.wait_log(r"NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.6\]: 554 ")
    assert rcpt(proxy.port, "127.0.0.5", "x@far.example")[0] == 554
    assert rcpt(proxy.port, "127.0.0.9", "x@discard.test")[0] == 250
    held = [client(proxy.port, "127.0.0.9") for _ in range(4)]  # mynetworks: no limit
    held += [client(proxy.port, "127.0.0.7") for _ in range(2)]
    with pytest.raises(smtplib.SMTPConnectError) as refused:
        client(proxy.port, "127.0.0.7")
    assert refused.value.smtp_code == 421
    with client(proxy.port, "127.0.0.5"):
        pass
    behind.wait_log(r"Connection concurrency limit exceeded: 3 from unknown\[127\.0\.0\.7\]")
    for one in held:
        one.close()


SCREEN = """\
127.0.0.1:{port} inet n - n - 1 postscreen
smtpd     pass  -       -       n       -       -       smtpd
"""


@pytest.mark.parametrize("send", SEND)
def test_screening(behind, haproxy, send):
    """postscreen's tests and memory are about the client behind the proxy."""
    behind.master_cf = SCREEN + "".join(behind.master_cf.splitlines(True)[1:])
    access = behind.write("access.cidr", "127.0.0.6 reject\n")
    behind.set(postscreen_upstream_proxy_protocol="haproxy", postscreen_greet_wait="1s",
               smtpd_upstream_proxy_protocol="",
               postscreen_access_list=f"permit_mynetworks, cidr:{access}",
               postscreen_denylist_action="drop", postscreen_greet_action="enforce").start()
    proxy = haproxy(send=send)
    began = time.monotonic()
    assert rcpt(proxy.port, "127.0.0.5")[0] == 250
    assert time.monotonic() - began >= 1
    behind.wait_log(r"postscreen\[\d+\]: CONNECT from \[127\.0\.0\.5\]:\d+ to "
                    rf"\[127\.0\.0\.1\]:{proxy.port}$")
    behind.wait_log(r"postscreen\[\d+\]: PASS NEW \[127\.0\.0\.5\]:\d+$")
    began = time.monotonic()
    assert rcpt(proxy.port, "127.0.0.5")[0] == 250
    assert time.monotonic() - began < 1
    behind.wait_log(r"postscreen\[\d+\]: PASS OLD \[127\.0\.0\.5\]:\d+$")
    assert rcpt(proxy.port, "127.0.0.9", "x@discard.test")[0] == 250
    behind.wait_log(r"ALLOWLISTED \[127\.0\.0\.9\]:\d+$")
    with socket.create_connection(("127.0.0.1", proxy.port), 20, ("127.0.0.6", 0)) as sock:
        assert line(sock) == "521 5.3.2 Service currently unavailable\r\n"
    behind.wait_log(r"DENYLISTED \[127\.0\.0\.6\]:\d+$")
    with socket.create_connection(("127.0.0.1", proxy.port), 20, ("127.0.0.7", 0)) as sock:
        assert line(sock).startswith("220-")
        sock.sendall(b"HELO early\r\n")
        assert line(sock).startswith("220 ")
    behind.wait_log(r"PREGREET 12 after [0-9.]+ from \[127\.0\.0\.7\]:\d+: HELO early")


def test_a_stranger_is_not_believed(behind, haproxy):
    """Not from another address, by a proxy's header or without one."""
    behind.start()
    proxy = haproxy(source="127.0.0.10")
    with socket.create_connection(("127.0.0.1", proxy.port), 20) as sock:
        assert line(sock).startswith("421 4.3.0 ")
    behind.wait_log(r"warning: haproxy read: not in smtpd_upstream_proxy_networks: .*"
                    r"from 127\.0\.0\.10$")
    for header in (b"PROXY TCP4 127.0.0.9 127.0.0.1 99 25\r\n", b""):
        with socket.create_connection(("127.0.0.1", behind.port), 20, ("127.0.0.2", 0)) as sock:
            sock.sendall(header)
            assert line(sock).startswith("421 4.3.0 ")
    assert "127.0.0.9" not in behind.log()


def test_with_and_without(behind, haproxy):
    """accept: who is no proxy is himself, and what he says of others is no command."""
    behind.set(smtpd_upstream_proxy_use="accept").start()
    proxy = haproxy()
    assert rcpt(proxy.port, "127.0.0.5")[0] == 250
    assert rcpt(behind.port, "127.0.0.2")[0] == 250
    behind.wait_log(r"connect from unknown\[127\.0\.0\.5\]$")
    behind.wait_log(r"connect from unknown\[127\.0\.0\.2\]$")
    with socket.create_connection(("127.0.0.1", behind.port), 20, ("127.0.0.2", 0)) as sock:
        assert line(sock).startswith("220 ")
        sock.sendall(b"PROXY TCP4 127.0.0.9 127.0.0.1 99 25\r\n")
        assert line(sock).startswith("500 5.5.2 ")
    behind.wait_log(r"disconnect from unknown\[127\.0\.0\.2\]", count=2)
    assert "127.0.0.9" not in behind.log()


CHECKS = {"connect": "", "smtp": "option smtpchk EHLO haproxy.example"}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("send", SEND)
def test_health(behind, haproxy, send, check):
    """Health checks are no warnings, nor clients that hang up: fifty of them leave
    nothing in the log when they say nothing, and it all goes on."""
    behind.start()
    before = behind.pids()
    proxy = haproxy(send=send, options="check inter 50ms fall 2 rise 2", check=CHECKS[check])
    wait_for(lambda: proxy.status() == "UP", 10, what="UP")
    time.sleep(3)
    assert rcpt(proxy.port, "127.0.0.5")[0] == 250
    behind.wait_log(r"disconnect from unknown\[127\.0\.0\.5\]")
    log = behind.log()
    assert not re.search(r"warning|error|fatal|panic|lost connection", log), log[-3000:]
    if check == "connect":
        assert len(re.findall("connect from", log)) == 2, log[-3000:]
    else:
        assert re.search(r"disconnect from unknown\[127\.0\.0\.8\] ehlo=1 quit=1 commands=2$",
                         log, re.M), log[-3000:]
    assert behind.pids() == before
    behind.stop()
    wait_for(lambda: proxy.status() == "DOWN", 10, what="DOWN")
    behind.start()
    wait_for(lambda: proxy.status() == "UP", 10, what="UP again")
    assert rcpt(proxy.port, "127.0.0.5")[0] == 250


@pytest.mark.parametrize("send", SEND)
def test_health_of_screening(behind, haproxy, send):
    behind.master_cf = SCREEN + "".join(behind.master_cf.splitlines(True)[1:])
    behind.set(postscreen_upstream_proxy_protocol="haproxy", postscreen_greet_wait="1s",
               smtpd_upstream_proxy_protocol="", mynetworks=PROXY).start()
    before = behind.pids()
    proxy = haproxy(send=send, options="check inter 50ms fall 2 rise 2")
    wait_for(lambda: proxy.status() == "UP", 10, what="UP")
    time.sleep(3)
    log = behind.log()
    assert not re.search(r"warning|error|fatal|panic|lost connection|HANGUP", log), log[-3000:]
    assert "127.0.0.8" not in log, log[-3000:]
    assert rcpt(proxy.port, "127.0.0.5")[0] == 250
    assert behind.pids() == before


def test_silence(behind):
    """Who is to say whom he speaks for has so long for it, however he spends it."""
    behind.set(smtpd_upstream_proxy_timeout="1s").start()

    def late(send):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", behind.port), 20, (PROXY, 0)) as sock:
            send(sock)
            assert line(sock).startswith("421 4.3.0 ")
        return time.monotonic() - began

    def trickle(sock):
        for octet in b"PROXY TCP4 127":
            with contextlib.suppress(BrokenPipeError):
                sock.sendall(bytes([octet]))
            time.sleep(0.1)
    assert 0.9 <= late(lambda sock: None) < 3
    assert late(trickle) < 4
    behind.wait_log(r"warning: haproxy read: timeout error: .*from 127\.0\.0\.8$", count=2)


def test_many_at_once(behind, haproxy):
    """A hundred connections through it at once, each known by its own address."""
    behind.start()
    proxy = haproxy()
    held = [client(proxy.port, f"127.0.1.{n}") for n in range(1, 101)]
    for smtp in held:
        assert smtp.ehlo()[0] == 250
    for smtp in held:
        smtp.quit()
    behind.wait_log(r"disconnect from unknown\[127\.0\.1\.\d+\]", count=100)
    seen = set(re.findall(r" connect from unknown\[127\.0\.1\.(\d+)\]", behind.log()))
    assert seen == {str(n) for n in range(1, 101)}

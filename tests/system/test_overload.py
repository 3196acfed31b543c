"""More clients than there are sessions, from one address and from many: who is
refused is told so and is in the log, and who is known to be good gets in."""
import re
import resource
import smtplib
import socket
import time

import pytest
from mode import SLOW
from waiting import wait_for

GOOD = "127.0.0.9"
FLOOD = 150
FILES = 100
SCREEN = """\
127.0.0.1:{port} inet n - n - 1 postscreen
smtpd     pass  -       -       n       -       20      smtpd
"""


def connect(instance, source):
    sock = socket.create_connection(("127.0.0.1", instance.port), 30, (source, 0))
    sock.setblocking(False)
    return sock


def read(sock):
    """What has come; None is the end."""
    try:
        return sock.recv(65536) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None


class Flood:
    """Connections that are kept, and what each was told."""

    def __init__(self, instance, sources):
        self.instance = instance
        self.sockets, self.names, self.told, self.ended = [], [], [], set()
        self.come(sources)

    def come(self, sources):
        new = [connect(self.instance, source) for source in sources]
        self.sockets += new
        self.names += [sock.getsockname() for sock in new]
        self.told += [b""] * len(new)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for sock in self.sockets:
            sock.close()

    def look(self):
        for n, sock in enumerate(self.sockets):
            part = b"" if n in self.ended else read(sock)
            if part is None:
                self.ended.add(n)
            else:
                self.told[n] += part
        return self

    def refused(self):
        return [n for n, told in enumerate(self.look().told) if b"421 " in told]

    def wait_refused(self, count):
        try:
            wait_for(lambda: len(self.refused()) >= count, 20)
        except AssertionError:
            raise AssertionError(f"{len(self.refused())} of {count} refused") from None

    def unheard(self):
        """Those that were cut off without a word."""
        return [n for n in self.look().ended if b"421 " not in self.told[n] and
                b"521 " not in self.told[n]]


def serve(instance, source, within=3.0):
    """A message gets in at once."""
    began = time.monotonic()
    with smtplib.SMTP("127.0.0.1", instance.port, "good.example", 30 * SLOW,
                      source_address=(source, 0)) as client:
        client.sendmail("g@good.example", ["u1@md.test"], "Subject: x\n\nhi\n")
    seconds = time.monotonic() - began
    assert seconds < within * SLOW, f"{source} was served after {seconds:.1f} s"


def sources(count, network=3):
    return [f"127.{network}.{n // 250}.{1 + n % 250}" for n in range(count)]


def test_flood_from_one_address(instance):
    """It has its limit, and the log a line for each that is above it."""
    instance.master_cf = instance.master_cf.replace("n - - smtpd", "n - 60 smtpd", 1)
    instance.set(smtpd_client_connection_count_limit="10", mynetworks=GOOD,
                 smtpd_relay_restrictions="reject_unauth_destination").start()
    with Flood(instance, ["127.0.0.2"] * FLOOD) as flood:
        flood.wait_refused(FLOOD - 10)
        serve(instance, "127.0.0.5")
        serve(instance, GOOD)
        assert len(flood.refused()) == FLOOD - 10
        assert not flood.unheard()
        instance.wait_log(r"warning: Connection concurrency limit exceeded: \d+ from "
                          r"unknown\[127\.0\.0\.2\] for service ", count=FLOOD - 10)


def test_flood_of_strangers(instance):
    """Clients that pass the tests and then hold their sessions take all there are,
    except those that are kept for who is known."""
    instance.master_cf = instance.master_cf.replace(
        next(line for line in instance.master_cf.splitlines(True) if "{port}" in line), SCREEN)
    instance.set(mynetworks="127.0.0.8", postscreen_greet_wait="1s", smtpd_timeout="60s",
                 postscreen_pre_queue_limit="40",
                 smtpd_relay_restrictions="reject_unauth_destination").start()
    serve(instance, GOOD, 10)
    instance.wait_log(r"PASS NEW \[127\.0\.0\.9\]")
    with Flood(instance, sources(FLOOD)) as flood:
        waves = 1
        while "has reached its process limit" not in instance.log():
            assert waves < 20
            time.sleep(1.5)  # until those of the last wave have passed
            flood.come(sources(FLOOD, 3 + waves))
            waves += 1
        for _ in range(5):
            serve(instance, GOOD)
            serve(instance, "127.0.0.8")
        flood.wait_refused(waves * FLOOD - 60)
        assert not flood.unheard()
        for n in flood.refused():
            address, port = flood.names[n]
            instance.wait_log(rf"NOQUEUE: reject: CONNECT from \[{re.escape(address)}\]:{port}: "
                              "all screening ports busy$", 5)
    # Nothing of it stays.
    wait_for(lambda: re.search(r"disconnect|DISCONNECT", instance.log()))
    serve(instance, "127.0.0.77", 10)


@pytest.mark.timeout(120)
def test_flood_without_screening(instance):
    """Nobody is refused: who cannot be served waits, and sessions are short."""
    instance.master_cf = instance.master_cf.replace("n - - smtpd", "n - 20 smtpd", 1)
    instance.set(smtpd_timeout="${stress?{1}:{3}}s",
                 smtpd_relay_restrictions="reject_unauth_destination").start()
    with Flood(instance, sources(60)) as flood:
        serve(instance, GOOD, 15)  # behind the others
        flood.wait_refused(60)     # they say nothing
        assert not flood.unheard()
        for address, _ in flood.names:
            instance.wait_log(rf"timeout after CONNECT from unknown\[{re.escape(address)}\]$", 5)


def test_out_of_descriptors(instance):
    """Who cannot be accepted waits, the log says why, and it goes on by itself."""
    instance.set(smtpd_processes="1",
                 smtpd_relay_restrictions="reject_unauth_destination").write_config()
    instance.started = True
    instance.command("postern", "start", preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (FILES, FILES)))
    serve(instance, GOOD)
    with Flood(instance, sources(FILES + 20)) as flood:
        instance.wait_log("warning: accept connection on .*: out of descriptors or memory$")
        assert not flood.unheard()
    serve(instance, GOOD)
    assert not re.search("panic|fatal", instance.log())

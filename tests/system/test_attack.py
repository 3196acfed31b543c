"""A hostile user with a shell, hostile clients and servers: what they get."""
import contextlib
import os
import pwd
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest
from instance import ROOT
from mode import OUT, SLOW
from waiting import wait_for

needs_root = pytest.mark.skipif(not ROOT, reason="needs another user")


def message_number(name):
    """The number of a message on a link."""
    text = (OUT.parent.parent / "lib/ipc/protocol.h").read_text()
    names = re.findall(r"^    X\((\w+),", text, re.M)
    return 1 + names.index(name)


def frame(name, body=b"", number=1):
    return struct.pack("<IHHI", len(body), message_number(name), 0,
                       number) + body


def as_nobody():
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)


class Shell:
    """A process of the user nobody that connects, sends, and tells."""

    def __init__(self, code, *args):
        self.process = subprocess.Popen(
            [sys.executable, "-c", "import socket,sys,time\n" + code,
             *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            preexec_fn=as_nobody)

    def line(self):
        return self.process.stdout.readline().decode().strip()

    def close(self):
        self.process.kill()
        self.process.communicate()


CONNECT_MANY = """
path, count = sys.argv[1], int(sys.argv[2])
held = []
for i in range(count):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    held.append(s)
time.sleep(float(sys.argv[3]))
closed = 0
for s in held:
    s.setblocking(False)
    try:
        closed += s.recv(1) == b""
    except BlockingIOError:
        pass
print(closed, flush=True)
sys.stdin.read()
"""


@needs_root
def test_user_holds_the_queue_managers_socket(running):
    """Some connections of one user, and no more; the admin has his own."""
    shell = Shell(CONNECT_MANY, running.spool / "public/qmgr", 200, 0.5 * SLOW)
    try:
        assert int(shell.line()) == 180
        assert running.queue() == []
        began = time.monotonic()
        running.stop()
        assert time.monotonic() - began < 4 * SLOW
    finally:
        shell.close()


@needs_root
def test_user_holds_the_pickup_socket(running):
    shell = Shell(CONNECT_MANY, running.spool / "public/pickup", 600,
                  0.5 * SLOW)
    try:
        assert int(shell.line()) >= 600 - 2 * 200
        running.command("sendmail", "-f", "a@b.test", "u1@md.test",
                        input="Subject: x\n\nx\n", timeout=20 * SLOW)
        running.wait_maildir("u1")
    finally:
        shell.close()


def test_many_requests_in_one(running):
    """A command asks one thing at a time."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20 * SLOW)
        s.connect(str(running.spool / "public/qmgr"))
        with contextlib.suppress(OSError):
            s.sendall(b"".join(frame("QUEUE_LIST", number=1 + i)
                               for i in range(5000)))
        with contextlib.suppress(OSError):
            while s.recv(65536):
                pass
    running.wait_log(r"link to command dropped: QUEUE_LIST: not in this state")
    assert running.queue() == []


@needs_root
@pytest.mark.parametrize("name", ["QUEUE_EDIT", "QUEUE_CAT"])
def test_user_may_not_edit(running, name):
    running.set(defer_transports="virtual").reload()
    running.send("u1@md.test")
    wait_for(running.queue, what="a message in the queue")
    body = b"\x12\x02\xff\x01"  # ATTR_KIND of a task, to be refused anyway
    shell = Shell("""
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(bytes.fromhex(sys.argv[2]))
print(s.recv(65536).hex(), flush=True)
""", running.spool / "public/qmgr", frame(name, body).hex())
    try:
        answer = bytes.fromhex(shell.line())
    finally:
        shell.close()
    assert b"reserved for the superuser" in answer
    assert len(running.queue()) == 1


# -- SMTP smuggling --------------------------------------------------------

ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0", b"", b"\r\0\n"]
# What some server somewhere has taken for the end of data, and is none.
FALSE_ENDS = [before + b"." + after for before in ENDS for after in ENDS
              if b"\r\n.\r\n" not in before + b"." + after]
SMUGGLED = (b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<u2@md.test>\r\n"
            b"DATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n")


class Raw:
    """A client that says exactly what it is told."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port),
                                             timeout=30 * SLOW)
        self.lines = self.sock.makefile("rb")

    def reply(self):
        while True:
            line = self.lines.readline()
            if line[3:4] != b"-":
                return line

    def say(self, octets, code):
        self.sock.sendall(octets)
        line = self.reply()
        assert line.startswith(code), (octets, line)
        return line

    def begin(self, rcpt=b"u1@md.test", via="DATA"):
        assert self.reply().startswith(b"220")
        self.say(b"EHLO client.example\r\n", b"250")
        body = b" BODY=BINARYMIME" if via == "BINARYMIME" else b""
        self.say(b"MAIL FROM:<a@client.example>" + body + b"\r\n", b"250")
        self.say(b"RCPT TO:<" + rcpt + b">\r\n", b"250")
        if via == "DATA":
            self.say(b"DATA\r\n", b"354")

    def send(self, content, via="DATA"):
        """All in one write, so that commands would be there to be read."""
        self.sock.sendall(content + b"\r\n.\r\n" if via == "DATA" else
                          b"BDAT %d LAST\r\n" % len(content) + content)
        return self.reply()

    def close(self):
        self.sock.close()


WAYS = ["DATA", "BDAT", "BINARYMIME"]


def ends_for_all(end):
    """With smtpd_forbid_bare_newline = no: a line of nothing but a dot."""
    before, after = end.split(b".")
    return before.endswith(b"\n") and after in (b"\n", b"\r\n", b"\n\r")


@pytest.mark.parametrize("via", WAYS)
@pytest.mark.parametrize("mode", ["no", "yes", "normalize", "note", "reject"])
def test_smuggling_in(instance, mode, via):
    """Both public methods: what is no end of data ends nothing."""
    instance.set(mynetworks="192.0.2.0/24", smtpd_forbid_bare_newline=mode,
                 smtpd_relay_restrictions="reject_unauth_destination")
    instance.start()
    kept = 0
    ends = [end for end in FALSE_ENDS if mode != "no" or via != "DATA" or
            not ends_for_all(end)]
    for end in ends:
        client = Raw(instance.port)
        client.begin(via=via)
        kept += client.send(b"Subject: x\r\n\r\nline" + end +
                            SMUGGLED.removesuffix(b"\r\n.\r\n"),
                            via).startswith(b"250")
        client.say(b"QUIT\r\n", b"221")
        client.close()
    assert kept == len(ends) if mode != "reject" else 0 < kept < len(ends)
    instance.wait_maildir("u1", kept)
    instance.wait_empty()
    assert not instance.maildir("u2")
    assert "evil@client.example" not in instance.log()


class RawSink:
    """A server that keeps what comes after DATA, octet by octet."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.messages = []

    def serve(self):
        conn, _ = self.listener.accept()
        conn.settimeout(20 * SLOW)
        with conn, conn.makefile("rb") as lines:
            conn.sendall(b"220 sink\r\n")
            while line := lines.readline():
                verb = line.split()[0].upper()
                if verb == b"QUIT":
                    conn.sendall(b"221 bye\r\n")
                    return
                if verb != b"DATA":
                    conn.sendall(b"250 ok\r\n")
                    continue
                conn.sendall(b"354 go\r\n")
                octets = b"\r\n"
                while not octets.endswith(b"\r\n.\r\n"):
                    octets += lines.read(1)
                self.messages.append(octets[2:])
                conn.sendall(b"250 kept\r\n")

    def close(self):
        self.listener.close()


@pytest.mark.parametrize("how", [*WAYS, "trusted", "sendmail"])
def test_smuggling_out(instance, how):
    """What the next hop gets holds no end but the last, by anybody's rules."""
    sink = RawSink()
    networks = "127.0.0.0/8" if how == "trusted" else "192.0.2.0/24"
    instance.set(mynetworks=networks, smtpd_forbid_bare_newline_exclusions=networks,
                 smtpd_relay_restrictions="permit",
                 smtpd_recipient_restrictions="permit_mynetworks, reject_unauth_destination, permit",
                 relay_domains="out.test", cleanup_replace_stray_cr_lf="no",
                 smtp_connection_cache_on_demand="no")
    instance.write("transport", f"out.test smtp:[127.0.0.1]:{sink.port}\n")
    instance.start()
    try:
        for end in FALSE_ENDS:
            if how == "trusted" and ends_for_all(end):
                continue  # such clients may end their mail like this
            body = b"Subject: x\r\n\r\nline" + end + b"MAIL FROM:<e@x>\r\nlast"
            if how == "sendmail":
                instance.command("sendmail", "-i", "-f", "a@b.test",
                                 "x@out.test", input=body)
            else:
                via = how if how in WAYS else "DATA"
                client = Raw(instance.port)
                client.begin(b"x@out.test", via)
                assert client.send(body, via).startswith(b"250")
                client.close()
            sink.serve()
    finally:
        sink.close()
    for octets in sink.messages:
        content = octets[:-len(b".\r\n")]
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n", content), content
        assert not re.search(rb"\r\n\.\r\n", content), content
        assert content.endswith(b"last\r\n")


# -- Hostile at random, but the same each time ------------------------------

def unharmed(instance):
    log = instance.log()
    assert not re.search(r"killed by signal|exit status|panic:|fatal:", log), (
        log[-5000:])


VERBS = [b"EHLO x", b"HELO y", b"MAIL FROM:<a@b.test>", b"MAIL FROM:<>",
         b"RCPT TO:<u1@md.test>", b"RCPT TO:<u2@md.test> NOTIFY=NEVER",
         b"DATA", b"RSET", b"NOOP", b"VRFY u1@md.test", b"ETRN md.test",
         b"BDAT 10 LAST", b"STARTTLS", b"AUTH PLAIN AAAA", b"XCLIENT A=B",
         b"HELP", b"Subject: x", b"", b".", b"MAIL FROM:<\"a\\\r\"@b>",
         b"RCPT TO:<@a,@b:u1@md.test>", b"MAIL FROM:<a@b> SIZE=1 RET=HDRS "
         b"ENVID=+41 BODY=8BITMIME", b"RCPT TO:<u1@md.test> ORCPT=x+20y;+5A"]


def random_octets(chance):
    return bytes(chance.randrange(256) for _ in range(chance.randrange(40)))


def random_line(chance):
    line = chance.choice(VERBS)
    what = chance.randrange(12)
    if what == 0:
        line = random_octets(chance)
    elif what == 1:
        line += random_octets(chance)
    elif what == 2:
        line = line[:chance.randrange(len(line) + 1)]
    elif what == 3:
        line += b" " + b"x" * chance.choice([500, 2040, 2048, 5000, 70000])
    return line + chance.choice([b"\r\n"] * 8 + [b"\n", b"\r", b"\0\r\n", b""])


def test_random_clients(running):
    chance = random.Random(1)
    running.set(smtpd_error_sleep_time="0", mynetworks="192.0.2.0/24",
                smtpd_relay_restrictions="reject_unauth_destination").reload()
    for _ in range(300):
        octets = b"".join(random_line(chance)
                          for _ in range(chance.randrange(1, 60)))
        with socket.create_connection(("127.0.0.1", running.port),
                                      timeout=20 * SLOW) as s:
            with contextlib.suppress(OSError):
                s.sendall(octets)
                if chance.randrange(3):
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
    running.send("u3@md.test")
    running.wait_maildir("u3")
    running.stop()
    unharmed(running)


REPLIES = [b"220 x", b"250 ok", b"250-x\r\n250 SIZE 10", b"354 go", b"421 bye",
           b"450 4.2.2 later", b"550 5.1.1 no", b"552 too many", b"999 x",
           b"250", b"25", b"", b"250-PIPELINING\r\n250-DSN\r\n250 8BITMIME",
           b"250 2.0.0 \033[2J\xc2\x9b", b"554-a\r\n554-b\r\n450 c", b"\0\0\0",
           b"250-" + b"x" * 5000 + b"\r\n250 y", b"250-a\r\n" * 2000 + b"250 b",
           b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok",
           b"250-SIZE 99999999999999999999999\r\n250 SIZE -1"]
POLITE = {b"EHLO": b"250-x\r\n250-PIPELINING\r\n250 DSN", b"LHLO": b"250 x",
          b"DATA": b"354 go"}


def serve_at_random(listener, chance):
    """Sessions in which replies are not always those that are due."""
    while True:
        try:
            conn, _ = listener.accept()
        except OSError:
            return
        with contextlib.suppress(OSError), conn, conn.makefile("rb") as lines:
            conn.settimeout(2)
            rude = chance.choice([0, 4, 8, 20])
            in_data = False
            conn.sendall(b"220 x\r\n")
            while line := lines.readline():
                if in_data and line != b".\r\n":
                    continue
                verb = line[:4].upper()
                reply = POLITE.get(verb, b"250 2.0.0 ok")
                in_data = verb == b"DATA"
                if rude and chance.randrange(rude) == 0:
                    reply = chance.choice(REPLIES)
                    if chance.randrange(6) == 0:
                        break
                conn.sendall(reply + chance.choice([b"\r\n"] * 9 + [b"\n"]))


@pytest.mark.parametrize("service", ["smtp", "lmtp"])
def test_random_servers(instance, service):
    chance = random.Random(2)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        port = listener.getsockname()[1]
        for _ in range(4):
            threading.Thread(target=serve_at_random, args=(listener, chance),
                             daemon=True).start()
        instance.set(minimal_backoff_time="1s", maximal_backoff_time="1s",
                     queue_run_delay="1s", smtp_mail_timeout="3s",
                     smtp_rcpt_timeout="3s", smtp_helo_timeout="3s",
                     smtp_data_init_timeout="3s", smtp_data_done_timeout="3s",
                     lmtp_mail_timeout="3s", lmtp_rcpt_timeout="3s",
                     lmtp_data_init_timeout="3s", lmtp_data_done_timeout="3s")
        instance.write("transport", f"out.test {service}:[127.0.0.1]:{port}\n"
                       "client.example discard:\n")
        instance.start()
        for i in range(40):
            instance.send([f"{r}.{i}@out.test" for r in range(1 + i % 4)])
        wait_for(lambda: len(re.findall(r"to=<\S+@out\.test>",
                                        instance.log())) >= 100, 60,
                 what="something said of all recipients")
        instance.command("postqueue", "-j")
        for line in instance.command("postqueue", "-p").stdout.splitlines():
            assert "\033" not in line and "\x9b" not in line
        instance.stop()
    unharmed(instance)

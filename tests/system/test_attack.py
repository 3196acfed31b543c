"""A hostile user with a shell, hostile clients and servers: what they get."""
import contextlib
import os
import pwd
import re
import socket
import struct
import subprocess
import sys
import time

import pytest
from conftest import OUT, ROOT, SLOW, wait_for

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

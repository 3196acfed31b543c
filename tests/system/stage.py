"""An instance with an actor in the place of every daemon, and calls to those."""
import contextlib
import os
import pathlib
import pwd
import shutil
import socket

import pytest
from instance import DAEMONS, ROOT, Instance
from mode import OUT, SLOW

ACTOR = OUT / "tests/actor/actor"
needs_root = pytest.mark.skipif(not ROOT, reason="changes the user")

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
qmgr unix n - n 300 1 qmgr
smtp unix - - n - - smtp
local unix - n n - - local
"""


class Call:
    """A connection to an actor's listener, or to a Unix socket."""

    def __init__(self, to, timeout=10.0 * SLOW):
        if isinstance(to, int):
            self.socket = socket.create_connection(("127.0.0.1", to), timeout)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(str(to))
        self.file = self.socket.makefile("rw", newline="\n")

    def greeting(self):
        return self.file.readline().strip()

    def ask(self, line):
        self.file.write(line + "\n")
        self.file.flush()
        return self.file.readline().strip()

    def close(self):
        self.file.close()
        self.socket.close()


@contextlib.contextmanager
def call(to, **kwargs):
    c = Call(to, **kwargs)
    try:
        assert c.greeting() == "hello"
        yield c
    finally:
        c.close()


def ask(to, line):
    with call(to) as c:
        return c.ask(line)


def refused(port, seconds=0.3):
    """Connected, and not greeted."""
    c = Call(port, timeout=seconds)
    try:
        return c.greeting() != "hello"
    except OSError:
        return True
    finally:
        c.close()


class Stage(Instance):
    """An instance whose daemons are actors."""

    def __init__(self, base):
        super().__init__(base)
        self.bin = self.base / "bin"
        self.bin.mkdir()
        shutil.copy(ACTOR, self.bin / "actor")
        for name in DAEMONS - {"master"}:
            (self.bin / name).symlink_to("actor")
        shutil.copy(OUT / "libexec/postern/master", self.bin / "master")
        self.master_cf = MASTER_CF
        self.set(daemon_directory=self.bin)

    def pid_of(self, name):
        return sorted(p for p, n in self.pids().items() if n == name)

    def tell(self, role, what):
        """A file by which the actor of that role is told to misbehave."""
        path = self.data / f"{role}.{what}"
        self.data.mkdir(exist_ok=True)
        path.touch()
        if ROOT:
            owner = pwd.getpwnam("postern")
            os.chown(self.data, owner.pw_uid, owner.pw_gid)
        return path

    def who(self, port=None):
        role, index, pool, pid, service = ask(port or self.port, "who").split()
        assert role == "smtpd"
        return int(index), int(pool), int(pid), service


def gone(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return state.rsplit(")", 1)[1].split()[0] == "Z"


def can_bind(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

"""What the tests of the outside interface share.

They know docs and manuals only: SMTP, the log, mailboxes, and the commands.
As root each instance gets a mount namespace with a private passwd, hosts and
resolv.conf, so that local users and a name server of its own cost the machine
nothing and leave nothing behind.
"""
import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

from instance import ROOT, Instance
from mode import SLOW

USERS = ["alice", "bob", "carol"]
FIRST_UID = 30001


class Rig(Instance):
    """An instance with local users, and commands as one would type them."""

    def __init__(self, base):
        super().__init__(base)
        self.homes = self.base / "home"
        self.holder = None
        self.set(mail_owner="postfix" if ROOT else self.defaults["mail_owner"],
                 smtpd_processes=None, smtp_processes=None,
                 local_processes=None, smtp_dns_support_level=None,
                 smtp_host_lookup=None, transport_maps=None,
                 smtpd_relay_restrictions=None, local_recipient_maps=None,
                 mydestination="$myhostname, localhost",
                 mail_spool_directory=f"{self.base}/spoolmail",
                 message_size_limit="100000")
        for d, mode in ((self.homes, 0o755), (self.base / "spoolmail", 0o1777)):
            d.mkdir()
            d.chmod(mode)
        if ROOT:
            self.private_etc()

    def private_etc(self):
        etc = self.base / "etc"
        etc.mkdir()
        passwd = pathlib.Path("/etc/passwd").read_text()
        group = pathlib.Path("/etc/group").read_text()
        for i, user in enumerate(USERS):
            uid = FIRST_UID + i
            home = self.homes / user
            home.mkdir(mode=0o755)
            os.chown(home, uid, uid)
            passwd += f"{user}:x:{uid}:{uid}:{user.title()} Tester:{home}:/bin/sh\n"
            group += f"{user}:x:{uid}:\n"
        (etc / "passwd").write_text(passwd)
        (etc / "group").write_text(group)
        (etc / "hosts").write_text("127.0.0.1 localhost\n")
        (etc / "resolv.conf").write_text("")
        (etc / "nsswitch.conf").write_text(
            "passwd: files\ngroup: files\nhosts: files dns\n")

    def hold(self):
        """Make the namespace; the process that holds it ends with us."""
        binds = "".join(f"mount --bind {self.base}/etc/{name} /etc/{name}\n"
                        for name in os.listdir(self.base / "etc")
                        if os.path.exists(f"/etc/{name}"))
        self.holder = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-ec",
             binds + "echo up; exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"up\n", "no mount namespace"

    def entry(self):
        """argv prefix that runs a command inside the namespace."""
        if not ROOT:
            return []
        if self.holder is None:
            self.hold()
        return ["nsenter", "-t", str(self.holder.pid), "-m", "--"]

    def argv(self, name, config=True):
        argv = self.entry() + [str(self.prefix / "sbin" / name)]
        if config and name not in ("sendmail", "mailq", "newaliases"):
            argv += ["-c", str(self.conf)]
        return argv

    def run(self, name, *args, input=None, env=None, cwd="/", user=None):
        """Exit status, standard output, standard error of a command."""
        argv = self.argv(name)
        if user:
            argv = self.entry() + ["setpriv", f"--reuid={user}", f"--regid={user}",
                                   "--clear-groups"] + argv[len(self.entry()):]
        if isinstance(input, str):
            input = input.encode()
        done = subprocess.run(
            argv + [str(a) for a in args], input=input or b"", cwd=cwd,
            env=dict(os.environ, MAIL_CONFIG=str(self.conf), **(env or {})),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60 * SLOW)
        return (done.returncode, done.stdout.decode(errors="replace"),
                done.stderr.decode(errors="replace"))

    def command(self, name, *args, check=True, input=None, **kwargs):
        status, out, err = self.run(name, *args, input=input)
        if check and status:
            raise AssertionError(f"{name} {args}: exit {status}\n{out}{err}{self.log()}")
        return subprocess.CompletedProcess(args, status, out, err)

    def out(self, name, *args, **kwargs):
        """Standard output of a command that succeeds."""
        status, out, err = self.run(name, *args, **kwargs)
        assert status == 0, (name, args, status, out, err)
        return out

    def close(self):
        super().close()
        if self.holder:
            self.holder.stdin.close()
            self.holder.wait()

    # -- configuration -----------------------------------------------------

    def table(self, name, text):
        """A texthash: table's name, for a parameter's value."""
        return f"texthash:{self.write(name, text)}"

    def hash(self, name, text, command="postmap"):
        path = self.write(name, text)
        self.out(command, f"hash:{path}")
        return f"hash:{path}"

    # -- mail --------------------------------------------------------------

    def wire(self, port=None, host="127.0.0.1", hello="client.example"):
        wire = Wire(host, port or self.port)
        wire.banner = wire.reply()
        if hello:
            assert wire("EHLO " + hello).startswith("250")
        return wire

    def delivered(self, user="u1", count=1):
        """The octets of the newest message in a virtual user's Maildir."""
        files = self.wait_maildir(user, count)
        return max(files, key=lambda f: f.stat().st_mtime_ns).read_bytes()

    def take(self, user="u1"):
        """The one message of a virtual user's Maildir, taken out of it."""
        files = self.wait_maildir(user)
        assert len(files) == 1, files
        octets = files[0].read_bytes()
        files[0].unlink()
        return octets

    def lines(self, qid, wait="removed"):
        """The log's texts about a queue id, as (tag, text) pairs."""
        if wait:
            self.wait_log(rf"{qid}: {wait}")
        return [(m[1], m[2]) for m in re.finditer(
            rf"^\w{{3}} [ \d]\d \d\d:\d\d:\d\d \S+ (\S+)\[\d+\]: {qid}: (.*)$",
            self.log(), re.M)]


class Wire:
    """An SMTP session by hand: wire("MAIL FROM:<>") is the reply's text."""

    def __init__(self, host, port, source="127.0.0.1"):
        self.socket = socket.create_connection((host, port), 30 * SLOW,
                                               (source, 0))
        self.file = self.socket.makefile("rb")

    def send(self, octets):
        if isinstance(octets, str):
            octets = octets.encode()
        self.socket.sendall(octets)

    def reply(self):
        """The next reply without line ends, continuation lines by newline."""
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                return "\n".join(lines)
            lines.append(line.rstrip(b"\r\n").decode(errors="replace"))
            if line[3:4] != b"-":
                return "\n".join(lines)

    def __call__(self, line):
        self.send(line + "\r\n" if isinstance(line, str) else line + b"\r\n")
        return self.reply()

    def replies(self, *lines):
        return [self(line) for line in lines]

    def mail(self, recipients="u1@md.test", body="Subject: x\r\n\r\nhello\r\n",
             sender="s@client.example"):
        """A whole transaction; the queue id."""
        if isinstance(recipients, str):
            recipients = [recipients]
        for line in [f"MAIL FROM:<{sender}>"] + [f"RCPT TO:<{r}>"
                                                  for r in recipients]:
            answer = self(line)
            assert answer.startswith("250"), (line, answer)
        assert self("DATA").startswith("354")
        self.send(body)
        return self.queued(self("."))

    @staticmethod
    def queued(answer):
        found = re.fullmatch(r"250 2\.0\.0 Ok: queued as ([0-9A-Za-z]+)", answer)
        assert found, answer
        return found.group(1)

    def at_end(self):
        return self.file.read() == b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()


@contextlib.contextmanager
def rig():
    """A rig below a directory of its own, removed afterwards."""
    base = tempfile.mkdtemp(prefix="postern-test-")
    os.chmod(base, 0o755)
    made = Rig(base)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(base, ignore_errors=True)

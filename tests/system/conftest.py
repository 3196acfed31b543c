"""Drive a built Postern from outside: each test has an instance of its own.

An instance is a configuration directory, a spool and a log below one temporary
directory, on ports that the kernel chose. What a test starts it stops; it
signals only processes that it started, by recorded pid.
"""
import contextlib
import email
import os
import pathlib
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import threading
import time

import pytest
from mode import OUT, SANITIZED, SLOW, TOP

ROOT = os.geteuid() == 0

DAEMONS = {"master", "smtpd", "qmgr", "smtp", "local", "bounce", "lookup"}

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
local     unix  - n n - - local
virtual   unix  - n n - - virtual
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


def wait_for(condition, timeout=10.0, step=0.02, what="condition"):
    """The first true value of condition(), polled until the timeout."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"timed out waiting for {what}")
        time.sleep(step)


_ports = set()


def free_port(host="127.0.0.1"):
    """A port that nobody listened on a moment ago, told once per process."""
    while True:
        with socket.socket(socket.AF_INET6 if ":" in host else
                           socket.AF_INET) as s:
            s.bind((host, 0))
            port = s.getsockname()[1]
        # Not from the range that outgoing connections take their ports from.
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
        port = 10000 + (port * 7 + worker * 997) % 20000
        with socket.socket(socket.AF_INET6 if ":" in host else
                           socket.AF_INET) as s:
            try:
                s.bind((host, port))
            except OSError:
                continue
        if port not in _ports:
            _ports.add(port)
            return port


def mail_user():
    """(uid, gid) that mailboxes belong to: ours, or nobody's when root."""
    if not ROOT:
        return os.geteuid(), os.getegid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def ensure_accounts():
    """As root: mail_owner and setgid_group that CONTRACT-like set-ups have."""
    if not ROOT:
        return
    for argv in (["groupadd", "-f", "-r", "postdrop"],
                 ["useradd", "-r", "-M", "-d", "/nonexistent", "-s",
                  "/usr/sbin/nologin", "postern"]):
        subprocess.run(argv, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)


def pytest_collection_modifyitems(config, items):
    """The time that a test may take, from its mark or --timeout, is a release's."""
    for item in items:
        mark = item.get_closest_marker("timeout")
        limit = mark.args[0] if mark else config.getoption("timeout", None)
        if limit and SLOW > 1:
            item.add_marker(pytest.mark.timeout(limit * SLOW), append=False)


@pytest.fixture(scope="session", autouse=True)
def accounts():
    ensure_accounts()


class Instance:
    """One private Postern: configuration, spool, log, processes."""

    def __init__(self, base, prefix=OUT):
        self.base = pathlib.Path(base)
        self.prefix = pathlib.Path(prefix)
        self.conf = self.base / "conf"
        self.spool = self.base / "spool"
        self.data = self.base / "data"
        self.mail = self.base / "mail"
        self.log_file = self.base / "log" / "mail.log"
        self.reports = self.base / "reports"
        self.port = free_port()
        self.settings = {}
        self.master_lines = []
        self.master_cf = MASTER_CF
        self.started = False
        for d in (self.conf, self.mail, self.log_file.parent):
            d.mkdir(mode=0o755, parents=True)
        self.reports.mkdir()
        self.reports.chmod(0o1777)  # daemons run as several users
        uid, gid = mail_user()
        if ROOT:
            os.chown(self.mail, uid, gid)
        self.defaults = {
            "compatibility_level": "3.6",
            "myhostname": "mx.test.example",
            "mydestination": "",
            "local_recipient_maps": "",
            "alias_maps": "",
            "alias_database": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "queue_directory": self.spool,
            "data_directory": self.data,
            "mail_owner": "postern" if ROOT else pwd.getpwuid(os.geteuid()).pw_name,
            "setgid_group": "postdrop",
            "maillog_file": self.log_file,
            "maillog_file_prefixes": self.base,
            "syslog_name": "postfix",
            "smtpd_peername_lookup": "no",
            "smtp_dns_support_level": "disabled",
            "smtp_host_lookup": "native",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_recipient_restrictions": "",
            "virtual_mailbox_domains": "md.test",
            "virtual_mailbox_maps": f"texthash:{self.conf}/vmailbox",
            "virtual_mailbox_base": self.mail,
            "virtual_uid_maps": f"static:{uid}",
            "virtual_gid_maps": f"static:{gid}",
            "virtual_minimum_uid": "1",
            "transport_maps": f"texthash:{self.conf}/transport",
            "smtpd_processes": "2",
            "smtp_processes": "2",
            "local_processes": "1",
        }
        self.write("vmailbox", "".join(
            f"u{i}@md.test u{i}/\n" for i in range(1, 11)))
        self.write("transport", "discard.test discard:\n")

    # -- configuration -----------------------------------------------------

    def write(self, name, text):
        path = self.conf / name
        path.write_text(text)
        return path

    def set(self, **settings):
        """Parameters of main.cf; None removes one."""
        self.settings.update(settings)
        return self

    def service(self, line):
        """One more line of master.cf."""
        self.master_lines.append(line)
        return self

    def write_config(self):
        merged = dict(self.defaults)
        merged.update(self.settings)
        self.write("main.cf", "".join(
            f"{k} = {v}\n" for k, v in merged.items() if v is not None))
        self.write("master.cf", self.master_cf.format(port=self.port) +
                   "".join(line + "\n" for line in self.master_lines))

    # -- commands ----------------------------------------------------------

    def environ(self):
        """Ours, with what tells sanitized programs where to report."""
        env = dict(os.environ, MAIL_CONFIG=str(self.conf))
        if SANITIZED:
            options = (f"log_path={self.reports}/report:log_exe_name=1:"
                       "exitcode=99:handle_abort=1")
            known = self.base / "known"  # where all our users may read
            if not known.exists():
                shutil.copytree(TOP / "tests/sanitizers", known)
            env.update(ASAN_OPTIONS=options,
                       TSAN_OPTIONS=f"{options}:suppressions={known}/tsan:"
                       "print_suppressions=0",
                       UBSAN_OPTIONS=options + ":print_stacktrace=1",
                       LSAN_OPTIONS=f"suppressions={known}/lsan:"
                       "print_suppressions=0")
        return env

    def check_reports(self):
        """Fail if a sanitizer had something to say about any process."""
        texts = {f.name: f.read_text(errors="replace")
                 for f in sorted(self.reports.iterdir())}
        # What LeakSanitizer says when the process is killed meanwhile.
        killed = re.compile(r"(==.*==Unable to get registers from thread .*\n)*")
        texts = {name: text[:8000] for name, text in texts.items()
                 if not killed.fullmatch(text)}
        if texts:
            raise AssertionError("\n".join(
                f"{name}:\n{text}" for name, text in texts.items()) +
                self.log()[-3000:])

    def command(self, name, *args, check=True, **kwargs):
        """Run a command of sbin/ with this configuration."""
        argv = [str(self.prefix / "sbin" / name)]
        if name not in ("sendmail", "mailq", "newaliases"):
            argv += ["-c", str(self.conf)]
        argv += [str(a) for a in args]
        kwargs.setdefault("timeout", 60 * SLOW)
        if "input" in kwargs and isinstance(kwargs["input"], str):
            kwargs["input"] = kwargs["input"].encode()
        elif "input" not in kwargs:
            kwargs["stdin"] = subprocess.DEVNULL
        done = subprocess.run(argv, env=self.environ(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, **kwargs)
        done.stdout = done.stdout.decode(errors="replace")
        done.stderr = done.stderr.decode(errors="replace")
        if check and done.returncode:
            raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}{self.log()}")
        return done

    def start(self, write=True):
        if write:
            self.write_config()
        self.started = True
        self.command("postern", "start")
        return self

    def stop(self, check=True):
        done = self.command("postern", "stop", check=check)
        self.started = False
        return done

    def reload(self):
        self.write_config()
        return self.command("postern", "reload")

    def close(self):
        if self.started:
            self.command("postern", "stop", check=False)
        for pid in self.pids():  # what a failed stop left behind
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    # -- looking at it -----------------------------------------------------

    def pids(self):
        """{pid: program} of this instance: its master and who came from it.

        Of daemons, which cannot be dumped, /proc shows their own user little
        more than command lines and parents; root sees whose orphans are ours.
        """
        ours = f"MAIL_CONFIG={self.conf}".encode()
        parents, programs, found = {}, {}, set()
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError):
                argv = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes()
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
                argv = argv.decode(errors="replace").split("\0")
                fields = stat.rsplit(")", 1)[1].split()
                if fields[0] == "Z" or not argv[0]:
                    continue
                pid, parents[int(entry)] = int(entry), int(fields[1])
                programs[pid] = os.path.basename(argv[0])
                if programs[pid] == "master" and str(self.conf) in argv:
                    found.add(pid)
                elif (programs[pid] in DAEMONS and ours in pathlib.Path(
                        f"/proc/{entry}/environ").read_bytes().split(b"\0")):
                    found.add(pid)
        while True:
            more = {pid for pid, parent in parents.items()
                    if parent in found and pid not in found}
            if not more:
                return {pid: programs[pid] for pid in sorted(found)}
            found |= more

    def log(self):
        return (self.log_file.read_text(errors="replace")
                if self.log_file.exists() else "")

    def wait_log(self, pattern, timeout=10.0, count=1):
        """Wait until count lines match; the last match."""
        regex = re.compile(pattern, re.M)

        def matches():
            found = list(regex.finditer(self.log()))
            return found if len(found) >= count else None
        try:
            return wait_for(matches, timeout)[-1]
        except AssertionError:
            raise AssertionError(f"log has no {count} x {pattern!r}:\n"
                                 f"{self.log()[-6000:]}") from None

    def queue(self):
        """The entries of postqueue -j."""
        import json
        return [json.loads(line) for line in
                self.command("postqueue", "-j").stdout.splitlines()]

    def wait_empty(self, timeout=20.0):
        wait_for(lambda: not self.queue(), timeout, what="empty queue")

    # -- mail --------------------------------------------------------------

    def smtp(self, **kwargs):
        kwargs.setdefault("timeout", 30 * SLOW)
        return smtplib.SMTP("127.0.0.1", self.port,
                            local_hostname="client.example", **kwargs)

    def send(self, recipients="u1@md.test", body="Subject: test\r\n\r\nhello\r\n",
             sender="sender@client.example", **options):
        """Send one message; the queue id from the reply."""
        if isinstance(recipients, str):
            recipients = [recipients]
        with self.smtp() as client:
            client.ehlo()
            self.must(client.mail(sender, options.get("mail", [])), 250)
            for rcpt in recipients:
                self.must(client.rcpt(rcpt, options.get("rcpt", [])), 250)
            code, text = client.data(body)
            self.must((code, text), 250)
        return re.search(rb"queued as (\w+)", text).group(1).decode()

    @staticmethod
    def must(reply, code):
        assert reply[0] == code, reply

    def maildir(self, user):
        """Files in new/ of a virtual user's Maildir."""
        directory = self.mail / user / "new"
        return sorted(directory.iterdir()) if directory.exists() else []

    def wait_maildir(self, user, count=1, timeout=20.0):
        try:
            return wait_for(lambda: (files := self.maildir(user)) and
                            len(files) >= count and files, timeout)
        except AssertionError:
            raise AssertionError(
                f"{user} has {len(self.maildir(user))} of {count} messages\n"
                f"{self.log()[-6000:]}") from None

    def message(self, path):
        return email.message_from_bytes(pathlib.Path(path).read_bytes())


@contextlib.contextmanager
def temporary(make):
    """What make (an Instance class) makes of a new directory, for a while."""
    base = tempfile.mkdtemp(prefix="postern-test-")
    os.chmod(base, 0o755)
    made = make(base)
    try:
        yield made
        made.close()
        made.check_reports()
    finally:
        made.close()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def instance():
    """An instance that is configured but not started."""
    with temporary(Instance) as made:
        yield made


@pytest.fixture
def running(instance):
    """An instance that is up."""
    return instance.start()


class Sink:
    """An SMTP server that keeps what it is given, and can be told to refuse.

    A double for what no real peer can be made to do: chosen replies at chosen
    stages, slowness, closed connections. replies maps a verb (or "CONNECT",
    "DOT") to a reply, or to a function of the session that returns one.
    """

    def __init__(self, host="127.0.0.1", replies=None, lmtp=False, port=0):
        self.replies = replies or {}
        self.lmtp = lmtp
        self.messages = []   # (sender, [recipients], octets, session number)
        self.times = []      # when each came
        self.commands = []
        self.sessions = 0
        self.lock = threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port or free_port(host)))
        self.listener.listen(200)
        self.host, self.port = self.listener.getsockname()
        self.threads = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,),
                             daemon=True).start()

    def _reply(self, verb, default, session):
        reply = self.replies.get(verb, default)
        return reply(session) if callable(reply) else reply

    def _serve(self, conn):
        with self.lock:
            self.sessions += 1
            session = {"number": self.sessions, "sender": None, "rcpts": []}
        with contextlib.suppress(OSError), conn, conn.makefile("rb") as lines:
            def say(text):
                if text is None:
                    raise OSError("told to hang up")
                conn.sendall(text.encode() + b"\r\n")
            say(self._reply("CONNECT", "220 sink ESMTP", session))
            while True:
                line = lines.readline()
                if not line:
                    return
                text = line.rstrip(b"\r\n").decode(errors="replace")
                with self.lock:
                    self.commands.append(text)
                verb = text.split(" ")[0].split(":")[0].upper()
                session["line"] = text
                if verb in ("EHLO", "LHLO", "HELO"):
                    say(self._reply(verb, "250-sink\r\n250-PIPELINING\r\n"
                                    "250-8BITMIME\r\n250-DSN\r\n"
                                    "250-ENHANCEDSTATUSCODES\r\n"
                                    "250 SIZE 0", session))
                elif verb == "MAIL":
                    reply = self._reply(verb, "250 2.1.0 Ok", session)
                    if reply and reply[0] == "2":
                        session["sender"] = re.search(r"<(.*?)>", text).group(1)
                        session["rcpts"] = []
                    say(reply)
                elif verb == "RCPT":
                    reply = self._reply(verb, "250 2.1.5 Ok", session)
                    if reply and reply[0] == "2":
                        session["rcpts"].append(
                            re.search(r"<(.*?)>", text).group(1))
                    say(reply)
                elif verb == "DATA":
                    reply = self._reply(verb, "354 go on" if session["rcpts"]
                                        else "554 5.5.1 no recipients", session)
                    say(reply)
                    if reply[0] == "3":
                        self._data(lines, say, session)
                elif verb == "QUIT":
                    say("221 2.0.0 Bye")
                    return
                else:
                    say(self._reply(verb, "250 2.0.0 Ok", session))

    def _data(self, lines, say, session):
        octets = []
        while True:
            line = lines.readline()
            if not line:
                return
            if line == b".\r\n":
                break
            octets.append(line[1:] if line.startswith(b".") else line)
        count = len(session["rcpts"]) if self.lmtp else 1
        for i in range(count):
            session["rcpt"] = session["rcpts"][i]
            reply = self._reply("DOT", "250 2.0.0 Ok: kept", session)
            if reply and reply[0] == "2":
                rcpts = ([session["rcpts"][i]] if self.lmtp
                         else list(session["rcpts"]))
                with self.lock:
                    self.messages.append((session["sender"], rcpts,
                                          b"".join(octets), session["number"]))
                    self.times.append(time.time())
            say(reply)

    def wait(self, count=1, timeout=20.0):
        wait_for(lambda: len(self.messages) >= count, timeout,
                 what=f"{count} messages at the sink, has {len(self.messages)}")
        return self.messages

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def sink():
    """A factory of sinks: sink(replies={...}, lmtp=False, host=...)."""
    made = []

    def make(**kwargs):
        made.append(Sink(**kwargs))
        return made[-1]
    yield make
    for one in made:
        one.close()

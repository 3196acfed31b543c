"""master and lib/daemon, with an actor in the place of every daemon."""
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time

import pytest
from conftest import (DAEMONS, OUT, ROOT, SLOW, Instance, free_port,
                      temporary, wait_for)

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


@pytest.fixture
def stage():
    with temporary(Stage) as made:
        yield made


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


def test_start_status_stop(stage):
    assert stage.command("postern", "status", check=False, ).returncode != 0
    stage.write_config()
    assert stage.command("postern", "stop", check=False).returncode != 0
    stage.start()
    assert stage.command("postern", "status").returncode == 0
    assert stage.who()[3] == f"127.0.0.1:{stage.port}"
    assert sorted(stage.pids().values()) == sorted(
        ["master", "smtpd", "smtpd", "smtp", "smtp", "qmgr", "local", "bounce",
         "lookup"])
    again = stage.command("postern", "start", check=False)
    assert again.returncode != 0 and "already running" in again.stderr
    assert ask(stage.port, "lease 4") == "8"  # the first one is unharmed

    pids = list(stage.pids())
    stage.stop()
    assert all(gone(pid) for pid in pids)
    assert can_bind(stage.port)
    assert stage.command("postern", "status", check=False).returncode != 0
    stage.wait_log(r"postfix/postfix-script\[\d+\]: starting the Postern")
    stage.wait_log(r"postfix/master\[\d+\]: daemon started -- version \S+, "
                   rf"configuration {stage.conf}$")
    stage.wait_log(r"postfix/master\[\d+\]: terminating on signal 15")
    assert "warning" not in stage.log() and "fatal: a" not in stage.log()
    stage.start()
    assert ask(stage.port, "lease 5") == "10"


def test_links(stage):
    stage.set(smtpd_processes="3", smtp_processes="4").start()
    for _ in range(10):
        with call(stage.port) as c:
            assert c.ask("peers qmgr") == "1"
            assert c.ask("peers lookup") == "1"
            assert c.ask("peers smtp") == "0"  # not its to talk to
    with call(stage.spool / "public/qmgr") as c:
        assert c.ask("who").startswith("qmgr 0 1 ")
        assert c.ask("who").endswith(" public/qmgr")
        for role, count in (("smtpd", 3), ("smtp", 4), ("local", 1),
                            ("bounce", 1), ("lookup", 1)):
            assert c.ask(f"peers {role}") == str(count)
    assert ask(stage.spool / "public/smtp", "who").startswith("smtpd ")
    assert ask(stage.spool / "public/pickup", "who").startswith("smtpd ")


def test_killed_daemons_are_replaced_and_linked(stage):
    stage.start()
    for round_ in range(3):
        for name in sorted(DAEMONS - {"master"}):
            before = stage.pid_of(name)
            os.kill(before[0], signal.SIGKILL)
            wait_for(lambda: len(stage.pid_of(name)) == len(before) and
                     before[0] not in stage.pid_of(name), what=name)
            stage.wait_log(rf"master\[\d+\]: warning: process \S+/{name} pid "
                           rf"{before[0]} killed by signal 9")
    # Everybody knows everybody again.
    for role, count in (("smtpd", 2), ("smtp", 2), ("local", 1), ("bounce", 1),
                        ("lookup", 1)):
        wait_for(lambda: ask(stage.spool / "public/qmgr",
                             f"peers {role}") == str(count), what=role)
    assert ask(stage.port, "lease 7") == "14"


def test_request_waits_for_the_next_qmgr(stage):
    stage.start()
    with call(stage.port) as c:
        for n in range(5):
            os.kill(stage.pid_of("qmgr")[0], signal.SIGKILL)
            assert c.ask(f"lease {n}") == str(2 * n)


def test_all_daemons_killed(stage):
    stage.start()
    for pid, name in stage.pids().items():
        if name != "master":
            os.kill(pid, signal.SIGKILL)

    def serving():
        try:
            return ask(stage.port, "lease 3") == "6"
        except OSError:
            return False
    wait_for(serving, 5)
    wait_for(lambda: len(stage.pids()) == 9, 5)


def test_master_killed(stage):
    stage.start()
    for _ in range(3):
        old = stage.pids()
        os.kill(stage.pid_of("master")[0], signal.SIGKILL)
        began = time.monotonic()
        stage.command("postern", "stop", check=False)
        stage.command("postern", "start")
        assert ask(stage.port, "lease 3") == "6"
        assert time.monotonic() - began < 2 * SLOW
        assert not set(old) & set(stage.pids())


def test_hung_daemon_does_not_survive_master(stage):
    stage.start()
    c = Call(stage.port)
    c.file.write("hang\n")
    c.file.flush()
    pids = list(stage.pids())
    time.sleep(0.1)
    os.kill(stage.pid_of("master")[0], signal.SIGKILL)
    wait_for(lambda: all(gone(pid) for pid in pids))
    c.close()


def test_start_fails_when_a_daemon_keeps_dying(stage):
    stage.tell("bounce", "die")
    stage.write_config()
    done = stage.command("postern", "start", check=False)
    assert done.returncode != 0
    assert "bounce: exit status 7" in done.stderr
    assert not stage.pids()
    assert "bad command startup -- throttling" in stage.log()


def test_throttling_and_recovery(stage):
    stage.start()
    told = stage.tell("lookup", "die")
    os.kill(stage.pid_of("lookup")[0], signal.SIGKILL)
    stage.wait_log(r"lookup pid \d+ exit status 7", count=4)
    stage.wait_log(r"lookup: bad command startup -- throttling", count=3)
    deaths = stage.log().count("exit status 7")
    time.sleep(0.5)  # throttled: far fewer than could be
    assert stage.log().count("exit status 7") - deaths < 10
    told.unlink()
    wait_for(lambda: ask(stage.port, "peers lookup") == "1", 10)


def test_refused_configuration(stage):
    told = stage.tell("smtp", "refuse")
    stage.write_config()
    done = stage.command("postern", "start", check=False)
    assert done.returncode != 0 and "told to refuse" in done.stderr
    assert not stage.pids()
    told.unlink()
    stage.start()
    told = stage.tell("smtp", "refuse")
    done = stage.command("postern", "reload", check=False)
    assert done.returncode != 0 and "told to refuse" in done.stderr
    assert ask(stage.port, "lease 1") == "2"


@pytest.mark.parametrize("file, text, message", [
    ("main.cf", "smtpd_timeout = many\n", "main.cf"),
    ("main.cf", "what is this\n", "main.cf"),
    ("master.cf", "too few\n", "master.cf"),
    ("master.cf", "no-such-port inet n - n - - smtpd\n", "no-such-port"),
])
def test_bad_configuration(stage, file, text, message):
    stage.write_config()
    good = (stage.conf / file).read_text()
    (stage.conf / file).write_text(good + text)
    done = stage.command("postern", "start", check=False)
    assert done.returncode != 0 and message in done.stderr + stage.log()
    assert not stage.pids()

    (stage.conf / file).write_text(good)
    stage.start(write=False)
    pids = set(stage.pids())
    (stage.conf / file).write_text(good + text)
    done = stage.command("postern", "reload", check=False)
    assert done.returncode != 0 and message in done.stderr
    assert ask(stage.port, "lease 1") == "2"
    assert set(stage.pids()) == pids
    (stage.conf / file).write_text(good)  # for the stop


def test_reload(stage):
    more, other = free_port(), free_port()
    stage.service(f"127.0.0.1:{other} inet n - n - - smtpd "
                  "-o smtpd_banner=first")
    stage.start()
    stage.wait_log("woken for pickup")
    with call(other) as old:
        assert old.ask("value smtpd_banner") == "first"
        stage.master_lines = [
            f"127.0.0.1:{other} inet n - n - - smtpd -o smtpd_banner=second",
            f"127.0.0.1:{more} inet n - n - - smtpd -o smtpd_banner=third"]
        stage.set(smtp_processes="4", smtpd_processes="3")
        stage.reload()
        assert old.ask("value smtpd_banner") == "first"
        assert ask(other, "value smtpd_banner") == "second"
        assert ask(more, "value smtpd_banner") == "third"
    wait_for(lambda: len(stage.pid_of("smtp")) == 4)
    assert len(stage.pid_of("smtpd")) == 3
    stage.wait_log(r"master\[\d+\]: reload -- version")

    # What is gone closes, also when the pool gets smaller at the same time.
    stage.master_lines = stage.master_lines[1:]
    stage.set(smtp_processes="1", smtpd_processes="1")
    stage.reload()
    wait_for(lambda: can_bind(other), what="closed listener")
    wait_for(lambda: len(stage.pid_of("smtpd")) == 1)
    wait_for(lambda: len(stage.pid_of("smtp")) == 1)
    assert stage.who(more)[1] == 1
    assert "killed by signal" not in stage.log()
    # By signal as well.
    stage.set(smtp_processes="2").write_config()
    os.kill(stage.pid_of("master")[0], signal.SIGHUP)
    wait_for(lambda: len(stage.pid_of("smtp")) == 2)


def test_reload_under_load(stage):
    """No connection is refused or dropped by reloads."""
    stage.start()
    end = time.monotonic() + 2
    n = 0
    while time.monotonic() < end:
        if n % 20 == 0:
            stage.set(smtpd_processes=str(1 + n // 20 % 3)).reload()
        assert ask(stage.port, f"lease {n}") == str(2 * n)
        n += 1


def test_reload_cannot_change_the_queue_directory(stage):
    stage.start()
    stage.set(queue_directory=stage.base / "elsewhere").write_config()
    # The command finds no master there: by signal.
    os.kill(stage.pid_of("master")[0], signal.SIGHUP)
    stage.wait_log("reload failed: queue_directory has changed")
    stage.set(queue_directory=stage.spool).write_config()


def refused(port, seconds=0.3):
    """Connected, and not greeted."""
    c = Call(port, timeout=seconds)
    try:
        return c.greeting() != "hello"
    except OSError:
        return True
    finally:
        c.close()


def test_maxproc(stage):
    """Sessions at the same time, over all processes of the pool."""
    one, two = free_port(), free_port()
    stage.service(f"127.0.0.1:{one} inet n - n - 1 smtpd")
    stage.service(f"127.0.0.1:{two} inet n - n - 2 smtpd")
    stage.set(smtpd_processes="4").start()
    for _ in range(20):  # one after the other: all are served
        assert stage.who(one)[3] == f"127.0.0.1:{one}"
    with call(one) as c:
        assert refused(one)
        with call(two), call(two):
            assert refused(two)
            assert ask(stage.port, "lease 1") == "2"  # the others are free
        holder = int(c.ask("who").split()[3])
    assert stage.who(one)

    # The slot of a killed process is free again.
    c = Call(one)
    assert c.greeting() == "hello"
    holder = int(c.ask("who").split()[3])
    os.kill(holder, signal.SIGKILL)
    wait_for(lambda: not refused(one, 1))
    c.close()

    # A reload changes the limit of a service that runs.
    stage.master_lines[0] = f"127.0.0.1:{one} inet n - n - 3 smtpd"
    stage.reload()
    with call(one), call(one), call(one):
        assert refused(one)


def test_maxproc_one_many_clients(stage):
    """Never two at a time, and none is forgotten."""
    one = free_port()
    stage.service(f"127.0.0.1:{one} inet n - n - 1 smtpd")
    stage.set(smtpd_processes="4").start()
    calls = [Call(one) for _ in range(30)]
    served = 0
    while calls:
        greeted = []
        for c in calls:
            c.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                if c.socket.recv(10):
                    greeted.append(c)
        assert len(greeted) <= 1
        for c in greeted:
            c.close()
            calls.remove(c)
            served += 1
        time.sleep(0.002)
    assert served == 30


def test_default_process_limit(stage):
    stage.set(default_process_limit="2").start()
    with call(stage.port), call(stage.port):
        assert refused(stage.port)


def test_profiles_do_not_multiply_processes(stage):
    ports = [free_port() for _ in range(20)]
    for port in ports:
        stage.service(f"127.0.0.1:{port} inet n - n - - smtpd "
                      f"-o smtpd_banner=b{port}")
    for i in range(200):
        stage.service(f"slow{i} unix - - n - 1 smtp -o smtp_helo_name=h{i}")
    stage.start()
    assert len(stage.pids()) == 9
    for port in ports:
        assert ask(port, "value smtpd_banner") == f"b{port}"


def test_stop_with_sessions(stage):
    stage.start()
    calls = [Call(stage.port) for _ in range(20)]
    assert all(c.greeting() == "hello" for c in calls)
    began = time.monotonic()
    stage.stop()
    assert time.monotonic() - began < 2 * SLOW
    for c in calls:
        c.close()


def test_stop_ends_hung_daemons(stage):
    stage.start()
    stage.tell("smtp", "hang")
    stage.tell("qmgr", "hang")
    began = time.monotonic()
    stage.stop()
    assert not stage.pids()
    assert time.monotonic() - began < 30 * SLOW
    for name in ("qmgr", "smtp"):
        stage.wait_log(rf"warning: process \S+/{name} pid \d+ does not end")


def test_abort(stage):
    stage.start()
    stage.tell("smtpd", "hang")
    began = time.monotonic()
    stage.command("postern", "abort")
    assert time.monotonic() - began < 3 * SLOW
    assert not stage.pids() and can_bind(stage.port)
    assert "warning" not in stage.log()


def test_stop_while_starting(stage):
    stage.tell("smtp", "die")  # it will not get ready by itself
    stage.write_config()
    start = subprocess.Popen([stage.prefix / "sbin/postern", "-c", stage.conf,
                              "start"], stderr=subprocess.PIPE)
    stage.wait_log("daemon started")
    stage.command("postern", "stop", check=False)
    assert start.wait(30) != 0
    start.stderr.close()
    wait_for(lambda: not stage.pids())


def test_port_taken(stage):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", stage.port))
        s.listen()
        stage.write_config()
        done = stage.command("postern", "start", check=False)
        assert done.returncode != 0
        assert str(stage.port) in done.stderr and "in use" in done.stderr
    assert not stage.pids()
    stage.start()


def test_two_services_on_one_address(stage):
    stage.service(f"127.0.0.1:0{stage.port} inet n - n - - smtpd").write_config()
    done = stage.command("postern", "start", check=False)
    assert done.returncode != 0 and "another service" in done.stderr


def test_plain_port_and_interfaces(stage):
    stage.master_cf = MASTER_CF.replace("127.0.0.1:{port} ", "{port} ")
    stage.set(inet_interfaces="127.0.0.1, 127.0.0.7, localhost").start()
    for host in ("127.0.0.1", "127.0.0.7"):
        with socket.create_connection((host, stage.port), 5) as s:
            assert s.recv(100) == b"hello\n"
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.8", stage.port), 2)


def test_wakeup(stage):
    stage.master_cf = MASTER_CF.replace("n 60 1 pickup", "n 1 1 pickup")
    stage.start()
    stage.wait_log(r"postfix/smtpd\[\d+\]: woken for pickup", count=3)
    stage.wait_log(r"postfix/qmgr\[\d+\]: woken for qmgr")
    woken = {line.split("[")[1].split("]")[0]
             for line in stage.log().splitlines() if "for pickup" in line}
    assert len(woken) == 1


def test_logrotate(stage):
    stage.start()
    stage.command("postern", "logrotate")
    names = sorted(p.name for p in stage.log_file.parent.iterdir())
    assert len(names) == 2 and names[0] == "mail.log"
    assert names[1].startswith("mail.log.2") and names[1].endswith(".gz")
    os.kill(stage.pid_of("smtp")[0], signal.SIGKILL)
    stage.wait_log(r"smtp\[\d+\]: begin")  # a new process
    stage.wait_log(r"master\[\d+\]: warning: process")
    # A log that was moved by somebody else is renewed by a reload.
    stage.log_file.rename(stage.log_file.parent / "moved")
    stage.reload()
    stage.stop()
    stage.wait_log(r"smtpd\[\d+\]: drain", count=2)
    assert stage.log_file.stat().st_mode & 0o777 == 0o600


def test_log_outside_of_prefixes(stage):
    stage.set(maillog_file_prefixes="/var").write_config()
    done = stage.command("postern", "start", check=False)
    assert done.returncode != 0 and "maillog_file_prefixes" in done.stderr
    stage.set(maillog_file="/dev/stdout",
              maillog_file_prefixes="/var, /dev/stdout").write_config()
    done = stage.command("postern", "start", check=False)
    assert done.returncode != 0 and "start-fg" in done.stderr


def test_foreground(stage):
    stage.set(maillog_file="/dev/stdout",
              maillog_file_prefixes="/var, /dev/stdout").write_config()
    run = subprocess.Popen([stage.prefix / "sbin/postern", "-c", stage.conf,
                            "start-fg"], stdout=subprocess.PIPE)
    try:
        def serving():
            try:
                return ask(stage.port, "lease 2") == "4"
            except OSError:
                return False
        wait_for(serving)
        assert stage.command("postern", "status").returncode == 0
        run.send_signal(signal.SIGTERM)
        out = run.communicate(timeout=30 * SLOW)[0].decode()
    finally:
        run.kill()
    assert run.returncode == 0
    assert "daemon started" in out and "postfix/smtpd[" in out
    assert "terminating on signal 15" in out
    assert not stage.pids()


@needs_root
def test_process_1(stage):
    """In a container: it buries orphans, and SIGTERM ends it."""
    stage.set(maillog_file="/dev/stdout",
              maillog_file_prefixes="/var, /dev/stdout").write_config()
    run = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
         stage.prefix / "sbin/postern", "-c", stage.conf, "start-fg"],
        stdout=subprocess.PIPE)
    try:
        wait_for(lambda: len(stage.pids()) == 9)
        inside = int(pathlib.Path(
            f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()[0])
        # An orphan in there: the parent of a sleeper ends before it.
        subprocess.run(["nsenter", "-t", str(inside), "-p", "-m", "sh", "-c",
                        "(sleep 0.2 &) ; exit 0"], check=True)
        time.sleep(0.6)
        listing = subprocess.run(["nsenter", "-t", str(inside), "-p", "-m", "ps",
                                  "-eo", "stat="], stdout=subprocess.PIPE,
                                 check=True).stdout.decode()
        assert "Z" not in listing
        os.kill(inside, signal.SIGTERM)
        out = run.communicate(timeout=30 * SLOW)[0].decode()
    finally:
        run.kill()
    assert "terminating on signal 15" in out


@needs_root
def test_users(stage):
    stage.start()
    postern = pwd.getpwnam("postern")
    for pid, name in stage.pids().items():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines()
                      if ":\t" in line)
        uids, groups = fields["Uid"].split(), fields["Groups"].split()
        wanted = 0 if name in ("master", "local") else postern.pw_uid
        assert uids == [str(wanted)] * 4, name
        if wanted:
            assert fields["Gid"].split() == [str(postern.pw_gid)] * 4
            assert groups == [str(postern.pw_gid)]
            assert int(fields["CapEff"], 16) == 0
        argv = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        if name != "master":
            names = {v.split(b"=")[0] for v in argv.split(b"\0") if v}
            assert names <= {b"PATH", b"MAIL_CONFIG", b"LANG", b"TZ",
                             b"ASAN_OPTIONS", b"UBSAN_OPTIONS",
                             b"LSAN_OPTIONS", b"TSAN_OPTIONS"}, names
            fds = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
            assert {0, 1, 2, 3, 4} <= fds
    for name, mode in (("spool", 0o700), ("private", 0o700), ("public", 0o755),
                       ("maildrop", 0o730)):
        st = (stage.spool / name).stat()
        assert (st.st_uid, st.st_mode & 0o7777) == (postern.pw_uid, mode), name
    assert (stage.spool / "pid").stat().st_uid == 0
    for name in ("qmgr", "pickup", "smtp"):
        assert (stage.spool / "public" / name).stat().st_mode & 0o777 == 0o666
    assert (stage.spool / "pid/master.socket").stat().st_mode & 0o777 == 0o600


@needs_root
def test_console_is_for_root_alone(stage):
    stage.start()
    nobody = pwd.getpwnam("postern")

    def attempt():
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    done = subprocess.run(
        ["/usr/bin/python3", "-c", "import socket,sys;"
         "socket.socket(socket.AF_UNIX).connect(sys.argv[1])",
         str(stage.spool / "pid/master.socket")], preexec_fn=attempt,
        stderr=subprocess.PIPE, check=False)
    assert b"PermissionError" in done.stderr
    # Others see that it runs, but cannot hold its locks.
    assert stage.command("postern", "status",
                         preexec_fn=attempt).returncode == 0
    for name in ("master.pid", "children.lock"):
        assert (stage.spool / "pid" / name).stat().st_mode & 0o777 == 0o600
    stage.stop()
    assert stage.command("postern", "status", preexec_fn=attempt,
                         check=False).returncode != 0


@needs_root
@pytest.mark.parametrize("parameter, value", [
    ("mail_owner", "no-such-user"), ("mail_owner", "root"),
    ("queue_owner", "no-such-user"), ("setgid_group", "no-such-group")])
def test_missing_users(stage, parameter, value):
    stage.set(**{parameter: value}).write_config()
    done = stage.command("postern", "start", check=False)
    assert done.returncode != 0
    assert f"parameter {parameter}" in done.stderr and value in done.stderr
    assert stage.command("postern", "check", check=False).returncode != 0


@needs_root
def test_ordinary_user(stage):
    """All of it as that user, whatever mail_owner says."""
    nobody = pwd.getpwnam("nobody")
    stage.set(mail_owner="no-such-user", setgid_group="no-such-group")
    stage.write_config()
    for path in (stage.base, stage.log_file.parent):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)

    def drop():
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    stage.command("postern", "start", preexec_fn=drop)
    assert ask(stage.port, "lease 1") == "2"
    for pid in stage.pids():
        assert os.stat(f"/proc/{pid}").st_uid in (0, nobody.pw_uid)
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
    assert stage.command("postern", "reload", preexec_fn=drop).returncode == 0
    assert stage.command("postern", "status", preexec_fn=drop).returncode == 0
    stage.command("postern", "stop", preexec_fn=drop)
    assert not stage.pids()


def test_check(stage):
    stage.write_config()
    done = stage.command("postern", "check")
    if ROOT:
        assert "queue_owner is mail_owner" in done.stderr
    stage.write("main.cf", (stage.conf / "main.cf").read_text() +
                "smtpd_timeout = many\n")
    done = stage.command("postern", "check", check=False)
    assert done.returncode != 0 and "smtpd_timeout" in done.stderr


def test_two_instances(stage):
    with temporary(Stage) as other:
        stage.start()
        other.start()
        assert ask(stage.port, "lease 1") == "2"
        stage.stop()
        assert ask(other.port, "lease 2") == "4"
        other.stop()

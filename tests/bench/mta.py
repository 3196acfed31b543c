"""The servers that tests/bench measures: one configuration for all of them."""
import contextlib
import os
import pathlib
import platform
import pwd
import shutil
import signal
import socket
import subprocess
import time

import postfix_peer
from services import MASTER_CF

ROOT = os.geteuid() == 0
TICK = os.sysconf("SC_CLK_TCK")
USERS = 100         # Maildirs u1..u100@md.test
DESTINATIONS = 100  # d1.test..d100.test, and d1.dead.test..d100.dead.test

# What a knowledgeable admin would set on a busy host, with names that both know.
MAIN_CF = """\
compatibility_level = 3.6
myhostname = mx.bench.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
queue_directory = {base}/spool
data_directory = {base}/data
mail_owner = {owner}
setgid_group = {group}
maillog_file = {base}/log/mail.log
maillog_file_prefixes = {base}
default_process_limit = {sessions}
default_destination_concurrency_limit = 100
initial_destination_concurrency = 20
in_flow_delay = 0
qmgr_message_active_limit = 50000
qmgr_message_recipient_limit = 50000
smtpd_recipient_limit = 20000
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_security_level = none
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
transport_maps = texthash:{base}/conf/transport
virtual_mailbox_domains = md.test
virtual_mailbox_maps = texthash:{base}/conf/vmailbox
virtual_mailbox_base = {base}/mail
virtual_uid_maps = static:{mail_uid}
virtual_gid_maps = static:{mail_gid}
virtual_minimum_uid = 1
"""
SERVICES = MASTER_CF + "tlsmgr unix - - n 1000? 1 tlsmgr\n"


def transports(sink, dead):
    """dead: nobody listens there; an address for each destination."""
    lines = ["discard.test discard:", f"relay.test smtp:[127.0.0.1]:{sink}",
             f"dead.test smtp:[127.0.2.254]:{dead}"]
    for n in range(1, DESTINATIONS + 1):
        lines += [f"d{n}.test smtp:[127.0.1.{n}]:{sink}",
                  f"d{n}.dead.test smtp:[127.0.2.{n}]:{dead}"]
    return "\n".join(lines) + "\n"


def free_ports(count):
    """Ports below those of outgoing connections that nobody listens on."""
    found = []
    for port in range(23500 + os.getpid() % 400, 30000):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError("no free ports")


def reachable(out):
    """A directory on the disk of out that the mail system's users can enter."""
    out = pathlib.Path(out).resolve()
    blocked = ROOT and any(not p.stat().st_mode & 0o001 for p in [out, *out.parents])
    return pathlib.Path("/var/tmp") if blocked else out


def machine():
    return {"cpus": os.cpu_count(), "kernel": platform.release(),
            "load": os.getloadavg()[0]}


def descendants(root):
    """root and all processes that come from it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
                parents[int(entry)] = int(stat.rsplit(")", 1)[1].split()[1])
    found = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def cpu_seconds(pid):
    """Of a process, its threads, and its children that ended."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    own = sum(int(f) for f in fields[11:13]) / TICK
    ended = sum(int(f) for f in fields[13:15]) / TICK
    with contextlib.suppress(OSError, ValueError, IndexError):  # finer, where it is there
        own = sum(int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
                  for task in os.listdir(f"/proc/{pid}/task")) / 1e9
    return own + ended


def memory_kib(pid):
    for name, key in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        with contextlib.suppress(OSError, StopIteration):
            with open(f"/proc/{pid}/{name}", encoding="ascii", errors="replace") as lines:
                return next(int(line.split()[1]) for line in lines if line.startswith(key))
    return 0


def wait_until(test, timeout, step=0.05):
    end = time.monotonic() + timeout
    while not test():
        if time.monotonic() > end:
            return False
        time.sleep(step)
    return True


def read_until(s, last):
    """A reply with a line that begins so, to its end."""
    data = b""
    while last not in data or not data.endswith(b"\r\n"):
        part = s.recv(4096)
        if not part:
            raise OSError("closed")
        data += part


class Server:
    """One mail server with a configuration, a queue and a log of its own."""

    name = owner = group = None

    def __init__(self, base, out):
        self.base, self.out = pathlib.Path(base), out
        self.port, self.sink_port, dead = free_ports(3)
        self.process = None
        self.sessions = 200
        self.cpu_ended = 0.0
        for name in ("conf", "log", "mail", "data", "spool"):
            (self.base / name).mkdir()
        mail = pwd.getpwnam("nobody") if ROOT else pwd.getpwuid(os.geteuid())
        self.mail_ids = mail.pw_uid, mail.pw_gid
        os.chown(self.base / "mail", *self.mail_ids)
        self.write("transport", transports(self.sink_port, dead))
        self.write("vmailbox", "".join(f"u{n}@md.test u{n}/\n" for n in range(1, USERS + 1)))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()

    def write(self, name, text):
        (self.base / "conf" / name).write_text(text)

    def configure(self, extra=""):
        self.write("main.cf", MAIN_CF.format(
            base=self.base, owner=self.owner, group=self.group, sessions=self.sessions,
            mail_uid=self.mail_ids[0], mail_gid=self.mail_ids[1]) + extra)
        self.write("master.cf", SERVICES.format(port=self.port))

    def argv(self):
        raise NotImplementedError

    def start(self):
        """Returns seconds from the start to the reply to a client's EHLO."""
        began = time.monotonic()
        with open(self.base / "log/start", "ab") as log:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        if not wait_until(self.serves, 60, 0.002):
            raise OSError(f"{self.name} does not serve: {self.log()[-2000:]}")
        return time.monotonic() - began

    def greet(self, timeout=10):
        """A session that has had its reply to EHLO; None if there is none."""
        try:
            s = socket.create_connection(("127.0.0.1", self.port), timeout)
        except OSError:
            return None
        try:
            read_until(s, b"220 ")
            s.sendall(b"EHLO bench.test\r\n")
            read_until(s, b"\r\n250 ")
            return s
        except OSError:
            s.close()
            return None

    def serves(self):
        session = self.greet()
        if session:
            session.close()
        return session is not None

    def pids(self):
        return descendants(self.process.pid) if self.process else set()

    def cpu(self):
        """CPU seconds of all its processes since it was made."""
        return self.cpu_ended + sum(cpu_seconds(pid) for pid in self.pids())

    def memory(self):
        """KiB, shared pages shared out."""
        return sum(memory_kib(pid) for pid in self.pids())

    def stop(self):
        """Returns seconds taken."""
        began = time.monotonic()
        self.cpu_ended = self.cpu()
        self.process.terminate()
        self.process.wait(120)
        self.process = None
        return time.monotonic() - began

    def kill(self):
        """All at once, as a crash would."""
        if not self.process:
            return
        pids = self.pids()
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 10, 0.002)
        self.process = None

    def log(self):
        return "".join(path.read_text(errors="replace")
                       for path in (self.base / "log").iterdir())

    def count(self, what):
        """Log lines with this text."""
        return self.log().count(what)


class Postern(Server):
    name = "postern"

    def __init__(self, base, out):
        super().__init__(base, out)
        self.owner, self.group = "nobody", "nogroup"
        if not ROOT:
            self.owner = self.group = pwd.getpwuid(os.geteuid()).pw_name
        else:
            with contextlib.suppress(KeyError):
                self.owner = pwd.getpwnam("postern").pw_name
        self.configure()

    def argv(self):
        return [str(self.out / "libexec/postern/master"), "-c", str(self.base / "conf"), "-d"]

    def queue_manager(self):
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "qmgr\n":
                    return pid
        return None

    def command(self, name, *args):
        return subprocess.run([self.out / "sbin" / name, "-c", self.base / "conf", *args],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              check=False, timeout=300).stdout

    def flush(self):
        self.command("postqueue", "-f")

    def queued(self):
        return self.command("postqueue", "-j").count(b"\n")


class Postfix(Server):
    """Installed, or unpacked by "make check-peers"; in namespaces of its own."""

    name, owner, group = "postfix", "postfix", "postdrop"

    @staticmethod
    def missing(out):
        """Why it cannot be measured; None if it can."""
        if not ROOT:
            return "its master must be started by root"
        if not shutil.which("unshare"):
            return "no unshare(1)"
        if shutil.which("postfix") or Postfix.unpacked(out):
            return None
        return 'neither installed nor unpacked ("make check-peers" does that)'

    @staticmethod
    def unpacked(out):
        path = postfix_peer.unpacked(out)
        return path if path.exists() and not shutil.which("postfix") else None

    def __init__(self, base, out):
        super().__init__(base, out)
        self.root = self.unpacked(out)
        extra = ""
        if self.root:
            uid = gid = postfix_peer.ACCOUNTS["postfix"]
            postfix_peer.write_accounts(self.base)
            extra = postfix_peer.DIRECTORIES
        else:
            account = pwd.getpwnam("postfix")
            uid, gid = account.pw_uid, account.pw_gid
        os.chown(self.base / "data", uid, gid)
        self.extra = extra
        self.configure()

    def configure(self, extra=""):
        super().configure(self.extra + extra)

    def argv(self):
        return postfix_peer.argv(self.base, self.root)

    def stop(self):
        began = time.monotonic()
        self.cpu_ended = self.cpu()
        init = next(iter(descendants(self.process.pid) - {self.process.pid}), None)
        masters = [pid for pid in self.pids() if self.is_master(pid)]
        for pid in masters or [init]:
            os.kill(pid, signal.SIGTERM)
        self.process.wait(120)
        self.process = None
        return time.monotonic() - began

    @staticmethod
    def is_master(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/comm").read_text() == "master\n"
        except OSError:
            return False

    def flush(self):
        master = next(pid for pid in self.pids() if self.is_master(pid))
        subprocess.run(["nsenter", "-t", str(master), "-m", "-p", "postqueue", "-c",
                        str(self.base / "conf"), "-f"], check=True, timeout=300)

    def queued(self):
        return sum(1 for name in ("incoming", "active", "deferred", "maildrop")
                   for p in (self.base / "spool" / name).rglob("*") if p.is_file())



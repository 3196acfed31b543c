"""One private Postern: what a test starts, looks at, and stops.

An instance is a configuration directory, a spool and a log below one temporary
directory, on ports that are free. It signals only processes that it started,
by recorded pid.
"""
import contextlib
import email
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import smtplib
import subprocess
import tempfile

from mode import OUT, SANITIZED, SLOW, TOP
from services import MASTER_CF
from waiting import free_port, wait_for

ROOT = os.geteuid() == 0

DAEMONS = {"master", "smtpd", "qmgr", "smtp", "local", "bounce", "lookup",
           "spawn"}


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

    def _family(self):
        """{pid: (program, parent)} of its master and who came from it.

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
                return {pid: (programs[pid], parents[pid])
                        for pid in sorted(found)}
            found |= more

    def pids(self):
        """{pid: program} of this instance."""
        return {pid: name for pid, (name, _) in self._family().items()}

    def lasting_pids(self):
        """The same without the workers of local, which end when idle: those
        are the children of its keeper, and so the grandchildren of local."""
        family = self._family()
        gone = ("", 0)

        def parent(pid):
            return family.get(pid, gone)[1]
        return {pid: name for pid, (name, _) in family.items()
                if family.get(parent(parent(pid)), gone)[0] != "local"}

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

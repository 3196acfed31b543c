"""Postern hands messages of many kinds to another MTA: Debian's Postfix, unpacked
by "make check-peers" and run in namespaces of its own. It is not installed."""
import json
import pathlib
import re
import shutil
import smtplib
import subprocess

import postfix_peer
import pytest
from instance import ROOT, mail_user
from mode import OUT
from services import MASTER_CF
from test_bulk import TIME_LIMIT, in_maildirs, send_all, wanted
from waiting import free_port, wait_for

UNPACKED = postfix_peer.unpacked(OUT)

pytestmark = [
    pytest.mark.skipif(not ROOT, reason="namespaces need root"),
    pytest.mark.skipif(not UNPACKED.exists(), reason="make check-peers"),
    pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare"),
]

MAIN_CF = postfix_peer.DIRECTORIES + """\
compatibility_level = 3.6
myhostname = peer.test
mydestination =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
queue_directory = {base}/spool
data_directory = {base}/data
maillog_file = {base}/log/mail.log
maillog_file_prefixes = {base}
virtual_mailbox_domains = relay.test
virtual_mailbox_base = {base}/mail
virtual_mailbox_maps = texthash:{base}/conf/vmailbox
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
default_transport = smtp:[127.0.0.1]:1
"""


class Postfix:
    def __init__(self, base):
        self.base, self.port = base, free_port()
        uid, gid = mail_user()
        for name in ("conf", "log", "mail", "data", "spool"):
            (base / name).mkdir(parents=True)
        shutil.chown(base / "mail", uid, gid)
        account = postfix_peer.ACCOUNTS["postfix"]
        shutil.chown(base / "data", account, account)
        postfix_peer.write_accounts(base)
        (base / "conf/main.cf").write_text(MAIN_CF.format(base=base, uid=uid, gid=gid))
        (base / "conf/master.cf").write_text(MASTER_CF.format(port=self.port))
        (base / "conf/vmailbox").write_text(
            "".join(f"u{i}@relay.test u{i}/\n" for i in range(1, 11)))
        with (base / "log/start").open("wb") as log:
            self.process = subprocess.Popen(
                postfix_peer.argv(base, UNPACKED), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)

    def log(self):
        return "".join(p.read_text(errors="replace") for p in (self.base / "log").iterdir())

    def command(self, *argv):
        """Run in its namespaces; standard output."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        done = subprocess.run(["nsenter", "-t", children.read_text().split()[0], "-m", "-p",
                               "--", *map(str, argv)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
        return done.stdout.decode()

    def queue_ids(self):
        return [p for name in ("incoming", "active", "deferred", "corrupt")
                for p in (self.base / "spool" / name).rglob("*") if p.is_file()]

    def close(self):
        self.process.kill()  # and with it process 1 of its namespace
        self.process.wait(30)


@pytest.fixture
def postfix(instance):
    peer = Postfix(instance.base / "postfix")
    try:
        wait_for(lambda: "daemon started" in peer.log() or peer.process.poll() is not None, 30,
                 what="the peer")
        assert peer.process.poll() is None, peer.log()
        yield peer
    finally:
        peer.close()


@pytest.mark.timeout(TIME_LIMIT)
def test_to_postfix(instance, postfix):
    instance.write("transport", f"relay.test smtp:[127.0.0.1]:{postfix.port}\n")
    instance.start()
    done = send_all(instance, "relay.test", 10)
    instance.wait_empty(TIME_LIMIT)
    wait_for(lambda: not postfix.queue_ids(), TIME_LIMIT, what="the peer's queue")
    assert in_maildirs(postfix.base / "mail", "relay.test") == wanted(done, b"\n")
    assert "status=deferred" not in instance.log(), instance.log()[-3000:]
    assert "status=bounced" not in instance.log() + postfix.log()


def test_json_of_postfix(instance, postfix):
    """postqueue -j writes the octets that Postfix writes."""
    instance.write("transport", "later.test smtp:[127.0.0.1]:1\n")
    instance.start()
    for port in (postfix.port, instance.port):
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example") as client:
            for sender, names in (("s@client.example", ["a"]), ("", ["b", "c\\\"d"])):
                client.sendmail(sender, [f'"{n}"@later.test' if '"' in n else f"{n}@later.test"
                                         for n in names], "Subject: x\r\n\r\nx\r\n")

    def settled(text):
        lines = text.splitlines()
        return (len(lines) == 2 and all('"deferred"' in line for line in lines) and
                "".join(lines).count("delay_reason") == 3 and lines)
    theirs = wait_for(lambda: settled(postfix.command(
        "postqueue", "-c", postfix.base / "conf", "-j")), what="the peer's listing")
    ours = wait_for(lambda: settled(instance.command("postqueue", "-j").stdout))

    def same(line):
        """What must differ made alike."""
        line = re.sub(r'"queue_id": "\w+"', '"queue_id": "X"', line)
        return re.sub(r'(arrival_time|message_size)": \d+', r'\1": 0', line)
    assert sorted(map(same, ours)) == sorted(map(same, theirs))


def aged_file(path, arrival, sender, recipients):
    """A queue file as far as qshape reads it."""
    def record(kind, text):
        data = text.encode()
        assert len(data) < 128
        return kind + bytes([len(data)]) + data
    path.write_bytes(record(b"C", "%15d %15d" % (0, 0)) + record(b"T", f"{arrival} 0") +
                     record(b"S", sender) +
                     b"".join(record(b"R", r) for r in recipients) +
                     record(b"M", "") + record(b"X", "") + record(b"E", ""))
    path.chmod(0o700)


@pytest.mark.skipif(not (OUT / "tests/bench/spool_fill").exists(), reason="no spool_fill")
@pytest.mark.parametrize("options", [[], ["-s"], ["-l", "-b", "20", "-t", "3", "-w", "120"],
                                     ["-p", "-m", "3"], ["-w", "60"]], ids=lambda o: "".join(o))
def test_shape_of_postfix(instance, options):
    """postqueue --shape prints what qshape prints of the same messages."""
    instance.start()
    instance.stop()
    for count, age, domain in ((1500, 100, "filled.test"), (700, 4000, "a.very-long-domain-name"
                                "-that-does-not-fit-into-its-column.example"), (1, 10**6, "x.y")):
        subprocess.run([OUT / "tests/bench/spool_fill", "-n", str(count), "-d", "7", "-a",
                        str(age), "-o", domain, instance.spool], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    files = instance.base / "qshape" / "deferred"
    files.mkdir(parents=True)
    for line in instance.command("postqueue", "-j").stdout.splitlines():
        one = json.loads(line)
        aged_file(files / one["queue_id"], one["arrival_time"],
                  one["sender"].replace("MAILER-DAEMON", ""),
                  [r["address"] for r in one["recipients"]])

    def lines(text):
        """Those of equal sums come in any order."""
        head, *rest = text.splitlines()
        return head, sorted(rest)

    def alike():
        """Unless a message grew older than a limit between the two."""
        theirs = subprocess.run([UNPACKED / "usr/sbin/qshape", *options, files], check=True,
                                stdout=subprocess.PIPE).stdout.decode()
        ours = instance.command("postqueue", "--shape", *options, "deferred").stdout
        return len(ours.splitlines()) > 2 and lines(ours) == lines(theirs)
    wait_for(alike, what="the same lines")

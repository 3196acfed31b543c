"""Postern hands messages of many kinds to another MTA: Debian's Postfix, unpacked
by "make check-peers" and run in namespaces of its own. It is not installed."""
import pathlib
import shutil
import subprocess

import pytest
from conftest import OUT, ROOT, free_port, mail_user, wait_for
from test_bulk import TIME_LIMIT, in_maildirs, send_all, wanted

UNPACKED = OUT.parent / "peers" / "postfix"

pytestmark = [
    pytest.mark.skipif(not ROOT, reason="namespaces need root"),
    pytest.mark.skipif(not UNPACKED.exists(), reason="make check-peers"),
    pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare"),
]

MAIN_CF = """\
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
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
maillog_file = {base}/log/mail.log
maillog_file_prefixes = {base}
virtual_mailbox_domains = relay.test
virtual_mailbox_base = {base}/mail
virtual_mailbox_maps = texthash:{base}/conf/vmailbox
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
"""
MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
ACCOUNTS = {"postfix": 950, "postdrop": 951}

# Its package lies over /usr and /etc for the processes in the namespaces alone.
ENTER = """\
set -e
mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr
mount -t overlay overlay -o lowerdir={base}/etc:{root}/etc:/etc /etc
mount -t proc proc /proc
cd /
exec postfix -c {base}/conf start-fg
"""


def with_accounts(path):
    """The lines of /etc/passwd or /etc/group, and Postfix's accounts."""
    lines = [line for line in pathlib.Path(path).read_text().splitlines()
             if line.split(":")[0] not in ACCOUNTS]
    tail = "::/nonexistent:/usr/sbin/nologin" if path.endswith("passwd") else ""
    for name, number in ACCOUNTS.items():
        middle = f"{number}:{number}" if tail else f"{number}:"
        lines.append(f"{name}:x:{middle}{tail}")
    return "\n".join(lines) + "\n"


class Postfix:
    def __init__(self, base):
        self.base, self.port = base, free_port()
        uid, gid = mail_user()
        for name in ("conf", "etc", "log", "mail", "data", "spool"):
            (base / name).mkdir(parents=True)
        shutil.chown(base / "mail", uid, gid)
        shutil.chown(base / "data", ACCOUNTS["postfix"], ACCOUNTS["postfix"])
        for name in ("passwd", "group"):
            (base / "etc" / name).write_text(with_accounts("/etc/" + name))
        (base / "conf/main.cf").write_text(MAIN_CF.format(base=base, uid=uid, gid=gid))
        (base / "conf/master.cf").write_text(MASTER_CF.format(port=self.port))
        (base / "conf/vmailbox").write_text(
            "".join(f"u{i}@relay.test u{i}/\n" for i in range(1, 11)))
        with (base / "log/start").open("wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "--pid", "--fork",
                 "--kill-child", "sh", "-c", ENTER.format(root=UNPACKED, base=base)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def log(self):
        return "".join(p.read_text(errors="replace") for p in (self.base / "log").iterdir())

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

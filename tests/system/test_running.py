"""Ways to run it, with mail: as process 1, several at once, reloaded under an
open session."""
import os
import pathlib
import shutil
import signal
import smtplib
import subprocess
import tempfile

import pytest
from instance import ROOT, Instance
from mode import SLOW
from waiting import free_port, wait_for


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_mail_through_process_1(instance):
    instance.set(maillog_file="/dev/stdout",
                 maillog_file_prefixes="/var, /dev/stdout").write_config()
    run = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
         instance.prefix / "sbin/postern", "-c", instance.conf, "start-fg"],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        def sent():
            try:
                return instance.send("u1@md.test")
            except OSError:
                return None
        qid = wait_for(sent, 20, step=0.1)
        instance.wait_maildir("u1")
        inside = int(pathlib.Path(
            f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()[0])
        os.kill(inside, signal.SIGTERM)
        out = run.communicate(timeout=30 * SLOW)[0].decode()
    finally:
        run.kill()
    assert run.returncode == 0
    assert "postfix/qmgr" in out and f"{qid}: removed" in out


def test_several_instances(running):
    """Each has its own queue, its own mail and its own end."""
    base = tempfile.mkdtemp(prefix="postern-test-")
    os.chmod(base, 0o755)
    other = Instance(base)
    try:
        other.start()
        running.send("u1@md.test", "Subject: here\r\n\r\nx\r\n")
        other.send("u1@md.test", "Subject: there\r\n\r\nx\r\n")
        assert running.message(running.wait_maildir("u1")[0])["Subject"] == "here"
        assert other.message(other.wait_maildir("u1")[0])["Subject"] == "there"
        other.stop()
        assert other.command("postern", "status", check=False).returncode != 0
        running.send("u2@md.test")
        running.wait_maildir("u2")
    finally:
        other.close()
        shutil.rmtree(base, ignore_errors=True)


def test_reload_keeps_sessions(running):
    """A session in the middle of a message ends as it began; what comes later
    meets the new configuration, and the new listener."""
    port = free_port()
    with running.smtp() as client:
        client.ehlo()
        assert client.mail("a@client.example")[0] == 250
        assert client.rcpt("u1@md.test")[0] == 250
        assert client.docmd("DATA")[0] == 354
        client.send(b"Subject: half\r\n\r\nfirst half\r\n")
        running.service(f"127.0.0.1:{port} inet n - n - - smtpd")
        running.set(smtpd_banner="new.example ESMTP").reload()

        def new_banner():
            with smtplib.SMTP(timeout=10 * SLOW) as other:
                return other.connect("127.0.0.1", running.port)[1] == b"new.example ESMTP"
        wait_for(new_banner)
        with smtplib.SMTP(timeout=10 * SLOW) as other:
            wait_for(lambda: connected(other, port))
        client.send(b"second half\r\n.\r\n")
        assert client.getreply()[0] == 250
        assert client.mail("b@client.example")[0] == 250
    text = running.wait_maildir("u1")[0].read_text()
    assert text.endswith("first half\nsecond half\n")


def connected(client, port):
    try:
        return client.connect("127.0.0.1", port)[0] == 220
    except OSError:
        return False

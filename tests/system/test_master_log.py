"""Where master and its daemons log to; in the foreground, and as process 1."""
import os
import pathlib
import signal
import subprocess
import time

from mode import SLOW
from stage import ask, needs_root
from waiting import wait_for


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

"""master and its configuration: what it refuses, and reloads."""
import os
import signal
import time

import pytest
from instance import ROOT
from stage import ask, call, can_bind
from waiting import free_port, wait_for


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


def test_check(stage):
    stage.write_config()
    done = stage.command("postern", "check")
    if ROOT:
        assert "queue_owner is mail_owner" in done.stderr
    stage.write("main.cf", (stage.conf / "main.cf").read_text() +
                "smtpd_timeout = many\n")
    done = stage.command("postern", "check", check=False)
    assert done.returncode != 0 and "smtpd_timeout" in done.stderr


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

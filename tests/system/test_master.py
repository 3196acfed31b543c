"""master and lib/daemon, with actors as daemons: starts, deaths, ends."""
import os
import signal
import subprocess
import time

from instance import DAEMONS, temporary
from mode import SLOW
from stage import MASTER_CF, Call, Stage, ask, call, can_bind, gone
from waiting import wait_for


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
        for name in sorted(DAEMONS - {"master", "spawn"}):
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


def test_wakeup(stage):
    stage.master_cf = MASTER_CF.replace("n 60 1 pickup", "n 1 1 pickup")
    stage.start()
    stage.wait_log(r"postfix/smtpd\[\d+\]: woken for pickup", count=3)
    stage.wait_log(r"postfix/qmgr\[\d+\]: woken for qmgr")
    woken = {line.split("[")[1].split("]")[0]
             for line in stage.log().splitlines() if "for pickup" in line}
    assert len(woken) == 1


def test_two_instances(stage):
    with temporary(Stage) as other:
        stage.start()
        other.start()
        assert ask(stage.port, "lease 1") == "2"
        stage.stop()
        assert ask(other.port, "lease 2") == "4"
        other.stop()

"""sendmail(1), postdrop(1) and postlog(1) as programs use them."""
import os
import signal
import subprocess
import time

import pytest
from instance import ROOT
from waiting import wait_for


def run(instance, *args, text="Subject: x\n\nhi\n", **kwargs):
    return instance.command("sendmail", *args, input=text, check=False, **kwargs)


def test_exit_statuses(running):
    assert run(running).returncode == os.EX_USAGE
    assert run(running, "-t").returncode == os.EX_DATAERR
    assert run(running, "-bx").returncode == os.EX_USAGE
    running.set(message_size_limit=100)
    running.reload()
    assert run(running, "u1@md.test", text="x" * 101).returncode == os.EX_DATAERR
    assert running.maildir("u1") == []


@pytest.mark.parametrize("options, said", [
    (["-qSmd.test"], "-qS is not implemented"),
    (["-qR"], "specify: -qRsitename"),
    (["-qI"], "specify: -qIqueueid"),
    (["-qRmd.test", "u1@md.test"], "flush site requires no recipient"),
    (["-q", "u1@md.test"], "flush queue mode requires no recipient"),
    (["-bp", "-qRmd.test"], "-qR can be used only in delivery mode"),
])
def test_wrong_flush(running, options, said):
    done = run(running, *options)
    assert done.returncode == os.EX_USAGE
    assert done.stderr == f"sendmail: fatal: {said}\n"


def test_interval(running):
    """It is ignored: alone nothing is done, and mail is not lost by it."""
    done = run(running, "-q15m")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert run(running, "-q15m", "u1@md.test").returncode == 0
    running.wait_maildir("u1")


def test_flush(instance, sink):
    """-q, -qI and -qR: a try each, of all, of one, and of a site."""
    host = sink(replies={"RCPT": "450 4.2.0 later"})
    instance.write("transport", f".relay.test smtp:[127.0.0.1]:{host.port}\n")
    instance.set(relay_domains="a.relay.test, b.relay.test",
                 fast_flush_domains="$relay_domains").start()
    a, b = (instance.send(f"x@{site}.relay.test") for site in "ab")

    def tries():
        return [instance.log().count(f"{qid}: to=<") for qid in (a, b)]
    for option, want in [(None, [1, 1]), ("-q", [2, 2]), (f"-qI{a}", [3, 2]),
                         ("-qRb.relay.test", [3, 3])]:
        if option:
            assert run(instance, option).returncode == 0
        wait_for(lambda: tries() == want, what=f"{option}: {want}")
        wait_for(lambda: all(e["queue_name"] == "deferred" for e in instance.queue()),
                 what="both deferred")


def test_recipients_of_header(running):
    done = run(running, "-t", text="To: u1@md.test, \"A, B\" <u2@md.test>\n"
               "Cc: u3@md.test\nBcc:\n u4@md.test\nSubject: all\n\nx\n")
    assert done.returncode == 0
    for user in ("u1", "u2", "u3", "u4"):
        message = running.message(running.wait_maildir(user)[0])
        assert "Bcc" not in message and message["Cc"] == "u3@md.test"


def test_dots_and_line_ends(running):
    run(running, "u1@md.test", text="Subject: 1\n\na\n.\nb\n")
    run(running, "-i", "u2@md.test", text="Subject: 2\r\n\r\na\r\n.\r\nb")
    assert running.message(running.wait_maildir("u1")[0]).get_payload() == "a\n"
    assert running.message(running.wait_maildir("u2")[0]).get_payload() == "a\n.\nb\n"


def test_dialogue(running):
    done = run(running, "-bs", text="EHLO x\r\nMAIL FROM:<a@b.example>\r\n"
               "RCPT TO:<u1@md.test>\r\nDATA\r\nSubject: bs\r\n\r\nx\r\n.\r\nQUIT\r\n")
    assert done.returncode == 0
    assert "queued as" in done.stdout and done.stdout.endswith("221 2.0.0 Bye\r\n")
    assert running.message(running.wait_maildir("u1")[0])["Subject"] == "bs"


def test_dialogue_while_down(instance):
    instance.write_config()
    done = run(instance, "-bs", text="QUIT\r\n")
    assert done.returncode != 0 and done.stdout.startswith("421 ")


@pytest.mark.skipif(not ROOT, reason="needs another user")
def test_unprivileged_user(running):
    """Not set-gid, postdrop still hands over while the system runs."""
    done = subprocess.run(
        ["setpriv", "--reuid=1", "--regid=1", "--clear-groups",
         running.prefix / "sbin/sendmail", "u1@md.test"],
        input="Subject: x\n\nx\n", text=True, capture_output=True, check=False,
        env={**os.environ, "MAIL_CONFIG": str(running.conf)})
    if done.returncode == os.EX_OSERR or "Permission denied" in done.stderr:
        pytest.skip("another user may not enter the build directory")
    assert done.returncode == 0, done.stderr
    running.wait_log(r"pickup\[\d+\]: \w+: uid=1 from=<")
    running.wait_maildir("u1")


def test_queue_manager_dies_meanwhile(running):
    """What sendmail took arrives; twice only what was being delivered."""
    senders = []
    for n in range(30):
        senders.append(subprocess.Popen(
            [running.prefix / "sbin/sendmail", "u1@md.test"], text=True,
            stdin=subprocess.PIPE, env={**os.environ, "MAIL_CONFIG": str(running.conf)}))
        senders[-1].stdin.write(f"Subject: n{n}\n\nx\n")
        senders[-1].stdin.close()
        if n % 10 == 5:
            for pid, program in running.pids().items():
                if program == "qmgr":
                    os.kill(pid, signal.SIGKILL)
    for sender in senders:
        assert sender.wait(60) == 0
    running.wait_empty(60)
    drop = running.spool / "maildrop"
    wait_for(lambda: not [f for f in drop.iterdir() if not f.name.startswith(".")], 90,
             what="an empty maildrop")
    running.wait_empty(60)
    subjects = sorted(running.message(p)["Subject"] for p in running.maildir("u1"))
    assert sorted(set(subjects)) == sorted(f"n{n}" for n in range(30))


def test_postlog(running):
    running.command("postlog", "-t", "mytag", "hello", "there")
    running.wait_log(r" mytag\[\d+\]: hello there$")
    running.command("postlog", "-p", "warn", input="one\ntwo\n")
    running.wait_log(r"/postlog\[\d+\]: warning: two$")
    started = time.monotonic()
    running.command("postlog", "-p", "fatal", "x")
    assert time.monotonic() - started >= 1
    assert running.command("postlog", "-p", "what", "x", check=False).returncode == 1

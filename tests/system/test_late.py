"""kill -9 of qmgr while agents deliver: what they finish is not done again."""
import os
import re
import signal
import threading
import time

from load import Load, numbers_below
from mode import SLOW
from waiting import wait_for


def kill(instance, program):
    victims = [pid for pid, name in instance.pids().items() if name == program]
    assert victims
    os.kill(victims[0], signal.SIGKILL)
    return victims[0]


def test_final_dot_outlives_qmgr(instance, sink):
    """The remote answers after qmgr's death: its mail is not sent again, and
    that of which it has not seen the dot goes out once, too."""
    dots, commands = threading.Event(), threading.Event()

    def dot(_):
        commands.set()
        dots.wait(20)
        return "250 2.0.0 taken"
    host = sink(replies={"DOT": dot})
    instance.write("transport", f"relay.test smtp:[127.0.0.1]:{host.port}\n")
    instance.set(minimal_backoff_time="1s", maximal_backoff_time="1s",
                 queue_run_delay="1s")
    instance.start()
    qid = instance.send("bob@relay.test")
    assert commands.wait(10)
    kill(instance, "qmgr")
    instance.wait_log(r"smtp\[\d+\]: queue manager is gone: 1 deliveries under way")
    instance.wait_log(r"qmgr\[\d+\]: \d+ delivery processes may have results")
    dots.set()
    instance.wait_log(rf"{qid}: to=<bob@relay.test>, .* status=sent")
    instance.wait_log(rf"qmgr\[\d+\]: {qid}: 1 of 1 results of smtp's from before")
    instance.wait_empty()
    assert len(host.messages) == 1


def test_no_duplicates_in_mailboxes(instance):
    """local answers within milliseconds: nobody gets anything twice."""
    instance.start()
    with Load(instance.port, pause=0.01) as load:
        for _ in range(6):
            count = len(load.acknowledged)
            wait_for(lambda: len(load.acknowledged) > count + 40, 20)
            kill(instance, "qmgr")
    wanted = set(load.acknowledged)
    wait_for(lambda: not wanted - set(numbers_below(instance.mail)), 60, step=0.2)
    instance.wait_empty(60)
    twice = {n: a for n, a in numbers_below(instance.mail).items() if len(a) > 1}
    assert not twice, instance.log()[-6000:]
    assert re.search(r"qmgr\[\d+\]: [1-9]\d* results of earlier deliveries taken over",
                     instance.log())
    assert "cannot prove" not in instance.log()


def test_fresh_mail_does_not_wait(instance):
    """The agents that outlived qmgr are stopped: old mail waits a second."""
    instance.start()
    kill(instance, "qmgr")
    instance.wait_log(r"qmgr\[\d+\]: \d+ delivery processes may have results")
    instance.send("u1@md.test")
    instance.wait_maildir("u1", timeout=5 * SLOW)


def test_master_replaces_who_never_answers(instance, sink):
    """An smtp that is stopped: its mail goes out by another in the end."""
    host = sink()
    instance.write("transport", f"relay.test smtp:[127.0.0.1]:{host.port}\n")
    names = ("connect", "helo", "mail", "rcpt", "data_init", "data_xfer", "data_done",
             "rset", "quit")
    instance.set(**{f"smtp_{name}_timeout": "1s" for name in names},
                 smtp_mx_address_limit=1, daemon_timeout="1s", smtp_processes=1,
                 minimal_backoff_time="1s", maximal_backoff_time="1s",
                 queue_run_delay="1s")
    instance.start()
    stopped = next(p for p, n in instance.pids().items() if n == "smtp")
    os.kill(stopped, signal.SIGSTOP)
    began = time.monotonic()
    qid = instance.send("bob@relay.test")
    instance.wait_log(r"qmgr\[\d+\]: warning: link to smtp 0 dropped: DELIVER: "
                      "not answered in time", 60)
    assert time.monotonic() - began > 5
    instance.wait_log(rf"master\[\d+\]: warning: process \S+/smtp pid {stopped} has "
                      "lost its link to qmgr: replaced")
    instance.wait_log(rf"{qid}: to=<bob@relay.test>, .* status=sent", 20)
    instance.wait_empty()


def test_lookup_that_never_answers(instance):
    instance.set(ipc_timeout="2s")
    instance.start()
    stopped = next(p for p, n in instance.pids().items() if n == "lookup")
    instance.send("u1@md.test")
    instance.wait_maildir("u1")
    with instance.smtp() as client:  # its questions are asked before
        client.ehlo()
        client.mail("")
        client.rcpt("u2@md.test")
        os.kill(stopped, signal.SIGSTOP)
        assert client.data("Subject: x\r\n\r\nx\r\n")[0] == 250
    instance.wait_log(r"qmgr\[\d+\]: warning: link to lookup 0 dropped: RESOLVE: "
                      "not answered in time", 20)
    instance.wait_maildir("u2", timeout=20)

"""kill -9 of any process, and of all, under load: nothing acknowledged is lost."""
import contextlib
import os
import signal
import time

import pytest
from load import Load, numbers_below
from mode import SLOW
from waiting import wait_for

# How long before a kill a delivery may have been under way, and how long after it
# one that had lost its master goes on.
UNDER_WAY = 3.0 * SLOW
BEREFT = 0.2 * SLOW


def kill(instance, program, times):
    """Kill one process of that program; False when there is none now."""
    victims = [pid for pid, name in instance.pids().items() if name == program]
    if not victims:
        return False
    times.append(time.time())
    os.kill(victims[0], signal.SIGKILL)
    return True


def serving(instance):
    try:
        with instance.smtp(timeout=5 * SLOW) as client:
            return client.ehlo()[0] == 250
    except OSError:
        return False


def restart_after_death(instance):
    """master is dead: stop may fail, start has to work and serve within 2 s."""
    instance.command("postern", "stop", check=False)
    began = time.monotonic()
    instance.command("postern", "start")
    wait_for(lambda: serving(instance), 10)
    assert time.monotonic() - began < 2 * SLOW, instance.log()[-3000:]


def check(instance, load, kills):
    """Everything acknowledged is there; what is there twice was under way."""
    wanted = set(load.acknowledged)
    assert "placed on hold" not in instance.log()  # nobody crashed
    assert len(wanted) > 50
    try:
        wait_for(lambda: not wanted - set(numbers_below(instance.mail)), 60,
                 step=0.2, what="all acknowledged mail")
    except AssertionError:
        lost = sorted(wanted - set(numbers_below(instance.mail)))
        raise AssertionError(f"lost {len(lost)}: {lost[:5]}; queue "
                             f"{instance.queue()[:5]}\n{instance.log()[-8000:]}") from None
    instance.wait_empty(60)
    for number, arrivals in numbers_below(instance.mail).items():
        if len(arrivals) > 1:
            first = min(arrivals)
            assert any(first - BEREFT <= t <= first + UNDER_WAY for t in kills), (
                number, arrivals, kills)


ROUNDS = int(os.environ.get("KILL_ROUNDS", "6"))


@pytest.mark.timeout(300 + 20 * ROUNDS)
@pytest.mark.parametrize("program", ["smtpd", "qmgr", "local", "lookup", "bounce",
                                     "smtp", "master", "all"])
def test_kill(instance, program):
    instance.set(minimal_backoff_time="1s", maximal_backoff_time="2s",
                 queue_run_delay="1s")
    instance.start()
    kills = []
    with Load(instance.port, pause=0.02) as load:
        wait_for(lambda: len(load.acknowledged) > 20, 20)
        for _ in range(ROUNDS):
            if program == "all":
                kills.append(time.time())
                for pid in instance.pids():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)  # or its lifeline was first
                restart_after_death(instance)
            else:
                assert wait_for(lambda: kill(instance, program, kills), 10)
                if program == "master":
                    restart_after_death(instance)
            count = len(load.acknowledged)
            began = time.monotonic()
            wait_for(lambda: serving(instance), 10)
            assert time.monotonic() - began < 2 * SLOW
            wait_for(lambda: len(load.acknowledged) > count + 20, 20,
                     what="mail taken in again")
    check(instance, load, kills)
    if program not in ("master", "all"):
        instance.wait_log(rf"master\[\d+\]: warning: process \S*/{program} pid \d+ "
                          r"killed by signal 9")


def test_kill_keeper(instance):
    """Without who makes mailbox workers, the process that asks for them is replaced."""
    instance.set(minimal_backoff_time="1s", maximal_backoff_time="2s",
                 queue_run_delay="1s")
    instance.start()
    _, keeper = [pid for pid, name in instance.pids().items() if name == "local"]
    os.kill(keeper, signal.SIGKILL)
    for _ in range(3):
        instance.send("u2@md.test")
    instance.wait_maildir("u2", 3)
    instance.wait_empty()
    instance.wait_log(r"local\[\d+\]: error: the process that makes mailbox workers is gone")

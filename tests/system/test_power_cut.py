"""The power is cut while mail flows: a queue manager that records what it does to
its disk runs under load, and what a power cut would have left at random
instants is checked, and started, against every 250 and every delivery."""
import os
import pathlib
import random
import shutil
import subprocess
import time

import pytest
from instance import ROOT, Instance, temporary
from load import NUMBER, Load
from mode import OUT, SLOW
from waiting import wait_for

HOOKED = OUT / "tests/hooks/qmgr"
TOOL = OUT / "tests/crash/power_cut/power_cut"
CUTS = int(os.environ.get("POWER_CUTS", "60"))
STARTS = int(os.environ.get("POWER_CUT_STARTS", "2"))
SECONDS = float(os.environ.get("POWER_CUT_SECONDS", "3"))
SEED = int(os.environ.get("POWER_CUT_SEED", "0")) or random.SystemRandom().randrange(1 << 30)
# The settle delay, and what a flush may take on a busy machine.
SETTLE = 1.0 + 2.0 * SLOW

pytestmark = pytest.mark.skipif(not (HOOKED.exists() and TOOL.exists()),
                                reason="make check-build")


def refuse_some(session, every=7):
    """The remote's answer after the dot: some mail has to come again."""
    session["dots"] = session.get("dots", 0) + 1
    return "451 4.3.0 later" if (session["number"] + session["dots"]) % every == 0 \
        else "250 2.0.0 Ok: kept"


def settings(far):
    return {"relayhost": f"[127.0.0.1]:{far.port}", "queue_segment_size": "1048576",
            "queue_inline_limit": "4000", "minimal_backoff_time": "1s",
            "maximal_backoff_time": "2s", "queue_run_delay": "1s",
            "smtp_destination_rate_delay": "0s", "transport_retry_time": "1s"}


def delivered(far):
    """{number: [time, ...]}"""
    found = {}
    for message, at in zip(list(far.messages), list(far.times)):
        number = NUMBER.search(message[2])
        found.setdefault(int(number.group(1)), []).append(at)
    return found


def record(instance, far, recording):
    """Load for some seconds; {number: time} of what was acknowledged."""
    programs = instance.base / "bin"
    shutil.copytree(OUT / "libexec/postern", programs)
    (programs / "qmgr").unlink()
    shutil.copy(HOOKED, programs / "qmgr")
    recording.parent.mkdir()
    recording.parent.chmod(0o1777)
    instance.set(daemon_directory=programs, **settings(far),
                 import_environment=f"POSTERN_DISK_RECORD={recording}")
    instance.start()
    with Load(instance.port, threads=3, domain="far.test") as small, \
            Load(instance.port, threads=1, domain="far.test", size=9000,
                 first=1000001) as large:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(0.2)
            instance.command("postqueue", "-f")
        wait_for(lambda: len(small.acknowledged) > 50 and len(large.acknowledged) > 20, 20)
    instance.stop()
    return {**small.acknowledged, **large.acknowledged}


def start_from(far, left, instant, acknowledged, before):
    """A system that finds what the power cut left delivers the rest."""
    wanted = {n for n, at in acknowledged.items() if at < instant}
    had = {n for n, times in before.items() if min(times) < instant}
    count = len(far.messages)
    with temporary(Instance) as instance:
        instance.set(**settings(far))
        instance.start()
        instance.stop()
        stat = os.stat(instance.spool / "spool")
        shutil.rmtree(instance.spool / "spool")
        shutil.copytree(left, instance.spool / "spool")
        if ROOT:
            for root, _, files in os.walk(instance.spool / "spool"):
                for path in [root] + [os.path.join(root, name) for name in files]:
                    os.chown(path, stat.st_uid, stat.st_gid)
        os.chmod(instance.spool / "spool", 0o700)
        instance.start(write=False)
        instance.command("postqueue", "-f")
        instance.wait_empty(60)
        assert "damage" not in instance.log()
        instance.stop()
    after = [int(NUMBER.search(m[2]).group(1)) for m in far.messages[count:]]
    assert not wanted - had - set(after), sorted(wanted - had - set(after))[:5]
    assert len(after) == len(set(after)), "a message came twice"
    for number in had & set(after):
        assert instant - min(before[number]) < SETTLE, (number, instant, before[number])


@pytest.mark.timeout(200 + 4 * int(SECONDS) + CUTS + 20 * STARTS)
def test_power_cuts(instance, sink):
    print(f"POWER_CUT_SEED={SEED}")
    far = sink(replies={"DOT": refuse_some})
    recording = instance.base / "recorded" / "disk"
    acknowledged = record(instance, far, recording)
    before = delivered(far)
    facts = instance.base / "facts"
    facts.write_text("".join(f"a {n} {int(t * 1e9)}\n" for n, t in acknowledged.items()) +
                     "".join(f"d {n} {int(t * 1e9)}\n"
                             for n, times in before.items() for t in times))
    done = subprocess.run([TOOL, recording, facts, str(CUTS), str(SEED),
                           str(int(SETTLE * 1000))], check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    print(done.stdout.decode())
    assert done.returncode == 0, f"seed {SEED}: {done.stderr.decode()[-3000:]}"
    far.replies.clear()
    for i in range(STARTS):
        left = pathlib.Path(instance.base / f"left{i}")
        left.mkdir()
        instant = int(subprocess.check_output([TOOL, "--export", left, recording,
                                               str(SEED + i)]))
        start_from(far, left, instant / 1e9, acknowledged, before)

"""postern adopt-spool: the queue of another host comes into this one."""
import os
import re
import shutil

import pytest
from instance import ROOT, Instance, mail_user, temporary
from waiting import wait_for

COUNT = 30


@pytest.fixture
def other():
    """Another host: its mail cannot leave it."""
    with temporary(Instance) as made:
        made.set(defer_transports="smtp", queue_inline_limit="1000")
        yield made


def fill(other):
    """{queue id: number}; some are on hold, some have blobs."""
    other.start()
    ids = {}
    for i in range(COUNT):
        body = f"X-Number: {i}\r\nSubject: {i}\r\n\r\n" + "line of text\r\n" * (i * 20)
        ids[other.send(f"r{i}@far.test", body)] = i
    held = list(ids)[3]
    other.command("postsuper", "-h", held)
    return ids, held


def chown_all(directory, uid, gid):
    for root, _, files in os.walk(directory):
        for path in [root] + [os.path.join(root, name) for name in files]:
            os.chown(path, uid, gid)


def copy_of(other, instance):
    """Its spool directory as a copy that came from elsewhere: other user ids."""
    copy = instance.base / "copy"
    shutil.copytree(other.spool / "spool", copy)
    if ROOT:
        chown_all(copy, *mail_user())
    return copy


def numbers(sink):
    return sorted(int(re.search(rb"^X-Number: (\d+)", m[2], re.M).group(1))
                  for m in sink.messages)


def start(instance, far):
    return instance.set(relayhost=f"[127.0.0.1]:{far.port}").start()


@pytest.mark.parametrize("running", [True, False], ids=["running", "offline"])
def test_adopt(instance, other, sink, running):
    far = sink()
    ids, held = fill(other)
    other.stop()
    copy = copy_of(other, instance)
    start(instance, far)
    if not running:
        instance.stop()
    done = instance.command("postern", "adopt-spool", copy)
    assert f"{COUNT} messages adopted" in done.stderr
    if not running:
        assert {e["queue_id"] for e in instance.queue()} == set(ids)
        instance.start(write=False)
    # It keeps the time of its next try. All of it leaves, but what was on hold is on hold here, too.
    instance.command("postqueue", "-f")
    far.wait(COUNT - 1)
    wait_for(lambda: {e["queue_id"] for e in instance.queue()} == {held})
    instance.command("postsuper", "-H", held)
    far.wait(COUNT)
    instance.wait_empty()
    assert numbers(far) == list(range(COUNT))
    for message in far.messages:
        number = int(re.search(rb"^X-Number: (\d+)", message[2], re.M).group(1))
        assert message[2].count(b"line of text\r\n") == number * 20
    for queue_id in ids:
        if running:  # without a mail system the command says it
            instance.wait_log(rf"qmgr\[\d+\]: {queue_id}: adopted from spool [0-9a-f]{{32}}$")
        else:
            assert re.search(rf"{queue_id}: adopted from spool [0-9a-f]{{32}}", done.stderr)
        instance.wait_log(rf"qmgr\[\d+\]: {queue_id}: removed$")
    # Once more: nothing comes twice. And nobody else gets it.
    assert ": 0 messages adopted" in instance.command("postern", "adopt-spool", copy).stderr
    stat = os.stat(other.spool / "spool")
    shutil.rmtree(other.spool / "spool")
    shutil.copytree(copy, other.spool / "spool")
    chown_all(other.spool / "spool", stat.st_uid, stat.st_gid)
    refused = other.command("postern", "start", check=False)
    assert refused.returncode != 0
    assert "was adopted by spool" in refused.stderr + other.log()
    instance.stop()
    assert numbers(far) == list(range(COUNT))


def test_own_copy(instance):
    """What was copied from our own spool is here already."""
    instance.set(defer_transports="smtp").start()
    for i in range(3):
        instance.send(f"r{i}@far.test")
    instance.stop()
    shutil.copytree(instance.spool / "spool", instance.base / "copy")
    instance.start(write=False)
    done = instance.command("postern", "adopt-spool", instance.base / "copy", check=False)
    assert done.returncode == 1 and "copy of our own" in done.stderr
    assert len(instance.queue()) == 3
    instance.stop()


def test_in_use(instance, other, sink):
    fill(other)
    far = sink()
    start(instance, far)
    done = instance.command("postern", "adopt-spool", other.spool / "spool", check=False)
    assert done.returncode == 1 and "in use by process" in done.stderr
    # Nothing has changed there.
    assert len(other.queue()) == COUNT
    other.stop()
    other.start(write=False)
    assert len(other.queue()) == COUNT
    own = instance.command("postern", "adopt-spool", instance.spool / "spool", check=False)
    assert own.returncode == 1 and "in use by process" in own.stderr
    nothing = instance.command("postern", "adopt-spool", instance.base, check=False)
    assert nothing.returncode == 1 and "not a spool" in nothing.stderr
    assert not far.messages
    instance.stop()
    other.stop()

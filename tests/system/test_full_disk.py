"""A file system that fills up, a queue that is damaged. A small tmpfs stands in
for the disk; it needs root."""
import contextlib
import os
import signal
import smtplib
import subprocess
import time

import pytest
from instance import ROOT
from sink import Sink
from waiting import free_port, wait_for

pytestmark = pytest.mark.skipif(not ROOT, reason="mounting needs root")


@contextlib.contextmanager
def small_disk(path, size):
    path.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", path],
                          check=False, stderr=subprocess.PIPE)
    if done.returncode:
        pytest.skip("cannot mount: " + done.stderr.decode())
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.parametrize("lines", [700, 14000, 28000], ids=["50k", "1m", "2m"])
def test_full_disk(instance, lines):
    """Contents in the log and, from queue_inline_limit on, in blobs."""
    with small_disk(instance.spool, "24m"):
        instance.set(queue_minfree="1000000", message_size_limit="4000000",
                     queue_segment_size="4194304", defer_transports="")
        instance.write("transport", "dead.test smtp:[127.0.0.1]:1\n")
        instance.start()
        body = "Subject: big\r\n\r\n" + ("x" * 70 + "\r\n") * lines
        taken, refused = [], None
        for _ in range(600):
            try:
                taken.append(instance.send("x@dead.test", body))
            except AssertionError as error:
                refused = str(error)
                break
        assert refused is not None and "452" in refused and "4.3.1" in refused, refused
        assert len(taken) >= 3
        # All that was acknowledged is there, also after a new start.
        instance.stop()
        instance.start(write=False)
        assert wait_for(lambda: {e["queue_id"] for e in instance.queue()} == set(taken))
        # What was there can leave, and then there is room again.
        instance.command("postsuper", "-d", "ALL")
        instance.wait_empty()

        def accepted():
            try:
                return instance.send("u1@md.test", "Subject: small\r\n\r\nx\r\n")
            except (AssertionError, smtplib.SMTPException):
                return None
        assert wait_for(accepted, 20, step=0.3, what="room after the queue emptied")
        instance.wait_maildir("u1")
        instance.stop()


@pytest.mark.parametrize("refused", [False, True], ids=["delivered", "returned"])
def test_full_disk_empties(instance, refused):
    """A disk that mail has filled: what is settled has its reserve, so that all
    of it is delivered once, or returned once, without anybody's help."""
    port = free_port()
    with small_disk(instance.spool, "24m"):
        instance.set(queue_minfree="1000000", message_size_limit="4000000",
                     queue_segment_size="4194304", in_flow_delay="0",
                     minimal_backoff_time="2s", maximal_backoff_time="4s",
                     queue_run_delay="2s")
        instance.write("transport", f"late.test smtp:[127.0.0.1]:{port}\n")
        instance.start()
        body = "Subject: full\r\n\r\n" + ("x" * 70 + "\r\n") * 500
        taken = []
        for n in range(1000):
            try:
                taken.append(instance.send(f"r{n}@late.test", body, sender="u1@md.test"))
            except AssertionError as error:
                assert "452" in str(error) and "4.3.1" in str(error)
                break
        assert 100 < len(taken) < 1000
        sink = Sink(port=port, replies={"RCPT": "550 5.1.1 nobody"} if refused else None)
        if refused:
            instance.wait_maildir("u1", count=len(taken), timeout=90)
        instance.wait_empty(timeout=90)
        if refused:
            assert len(instance.maildir("u1")) == len(taken)
        else:
            assert len(sink.messages) == len({m[1][0] for m in sink.messages}) == len(taken)
        instance.wait_log(r"warning: the queue's disk is (nearly )?full: mail is (taken slowly|refused)")
        instance.stop()


def fill(path):
    """Not an octet is left."""
    with open(path, "wb", buffering=0) as f:
        size = 1 << 20
        while size:
            try:
                if f.write(b"x" * size) < size:
                    size //= 2
            except OSError:
                size //= 2


def test_start_on_a_full_disk(instance, sink):
    """What is in the queue leaves, though nothing can be made or grow."""
    far = sink()
    with small_disk(instance.spool, "24m"):
        instance.set(queue_segment_size="4194304", defer_transports="smtp",
                     relayhost=f"[127.0.0.1]:{far.port}")
        instance.start()
        taken = [instance.send(f"r{i}@far.test") for i in range(20)]
        # Others fill it up while it runs; and a crash, too, must find its way back.
        fill(instance.spool / "filler")
        master = next(pid for pid, name in instance.pids().items() if name == "master")
        os.kill(master, signal.SIGKILL)
        wait_for(lambda: not instance.pids(), 10)
        assert os.statvfs(instance.spool).f_bavail == 0
        for _ in range(3):
            instance.start(write=False)
            assert wait_for(lambda: {e["queue_id"] for e in instance.queue()} == set(taken))
            instance.stop()
        instance.set(defer_transports="")
        instance.start()
        instance.command("postqueue", "-f")
        far.wait(20)
        instance.wait_empty()
        instance.stop()
        assert "damage" not in instance.log()
        assert len(far.messages) == 20


def test_others_fill_the_disk(instance):
    """What is delivered is on record, though not an octet is left and the machine
    goes down: nobody gets it twice. What had no room goes when there is some."""
    port = free_port()
    messages, rcpts = 60, 20
    with small_disk(instance.spool, "24m"):
        instance.set(queue_segment_size="4194304", defer_transports="smtp",
                     relayhost=f"[127.0.0.1]:{port}", in_flow_delay="0",
                     smtp_destination_recipient_limit="1", minimal_backoff_time="2s",
                     maximal_backoff_time="4s", queue_run_delay="2s")
        instance.start()
        for n in range(messages):
            with instance.smtp() as client:
                client.sendmail("u1@md.test", [f"m{n}.{i}@far.test" for i in range(rcpts)],
                                "Subject: full\r\n\r\n" + ("x" * 70 + "\r\n") * 200)
        fill(instance.spool / "filler")
        sink = Sink(port=port)
        instance.set(defer_transports="")
        instance.command("postern", "reload")
        instance.command("postqueue", "-f")
        sink.wait(messages * rcpts // 3, timeout=60)
        done, before = None, None
        while done is None or done != before:  # as far as it gets
            before, done = done, len(sink.messages)
            time.sleep(2)
        for pid, name in instance.pids().items():
            if name == "master":
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not instance.pids(), 10)
        (instance.spool / "filler").unlink()
        instance.start()
        instance.wait_empty(timeout=90)
        got = [m[1][0] for m in sink.messages]
        assert len(got) == len(set(got)) == messages * rcpts
        assert "status is not written" not in instance.log()
        instance.stop()


def test_damage_is_set_aside(instance):
    instance.write("transport", "dead.test smtp:[127.0.0.1]:1\n")
    instance.start()
    ids = [instance.send("x@dead.test", f"Subject: {i}\r\n\r\nunmistakable body {i}\r\n")
           for i in range(30)]
    instance.stop()
    hurt = 0
    for root, _, files in os.walk(instance.spool / "spool"):
        for name in files:
            path = os.path.join(root, name)
            with open(path, "r+b") as f:
                octets = f.read()
                at = octets.find(b"unmistakable body 7\r\n")
                while at >= 0:
                    f.seek(at)
                    f.write(b"damaged by the test!!")
                    hurt += 1
                    at = octets.find(b"unmistakable body 7\r\n", at + 1)
    assert hurt
    instance.start(write=False)
    left = wait_for(lambda: {e["queue_id"] for e in instance.queue()})
    assert left >= set(ids) - {ids[7]}, (set(ids) - left)
    # Content is verified when it is read: at the start or at the next attempt.
    instance.command("postqueue", "-f")
    instance.wait_log(r"(?i)damage|checksum")
    # The rest is whole, and commands work on it.
    assert "unmistakable body 8" in instance.command("postcat", "-q", ids[8]).stdout
    instance.command("postsuper", "-d", ids[9])
    wait_for(lambda: ids[9] not in {e["queue_id"] for e in instance.queue()})
    assert instance.command("postern", "status").returncode == 0
    assert ids[8] in instance.command("postqueue", "-p").stdout
    instance.send("u1@md.test")
    instance.wait_maildir("u1")

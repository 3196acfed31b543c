"""postqueue, postsuper, postcat and mailq: with the mail system and without."""

import json
import os
import pathlib
import re
import subprocess

import pytest
from waiting import free_port, wait_for

HEADING = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"
LONG = "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"
ROOT = os.geteuid() == 0


@pytest.fixture
def queue(instance):
    """An instance with two destinations that nobody answers for."""
    port = free_port()
    instance.write("transport", f"dead.test smtp:[127.0.0.1]:{port}\n"
                   f"late.test smtp:[127.0.0.1]:{port}\n"
                   "error.test error:5.7.1 go away\n"
                   "discard.test discard:\n")
    return instance.start()


def listing(queue):
    lines = queue.command("postqueue", "-j").stdout.splitlines()
    return [json.loads(line) for line in lines]


def deferred(queue, *recipients, sender="s@client.test", body=None):
    """A message that waits; its id."""
    before = {m["queue_id"] for m in listing(queue)}
    queue.command("sendmail", "-f", sender, *recipients,
                  input=body or "Subject: waiting\n\nhello\n")

    def there():
        new = [m for m in listing(queue) if m["queue_id"] not in before]
        return (new[0]["queue_id"] if new and new[0]["queue_name"] == "deferred"
                and all("delay_reason" in r for r in new[0]["recipients"])
                else None)
    return wait_for(there)


def names(queue):
    return {m["queue_id"]: m["queue_name"] for m in listing(queue)}


def test_listing(queue):
    first = deferred(queue, "a@dead.test", "b@dead.test")
    second = deferred(queue, "c@dead.test", sender="<>")
    text = queue.command("postqueue", "-p").stdout
    assert queue.command("mailq").stdout == text
    reason = r" *\((connect to|delivery temporarily suspended).*\)"
    assert re.fullmatch(
        HEADING + "\n" +
        first + r" +\d+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d  s@client.test\n" +
        reason + "\n {41}a@dead.test\n {41}b@dead.test\n\n" +
        second + r" +\d+ .{19}  MAILER-DAEMON\n" +
        reason + "\n {41}c@dead.test\n\n" +
        r"-- 0 Kbytes in 2 Requests.\n", text), text
    one = listing(queue)[0]
    assert set(one) == {"queue_name", "queue_id", "arrival_time",
                        "message_size", "forced_expire", "sender", "recipients"}
    assert one["queue_id"] == first and one["forced_expire"] is False
    assert [r["address"] for r in one["recipients"]] == ["a@dead.test", "b@dead.test"]
    queue.command("postsuper", "-d", "ALL")
    assert queue.command("postqueue", "-p").stdout == "Mail queue is empty\n"
    assert queue.command("postqueue", "-j").stdout == ""


def test_long_ids(queue):
    queue.set(enable_long_queue_ids="yes").reload()
    name = deferred(queue, "a@dead.test")
    assert re.fullmatch("[0-9A-Za-z]{12,20}", name) and "z" in name
    text = queue.command("postqueue", "-p").stdout
    assert text.startswith(LONG + "\n" + name + " ")
    assert f"postfix/qmgr[" in queue.log() and f"{name}: from=<" in queue.log()
    done = queue.command("postsuper", "-d", name)
    assert done.stderr == f"postsuper: {name}: removed\npostsuper: Deleted: 1 message\n"


def test_edits(queue):
    ids = [deferred(queue, f"r{i}@dead.test") for i in range(4)]
    done = queue.command("postsuper", "-h", ids[0])
    assert done.stderr == (f"postsuper: {ids[0]}: placed on hold\n"
                           "postsuper: Placed on hold: 1 message\n")
    assert names(queue)[ids[0]] == "hold"
    assert f"{ids[0]}! " in queue.command("postqueue", "-p").stdout
    queue.wait_log(f"postfix/postsuper.*{ids[0]}: placed on hold")
    # Ids on standard input; those that are not there are no error.
    done = queue.command("postsuper", "-h", "-", input=f"{ids[1]}\nABCDEF\n\n{ids[2]}\n")
    assert "Placed on hold: 2 messages" in done.stderr
    # A queue that is named is the only one.
    assert "Deleted: 0" in queue.command("postsuper", "-d", ids[0], "deferred").stderr
    done = queue.command("postsuper", "-H", "ALL")
    assert done.stderr == "postsuper: Released from hold: 3 messages\n"
    wait_for(lambda: set(names(queue).values()) == {"deferred"})
    assert "Requeued: 1" in queue.command("postsuper", "-r", ids[3]).stderr
    # It comes again under another id.
    wait_for(lambda: list(names(queue).values()) == ["deferred"] * 4 and
             ids[3] not in names(queue))
    done = queue.command("postsuper", "-d", "ALL", "deferred")
    assert done.stderr == "postsuper: Deleted: 4 messages\n"
    assert listing(queue) == []
    for name in ids[:3]:
        assert f"{name}: removed" not in queue.log()


def test_expire(queue):
    name = deferred(queue, "a@dead.test", sender="u1@md.test")
    queue.command("postsuper", "-e", name)
    assert listing(queue)[0]["forced_expire"] is True
    assert f"{name}# " in queue.command("postqueue", "-p").stdout
    queue.command("postqueue", "-f")
    queue.wait_log(f"{name}: from=<u1@md.test>, status=force-expired, returned to sender")
    queue.wait_maildir("u1")
    queue.wait_empty()


def test_flush(queue):
    one, two = deferred(queue, "a@dead.test"), deferred(queue, "b@late.test")
    queue.command("postqueue", "-i", one)
    queue.wait_log(f"{one}: from=<.*queue active", count=2)
    done = queue.command("postqueue", "-s", "late.test", check=False)
    assert done.returncode == 69 and "not configured" in done.stderr
    queue.set(fast_flush_domains="late.test").reload()
    queue.command("postqueue", "-s", "late.test")
    queue.wait_log(f"{two}: from=<.*queue active", count=2)
    queue.command("postqueue", "-f")
    queue.wait_log(f"{one}: from=<.*queue active", count=3)
    queue.wait_log(f"{two}: from=<.*queue active", count=3)


def test_postcat(queue):
    big = "line of a large body\n" * 20000
    name = deferred(queue, "a@dead.test", body="Subject: big\n\n" + big)
    whole = queue.command("postcat", "-q", name).stdout
    assert whole.startswith(f"*** ENVELOPE RECORDS deferred/{name} ***\n")
    assert "sender: s@client.test\n" in whole
    assert "recipient: a@dead.test\n" in whole
    assert whole.endswith(f"*** MESSAGE FILE END deferred/{name} ***\n")
    assert queue.command("postcat", "-bq", name).stdout == "\n" + big
    header = queue.command("postcat", "-hq", name).stdout
    assert "Subject: big\n" in header and "\n\n" not in header
    assert header + "\n" + big == queue.command("postcat", "-bhq", name).stdout
    assert queue.command("postcat", "-q", "ABCDEF", check=False).returncode == 1


def test_offline(queue):
    name = deferred(queue, "a@dead.test")
    held = deferred(queue, "b@dead.test", body="Subject: x\n\n" + "y" * 70 + "\n")
    queue.command("postsuper", "-h", held)
    before = listing(queue)
    queue.stop()
    assert listing(queue) == before
    assert name in queue.command("postcat", "-q", name).stdout
    assert "Released from hold: 1" in queue.command("postsuper", "-H", held).stderr
    assert names(queue) == {name: "deferred", held: "deferred"}
    assert "Deleted: 1" in queue.command("postsuper", "-d", name).stderr
    done = queue.command("postqueue", "-f", check=False)
    assert done.returncode == 69 and "mail system is down" in done.stderr
    # What it wrote is its owner's, and is there again.
    owners = {p.stat().st_uid for p in (queue.spool / "spool").rglob("*")}
    assert owners == {(queue.spool / "spool").stat().st_uid}
    queue.start()
    assert list(names(queue)) == [held]


@pytest.mark.skipif(not ROOT, reason="needs another user")
def test_other_users(queue):
    name = deferred(queue, "a@dead.test")
    for parent in pathlib.Path(queue.prefix).parents:
        if not os.stat(parent).st_mode & 1:
            pytest.skip("the programs cannot be reached by other users")

    def as_nobody(*argv):
        return subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             str(queue.prefix / "sbin" / argv[0]), "-c", str(queue.conf), *argv[1:]],
            capture_output=True, text=True, env=queue.environ(), check=False)
    assert name in as_nobody("postqueue", "-p").stdout
    assert as_nobody("postqueue", "-f").returncode == 0
    for argv in (("postsuper", "-d", "ALL"), ("postcat", "-q", name)):
        done = as_nobody(*argv)
        assert done.returncode == 1 and "superuser" in done.stderr, done
    assert name in names(queue)
    queue.stop()
    done = as_nobody("postqueue", "-p")
    assert done.returncode == 69
    assert "Queue report unavailable - mail system is down" in done.stderr


def test_schedule_survives(queue):
    name = deferred(queue, "a@dead.test")
    queue.stop()
    queue.start()
    # It waits for its time; only a flush makes it come earlier.
    queue.command("sendmail", "-f", "s@client.test", "x@discard.test", input="hello\n")
    queue.wait_log("to=<x@discard.test>.*status=sent")
    assert names(queue)[name] == "deferred"
    assert len(re.findall(f"{name}: from=<", queue.log())) == 1

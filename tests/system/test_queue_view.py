"""Which messages, where they go and how old they are: filters, destinations,
shapes and explanations."""
import json
import re

import pytest
from sink import Sink
from test_queue import deferred, listing
from waiting import free_port, wait_for


@pytest.fixture
def queue(instance):
    """Two domains that refuse connections, one that says later."""
    port = free_port()
    sink = Sink(replies={"RCPT": "450 4.2.0 greylisted, come back"})
    instance.write("transport", f"dead.test smtp:[127.0.0.1]:{port}\n"
                   f"late.test smtp:[127.0.0.1]:{sink.port}\n"
                   "error.test error:5.7.1 go away\n")
    instance.set(minimal_backoff_time="1000s", maximal_backoff_time="4000s")
    return instance.start()


def shown(queue, *filters):
    lines = queue.command("postqueue", "-j", *filters).stdout.splitlines()
    return [json.loads(line)["queue_id"] for line in lines]


def test_filters(queue):
    dead = deferred(queue, "a@dead.test", sender="u1@md.test")
    late = deferred(queue, "b@late.test", sender="u2@md.test")
    both = deferred(queue, "c@dead.test", "c@late.test", sender="<>")
    every = [dead, late, both]
    for want, filters in [
            (every, []), ([dead], ["--sender=u1@md.test"]), ([both], ["--sender=<>"]),
            ([dead, late], ["--sender=U?@md.test"]), ([dead, both], ["--domain=dead.test"]),
            (every, ["--domain=*.test"]), ([], ["--domain=test"]),
            ([late, both], ["--reason=*greylisted*"]), ([both], ["--recipient=c@late.test"]),
            ([], ["--domain=dead.test", "--reason=*greylisted*"]),
            ([], ["--older-than=1h"]), (every, ["--newer-than=1h"]),
            ([late], ["--sender=u2*", "--newer-than=1h", "--domain=late.test"])]:
        assert shown(queue, *filters) == want, filters
    assert late in queue.command("postqueue", "-p", "--domain=late.test").stdout
    for bad in ("--sender=", "--older-than=soon", "--nonsense=x"):
        assert queue.command("postqueue", "-p", bad, check=False).returncode != 0
        assert queue.command("postsuper", "-d", bad, check=False).returncode != 0
    # Without something to do they are nobody's wish.
    assert queue.command("postsuper", "--domain=dead.test", check=False).returncode != 0
    assert shown(queue) == every

    done = queue.command("postsuper", "-d", "--reason=*greylisted*", "--dry-run")
    assert done.stdout == (f"{late}: would be removed\n{both}: would be removed\n"
                           "2 messages would be removed\n")
    assert shown(queue) == every
    done = queue.command("postsuper", "-h", "--domain=dead.test", "deferred")
    assert done.stderr == "postsuper: Placed on hold: 2 messages\n"
    # Ids are limited by filters as well.
    done = queue.command("postsuper", "-H", dead, "-H", both, "--sender=<>")
    assert done.stderr == (f"postsuper: {both}: released from hold\n"
                           "postsuper: Released from hold: 1 message\n")
    assert "Deleted: 0 messages" in queue.command("postsuper", "-d", "--sender=<>", "hold").stderr
    assert "Deleted: 1 message\n" in queue.command("postsuper", "-d", "ALL", "--sender=<>").stderr
    # What is expired and released goes back to its sender.
    queue.command("postsuper", "-f", "--sender=u1@md.test")
    queue.wait_maildir("u1")
    wait_for(lambda: shown(queue) == [late])


def test_destinations(queue):
    deferred(queue, "a@dead.test")
    deferred(queue, "b@late.test", "c@late.test")
    found = [json.loads(line) for line in
             queue.command("postqueue", "--destinations", "-j").stdout.splitlines()]
    assert sum(d["deferred_messages"] for d in found) == 2
    assert all(set(d) >= {"transport", "nexthop", "hold", "window", "running", "next_try",
                          "deferred_until", "reason"} for d in found)
    text = queue.command("postqueue", "--destinations").stdout
    assert text.startswith("Transport:nexthop") and len(text.splitlines()) == len(found) + 1
    # Nothing but the queue is known after a start.
    queue.stop()
    queue.start(write=False)
    found = {d["nexthop"]: d for d in map(json.loads, queue.command(
        "postqueue", "--destinations", "-j").stdout.splitlines())}
    assert found["dead.test"]["deferred_messages"] == 1
    assert "greylisted" in found["late.test"]["reason"]
    one = queue.command("postqueue", "--destinations", "-j", "late.test").stdout
    assert "dead.test" not in one and '"nexthop": "late.test"' in one


def test_explain(queue):
    name = deferred(queue, "a@dead.test")
    deferred(queue, "b@late.test")
    queue.command("postsuper", "-h", deferred(queue, "c@dead.test"))
    text = queue.command("postern", "explain", "dead.test").stdout
    assert re.search(r"Mail for dead.test goes by the transport smtp to \[127.0.0.1\]:\d+\.", text)
    assert "1 deferred, 1 on hold" in text and "Connection refused" in text
    assert re.search(r"tried again at \w{3} [ \d]\d \d\d:\d\d:\d\d, in \d+ minutes", text), text
    assert "postsuper -r --domain=dead.test" in text and "greylisted" not in text
    # Of an address it is the domain that has mail.
    text = queue.command("postern", "explain", "x@dead.test").stdout
    assert "1 deferred, 1 on hold" in text and "Connection refused" in text
    assert "postsuper -r --domain=dead.test deferred\n" in text
    queue.command("postsuper", "-r", name)
    text = queue.command("postern", "explain", "error.test").stdout
    assert "by the transport error" in text and "returned to the sender" in text
    text = queue.command("postern", "explain", "nowhere.test").stdout
    assert "No message for that domain is in the queue" in text
    queue.set(defer_transports="smtp").reload()
    queue.command("postqueue", "-f")  # what holds it is not remembered there
    text = queue.command("postern", "explain", "late.test").stdout
    assert "named in defer_transports" in text and "postsuper -r" not in text
    assert queue.command("postern", "explain", check=False).returncode == 64
    assert queue.command("postern", "explain", "", check=False).returncode == 64
    assert queue.command("postern", "status", "x", check=False).returncode == 64


def test_shape(queue):
    for _ in range(2):
        deferred(queue, "a@dead.test", "b@Dead.Test", sender="s@one.test")
    deferred(queue, "c@late.test", sender="<>")
    text = queue.command("postqueue", "--shape", "deferred").stdout
    assert [line.split() for line in text.splitlines()] == [
        "T 5 10 20 40 80 160 320 640 1280 1280+".split(),
        "TOTAL 5 5 0 0 0 0 0 0 0 0 0".split(),
        "dead.test 4 4 0 0 0 0 0 0 0 0 0".split(),
        "late.test 1 1 0 0 0 0 0 0 0 0 0".split()]
    assert {len(line) for line in text.splitlines()} == {80}
    text = queue.command("postqueue", "--shape", "-s", "-j", "-b", "2", "deferred").stdout
    assert [json.loads(line) for line in text.splitlines()] == [
        {"domain": "TOTAL", "total": 3, "ages": {"5": 3, "5+": 0}},
        {"domain": "one.test", "total": 2, "ages": {"5": 2, "5+": 0}},
        {"domain": "MAILER-DAEMON", "total": 1, "ages": {"5": 1, "5+": 0}}]
    assert len(queue.command("postqueue", "--shape").stdout.splitlines()) == 2
    assert len(listing(queue)) == 3

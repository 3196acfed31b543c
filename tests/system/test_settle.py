"""queue_settle_delay: the record of a delivery waits for the flush of other mail,
and "removed" is logged when it is durable."""
import re
import time

from waiting import wait_for


def removed(instance, qid):
    return re.search(rf"qmgr\[\d+\]: {qid}: removed$", instance.log(), re.M) is not None


def deliver_one(instance, far, count):
    qid = instance.send("r@far.test")
    far.wait(count)
    instance.wait_log(rf"smtp\[\d+\]: {qid}: to=<r@far\.test>.* status=sent")
    return qid


def test_waits_for_company(instance, sink):
    far = sink()
    instance.set(relayhost=f"[127.0.0.1]:{far.port}", queue_settle_delay="60s").start()
    first = deliver_one(instance, far, 1)
    time.sleep(0.3)  # it would be there long before, if it did not wait
    assert not removed(instance, first)
    # It is not in the queue any more, for whoever looks.
    assert instance.queue() == []
    # Other mail takes it along, with its own 250.
    second = deliver_one(instance, far, 2)
    wait_for(lambda: removed(instance, first), 5)
    assert not removed(instance, second)
    # A reload does not leave it waiting.
    instance.reload()
    wait_for(lambda: removed(instance, second), 5)
    # Nor does a stop, and nothing is delivered again afterwards.
    third = deliver_one(instance, far, 3)
    assert not removed(instance, third)
    began = time.monotonic()
    instance.stop()
    assert time.monotonic() - began < 20
    assert removed(instance, third)
    instance.start(write=False)
    assert instance.queue() == []
    instance.stop()
    assert len(far.messages) == 3


def test_does_not_wait_for_ever(instance, sink):
    far = sink()
    instance.set(relayhost=f"[127.0.0.1]:{far.port}").start()
    qid = deliver_one(instance, far, 1)
    wait_for(lambda: removed(instance, qid), 5)


def test_an_admin_does_not_wait(instance):
    instance.set(queue_settle_delay="60s", defer_transports="smtp").start()
    qid = instance.send("r@far.test")
    began = time.monotonic()
    instance.command("postsuper", "-h", qid)
    instance.command("postsuper", "-d", qid)
    assert time.monotonic() - began < 20
    assert instance.queue() == []


def test_a_notice_does_not_wait(instance, sink):
    """It holds new mail, and takes along what it settles."""
    far = sink(replies={"RCPT": lambda s: "550 5.1.1 no" if "nobody" in s["line"]
                        else "250 2.1.5 Ok"})
    instance.set(relayhost=f"[127.0.0.1]:{far.port}", queue_settle_delay="60s").start()
    began = time.monotonic()
    instance.send("nobody@far.test", sender="sender@far.test")
    far.wait(1)
    assert far.messages[0][0] == "" and far.messages[0][1] == ["sender@far.test"]
    assert time.monotonic() - began < 30

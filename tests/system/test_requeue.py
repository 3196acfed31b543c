"""postsuper -r: a message goes through clean-up again, under a new id."""
import re
import time


def requeued(instance, qid):
    """The new id of the only message that qid became."""
    return instance.wait_log(
        rf"postfix/pickup\[\d+\]: (\w+): uid=\d+ from=<.*> orig_id={qid}"
    ).group(1)


def defer(instance, sink, **settings):
    """A next hop that says 450 until told otherwise, for relay.test."""
    state = {"busy": True}
    hop = sink(replies={
        "RCPT": lambda s: "450 4.2.0 later" if state["busy"] else "250 ok"})
    instance.write("transport", f"relay.test smtp:[127.0.0.1]:{hop.port}\n")
    instance.set(minimal_backoff_time="1h", maximal_backoff_time="1h",
                 virtual_alias_maps=f"texthash:{instance.conf}/virtual",
                 **settings)
    instance.write("virtual", "")
    instance.start()
    return state


def test_changed_alias(instance, sink):
    """It goes where the alias now says, once, and the old id is gone."""
    defer(instance, sink)
    qid = instance.send("bob@relay.test", body="Subject: again\r\n\r\nx\r\n")
    instance.wait_log(rf"{qid}: .*status=deferred")
    instance.write("virtual", "bob@relay.test u1@md.test\n")
    time.sleep(1.1)  # tables are looked at once a second
    done = instance.command("postsuper", "-r", qid)
    assert "Requeued: 1 message" in done.stderr
    new = requeued(instance, qid)
    assert new != qid
    instance.wait_log(rf"{new}: to=<u1@md.test>, orig_to=<bob@relay.test>, "
                      r".*status=sent")
    instance.wait_log(rf"{qid}: removed")
    instance.wait_empty()
    for one in (qid, new):  # the old one is not tried again
        assert len(re.findall(f"{one}: from=.*queue active", instance.log())) == 1
    message = instance.message(instance.wait_maildir("u1")[0])
    assert message["Subject"] == "again"
    received = message.get_all("Received")
    assert len(received) == 2 and qid in received[1] and new in received[0]
    assert re.search(r"by mx\.test\.example \(.*\)\s+id", received[0])


def test_what_was_delivered_stays(instance, sink):
    """Of an alias with two members the one that had it gets it no more."""
    state = defer(instance, sink)
    instance.write("virtual", "list@md.test u2@md.test, ann@relay.test\n")
    time.sleep(1.1)
    qid = instance.send("list@md.test")
    instance.wait_log(rf"{qid}: to=<u2@md.test>, .*status=sent")
    instance.wait_log(rf"{qid}: to=<ann@relay.test>, .*status=deferred")
    state["busy"] = False
    instance.command("postsuper", "-r", "ALL")
    new = requeued(instance, qid)
    instance.wait_log(rf"{new}: to=<ann@relay.test>, .*status=sent")
    instance.wait_empty()
    assert len(instance.maildir("u2")) == 1


def test_held_and_restart(instance, sink):
    """Off hold; and the order survives the queue manager."""
    defer(instance, sink)
    qid = instance.send("bob@relay.test")
    instance.wait_log(rf"{qid}: .*status=deferred")
    instance.command("postsuper", "-h", qid)
    instance.stop()
    assert "Requeued: 1" in instance.command("postsuper", "-r", qid).stderr
    instance.write("virtual", "bob@relay.test u3@md.test\n")
    instance.start()
    new = requeued(instance, qid)
    instance.wait_log(rf"{new}: to=<u3@md.test>, .*status=sent")
    instance.wait_empty()


def test_with_body_in_a_file(instance, sink):
    """A large message keeps its content."""
    defer(instance, sink)
    line = b"0123456789" * 7 + b"\r\n"
    qid = instance.send("bob@relay.test",
                        body=b"Subject: big\r\n\r\n" + line * 20000)
    instance.wait_log(rf"{qid}: .*status=deferred")
    instance.write("virtual", "bob@relay.test u4@md.test\n")
    time.sleep(1.1)
    instance.command("postsuper", "-r", qid)
    mail = instance.wait_maildir("u4")[0].read_bytes()
    assert mail.count(line.replace(b"\r", b"")) == 20000
    instance.wait_empty()


def test_refused_by_clean_up(instance, sink):
    """What clean-up does not take stays what it was, and is delivered."""
    state = defer(instance, sink)
    qid = instance.send("bob@relay.test",
                        body="Subject: long\r\n\r\n" + "x\r\n" * 5000)
    instance.wait_log(rf"{qid}: .*status=deferred")
    instance.set(message_size_limit="10000")
    instance.reload()
    state["busy"] = False
    instance.command("postsuper", "-r", qid)
    instance.wait_log(rf"{qid}: not requeued: ")
    instance.wait_log(rf"{qid}: to=<bob@relay.test>, .*status=sent", timeout=20)
    instance.wait_empty()

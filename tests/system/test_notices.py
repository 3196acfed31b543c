"""What senders and the postmaster are told, and when nobody is."""
import re

import pytest
from waiting import free_port


@pytest.fixture
def relay(instance, sink):
    """Mail for relay.test is refused for good, for dead.test nobody answers."""
    refusing = sink(replies={"RCPT": "550 5.1.1 no such user here"})
    instance.write("transport", f"relay.test smtp:[127.0.0.1]:{refusing.port}\n"
                   f"dead.test smtp:[127.0.0.1]:{free_port()}\n")
    instance.set(minimal_backoff_time="1s", maximal_backoff_time="1s", queue_run_delay="1s")
    return instance


def notice(instance, user, count=1):
    """The only notice in a Maildir."""
    paths = instance.wait_maildir(user, count)
    assert len(paths) == count
    message = instance.message(paths[-1])
    assert message.get_content_type() == "multipart/report", message
    return message


def report(message):
    return message.get_payload()[1].as_string()


def test_delay_warning_then_expiry(relay):
    relay.set(delay_warning_time="2s", maximal_queue_lifetime="9s").start()
    qid = relay.send("bob@dead.test", sender="u1@md.test")
    delayed = notice(relay, "u1")
    assert "Action: delayed" in report(delayed) and "Will-Retry-Until:" in report(delayed)
    relay.wait_log(rf"bounce\[\d+\]: {qid}: sender delay notification: \w+")
    assert qid in [e["queue_id"] for e in relay.queue()]  # it is tried on

    paths = relay.wait_maildir("u1", 2, 30)
    reports = [report(relay.message(p)) for p in paths]
    assert sorted("Action: failed" in r for r in reports) == [False, True]
    failed = next(r for r in reports if "Action: failed" in r)
    assert "Status: 4.4.1" in failed
    relay.wait_log(rf"qmgr\[\d+\]: {qid}: from=<u1@md.test>, status=expired, "
                   "returned to sender")
    relay.wait_empty()
    assert len(relay.maildir("u1")) == 2  # one warning, one failure


def test_no_warning_unless_asked(relay):
    relay.set(maximal_queue_lifetime="3s").start()
    relay.send("bob@dead.test", sender="u1@md.test")
    relay.wait_empty()
    assert "Action: failed" in report(notice(relay, "u1"))


def test_null_sender_is_never_answered(relay):
    relay.set(notify_classes="").start()
    qid = relay.send("bob@relay.test", sender="")
    relay.wait_log(rf"{qid}: to=<bob@relay.test>, .* status=bounced")
    relay.wait_log(rf"qmgr\[\d+\]: {qid}: removed")
    relay.wait_empty()
    assert "notification" not in relay.log()
    assert not list(relay.mail.glob("*/new/*"))


def test_double_bounce_to_postmaster(relay):
    """The notice comes back, too: the postmaster gets it, once."""
    relay.set(**{"notify_classes": "2bounce", "2bounce_notice_recipient": "u9@md.test"})
    relay.start()
    qid = relay.send("bob@relay.test", sender="ann@relay.test")
    message = notice(relay, "u9")
    assert "Mail Delivery System" in message["From"]
    assert "Postmaster Copy" in message["Subject"]
    assert "Final-Recipient: rfc822; ann@relay.test" in report(message)
    relay.wait_log(rf"bounce\[\d+\]: {qid}: sender non-delivery notification: \w+")
    relay.wait_log(r"bounce\[\d+\]: \w+: postmaster non-delivery notification: \w+")
    relay.wait_empty()
    assert len(relay.maildir("u9")) == 1


def test_double_bounce_that_fails_ends(relay):
    relay.set(**{"notify_classes": "2bounce", "2bounce_notice_recipient": "pm@relay.test"})
    relay.start()
    relay.send("bob@relay.test", sender="ann@relay.test")
    relay.wait_log(r"undeliverable postmaster notification discarded")
    relay.wait_empty()


def test_notify_never(relay):
    relay.start()
    qid = relay.send("bob@relay.test", sender="u1@md.test", rcpt=["NOTIFY=NEVER"])
    relay.wait_log(rf"qmgr\[\d+\]: {qid}: removed")
    relay.wait_empty()
    assert "notification" not in relay.log()
    assert not relay.maildir("u1")


def test_notify_without_failure(relay):
    """NOTIFY=SUCCESS alone: of a failure the sender does not want to hear."""
    relay.start()
    qid = relay.send("bob@relay.test", sender="u1@md.test", rcpt=["NOTIFY=SUCCESS"])
    relay.wait_log(rf"qmgr\[\d+\]: {qid}: removed")
    relay.wait_empty()
    assert "notification" not in relay.log()
    assert not relay.maildir("u1")


def test_parameters_come_back(relay):
    relay.start()
    relay.send("bob@relay.test", sender="u1@md.test", mail=["ENVID=env+2Bid"],
               rcpt=["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;orig+2Bx@md.test"])
    text = report(notice(relay, "u1"))
    assert "Original-Envelope-Id: env+id" in text
    assert "Original-Recipient: rfc822;orig+x@md.test" in text


@pytest.mark.parametrize("ret, kind", [("HDRS", "text/rfc822-headers"),
                                       ("FULL", "message/rfc822")])
def test_what_comes_back(relay, ret, kind):
    relay.start()
    relay.send("bob@relay.test", "Subject: mine\r\n\r\nthe body of it\r\n",
               sender="u1@md.test", mail=[f"RET={ret}"])
    third = notice(relay, "u1").get_payload()[2]
    assert third.get_content_type() == kind
    assert "Subject: mine" in third.as_string()
    assert ("the body of it" in third.as_string()) == (ret == "FULL")


def test_sender_is_a_virtual_alias(relay):
    relay.write("virtual", "alias.test x\nboss@alias.test u5@md.test\n")
    relay.set(virtual_alias_maps=f"texthash:{relay.conf}/virtual",
              virtual_alias_domains="alias.test").start()
    relay.send("bob@relay.test", sender="boss@alias.test")
    message = notice(relay, "u5")
    assert message["To"] == "boss@alias.test"
    assert message["X-Original-To"] == "boss@alias.test"


@pytest.mark.parametrize("kept", ["yes", "no"])
def test_original_recipient(instance, sink, kept):
    """enable_original_recipient = no: nobody learns an alias by the mail that came by it, and
    what it stands for is not called the original either."""
    next_hop = sink()
    instance.write("virtual", "alias.test x\nbox@alias.test u1@md.test\n"
                   "far@alias.test bob@relay.test\nbad@alias.test 550@error.test\n")
    instance.write("transport", f"relay.test smtp:[127.0.0.1]:{next_hop.port}\n"
                   "error.test error:5.1.1 nobody\n")
    instance.set(virtual_alias_maps=f"texthash:{instance.conf}/virtual",
                 virtual_alias_domains="alias.test", enable_original_recipient=kept).start()
    for name in ("box", "far", "bad"):
        instance.send(f"{name}@alias.test", sender="u2@md.test")
    text = report(notice(instance, "u2"))
    assert "Final-Recipient: rfc822; 550@error.test" in text
    message = instance.message(instance.wait_maildir("u1")[0])
    next_hop.wait()
    rcpt = next(c for c in next_hop.commands if c.startswith("RCPT"))
    instance.wait_empty()
    originals = re.findall(r"orig_to=<(\w+)@", instance.log())
    if kept == "yes":
        assert "Original-Recipient: rfc822;bad@alias.test" in text
        assert message["X-Original-To"] == "box@alias.test"
        assert "ORCPT=rfc822;far@alias.test" in rcpt
        assert set(originals) == {"box", "far", "bad"}
    else:
        assert "Original-Recipient" not in text
        assert message["X-Original-To"] is None
        assert "ORCPT" not in rcpt
        assert not originals

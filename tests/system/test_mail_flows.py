"""One message all the way: in by SMTP or sendmail(1), out to a mailbox, to
another host, or back to its sender."""
import re

from waiting import wait_for


def test_smtp_to_maildir(running):
    qid = running.send("u1@md.test", "Subject: one\r\n\r\nhello\r\n.leading dot\r\n")
    path = running.wait_maildir("u1")[0]
    text = path.read_bytes()
    assert text.endswith(b"\n\nhello\n.leading dot\n")
    message = running.message(path)
    assert message["Return-Path"] == "<sender@client.example>"
    assert message["X-Original-To"] == "u1@md.test"
    assert message["Delivered-To"] == "u1@md.test"
    assert f"id {qid}" in message["Received"]
    running.wait_log(rf"postfix/smtpd\[\d+\]: {qid}: client=")
    running.wait_log(rf"postfix/cleanup\[\d+\]: {qid}: message-id=<")
    running.wait_log(rf"postfix/qmgr\[\d+\]: {qid}: from=<sender@client.example>, "
                     r"size=\d+, nrcpt=1 \(queue active\)")
    running.wait_log(rf"postfix/virtual\[\d+\]: {qid}: to=<u1@md.test>, "
                     r"relay=virtual, delay=[\d.]+, delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, "
                     r"dsn=2.0.0, status=sent \(delivered to maildir\)")
    running.wait_log(rf"postfix/qmgr\[\d+\]: {qid}: removed")
    running.wait_empty()


def test_relay_to_next_hop(instance, sink):
    next_hop = sink()
    instance.write("transport", f"relay.test smtp:[127.0.0.1]:{next_hop.port}\n")
    instance.start()
    qid = instance.send("bob@relay.test", "Subject: two\r\n\r\n..two dots\r\nend\r\n")
    sender, rcpts, octets, _ = next_hop.wait()[0]
    assert sender == "sender@client.example"
    assert rcpts == ["bob@relay.test"]
    assert octets.endswith(b"\r\n\r\n..two dots\r\nend\r\n")
    instance.wait_log(rf"{qid}: to=<bob@relay.test>, "
                      rf"relay=127.0.0.1\[127.0.0.1\]:{next_hop.port}, .* dsn=2.0.0, "
                      r"status=sent \(250 2.0.0 Ok: kept\)")
    instance.wait_empty()


def test_bounce_to_sender(instance, sink):
    next_hop = sink(replies={"RCPT": "550 5.1.1 no such user here"})
    instance.write("transport", f"relay.test smtp:[127.0.0.1]:{next_hop.port}\n")
    instance.start()
    qid = instance.send("bob@relay.test", sender="u2@md.test")
    notice = instance.message(instance.wait_maildir("u2")[0])
    assert notice["Return-Path"] == "<>"
    assert notice.get_content_type() == "multipart/report"
    parts = notice.get_payload()
    assert [p.get_content_type() for p in parts] == [
        "text/plain", "message/delivery-status", "message/rfc822"]
    report = parts[1].as_string()
    assert "Final-Recipient: rfc822; bob@relay.test" in report
    assert "Action: failed" in report
    assert "Status: 5.1.1" in report
    instance.wait_log(rf"{qid}: to=<bob@relay.test>, .* dsn=5.1.1, status=bounced")
    instance.wait_log(rf"bounce\[\d+\]: {qid}: sender non-delivery notification: \w+")
    instance.wait_empty()


def test_deferred_mail_is_retried(instance, sink):
    state = {"busy": True}
    next_hop = sink(replies={
        "RCPT": lambda s: "450 4.2.0 later" if state["busy"] else "250 ok"})
    instance.write("transport", f"relay.test smtp:[127.0.0.1]:{next_hop.port}\n")
    instance.start()
    qid = instance.send("bob@relay.test")
    instance.wait_log(rf"{qid}: to=<bob@relay.test>, .* dsn=4.2.0, status=deferred "
                      r"\(host 127.0.0.1\[127.0.0.1\] said: 450 4.2.0 later \(in reply to RCPT TO command\)\)")
    wait_for(lambda: [e["queue_name"] for e in instance.queue()] == ["deferred"],
             what="the end of the attempt")
    entry = instance.queue()[0]
    assert entry["queue_id"] == qid
    assert "450 4.2.0 later" in entry["recipients"][0]["delay_reason"]
    state["busy"] = False
    instance.command("postqueue", "-f")
    next_hop.wait()
    instance.wait_empty()


def test_sendmail_to_maildir(running):
    running.command("sendmail", "-f", "me@here.example", "u3@md.test",
                    input="Subject: from sendmail\n\nbody\n")
    message = running.message(running.wait_maildir("u3")[0])
    assert message["Subject"] == "from sendmail"
    assert message["Return-Path"] == "<me@here.example>"
    assert message["Message-Id"] and message["Date"]
    running.wait_log(r"postfix/pickup\[\d+\]: \w+: uid=\d+ from=<me@here.example>")


def test_sendmail_while_down(instance):
    instance.start()
    instance.stop()
    instance.command("sendmail", "u4@md.test", input="Subject: later\n\nx\n")
    assert not instance.maildir("u4")
    instance.start()
    assert len(instance.wait_maildir("u4")) == 1


def test_relay_denied_and_unknown_user(instance):
    instance.set(mynetworks="192.0.2.0/24",
                 smtpd_relay_restrictions="permit_mynetworks, reject_unauth_destination")
    instance.start()
    with instance.smtp() as client:
        client.ehlo()
        client.mail("a@b.example")
        code, text = client.rcpt("x@elsewhere.example")
        assert (code, text) == (554, b"5.7.1 <x@elsewhere.example>: Relay access denied")
        code, text = client.rcpt("nobody@md.test")
        assert code == 550
        assert re.match(rb"5.1.1 <nobody@md.test>: Recipient address rejected: "
                        rb"User unknown in virtual mailbox table", text)
    instance.wait_log(r"NOQUEUE: reject: RCPT from unknown\[127.0.0.1\]: 554 5.7.1 "
                      r"<x@elsewhere.example>: Relay access denied; "
                      r"from=<a@b.example> to=<x@elsewhere.example> proto=ESMTP helo=<client.example>")

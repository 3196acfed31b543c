"""What senders are told: failures, delays, expiry; who is told nothing."""
import re

import contract
import pytest

WHERE = r"relay=127\.0\.0\.1\[127\.0\.0\.1\]:{port}"


def answers(session):
    """The RCPT replies of the next hop, by the address."""
    table = {"bad": "550 5.1.1 no such user here", "naked": "550 plain no",
             "multi": "550-5.7.1 line one\r\n550 5.7.1 line two",
             "full": "552 5.2.2 mailbox full", "later": "450 4.2.0 try later"}
    for word, reply in table.items():
        if word in session["line"]:
            return reply
    return "250 2.1.5 Ok"


@pytest.fixture
def site(sink):
    """A server with a next hop for relay.test."""
    hop = sink(replies={"RCPT": answers})
    with contract.rig() as rig:
        rig.set(relay_domains="relay.test ret.test err.test", bounce_size_limit="2000",
                smtp_dns_support_level="disabled", smtp_host_lookup="native",
                smtpd_reject_unlisted_recipient="no", mail_name="Mailer",
                transport_maps=rig.table("transport", f"""\
relay.test smtp:[127.0.0.1]:{hop.port}
err.test error:5.7.0 closed down
ret.test retry:4.7.0 not now
"""))
        rig.hop = hop
        yield rig


def parts_of(octets):
    """The header's lines of a notice and its three parts as text."""
    text = octets.decode("latin-1")
    header, _, body = text.partition("\n\n")
    boundary = re.search(r'boundary="(.*)"', header).group(1)
    _, people, programs, returned, rest = (body.split(f"--{boundary}"))
    assert rest.startswith("--\n")
    return header.split("\n"), people, programs, returned


def test_failure(site):
    site.start()
    with site.wire() as w:
        qid = w.mail("bad@relay.test", "Subject: back\r\nX-T: y\r\n\r\nbody \xe9\r\n",
                     sender="u5@md.test")
    reason = "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such user here"
    site.wait_log(rf"postfix/smtp\[\d+\]: {qid}: to=<bad@relay\.test>, " +
                  WHERE.format(port=site.hop.port) +
                  r", delay=[\d.]+, delays=[\d./]+, dsn=5\.1\.1, status=bounced \(" +
                  re.escape(reason) + r" \(in reply to RCPT TO command\)\)$")
    new = site.wait_log(rf"postfix/bounce\[\d+\]: {qid}: sender non-delivery "
                        r"notification: (\w+)$").group(1)
    header, people, programs, returned = parts_of(site.take("u5"))
    assert header[:3] == ["Return-Path: <>", "X-Original-To: u5@md.test",
                          "Delivered-To: u5@md.test"]
    assert header[3] == "Received: by mx.test.example (Mailer)"
    assert header[4].startswith(f"\tid {new}; ")
    assert header[5].startswith("Date: ")
    assert header[6:10] == [
        "From: Mail Delivery System <MAILER-DAEMON@mx.test.example>",
        "Subject: Undelivered Mail Returned to Sender", "To: u5@md.test",
        "Auto-Submitted: auto-replied"]
    assert "Content-Type: multipart/report; report-type=delivery-status;" in header
    assert re.search(rf'boundary="{qid}\.\d+/mx\.test\.example"', header[12])
    assert "Content-Description: Notification\nContent-Type: text/plain; " in people
    assert "\n\nThis is the mail system at host mx.test.example.\n" in people
    assert people.endswith(f"\n\n<bad@relay.test>: {reason}\n"
                           "    (in reply to RCPT TO command)\n\n")
    assert programs.startswith("\nContent-Description: Delivery report\n"
                               "Content-Type: message/delivery-status\n\n"
                               "Reporting-MTA: dns; mx.test.example\n"
                               f"X-Mailer-Queue-ID: {qid}\n"
                               "X-Mailer-Sender: rfc822; u5@md.test\nArrival-Date: ")
    assert programs.endswith("""
Final-Recipient: rfc822; bad@relay.test
Original-Recipient: rfc822;bad@relay.test
Action: failed
Status: 5.1.1
Remote-MTA: dns; 127.0.0.1
Diagnostic-Code: smtp; 550 5.1.1 no such user here

""")
    assert returned.startswith("\nContent-Description: Undelivered Message\n"
                               "Content-Type: message/rfc822\n"
                               "Content-Transfer-Encoding: 8bit\n\n"
                               "Return-Path: <u5@md.test>\n"
                               "Received: from client.example ")
    assert returned.endswith("\nFrom: u5@md.test\n\nbody \xc3\xa9\n\n")
    site.wait_log(f"{qid}: removed$")


def test_one_notice_for_several(site):
    site.start()
    recipients = ["bad@relay.test", "multi@relay.test", "naked@relay.test",
                  "full@relay.test", "good@relay.test", "gone@err.test"]
    with site.wire() as w:
        qid = w.mail(recipients, sender="u5@md.test")
    site.wait_log(f"{qid}: removed$")
    programs = site.take("u5").decode()
    assert re.findall("^Final-Recipient: rfc822; (.*)", programs, re.M) and \
        dict(re.findall(r"^Final-Recipient: rfc822; (.*)\n(?:.*\n){2}Status: (.*)",
                        programs, re.M)) == {
            "bad@relay.test": "5.1.1", "multi@relay.test": "5.7.1",
            "naked@relay.test": "5.0.0", "full@relay.test": "5.2.2",
            "gone@err.test": "5.7.0"}
    assert "Diagnostic-Code: smtp; 550-5.7.1 line one 550 5.7.1 line two\n" in programs
    assert "Diagnostic-Code: X-Mailer; closed down\n" in programs
    site.wait_log(rf"postfix/error\[\d+\]: {qid}: to=<gone@err\.test>, relay=none, "
                  r".*dsn=5\.7\.0, status=bounced \(closed down\)$")
    site.wait_log(rf"{qid}: to=<good@relay\.test>, .*status=sent "
                  r"\(250 2\.0\.0 Ok: kept\)$")
    assert site.hop.wait()[0][1] == ["good@relay.test"]


def test_who_is_told_what(site):
    site.start()

    def send(mail, rcpt, body="Subject: d\r\n\r\n" + "text\r\n" * 5):
        with site.wire() as w:
            assert w("MAIL FROM:" + mail) == "250 2.1.0 Ok"
            assert w("RCPT TO:" + rcpt) == "250 2.1.5 Ok"
            w("DATA")
            w.send(body)
            qid = w.queued(w("."))
        site.wait_log(f"{qid}: removed$")
        return qid

    silent = [send("<u5@md.test>", "<bad@relay.test> NOTIFY=NEVER"),
              send("<u5@md.test>", "<bad@relay.test> NOTIFY=DELAY"),
              send("<>", "<bad@relay.test>")]
    send("<u5@md.test> RET=HDRS ENVID=a+2Bb",
         "<bad@relay.test> ORCPT=rfc822;first+2Bx@old.test")
    _, _, programs, returned = parts_of(site.take("u5"))
    assert "\nOriginal-Envelope-Id: a+b\n" in programs
    assert "\nOriginal-Recipient: rfc822;first+x@old.test\n" in programs
    assert "Content-Type: text/rfc822-headers\n" in returned
    assert returned.endswith("\nFrom: u5@md.test\n\n")
    send("<u5@md.test>", "<bad@relay.test>", "Subject: big\r\n\r\n" + "text\r\n" * 500)
    assert "Content-Type: text/rfc822-headers\n" in parts_of(site.take("u5"))[3]
    site.wait_empty()
    assert not any(f"{qid}: sender non-delivery" in site.log() for qid in silent)
    # The next hop's share of it.
    assert "MAIL FROM:<u5@md.test>" in site.hop.commands[1]
    assert any("NOTIFY=NEVER" in c and "ORCPT=rfc822;bad@relay.test" in c
               for c in site.hop.commands)


def test_postmaster(site):
    site.set(notify_classes="bounce, 2bounce",
             virtual_alias_maps=site.table("va", "postmaster@mx.test.example u6@md.test\n"))
    site.start()
    with site.wire() as w:  # a copy for the postmaster, and a notice that fails
        qid = w.mail("bad@relay.test", sender="nobody9@md.test")
    site.wait_log(rf"{qid}: postmaster non-delivery notification: \w+$")
    site.wait_log(r"postmaster non-delivery notification", count=2)
    site.wait_empty()
    copies = [f.read_bytes() for f in site.wait_maildir("u6", 2)]
    for octets in copies:
        header, people, _, returned = parts_of_nested(octets)
        assert header[0] == "Return-Path: <double-bounce@mx.test.example>"
        assert "Subject: Postmaster Copy: Undelivered Mail" in header
        assert "Auto-Submitted: auto-generated" in header
        assert "This is the mail system" not in people
    assert sum(b"\n\nReturn-Path: <MAILER-DAEMON@mx.test.example>\n" in c
               for c in copies) == 1


def parts_of_nested(octets):
    """As parts_of(), of a notice that may return another."""
    text = octets.decode("latin-1")
    header, _, body = text.partition("\n\n")
    boundary = re.search(r'boundary="(.*)"', header).group(1)
    parts = body.split(f"--{boundary}")
    return header.split("\n"), parts[1], parts[2], parts[3]


def test_deferred_then_flushed(site):
    site.start()
    with site.wire() as w:
        qid = w.mail("later@relay.test", sender="u5@md.test")
    site.wait_log(rf"{qid}: to=<later@relay\.test>, .*dsn=4\.2\.0, status=deferred "
                  r"\(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 450 4\.2\.0 try later "
                  r"\(in reply to RCPT TO command\)\)$")
    site.hop.replies["RCPT"] = "250 2.1.5 Ok"
    site.command("postqueue", "-f")
    site.wait_log(rf"{qid}: to=<later@relay\.test>, .*dsn=2\.0\.0, status=sent")
    site.wait_log(f"{qid}: removed$")


def test_delay_and_expiry(site):
    site.set(delay_warning_time="1s", maximal_queue_lifetime="3s",
             minimal_backoff_time="1s", maximal_backoff_time="1s",
             queue_run_delay="1s")
    site.start()
    with site.wire() as w:
        qid = w.mail("x@ret.test", sender="u5@md.test")
    site.wait_log(rf"postfix/error\[\d+\]: {qid}: to=<x@ret\.test>, relay=none, .*"
                  r"dsn=4\.7\.0, status=deferred \(not now\)$")
    site.wait_log(rf"postfix/bounce\[\d+\]: {qid}: sender delay notification: \w+$")
    header, _, programs, returned = parts_of(site.take("u5"))
    assert "Subject: Delayed Mail (still being retried)" in header
    assert "\nAction: delayed\nStatus: 4.7.0\nDiagnostic-Code: X-Mailer; not now\n" \
        "Will-Retry-Until: " in programs
    assert "Content-Type: text/rfc822-headers\n" in returned
    site.wait_log(rf"postfix/qmgr\[\d+\]: {qid}: from=<u5@md\.test>, status=expired, "
                  r"returned to sender$")
    header, _, programs, _ = parts_of(site.take("u5"))
    assert "Subject: Undelivered Mail Returned to Sender" in header
    assert "\nAction: failed\nStatus: 4.7.0\n" in programs
    site.wait_log(f"{qid}: removed$")

"""Notices of success, and the reports of sendmail -v and -bv.

Structure, actions and texts of the report for programs are Postfix's, word for
word; only what is said to people is not.
"""
import re

import contract
import pytest
from waiting import free_port


@pytest.fixture
def site(sink):
    """Next hops with and without DSN, local users, aliases of both kinds."""
    plain = sink(replies={"EHLO": "250-sink.test\r\n250 ENHANCEDSTATUSCODES"})
    knows = sink()
    with contract.rig() as rig:
        rig.set(relay_domains="relay.test dsn.test err.test disc.test dead.test",
                mydestination="local.test, mx.test.example",
                smtpd_reject_unlisted_recipient="no", mail_name="Mailer",
                smtp_dns_support_level="disabled", smtp_host_lookup="native",
                alias_maps=rig.table("aliases", "al bob, x@relay.test\n"
                                     "lst carol\nowner-lst bob\n"),
                virtual_alias_domains="va.test",
                virtual_alias_maps=rig.table(
                    "virtual", "one@va.test u1@md.test\n"
                    "two@va.test u1@md.test, u2@md.test\n"
                    "same@md.test same@md.test\n"),
                transport_maps=rig.table("transport", f"""\
relay.test smtp:[127.0.0.1]:{plain.port}
dsn.test smtp:[127.0.0.1]:{knows.port}
err.test error:5.7.0 closed down
disc.test discard:gone
dead.test smtp:[127.0.0.1]:{free_port()}
"""))
        rig.plain, rig.knows = plain, knows
        yield rig.start()


def send(site, recipients, rcpt="NOTIFY=SUCCESS", mail="", sender="u5@md.test"):
    with site.wire() as w:
        assert w(f"MAIL FROM:<{sender}>{mail}") == "250 2.1.0 Ok"
        for r in recipients:
            assert w(f"RCPT TO:<{r}> {rcpt}") == "250 2.1.5 Ok"
        w("DATA")
        w.send("Subject: mine\r\n\r\nthe body of it\r\n")
        return w.queued(w("."))


def told(octets):
    """Subject, {recipient: fields of the report}, and the three parts."""
    text = octets.decode()
    subject = re.search("^Subject: (.*)$", text, re.M).group(1)
    boundary = re.search(r'boundary="(.*)"', text).group(1)
    parts = text.split(f"--{boundary}")[1:4]
    assert "Content-Type: message/delivery-status" in parts[1]
    groups = parts[1].replace("\n    ", " ").strip().split("\n\n")[2:]
    fields = [dict(line.split(": ", 1) if ": " in line else line.split(":", 1)
                   for line in group.split("\n")) for group in groups]
    return subject, {f.pop("Final-Recipient").removeprefix("rfc822; "): f
                     for f in fields}, parts


def relayed(port):
    return f"delivery via 127.0.0.1[127.0.0.1]:{port}: 250 2.0.0 Ok: kept"


def test_delivered_and_relayed(site):
    qid = send(site, ["alice@local.test", "a@relay.test", "u1@md.test",
                      "x@disc.test"], "NOTIFY=SUCCESS ORCPT=rfc822;first@x.test",
               mail=" ENVID=abc RET=FULL")
    subject, by, parts = told(site.take("u5"))
    assert subject == "Successful Mail Delivery Report"
    assert by == {
        "alice@local.test": {
            "Original-Recipient": "rfc822;first@x.test", "Action": "delivered",
            "Status": "2.0.0", "Diagnostic-Code":
            "X-Mailer; delivery via local: delivered to mailbox"},
        "a@relay.test": {
            "Original-Recipient": "rfc822;first@x.test", "Action": "relayed",
            "Status": "2.0.0", "Remote-MTA": "dns; 127.0.0.1",
            "Diagnostic-Code": "smtp; 250 2.0.0 Ok: kept"},
        "u1@md.test": {
            "Original-Recipient": "rfc822;first@x.test", "Action": "delivered",
            "Status": "2.0.0", "Diagnostic-Code":
            "X-Mailer; delivery via virtual: delivered to maildir"},
        "x@disc.test": {
            "Original-Recipient": "rfc822;first@x.test", "Action": "delivered",
            "Status": "2.0.0", "Diagnostic-Code": "X-Mailer; gone"},
    }
    assert "\nOriginal-Envelope-Id: abc\n" in parts[1]
    assert f"<a@relay.test>: {relayed(site.plain.port)}\n" in \
        parts[0].replace("\n    ", " ")
    # RET is about failures.
    assert parts[2].startswith("\nContent-Description: Message Headers\n"
                               "Content-Type: text/rfc822-headers\n")
    assert "Subject: mine" in parts[2] and "the body" not in parts[2]
    site.wait_log(rf"postfix/bounce\[\d+\]: {qid}: sender delivery status "
                  r"notification: \w+$")
    site.wait_log(f"{qid}: removed$")


def test_next_hop_tells(site):
    qid = send(site, ["b@dsn.test"])
    site.wait_log(f"{qid}: removed$")
    site.wait_empty()
    assert not site.maildir("u5")
    assert any("NOTIFY=SUCCESS" in line for line in site.knows.commands)


@pytest.mark.parametrize("sender, word", [("", "single"),
                                          ("double-bounce@mx.test.example", "double")])
def test_bounces_are_not_told(site, sender, word):
    qid = send(site, ["u1@md.test"], sender=sender)
    site.wait_log(rf"postfix/bounce\[\d+\]: {qid}: not sending trace/success "
                  f"notification for {word}-bounce message$")
    site.wait_log(f"{qid}: removed$")
    site.wait_empty()


@pytest.mark.parametrize("alias, action, way", [
    ("one@va.test", "expanded", ""), ("two@va.test", "expanded", ""),
    ("al@local.test", "expanded", "delivery via local: "),
    ("lst@local.test", "delivered", "delivery via local: ")])
def test_aliases(site, alias, action, way):
    """Who stands for an alias is not told of once more; a list's owner neither."""
    send(site, [alias])
    _, by, _ = told(site.take("u5"))
    assert by == {alias: {
        "Original-Recipient": f"rfc822;{alias}", "Action": action,
        "Status": "2.0.0", "Diagnostic-Code": f"X-Mailer; {way}alias expanded"}}
    site.wait_empty()
    assert not site.maildir("u5")


def test_alias_that_is_itself(site):
    site.write("vmailbox", "same@md.test same/\nu5@md.test u5/\n")
    site.reload()
    send(site, ["same@md.test"])
    _, by, _ = told(site.take("u5"))
    assert by["same@md.test"]["Action"] == "delivered"


def test_late_and_failed_are_not_success(site):
    site.set(minimal_backoff_time="1h").reload()
    qid = send(site, ["dd@dead.test", "u1@md.test", "e@err.test"])
    _, by, _ = told(site.take("u5"))
    assert set(by) == {"u1@md.test"}
    site.wait_log(rf"{qid}: to=<dd@dead\.test>.*status=deferred")
    entry, = site.queue()
    assert [r["address"] for r in entry["recipients"]] == ["dd@dead.test"]


def mailed(site, *args, text="Subject: hi\n\nbody\n"):
    assert site.out("sendmail", "-f", "u5@md.test", *args, input=text) == \
        "Mail Delivery Status Report will be mailed to <u5@md.test>.\n"


def test_verbose(site):
    site.set(minimal_backoff_time="1h").reload()
    mailed(site, "-v", "alice@local.test", "a@relay.test", "b@dsn.test",
           "e@err.test", "d@dead.test", "no@local.test", "al@local.test")
    notices = [f.read_bytes() for f in site.wait_maildir("u5", 2)]
    reports = {told(n)[0]: told(n) for n in notices}
    _, by, parts = reports["Mail Delivery Status Report"]
    assert {r: f["Action"] for r, f in by.items()} == {
        "alice@local.test": "delivered", "a@relay.test": "relayed",
        "b@dsn.test": "relayed", "e@err.test": "failed", "d@dead.test": "delayed",
        "no@local.test": "failed", "al@local.test": "relayed"}
    assert "delivery via local: forwarded as " in by["al@local.test"]["Diagnostic-Code"]
    assert "Subject: hi" in parts[2]
    _, by, _ = reports["Undelivered Mail Returned to Sender"]
    assert set(by) == {"e@err.test", "no@local.test"}


def test_probe(site):
    mailed(site, "-bv", "alice@local.test", "a@relay.test", "u1@md.test",
           "x@disc.test", "e@err.test", "d@dead.test", "no@local.test",
           "al@local.test", text="never read\n")
    subject, by, parts = told(site.take("u5"))
    assert subject == "Mail Delivery Status Report"
    assert {r: (f["Action"], f["Status"], f["Diagnostic-Code"])
            for r, f in by.items() if r != "d@dead.test"} == {
        "alice@local.test": ("deliverable", "2.0.0",
                             "X-Mailer; delivery via local: delivers to mailbox"),
        "a@relay.test": ("deliverable", "2.1.5", "smtp; 250 2.1.5 Ok"),
        "u1@md.test": ("deliverable", "2.0.0",
                       "X-Mailer; delivery via virtual: delivers to maildir"),
        "x@disc.test": ("deliverable", "2.0.0", "X-Mailer; gone"),
        "e@err.test": ("undeliverable", "5.7.0", "X-Mailer; closed down"),
        "no@local.test": ("undeliverable", "5.1.1",
                          'X-Mailer; delivery via local: unknown user: "no"'),
        "al@local.test": ("deliverable", "2.0.0", "X-Mailer; delivery via local: "
                          "aliased to bob, x@relay.test")}
    assert (by["d@dead.test"]["Action"], by["d@dead.test"]["Status"]) == \
        ("undeliverable", "4.4.1")
    assert "\nSubject: probe\nTo:\talice@local.test,\n\ta@relay.test,\n" in parts[2]
    for recipient, status in ((r"a@relay\.test", "deliverable"),
                              (r"d@dead\.test", "undeliverable"),
                              (r"e@err\.test", "undeliverable"),
                              (r"u1@md\.test", "deliverable")):
        site.wait_log(rf"to=<{recipient}>, .*, status={status} \(")
    site.wait_empty()
    # Nobody got anything.
    assert not site.maildir("u1") and not site.plain.messages
    assert not list((site.base / "spoolmail").iterdir())


def test_probe_that_cannot_be(site):
    status, out, err = site.run("sendmail", "-bv", "-t", input="To: u1@md.test\n\n")
    assert (status, out) == (64, "")
    assert err == "sendmail: fatal: -t option cannot be used with -bv\n"

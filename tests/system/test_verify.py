"""Address verification: reject_unverified_sender and _recipient, their probes, and what
is remembered of these (ADDRESS_VERIFICATION_README)."""
import os
import re
import signal
import smtplib
import threading
import time

import pytest
from instance import Instance, temporary
from waiting import wait_for

SAID = {"bad": "550 5.1.1 No such user here", "later": "450 4.2.0 Try again",
        "ok": "250 2.1.5 Fine"}
HOST = "host 127.0.0.1[127.0.0.1] said: "
WHERE = " (in reply to RCPT TO command)"


def by_name(session):
    """A reply to RCPT that the recipient's name chooses."""
    return SAID[re.search(r"<(bad|later|ok)", session["line"].lower()).group(1)]


def refusal(address, what, reason, status="4.1.1", subject="Recipient"):
    return f"{status} <{address}>: {subject} address rejected: {what} address: {reason}"


@pytest.fixture
def verifying(instance, sink):
    """relay.test is behind a sink that answers by name."""
    instance.sink = sink(replies={"RCPT": by_name})
    instance.write("transport", f"relay.test smtp:[127.0.0.1]:{instance.sink.port}\n")
    return instance.set(
        relay_domains="relay.test", smtpd_error_sleep_time="0",
        smtpd_relay_restrictions="permit_mynetworks, reject_unauth_destination",
        smtpd_recipient_restrictions="reject_unverified_recipient",
        address_verify_poll_delay="20s")


def rcpt(instance, address, sender="s@client.example", port=None):
    with smtplib.SMTP("127.0.0.1", port or instance.port, "client.example", 60) as smtp:
        smtp.ehlo()
        instance.must(smtp.mail(sender), 250)
        code, text = smtp.rcpt(address)
        return code, text.decode()


def probes(instance, address):
    return [c for c in instance.sink.commands if c.lower().startswith(f"rcpt to:<{address}>")]


def test_what_the_host_says(verifying):
    """Each address is asked once; nobody gets mail of it."""
    verifying.start()
    begun = time.monotonic()
    for _ in range(2):
        assert rcpt(verifying, "ok1@relay.test") == (250, "2.1.5 Ok")
        assert rcpt(verifying, "bad1@relay.test") == (450, refusal(
            "bad1@relay.test", "unverified", HOST + SAID["bad"] + WHERE))
        assert rcpt(verifying, "later1@relay.test") == (450, refusal(
            "later1@relay.test", "unverified", HOST + SAID["later"] + WHERE))
    assert rcpt(verifying, "OK1@Relay.test")[0] == 250
    assert time.monotonic() - begun < 20, "told only at the next poll"
    for address in ("ok1@relay.test", "bad1@relay.test", "later1@relay.test"):
        assert len(probes(verifying, address)) == 1
    verifying.wait_log(r"qmgr\[\d+\]: (\w+): from=<double-bounce@mx\.test\.example>, size=\d+, "
                       r"nrcpt=1 \(queue active\)")
    verifying.wait_log(r"smtp\[\d+\]: \w+: to=<ok1@relay\.test>, relay=127\.0\.0\.1.*, "
                       r"dsn=2\.1\.5, status=deliverable \(250 2\.1\.5 Fine\)")
    verifying.wait_log(r"to=<bad1@relay\.test>, .*dsn=5\.1\.1, status=undeliverable \(host ")
    verifying.wait_empty()
    assert verifying.sink.messages == []
    assert "DATA" not in verifying.sink.commands
    assert "notification" not in verifying.log()


@pytest.mark.parametrize("name, settings, expected", [
    ("bad", {"unverified_recipient_reject_code": 550},
     (550, refusal("bad@relay.test", "undeliverable", HOST + SAID["bad"] + WHERE, "5.1.1"))),
    ("bad", {"unverified_recipient_reject_code": 550,
             "unverified_recipient_reject_reason": "Nobody there"},
     (550, refusal("bad@relay.test", "undeliverable", "Nobody there", "5.1.1"))),
    ("bad", {"unverified_recipient_reject_code": 250}, (250, "2.1.5 Ok")),
    ("later", {"unverified_recipient_defer_code": 250}, (250, "2.1.5 Ok")),
    ("later", {"unverified_recipient_reject_code": 550, "unverified_recipient_defer_code": 451,
               "unverified_recipient_reject_reason": "Not known"},
     (451, refusal("later@relay.test", "unverified", "Not known"))),
    # What is put off is overruled by what comes behind it, unless it is to be now.
    ("later", {"smtpd_recipient_restrictions": "reject_unverified_recipient, reject"},
     (554, "5.7.1 <later@relay.test>: Recipient address rejected: Access denied")),
    ("later", {"smtpd_recipient_restrictions": "reject_unverified_recipient, reject",
               "unverified_recipient_tempfail_action": "defer"},
     (450, refusal("later@relay.test", "unverified", HOST + SAID["later"] + WHERE))),
    ("bad", {"smtpd_recipient_restrictions": "warn_if_reject reject_unverified_recipient"},
     (250, "2.1.5 Ok")),
], ids=lambda v: None if isinstance(v, tuple) else
    "-".join(map(str, v.values())) if isinstance(v, dict) else v)
def test_reply(verifying, name, settings, expected):
    verifying.set(**settings).start()
    assert rcpt(verifying, f"{name}@relay.test") == expected
    if "warn_if_reject" in str(settings):
        verifying.wait_log(r"NOQUEUE: reject_warning: RCPT from .*: 450 4\.1\.1 "
                           r"<bad@relay\.test>: Recipient address rejected: unverified")


def test_sender(verifying):
    verifying.set(smtpd_recipient_restrictions="",
                  smtpd_sender_restrictions="reject_unverified_sender").start()
    assert rcpt(verifying, "u1@relay.test", "ok@relay.test")[0] == 250
    assert rcpt(verifying, "u1@relay.test", "")[0] == 250
    assert rcpt(verifying, "u1@relay.test", "bad@relay.test") == (450, refusal(
        "bad@relay.test", "unverified", HOST + SAID["bad"] + WHERE, "4.1.7", "Sender"))
    verifying.set(unverified_sender_reject_code="550",
                  unverified_sender_reject_reason="Not you").reload()
    assert rcpt(verifying, "u1@relay.test", "bad@relay.test") == (550, refusal(
        "bad@relay.test", "undeliverable", "Not you", "5.1.7", "Sender"))
    assert len(probes(verifying, "bad@relay.test")) == 1


def test_one_probe_for_all(verifying):
    """Thirty sessions in four processes, one probe; all are told its result."""
    go = threading.Event()

    def slow(session):
        go.wait(30)
        return by_name(session)
    verifying.sink.replies["RCPT"] = slow
    verifying.set(smtpd_processes="4").start()
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(rcpt(verifying, "ok@relay.test")))
               for _ in range(30)]
    for t in threads:
        t.start()
    wait_for(lambda: probes(verifying, "ok@relay.test"), what="a probe")
    wait_for(lambda: len(re.findall("smtpd.*: connect from", verifying.log())) >= 30, 20,
             what="all sessions")
    go.set()
    for t in threads:
        t.join(60)
    assert replies == [(250, "2.1.5 Ok")] * 30
    assert len(probes(verifying, "ok@relay.test")) == 1


def test_no_patience(verifying):
    """address_verify_poll_count = 1: whoever is the first has to come again."""
    verifying.set(address_verify_poll_count="1").start()
    assert rcpt(verifying, "ok@relay.test") == (450, refusal(
        "ok@relay.test", "unverified", "Address verification in progress"))
    verifying.wait_log("status=deliverable")
    wait_for(lambda: rcpt(verifying, "ok@relay.test")[0] == 250, what="the result")
    assert len(probes(verifying, "ok@relay.test")) == 1


def test_polls_end(verifying):
    """A result that does not come in time is not waited for."""
    go = threading.Event()
    verifying.sink.replies["RCPT"] = lambda s: go.wait(30) and by_name(s)
    verifying.set(address_verify_poll_count="3", address_verify_poll_delay="1s").start()
    begun = time.monotonic()
    assert rcpt(verifying, "ok@relay.test") == (450, refusal(
        "ok@relay.test", "unverified", "Address verification in progress"))
    assert time.monotonic() - begun >= 1.9
    go.set()
    wait_for(lambda: rcpt(verifying, "ok@relay.test")[0] == 250, what="the result")


def test_refresh(verifying):
    """What is old is asked anew behind the client's back; a failure then does not replace a
    success, a success does replace a failure."""
    verifying.set(address_verify_positive_refresh_time="1s",
                  address_verify_negative_refresh_time="1s").start()
    assert rcpt(verifying, "ok@relay.test")[0] == 250
    assert rcpt(verifying, "bad@relay.test")[0] == 450
    verifying.sink.replies["RCPT"] = lambda s: SAID["bad" if "ok" in s["line"] else "ok"]
    time.sleep(2.1)
    assert rcpt(verifying, "ok@relay.test")[0] == 250
    assert rcpt(verifying, "bad@relay.test")[0] == 450
    verifying.wait_log(r"to=<ok@relay\.test>.* status=undeliverable")
    verifying.wait_log(r"to=<bad@relay\.test>.* status=deliverable")
    for _ in range(4):
        assert rcpt(verifying, "ok@relay.test")[0] == 250
    wait_for(lambda: rcpt(verifying, "bad@relay.test")[0] == 250, what="the new result")
    assert len(probes(verifying, "ok@relay.test")) == 2


def test_probes_have_an_end(verifying):
    """While qmgr takes nothing, clients that do not wait make no more probes than some."""
    most, asked = 500, 1200
    verifying.set(address_verify_poll_count="1", smtpd_processes="1", smtpd_recipient_limit=asked,
                  smtpd_hard_error_limit=2 * asked, smtpd_soft_error_limit=2 * asked,
                  smtpd_recipient_overshoot_limit=asked)
    verifying.start()
    qmgr, = [pid for pid, name in verifying.pids().items() if name == "qmgr"]
    os.kill(qmgr, signal.SIGSTOP)
    try:
        with verifying.smtp() as client:
            client.ehlo()
            client.mail("s@client.example")
            for i in range(asked):
                assert client.rcpt(f"ok{i}@relay.test")[0] == 450
    finally:
        os.kill(qmgr, signal.SIGCONT)
    verifying.wait_log("status=deliverable", 30, most)
    verifying.wait_empty()
    assert verifying.log().count("status=deliverable") == most
    assert rcpt(verifying, f"ok{asked - 1}@relay.test")[0] == 450  # asked again
    wait_for(lambda: rcpt(verifying, f"ok{asked - 1}@relay.test")[0] == 250, what="the result")


def test_too_many_pending(verifying):
    """An address of which no probe was tried for their number is not known, and is probed
    when there is room again."""
    go = threading.Event()
    verifying.sink.replies["RCPT"] = lambda s: go.wait(30) and by_name(s)
    verifying.set(address_verify_poll_count="1", address_verify_pending_request_limit="1").start()
    assert rcpt(verifying, "ok1@relay.test")[0] == 450
    wait_for(lambda: probes(verifying, "ok1@relay.test"), what="a probe")
    assert rcpt(verifying, "ok2@relay.test")[0] == 450
    verifying.wait_log(r"to=<ok2@relay.test>.*dsn=4.3.2.*"
                       r"\(Too many address verification requests\)")
    go.set()
    verifying.wait_log("to=<ok1@relay.test>.*status=deliverable")
    wait_for(lambda: rcpt(verifying, "ok2@relay.test")[0] == 250, what="the result")


def test_failures_not_kept(verifying):
    verifying.set(address_verify_negative_cache="no").start()
    for _ in range(3):
        assert rcpt(verifying, "bad@relay.test") == (450, refusal(
            "bad@relay.test", "unverified", HOST + SAID["bad"] + WHERE))
        assert rcpt(verifying, "ok@relay.test")[0] == 250
    assert len(probes(verifying, "bad@relay.test")) == 3
    assert len(probes(verifying, "ok@relay.test")) == 1


@pytest.mark.parametrize("kept", [True, False])
def test_restart(verifying, kept):
    if not kept:
        verifying.set(address_verify_map="")
    verifying.start()
    assert rcpt(verifying, "bad@relay.test")[0] == 450
    verifying.stop()
    verifying.start()
    assert rcpt(verifying, "bad@relay.test")[0] == 450
    assert len(probes(verifying, "bad@relay.test")) == (1 if kept else 2)


def test_target_data(verifying, sink):
    """A host that looks at recipients after DATA; what it takes is not delivered."""
    replies = {"DATA": lambda s: "550 5.1.1 Not here" if s["rcpts"][0] == "no@late.test"
               else "354 go on"}
    late = sink(replies=replies)
    verifying.write("transport", f"late.test late:[127.0.0.1]:{late.port}\n"
                    f"lmtp.test llmtp:inet:127.0.0.1:{late.port}\n")
    verifying.service("late unix - - n - - smtp -o smtp_address_verify_target=data")
    verifying.service("llmtp unix - - n - - lmtp -o lmtp_address_verify_target=data")
    verifying.set(relay_domains="late.test lmtp.test").start()
    assert rcpt(verifying, "no@late.test") == (450, refusal(
        "no@late.test", "unverified", HOST + "550 5.1.1 Not here (in reply to DATA command)"))
    assert rcpt(verifying, "yes@late.test")[0] == 250
    assert rcpt(verifying, "yes@lmtp.test")[0] == 250
    verifying.wait_log(r"to=<yes@late\.test>.* status=deliverable \(354 go on\)")
    verifying.wait_empty()
    assert late.messages == []
    assert late.commands.count("DATA") == 3


def test_agents(verifying):
    """Agents answer without delivering."""
    verifying.write("transport", "discard.test discard:\nerror.test error:5.7.1 closed\n"
                    "retry.test retry:4.7.1 closed\n")
    verifying.set(relay_domains="discard.test, error.test, retry.test",
                  smtpd_reject_unlisted_recipient="no").start()
    assert rcpt(verifying, "u1@md.test")[0] == 250
    verifying.wait_log(r"virtual\[\d+\]: \w+: to=<u1@md\.test>, relay=virtual,.* "
                       r"status=deliverable \(delivers to maildir\)")
    assert rcpt(verifying, "nobody@md.test") == (450, refusal(
        "nobody@md.test", "unverified", 'unknown user: "nobody@md.test"'))
    assert rcpt(verifying, "x@discard.test")[0] == 250
    assert rcpt(verifying, "x@error.test") == (450, refusal(
        "x@error.test", "unverified", "closed"))
    assert rcpt(verifying, "x@retry.test") == (450, refusal(
        "x@retry.test", "unverified", "closed"))
    verifying.wait_empty()
    assert not list(verifying.mail.iterdir())


def test_alias(verifying):
    """The result is about what was asked for, whatever it leads to."""
    verifying.write("valias", "list@relay.test bad@relay.test, ok@relay.test\n"
                    "gone@relay.test bad@relay.test\n")
    for original in ("yes", "no"):
        verifying.set(virtual_alias_maps=f"texthash:{verifying.conf}/valias",
                      enable_original_recipient=original, address_verify_map="").start()
        assert rcpt(verifying, "gone@relay.test")[0] == 450
        assert rcpt(verifying, "bad@relay.test")[0] == 450
        rcpt(verifying, "list@relay.test")
        wait_for(lambda: rcpt(verifying, "list@relay.test")[0] == 250, what="one that is good")
        verifying.stop()
    assert "in progress" not in verifying.log()


def test_routes(verifying, sink):
    """Probes may go where mail does not."""
    direct = sink(replies={"RCPT": by_name})
    verifying.write("vtransport", f"relay.test smtp:[127.0.0.1]:{direct.port}\n")
    verifying.set(address_verify_transport_maps=f"texthash:{verifying.conf}/vtransport").start()
    assert rcpt(verifying, "bad@relay.test")[0] == 450
    verifying.send("ok@relay.test")
    verifying.sink.wait()
    assert [m[1] for m in verifying.sink.messages] == [["ok@relay.test"]]
    assert direct.messages == []
    assert sum(c.startswith("RCPT") for c in direct.commands) == 2
    assert sum(c.startswith("RCPT") for c in verifying.sink.commands) == 1


@pytest.mark.parametrize("settings, pattern", [
    ({}, r"double-bounce@mx\.test\.example"),
    ({"address_verify_sender": "probe@site.test"}, r"probe@site\.test"),
    ({"address_verify_sender": "<>"}, ""),
    ({"address_verify_sender": ""}, ""),
    ({"address_verify_sender_ttl": "3000s"}, r"double-bounce[0-9b-z]{4}@mx\.test\.example"),
], ids=["default", "set", "null", "empty", "ttl"])
def test_probe_sender(verifying, settings, pattern):
    """Its mail is taken from anybody, since they may verify it in turn."""
    verifying.set(mydestination="mx.test.example", **settings,
                  smtpd_recipient_restrictions="reject_unverified_recipient, reject").start()
    rcpt(verifying, "ok@relay.test")
    mail = next(c for c in verifying.sink.commands if c.startswith("MAIL"))
    sender = re.fullmatch(f"MAIL FROM:<({pattern})>.*", mail).group(1)
    if not sender:
        return
    assert rcpt(verifying, sender, "bad@relay.test")[0] == 250
    assert rcpt(verifying, sender.replace("@", "x1@"), "bad@relay.test")[0] != 250
    if "double-bounce" in sender:
        verifying.send(sender)
        verifying.wait_log(r"qmgr\[\d+\]: \w+: to=<double-bounce@mx\.test\.example>,.* "
                           r"relay=none,.* status=sent "
                           r"\(undeliverable postmaster notification discarded\)")
        verifying.wait_empty()


def test_real_host(verifying):
    """Another server, with a list of its users and restrictions of its own."""
    with temporary(Instance) as other:
        other.set(myhostname="other.test", relay_domains="relay.test",
                  relay_recipient_maps=f"texthash:{other.conf}/users",
                  smtpd_relay_restrictions="permit_mynetworks, reject_unauth_destination",
                  smtpd_recipient_restrictions="reject_unverified_sender")
        other.write("users", "ann@relay.test x\n")
        verifying.write("transport", f"relay.test smtp:[127.0.0.1]:{other.port}\n")
        # Each verifies the other's sender: neither may make it wait.
        other.write("transport", f"mx.test.example smtp:[127.0.0.1]:{verifying.port}\n"
                    "relay.test discard:\n")
        verifying.set(mydestination="mx.test.example",
                      unverified_recipient_reject_code="550")
        other.start()
        verifying.start()
        assert rcpt(verifying, "ann@relay.test")[0] == 250
        code, text = rcpt(verifying, "bob@relay.test")
        assert code == 550 and "User unknown in relay recipient table" in text, text
        assert "status=sent" not in other.log()


def test_lookup_is_gone(verifying):
    """What is known survives lookup's death; a lost probe is not waited for for long."""
    verifying.start()
    assert rcpt(verifying, "ok@relay.test")[0] == 250
    time.sleep(1.5)  # what is new is written within a second
    for pid, name in verifying.pids().items():
        if name == "lookup":
            os.kill(pid, signal.SIGKILL)
    assert rcpt(verifying, "ok@relay.test")[0] == 250
    assert len(probes(verifying, "ok@relay.test")) == 1


def test_cleanup(verifying):
    """What has expired is thrown out now and then, and the log says how much."""
    verifying.set(address_verify_cache_cleanup_interval="2s",
                  address_verify_negative_expire_time="1s",
                  address_verify_negative_refresh_time="1s").start()
    assert rcpt(verifying, "bad@relay.test")[0] == 450
    assert rcpt(verifying, "ok@relay.test")[0] == 250
    verifying.wait_log(rf"verify\[\d+\]: cache btree:{verifying.data}/verify_cache full "
                       r"cleanup: retained=1 dropped=1 entries", timeout=20)


def explain(instance, address):
    return instance.command("postern", "explain", "session", "--client", "192.0.2.1", "--name",
                            "unknown", "--helo", "h", "--from", "s@client.example", "--to",
                            address, check=False)


def test_explain(verifying):
    """postern explain session says what is known, and sends no probe."""
    verifying.set(unverified_recipient_reject_code="550").start()
    for name in ("ok", "bad"):
        rcpt(verifying, f"{name}@relay.test")
    done = explain(verifying, "ok@relay.test")
    assert done.returncode == 0, done.stdout
    assert "<ok@relay.test>: deliverable: 250 2.1.5 Fine" in done.stdout
    done = explain(verifying, "bad@relay.test")
    assert done.returncode == 1
    assert f"<bad@relay.test>: undeliverable: {HOST}{SAID['bad']}" in done.stdout
    assert 'gets "550 5.1.1 <bad@relay.test>: Recipient address rejected: undel' in done.stdout
    assert "decided by: smtpd_recipient_restrictions: reject_unverified_rec" in done.stdout
    done = explain(verifying, "later@relay.test")
    assert "nothing is known: a session would send a probe and wait for it up to 40 s" in done.stdout
    assert "unverified address: Address verification in progress" in done.stdout
    time.sleep(0.5)
    assert not probes(verifying, "later@relay.test")
    verifying.stop()
    assert "the mail system does not run" in explain(verifying, "ok@relay.test").stdout

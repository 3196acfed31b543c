"""The admin's commands: queue, configuration, tables, control, sendmail."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

import contract
import pytest
from instance import ROOT
from mode import SLOW
from waiting import free_port, wait_for


@pytest.fixture
def rig():
    with contract.rig() as made:
        made.set(relay_domains="ret.test ret2.test", smtp_dns_support_level="disabled",
                 smtp_host_lookup="native", smtpd_reject_unlisted_recipient="no",
                 minimal_backoff_time="300s",
                 transport_maps=made.table(
                     "transport", "ret.test retry:4.7.0 not now\n"
                     "ret2.test retry:4.2.1 host [1.2.3.4] said: 450 wait\n"))
        yield made


def defer(rig, to="x@ret.test", sender="u5@md.test"):
    """A message that stays; its queue id."""
    with rig.wire() as w:
        qid = w.mail(to, sender=sender)
    wait_for(lambda: any(e["queue_id"] == qid and e["queue_name"] == "deferred"
                         for e in rig.queue()), what="deferred")
    return qid


def tries(rig, qid):
    return len(re.findall(rf"{qid}: to=", rig.log()))


def places(rig, *ids):
    found = {e["queue_id"]: e["queue_name"] for e in rig.queue()}
    return [found.get(qid) for qid in ids]


EMPTY = "Mail queue is empty\n"


def test_listing(rig):
    rig.start()
    assert rig.out("postqueue", "-p") == rig.out("mailq") == EMPTY
    assert rig.out("sendmail", "-bp") == EMPTY and rig.out("postqueue", "-j") == ""
    a = defer(rig)
    b = defer(rig, ["x@ret.test", "y@ret2.test"], sender="")
    assert rig.run("postsuper", "-h", b)[0] == 0
    text = rig.out("mailq")
    assert text == rig.out("postqueue", "-p")
    lines = text.splitlines()
    assert re.fullmatch(r"-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------",
                        lines[0])
    assert re.fullmatch(rf"{a} +\d+ \w{{3}} \w{{3}} [ \d]\d \d\d:\d\d:\d\d  u5@md\.test", lines[1])
    assert re.fullmatch(r" +\(not now\)", lines[2]) and len(lines[2]) == 78
    assert lines[3] == " " * 41 + "x@ret.test" and lines[4] == ""
    assert re.match(rf"{b}! +\d+ .*  MAILER-DAEMON$", lines[5])
    assert {l.strip() for l in lines[6:10]} == {
        "(not now)", "x@ret.test", "(host [1.2.3.4] said: 450 wait)", "y@ret2.test"}
    assert lines[-1] == "-- 0 Kbytes in 2 Requests."
    entries = {e["queue_id"]: e for e in map(json.loads, rig.out(
        "postqueue", "-j").splitlines())}
    e = entries[a]
    assert set(e) == {"queue_name", "queue_id", "arrival_time", "message_size",
                      "forced_expire", "sender", "recipients"}
    assert (e["queue_name"], e["forced_expire"], e["sender"]) == (
        "deferred", False, "u5@md.test")
    assert e["recipients"] == [{"address": "x@ret.test", "delay_reason": "not now"}]
    assert abs(e["arrival_time"] - time.time()) < 60 and e["message_size"] > 100
    assert entries[b]["queue_name"] == "hold"
    assert entries[b]["sender"] == "MAILER-DAEMON"


def test_flushing(rig):
    rig.start()
    a, b = defer(rig), defer(rig, "y@ret2.test")
    both = lambda: (tries(rig, a), tries(rig, b))
    for command, want in [
            (("postqueue", "-i", a), (2, 1)), (("postqueue", "-s", "ret2.test"), (2, 2)),
            (("postqueue", "-f"), (3, 3)), (("sendmail", "-q"), (4, 4)),
            (("postern", "flush"), (5, 5)), (("sendmail", "-qI" + a), (6, 5)),
            (("sendmail", "-qRret2.test"), (6, 6))]:
        rig.out(*command)
        wait_for(lambda: both() == want, what=f"{command}: {both()}, not {want}")
        wait_for(lambda: places(rig, a, b) == ["deferred"] * 2, what="deferred again")
    status, _, err = rig.run("postqueue", "-s", "elsewhere.example")
    assert status == 69 and err == ("postqueue: fatal: Flush service is not configured "
                                    'for destination "elsewhere.example"\n')
    assert rig.run("postqueue")[0] == rig.run("postqueue", "-x")[0] == 69


def test_postsuper(rig):
    rig.start()
    a, b, c, d = [defer(rig) for _ in range(4)]

    def run(*args, **kwargs):
        status, out, err = rig.run("postsuper", *args, **kwargs)
        assert (status, out) == (0, "")
        return err
    assert run("-h", a) == (f"postsuper: {a}: placed on hold\n"
                            "postsuper: Placed on hold: 1 message\n")
    assert run("-h", a) == "postsuper: Placed on hold: 0 messages\n"
    assert places(rig, a, b) == ["hold", "deferred"]
    rig.out("postqueue", "-f")
    assert run("-H", a) == (f"postsuper: {a}: released from hold\n"
                            "postsuper: Released from hold: 1 message\n")
    wait_for(lambda: places(rig, a) == ["deferred"], what="released")
    assert run("-d", b) == f"postsuper: {b}: removed\npostsuper: Deleted: 1 message\n"
    assert run("-d", b) == "postsuper: Deleted: 0 messages\n"
    assert run("-d", "-", input=f"{c}\nABC1234567\n").endswith("Deleted: 1 message\n")
    assert "invalid mail queue id: no!id" in run("-d", "no!id")
    assert places(rig, a, b, c, d) == ["deferred", None, None, "deferred"]
    run("-h", "ALL")
    assert places(rig, a, d) == ["hold", "hold"]
    assert run("-d", "ALL", "deferred") == "postsuper: Deleted: 0 messages\n"
    assert run("-d", "ALL", "hold") == "postsuper: Deleted: 2 messages\n"
    assert rig.out("mailq") == EMPTY
    for line in (f"{a}: placed on hold", f"{a}: released from hold", f"{b}: removed",
                 "Deleted: 2 messages"):
        rig.wait_log(rf"postfix/postsuper\[\d+\]: {line}$")
    e = defer(rig)
    assert run("-e", e) == f"postsuper: {e}: expired\npostsuper: Force-expired: 1 message\n"
    assert [x["forced_expire"] for x in rig.queue()] == [True]
    rig.out("postqueue", "-f")
    rig.wait_log(rf"postfix/qmgr\[\d+\]: {e}: from=<u5@md\.test>, "
                 r"status=force-expired, returned to sender$")
    assert b"Status: 4.7.0\n" in rig.take("u5")
    status, _, err = rig.run("postsuper", "-d", "ALL", "nosuch")
    assert status == 1 and err == "postsuper: fatal: invalid directory name: nosuch\n"


def test_postsuper_does_one_after_the_other(rig):
    rig.start()
    a, b, c = [defer(rig) for _ in range(3)]

    def run(*args):
        status, out, err = rig.run("postsuper", *args)
        assert (status, out) == (0, ""), err
        return [line.removeprefix("postsuper: ") for line in err.splitlines()]
    # In the order of the options; then what it came to. It stays on hold.
    assert run("-h", a, "-d", b, "-e", a) == [
        f"{a}: placed on hold", f"{b}: removed", f"{a}: expired",
        "Deleted: 1 message", "Force-expired: 1 message", "Placed on hold: 1 message"]
    # -f is -e and -H, and at once.
    assert run("-h", c, "-f", c) == [
        f"{c}: placed on hold", f"{c}: expired", f"{c}: released from hold",
        "Force-expired: 1 message", "Placed on hold: 1 message", "Released from hold: 1 message"]
    rig.wait_log(f"{c}: from=.*, status=force-expired, returned to sender$")
    c = defer(rig)
    assert run("-f", c, "deferred") == [
        f"{c}: expired", "Force-expired: 1 message", "Released from hold: 0 messages"]
    rig.wait_log(f"{c}: from=.*, status=force-expired, returned to sender$")
    c = defer(rig)
    # All comes before one.
    assert run("-H", c, "-h", "ALL") == [
        f"{c}: released from hold", "Placed on hold: 1 message",
        "Released from hold: 1 message"]
    # Directories of Postfix's that are always empty here; an id has one form.
    for name in ("maildrop", "bounce", "defer", "trace", "flush"):
        assert run("-d", "ALL", name) == ["Deleted: 0 messages"]
        assert run("-p", name) == []
    assert run("-d", a.lower(), "-d", c.lower()) == ["Deleted: 0 messages"]
    assert rig.run("postsuper", "-d", "ALL", "saved")[0] == 1
    assert sorted(q["queue_id"] for q in rig.queue()) == sorted([a, c])


def test_words_for_wrong_arguments(rig):
    """As Postfix says it: names that cannot be, and names of nothing."""
    rig.start()
    flush = "postqueue: fatal: Cannot flush "
    for args, status, said in [
            (("postqueue", "-i", "ALL"), 0, ""), (("postqueue", "-i", "NOSUCH"), 0, ""),
            (("postqueue", "-i", "../x"), 69, flush + 'queue ID - invalid name: "../x"\n'),
            (("postqueue", "-i", ""), 69, flush + 'queue ID - invalid name: ""\n'),
            (("postqueue", "-s", ""), 69, flush + 'mail queue - invalid destination: ""\n'),
            (("postqueue", "-s", "a@ret.test"), 69,
             flush + 'mail queue - invalid destination: "a@ret.test"\n'),
            (("postqueue", "-s", "192.0.2.1"), 69,
             flush + 'mail queue - invalid destination: "192.0.2.1"\n'),
            (("postqueue", "-s", "[192.0.2.1]"), 69, "postqueue: fatal: Flush service is not "
             'configured for destination "[192.0.2.1]"\n'),
            (("postcat", "-q", "bad!id"), 1, "postcat: fatal: bad mail queue ID: bad!id\n")]:
        assert rig.run(*args) == (status, "", said), args
    # What is below a domain is meant where parent_domain_matches_subdomains says so.
    assert rig.run("postqueue", "-s", "sub.ret.test")[0] == 0
    rig.set(parent_domain_matches_subdomains="relay_domains").write_config()
    assert [rig.run("postqueue", "-s", d)[0] for d in ("sub.ret.test", "ret.test")] == [69, 0]
    assert "mailq: fatal: display queue mode requires no recipient" in rig.run("mailq", "x")[2]


def test_no_configuration(rig):
    """Where there is no main.cf nothing is done to the mail system of another."""
    missing = f"{rig.base}/conf.typo"
    said = f": fatal: open {missing}/main.cf: No such file or directory\n"
    for name, *args in [
            ["postqueue", "-p"], ["postqueue", "-f"], ["postsuper", "-d", "ALL"],
            ["postcat", "-q", "ABC1234567"], ["postern", "status"], ["postern", "start"],
            ["mailq"], ["sendmail", "-q"], ["sendmail", "u1@md.test"]]:
        argv = rig.argv(name, config=False)
        if name not in ("mailq", "sendmail"):
            args = ["-c", missing] + args
        done = subprocess.run(argv + args, input="Subject: x\n\nx\n", capture_output=True,
                              text=True, env=dict(rig.environ(), MAIL_CONFIG=missing), check=False)
        assert done.returncode != 0 and done.stderr.endswith(said), (argv, args, done)


def test_listing_that_cannot_be_written(rig):
    rig.start()
    defer(rig)
    for option in ("-p", "-j"):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(rig.argv("postqueue") + [option], stdout=full, check=False,
                                  stderr=subprocess.PIPE, text=True)
        assert done.returncode == 69 and done.stderr == (
            "postqueue: fatal: output write error: No space left on device\n"), done


def test_reason_while_others_are_under_way(rig):
    """Who is put off has a reason, although the message is active."""
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        rig.set(relay_domains="ret.test ret2.test silent.test", transport_maps=rig.table(
            "transport", "ret.test retry:4.7.0 not now\n"
            f"silent.test smtp:[127.0.0.1]:{silent.getsockname()[1]}\n"))
        rig.start()
        with rig.wire() as w:
            qid = w.mail(["a@silent.test", "b@ret.test"])
        rig.wait_log(rf"{qid}: to=<b@ret\.test>.*status=deferred")
        entry, = rig.queue()
        assert entry["queue_name"] == "active"
        assert entry["recipients"] == [
            {"address": "a@silent.test"}, {"address": "b@ret.test", "delay_reason": "not now"}]


def test_recipients_in_the_log(rig):
    """nrcpt= is what the message has had; an alias that was replaced is none."""
    rig.set(virtual_alias_domains="va.test", virtual_alias_maps=rig.table(
        "va", "both@va.test u1@md.test, x@ret.test\n")).start()
    for notify, flush in (("", True), (" NOTIFY=SUCCESS,FAILURE", False)):
        with rig.wire() as w:
            w.replies("MAIL FROM:<s@client.example>", "RCPT TO:<both@va.test>" + notify, "DATA")
            qid = w.queued(w("Subject: x\r\n\r\n."))
        rig.take("u1")
        wait_for(lambda: places(rig, qid) == ["deferred"], what="deferred")
        if flush:
            rig.out("postqueue", "-f")
            rig.wait_log(f"{qid}: from=.*queue active", count=2)
        assert set(re.findall(rf"{qid}: from=.*, nrcpt=(\d+) ", rig.log())) == {"2"}


def test_lifetime_of_a_notice(rig):
    """It waits for no longer than what it tells of may."""
    rig.set(maximal_queue_lifetime="0", bounce_queue_lifetime="5d").start()
    with rig.wire() as w:
        qid = w.mail("x@ret.test", sender="")
    rig.wait_log(f"{qid}: from=<>, status=expired, returned to sender")
    rig.wait_empty()


def test_postcat(rig):
    rig.start()
    with rig.wire() as w:
        w("MAIL FROM:<s@client.example>")
        w("RCPT TO:<x@ret.test>")
        w("DATA")
        w.send("Subject: cat\r\nX-H: v\r\n folded\r\n\r\nbody 1\r\n..body 2\r\n")
        qid = w.queued(w("."))
    wait_for(lambda: places(rig, qid) == ["deferred"], what="deferred")
    body = rig.out("postcat", "-bq", qid)
    header = rig.out("postcat", "-hq", qid)
    assert body == "\nbody 1\n.body 2\n"
    assert header.startswith("Received: from client.example (unknown [127.0.0.1])\n\tby ")
    assert "\nSubject: cat\nX-H: v\n folded\nMessage-Id: " in header
    assert rig.out("postcat", "-bhq", qid) == header + body
    whole = rig.out("postcat", "-q", qid)
    assert whole.startswith(f"*** ENVELOPE RECORDS deferred/{qid} ***\nmessage_size: ")
    assert "\nsender: s@client.example\n" in whole
    assert "\noriginal_recipient: x@ret.test\nrecipient: x@ret.test\n" in whole
    assert f"\n*** MESSAGE CONTENTS deferred/{qid} ***\n{header}{body}" \
        f"*** HEADER EXTRACTED deferred/{qid} ***\n" in whole
    assert whole.endswith(f"*** MESSAGE FILE END deferred/{qid} ***\n")
    envelope = rig.out("postcat", "-eq", qid)
    assert "sender: s@client.example" in envelope and "Subject" not in envelope
    status, _, err = rig.run("postcat", "-q", "ABC1234567")
    assert status == 1 and "ABC1234567: No such file or directory" in err
    # Who was reached is told from who is not.
    with rig.wire() as w:
        qid = w.mail(["u1@md.test", "a@ret.test", "u2@md.test", "b@ret2.test"])
    rig.take("u1")
    rig.take("u2")
    wait_for(lambda: places(rig, qid) == ["deferred"], what="deferred")
    assert re.findall(r"^(\w*recipient): (.*)$", rig.out("postcat", "-eq", qid), re.M) == [
        (kind, address) for address, state in [
            ("u1@md.test", "done_recipient"), ("a@ret.test", "recipient"),
            ("u2@md.test", "done_recipient"), ("b@ret2.test", "recipient")]
        for kind in ("original_recipient", state)]
    # Of Postfix's records: nothing to be shown, and no mistake.
    assert rig.out("postcat", "-dorbq", qid) == "\nhello\n"


def test_queue_of_a_stopped_system(rig):
    rig.start()
    a, b = defer(rig), defer(rig)
    rig.stop()
    assert set(places(rig, a, b)) == {"deferred"} and a in rig.out("mailq")
    assert rig.run("mailq")[2].startswith("postqueue: warning: Mail system is down -- ")
    assert rig.out("postcat", "-bq", a) == "\nhello\n"
    assert rig.run("postsuper", "-h", a)[0] == rig.run("postsuper", "-d", b)[0] == 0
    assert places(rig, a, b) == ["hold", None]
    for command in (["postqueue", "-f"], ["sendmail", "-q"]):
        status, _, err = rig.run(*command)
        assert status == 69 and "mail system is down" in err
    assert rig.run("sendmail", "u1@md.test", input="Subject: later\n\nx\n")[0] == 0
    rig.start(write=False)
    assert b"\nSubject: later\n" in rig.take("u1")
    assert places(rig, a) == ["hold"]


def test_control(rig):
    def status(command):
        return rig.run("postern", command)[0]

    rig.write_config()
    assert all(status(c) != 0 for c in ("status", "stop", "reload", "abort"))
    rig.start()
    assert status("status") == 0 and status("start") != 0 and status("check") == 0
    for how in ("stop", "abort"):
        if how == "abort":
            rig.start()
        assert status(how) == 0 and status("status") != 0
        with socket.socket() as s:  # the port is free again
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", rig.port))
        assert not rig.pids()
    rig.wait_log(r"postfix/master\[\d+\]: daemon started -- version \S+, "
                 f"configuration {re.escape(str(rig.conf))}$", count=2)


@pytest.mark.parametrize("line,word", [
    ("message_size_limit = abc", "abc"), ("smtpd_delay_reject = maybe", "maybe"),
    ("maximal_queue_lifetime = 5parsecs", "5parsecs"),
    ("this is not a setting", "this is not a setting"),
    ("virtual_mailbox_maps = nosuchtype:foo", "nosuchtype"),
    ("inet_interfaces = 256.1.1.1", "256.1.1.1"),
    ("smtpd_recipient_restrictions = bogus_restriction, reject", "bogus_restriction")])
def test_bad_configuration(rig, line, word):
    rig.write_config()
    with (rig.conf / "main.cf").open("a") as f:
        f.write(line + "\n")
    started = time.monotonic()
    status, _, err = rig.run("postern", "start")
    said = err + rig.log()
    assert status != 0 and time.monotonic() - started < 4 * SLOW
    assert word in said
    assert not rig.pids()


def test_reload(rig):
    other = free_port()
    rig.set(mydestination="mx.test.example", smtpd_banner="before")
    rig.start()
    with rig.wire() as open_session:
        assert open_session.banner == "220 before"
        assert open_session("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok"
        kept = defer(rig)
        rig.set(smtpd_banner="after", virtual_mailbox_domains="md.test new.test")
        rig.service(f"127.0.0.1:{other} inet n - n - - smtpd")
        rig.reload()
        wait_for(lambda: banner(rig.port) == "220 after", what="the new banner")
        wait_for(lambda: banner(other) == "220 after", what="the new listener")
        assert open_session("RCPT TO:<u1@md.test>") == "250 2.1.5 Ok"
        assert open_session("DATA").startswith("354 ")
        open_session.queued(open_session("\r\nx\r\n."))
    assert places(rig, kept) == ["deferred"]
    rig.master_lines.clear()
    rig.reload()
    wait_for(lambda: banner(other) is None, what="the listener to close")
    rig.wait_log(r"postfix/master\[\d+\]: reload -- version ")


def banner(port):
    with socket.socket() as s:
        s.settimeout(5 * SLOW)
        if s.connect_ex(("127.0.0.1", port)):
            return None
        return s.recv(200).decode().strip()


def test_tables_change_without_reload(rig):
    rig.write_config()
    boxes = rig.hash("vm", "u1@md.test u1/\n")
    aliases = rig.hash("va", "v@md.test u1@md.test\n")
    routes = rig.hash("tr", "x.test discard:old\n")
    rig.set(virtual_mailbox_maps=boxes, virtual_alias_maps=aliases, transport_maps=routes,
            relay_domains="x.test", smtpd_reject_unlisted_recipient=None)
    rig.start()

    def ask(address):
        with rig.wire() as w:
            return w.replies("MAIL FROM:<a@b.example>", f"RCPT TO:<{address}>")[1][:3]
    assert ask("new@md.test") == ask("newv@md.test") == "550"
    rig.hash("vm", "u1@md.test u1/\nnew@md.test new/\n")
    rig.hash("va", "v@md.test u1@md.test\nnewv@md.test u1@md.test\n")
    rig.hash("tr", "x.test discard:new\n")
    wait_for(lambda: ask("new@md.test") == ask("newv@md.test") == "250", 5,
             what="new tables")
    with rig.wire() as w:
        qid = w.mail(["new@md.test", "newv@md.test"])
    rig.wait_log(f"{qid}: removed$")
    assert len(rig.maildir("new")) == len(rig.maildir("u1")) == 1

    def routed():
        with rig.wire() as w:
            qid = w.mail("a@x.test", sender="")
        return "status=sent (new)" in rig.wait_log(f"{qid}: to=.*").group()
    wait_for(routed, 5, what="the new route")


def test_killed_processes(rig):
    rig.start()
    kept = defer(rig)
    with rig.wire() as w:
        w.mail("u1@md.test")
    rig.wait_maildir("u1")
    for pid in rig.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    rig.run("postern", "stop")
    rig.start(write=False)
    assert places(rig, kept) == ["deferred"]
    with rig.wire() as w:
        w.mail("u1@md.test")
    rig.wait_maildir("u1", 2)


def test_postconf(rig):
    (rig.conf / "main.cf").write_text(f"""# comment
compatibility_level = 3.6
myhostname = mx.test.example
mydestination = $myhostname,
  localhost,
# in the middle
  ${{foo?other.example}}
foo = bar
smtpd_recipient_restrictions = permit_mynetworks,
    reject_unauth_destination
maximal_queue_lifetime = 3d
relayhost = [mail.example]:25 \n""")
    assert rig.out("postconf", "myhostname", "foo") == "myhostname = mx.test.example\nfoo = bar\n"
    assert rig.out("postconf", "-h", "mydestination") == \
        "$myhostname, localhost, ${foo?other.example}\n"
    assert rig.out("postconf", "-hx", "mydestination") == \
        "mx.test.example, localhost, other.example\n"
    assert rig.out("postconf", "-d", "queue_run_delay", "message_size_limit") == \
        "queue_run_delay = 300s\nmessage_size_limit = 10240000\n"
    assert rig.out("postconf", "-h", "mydomain") == "test.example\n"
    assert [line for line in rig.out("postconf", "-n").splitlines()
            if not line.startswith("config_directory")] == [
        "compatibility_level = 3.6", "foo = bar", "maximal_queue_lifetime = 3d",
        "mydestination = $myhostname, localhost, ${foo?other.example}",
        "myhostname = mx.test.example", "relayhost = [mail.example]:25",
        "smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination"]
    status, out, err = rig.run("postconf", "nosuch_parameter")
    assert (status, out) == (0, "") and err == "postconf: warning: nosuch_parameter: unknown parameter\n"
    rig.out("postconf", "-e", "relayhost = ", "new_one=v")
    rig.out("postconf", "maximal_queue_lifetime=4d")
    rig.out("postconf", "-X", "foo")
    text = (rig.conf / "main.cf").read_text()
    assert re.search(r"\nrelayhost = ?\nnew_one = v\n", text), text
    assert text.startswith("# comment\n")
    assert "\nmaximal_queue_lifetime = 4d\n" in text and "\nfoo =" not in text
    (rig.conf / "master.cf").write_text("smtp inet n - n - - smtpd\n  -o a=b -o { c = d e }\n"
                                        "pickup unix n - n 60 1 pickup\n")
    assert rig.out("postconf", "-M", "smtp/inet").split() == \
        "smtp inet n - n - - smtpd -o a=b -o {c=d e}".split()
    assert rig.out("postconf", "-P", "smtp/inet/c") == "smtp/inet/c = d e\n"
    assert "hash\n" in rig.out("postconf", "-m") and "texthash\n" in rig.out("postconf", "-m")


def test_postmap_and_postalias(rig):
    rig.write_config()
    path = rig.write("t", "# c\n\nkey value\nKEY2\tvalue two  \nlong a\n  b\n"
                     "user@Dom.Example x\ndup 1\ndup 2\n")
    for kind in ("hash", "btree"):
        table = f"{kind}:{path}"
        status, out, err = rig.run("postmap", table)
        assert (status, out) == (0, "")
        assert err == f'postmap: warning: {path}.db: duplicate entry: "dup"\n'

        def ask(key, command="postmap"):
            status, out, err = rig.run(command, "-q", key, table)
            assert err == "" and (status == 0) == (out != "")
            return out
        assert (ask("key"), ask("KEY"), ask("key2"), ask("dup")) == (
            "value\n", "value\n", "value two\n", "1\n")
        assert ask("long") == "a  b\n" and ask("user@dom.example") == "x\n"
        assert ask("nosuch") == ""
        assert rig.run("postmap", "-q", "-", table, input="key\nnosuch\ndup\n")[:2] == (
            0, "key\tvalue\ndup\t1\n")
        assert rig.run("postmap", "-q", "-", table, input="nosuch\n")[:2] == (1, "")
        assert sorted(rig.out("postmap", "-s", table).splitlines()) == [
            "dup\t1", "key\tvalue", "key2\tvalue two", "long\ta  b", "user@dom.example\tx"]
        assert rig.run("postmap", "-d", "key", table)[0] == 0
        assert rig.run("postmap", "-d", "key", table)[0] == 1 and ask("key") == ""
        os.unlink(f"{path}.db")
    for table, key, want in [("inline:{k=v}", "k", "v\n"), ("static:x", "any", "x\n"),
                             (f"texthash:{path}", "KEY2", "value two\n"),
                             ("unix:passwd.byname", "no such user", "")]:
        assert rig.run("postmap", "-q", key, table)[:2] == (0 if want else 1, want)
    assert rig.run("postmap", f"hash:{rig.conf}/missing")[0] == 1
    assert rig.run("postmap", "-q", "k", "nosuch:x")[0] == 1
    aliases = rig.write("aliases", "postmaster: root\nRoot: alice,\n  bob\n"
                        'pipe: "|cmd arg"\ninc: :include:/x\nnocolon\n')
    rig.set(alias_database=f"hash:{aliases}")
    rig.write_config()
    for command in (["newaliases"], ["sendmail", "-bi"], ["postalias", f"hash:{aliases}"]):
        status, out, err = rig.run(*command)
        assert (status, out) == (0, "") and "line 6: need name:value pair" in err
        for key, want in [("postmaster", "root\n"), ("ROOT", "alice, bob\n"),
                          ("pipe", '"|cmd arg"\n'), ("inc", ":include:/x\n"),
                          ("nocolon", "")]:
            assert rig.run("postalias", "-q", key, f"hash:{aliases}") == (
                0 if want else 1, want, "")
        os.unlink(f"{aliases}.db")


def test_sendmail(rig):
    rig.start()
    origin = "mx.test.example"
    user = "root" if ROOT else None

    def send(*args, input="Subject: x\n\nx\n"):
        assert rig.run("sendmail", *args, input=input) == (0, "", "")
        return rig.take("u1").decode()
    text = send("u1@md.test", input="Subject: a\n\nbody\nno end")
    assert "\n\nbody\nno end\n" in text
    assert re.search(rf"\nReceived: by {re.escape(origin)} \(\S+, from userid {os.getuid()}\)"
                     r"\n\tid \w+; ", text)
    if user:
        assert text.startswith(f"Return-Path: <root@{origin}>\n")
        assert f"\nFrom: root <root@{origin}>\n" in text
        rig.wait_log(r"postfix/pickup\[\d+\]: \w+: uid=0 from=<root>$")
    text = send("-f", "me@here.example", "-F", "Full (Name)", "u1@md.test")
    assert text.startswith("Return-Path: <me@here.example>\n")
    assert '\nFrom: "Full (Name)" <me@here.example>\n' in text
    assert send("-r", "r@here.example", "u1@md.test").startswith("Return-Path: <r@here.example>\n")
    text = send("-f", "", "u1@md.test")
    assert text.startswith("Return-Path: <>\n") and "\nFrom: MAILER-DAEMON\n" in text
    dots = "Subject: d\n\nbefore\n.\nafter\n"
    assert send("u1@md.test", input=dots).endswith("\n\nbefore\n")
    for option in ("-i", "-oi"):
        assert send(option, "u1@md.test", input=dots).endswith("\n\nbefore\n.\nafter\n")
    text = send("-t", input='To: "A, B" <u1@md.test>, (c) u1@md.test\n'
                "Cc: g: u1@md.test;\nBcc: u1@md.test\nSubject: t\n\nx\n")
    assert '\nTo: "A, B" <u1@md.test>, (c) u1@md.test\n' in text and "Bcc" not in text
    assert "\nX-Original-To: u1@md.test\n" in send("-t", input="Resent-To: u1@md.test\n"
                                                   "To: nobody@else.example\n\nx\n")
    text = send("u1@md.test", input="From me Mon\nSubject: m\n\nx\n")
    assert "\nSubject: m\n" in text and "From me" not in text
    assert "\n\nx\ny\n" in send("u1@md.test", input="Subject: crlf\r\n\r\nx\r\ny\r\n")
    send("-bm", "-om", "-N", "never", "-R", "hdrs", "-V", "envid", "--", "u1@md.test")
    for args, input in [([], "x\n"), (["-t"], "Subject: none\n\nx\n"),
                        (["-bx", "u1@md.test"], "x\n"), (["-f"], ""),
                        (["u1@md.test"], "Subject: big\n\n" + ("y" * 70 + "\n") * 1500)]:
        status, out, err = rig.run("sendmail", *args, input=input)
        assert status != 0 and out == "" and "fatal: " in err
    dialogue = ("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<u1@md.test>\r\nDATA\r\n"
                "Subject: bs\r\n\r\nhello\r\n.\r\nQUIT\r\n")
    out = rig.out("sendmail", "-bs", input=dialogue)
    assert [l[:4] for l in out.splitlines()][-6:] == ["250 ", "250 ", "250 ", "354 ", "250 ", "221 "]
    assert "\nSubject: bs\n" in rig.take("u1").decode()
    assert not rig.maildir("u1")


def test_two_instances(rig):
    rig.start()
    with contract.rig() as other:
        other.set(myhostname="other.example")
        other.start()
        with other.wire() as w:
            assert w.banner.startswith("220 other.example ")
            w.mail("u1@md.test")
        other.wait_maildir("u1")
        other.stop()
    assert rig.run("postern", "status")[0] == 0
    with rig.wire() as w:
        w.mail("u1@md.test")
    rig.wait_maildir("u1")

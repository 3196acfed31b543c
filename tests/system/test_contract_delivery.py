"""What arrives: headers, mailboxes, aliases, and what the log says of it."""
import os
import re

import contract
import pytest
from instance import ROOT, mail_user
from waiting import wait_for

needs_root = pytest.mark.skipif(not ROOT, reason="makes users of its own")

DATE = (r"\w{3}, [ \d]?\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4} \(\w+\)")
DELIVERED = (r"delay=[\d.]+, delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, dsn=2\.0\.0, "
             r"status=sent \(delivered to {}\)")


@pytest.fixture(scope="module")
def mx():
    with contract.rig() as rig:
        rig.set(mynetworks="127.0.0.1/32", recipient_delimiter="+",
                local_header_rewrite_clients="permit_mynetworks",
                virtual_alias_domains="va.test catch.test",
                virtual_alias_maps=rig.table("va", """\
info@va.test u1@md.test
many@va.test u1@md.test, u2@md.test u3@md.test
chain@va.test info@va.test
@catch.test u4@md.test
keep@va.test keep@va.test, u1@md.test
u9@md.test u1@md.test
alice u6@md.test
plus@va.test u2@md.test
gone@va.test nosuch@md.test
"""),
                virtual_mailbox_domains="md.test all.test",
                virtual_mailbox_maps=rig.table("vm", "".join(
                    f"u{i}@md.test u{i}/\n" for i in range(1, 10)) +
                    "box@md.test box\n@all.test all/\n"))
        yield rig.start()


@pytest.fixture(autouse=True)
def clean(request):
    """Mailboxes of the shared server are empty at the start of a test."""
    if "mx" in request.fixturenames:
        rig = request.getfixturevalue("mx")
        rig.wait_empty()
        for user in rig.mail.iterdir():
            for f in rig.maildir(user.name):
                f.unlink()


def lines_of(octets):
    """The header's fields with folds kept, and the body."""
    header, _, body = octets.decode("latin-1").partition("\n\n")
    return re.split(r"\n(?![ \t])", header), body


def test_header_of_own_client(mx):
    with mx.wire() as w:
        qid = w.mail("u1@md.test", "Subject: hi\r\nX-A: 1\r\n folded\r\n"
                     "Bcc: hidden@x.example\r\nReturn-Path: <bogus@x.example>\r\n"
                     "\r\n..dot\r\nFrom me\r\nend\r\n")
    fields, body = lines_of(mx.take("u1"))
    assert fields[:3] == ["Return-Path: <s@client.example>",
                          "X-Original-To: u1@md.test", "Delivered-To: u1@md.test"]
    assert re.fullmatch(r"Received: from client\.example \(unknown \[127\.0\.0\.1\]\)\n"
                        rf"\tby mx\.test\.example \(\S+\) with ESMTP id {qid}\n"
                        rf"\tfor <u1@md\.test>; {DATE}", fields[3])
    assert fields[4:6] == ["Subject: hi", "X-A: 1\n folded"]
    assert re.fullmatch(rf"Message-Id: <\d{{14}}\.{qid}@mx\.test\.example>", fields[6])
    assert re.fullmatch(f"Date: {DATE}", fields[7])
    assert fields[8:] == ["From: s@client.example"]
    assert body == ".dot\nFrom me\nend\n"
    logged = mx.lines(qid)
    assert [tag for tag, _ in logged] == [
        "postfix/smtpd", "postfix/cleanup", "postfix/qmgr", "postfix/virtual",
        "postfix/qmgr"]
    assert logged[1][1] == "message-id=" + fields[6][12:]
    assert re.fullmatch(r"from=<s@client\.example>, size=\d+, nrcpt=1 "
                        r"\(queue active\)", logged[2][1])
    assert re.fullmatch(r"to=<u1@md\.test>, relay=virtual, " +
                        DELIVERED.format("maildir"), logged[3][1])
    assert logged[4][1] == "removed"


def test_header_of_a_stranger(mx):
    with contract.Wire("127.0.0.1", mx.port, "127.0.0.2") as w:
        w.reply()
        w("HELO [1.2.3.4]")
        qid = w.mail(["u1@md.test", "u2@md.test"],
                     "Received: before\r\nTo: bare\r\n\r\n8 bit \xe9\r\n")
    fields, body = lines_of(mx.take("u2"))
    assert re.fullmatch(r"Received: from \[1\.2\.3\.4\] \(unknown \[127\.0\.0\.2\]\)\n"
                        rf"\tby mx\.test\.example \(\S+\) with SMTP id {qid};\n"
                        rf"\t{DATE}", fields[3])
    assert fields[4:] == ["Received: before", "To: bare"]
    assert body.encode("latin-1") == "8 bit \xe9\n".encode()
    assert ("postfix/cleanup", "message-id=<>") in mx.lines(qid)


def test_completed_addresses(mx):
    with mx.wire() as w:
        w.mail("u1@md.test", 'From: given <g@x.example>\r\n'
               'To: bare, "Q R" <who>, a@b.c\r\nCc: group: in@side.example;\r\n'
               "Message-ID: <1@x>\r\nDate: some day\r\n\r\nx\r\n")
        fields, _ = lines_of(mx.take("u1"))
        assert fields[4:] == [
            "From: given <g@x.example>",
            'To: bare@mx.test.example, "Q R" <who@mx.test.example>, a@b.c',
            "Cc: group: in@side.example;", "Message-ID: <1@x>", "Date: some day"]
        w.mail("u1@md.test", "Subject: x\r\nResent-From: alice\r\n\r\nx\r\n",
               sender="alice")
        fields, _ = lines_of(mx.take("u1"))
        assert fields[0] == "Return-Path: <alice@mx.test.example>"
        assert fields[5] == "Resent-From: alice@mx.test.example"
        assert [f.split(":")[0] for f in fields[6:]] == ["Resent-Message-Id",
                                                         "Resent-Date"]
        qid = w.mail("u1@md.test", "Subject: null\r\n\r\nx\r\n", sender="")
        fields, _ = lines_of(mx.take("u1"))
        assert fields[0] == "Return-Path: <>" and fields[-1] == "From: MAILER-DAEMON"
        assert "from=<>," in mx.wait_log(f"{qid}: from=.*").group()


@pytest.mark.parametrize("sent,want", [
    ("hello without header\r\n", "\nhello without header\n"),
    (" folded first\r\n\r\nx\r\n", "\n folded first\n\nx\n"),
    ("From x y\r\nSubject: env\r\n\r\nx\r\n", "X-Mailbox-Line: From x y\nSubject: env\n"),
    ("Not a header\r\nSubject: late\r\n\r\nx\r\n",
     "\nNot a header\nSubject: late\n\nx\n"),
    ("Subject : blank\r\n\r\nx\r\n", "\nSubject: blank\n"),
    ("Subject: long\r\n\r\n" + "x" * 998 + "\r\n", "\n\n" + "x" * 998 + "\n"),
    ("Subject: ends\r\n\r\na  \r\n\t\r\n\r\n", "\n\na  \n\t\n\n"),
], ids=lambda v: v[:12].strip())
def test_odd_messages(mx, sent, want):
    with mx.wire() as w:
        w.mail("u1@md.test", sent)
    assert want in mx.take("u1").decode()


def test_virtual_aliases(mx):
    cases = {"info@va.test": "u1", "INFO@VA.TEST": "u1", "chain@va.test": "u1",
             "anybody@catch.test": "u4", "u9@md.test": "u1",
             "alice@mx.test.example": "u6", "alice": "u6", "plus+tag@va.test": "u2"}
    for address, user in cases.items():
        with mx.wire() as w:
            qid = w.mail(address)
        text = mx.take(user).decode()
        extension = "+tag" if "+" in address else ""
        assert f"\nX-Original-To: {address}\nDelivered-To: {user}{extension}@md.test\n" in text
        assert f"\n\tfor <{address}>;" in text
        mx.wait_log(rf"{qid}: to=<{user}{re.escape(extension)}@md\.test>, "
                    rf"orig_to=<{re.escape(address)}>, relay=virtual, .*status=sent")
    with mx.wire() as w:
        qid = w.mail("many@va.test")
    for user in ("u1", "u2", "u3"):
        mx.take(user)
    mx.wait_log(rf"{qid}: from=<s@client\.example>, size=\d+, nrcpt=3 \(queue active\)")


def test_extensions_and_catch_all(mx):
    with mx.wire() as w:
        w.mail("u1+tag@md.test")
        assert b"\nDelivered-To: u1+tag@md.test\n" in mx.take("u1")
        w.mail("who.ever@all.test")
        assert b"\nDelivered-To: who.ever@all.test\n" in mx.take("all")


def test_virtual_mbox(mx):
    with mx.wire() as w:
        first = w.mail("box@md.test", "Subject: a\r\n\r\nFrom x\r\n>From y\r\n\r\nend\r\n")
        mx.wait_log(f"{first}: removed")
        w.mail("box@md.test", "Subject: b\r\n\r\nno end\r\n", sender="")
        mx.wait_empty()
    text = (mx.mail / "box").read_text()
    assert re.match(r"From s@client\.example  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n"
                    r"Return-Path: <s@client\.example>\n", text)
    assert "\n\n>From x\n>From y\n\nend\n\nFrom MAILER-DAEMON  " in text
    assert text.endswith("\n\nno end\n\n")
    assert (mx.mail / "box").stat().st_mode & 0o777 == 0o600
    mx.wait_log(rf"{first}: to=<box@md\.test>, relay=virtual, " +
                DELIVERED.format("mailbox"))
    assert not (mx.mail / "box.lock").exists()


def test_failing_virtual_mailboxes():
    uid, gid = mail_user()
    with contract.rig() as rig:
        cases = {"isdir": "cannot open file: Is a directory",
                 "sym": "file is a symbolic link",
                 "hard": "file has 2 hard links",
                 "none/box": "unable to create lock file {}.lock: No such file or directory",
                 "full": "error writing message: File too large"}
        (rig.mail / "isdir").mkdir()
        (rig.mail / "sym").symlink_to("full")
        (rig.mail / "hard").touch()
        os.link(rig.mail / "hard", rig.mail / "hard2")
        (rig.mail / "full").write_text("x" * 99990)
        if ROOT:
            (rig.mail / "foreign").touch()
            (rig.mail / "foreign").chmod(0o666)
            cases["foreign"] = "destination {} is not owned by recipient"
            for name in ("hard", "full"):
                os.chown(rig.mail / name, uid, gid)
        rig.set(message_size_limit="50000", virtual_mailbox_limit="100000",
                virtual_mailbox_maps=rig.table("vm", "".join(
                    f"c{i}@md.test {name}\n" for i, name in enumerate(cases)) +
                    "u1@md.test u1/\n"))
        rig.start()
        for i, (name, reason) in enumerate(cases.items()):
            with rig.wire() as w:
                qid = w.mail(f"c{i}@md.test", sender="u1@md.test")
            status = "dsn=5.2.2, status=bounced" if name == "full" else \
                "dsn=4.2.0, status=deferred"
            path = rig.mail / name
            rig.wait_log(re.escape(f"{status} (delivery failed to mailbox {path}: "
                                   f"{reason.format(path)})"))
        assert (rig.mail / "full").stat().st_size == 99990
        assert b"Status: 5.2.2\n" in rig.take("u1")


@needs_root
def test_local_users():
    with contract.rig() as rig:
        rig.set(recipient_delimiter="+", alias_maps=f"hash:{rig.conf}/aliases",
                alias_database=f"hash:{rig.conf}/aliases", local_recipient_maps=None)
        rig.write("aliases", "postmaster: alice\nlist: alice,\n  bob\nfar: u1@md.test\n")
        rig.write_config()
        rig.out("newaliases")
        rig.start()
        spool = rig.base / "spoolmail"
        with rig.wire() as w:
            qid = w.mail("alice@mx.test.example", "Subject: one\r\n\r\nFrom x\r\n")
            mx_line = rig.wait_log(rf"{qid}: to=<alice@mx\.test\.example>, relay=local, " +
                                   DELIVERED.format("mailbox"))
            assert "postfix/local[" in mx_line.string[:mx_line.start()].splitlines()[-1]
            for address in ("ALICE@localhost", "alice", "alice+tag@mx.test.example"):
                qid = w.mail(address)
                rig.wait_log(f"{qid}: removed")
            w.mail(["bob@mx.test.example", "carol@mx.test.example"])
            rig.wait_empty()
            box = (spool / "alice").read_text()
            st = (spool / "alice").stat()
            assert (st.st_uid, st.st_gid, st.st_mode & 0o777) == (
                contract.FIRST_UID, contract.FIRST_UID, 0o600)
            assert re.findall("^Delivered-To: .*", box, re.M) == [
                "Delivered-To: " + a for a in ("alice@mx.test.example",
                "ALICE@localhost", "alice@mx.test.example", "alice+tag@mx.test.example")]
            assert re.findall("^X-Original-To: .*", box, re.M)[2] == "X-Original-To: alice"
            assert "\n\n>From x\n\nFrom " in box
            assert (spool / "bob").exists() and (spool / "carol").exists()
            # a loop: it has been here before
            qid = w.mail("bob@mx.test.example", sender="u5@md.test",
                         body="Delivered-To: BOB@mx.test.example\r\n\r\nx\r\n")
            rig.wait_log(rf"{qid}: .*dsn=5\.4\.6, status=bounced \(mail forwarding "
                         r"loop for bob@mx\.test\.example\)")
            assert b"Status: 5.4.6\n" in rig.take("u5")
            # aliases
            w.mail("list@mx.test.example", "Subject: to all\r\n\r\nx\r\n")
            w.mail("postmaster", "Subject: to pm\r\n\r\nx\r\n")
            w.mail("far@mx.test.example", "Subject: far\r\n\r\nx\r\n")
            text = rig.take("u1").decode()
            assert "\nX-Original-To: far@mx.test.example\nDelivered-To: u1@md.test\n" in text
            assert re.search(r"\nReceived: by mx\.test\.example \(\S+\)\n\tid \w+; "
                             rf"{DATE}\nDelivered-To: far@mx\.test\.example\n", text)
            rig.wait_empty()
            assert [(spool / u).read_text().count("\nSubject: to all\n")
                    for u in ("alice", "bob", "carol")] == [1, 1, 0]
            assert (spool / "alice").read_text().count("\nSubject: to pm\n") == 1


@needs_root
def test_home_mailboxes():
    with contract.rig() as rig:
        home = rig.homes / "alice"
        rig.set(home_mailbox="Maildir/")
        rig.start()
        with rig.wire() as w:
            qid = w.mail("alice@mx.test.example")
            rig.wait_log(rf"{qid}: .*" + DELIVERED.format("maildir"))
        (message,) = (home / "Maildir/new").iterdir()
        assert re.fullmatch(r"\d+\.V[0-9a-f]+I[0-9a-f]+M\d+\.\S+", message.name)
        for d in ("new", "cur", "tmp"):
            st = (home / "Maildir" / d).stat()
            assert (st.st_uid, st.st_mode & 0o777) == (contract.FIRST_UID, 0o700)
        assert message.stat().st_mode & 0o777 == 0o600
        for box, reason in (
                ("mbox", None),
                ("no/mbox", f"unable to create lock file {home}/no/mbox.lock: "
                            "No such file or directory")):
            rig.set(home_mailbox=box)
            rig.reload()
            # A reload takes effect in moments, not at once.
            wait_for(lambda: try_box(rig, box, home), what=box)
            if reason:
                rig.wait_log(re.escape("dsn=5.2.0, status=bounced (cannot update mailbox "
                                       f"{home}/{box} for user alice. {reason})"))
            else:
                assert (home / box).read_text().startswith("From s@client.example  ")


def try_box(rig, box, home):
    with rig.wire() as w:
        qid = w.mail("alice@mx.test.example")
    return f"{home}/{box}" in rig.wait_log(f"{qid}: to=.*").group() or \
        (home / box).exists()

"""Mail for users of this machine. As root for a user that the test makes and
removes; else for whoever runs it, and never in his home."""
import os
import pwd
import subprocess

import pytest
from instance import ROOT

needs_root = pytest.mark.skipif(not ROOT, reason="makes a user")


@pytest.fixture
def user(instance):
    """Name of a user with a home below the instance, and no mail yet."""
    if not ROOT:
        yield pwd.getpwuid(os.geteuid()).pw_name
        return
    name = "pt" + instance.base.name[-8:].lower().replace("_", "x")
    subprocess.run(["useradd", "-m", "-k", "/nonexistent", "-d", instance.base / "home", name],
                   check=True, stderr=subprocess.DEVNULL)
    try:
        yield name
    finally:
        subprocess.run(["userdel", name], check=False, stderr=subprocess.DEVNULL)


def write_aliases(instance, text):
    instance.write("aliases", text)
    instance.command("postalias", f"hash:{instance.conf}/aliases")


@pytest.fixture
def local(instance, user):
    """local.test is this machine; mailboxes are below the instance."""
    mailboxes = instance.base / "var"
    mailboxes.mkdir()
    mailboxes.chmod(0o1777)
    write_aliases(instance, "")
    instance.set(mydestination="local.test", myorigin="local.test", mail_spool_directory=mailboxes,
                 alias_maps=f"hash:{instance.conf}/aliases", recipient_delimiter="+",
                 local_recipient_maps="unix:passwd.byname $alias_maps")
    return instance


def sent(instance, qid, rcpt, where):
    instance.wait_log(rf"local\[\d+\]: {qid}: to=<{rcpt}>, .*status=sent \({where}\)")


def test_mbox(local, user):
    local.start()
    for i in (1, 2):
        qid = local.send(f"{user}@local.test",
                         f"Subject: {i}\r\n\r\nFrom the first word\r\nend {i}\r\n")
        sent(local, qid, f"{user}@local.test", "delivered to mailbox")
    path = local.base / "var" / user
    text = path.read_text()
    assert text.startswith("From sender@client.example  ")
    assert text.count("\n\nFrom sender@client.example  ") == 1
    assert text.count("\n>From the first word\n") == 2
    assert f"\nX-Original-To: {user}@local.test\nDelivered-To: {user}@local.test\n" in text
    assert text.endswith("end 2\n\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_uid == pwd.getpwnam(user).pw_uid


@needs_root
def test_home_mailbox(local, user):
    local.set(home_mailbox="Maildir/").start()
    qid = local.send(f"{user}@local.test", "Subject: m\r\n\r\nFrom x\r\n")
    sent(local, qid, f"{user}@local.test", "delivered to maildir")
    path, = (local.base / "home/Maildir/new").iterdir()
    assert path.read_text().endswith("\n\nFrom x\n")
    assert path.stat().st_uid == pwd.getpwnam(user).pw_uid


def test_extension(local, user):
    local.start()
    qid = local.send(f"{user}+lists@local.test")
    sent(local, qid, rf"{user}\+lists@local.test", "delivered to mailbox")
    text = (local.base / "var" / user).read_text()
    assert f"Delivered-To: {user}+lists@local.test\n" in text


def test_unknown_user(local):
    local.set(local_recipient_maps="").start()
    local.send("nobody-of-that-name@local.test", sender="u1@md.test")
    report = local.message(local.wait_maildir("u1")[0]).get_payload()[1].as_string()
    assert "Status: 5.1.1" in report and "unknown user" in report
    local.wait_log(r"local\[\d+\]: \w+: to=<nobody-of-that-name@local.test>, .* dsn=5.1.1, "
                   r'status=bounced \(unknown user: "nobody-of-that-name"\)')


def test_alias_expansion(local, user):
    write_aliases(local, f"team: {user}, u2@md.test, inner, U2@md.test\ninner: u3@md.test\n")
    local.start()
    local.send("team@local.test", "Subject: all\r\n\r\nx\r\n")
    message = local.message(local.wait_maildir("u2")[0])
    local.wait_maildir("u3")
    assert message["Return-Path"] == "<sender@client.example>"
    assert "team@local.test" in message.get_all("Delivered-To") + [message["X-Original-To"]]
    local.wait_empty()
    assert len(local.maildir("u2")) == 1  # although it is there twice
    assert (local.base / "var" / user).read_text().count("Subject: all") == 1


def test_errors_of_a_list_go_to_its_owner(local):
    write_aliases(local, "list: u2@md.test, no-such@local.test\nowner-list: u4@md.test\n")
    local.set(local_recipient_maps="").start()
    local.send("list@local.test", sender="u1@md.test")
    assert local.message(local.wait_maildir("u2")[0])["Return-Path"] == "<owner-list@local.test>"
    notice = local.message(local.wait_maildir("u4")[0])
    assert "no-such@local.test" in notice.get_payload()[1].as_string()
    local.wait_empty()
    assert not local.maildir("u1")


def test_loop(local, user):
    """Who has had a message does not get it again."""
    local.start()
    local.send(f"{user}@local.test", f"Delivered-To: {user}@local.test\r\nSubject: l\r\n\r\nx\r\n",
               sender="u1@md.test")
    report = local.message(local.wait_maildir("u1")[0]).get_payload()[1].as_string()
    assert f"mail forwarding loop for {user}@local.test" in report
    assert "Status: 5.4.6" in report
    assert not (local.base / "var" / user).exists()


@pytest.mark.parametrize("name", ["{}", "\\{}", "{}@local.test"])
def test_alias_of_itself(local, user, name):
    """An alias with its own user in it reaches that mailbox."""
    write_aliases(local, f"{user}: {name.format(user)}, u2@md.test\n")
    local.start()
    qid = local.send(f"{user}@local.test")
    local.wait_maildir("u2")
    local.wait_log(r"status=sent \(delivered to mailbox\)")
    local.wait_log(rf"{qid}: removed")
    local.wait_empty()
    text = (local.base / "var" / user).read_text()
    assert f"\nX-Original-To: {user}@local.test\nDelivered-To: {user}@local.test\n" in text
    assert "bounced" not in local.log()


def test_aliases_in_a_circle(local):
    write_aliases(local, "a: b\nb: a\n")
    local.start()
    local.send("a@local.test", sender="u1@md.test")
    report = local.message(local.wait_maildir("u1")[0]).get_payload()[1].as_string()
    assert "mail forwarding loop for a@local.test" in report
    local.wait_empty()

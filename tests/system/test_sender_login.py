"""Who may send as whom: smtpd_sender_login_maps for logins (which XCLIENT says),
local_login_sender_maps for users of this machine."""
import itertools
import os
import pwd
import smtplib
import subprocess

import pytest
from instance import ROOT, free_port
from test_sendmail import run
from waiting import wait_for

OWNERS = """\
ann@site.test ann, bob
carl carl
@own.test own another
post+x@site.test plus
post@site.test post
"""
# sender -> who owns it; None: nobody
SENDERS = {
    "ann@site.test": {"ann", "bob"}, "ANN@Site.test": {"ann", "bob"},
    "carl@mx.test.example": {"carl"}, "carl@else.test": None, "any@own.test": {"own", "another"},
    "post+x@site.test": {"plus"}, "post+y@site.test": {"post"}, "free@free.test": None, "": None,
}
LOGINS = [None, "ann", "BOB", "own", "carl", "plus", "post", "zed"]
NOT_LOGGED_IN = "5.7.1 <{}>: Sender address rejected: not logged in"
NOT_OWNED = "5.7.1 <{}>: Sender address rejected: not owned by user {}"


def expected(restriction, login, sender):
    """What the manual says; each case was compared with Postfix 3.7."""
    owners = SENDERS[sender]
    applies = {"reject_authenticated_sender_login_mismatch": login is not None,
               "reject_unauthenticated_sender_login_mismatch": login is None}
    if not applies.get(restriction, True) or not sender:
        return 250, "2.1.5 Ok"
    if owners is None:
        if login is None or restriction == "reject_known_sender_login_mismatch":
            return 250, "2.1.5 Ok"
        return 553, NOT_OWNED.format(sender, login)
    if login is None:
        return 553, NOT_LOGGED_IN.format(sender)
    return (250, "2.1.5 Ok") if login.lower() in owners else (
        553, NOT_OWNED.format(sender, login))


def rcpt(port, sender, login=None):
    with smtplib.SMTP("127.0.0.1", port, "client.example", 60) as smtp:
        smtp.ehlo()
        if login is not None:
            assert smtp.docmd("XCLIENT", f"LOGIN={login}")[0] == 220
            smtp.ehlo()
        assert smtp.mail(sender)[0] == 250
        code, text = smtp.rcpt("u1@md.test")
        return code, text.decode()


@pytest.fixture
def owned(instance):
    instance.write("owners", OWNERS)
    return instance.set(mydestination="mx.test.example", recipient_delimiter="+",
                        smtpd_sender_login_maps=f"texthash:{instance.conf}/owners",
                        smtpd_authorized_xclient_hosts="127.0.0.0/8",
                        smtpd_error_sleep_time="0")


def test_restrictions(owned):
    ports = {f"reject_{which}sender_login_mismatch": free_port()
             for which in ("", "known_", "authenticated_", "unauthenticated_")}
    for name, port in ports.items():
        owned.service(f"127.0.0.1:{port} inet n - n - - smtpd "
                      f"-o smtpd_sender_restrictions={name}")
    owned.start()
    got, want = {}, {}
    for case in itertools.product(ports, LOGINS, SENDERS):
        restriction, login, sender = case
        got[case] = rcpt(ports[restriction], sender, login)
        want[case] = expected(restriction, login, sender)
    assert got == want
    owned.wait_log(r"NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.1\]: 553 5\.7\.1 "
                   r"<ann@site\.test>: Sender address rejected: not owned by user carl; "
                   r"from=<ann@site\.test> to=<u1@md\.test> proto=ESMTP helo=<client\.example>")


def test_nobody_can_log_in(owned):
    """A server for mail from outside, whose restrictions stand in main.cf."""
    owned.set(smtpd_authorized_xclient_hosts="",
              smtpd_sender_restrictions="reject_sender_login_mismatch").start()
    assert rcpt(owned.port, "ann@site.test")[0] == 250
    owned.wait_log(r"warning: restriction `reject_sender_login_mismatch' ignored: "
                   r"no SASL support")


def test_table_fails(owned):
    owned.set(smtpd_sender_login_maps="fail:x",
              smtpd_sender_restrictions="reject_sender_login_mismatch").start()
    assert rcpt(owned.port, "ann@site.test", "ann") == (
        451, "4.3.0 <ann@site.test>: Temporary lookup failure")


# Users of this machine

def me():
    return pwd.getpwuid(os.geteuid()).pw_name


REFUSED = "not authorized to use sender='{}'"


@pytest.mark.parametrize("patterns, sender, allowed", [
    ("*", "any@where.test", True),
    ("ann@site.test, @own.test", "Ann@Site.test", True),
    ("ann@site.test, @own.test", "x@own.test", True),
    ("ann@site.test, @own.test", "ann+box@site.test", True),
    ("ann@site.test, @own.test", "x@sub.own.test", False),
    ("ann@site.test, @own.test", "ann", False),
    ("ann@site.test, @own.test", "<>", False),
    ("ann", "ann", True),
    ("<> ann", "<>", True),
    ("ann@*", "ann@site.test", False),
])
def test_patterns(instance, patterns, sender, allowed):
    instance.set(local_login_sender_maps=f"inline:{{ {{ {me()} = {patterns} }} }}",
                 recipient_delimiter="+").start()
    done = run(instance, "-f", sender, "u1@md.test")
    given = "" if sender == "<>" else sender
    if allowed:
        assert done.returncode == 0, done.stderr
        instance.wait_maildir("u1")
    else:
        assert done.returncode == os.EX_NOPERM
        assert REFUSED.format(given) in done.stderr
        assert instance.maildir("u1") == []


def test_null_key(instance):
    instance.set(local_login_sender_maps=f"inline:{{ {{ {me()} = nobody }} }}",
                 empty_address_local_login_sender_maps_lookup_key="nobody").start()
    assert run(instance, "-f", "<>", "u1@md.test").returncode == 0
    assert run(instance, "-f", "ann", "u1@md.test").returncode == os.EX_NOPERM


def test_who_is_not_listed(instance):
    instance.set(local_login_sender_maps="inline:{ { somebody-else = * } }").start()
    assert run(instance, "-f", "a@b.test", "u1@md.test").returncode == os.EX_NOPERM


def test_dialogue(instance):
    """sendmail -bs is no way around it."""
    instance.set(local_login_sender_maps=f"inline:{{ {{ {me()} = ann@site.test }} }}").start()
    done = run(instance, "-bs", text="EHLO x\r\nMAIL FROM:<bob@site.test>\r\n"
               "MAIL FROM:<ann@site.test>\r\nQUIT\r\n")
    assert "553 5.7.1 " + REFUSED.format("bob@site.test") in done.stdout
    assert "250 2.1.0 Ok" in done.stdout


def test_drop_file(instance):
    """Nor is a file that lay in maildrop/: postdrop is not what decides."""
    instance.set().start()
    instance.stop()
    assert run(instance, "-f", "bob@site.test", "u1@md.test").returncode == 0
    assert run(instance, "-f", "ann@site.test", "u2@md.test").returncode == 0
    instance.set(local_login_sender_maps=f"inline:{{ {{ {me()} = ann@site.test }} }}")
    instance.start()
    instance.wait_maildir("u2")
    instance.wait_log(r"pickup\[\d+\]: warning: maildrop/\S+: not authorized to use "
                      r"sender='bob@site\.test': kept as ")
    assert instance.maildir("u1") == []


@pytest.mark.skipif(not ROOT, reason="needs another user")
def test_user_without_name(instance):
    instance.set(local_login_sender_maps="inline:{ { uid:4123456 = nameless@site.test } }")
    instance.start()

    def send(sender):
        return subprocess.run(
            ["setpriv", "--reuid=4123456", "--regid=1", "--clear-groups",
             instance.prefix / "sbin/sendmail", "-f", sender, "u1@md.test"],
            env=instance.environ(), input=b"Subject: x\n\nx\n", capture_output=True,
            check=False).returncode
    assert send("nameless@site.test") == 0
    assert send("other@site.test") == os.EX_NOPERM
    wait_for(lambda: len(instance.maildir("u1")) == 1, what="one message")

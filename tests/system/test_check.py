"""postern check says what a start would say, in the same words: it asks the
daemons, with each line of master.cf."""
import os
import re

import pytest
from instance import ROOT

RELAY = ("in parameter smtpd_relay_restrictions or "
         "smtpd_recipient_restrictions, specify at least one working instance "
         "of: ")
UNKNOWN_TYPE = "unsupported dictionary type: hsh"

# What a start refuses: of main.cf, or in a line of master.cf; in whose words.
REFUSED = {
    "restriction": (
        {"smtpd_sender_restrictions": "permit_mynetwork"}, "",
        "smtpd: service 127.0.0.1:PORT: parameter smtpd_sender_restrictions: "
        "unknown or unsupported restriction: \"permit_mynetwork\""),
    "override": (
        {}, "-o smtpd_helo_restrictions=reject_unknown_helo",
        "smtpd: service 127.0.0.1:OTHER: parameter smtpd_helo_restrictions: "
        "unknown or unsupported restriction: \"reject_unknown_helo\""),
    "open relay": (
        {}, "-o smtpd_relay_restrictions= -o smtpd_recipient_restrictions=",
        "smtpd: service 127.0.0.1:OTHER: " + RELAY),
    "table of a restriction": (
        {"smtpd_sender_restrictions": "check_sender_access hsh:/x"}, "",
        f"smtpd: .*: parameter smtpd_sender_restrictions: {UNKNOWN_TYPE}"),
    "filter of commands": (
        {}, "-o smtpd_command_filter=hsh:/x", f"smtpd: .*: {UNKNOWN_TYPE}"),
    "filter of DNS": (
        {"smtpd_dns_reply_filter": "hsh:/x"}, "", f"smtpd: .*: {UNKNOWN_TYPE}"),
    "table of routes": (
        {"transport_maps": "hsh:/x"}, "", f"lookup: {UNKNOWN_TYPE}"),
    "table of aliases": (
        {"alias_maps": "hsh:/x"}, "", f"local: {UNKNOWN_TYPE}"),
}


def check(instance, **kwargs):
    return instance.command("postern", "check", **kwargs)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(instance, name):
    settings, options, text = REFUSED[name]
    other = instance.port + 1
    text = text.replace("PORT", str(instance.port))
    text = text.replace("OTHER", str(other))
    instance.set(**settings)
    instance.service(f"127.0.0.1:{other} inet n - n - - smtpd {options}")
    instance.write_config()
    done = check(instance, check=False)
    assert done.returncode != 0
    assert re.search("fatal: " + text, done.stderr), done.stderr
    assert not instance.pids()
    start = instance.command("postern", "start", check=False)
    assert start.returncode != 0
    assert re.search(text, start.stderr + instance.log())


@pytest.mark.parametrize("name", ["no-such-port", "0"])
def test_ports(instance, name):
    instance.service(f"{name} inet n - n - - smtpd").write_config()
    text = f"service {name}/inet: unknown port: {name}"
    done = check(instance, check=False)
    assert done.returncode != 0 and text in done.stderr, done.stderr
    start = instance.command("postern", "start", check=False)
    assert start.returncode != 0 and text in start.stderr


@pytest.mark.parametrize("file", ["absent", "unreadable"])
@pytest.mark.parametrize("parameter, daemon", [
    ("smtpd_sender_restrictions", "smtpd"), ("alias_maps", "local"),
    ("transport_maps", "lookup"), ("virtual_mailbox_maps", "smtpd")])
def test_files(instance, file, parameter, daemon):
    """A warning: the file may come, or be changed, while all of it runs."""
    path = instance.conf / file
    if file == "unreadable":
        if not ROOT:
            pytest.skip("nothing is unreadable for those who own it")
        path.write_text("")
        os.chmod(path, 0o600)
    use = f"texthash:{path}"
    instance.set(**{parameter: use if parameter.endswith("maps")
                    else f"check_sender_access {use}"})
    instance.write_config()
    text = (rf"postfix/{daemon}\[\d+\]: warning: {re.escape(use)} is "
            "unavailable. ")
    assert re.search(text, check(instance).stderr)
    instance.start()
    instance.wait_log(text)


def test_beside_a_running_instance(running):
    """It keeps off what the daemons own, and what is checked is what is there
    now."""
    running.send("u1@md.test")
    running.wait_maildir("u1")
    before = running.lasting_pids()
    assert "fatal" not in check(running).stderr
    running.set(smtpd_client_restrictions="nonsense").write_config()
    assert check(running, check=False).returncode != 0
    assert running.lasting_pids() == before
    running.send("u2@md.test")
    running.wait_maildir("u2")
    running.set(smtpd_client_restrictions=None).write_config()  # for the stop

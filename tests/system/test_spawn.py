"""spawn(8): the admin's programs behind sockets, as users of their own."""
import contextlib
import grp
import os
import pwd
import re
import socket
import time

import pytest
from instance import ROOT
from mode import SLOW
from waiting import wait_for

USER = pwd.getpwnam("nobody" if ROOT else pwd.getpwuid(os.geteuid()).pw_name)

POLICY = """\
#!/usr/bin/python3
import sys
asked = {}
for line in sys.stdin:
    name, _, value = line.rstrip("\\n").partition("=")
    asked[name] = value
    if not name:
        reject = asked["recipient"].startswith("u2")
        print("action=%s\\n" % ("REJECT spawned" if reject else "DUNNO"),
              flush=True)
"""

# Says who and where it is, and what it was given; then copies what comes.
SHOW = """\
#!/usr/bin/python3
import os, resource, sys
print("ids", os.getresuid(), os.getresgid(), os.getgroups())
print("session", os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid())
print("directory", os.getcwd())
print("words", sys.argv[1:])
print("environment", sorted(os.environ))
print("zone", os.environ.get("TZ"))
print("descriptors", sorted(int(f) for f in os.listdir("/proc/self/fd"))[:-1])
print("files", resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 1024)
print("blocking", os.get_blocking(0), flush=True)
sys.stderr.write(sys.stdin.readline())
sys.stderr.flush()
"""


def program(instance, name, text):
    path = instance.write(name, text)
    path.chmod(0o755)
    return path


@contextlib.contextmanager
def connected(instance, name, timeout=20):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout * SLOW)
        s.connect(str(instance.spool / name))
        yield s


def read_all(s):
    octets = b""
    while some := s.recv(65536):
        octets += some
    return octets.decode()


def test_policy(instance):
    path = program(instance, "policy", POLICY)
    instance.service(f"policy unix - n n - 0 spawn user={USER.pw_name} "
                     f"argv={path}")
    instance.set(smtpd_recipient_restrictions="check_policy_service "
                 "unix:private/policy")
    instance.start()
    with instance.smtp() as client:
        client.ehlo()
        client.mail("a@client.example")
        assert client.rcpt("u1@md.test")[0] == 250
        code, text = client.rcpt("u2@md.test")
        assert (code, text) == (554, b"5.7.1 <u2@md.test>: Recipient address "
                                b"rejected: spawned")


def test_rights_and_surroundings(instance):
    path = program(instance, "show", SHOW)
    group = (grp.getgrnam("daemon") if ROOT
             else grp.getgrgid(os.getegid())).gr_name
    instance.set(export_environment="TZ=XYZ MAIL_CONFIG NOT_THERE")
    instance.service(f"show unix n n n - 0 spawn user={USER.pw_name}:{group} "
                     f"argv={path} one {{two words}}")
    instance.start()
    with connected(instance, "public/show") as s:
        s.sendall(b"echo\n")
        told = dict(line.split(" ", 1) if " " in line else (line, "")
                    for line in read_all(s).splitlines())
    uid, gid = USER.pw_uid, grp.getgrnam(group).gr_gid
    if ROOT:
        assert told["ids"] == f"{(uid,) * 3} {(gid,) * 3} {[gid]}"
    assert told["session"] == "True True"
    assert told["directory"] == str(instance.spool)
    assert told["words"] == "['one', 'two words']"
    assert told["zone"] == "XYZ"
    names = re.findall(r"'(\w+)'", told["environment"])
    assert set(names) - {"LC_CTYPE"} == {"MAIL_CONFIG", "PATH", "TZ"}
    assert told["descriptors"] == "[0, 1, 2]"
    assert told["files"] == told["blocking"] == "True"
    assert "echo" in told


def test_limits_of_number_and_time(instance):
    """maxproc connections have their program, the next one waits."""
    path = program(instance, "slow", "#!/bin/sh\necho $$\nexec sleep 1000\n")
    instance.service(f"slow unix - n n - 2 spawn user={USER.pw_name} "
                     f"argv={path}")
    instance.service(f"short unix - n n - 0 spawn -o short_time_limit=1s "
                     f"user={USER.pw_name} argv={path}")
    instance.start()
    with connected(instance, "private/slow") as one, \
            connected(instance, "private/slow") as two, \
            connected(instance, "private/slow") as three:
        pids = [int(one.recv(100)), int(two.recv(100))]
        three.settimeout(0.3)
        with pytest.raises(socket.timeout):
            three.recv(1)
        os.kill(pids[0], 15)
        three.settimeout(20 * SLOW)
        assert int(three.recv(100)) not in pids
        instance.wait_log(r"spawn\[\d+\]: warning: command \S+/slow killed by "
                          r"signal 15$")
        with connected(instance, "private/short") as short:
            began = time.monotonic()
            pid = int(short.recv(100))
            assert short.recv(1) == b""
            assert time.monotonic() - began > 0.5
        instance.wait_log(rf"warning: \S+/slow: process id {pid}: command "
                          "time limit exceeded$")
        began = time.monotonic()
        instance.stop()  # with two that do not end
        assert time.monotonic() - began < 4 * SLOW
        wait_for(lambda: not os.path.exists(f"/proc/{pids[1]}"))


def test_bad_ends(instance):
    three = program(instance, "three", "#!/bin/sh\nexit 3\n")
    for name, command in ("three", three), ("none", "/nonexistent/x"):
        instance.service(f"{name} unix - n n - 0 spawn user={USER.pw_name} "
                         f"argv={command}")
    instance.start()
    for name in "three", "none":
        with connected(instance, f"private/{name}") as s:
            assert read_all(s) == ""
    instance.wait_log(r"warning: command \S+/three exit status 3$")
    instance.wait_log(r"warning: command /nonexistent/x exit status 127: ")


def test_reload(instance):
    """A service more, another command, none at all: others go on."""
    def say(word):
        return program(instance, word, f"#!/bin/sh\nread x\necho {word}\n")

    def line(word):
        instance.master_lines[:] = [
            f"policy unix - n n - 0 spawn user={USER.pw_name} "
            f"argv={say(word)}"]

    def ask():
        with connected(instance, "private/policy") as s:
            s.sendall(b"\n")
            return read_all(s)

    instance.start()
    assert "spawn" not in instance.pids().values()
    line("one")
    instance.reload()
    assert ask() == "one\n"
    with connected(instance, "private/policy") as s:
        wait_for(lambda: "sh" in instance.pids().values() or
                 "one" in instance.pids().values())
        line("two")
        instance.reload()
        assert ask() == "two\n"
        s.sendall(b"\n")
        assert read_all(s) == "one\n"
    instance.master_lines.clear()
    instance.reload()
    wait_for(lambda: "spawn" not in instance.pids().values())
    with pytest.raises(OSError):
        ask()


@pytest.mark.parametrize("attributes, text", [
    ("argv=/bin/true", "missing attribute: user=, in front of argv="),
    ("user=USER", "missing attribute: argv="),
    ("user=USER argv=", "argv=: no command"),
    ("user=USER flags=D argv=/bin/true", "unknown attribute: flags=D"),
    ("user=no.such.user argv=/bin/true", "user=: unknown user: no.such.user"),
    ("user=USER:no.group argv=/bin/true", "user=: unknown group: no.group"),
    ("user=root argv=/bin/true", "user=: has the user or group id of root"),
    ("user=USER:root argv=/bin/true", "user=: has the user or group id of root"),
    ("user=postern argv=/bin/true",
     "user=: user or group is that of mail_owner (postern)"),
])
def test_refused_at_start(instance, attributes, text):
    if not ROOT and ("root" in attributes or "postern" in attributes):
        pytest.skip("without root, all of it is that user")
    instance.service("p unix - n n - 0 spawn " +
                     attributes.replace("USER", USER.pw_name))
    instance.write_config()
    done = instance.command("postern", "start", check=False)
    assert done.returncode != 0
    assert f"spawn: service p/unix: {text}" in done.stderr + instance.log()

"""Which local users may look at the queue and flush it: authorized_mailq_users and
authorized_flush_users."""
import os
import pwd
import subprocess

import pytest
from instance import ROOT
from mode import SLOW

pytestmark = pytest.mark.skipif(not ROOT, reason="needs other users")

NAME = pwd.getpwuid(1).pw_name
LIST, FLUSH, SITE = ["postqueue", "-p"], ["postqueue", "-f"], ["postqueue", "-s", "site.test"]


def as_user(instance, argv, uid=1, timeout=60 * SLOW):
    return subprocess.run(
        ["setpriv", f"--reuid={uid}", "--regid=1", "--clear-groups",
         instance.prefix / "sbin" / argv[0], *argv[1:]],
        env=instance.environ(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=timeout)


def test_default(running):
    for argv in (LIST, FLUSH, ["mailq"], ["postqueue", "-j"]):
        done = as_user(running, argv)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("users, named, unnamed", [
    ("root", False, False),
    (NAME, True, False),
    (f"!{NAME}, static:all", False, True),
    (f"inline:{{{NAME}=x, unknown=y}}", True, True),
], ids=["root", "user", "not-user", "table"])
def test_lists(instance, users, named, unnamed):
    instance.set(authorized_mailq_users=users, authorized_flush_users=users,
                 fast_flush_domains="site.test").start()
    for uid, allowed in ((1, named), (4123456, unnamed)):
        who = NAME if uid == 1 else "unknown"
        for argv, what in ((LIST, "view"), (["mailq"], "view"), (FLUSH, "flush"),
                           (SITE, "flush")):
            done = as_user(instance, argv, uid)
            if allowed:
                assert done.returncode == 0, done.stderr
                continue
            assert done.returncode == os.EX_UNAVAILABLE, (argv, done)
            assert f"fatal: User {who}({uid}) is not allowed to {what} the mail queue" \
                in done.stderr
    instance.command("postqueue", "-p")  # root always may
    instance.command("postqueue", "-f")


def test_one_of_both(instance):
    instance.set(authorized_mailq_users="root").start()
    assert as_user(instance, LIST).returncode == os.EX_UNAVAILABLE
    assert as_user(instance, FLUSH).returncode == 0


def test_table_fails(instance):
    """Nobody is let in by a table that cannot be asked."""
    instance.set(authorized_mailq_users="fail:x").start()
    done = as_user(instance, LIST)
    assert done.returncode != 0 and "not allowed" not in done.stderr, done


def test_others_do_not_control_it(running):
    """They are told so at once, and what runs goes on running."""
    for command in ("stop", "abort", "reload"):
        done = as_user(running, ["postern", command], timeout=10 * SLOW)
        assert done.returncode == 1 and "reserved for the superuser" in done.stderr, done
    done = as_user(running, ["postern", "status"])
    assert (done.returncode, done.stderr) == (
        0, "postern: the Postern mail system is running\n")
    for argv in (["postsuper"], ["postsuper", "-p"], ["postsuper", "-d", "ALL"]):
        done = as_user(running, argv)
        assert done.returncode == 1 and "reserved for the superuser" in done.stderr, done
    assert running.command("postsuper", "-psS").stderr == ""

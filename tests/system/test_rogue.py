"""Each daemon in turn is taken over, and says all it can to the others."""
import re
import shutil

import pytest
from conftest import OUT, TOP

ROGUE = OUT / "tests/actor/rogue"
LINKED = {
    "smtpd": ["qmgr", "lookup"],
    "smtp": ["qmgr", "lookup"],
    "local": ["qmgr", "lookup"],
    "bounce": ["qmgr", "lookup"],
    "lookup": ["smtpd", "qmgr", "smtp", "local", "bounce"],
    "qmgr": ["smtpd", "smtp", "local", "bounce", "lookup"],
}


def messages():
    """{name: (from, to, kind)} of the table in protocol.h."""
    text = (TOP / "lib/ipc/protocol.h").read_text()
    return [m.groups() for m in re.finditer(
        r"^    X\((\w+), FROM_(\w+), FROM_(\w+), KIND_(\w+),", text, re.M)]


GROUPS = {
    "SUBMITTERS": {"smtpd", "local", "bounce"},
    "AGENTS": {"smtp", "local"},
    "DAEMONS": {"smtpd", "qmgr", "smtp", "local", "bounce", "lookup"},
}


def roles(name):
    return GROUPS.get(name, {name.lower()})


def is_legal(role, peer, entry):
    message, sender, receiver, kind = entry
    return (role in roles(sender) and peer in roles(receiver) and
            kind not in ("ANSWER", "ITEM"))


def check_dropped(instance, role, index, entry):
    """What the table does not grant has dropped the link, with a line."""
    for peer in LINKED[role]:
        if not is_legal(role, peer, entry):
            instance.wait_log(rf"{peer}\[\d+\]: warning: link to {role} {index} "
                              rf"dropped: {entry[0]}: ", 30)


def check_unharmed(instance):
    log = instance.log()
    assert not re.search(r"killed by signal|exit status|panic:", log), (
        log[-5000:])


@pytest.fixture
def taken_over(instance, request):
    """An instance in which that role is the rogue."""
    role = request.param
    bin_ = instance.base / "bin"
    shutil.copytree(OUT / "libexec/postern", bin_)
    (bin_ / role).unlink()
    shutil.copy(ROGUE, bin_ / role)
    instance.set(daemon_directory=bin_)
    return instance, role


@pytest.mark.timeout(300)
@pytest.mark.parametrize("taken_over", ["smtpd", "smtp", "local"],
                         indirect=True)
def test_rogue_pool(taken_over):
    """Each process of the pool tries another message."""
    instance, role = taken_over
    table = messages()
    assert len(table) > 40
    instance.set(**{f"{role}_processes": str(len(table))}).start()
    for index, entry in enumerate(table):
        check_dropped(instance, role, index, entry)
    if role == "smtp":  # the others still do their work
        instance.send("u1@md.test")
        instance.wait_maildir("u1")
    instance.stop()
    check_unharmed(instance)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("taken_over", ["bounce", "lookup", "qmgr"],
                         indirect=True)
def test_rogue_alone(taken_over):
    """There is only one of it: a start for each message."""
    instance, role = taken_over
    for number, entry in enumerate(messages()):
        instance.write("rogue", str(number))
        instance.start()
        check_dropped(instance, role, 0, entry)
        if role == "bounce" and number % 10 == 0:
            instance.send("u1@md.test")
            instance.wait_maildir("u1", 1 + number // 10)
        instance.stop()
        check_unharmed(instance)
        instance.log_file.unlink()

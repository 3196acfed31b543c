"""Each daemon in turn is taken over, and says all it can to the others."""
import os
import re
import shutil
import signal
import time

import pytest
from mode import OUT, TOP
from test_network_tables import HERE, Socketmap, serving
from waiting import free_port, wait_for

ASKER = OUT / "tests/actor/asker"
ROGUE = OUT / "tests/actor/rogue"
LIAR = OUT / "tests/actor/liar"
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
        r"^    X\((\w+), (FROM_[^,]+), (FROM_[^,]+), KIND_(\w+),", text, re.M)]


GROUPS = {
    "SUBMITTERS": {"smtpd", "local", "bounce"},
    "AGENTS": {"smtp", "local"},
    "DAEMONS": {"smtpd", "qmgr", "smtp", "local", "bounce", "lookup"},
}


def roles(names):
    """The roles of "FROM_A | FROM_B"."""
    found = set()
    for name in re.findall(r"FROM_(\w+)", names):
        found |= GROUPS.get(name, {name.lower()})
    return found


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
    log = re.sub(r"process \S+/qmgr pid \d+ killed by signal 9", "", instance.log())
    assert not re.search(r"killed by signal|exit status|panic:", log), (
        log[-5000:])


def take_over(instance, role, by):
    bin_ = instance.base / "bin"
    shutil.copytree(OUT / "libexec/postern", bin_)
    (bin_ / role).unlink()
    shutil.copy(by, bin_ / role)
    instance.set(daemon_directory=bin_)


@pytest.fixture
def taken_over(instance, request):
    """An instance in which that role is the rogue."""
    take_over(instance, request.param, ROGUE)
    return instance, request.param


@pytest.mark.timeout(300)
@pytest.mark.parametrize("taken_over", ["smtpd", "smtp", "local"],
                         indirect=True)
def test_rogue_pool(taken_over):
    """Each process of the pool tries another message."""
    instance, role = taken_over
    table = messages()
    assert len(table) > 40
    instance.set(**{f"{role}_processes": str(len(table))}).start()
    instance.write("go", "")
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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", ["smtpd", "smtp", "local", "bounce",
                                  "lookup"])
def test_liar(instance, role):
    """What it was not given it cannot settle; the others do their work."""
    instance.write("transport", "dead.test smtp:[127.0.0.1]:1\n"
                   "nobody.test error:5.1.1 nobody\n")
    instance.set(minimal_backoff_time="2s", maximal_backoff_time="2s",
                 queue_run_delay="1s", maximal_queue_lifetime="1h",
                 delay_warning_time="0",
                 smtpd_reject_unlisted_recipient="no")
    instance.start()
    victims = {instance.send(f"v{i}@dead.test") for i in range(5)}
    instance.wait_log(r"to=<v\d@dead.test>.*status=deferred", count=5)
    for i in range(5):
        instance.send(["u1@md.test", f"x{i}@nobody.test", f"y{i}@dead.test"])
    instance.stop()
    take_over(instance, role, LIAR)
    pool = role in ("smtpd", "smtp", "local")
    if pool:
        instance.set(**{f"{role}_processes": "4"})
    for seed in range(1 if pool else 3):
        if not pool:
            instance.write("rogue", str(seed))
        instance.start()
        if role != "smtpd":
            for i in range(10):
                instance.send(["u2@md.test", f"a{i}@dead.test",
                               f"b{i}@nobody.test"])
        time.sleep(3)
        if role in ("smtp", "local"):
            # The next qmgr is told of deliveries of before its start.
            for pid, name in instance.pids().items():
                if name == "qmgr":
                    os.kill(pid, signal.SIGKILL)
            instance.wait_log(r"qmgr\[\d+\]: warning: \w+: " + role +
                              " tells of a delivery that it cannot prove")
            time.sleep(2)
        left = {entry["queue_id"] for entry in instance.queue()}
        if role not in ("smtp", "lookup"):
            assert victims <= left
        instance.stop()
        check_unharmed(instance)
    if role in ("smtp", "bounce"):
        instance.wait_maildir("u2", 10)


# What is named where, and who may therefore ask for it.
NAMED = {
    "aliases": ("virtual_alias_maps", {"smtpd", "local", "bounce"}),
    "passwords": ("smtp_sasl_password_maps", {"smtp"}),
    "users": ("relay_recipient_maps", {"smtpd"}),
    "own": ("some_name", set()),
}


@pytest.mark.parametrize("role", ["smtpd", "smtp", "local", "bounce"])
def test_asks_for_the_tables_of_others(instance, role):
    """It learns what its own parameters name, not others' passwords."""
    with serving(Socketmap, {}) as server:
        tables = {name: f"socketmap:inet:{HERE}:{server.port}:{name}"
                  for name in (*NAMED, "nobody", "line", "other_line")}
        instance.set(**{parameter: tables[name]
                        for name, (parameter, _) in NAMED.items()})
        instance.service(
            f"{HERE}:{free_port()} inet n - n - - smtpd\n"
            " -o smtpd_client_restrictions="
            f"check_client_access,{tables['line']}\n"
            f" -o smtp_sasl_password_maps={tables['other_line']}")
        allowed = {name for name, (_, roles) in NAMED.items() if role in roles}
        if role == "smtpd":
            allowed.add("line")
        last = min(allowed)
        instance.write("ask", "\n".join([*tables.values(), tables[last]]) +
                       "\n")
        take_over(instance, role, ASKER)
        instance.set(**{f"{role}_processes": "1"}).start()
        refused = rf"lookup\[\d+\]: warning: {role} 0 asks table (\S+): " \
            f"not named in the configuration of {role}"
        wait_for(lambda: server.asked.count((last, "stolen")) == 2)
        instance.stop()
        assert set(server.asked) == {(name, "stolen") for name in allowed}
        # It cannot write the log full: all of this is one line a minute.
        named = re.findall(refused, instance.log())
        assert len(named) == 1
        assert named[0] in [tables[name] for name in set(tables) - allowed]
    check_unharmed(instance)

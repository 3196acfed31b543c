"""A message that kills whoever delivers it. It needs a local that dies on a
marker: release's, with the one object that knows the marker built anew."""
import re
import shutil

import pytest
from mode import OUT
from waiting import wait_for

HOOKED = OUT / "tests/hooks/local"
POISON = "Subject: poison\r\nX-Postern-Test-Kill: yes\r\n\r\nx\r\n"

pytestmark = pytest.mark.skipif(not HOOKED.exists(), reason="make check-build")


@pytest.fixture
def mortal(instance):
    """An instance whose local dies on the marker."""
    programs = instance.base / "bin"
    shutil.copytree(OUT / "libexec/postern", programs)
    (programs / "local").unlink()
    shutil.copy(HOOKED, programs / "local")
    instance.set(daemon_directory=programs)
    return instance.start()


DEATH = r"master\[\d+\]: warning: process \S+/local pid \d+ killed by signal 5"


def wait_held(instance, qid):
    """It killed three, and is named."""
    instance.wait_log(rf"qmgr\[\d+\]: warning: {qid}: 3 delivery processes died "
                      "with this message: placed on hold", 60)
    instance.wait_log(DEATH, count=3)


@pytest.mark.timeout(120)
def test_held_after_the_third_death(mortal):
    poison = mortal.send("u1@md.test", POISON)
    others = [mortal.send("u2@md.test", f"Subject: {i}\r\n\r\nx\r\n") for i in range(20)]
    wait_held(mortal, poison)

    # What went with it in the same process was not lost, and is not suspected.
    mortal.wait_maildir("u2", len(others))
    wait_for(lambda: len(mortal.queue()) == 1, 20, what="the others gone")
    entry = mortal.queue()[0]
    assert entry["queue_id"] == poison and entry["queue_name"] == "hold"
    assert entry["recipients"][0]["address"] == "u1@md.test"
    assert not mortal.maildir("u1")

    # Held is held: a flush does not try it, fresh mail flows.
    mortal.command("postqueue", "-f")
    mortal.send("u3@md.test")
    mortal.wait_maildir("u3")
    assert len(re.findall(DEATH, mortal.log())) == 3


@pytest.mark.timeout(120)
def test_held_can_be_seen_and_deleted(mortal):
    poison = mortal.send("u1@md.test", POISON)
    wait_held(mortal, poison)
    assert "X-Postern-Test-Kill" in mortal.command("postcat", "-q", poison).stdout
    mortal.command("postsuper", "-d", poison)
    mortal.wait_empty()

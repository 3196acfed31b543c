"""Sessions that trickle one octet a second cost little, and nobody waits for them.
TRICKLE_SESSIONS=10000 is the whole size ("make check-long")."""
import os
import sys
import time

import pytest
from mode import SANITIZED, SLOW, TOP
from trickle import Trickle, allow_files, fresh

sys.path.insert(0, str(TOP / "tests/bench"))
import mta  # noqa: E402  pylint: disable=wrong-import-position

SESSIONS = int(os.environ.get("TRICKLE_SESSIONS", "300"))
SECONDS = 15 if SESSIONS > 1000 else 3
KIB_A_SESSION = 32
WITHIN = 1.0  # seconds


def memory(instance):
    """KiB of all its processes, shared pages shared out."""
    return sum(mta.memory_kib(pid) for pid in instance.pids())


@pytest.mark.timeout(600)
def test_trickle(instance):
    if allow_files(SESSIONS + 200) < SESSIONS + 100:
        pytest.skip("needs more open files")
    instance.set(default_process_limit=SESSIONS + 200, smtpd_client_connection_count_limit="0")
    instance.start()
    instance.send("warm@discard.test")
    before = memory(instance)
    with Trickle(instance.port, SESSIONS, "t@discard.test") as trickle:
        time.sleep(SECONDS)
        greeted, done = fresh(instance.port, "f@discard.test", 40)
        used = (memory(instance) - before) / SESSIONS
        lost, octets = trickle.lost(), trickle.octets
    print(f"{SESSIONS} sessions: {used:.1f} KiB each; fresh clients: greeted after "
          f"{greeted[0] * 1000:.1f} ms (worst {greeted[1] * 1000:.0f}), done after "
          f"{done[0] * 1000:.1f} (worst {done[1] * 1000:.0f}); {octets} octets")
    assert lost == 0
    assert octets > SESSIONS * SECONDS / 2 / SLOW
    assert greeted[1] < WITHIN * SLOW and done[1] < WITHIN * SLOW
    if not SANITIZED and SESSIONS >= 300:
        assert used < KIB_A_SESSION

"""A remote that takes ten sessions at a time and answers 421 to more: its mail is
not deferred, and it is kept as busy as it lets us."""
import os
import re
import threading
import time

import pytest
from mode import SLOW
from sink import Sink

LIMIT = 10
COUNT = int(os.environ.get("SESSION_LIMIT_MESSAGES", "400"))


class Limited(Sink):
    """Sessions above LIMIT get 421, as from a host with a connection limit."""

    def __init__(self):
        self.open = self.most = self.refused = 0
        self.count = threading.Lock()
        super().__init__(replies={"CONNECT": self.connected, "DOT": self.dot})

    def connected(self, session):
        with self.count:
            if self.open > LIMIT:
                self.refused += 1
                return "421 4.7.0 too many connections"
            self.most = max(self.most, self.open)
        return "220 sink ESMTP"

    @staticmethod
    def dot(_session):
        time.sleep(0.02)
        return "250 2.0.0 Ok: kept"

    def _serve(self, conn):
        with self.count:
            self.open += 1
        try:
            super()._serve(conn)
        finally:
            with self.count:
                self.open -= 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cache", ["yes", "no"])
def test_ten_sessions(instance, cache):
    remote = Limited()
    instance.set(smtp_processes="4", smtp_connection_cache_on_demand=cache,
                 transport_maps="", relayhost=f"[127.0.0.1]:{remote.port}")
    instance.start()
    try:
        def feed():
            with instance.smtp(timeout=60 * SLOW) as client:
                client.ehlo()
                for i in range(COUNT // 4):
                    client.sendmail("s@client.example", [f"r{i}@d{i % 7}.example"],
                                    "Subject: x\r\n\r\nhello\r\n")
        feeders = [threading.Thread(target=feed) for _ in range(4)]
        for t in feeders:
            t.start()
        for t in feeders:
            t.join()
        instance.wait_empty(timeout=120)
        log = instance.log()
        deferred = len(re.findall(r"status=deferred", log))
        sent = len(re.findall(r"status=sent", log))
        print(f"cache {cache}: {sent} sent, {deferred} deferred, {remote.refused} sessions "
              f"of {remote.sessions} refused, {remote.most} at most")
        assert sent == COUNT // 4 * 4
        assert deferred == 0
        assert remote.most >= LIMIT // 2
        # Above the limit only for as long as it takes to find it.
        assert remote.refused < COUNT // 10
    finally:
        remote.close()

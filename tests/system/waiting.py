"""Waits with an end, and ports that are free: what every test and double needs."""
import os
import socket
import time

from mode import SLOW


def wait_for(condition, timeout=10.0, step=0.02, what="condition"):
    """The first true value of condition(), polled until the timeout."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"timed out waiting for {what}")
        time.sleep(step)


_ports = set()


def free_port(host="127.0.0.1"):
    """A port that nobody listened on a moment ago, told once per process."""
    while True:
        with socket.socket(socket.AF_INET6 if ":" in host else
                           socket.AF_INET) as s:
            s.bind((host, 0))
            port = s.getsockname()[1]
        # Not from the range that outgoing connections take their ports from.
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
        port = 10000 + (port * 7 + worker * 997) % 20000
        with socket.socket(socket.AF_INET6 if ":" in host else
                           socket.AF_INET) as s:
            try:
                s.bind((host, port))
            except OSError:
                continue
        if port not in _ports:
            _ports.add(port)
            return port

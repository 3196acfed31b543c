"""Clients that send numbered messages and remember what was acknowledged."""
import contextlib
import re
import smtplib
import threading
import time

from mode import SLOW

NUMBER = re.compile(rb"^X-Number: (\d+)\r?$", re.M)


class Load:
    """Threads that send to u1..uN@md.test until stopped.

    acknowledged: {number: time of the 250 after end-of-data}; whatever is in
    there has to arrive. Errors are expected while processes are killed: the
    client comes again.
    """

    def __init__(self, port, threads=4, users=10, domain="md.test", pause=0.002,
                 size=2000, first=1):
        self.port, self.users, self.domain = port, users, domain
        self.pause = pause
        self.body = "x" * 70 + "\r\n"
        self.body = self.body * max(1, size // len(self.body))
        self.lock = threading.Lock()
        self.next = first
        self.acknowledged = {}
        self.errors = 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True)
                        for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)

    def _number(self):
        with self.lock:
            self.next += 1
            return self.next - 1

    def _send(self, client, number):
        user = f"u{number % self.users + 1}@{self.domain}"
        client.sendmail("load@client.example", [user],
                        f"X-Number: {number}\r\nSubject: load\r\n\r\n{self.body}")
        self.acknowledged[number] = time.time()

    def _run(self):
        while not self.stopping.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, timeout=20 * SLOW,
                                  local_hostname="load.example") as client:
                    for _ in range(20):
                        if self.stopping.is_set():
                            break
                        self._send(client, self._number())
                        time.sleep(self.pause)
            except (OSError, smtplib.SMTPException):
                self.errors += 1
                time.sleep(0.02)


def numbers_below(directory):
    """{number: [time of arrival, ...]} of the Maildirs below a directory."""
    found = {}
    for path in directory.glob("*/new/*"):
        with contextlib.suppress(OSError):
            match = NUMBER.search(path.read_bytes())
            if match:
                found.setdefault(int(match.group(1)), []).append(
                    path.stat().st_mtime)
    return found

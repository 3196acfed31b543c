"""Messages of many kinds over many connections, equal octet for octet below the
added header, each exactly once."""
import hashlib
import os
import random
import re
import threading

import pytest
from mode import SLOW

COUNT = int(os.environ.get("BULK_MESSAGES", "600"))
CONNECTIONS = min(100, max(4, COUNT // 10))
TIME_LIMIT = 400 + COUNT // 10


def make_body(kind, rng):
    """The octets of one body, CRLF line ends."""
    def words(n):
        return " ".join("".join(rng.choices("abcdefghij", k=5)) for _ in range(n))
    if kind == "plain":
        return "".join(words(10) + "\r\n" for _ in range(rng.randrange(1, 60))).encode()
    if kind == "empty":
        return b""
    if kind == "eight bit":
        return "".join(chr(rng.randrange(0xa0, 0x2000)) for _ in range(300)).encode() + b"\r\n"
    if kind == "long lines":
        return b"".join(b"l" * 998 + b"\r\n" for _ in range(5))
    if kind == "dots":
        return b".\r\n..\r\n.x\r\n\r\n. \r\nx.\r\n...\r\n"
    if kind == "no final newline":
        return b"first\r\nthe last line has no end"
    if kind == "from":
        return b"From here\r\n>From there\r\nfrom\r\n"
    if kind == "blank lines":
        return b"\r\n\r\nx\r\n\r\n\r\n"
    if kind == "attachment":
        return (b"--b\r\nContent-Type: application/octet-stream\r\n"
                b"Content-Transfer-Encoding: base64\r\n\r\n" +
                b"QUJD" * 19 + b"\r\n" + (b"Zm9v" * 19 + b"\r\n") * (2 * 1024 * 1024 // 78) +
                b"--b--\r\n")
    return b"--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>hi\r\n--b--\r\n"


KINDS = ["plain", "plain", "plain", "eight bit", "long lines", "dots", "mime", "from",
         "no final newline", "blank lines", "empty", "many recipients"]


def digest(octets):
    return hashlib.sha256(octets).hexdigest()


def stuffed(octets):
    """As a client sends it: dots doubled, the end of the last line added."""
    if octets and not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", octets) + b".\r\n"


class Sender(threading.Thread):
    def __init__(self, instance, jobs, done):
        super().__init__(daemon=True)
        self.instance, self.jobs, self.done, self.error = instance, jobs, done, None

    def run(self):
        try:
            with self.instance.smtp(timeout=120 * SLOW) as client:
                client.ehlo()
                while True:
                    try:
                        number, rcpts, body = self.jobs.pop()
                    except IndexError:
                        return
                    Instance = type(self.instance)
                    Instance.must(client.mail("bulk@client.example", ["BODY=8BITMIME"]), 250)
                    for rcpt in rcpts:
                        Instance.must(client.rcpt(rcpt), 250)
                    Instance.must(client.docmd("DATA"), 354)
                    client.send(b"X-Number: %d\r\nSubject: bulk\r\nMIME-Version: 1.0\r\n\r\n"
                                % number + stuffed(body))
                    Instance.must(client.getreply(), 250)
                    self.done[number] = (rcpts, body)
        except Exception as error:  # told to the test's thread
            self.error = error


def send_all(instance, domain, users):
    rng = random.Random(7)
    jobs = []
    for number in range(1, COUNT + 1):
        kind = rng.choice(KINDS)
        if number % 100 == 0:
            kind = "attachment"
        rcpts = [f"u{number % users + 1}@{domain}"]
        if kind == "many recipients":
            rcpts = [f"u{i}@{domain}" for i in range(1, users + 1)]
        jobs.append((number, rcpts, make_body(kind, rng)))
    done = {}
    threads = [Sender(instance, jobs, done) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIME_LIMIT * SLOW)
        assert thread.error is None, thread.error
    assert len(done) == COUNT
    return done


def split(octets, newline):
    """(number, body) of a message with these line ends."""
    header, _, body = octets.partition(newline * 2)
    return int(re.search(rb"X-Number: (\d+)", header).group(1)), body


def wanted(done, newline):
    """{(number, recipient): digest} of what has to arrive with these line ends."""
    found = {}
    for number, (rcpts, body) in done.items():
        body = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
        for rcpt in rcpts:
            found[number, rcpt] = digest(body.replace(b"\r\n", newline))
    return found


def in_maildirs(directory, domain):
    """The same of the Maildirs below a directory."""
    seen = {}
    for path in directory.glob("*/new/*"):
        number, body = split(path.read_bytes(), b"\n")
        key = (number, path.parent.parent.name + "@" + domain)
        assert key not in seen, f"twice: {key}"
        seen[key] = digest(body)
    return seen


@pytest.mark.timeout(TIME_LIMIT)
def test_to_maildirs(running):
    done = send_all(running, "md.test", 10)
    running.wait_empty(TIME_LIMIT)
    assert in_maildirs(running.mail, "md.test") == wanted(done, b"\n")


@pytest.mark.timeout(TIME_LIMIT)
def test_to_next_hop(instance, sink):
    next_hop = sink()
    instance.write("transport", f"relay.test smtp:[127.0.0.1]:{next_hop.port}\n")
    instance.start()
    done = send_all(instance, "relay.test", 10)
    instance.wait_empty(TIME_LIMIT)
    seen = {}
    for _, rcpts, octets, _ in next_hop.messages:
        number, body = split(octets, b"\r\n")
        for rcpt in rcpts:
            assert (number, rcpt) not in seen, f"twice: {number} {rcpt}"
            seen[number, rcpt] = digest(body)
    assert seen == wanted(done, b"\r\n")

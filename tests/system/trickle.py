"""Clients that keep their sessions alive with one octet a second: every other one
in its commands, the rest in the content of a message."""
import contextlib
import resource
import smtplib
import socket
import statistics
import threading
import time

COMMAND = b"NOOP " + b"x" * 55 + b"\r\n"
CONTENT = b"y" * 70 + b"\r\n"
SLICES = 50  # of a second: it does not come in one burst


def allow_files(count):
    """So many open files; how many there may be at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def converse(sock, *commands):
    """Send each and read the reply to it, whose last line has a space."""
    for command in (b"", *commands):
        if command:
            sock.sendall(command + b"\r\n")
        reply = b""
        while not reply.endswith(b"\r\n") or reply.splitlines()[-1][3:4] != b" ":
            part = sock.recv(4096)
            if not part:
                raise OSError(f"closed after {command}: {reply}")
            reply += part
        if reply[:1] not in b"23":
            raise OSError(f"{command}: {reply}")


class Trickle:
    def __init__(self, port, count, recipient):
        self.port, self.recipient = port, recipient
        self.sockets, self.octets, self.late = [], 0, 0.0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        for number in range(count):
            self.sockets.append(self._open(number))

    def _open(self, number):
        sock = socket.create_connection(("127.0.0.1", self.port), 30)
        commands = [b"EHLO trickle.example"]
        if number % 2:
            commands += [b"MAIL FROM:<t@client.example>",
                         b"RCPT TO:<" + self.recipient.encode() + b">", b"DATA"]
        converse(sock, *commands)
        sock.setblocking(False)
        return sock

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        self.thread.join(30)
        for sock in self.sockets:
            sock.close()

    def _run(self):
        began, turn = time.monotonic(), 0
        while not self.stopping.is_set():
            second, part = divmod(turn, SLICES)
            self._send(part, second)
            turn += 1
            left = began + turn / SLICES - time.monotonic()
            if left > 0:
                time.sleep(left)
            self.late = max(self.late, -left)

    def _send(self, part, second):
        """One octet for each session of this part of the second."""
        command = COMMAND[second % len(COMMAND):][:1]
        content = CONTENT[second % len(CONTENT):][:1]
        for number in range(part, len(self.sockets), SLICES):
            with contextlib.suppress(OSError):
                self.octets += self.sockets[number].send(content if number % 2 else command)

    def lost(self):
        """Sessions that the server ended."""
        ended = 0
        for sock in self.sockets:
            try:
                while True:
                    part = sock.recv(4096)
                    if not part or part.startswith((b"4", b"5")):
                        ended += 1
                        break
            except BlockingIOError:
                pass
            except OSError:
                ended += 1
        return ended


def fresh(port, recipient, count):
    """Seconds until the greeting, and until the 250 of a message, of new clients:
    (median, worst) of each."""
    greeted, done = [], []
    for _ in range(count):
        began = time.monotonic()
        with smtplib.SMTP("127.0.0.1", port, "fresh.example", 30) as client:
            greeted.append(time.monotonic() - began)
            client.sendmail("f@client.example", [recipient], "Subject: fresh\n\nhi\n")
            done.append(time.monotonic() - began)
        time.sleep(0.05)
    return ((statistics.median(greeted), max(greeted)), (statistics.median(done), max(done)))

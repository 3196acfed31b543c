"""An SMTP server that keeps what it is given."""
import contextlib
import re
import socket
import threading
import time

from waiting import free_port, wait_for


class Sink:
    """An SMTP server that keeps what it is given, and can be told to refuse.

    A double for what no real peer can be made to do: chosen replies at chosen
    stages, slowness, closed connections. replies maps a verb (or "CONNECT",
    "DOT") to a reply, or to a function of the session that returns one.
    """

    def __init__(self, host="127.0.0.1", replies=None, lmtp=False, port=0):
        self.replies = replies or {}
        self.lmtp = lmtp
        self.messages = []   # (sender, [recipients], octets, session number)
        self.times = []      # when each came
        self.commands = []
        self.sessions = 0
        self.lock = threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port or free_port(host)))
        self.listener.listen(200)
        self.host, self.port = self.listener.getsockname()
        self.threads = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,),
                             daemon=True).start()

    def _reply(self, verb, default, session):
        reply = self.replies.get(verb, default)
        return reply(session) if callable(reply) else reply

    def _serve(self, conn):
        with self.lock:
            self.sessions += 1
            session = {"number": self.sessions, "sender": None, "rcpts": []}
        with contextlib.suppress(OSError), conn, conn.makefile("rb") as lines:
            def say(text):
                if text is None:
                    raise OSError("told to hang up")
                conn.sendall(text.encode() + b"\r\n")
            say(self._reply("CONNECT", "220 sink ESMTP", session))
            while True:
                line = lines.readline()
                if not line:
                    return
                text = line.rstrip(b"\r\n").decode(errors="replace")
                with self.lock:
                    self.commands.append(text)
                verb = text.split(" ")[0].split(":")[0].upper()
                session["line"] = text
                if verb in ("EHLO", "LHLO", "HELO"):
                    say(self._reply(verb, "250-sink\r\n250-PIPELINING\r\n"
                                    "250-8BITMIME\r\n250-DSN\r\n"
                                    "250-ENHANCEDSTATUSCODES\r\n"
                                    "250 SIZE 0", session))
                elif verb == "MAIL":
                    reply = self._reply(verb, "250 2.1.0 Ok", session)
                    if reply and reply[0] == "2":
                        session["sender"] = re.search(r"<(.*?)>", text).group(1)
                        session["rcpts"] = []
                    say(reply)
                elif verb == "RCPT":
                    reply = self._reply(verb, "250 2.1.5 Ok", session)
                    if reply and reply[0] == "2":
                        session["rcpts"].append(
                            re.search(r"<(.*?)>", text).group(1))
                    say(reply)
                elif verb == "DATA":
                    reply = self._reply(verb, "354 go on" if session["rcpts"]
                                        else "554 5.5.1 no recipients", session)
                    say(reply)
                    if reply[0] == "3":
                        self._data(lines, say, session)
                elif verb == "QUIT":
                    say("221 2.0.0 Bye")
                    return
                else:
                    say(self._reply(verb, "250 2.0.0 Ok", session))

    def _data(self, lines, say, session):
        octets = []
        while True:
            line = lines.readline()
            if not line:
                return
            if line == b".\r\n":
                break
            octets.append(line[1:] if line.startswith(b".") else line)
        count = len(session["rcpts"]) if self.lmtp else 1
        for i in range(count):
            session["rcpt"] = session["rcpts"][i]
            reply = self._reply("DOT", "250 2.0.0 Ok: kept", session)
            if reply and reply[0] == "2":
                rcpts = ([session["rcpts"][i]] if self.lmtp
                         else list(session["rcpts"]))
                with self.lock:
                    self.messages.append((session["sender"], rcpts,
                                          b"".join(octets), session["number"]))
                    self.times.append(time.time())
            say(reply)

    def wait(self, count=1, timeout=20.0):
        wait_for(lambda: len(self.messages) >= count, timeout,
                 what=f"{count} messages at the sink, has {len(self.messages)}")
        return self.messages

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

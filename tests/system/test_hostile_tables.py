"""Servers of tables that do not do their work: silent ones, slow ones, ones
that never end; and tables that others take over from them."""
import contextlib
import socketserver
import struct
import time

import pytest

from test_network_tables import HERE, ask, rcpt, serving
from test_sql_tables import need, table
from waiting import wait_for

PIECE_S = 0.05

# What each protocol's server begins with, before more octets than it may send.
BEGINNINGS = {
    "tcp": b"200 ",
    "socketmap": b"90000:OK ",
    "redis": b"$900000\r\n",
    "memcache": b"VALUE x 0 9000\r\n",
    # An authentication request, a handshake, a bind response; all of a megabyte.
    "pgsql": b"R" + struct.pack(">I", 1 << 20),
    "mysql": struct.pack("<I", 1 << 20)[:3] + b"\0\x0a",
    "ldap": b"\x30\x83\x0f\xff\xff\x02\x01\x01\x61",
}


def pg(kind, body):
    return kind + struct.pack(">I", len(body) + 4) + body


def my(number, body):
    return struct.pack("<I", len(body))[:3] + bytes([number & 255]) + body


# Servers that let us in: what they say before they are asked, to each question,
# and then without end.
ROWS = {
    "pgsql": ([b"", pg(b"R", bytes(4)) + pg(b"Z", b"I"),
               pg(b"T", b"\0\1v\0" + struct.pack(">IhIhih", 0, 0, 25, -1, -1,
                                                 0))],
              lambda n: pg(b"D", struct.pack(">hI", 1, 200) + b"a" * 200)),
    "mysql": ([my(0, b"\x0a5.5.5-10.1.1\0" + bytes(4) + b"12345678\0"
                  b"\xff\xf7\x21\x02\x00\x0f\x80\x15" + bytes(10) +
                  b"123456789012\0mysql_native_password\0"),
               my(2, b"\0\0\0\2\0\0\0"),
               my(1, b"\1") + my(2, b"\3def\0\1t\1t\1v\1v\x0c\x21\0\0\1\0\0"
                                 b"\xfd\0\0\0\0\0") +
               my(3, b"\xfe\0\0\2\0")],
              lambda n: my(n + 4, b"\xc8" + b"a" * 200)),
    "ldap": ([b"", b""], lambda n: b"\x30\x83\x0f\xff\xff\x02\x01\x01\x64"
             if n == 0 else b"a" * 200),
    "redis": ([b"", b"*90000\r\n"], lambda n: b"$200\r\n" + b"a" * 200 +
              b"\r\n"),
}


class Hostile(socketserver.BaseRequestHandler):
    """What it says first, to each question, and how it goes on."""
    def handle(self):
        says, piece, how = self.server.answers
        with contextlib.suppress(OSError):
            self.request.sendall(says[0])
            for answer in says[1:]:
                self.request.recv(65536)
                self.request.sendall(answer)
            number = 0
            while not self.server.release.is_set():
                if how != "silent":
                    self.request.sendall(piece(number))
                    number += 1
                if how != "flood":
                    time.sleep(PIECE_S)


def spec_for(instance, kind, port, more=""):
    """A table of that type with a time limit of a second."""
    if kind in ("tcp", "socketmap"):
        instance.set(table_lookup_timeout="1s").write_config()
        return {"tcp": f"tcp:{HERE}:{port}",
                "socketmap": f"socketmap:inet:{HERE}:{port}:x"}[kind]
    need(instance, kind)
    where = {"memcache": f"memcache = inet:{HERE}:{port}\nmax_try = 1\n",
             "ldap": f"server_host = ldap://{HERE}:{port}\nsearch_base = a=b\n",
             "pgsql": f"hosts = postgresql://{HERE}:{port}/x?sslmode=disable&"
                      "gssencmode=disable\n",
             }.get(kind, f"hosts = inet:{HERE}:{port}\n")
    query = "" if kind in ("ldap", "memcache") else "query = GET %s\n"
    return table(instance, kind, "hostile",
                 where + "timeout = 1\n" + query + more)


def ends_in_time(instance, spec):
    before = time.monotonic()
    answer = ask(instance, "x", spec)
    assert answer.startswith("! ")
    assert time.monotonic() - before < 8
    return answer


@pytest.mark.parametrize("how", ["silent", "trickle", "flood"])
@pytest.mark.parametrize("kind", BEGINNINGS)
def test_no_word_that_makes_sense(instance, kind, how):
    first = b"" if how == "silent" else BEGINNINGS[kind]
    piece = b"a" * (65536 if how == "flood" else 1)
    with serving(Hostile, ([first], lambda n: piece, how)) as server:
        ends_in_time(instance, spec_for(instance, kind, server.port))


@pytest.mark.parametrize("how", ["silent", "trickle", "flood"])
@pytest.mark.parametrize("kind", ROWS)
def test_an_answer_without_end(instance, kind, how):
    says, piece = ROWS[kind]
    with serving(Hostile, (says, piece, how)) as server:
        spec = spec_for(instance, kind, server.port,
                        "bind = no\n" if kind == "ldap" else "")
        ends_in_time(instance, spec)


@pytest.mark.parametrize("kind", ["pgsql", "mysql"])
def test_no_more_is_read_than_wanted(instance, kind):
    says, piece = ROWS[kind]
    with serving(Hostile, (says, piece, "flood")) as server:
        answer = ends_in_time(instance, spec_for(
            instance, kind, server.port, "expansion_limit = 3\n"))
        assert "expansion_limit exceeded" in answer


class Redis(socketserver.StreamRequestHandler):
    """Answers GET with the key; every other one hangs up behind it."""
    def handle(self):
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                words.append(self.rfile.read(
                    int(self.rfile.readline()[1:]) + 2)[:-2])
            self.server.asked.append(words[1].decode())
            self.wfile.write(b"$10\r\nu1@md.test\r\n")
            if len(self.server.asked) % 2 == 0:
                return


def test_another_host_takes_over(instance):
    """A host that is silent is left for a while, with a line in the log; and a
    connection that broke is made anew."""
    with serving(Redis, None) as good, serving(
            Hostile, ([b""], lambda n: b"", "silent")) as bad:
        spec = table(instance, "redis", "two", "hosts = "
                     f"inet:{HERE}:{bad.port} inet:{HERE}:{good.port}\n"
                     "timeout = 4\nquery = GET %s\n")
        instance.set(virtual_alias_maps=spec).start()
        for number in range(12):
            assert rcpt(instance, f"a{number}@md.test") == 250
        instance.wait_log(rf"lookup\[\d+\]: warning: table {spec}: host "
                          rf"inet:{HERE}:{bad.port} failed: timed out")
        before = time.monotonic()
        for number in range(12):
            assert rcpt(instance, f"b{number}@md.test") == 250
        assert time.monotonic() - before < 6
        assert "lookup error" not in instance.log()
    # Nobody is there any more: mail waits, and comes when one is.
    assert rcpt(instance, "c@md.test") == 451
    with serving(Redis, None, good.port):
        wait_for(lambda: rcpt(instance, "d@md.test") == 250, what="the server")
    instance.wait_log(rf"table {spec}: host inet:{HERE}:{good.port} works again")

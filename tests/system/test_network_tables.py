"""Tables over the network, through lookup and by postmap: servers of ours that
behave well and badly, and Redis and memcached where they are installed."""
import contextlib
import os
import re
import shutil
import socket
import socketserver
import subprocess
import threading
import time

import pytest
from waiting import free_port, wait_for

HERE = "127.0.0.1"


class Tcp(socketserver.StreamRequestHandler):
    """tcp_table(5)."""
    def handle(self):
        for line in self.rfile:
            key = line.decode().split(" ", 1)[1].strip()
            self.server.asked.append(key)
            if key == "slow%40md.test" or key == "slow@md.test":
                self.server.release.wait(20)
            reply = self.server.answers.get(key, "500 not there")
            if reply is None:
                return
            self.wfile.write(reply.encode() + b"\n")


class Socketmap(socketserver.StreamRequestHandler):
    """socketmap_table(5)."""
    def handle(self):
        while True:
            size = b""
            while not size.endswith(b":"):
                octet = self.rfile.read(1)
                if not octet:
                    return
                size += octet
            name, key = self.rfile.read(
                int(size[:-1]) + 1)[:-1].decode().split(" ", 1)
            self.server.asked.append((name, key))
            reply = self.server.answers.get(key, "NOTFOUND ")
            self.wfile.write(f"{len(reply)}:{reply},".encode())


class Slow(Socketmap):
    """Says nothing until it is told to."""
    def handle(self):
        self.server.release.wait(20)
        super().handle()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


@contextlib.contextmanager
def serving(handler, answers, port=0):
    with Server((HERE, port), handler) as server:
        server.answers, server.asked = answers, []
        server.release = threading.Event()
        server.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.release.set()
        server.shutdown()


def ask(instance, key, spec):
    done = instance.command("postmap", "-q", key, spec, check=False)
    if done.returncode == 0:
        return done.stdout.rstrip("\n")
    # That one of several hosts did not answer is no error.
    errors = "".join(line for line in done.stderr.splitlines(keepends=True)
                     if not re.search(r": host \S+ failed: ", line))
    return "! " + errors if errors else None


def rcpt(instance, address):
    with instance.smtp() as client:
        client.ehlo()
        client.mail("a@client.example")
        return client.rcpt(address)[0]


def test_tcp_by_postmap(instance):
    instance.write_config()
    answers = {"a%20b": "200 va%25lue", "x": "500 no", "e": "400 later%20on",
               "j": "junk", "c": None, "Zed": "200 Case", "l": "200 " +
               "x" * 5000}
    with serving(Tcp, answers) as server:
        spec = f"tcp:{HERE}:{server.port}"
        assert ask(instance, "a b", spec) == "va%lue"
        assert ask(instance, "x", spec) is None
        assert "later on" in ask(instance, "e", spec)
        assert "malformed reply" in ask(instance, "j", spec)
        assert "connection closed" in ask(instance, "c", spec)
        assert "too long" in ask(instance, "l", spec)
        assert ask(instance, "Zed", spec) == "Case"
    assert "refused" in ask(instance, "x", spec)


def test_socketmap_by_postmap(instance):
    instance.set(socketmap_max_reply_size="1000").write_config()
    answers = {"k": "OK v w", "t": "TEMP why", "p": "PERM no", "j": "junk",
               "m": "OK " + "x" * 997, "l": "OK " + "x" * 998}
    with serving(Socketmap, answers) as server:
        spec = f"socketmap:inet:{HERE}:{server.port}:map"
        assert ask(instance, "k", spec) == "v w"
        assert server.asked == [("map", "k")]
        assert ask(instance, "n", spec) is None
        assert "TEMP why" in ask(instance, "t", spec)
        assert "PERM no" in ask(instance, "p", spec)
        assert "malformed reply" in ask(instance, "j", spec)
        assert ask(instance, "m", spec) == "x" * 997
        assert "too long" in ask(instance, "l", spec)


def test_through_lookup(instance):
    """smtpd asks lookup; what the server cannot answer is a temporary error."""
    with serving(Socketmap, {"all@md.test": "OK u1@md.test, u2@md.test",
                             "u3@md.test": "TEMP not now"}) as s:
        instance.set(virtual_alias_maps=f"proxy:socketmap:inet:{HERE}:{s.port}:v"
                     ).start()
        instance.send("all@md.test")
        instance.wait_maildir("u1")
        instance.wait_maildir("u2")
        assert ("v", "all@md.test") in s.asked
        with instance.smtp() as client:
            client.ehlo()
            client.mail("a@client.example")
            code, _ = client.rcpt("u3@md.test")
            if code == 250:
                code, _ = client.data("Subject: x\r\n\r\n")
            assert 400 <= code < 500
    instance.wait_log(r"lookup\[\d+\]: warning: table socketmap:.* lookup error")


def test_a_slow_table_delays_one_session(instance):
    answers = {"fast@md.test": "200 u1@md.test",
               "slow@md.test": "200 u2@md.test"}
    with serving(Tcp, answers) as server:
        instance.set(virtual_alias_maps=f"tcp:{HERE}:{server.port}").start()
        slow = threading.Thread(target=instance.send, args=("slow@md.test",))
        slow.start()
        wait_for(lambda: "slow@md.test" in server.asked, what="slow question")
        before = time.monotonic()
        instance.send("fast@md.test")
        assert time.monotonic() - before < 10
        instance.wait_maildir("u1")
        assert not instance.maildir("u2")
        server.release.set()
        slow.join()
        instance.wait_maildir("u2")


def costs(instance):
    """{table: [asked, found, errors, waiting, p50, p99, max]}"""
    lines = instance.command("postern", "tables").stdout.splitlines()
    assert lines[0].split()[-1] == "table"
    return {line.split()[-1]: [int(word) for word in line.split()[:-1]]
            for line in lines[1:]}


def test_what_tables_cost(instance):
    """The slow one is seen to be slow, while it is and later."""
    with serving(Slow, {}) as slow, serving(Tcp, {"a@md.test": "200 u1@md.test",
                                                  "e@md.test": "400 no"}) as quick:
        spec, other = f"tcp:{HERE}:{quick.port}", f"socketmap:inet:{HERE}:{slow.port}:x"
        instance.set(virtual_alias_maps=spec, relay_domains="slow.test",
                     relay_recipient_maps=other).start()
        assert not any(map(any, costs(instance).values()))
        for _ in range(3):
            instance.send("a@md.test")
        waiting = threading.Thread(target=rcpt, args=(instance, "a@slow.test"))
        waiting.start()
        wait_for(lambda: costs(instance).get(other, [0] * 4)[3] == 1,
                 what="slow question")
        time.sleep(0.3)
        slow.release.set()
        waiting.join()
        rcpt(instance, "e@md.test")
        asked, found, errors, now, half, most, longest = costs(instance)[other]
        assert (asked, found, errors, now) == (1, 0, 0, 0)
        assert 300 <= half == most == longest < 20000
        asked, found, errors, now, *_ = costs(instance)[spec]
        assert asked > found >= 3 and errors == 1 and now == 0


def listening(port):
    with contextlib.suppress(OSError):
        socket.create_connection((HERE, port), 1).close()
        return True
    return False


def started(argv, port):
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    wait_for(lambda: listening(port), what=argv[0])
    return process


@contextlib.contextmanager
def daemon(program, *argv):
    """A real server on a port of its own; stopped by its pid."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if not found:
        pytest.skip(f"no {program} here")
    port = free_port()
    argv = [found, *(a.replace("PORT", str(port)) for a in argv)]
    process = started(argv, port)
    process.port = port
    process.restart = lambda: started(argv, port)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def redis_say(port, *words):
    with socket.create_connection((HERE, port)) as sock:
        for command in (["AUTH", "pw"], words):
            sock.sendall(f"*{len(command)}\r\n".encode() + b"".join(
                f"${len(w)}\r\n{w}\r\n".encode() for w in command))
            assert not sock.recv(1000).startswith(b"-")


def test_redis(instance, tmp_path):
    instance.write_config()
    with daemon("redis-server", "--port", "PORT", "--bind", HERE, "--save", "",
                "--requirepass", "pw", "--dir", str(tmp_path)) as server:
        redis_say(server.port, "SET", "key", "value")
        redis_say(server.port, "RPUSH", "list", "a@b", "c@d", "x")
        redis_say(server.port, "HSET", "h", "ann", "it's")

        def spec(name, text):
            path = instance.conf / name
            path.write_text(f"hosts = {HERE}:{server.port}\npassword = pw\n"
                            + text)
            return f"redis:{path}"
        plain = spec("plain", "dbnum = 0\n")
        assert ask(instance, "KEY", plain) == "value"
        assert ask(instance, "none", plain) is None
        # A key is never more than one argument.
        assert ask(instance, "key\r\n$3", plain) is None
        fields = spec("f", "query = LRANGE %s 0 -1\nresult_format = %u|%S@%d\n")
        assert ask(instance, "list", fields) == "a|list@b,c|list@d"
        assert "expansion_limit" in ask(instance, "list", spec(
            "l", "query = LRANGE %s 0 -1\nexpansion_limit = 2\n"))
        hashed = spec("h", "query = HGET h %u\ndomain = md.test\n")
        assert ask(instance, "ann@md.test", hashed) == "it's"
        assert ask(instance, "ann@else.test", hashed) is None
        assert ask(instance, "ann", hashed) is None
        assert "server says" in ask(instance, "key", spec(
            "w", "query = NOSUCH %s\n"))
        over = spec("o", f"hosts = {HERE}:{free_port()} {HERE}:{server.port}\n")
        assert ask(instance, "key", over) == "value"
    assert "refused" in ask(instance, "key", plain)


def test_memcache(instance):
    instance.write_config()
    with daemon("memcached", "-p", "PORT", "-U", "0", "-l", HERE, "-u",
                "nobody") as server:
        def spec(name, text=""):
            path = instance.conf / name
            path.write_text(f"memcache = inet:{HERE}:{server.port}\n"
                            "key_format = t:%s\n" + text)
            return f"memcache:{path}"
        alone, backed = spec("alone"), spec("backed",
                                            "backup = inline:{a=1}\n")
        assert ask(instance, "a", alone) is None
        assert ask(instance, "a", backed) == "1"
        assert ask(instance, "A", alone) == "1"
        assert ask(instance, "with blank", backed) is None
    assert "refused" in ask(instance, "a", alone)
    assert ask(instance, "a", backed) == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_password_file_of_root(instance, tmp_path):
    """lookup has no right to read it: master did that, for lookup alone."""
    with daemon("redis-server", "--port", "PORT", "--bind", HERE, "--save", "",
                "--requirepass", "pw", "--dir", str(tmp_path)) as server:
        redis_say(server.port, "SET", "who@md.test", "u1@md.test")
        path = instance.conf / "secret.cf"
        path.write_text(f"hosts = {HERE}:{server.port}\npassword = pw\n")
        path.chmod(0o600)
        instance.set(virtual_alias_maps=f"redis:{path}").start()
        instance.send("who@md.test")
        instance.wait_maildir("u1")
        # Another file counts after a reload.
        redis_say(server.port, "SET", "other:who2@md.test", "u2@md.test")
        path.write_text(f"hosts = {HERE}:{server.port}\npassword = pw\n"
                        "query = GET other:%s\n")
        instance.reload()
        instance.send("who2@md.test")
        instance.wait_maildir("u2")

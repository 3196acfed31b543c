"""The cases of tests/bench: each takes a server and a scale, checks that what was
accepted arrived once, and returns {figure: value}."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time

from mta import wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
from load import numbers_below  # noqa: E402  pylint: disable=wrong-import-position

SETTLED = 2     # seconds, more than queue_settle_delay: a crash repeats nothing older
PATIENCE = 120  # seconds for the last message of a case
WARM_UP = 200   # messages before it is measured: segments, sessions, page cache


class Failed(Exception):
    pass


def check(ok, what):
    if not ok:
        raise Failed(what)


class Sink:
    def __init__(self, server):
        self.process = subprocess.Popen(
            [server.out / "tests/bench/smtp_sink", "-p", str(server.sink_port)],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        check(self.process.stdout.readline(), "the sink does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.stdin.close()
        self.process.wait(30)

    def ask(self, line=""):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def wait(self, key, count):
        if not wait_until(lambda: self.ask()[key] >= count, PATIENCE, 0.02):
            raise Failed(f"LOST: {self.ask()[key]} of {count} arrived")
        state = self.ask()
        check(state["doubles"] == 0, f"DOUBLED: {state['doubles']}")
        check(state[key] == count, f"{state[key]} arrived, {count} were sent")
        return state


def send(server, count, **options):
    """Options are smtp_source's letters."""
    argv = [server.out / "tests/bench/smtp_source", "-p", str(server.port), "-n", str(count)]
    for letter, value in options.items():
        argv += ["-" + letter, str(value)]
    done = subprocess.run(argv, text=True, stdout=subprocess.PIPE, check=False, timeout=900)
    check(done.stdout, f"the source ended with status {done.returncode}")
    result = json.loads(done.stdout)
    check(result["accepted"] == count,
          f"{result['accepted']} of {count} accepted: {result['error']}")
    return result


def sized(count, scale):
    return max(50, int(count * scale))


def per_message(before, after, count):
    return {"cpu_us": (after - before) * 1e6 / count}


def span(started, ended_ns):
    return (ended_ns - started["start_ns"]) / 1e9


def ingest(server, scale, per_session):
    count = sized(5000 * (4 if per_session > 1 else 1), scale)

    def sent(n):
        check(wait_until(lambda: server.count("status=sent") >= n, PATIENCE),
              f"LOST: {server.count('status=sent')} of {n} delivered")
        check(server.count("status=sent") == n, "DOUBLED")

    server.start()
    send(server, WARM_UP, t="user@discard.test", b=900000)
    sent(WARM_UP)
    cpu = server.cpu()
    result = send(server, count, t="user@discard.test", m=per_session)
    sent(WARM_UP + count)
    return {"messages_s": result["rate"], **per_message(cpu, server.cpu(), count),
            "source_cpu_us": result["cpu"] * 1e6 / count,
            "dot_p50_ms": result["dot_p50_ms"], "dot_p99_ms": result["dot_p99_ms"]}


def ingest1(server, scale):
    return ingest(server, scale, 1)


def ingest_n(server, scale):
    return ingest(server, scale, 50)


def relay(server, scale):
    count = sized(5000, scale)
    with Sink(server) as sink:
        server.start()
        send(server, WARM_UP, b=900000)
        sink.wait("numbers", WARM_UP)
        sink.ask("reset")
        cpu = server.cpu()
        began = send(server, count)
        state = sink.wait("numbers", count)
        return {"messages_s": count / span(began, state["last_ns"]),
                **per_message(cpu, server.cpu(), count),
                "e2e_p50_ms": state["e2e_p50_ms"], "sink_sessions": state["sessions"]}


def arrived(server):
    """(files in all new/, when the last of them came)."""
    files, last = 0, 0
    for user in os.scandir(server.base / "mail"):
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(user.path + "/new"):
                files, last = files + 1, max(last, entry.stat().st_ctime_ns)
    return files, last


def maildir(server, scale):
    count = sized(5000, scale)
    server.start()
    send(server, WARM_UP, t="u%u@md.test", b=900000)
    check(wait_until(lambda: arrived(server)[0] >= WARM_UP, PATIENCE), "LOST in warming up")
    cpu, began = server.cpu(), time.time_ns()
    send(server, count, t="u%u@md.test")
    check(wait_until(lambda: arrived(server)[0] >= WARM_UP + count, PATIENCE, 0.1),
          f"LOST: {arrived(server)[0] - WARM_UP} of {count} arrived")
    used = server.cpu()
    numbers = numbers_below(server.base / "mail")
    check(len(numbers) == WARM_UP + count and all(len(n) == 1 for n in numbers.values()),
          "LOST or DOUBLED: files are not what was sent")
    return {"messages_s": count / ((arrived(server)[1] - began) / 1e9),
            **per_message(cpu, used, count)}


def mailing_list(server, scale):
    count = sized(10000, scale)
    with Sink(server) as sink:
        server.start()
        cpu = server.cpu()
        began = send(server, 1, c=1, r=count, k=count, t="u%u@d%d.test")
        check(wait_until(lambda: sink.ask()["recipients"] >= count, PATIENCE, 0.02),
              f"LOST: {sink.ask()['recipients']} of {count} recipients")
        state = sink.ask()
        check(state["recipients"] == count, "DOUBLED")
        return {"seconds": span(began, state["last_ns"]), "accept_seconds": began["secs"],
                **per_message(cpu, server.cpu(), count), "sink_messages": state["messages"]}


def latency(server, scale):
    count = sized(300, scale)
    with Sink(server) as sink:
        server.start()
        send(server, 20, c=1, b=900000)
        sink.wait("numbers", 20)
        sink.ask("reset")
        close = send(server, count, c=1, m=count)
        sink.wait("numbers", count)
        sink.ask("reset")
        paced = send(server, count, c=1, w=30)
        state = sink.wait("numbers", count)
        return {"dot_p50_ms": close["dot_p50_ms"], "dot_p99_ms": close["dot_p99_ms"],
                "paced_dot_p50_ms": paced["dot_p50_ms"],
                "e2e_p50_ms": state["e2e_p50_ms"], "e2e_p99_ms": state["e2e_p99_ms"]}


def idle(server, scale):
    count, held = sized(9500, scale), []
    server.sessions = count + 200
    server.configure()
    try:
        server.start()
        send(server, 10, c=1, t="user@discard.test")
        before, began = server.memory(), time.monotonic()
        while len(held) < count:
            session = server.greet()
            check(session, f"{len(held)} of {count} sessions are served")
            held.append(session)
        rate = count / (time.monotonic() - began)
        memory = (server.memory() - before) / count
        began = time.monotonic()
        send(server, 1, c=1, t="user@discard.test")
        new_ms = (time.monotonic() - began) * 1000
        for session in held:
            session.sendall(b"NOOP\r\n")
            check(session.recv(100).startswith(b"250"), "a session was dropped")
        return {"kib_a_session": memory, "new_client_ms": new_ms, "opened_s": rate}
    finally:
        for session in held:
            session.close()


def fresh_mail(server, sink, count, first):
    """Rate until the last is at the sink, and how long each took."""
    sink.ask("reset")
    cpu = server.cpu()
    began = send(server, count, c=20, b=first)
    state = sink.wait("numbers", count)
    return {"fresh_messages_s": count / span(began, state["last_ns"]),
            "fresh_e2e_p50_ms": state["e2e_p50_ms"], "fresh_e2e_p99_ms": state["e2e_p99_ms"],
            **per_message(cpu, server.cpu(), count)}


def still_queued(server, count):
    """A file that is being moved may be missed by who counts."""
    if not wait_until(lambda: server.queued() >= count, 15, 0.5):
        raise Failed(f"LOST: {server.queued()} of {count} in the queue")


def backlog(server, scale):
    """Fresh mail while so much is retried that cannot go anywhere."""
    waiting, fresh = sized(20000, scale), sized(2000, scale)
    with Sink(server) as sink:
        server.start()
        fresh_mail(server, sink, fresh, 800000)
        alone = fresh_mail(server, sink, fresh, 0)["fresh_messages_s"]
        filled = send(server, waiting, c=50, m=100, t="user@dead.test", b=1)
        wait_until(lambda: server.count("status=deferred") >= waiting, PATIENCE, 0.5)
        result = {"fill_messages_s": filled["rate"], "memory_mib": server.memory() / 1024}
        server.flush()
        result.update(fresh_mail(server, sink, fresh, 100000))
        result["share_of_own_rate"] = result["fresh_messages_s"] / alone
        result["retry_memory_mib"] = server.memory() / 1024
        still_queued(server, waiting)
        result["stop_s"] = server.stop()
        result["restart_ms"] = server.start() * 1000
        still_queued(server, waiting)
        return result


def restart(server, scale):
    """An empty queue: how long nobody is served."""
    del scale
    server.start()
    send(server, 10, c=1, t="user@discard.test")
    times = []
    for _ in range(5):
        server.stop()
        times.append(server.start())
    return {"restart_ms": sorted(times)[2] * 1000, "restart_max_ms": max(times) * 1000}


def first_delivery(server, sink, number):
    """Seconds from the start to the delivery of a message that came after it."""
    sink.ask("reset")
    began = time.monotonic()
    serving = server.start()
    send(server, 1, c=1, b=number)
    sink.wait("numbers", 1)
    return serving, time.monotonic() - began


def million(server, scale):
    """1 KB each for a hundred dead destinations, written in the spool's format."""
    waiting, fresh = sized(1000000, scale), sized(5000, max(scale, 0.6))
    with Sink(server) as sink:
        server.start()
        for first in (800000, 700000, 600000):  # segments are made only once
            fresh_mail(server, sink, fresh, first)
        alone = fresh_mail(server, sink, fresh, 0)
        empty = server.memory()
        server.stop()
        subprocess.run([server.out / "tests/bench/spool_fill", "-n", str(waiting), "-w", "0",
                        server.base / "spool"], check=True, stdout=subprocess.DEVNULL)
        first_delivery(server, sink, 299999)  # the queue manager is up
        result = {"octets_a_message": (server.memory() - empty) * 1024 / waiting,
                  "memory_mib": server.memory() / 1024}
        fresh_mail(server, sink, fresh, 200000)
        with_them = fresh_mail(server, sink, fresh, 100000)
        result.update(with_them)
        result["alone_messages_s"] = alone["fresh_messages_s"]
        result["alone_cpu_us"] = alone["cpu_us"]
        result["share_of_own_rate"] = with_them["fresh_messages_s"] / alone["fresh_messages_s"]
        result["stop_s"] = server.stop()
        result["start_clean_s"], result["first_delivery_clean_s"] = first_delivery(
            server, sink, 300000)
        time.sleep(SETTLED)
        server.kill()
        result["start_crash_s"], result["first_delivery_crash_s"] = first_delivery(
            server, sink, 300001)
        began = time.monotonic()
        queued = server.queued()
        result["listing_s"] = time.monotonic() - began
        check(queued == waiting, f"LOST: {queued} of {waiting} in the queue")
        return result


CASES = {"ingest1": ingest1, "ingestN": ingest_n, "relay": relay, "maildir": maildir,
         "list": mailing_list, "latency": latency, "idle": idle, "backlog": backlog,
         "restart": restart, "million": million}
OWN = {"million"}  # made of our own format

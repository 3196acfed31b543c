"""Sessions cost kilobytes, services cost no processes, maxproc is a limit over
all processes."""
import resource
import socket
import threading
import time

import pytest
from mode import SLOW
from waiting import free_port, wait_for

IDLE = 9500 if SLOW == 1 else 500


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def total_kib(instance):
    return sum(pss_kib(pid) for pid in instance.pids())


def open_session(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=30 * SLOW)
    return s


def read_reply(s, last):
    """To the end of a line that begins so."""
    data = b""
    while last not in data or not data.endswith(b"\r\n"):
        part = s.recv(4096)
        assert part, data
        data += part


def greet(s):
    """Greeting and EHLO's reply: who speaks first is refused."""
    read_reply(s, b"220 ")
    s.sendall(b"EHLO idle.example\r\n")
    read_reply(s, b"\r\n250 ")


@pytest.mark.timeout(300)
def test_idle_sessions(instance):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < IDLE + 500:
        pytest.skip(f"needs {IDLE + 500} descriptors, may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + 500), hard))
    instance.set(default_process_limit="20000",
                 smtpd_client_connection_count_limit="0")
    instance.start()
    instance.send()  # what is allocated once
    before = total_kib(instance)
    sessions = []
    try:
        while len(sessions) < IDLE:
            batch = [open_session(instance.port) for _ in range(min(100, IDLE - len(sessions)))]
            for s in batch:
                greet(s)
            sessions += batch
        per_session = (total_kib(instance) - before) / IDLE
        began = time.monotonic()
        extra = open_session(instance.port)
        greet(extra)
        took = time.monotonic() - began
        extra.close()
        for s in (sessions[0], sessions[-1]):
            s.sendall(b"NOOP\r\n")
            assert s.recv(100).startswith(b"250")
    finally:
        for s in sessions:
            s.close()
    print(f"{per_session:.1f} KiB a session, new client after {took * 1000:.1f} ms")
    if SLOW == 1:
        assert per_session < 24
    assert took < 0.1 * SLOW
    # All of it comes back: the next clients find an ordinary process.
    wait_for(lambda: instance.smtp().quit()[0] == 221, 10)


@pytest.mark.timeout(120)
def test_clones_cost_no_processes(instance, sink):
    next_hop = sink()
    for i in range(200):
        instance.service(f"clone{i} unix - - n - 1 smtp -o syslog_name=postfix/clone{i}")
    ports = [free_port() for _ in range(20)]
    for port in ports:
        instance.service(f"127.0.0.1:{port} inet n - n - 1 smtpd")
    instance.write("transport", "".join(
        f"c{i}.test clone{i}:[127.0.0.1]:{next_hop.port}\n" for i in range(200)))
    instance.start()
    programs = list(instance.pids().values())
    assert programs.count("smtpd") == 2 and programs.count("smtp") == 2, programs
    assert len(programs) < 16, programs
    for port in ports:
        with socket.create_connection(("127.0.0.1", port), timeout=10 * SLOW) as s:
            assert s.recv(100).startswith(b"220")
    instance.send([f"x@c{i}.test" for i in range(200)])
    next_hop.wait(200)
    instance.wait_log(r"postfix/clone7/smtp\[\d+\]: \w+: to=<x@c7.test>")
    instance.wait_empty()
    programs = list(instance.pids().values())
    assert programs.count("smtpd") == 2 and programs.count("smtp") == 2, programs


def test_maxproc_of_a_listener(instance):
    """One session at a time, although two processes share the socket."""
    port = free_port()
    instance.service(f"127.0.0.1:{port} inet n - n - 1 smtpd")
    instance.start()
    first = socket.create_connection(("127.0.0.1", port), timeout=10 * SLOW)
    assert first.recv(100).startswith(b"220")
    second = socket.create_connection(("127.0.0.1", port), timeout=10 * SLOW)
    second.settimeout(0.7)
    with pytest.raises(socket.timeout):
        second.recv(100)
    first.close()
    second.settimeout(10 * SLOW)
    assert second.recv(100).startswith(b"220")
    second.close()


def test_maxproc_of_a_transport(instance, sink):
    """One delivery at a time to all destinations of the transport."""
    lock, state = threading.Lock(), {"now": 0, "most": 0}

    def slow_data(_):
        with lock:
            state["now"] += 1
            state["most"] = max(state["most"], state["now"])
        time.sleep(0.05)
        with lock:
            state["now"] -= 1
        return "250 2.0.0 Ok"
    sinks = [sink(replies={"DOT": slow_data}, host=f"127.0.0.{i}") for i in (1, 2, 3)]
    instance.service("one unix - - n - 1 smtp")
    instance.write("transport", "".join(
        f"s{i}.test one:[{s.host}]:{s.port}\n" for i, s in enumerate(sinks)))
    instance.start()
    for _ in range(4):
        instance.send([f"x@s{i}.test" for i in range(3)])
    wait_for(lambda: sum(len(s.messages) for s in sinks) == 12, 30)
    assert state["most"] == 1
    instance.wait_empty()

"""Services: maxproc over all processes of a pool, profiles, addresses."""
import contextlib
import os
import signal
import socket
import time

import pytest
from stage import MASTER_CF, Call, ask, call, refused
from waiting import free_port, wait_for


def test_maxproc(stage):
    """Sessions at the same time, over all processes of the pool."""
    one, two = free_port(), free_port()
    stage.service(f"127.0.0.1:{one} inet n - n - 1 smtpd")
    stage.service(f"127.0.0.1:{two} inet n - n - 2 smtpd")
    stage.set(smtpd_processes="4").start()
    for _ in range(20):  # one after the other: all are served
        assert stage.who(one)[3] == f"127.0.0.1:{one}"
    with call(one) as c:
        assert refused(one)
        with call(two), call(two):
            assert refused(two)
            assert ask(stage.port, "lease 1") == "2"  # the others are free
        holder = int(c.ask("who").split()[3])
    assert stage.who(one)

    # The slot of a killed process is free again.
    c = Call(one)
    assert c.greeting() == "hello"
    holder = int(c.ask("who").split()[3])
    os.kill(holder, signal.SIGKILL)
    wait_for(lambda: not refused(one, 1))
    c.close()

    # A reload changes the limit of a service that runs.
    stage.master_lines[0] = f"127.0.0.1:{one} inet n - n - 3 smtpd"
    stage.reload()
    with call(one), call(one), call(one):
        assert refused(one)


def test_maxproc_one_many_clients(stage):
    """Never two at a time, and none is forgotten."""
    one = free_port()
    stage.service(f"127.0.0.1:{one} inet n - n - 1 smtpd")
    stage.set(smtpd_processes="4").start()
    calls = [Call(one) for _ in range(30)]
    served = 0
    while calls:
        greeted = []
        for c in calls:
            c.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                if c.socket.recv(10):
                    greeted.append(c)
        assert len(greeted) <= 1
        for c in greeted:
            c.close()
            calls.remove(c)
            served += 1
        time.sleep(0.002)
    assert served == 30


def test_default_process_limit(stage):
    stage.set(default_process_limit="2").start()
    with call(stage.port), call(stage.port):
        assert refused(stage.port)


def test_profiles_do_not_multiply_processes(stage):
    ports = [free_port() for _ in range(20)]
    for port in ports:
        stage.service(f"127.0.0.1:{port} inet n - n - - smtpd "
                      f"-o smtpd_banner=b{port}")
    for i in range(200):
        stage.service(f"slow{i} unix - - n - 1 smtp -o smtp_helo_name=h{i}")
    stage.start()
    assert len(stage.pids()) == 9
    for port in ports:
        assert ask(port, "value smtpd_banner") == f"b{port}"


def test_port_taken(stage):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", stage.port))
        s.listen()
        stage.write_config()
        done = stage.command("postern", "start", check=False)
        assert done.returncode != 0
        assert str(stage.port) in done.stderr and "in use" in done.stderr
    assert not stage.pids()
    stage.start()


def test_two_services_on_one_address(stage):
    stage.service(f"127.0.0.1:0{stage.port} inet n - n - - smtpd").write_config()
    done = stage.command("postern", "start", check=False)
    assert done.returncode != 0 and "another service" in done.stderr


def test_plain_port_and_interfaces(stage):
    stage.master_cf = MASTER_CF.replace("127.0.0.1:{port} ", "{port} ")
    stage.set(inet_interfaces="127.0.0.1, 127.0.0.7, localhost").start()
    for host in ("127.0.0.1", "127.0.0.7"):
        with socket.create_connection((host, stage.port), 5) as s:
            assert s.recv(100) == b"hello\n"
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.8", stage.port), 2)

"""Overload: when all sessions of a service are taken new ones are shorter, by
parameters that refer to stress; nobody is refused, and known clients are not
hurried."""
import socket
import time


def connect(instance, source="127.0.0.2"):
    return socket.create_connection(("127.0.0.1", instance.port), 30,
                                    source_address=(source, 0))


def line(sock):
    with sock.makefile("rb", 0) as f:
        return f.readline().decode()


def greeted(instance, source="127.0.0.2"):
    sock = connect(instance, source)
    assert line(sock).startswith("220 ")
    return sock


def limit(instance, sessions):
    instance.master_cf = instance.master_cf.replace(
        "inet n - n - - smtpd", f"inet n - n - {sessions} smtpd")
    return instance.set(smtpd_timeout="${stress?{2}:{300}}s")


def test_the_last_session_is_short(instance):
    limit(instance, 3).start()
    calm = [greeted(instance), greeted(instance)]
    last = greeted(instance)
    began = time.monotonic()
    waiting = connect(instance)  # in the listener's queue
    assert line(last).startswith("421 4.4.2 ")
    assert time.monotonic() - began < 10
    assert line(waiting).startswith("220 ")
    assert line(waiting).startswith("421 4.4.2 ")
    instance.wait_log(r"postfix/master\[\d+\]: warning: service "
                      rf'"127\.0\.0\.1:{instance.port}" \({instance.port}\) has '
                      r'reached its process limit "3": new clients may '
                      r"experience noticeable delays$")
    # The others have the time that they were promised.
    for sock in calm:
        sock.sendall(b"NOOP\r\n")
        assert line(sock).startswith("250 ")
        sock.close()
    instance.wait_log(r"disconnect from", count=4)
    assert instance.log().count("has reached its process limit") == 1
    # And so has who comes when it is over.
    with greeted(instance) as sock:
        time.sleep(2.5)
        sock.sendall(b"NOOP\r\n")
        assert line(sock).startswith("250 ")


def test_known_clients_are_not_hurried(instance):
    port = "127.0.0.1:{port} inet n - n - "
    instance.master_cf = instance.master_cf.replace(
        port + "- smtpd", port + "1 postscreen\n"
        "smtpd pass - - n - 1 smtpd")
    instance.set(smtpd_timeout="${stress?{2}:{300}}s", mynetworks="127.0.0.9",
                 postscreen_pre_queue_limit="1",
                 postscreen_greet_wait="1s").start()
    with connect(instance) as first:
        assert line(first).startswith("220-")
        assert line(first).startswith("220 ")
        # The second of two: under stress.
        with greeted(instance) as known:
            instance.wait_log("has reached its process limit")
            instance.wait_log(r"PASS OLD")
            time.sleep(3)
            known.sendall(b"NOOP\r\n")
            assert line(known).startswith("250 ")

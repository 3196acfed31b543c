"""A queue that has as much as it can hold: clients are slowed down and refused
before memory or disk run out, and what is there can leave."""
import itertools
import threading
import time

from mode import SLOW
from sink import Sink
from waiting import wait_for


def mail(client, sender="s@client.example"):
    """The reply to MAIL, and how long it took."""
    begin = time.monotonic()
    code, text = client.mail(sender)
    return code, text.decode(), time.monotonic() - begin


def test_memory(instance):
    """qmgr_memory_limit: 452 at MAIL, in old sessions and new ones, until some
    of it has gone."""
    go_on = threading.Event()
    sink = Sink(replies={"DOT": lambda session: go_on.wait(60) and "250 2.0.0 Ok"})
    instance.set(qmgr_memory_limit="1048576", in_flow_delay="0")
    instance.write("transport", f"slow.test smtp:[127.0.0.1]:{sink.port}\n")
    instance.start()
    body = "Subject: big\r\n\r\n" + ("x" * 70 + "\r\n") * 700
    with instance.smtp() as old:
        old.ehlo()
        for sent in range(60):
            code, text, _ = mail(old)
            if code != 250:
                break
            instance.must(old.rcpt(f"r{sent}@slow.test"), 250)
            code, reply = old.data(body)
            if code != 250:  # qmgr knew it earlier than smtpd
                assert (code, reply[:5]) == (452, b"4.3.1"), reply
                code, text, _ = mail(old)
                break
        assert 5 < sent < 40, sent
        wait_for(lambda: old.rset() and mail(old)[:2] ==
                 (452, "4.3.1 Insufficient system storage"))
        with instance.smtp() as new:
            new.ehlo()
            assert mail(new)[0] == 452
        instance.wait_log(r"warning: qmgr_memory_limit is (near|reached): mail is (taken slowly|refused)")
        # Commands work, and what is there leaves.
        assert len(instance.queue()) in (sent, sent + 1)
        go_on.set()
        wait_for(lambda: old.rset() and mail(old)[0] == 250)
        instance.must(old.rcpt("last@slow.test"), 250)
        instance.must(old.data("Subject: small\r\n\r\nx\r\n"), 250)
    instance.wait_empty()
    assert len({tuple(m[1]) for m in sink.messages}) == len(sink.messages) > sent


def test_slow(instance):
    """More mail waits than is worked on: in_flow_delay before each message."""
    go_on = threading.Event()
    sink = Sink(replies={"DOT": lambda session: go_on.wait(60) and "250 2.0.0 Ok"})
    instance.set(qmgr_message_active_limit="5", in_flow_delay="2s")
    # Many destinations: what waits for one of them alone is no reason to pause.
    sinks = [sink] + [Sink(replies=sink.replies) for _ in range(19)]
    instance.write("transport", "".join(f"d{n}.test smtp:[127.0.0.1]:{s.port}\n"
                                        for n, s in enumerate(sinks)))
    instance.start()
    numbers = itertools.count()

    def one(client):
        code, text, took = mail(client)
        assert code == 250, text
        instance.must(client.rcpt(f"r@d{next(numbers) % 20}.test"), 250)
        instance.must(client.data("Subject: x\r\n\r\nx\r\n"), 250)
        return took
    with instance.smtp() as client:
        client.ehlo()
        times = [one(client) for _ in range(5)]
        assert max(times) < 1.5 * SLOW
        wait_for(lambda: one(client) >= 2)
        # sendmail waits likewise, and gets through.
        begin = time.monotonic()
        instance.command("sendmail", "r@d0.test", input="Subject: x\n\nx\n")
        assert time.monotonic() - begin >= 2
        go_on.set()
        instance.wait_empty()
        wait_for(lambda: client.rset() and mail(client)[2] < 1)

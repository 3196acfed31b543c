"""A clean stop in the middle of everything: nothing is lost, and nothing repeated."""
import collections
import smtplib
import time

from load import NUMBER, Load, numbers_below
from mode import SLOW
from waiting import wait_for

STOPS = 4
LIST = 6000  # recipients of one message: more than are in memory at a time


def stop_and_start(instance, pause):
    time.sleep(pause)
    instance.stop()
    instance.start(write=False)


def test_under_load(instance, sink):
    """To mailboxes and to a host, which takes longer than all the stops."""
    far = sink()
    instance.set(relayhost=f"[127.0.0.1]:{far.port}").start()
    with Load(instance.port, threads=3) as near, \
            Load(instance.port, threads=3, domain="far.test") as away:
        for n in range(STOPS):
            stop_and_start(instance, 0.6 * SLOW + 0.13 * n)
        time.sleep(0.5)
    instance.wait_empty(60)
    assert len(near.acknowledged) > 50 and len(away.acknowledged) > 50
    found = numbers_below(instance.mail)
    assert not set(near.acknowledged) - set(found)
    assert not [n for n, arrivals in found.items() if len(arrivals) > 1]
    came = collections.Counter(int(NUMBER.search(m[2]).group(1)) for m in far.messages)
    assert not set(away.acknowledged) - set(came)
    assert not [n for n, times in came.items() if times > 1]


def test_in_a_list(instance, sink):
    """Who got it just before a stop does not get it again."""
    far = sink()
    instance.set(relayhost=f"[127.0.0.1]:{far.port}", smtpd_recipient_limit=LIST,
                 smtpd_recipient_overshoot_limit=LIST,
                 smtp_destination_recipient_limit=5).start()
    with smtplib.SMTP("127.0.0.1", instance.port, timeout=60 * SLOW) as client:
        client.sendmail("s@example.org", [f"r{i}@far.test" for i in range(LIST)],
                        "Subject: list\r\n\r\nx\r\n")
    for n in range(1, STOPS):
        wait_for(lambda n=n: len(far.messages) >= n * LIST / 5 / (STOPS + 1), 60)
        stop_and_start(instance, 0)
    instance.wait_empty(120)
    came = collections.Counter(rcpt for m in far.messages for rcpt in m[1])
    assert len(came) == LIST
    assert not [rcpt for rcpt, times in came.items() if times > 1]

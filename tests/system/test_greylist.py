"""check_greylist with lookup's memory: over all smtpd processes, and beyond a
restart."""
import smtplib
import time

import pytest

TEXT = (b"4.2.0 <u1@md.test>: Recipient address rejected: Greylisted, see "
        b"https://www.rfc-editor.org/rfc/rfc6647")


@pytest.fixture
def greylisting(instance):
    return instance.set(
        smtpd_relay_restrictions="permit_mynetworks, reject_unauth_destination",
        smtpd_recipient_restrictions="check_greylist",
        smtpd_greylist_delay="2s")


def rcpt(instance, sender="a@client.example", source="127.0.0.2"):
    with smtplib.SMTP("127.0.0.1", instance.port, "client.example", 20,
                      source_address=(source, 0)) as smtp:
        smtp.ehlo()
        smtp.mail(sender)
        return smtp.rcpt("u1@md.test")


def test_comes_again(greylisting):
    greylisting.start()
    for _ in range(4):  # whichever process it is
        assert rcpt(greylisting) == (450, TEXT)
    greylisting.wait_log(r"smtpd\[\d+\]: NOQUEUE: reject: RCPT from "
                         r"unknown\[127\.0\.0\.2\]: 450 4\.2\.0 "
                         r"<u1@md\.test>: Recipient address rejected: "
                         r"Greylisted, see ")
    time.sleep(2.1)
    assert rcpt(greylisting, source="127.0.0.3")[0] == 250  # a neighbour
    for _ in range(4):
        assert rcpt(greylisting)[0] == 250
    assert rcpt(greylisting, "b@client.example")[0] == 450
    greylisting.command("postern", "stop")
    greylisting.start()
    assert rcpt(greylisting)[0] == 250

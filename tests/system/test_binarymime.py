"""BINARYMIME (RFC 3030): what Python's smtplib sends as it is comes to a mailbox
as base64, and the next hop gets nothing that is no line."""
import email
import os
import smtplib
import time

import pytest
from mode import SLOW

BLOB = bytes(range(256)) * 300 + b"\r\n.\r\n\n.\n--b\r--b\n\r\n"
TEXT = "Gr\u00fc\u00dfe\r\nund mehr\r\n".encode()


def parts(*more):
    """A message of binary parts: octets of any value, a text, others."""
    return b"".join([
        b"From: a@client.example\r\nSubject: parts\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed;\r\n boundary=\"b c\"\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\npreamble\r\n"
        b"--b c\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Transfer-Encoding: BINARY\r\n\r\n", BLOB, b"\r\n"
        b"--b c\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\n", TEXT, b"\r\n"
        b"--b c\r\n\r\nplain\r\n", *more, b"--b c--\r\n"])


def nested():
    inner = (b"Subject: inner\r\nContent-Type: image/x-any\r\n"
             b"Content-Transfer-Encoding: binary\r\n\r\n" + BLOB)
    return (b"--b c\r\nContent-Type: message/rfc822\r\n"
            b"Content-Transfer-Encoding: binary\r\n\r\n" + inner + b"\r\n")


class Chunked(smtplib.SMTP):
    """Says BDAT, in chunks of some size; the last one may be empty."""

    def begin(self, recipient, body="BINARYMIME"):
        self.ehlo_or_helo_if_needed()
        assert self.mail("a@client.example", [f"BODY={body}"])[0] == 250
        assert self.rcpt(recipient)[0] == 250

    def chunks(self, octets, size):
        for at in range(0, len(octets), size):
            some = octets[at:at + size]
            self.putcmd(f"BDAT {len(some)}")
            self.send(some)
            reply = self.getreply()
            if reply[0] != 250:
                return reply
        return self.docmd("BDAT", "0 LAST")


@pytest.fixture
def client(running):
    with Chunked("127.0.0.1", running.port, local_hostname="client.example",
                 timeout=30 * SLOW) as made:
        yield made


def test_mailbox(running, client):
    """All octets come through, from parts and messages in parts."""
    assert client.ehlo()[1].count(b"\nBINARYMIME") == 1
    for size in (1000, 1 << 20, 79):
        client.begin("u1@md.test")
        assert client.chunks(parts(nested()), size)[0] == 250
    for path in running.wait_maildir("u1", 3):
        text = path.read_bytes()
        assert b"\0" not in text and b"\r" not in text
        assert max(map(len, text.splitlines())) < 200
        message = email.message_from_bytes(text)
        assert message["Content-Transfer-Encoding"] == "8bit"
        blob, words, plain, inner = message.get_payload()
        assert blob["Content-Transfer-Encoding"] == "base64"
        assert blob.get_payload(decode=True) == BLOB
        assert words.get_payload(decode=True) == TEXT
        assert plain.get_payload() == "plain"
        assert inner["Content-Transfer-Encoding"] == "8bit"
        assert inner.get_payload(0).get_payload(decode=True) == BLOB
        assert not message.defects and message.preamble == "preamble"


def test_small_chunks(running, client):
    """Command and chunk in a write each: nobody waits for an acknowledgement, which
    would come 40 ms later for each of them."""
    del running
    client.begin("u1@md.test")
    began = time.monotonic()
    assert client.chunks(b"x" * 7900, 79)[0] == 250
    assert time.monotonic() - began < 2 * SLOW


def test_large(running, client):
    """A part of many megabytes, through a blob."""
    octets = os.urandom(6 << 20)
    client.begin("u1@md.test")
    assert client.chunks(b"Content-Type: x/y\r\nContent-Transfer-Encoding: "
                         b"binary\r\n\r\n" + octets, 100003)[0] == 250
    path, = running.wait_maildir("u1")
    assert running.message(path).get_payload(decode=True)[:len(octets)] == octets


def test_next_hop(instance, sink):
    """What is relayed is 8BITMIME."""
    hop = sink()
    instance.set(transport_maps=None, relayhost=f"[127.0.0.1]:{hop.port}")
    instance.start()
    with Chunked("127.0.0.1", instance.port, timeout=30 * SLOW) as client:
        client.begin("x@far.test")
        assert client.chunks(parts(), 500)[0] == 250
    octets = hop.wait()[0][2]
    content = email.message_from_bytes(octets)
    assert content.get_payload(0).get_payload(decode=True) == BLOB
    assert b"\0" not in octets
    mail, = [line for line in hop.commands if line.startswith("MAIL")]
    assert "BODY=8BITMIME" in mail and "BINARY" not in mail


def test_dialogue(running, client):
    """DATA is refused; so is a nest too deep; the session goes on."""
    client.begin("u1@md.test")
    code, text = client.docmd("DATA")
    assert code == 503 and text.startswith(b"5.5.1 "), text
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n"
                    b"--b%d\r\n" % (i, i) for i in range(101))
    code, text = client.chunks(deep, 1000)
    assert (code, text) == (550, b"5.6.0 MIME nesting exceeds safety limit")
    client.begin("u1@md.test")
    assert client.chunks(b"Subject: x\r\n\r\nx\r\n", 5)[0] == 250
    running.wait_maildir("u1")


def test_bare_newline(instance):
    """A bare LF is refused in lines, not in octets."""
    instance.set(smtpd_forbid_bare_newline="reject", mynetworks="192.0.2.1",
                 smtpd_relay_restrictions="reject_unauth_destination")
    instance.start()
    binary = b"Content-Transfer-Encoding: binary\r\n\r\na\nb\rc"
    with Chunked("127.0.0.1", instance.port, timeout=30 * SLOW) as client:
        client.begin("u1@md.test")
        assert client.chunks(b"Subject: x\r\n" + binary, 7)[0] == 250
        client.begin("u1@md.test")
        assert client.chunks(b"Subject: x\n" + binary, 700)[0] == 550
    path, = instance.wait_maildir("u1")
    assert instance.message(path).get_payload(decode=True) == b"a\nb\rc"


@pytest.mark.parametrize("kept_back", ["binarymime", "chunking"])
def test_discarded(instance, kept_back):
    instance.set(smtpd_discard_ehlo_keywords=kept_back).start()
    with instance.smtp() as client:
        assert b"BINARYMIME" not in client.ehlo()[1]
        code, text = client.mail("a@client.example", ["BODY=BINARYMIME"])
        assert code == 555 and text.startswith(b"5.5.4 "), text

"""check_policy_service: what a policy server is asked, what its answers do, and
what happens when there is none."""
import os
import smtplib
import socket
import threading

import pytest


class Server:
    """A policy server: answer(attributes) is the action, or None to hang up."""

    def __init__(self, answer, path=None):
        self.answer, self.requests, self.connections = answer, [], 0
        if path is None:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.name = "inet:127.0.0.1:%d" % self.listener.getsockname()[1]
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            os.chmod(path, 0o666)
            self.listener.listen()
            self.name = f"unix:{path}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(client,),
                             daemon=True).start()

    def serve(self, client):
        with client, client.makefile("rw", encoding="latin-1",
                                     newline="\n") as talk:
            attributes = {}
            for line in talk:
                if line != "\n":
                    name, _, value = line.rstrip("\n").partition("=")
                    assert name not in attributes
                    attributes[name] = value
                    continue
                self.requests.append(attributes)
                action = self.answer(attributes)
                if action is None:
                    return
                talk.write(action)
                talk.flush()
                attributes = {}

    def close(self):
        self.listener.close()


@pytest.fixture
def policy(instance):
    servers = []

    def make(answer, path=None, **settings):
        server = Server(answer if callable(answer) else
                        lambda _: f"action={answer}\n\n", path)
        servers.append(server)
        instance.set(
            smtpd_recipient_restrictions="check_policy_service " + (
                "{ %s, %s }" % (server.name, ", ".join(
                    f"{k}={v}" for k, v in settings.items()))
                if settings else server.name), smtpd_delay_reject="yes")
        return server
    yield make
    for server in servers:
        server.close()


def rcpt(instance, *recipients):
    """Replies to RCPT of one message."""
    with smtplib.SMTP("127.0.0.1", instance.port) as client:
        client.ehlo("client.test")
        client.mail("s@client.test", ["SIZE=1234"])
        return [client.rcpt(r) for r in recipients]


def test_request(instance, policy):
    server = policy("DUNNO", policy_context="here")
    instance.set(smtpd_data_restrictions="check_policy_service " + server.name)
    instance.start()
    with smtplib.SMTP("127.0.0.1", instance.port) as client:
        client.ehlo("client.test")
        client.mail("s@client.test", ["SIZE=1234"])
        port = client.sock.getsockname()[1]
        for name in ("u1", "u2"):
            assert client.rcpt(f"{name}@md.test")[0] == 250
        assert client.data(b"Subject: x\r\n\r\nx\r\n")[0] == 250
        client.mail("other@client.test")
        client.rcpt("u1@md.test")
    first, second, data, other = server.requests
    expected = {
        "request": "smtpd_access_policy", "protocol_state": "RCPT",
        "protocol_name": "ESMTP", "client_address": "127.0.0.1",
        "client_name": "unknown", "reverse_client_name": "unknown",
        "client_port": str(port), "server_address": "127.0.0.1",
        "server_port": str(instance.port), "helo_name": "client.test",
        "sender": "s@client.test", "recipient": "u1@md.test",
        "recipient_count": "0", "queue_id": "", "size": "1234",
        "sasl_username": "", "sasl_method": "", "sasl_sender": "",
        "etrn_domain": "", "policy_context": "here",
        "ccert_subject": "", "encryption_protocol": "", "stress": ""}
    assert {k: first[k] for k in expected} == expected
    assert second["recipient"] == "u2@md.test" and second["queue_id"]
    assert data["protocol_state"] == "DATA"
    assert data["recipient_count"] == "2" and data["recipient"] == ""
    assert first["instance"] == second["instance"] == data["instance"]
    assert other["instance"] != first["instance"]
    # A connection for each restriction, used again.
    assert server.connections == 2


def test_proxied(instance, policy):
    """XCLIENT says where the client connected; BDAT is like DATA."""
    server = policy("DUNNO")
    instance.set(smtpd_data_restrictions="check_policy_service " + server.name,
                 smtpd_authorized_xclient_hosts="127.0.0.1")
    instance.start()
    with smtplib.SMTP("127.0.0.1", instance.port) as client:
        client.ehlo("client.test")
        assert client.docmd("XCLIENT", "DESTADDR=192.0.2.1 DESTPORT=2525"
                            )[0] == 220
        client.ehlo("client.test")
        client.mail("s@client.test")
        for name in ("u1", "u2"):
            assert client.rcpt(f"{name}@md.test")[0] == 250
        client.send(b"BDAT 3 LAST\r\nx\r\n")
        assert client.getreply()[0] == 250
    assert server.requests[0]["server_address"] == "192.0.2.1"
    assert server.requests[0]["server_port"] == "2525"
    assert server.requests[2]["protocol_state"] == "BDAT"
    assert server.requests[2]["recipient_count"] == "2"


def test_answer_out_of_turn(instance, policy):
    """What the server says too much is not the answer to the next question."""
    server = policy("DUNNO\n\naction=REJECT")
    instance.start()
    assert [code for code, _ in rcpt(instance, "u1@md.test", "u2@md.test")
            ] == [250, 250]
    assert server.connections == 2


@pytest.mark.parametrize("action, reply, log", [
    ("DUNNO", (250, "2.1.5 Ok"), None),
    ("OK", (250, "2.1.5 Ok"), None),
    ("REJECT", (554, "5.7.1 <u1@md.test>: Recipient address rejected: "
                "Access denied"), "NOQUEUE: reject: RCPT from"),
    ("450 4.7.0 come again", (450, "4.7.0 <u1@md.test>: Recipient address "
                              "rejected: come again"), None),
    ("DEFER_IF_PERMIT Greylisted, see you", (
        450, "4.7.1 <u1@md.test>: Recipient address rejected: Greylisted, "
        "see you"), None),
    ("HOLD", (250, "2.1.5 Ok"), "NOQUEUE: hold: RCPT from"),
    ("reject_unlisted_recipient", (250, "2.1.5 Ok"), None),
    ("nonsense", (451, "4.3.5 Server configuration error"),
     'unknown smtpd restriction: "nonsense"'),
])
def test_actions(instance, policy, action, reply, log):
    policy(action)
    instance.start()
    code, text = rcpt(instance, "u1@md.test")[0]
    assert (code, text.decode()) == reply
    if log:
        instance.wait_log(log)


def test_prepend(instance, policy):
    policy("PREPEND X-Policy: seen")
    instance.start()
    instance.send("u1@md.test")
    instance.wait_log("status=sent")
    mail = list((instance.mail / "u1/new").iterdir())[0].read_text()
    assert "X-Policy: seen\n" in mail


@pytest.mark.parametrize("answer", [
    lambda _: None,
    lambda _: "nothing=here\n\n",
    lambda _: "action=" + "x" * 10000 + "\n\n",
    lambda _: "x=y\n" * 1000,
])
def test_bad_server(instance, policy, answer):
    server = policy(answer, retry_delay="1s", try_limit=2)
    instance.start()
    code, text = rcpt(instance, "u1@md.test")[0]
    assert (code, text) == (
        451, b"4.3.5 <u1@md.test>: Recipient address rejected: "
        b"Server configuration problem")
    assert len(server.requests) == 2
    instance.wait_log(f"warning: problem talking to server {server.name}: ")


def test_slow_server(instance, policy):
    """Only the session that asks waits, and its default is what was set."""
    event = threading.Event()
    policy(lambda _: event.wait(30) and None, timeout="1s", try_limit=1,
           default_action="DUNNO")
    instance.start()
    assert rcpt(instance, "u1@md.test")[0][0] == 250
    instance.wait_log("problem talking to server .*: Connection timed out")
    event.set()


def test_no_server(instance):
    instance.set(smtpd_recipient_restrictions="check_policy_service "
                 "{ unix:private/none, { default_action = 421 4.3.2 later }, "
                 "try_limit=1 }")
    instance.start()
    assert rcpt(instance, "u1@md.test")[0][0] == 421


def test_unix_socket_and_restart(instance, policy):
    """A server that was started anew is found at the first question."""
    path = instance.base / "policy"
    server = policy("DUNNO", path)
    instance.start()
    assert rcpt(instance, "u1@md.test", "u2@md.test")[0][0] == 250
    server.close()
    path.unlink()
    again = Server(lambda _: "action=REJECT no\n\n", path)
    assert {reply[0] for reply in rcpt(instance, "u1@md.test")} <= {250, 554}
    again.close()


@pytest.mark.parametrize("text", [
    "inet:127.0.0.1", "{ }", "{ inet:127.0.0.1:1, colour=red }",
    "{ inet:127.0.0.1:1, timeout=soon }"])
def test_bad_configuration(instance, text):
    instance.set(smtpd_recipient_restrictions=f"check_policy_service {text}")
    instance.write_config()
    assert instance.command("postern", "start", check=False).returncode != 0

"""Where mail goes: transports and next hops in all forms, MX, LMTP, overrides."""
import os
import random
import re
import socket
import threading

import contract
import nsd
import pytest
from instance import ROOT, mail_user
from mode import SLOW
from waiting import free_port


def native(rig):
    """No name server: addresses and the hosts file."""
    return rig.set(smtp_dns_support_level="disabled", smtp_host_lookup="native",
                   smtpd_reject_unlisted_recipient="no")


def deliver(rig, to, sender="s@client.example"):
    with rig.wire() as w:
        qid = w.mail(to, sender=sender)
    line = rig.wait_log(rf"(\S+)\[\d+\]: {qid}: to=<[^>]*>, (.*)$")
    return qid, line.group(1), line.group(2)


def test_transport_table(sink):
    a, b, c = sink(), sink(), sink()
    with contract.rig() as rig:
        native(rig).set(transport_maps=rig.table("transport", f"""\
one.test smtp:[127.0.0.1]:{a.port}
.sub.test smtp:[127.0.0.1]:{a.port}
exact@two.test smtp:[127.0.0.1]:{b.port}
two.test smtp:[127.0.0.1]:{a.port}
name.test smtp:[localhost]:{c.port}
bare.test smtp:127.0.0.1:{a.port}
relayed.test relay:[127.0.0.1]:{a.port}
same.test :[127.0.0.1]:{a.port}
ext@ext.test smtp:[127.0.0.1]:{b.port}
disc.test discard:silently gone
disc2.test discard:
err.test error:5.1.2 gone
virt.test virtual:
nosuch.test nosuch:
dead.test smtp:[127.0.0.1]:9
list.test smtp:[127.0.0.1]:9, [127.0.0.1]:{b.port}
u3@md.test smtp:[127.0.0.1]:{b.port}
"""), recipient_delimiter="+", parent_domain_matches_subdomains="debug_peer_list",
                        virtual_mailbox_maps=rig.table(
                            "vm", "u1@md.test u1/\nu3@md.test u3/\nu1@virt.test u1/\n"))
        rig.start()
        to_a = f"relay=127.0.0.1[127.0.0.1]:{a.port}, "
        to_b = f"relay=127.0.0.1[127.0.0.1]:{b.port}, "
        for address, tag, relay, status in [
                ("x@one.test", "smtp", to_a, "dsn=2.0.0, status=sent (250 2.0.0 Ok: kept)"),
                ("x@deep.sub.test", "smtp", to_a, "status=sent"),
                ("EXACT@Two.test", "smtp", to_b, "status=sent"),
                ("other@two.test", "smtp", to_a, "status=sent"),
                ("x@name.test", "smtp", f"relay=localhost[127.0.0.1]:{c.port}, ", "status=sent"),
                ("x@bare.test", "smtp", to_a, "status=sent"),
                ("x@relayed.test", "smtp", to_a, "status=sent"),
                ("x@same.test", "smtp", to_a, "status=sent"),
                ("ext+tag@ext.test", "smtp", to_b, "status=sent"),
                ("x@list.test", "smtp", to_b, "status=sent"),
                ("u3@md.test", "smtp", to_b, "status=sent"),
                ("x@disc.test", "discard", "relay=none, ", "dsn=2.0.0, status=sent (silently gone)"),
                ("x@disc2.test", "discard", "relay=none, ", "status=sent"),
                ("x@err.test", "error", "relay=none, ", "dsn=5.1.2, status=bounced (gone)"),
                ("u1@virt.test", "virtual", "relay=virtual, ", "status=sent (delivered to maildir)"),
                ("x@nosuch.test", "error", "relay=none, ",
                 "dsn=4.3.0, status=deferred (mail transport unavailable)"),
                ("x@dead.test", "smtp", "relay=none, ", "dsn=4.4.1, status=deferred "
                 "(connect to 127.0.0.1[127.0.0.1]:9: Connection refused)")]:
            _, logged, rest = deliver(rig, address, sender="u1@md.test")
            assert logged == "postfix/" + tag, (address, logged, rest)
            assert rest.startswith(relay) and status in rest, (address, rest)
        rig.wait_log(r"postfix/qmgr\[\d+\]: warning: connect to transport private/nosuch: "
                     "No such file or directory$")
        assert [m[1][0] for m in b.messages] == [
            "EXACT@Two.test", "ext+tag@ext.test", "x@list.test", "u3@md.test"]


def test_relayhost(sink):
    a, b = sink(), sink()
    with contract.rig() as rig:
        native(rig).set(relayhost=f"[127.0.0.1]:{a.port}", relay_domains="rd.test",
                        transport_maps=rig.table(
                            "t", f"special.test smtp:[127.0.0.1]:{b.port}\n"))
        rig.start()
        for address in ("y@z.test", "x@rd.test", "x@[127.0.0.5]"):
            qid, tag, rest = deliver(rig, address)
            assert rest.startswith(f"relay=127.0.0.1[127.0.0.1]:{a.port}, ")
        deliver(rig, "y@special.test")
        _, tag, rest = deliver(rig, "u1@md.test")
        assert tag == "postfix/virtual"
        assert [m[1] for m in b.messages] == [["y@special.test"]]
        sender, rcpts, octets, _ = a.messages[0]
        assert (sender, rcpts) == ("s@client.example", ["y@z.test"])
        assert octets.startswith(b"Received: from client.example (unknown [127.0.0.1])\r\n"
                                 b"\tby mx.test.example (")
        assert a.commands[0] == "EHLO mx.test.example"
        assert re.fullmatch(r"MAIL FROM:<s@client\.example> SIZE=\d+", a.commands[1])
        assert a.commands[2].startswith("RCPT TO:<y@z.test>")
        assert a.commands[3:5] == ["DATA", "QUIT"]


def test_replies_of_a_server(sink):
    now = {}
    said = {"CONNECT": "220 sink ESMTP", "EHLO": "250-sink\r\n250 SIZE",
            "HELO": "250 sink", "MAIL": "250 ok", "RCPT": "250 ok",
            "DATA": "354 go", "DOT": "250 2.0.0 taken as 123", "RSET": "250 ok"}
    hop = sink(replies={verb: lambda s, verb=verb: now.get(verb, said[verb])
                        for verb in said})
    host = "host 127.0.0.1[127.0.0.1] "
    cases = [
        ({}, "2.0.0", "sent", "250 2.0.0 taken as 123"),
        ({"DOT": "250-2.0.0 several\r\n250 2.0.0 lines"}, "2.0.0", "sent",
         "250-2.0.0 several 250 2.0.0 lines"),
        ({"EHLO": "502 no"}, "2.0.0", "sent", "250 2.0.0 taken as 123"),
        ({"MAIL": "550 5.7.1 no senders"}, "5.7.1", "bounced",
         host + "said: 550 5.7.1 no senders (in reply to MAIL FROM command)"),
        ({"RCPT": "552 5.2.2 full"}, "5.2.2", "bounced",
         host + "said: 552 5.2.2 full (in reply to RCPT TO command)"),
        ({"RCPT": "450 busy"}, "4.0.0", "deferred",
         host + "said: 450 busy (in reply to RCPT TO command)"),
        ({"DATA": "554 5.5.0 no data"}, "5.5.0", "bounced",
         host + "said: 554 5.5.0 no data (in reply to DATA command)"),
        ({"DOT": "554 5.6.0 bad content"}, "5.6.0", "bounced",
         host + "said: 554 5.6.0 bad content (in reply to end of DATA command)"),
        ({"DOT": "451 4.3.0 again"}, "4.3.0", "deferred",
         host + "said: 451 4.3.0 again (in reply to end of DATA command)"),
        ({"EHLO": "502 no", "HELO": "502 nor helo"}, "5.0.0", "bounced",
         host + "refused to talk to me: 502 nor helo"),
        ({"CONNECT": "554 go away"}, "4.0.0", "deferred",
         host + "refused to talk to me: 554 go away"),
    ]
    with contract.rig() as rig:
        native(rig).set(relayhost=f"[127.0.0.1]:{hop.port}",
                        smtp_connection_cache_on_demand="no")
        rig.start()
        for replies, dsn, status, text in cases:
            now.clear()
            now.update(replies)
            _, _, rest = deliver(rig, "x@y.test", sender="")
            assert rest.endswith(f", dsn={dsn}, status={status} ({text})"), (replies, rest)


def test_lmtp(sink):
    def answer(s):
        return ("550 5.2.2 over quota" if "full" in s["rcpt"] else
                "450 4.2.1 hold on" if "tmp" in s["rcpt"] else "250 2.1.5 stored")

    def asked(s):
        return "550 5.1.1 nobody" if "bad" in s["line"] else "250 2.1.5 ok"

    server = sink(lmtp=True, replies={"DOT": answer, "RCPT": asked})
    with contract.rig() as rig:
        path = rig.base / "lmtp"
        listener = unix_front(path, server.port)
        native(rig).set(lmtp_dns_support_level="disabled", lmtp_host_lookup="native",
                        transport_maps=rig.table(
                            "t", f"tcp.test lmtp:inet:127.0.0.1:{server.port}\n"
                            f"tcp2.test lmtp:[127.0.0.1]:{server.port}\n"
                            f"none.test lmtp:unix:{path}.none\n"),
                        virtual_mailbox_domains="md.test ux.test",
                        virtual_mailbox_maps=rig.table("vm", "@ux.test x\n"),
                        virtual_transport=f"lmtp:unix:{path}")
        rig.start()
        for address in ("a@tcp.test", "a@tcp2.test"):
            _, tag, rest = deliver(rig, address, sender="")
            assert tag == "postfix/lmtp"
            assert rest.startswith(f"relay=127.0.0.1[127.0.0.1]:{server.port}, ")
            assert rest.endswith("dsn=2.1.5, status=sent (250 2.1.5 stored)")
        assert server.commands[0] == "LHLO mx.test.example"
        with rig.wire() as w:
            qid = w.mail(["a@ux.test", "full@ux.test", "tmp@ux.test", "bad@ux.test"],
                         sender="")
        at = re.escape(f"relay=mx.test.example[{path}], ")
        where = re.escape(f"host mx.test.example[{path}] said: ")
        for who, what in [
                ("a", r"dsn=2\.1\.5, status=sent \(250 2\.1\.5 stored\)"),
                ("full", rf"dsn=5\.2\.2, status=bounced \({where}550 5\.2\.2 over quota "
                 r"\(in reply to end of DATA command\)\)"),
                ("tmp", rf"dsn=4\.2\.1, status=deferred \({where}450 4\.2\.1 hold on "
                 r"\(in reply to end of DATA command\)\)"),
                ("bad", rf"dsn=5\.1\.1, status=bounced \({where}550 5\.1\.1 nobody "
                 r"\(in reply to RCPT TO command\)\)")]:
            rig.wait_log(rf"postfix/lmtp\[\d+\]: {qid}: to=<{who}@ux\.test>, {at}.*{what}$")
        _, _, rest = deliver(rig, "a@none.test", sender="")
        assert "status=deferred (connect to mx.test.example[" \
            f"{path}.none]: No such file or directory)" in rest
        listener.close()


def unix_front(path, port):
    """A Unix socket whose connections go on to a port of 127.0.0.1."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen(10)

    def pump(a, b):
        try:
            while octets := a.recv(65536):
                b.sendall(octets)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def accept():
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return listener


def test_services_of_ones_own(sink):
    """User-defined transports and listeners, their -o and their maxproc."""
    a = sink()
    sub, one = free_port(), free_port()
    with contract.rig() as rig:
        (rig.base / "mail2").mkdir()
        if ROOT:
            os.chown(rig.base / "mail2", *mail_user())
        for line in f"""\
mysmtp unix - - n - 1 smtp -o syslog_name=custom/out -o smtp_helo_name=helo.example
mydisc unix - - n - - discard -o syslog_name=gone
myvirt unix - n n - - virtual -o {{ virtual_mailbox_base = {rig.base}/mail2 }}
clean2 unix n - n - 0 cleanup -o syslog_name=postfix/c2 -o always_bcc=u4@md.test
127.0.0.1:{sub} inet n - n - - smtpd -o syslog_name=postfix/submission
  -o mynetworks=192.0.2.0/24 -o smtpd_banner=hello.there
  -o smtpd_relay_restrictions=reject_unauth_destination
127.0.0.1:{one} inet n - n - 1 smtpd -o {{ message_size_limit = 500 }}
  -o cleanup_service_name=clean2""".splitlines():
            rig.service(line)
        native(rig).set(transport_maps=rig.table(
            "t", f"a.test mysmtp:[127.0.0.1]:{a.port}\nb.test mydisc:\nf.test myvirt:\n"),
            virtual_mailbox_maps=rig.table(
                "vm", "u1@f.test u1/\nu1@md.test u1/\nu4@md.test u4/\n"))
        rig.start()
        assert deliver(rig, "x@a.test")[1] == "custom/out/smtp"
        assert a.commands[0] == "EHLO helo.example"
        assert deliver(rig, "x@b.test")[1] == "gone/discard"
        _, tag, rest = deliver(rig, "u1@f.test")
        assert tag == "postfix/virtual" and rest.startswith("relay=myvirt, ")
        assert len(list((rig.base / "mail2/u1/new").iterdir())) == 1
        with rig.wire(port=sub) as w:
            assert w.banner == "220 hello.there"
            assert w("MAIL FROM:<a@b.test>") == "250 2.1.0 Ok"
            assert w("RCPT TO:<x@else.test>") == \
                "554 5.7.1 <x@else.test>: Relay access denied"
            assert w("RCPT TO:<u1@md.test>") == "250 2.1.5 Ok"
        rig.wait_log(r"postfix/submission/smtpd\[\d+\]: NOQUEUE: reject: RCPT from ")
        with rig.wire(port=one) as w:
            qid = w.mail("u1@md.test")
            rig.wait_log(rf"postfix/c2/cleanup\[\d+\]: {qid}: message-id=")
            rig.wait_log(rf"{qid}: to=<u4@md\.test>")
            w("MAIL FROM:<a@b.test>")
            w("RCPT TO:<u1@md.test>")
            w("DATA")
            w.send("line\r\n" * 200)
            assert w(".") == "552 5.3.4 Error: message file too big"
            with socket.create_connection(("127.0.0.1", one)) as second:
                second.settimeout(0.3)
                with pytest.raises(TimeoutError):  # maxproc is 1
                    second.recv(100)
                w("QUIT")
                second.settimeout(10 * SLOW)
                assert second.recv(100).startswith(b"220 ")


@pytest.mark.skipif(not ROOT or nsd.PROGRAM is None, reason="needs root and nsd")
def test_mail_exchangers(sink):
    port = free_port()
    hosts = [f"127.54.{random.randrange(256)}.{n}" for n in (1, 2, 3)]
    hops = {h: sink(host=h, port=port) for h in hosts[1:]}
    # Any address of 127.0.0.0/8 is this host: no two of us meet.
    address = f"127.53.{random.randrange(256)}.{random.randrange(1, 255)}"
    with contract.rig() as rig:
        zones = {"mxt.example": f"""\
@ MX 10 mx1
@ MX 20 mx2
@ A {hosts[2]}
mx1 A {hosts[0]}
mx2 A {hosts[1]}
aonly A {hosts[2]}
null MX 0 .
null A {hosts[2]}
nodata TXT "x"
dangling MX 10 nowhere
cname CNAME aonly
best MX 10 self
best MX 20 mx2
backup MX 10 mx2
backup MX 20 self
self A 127.0.0.1
several MX 10 multi
multi A {hosts[0]}
multi A {hosts[1]}
""", "test.example": "mx A 127.0.0.1\n"}
        (rig.base / "nsd").mkdir()
        with nsd.Nsd(rig.base / "nsd", {
                name: f"$ORIGIN {name}.\n$TTL 60\n@ SOA ns root 1 60 60 60 60\n@ NS ns\n"
                f"ns A {address}\n{records}" for name, records in zones.items()},
                address, 53):
            (rig.base / "etc/resolv.conf").write_text(f"nameserver {address}\n")
            rig.set(smtp_tcp_port=port, minimal_backoff_time="300s",
                    smtpd_relay_restrictions="permit_mynetworks, reject")
            rig.start()
            name = "Host or domain name not found. Name service error for name="
            for domain, relay, status in [
                    ("mxt.example", f"mx2.mxt.example[{hosts[1]}]:{port}", "sent"),
                    ("aonly.mxt.example", f"aonly.mxt.example[{hosts[2]}]:{port}", "sent"),
                    ("cname.mxt.example", f"cname.mxt.example[{hosts[2]}]:{port}", "sent"),
                    ("several.mxt.example", f"multi.mxt.example[{hosts[1]}]:{port}", "sent"),
                    ("backup.mxt.example", f"mx2.mxt.example[{hosts[1]}]:{port}", "sent"),
                    ("null.mxt.example", "none", "bounced (Domain null.mxt.example "
                     "does not accept mail (nullMX))"),
                    ("none.mxt.example", "none", "bounced (" + name +
                     "none.mxt.example type=AAAA: Host not found)"),
                    ("nodata.mxt.example", "none", "bounced (" + name +
                     "nodata.mxt.example type=AAAA: Host found but no data record of "
                     "requested type)"),
                    ("dangling.mxt.example", "none", "bounced (" + name +
                     "nowhere.mxt.example type=AAAA: Host not found)")]:
                _, _, rest = deliver(rig, "x@" + domain, sender="")
                rest = rest.replace("type=A:", "type=AAAA:")
                assert rest.startswith(f"relay={relay}, "), (domain, rest)
                assert f"status={status}" in rest, (domain, rest)
            rig.wait_log(r"postfix/smtp\[\d+\]: connect to mx1\.mxt\.example"
                         rf"\[{re.escape(hosts[0])}\]:{port}: Connection refused$")
            assert all(h.messages for h in hops.values())

"""The SMTP and LMTP client as its servers see it."""
import os
import socket
import threading
import time

from waiting import wait_for


def route(instance, *lines):
    instance.write("transport", "".join(line + "\n" for line in lines))


def test_sessions_are_reused_while_there_is_demand(instance, sink):
    hop = sink()
    route(instance, f"relay.test smtp:[127.0.0.1]:{hop.port}")
    instance.set(smtp_processes=1).start()
    for _ in range(10):
        instance.send("a@relay.test")
    hop.wait(10)
    assert hop.sessions < 10
    instance.wait_log(r"conn_use=2, .*status=sent")
    # And let go when there is none.
    wait_for(lambda: hop.commands.count("QUIT") == hop.sessions,
             what="QUIT on each session")
    instance.wait_empty()


def test_a_lone_message_leaves_no_session(instance, sink):
    hop = sink()
    route(instance, f"relay.test smtp:[127.0.0.1]:{hop.port}")
    instance.start()
    instance.send("a@relay.test")
    hop.wait()
    wait_for(lambda: "QUIT" in hop.commands, timeout=1.5, what="QUIT")


def test_server_that_drops_idle_sessions(instance, sink):
    """A kept session that the server closed costs nobody a deferral."""
    def mail(session):
        session["mails"] = session.get("mails", 0) + 1
        return "250 2.1.0 Ok" if session["mails"] <= 2 else None
    hop = sink(replies={"MAIL": mail})
    route(instance, f"relay.test smtp:[127.0.0.1]:{hop.port}")
    instance.set(smtp_processes=1).start()
    for _ in range(12):
        instance.send("a@relay.test")
    hop.wait(12)
    instance.wait_empty()
    assert "status=deferred" not in instance.log()
    assert len(hop.messages) == 12


def test_recipients_of_one_message_share_a_transaction(instance, sink):
    hop = sink()
    route(instance, f"relay.test smtp:[127.0.0.1]:{hop.port}")
    instance.start()
    instance.send([f"r{i}@relay.test" for i in range(40)])
    assert sorted(hop.wait()[0][1]) == sorted(
        f"r{i}@relay.test" for i in range(40))
    assert len(hop.messages) == 1


def test_dsn_parameters_are_passed_on(instance, sink):
    hop = sink()
    route(instance, f"relay.test smtp:[127.0.0.1]:{hop.port}")
    instance.start()
    instance.send("a@relay.test", mail=["RET=HDRS", "ENVID=q+2B1"],
                  rcpt=["NOTIFY=SUCCESS,DELAY",
                        "ORCPT=rfc822;old+2Btag@else.test"])
    hop.wait()
    mail = next(c for c in hop.commands if c.startswith("MAIL"))
    rcpt = next(c for c in hop.commands if c.startswith("RCPT"))
    assert " RET=HDRS" in mail and " ENVID=q+2B1" in mail
    assert " NOTIFY=SUCCESS,DELAY" in rcpt
    assert " ORCPT=rfc822;old+2Btag@else.test" in rcpt


def test_server_without_extensions(instance, sink):
    hop = sink(replies={"EHLO": "502 5.5.1 what?"})
    route(instance, f"relay.test smtp:[127.0.0.1]:{hop.port}")
    instance.start()
    instance.send("a@relay.test")
    hop.wait()
    assert hop.commands[:4] == ["EHLO mx.test.example", "HELO mx.test.example",
                                "MAIL FROM:<sender@client.example>",
                                "RCPT TO:<a@relay.test>"]


def test_loop_is_told_by_name(instance):
    """Our own smtpd is no next hop, told by its EHLO, when it is at port 25;
    at other ports a hop is counted by its Received: lines."""
    route(instance, f"relay.test smtp:[127.0.0.1]:{instance.port}")
    instance.set(relay_domains="relay.test").start()
    qid = instance.send("a@relay.test", sender="")
    instance.wait_log(r"status=bounced \(.*too many hops", timeout=60)
    assert qid


def test_lmtp_by_socket(instance, sink):
    """unix:path below queue_directory, a reply for each recipient."""
    def dot(session):
        return ("552 5.2.2 full" if session["rcpt"].startswith("full@")
                else "250 2.1.5 kept")
    hop = sink(lmtp=True, replies={"DOT": dot})
    route(instance, "box.test lmtp:unix:private/store",
          f"inet.test lmtp:inet:127.0.0.1:{hop.port}")
    instance.start()
    path = instance.spool / "private" / "store"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    os.chmod(path, 0o777)
    listener.listen(10)
    hop.listener.close()
    hop.listener = listener
    threading.Thread(target=hop._accept, daemon=True).start()
    qid = instance.send(["a@box.test", "full@box.test"], sender="")
    instance.wait_log(rf"postfix/lmtp\[\d+\]: {qid}: to=<a@box\.test>, "
                      r"relay=mx\.test\.example\[private/store\], .*"
                      r"dsn=2\.1\.5, status=sent \(250 2\.1\.5 kept\)")
    instance.wait_log(rf"{qid}: to=<full@box\.test>, .*dsn=5\.2\.2, "
                      r"status=bounced \(host mx\.test\.example\[private/store\]"
                      r" said: 552 5\.2\.2 full \(in reply to end of DATA "
                      r"command\)\)")
    assert hop.commands[0] == "LHLO mx.test.example"


def test_service_overrides(instance, sink):
    hop = sink()
    route(instance, f"slow.test slow:[127.0.0.1]:{hop.port}")
    instance.service("slow unix - - n - 1 smtp\n"
                     "  -o syslog_name=special -o smtp_helo_name=slow.example")
    instance.start()
    instance.send("a@slow.test")
    hop.wait()
    assert "EHLO slow.example" in hop.commands
    instance.wait_log(r"special/smtp\[\d+\]: \w+: to=<a@slow\.test>")


def test_slow_server_runs_into_its_time_limit(instance, sink):
    def stall(_session):
        time.sleep(5)
        return None
    hop = sink(replies={"MAIL": stall})
    route(instance, f"relay.test smtp:[127.0.0.1]:{hop.port}")
    instance.set(smtp_mail_timeout="1s").start()
    qid = instance.send("a@relay.test")
    instance.wait_log(rf"{qid}: .*dsn=4\.4\.2, status=deferred \(conversation "
                      r"with 127\.0\.0\.1\[127\.0\.0\.1\] timed out while "
                      r"sending MAIL FROM\)")


def test_garbage_does_not_reach_the_log(instance, sink):
    hop = sink(replies={"RCPT": "550 5.7.1 no\x1b[31m\x07 way\tout"})
    route(instance, f"relay.test smtp:[127.0.0.1]:{hop.port}")
    instance.start()
    instance.send("a@relay.test", sender="")
    instance.wait_log(r"said: 550 5\.7\.1 no\?\[31m\? way out \(in reply to "
                      r"RCPT TO command\)")
    assert "\x1b" not in instance.log()


def test_stop_cuts_a_delivery_short(instance, sink):
    """What the stop interrupts is neither deferred nor lost nor doubled."""
    stalled = threading.Event()

    def stall(_session):
        if not stalled.is_set():
            stalled.set()
            time.sleep(60)
        return "250 2.1.0 Ok"
    hop = sink(replies={"MAIL": stall})
    route(instance, f"relay.test smtp:[127.0.0.1]:{hop.port}")
    instance.start()
    qid = instance.send("a@relay.test")
    assert stalled.wait(10)
    instance.stop()
    assert "status=deferred" not in instance.log()
    instance.start()
    hop.wait()
    instance.wait_log(rf"{qid}: removed")
    assert len(hop.messages) == 1

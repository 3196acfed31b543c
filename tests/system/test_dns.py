"""Mail exchangers, addresses and their failures, with NSD as the resolver, by
libunbound and by the stub that believes its AD bit."""
import re

import pytest
from waiting import free_port

ZONES = {
    "zone.test": """\
$ORIGIN zone.test.
@ 300 IN SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
@ MX 10 mx1
@ MX 20 mx2.other.test.
mx1 A 127.0.0.2
null MX 0 .
bare A 127.0.0.3
alias CNAME mx2.other.test.
domainalias CNAME zone.test.
noaddress MX 10 nowhere
""",
    "other.test": """\
$ORIGIN other.test.
@ 300 IN SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
mx2 A 127.0.0.3
""",
}

@pytest.fixture(name="nsd")
def zones_served(nsd):
    """The name server of the zones above."""
    return nsd(ZONES)


def ask(instance, port, trust_ad):
    """Have it ask the resolver at that port; all SMTP goes to one port, too."""
    instance.smtp_port = free_port()
    instance.write("transport", "")
    return instance.set(dns_resolvers=f"127.0.0.1@{port}",
                        dns_trust_ad=trust_ad,
                        smtp_dns_support_level="enabled",
                        smtp_host_lookup="dns",
                        smtp_connect_timeout="2s",
                        smtp_tcp_port=instance.smtp_port)


@pytest.fixture(params=["yes", "no"], ids=["stub", "libunbound"])
def resolving(request, instance, nsd):
    """An instance that asks NSD, by either means, not started."""
    return ask(instance, nsd.port, request.param)


@pytest.fixture
def sinks(instance, sink):
    """Sinks at addresses of the zones, at the port that all mail goes to."""
    return lambda host, **kwargs: sink(host=host, port=instance.smtp_port, **kwargs)


def test_best_exchanger(resolving, sinks):
    first, second = sinks("127.0.0.2"), sinks("127.0.0.3")
    resolving.start()
    qid = resolving.send("a@zone.test")
    first.wait()
    resolving.wait_log(rf"{qid}: to=<a@zone.test>, relay=mx1\.zone\.test"
                       rf"\[127\.0\.0\.2\]:{resolving.smtp_port}, .*status=sent")
    assert not second.messages


def test_second_exchanger(resolving, sinks):
    second = sinks("127.0.0.3")
    resolving.start()
    qid = resolving.send("a@zone.test")
    second.wait()
    resolving.wait_log(r"connect to mx1\.zone\.test\[127\.0\.0\.2\]:"
                       rf"{resolving.smtp_port}: Connection refused")
    resolving.wait_log(rf"{qid}: .*relay=mx2\.other\.test\[127\.0\.0\.3\]:"
                       r"\d+, .*status=sent")


def test_only_what_was_deferred_goes_on(resolving, sinks):
    def rcpt(session):
        return ("450 4.2.1 later" if "later@" in session["line"]
                else "250 2.1.5 Ok")
    first = sinks("127.0.0.2", replies={"RCPT": rcpt})
    second = sinks("127.0.0.3")
    resolving.start()
    resolving.send(["now@zone.test", "later@zone.test"])
    assert first.wait()[0][1] == ["now@zone.test"]
    assert second.wait()[0][1] == ["later@zone.test"]
    resolving.wait_empty()


def test_names_without_exchanger(resolving, sinks):
    host = sinks("127.0.0.3")
    resolving.start()
    for name, relay in (("bare.zone.test", "bare.zone.test"),
                        ("alias.zone.test", "alias.zone.test")):
        resolving.send(f"a@{name}")
        resolving.wait_log(rf"to=<a@{re.escape(name)}>, "
                           rf"relay={re.escape(relay)}\[127\.0\.0\.3\]")
    host.wait(2)


def test_exchangers_of_an_alias(resolving, sinks):
    first = sinks("127.0.0.2")
    resolving.start()
    resolving.send("a@domainalias.zone.test")
    assert first.wait()[0][1] == ["a@domainalias.zone.test"]


def test_what_does_not_resolve(resolving):
    resolving.start()
    wanted = {
        "null.zone.test": r"dsn=5\.1\.0, status=bounced \(Domain "
                          r"null\.zone\.test does not accept mail \(nullMX\)\)",
        "gone.zone.test": r"dsn=5\.4\.4, status=bounced \(Host or domain name "
                          r"not found\. Name service error for name="
                          r"gone\.zone\.test type=A: Host not found\)",
        "noaddress.zone.test": r"dsn=5\.4\.4, status=bounced",
        "elsewhere.example": r"dsn=4\.4\.3, status=deferred \(Host or domain "
                             r"name not found\. Name service error for name="
                             r"elsewhere\.example type=MX: Host not found, "
                             r"try again\)",
    }
    for name, result in wanted.items():
        resolving.send(f"a@{name}", sender="")
        resolving.wait_log(rf"to=<a@{re.escape(name)}>, relay=none, .*{result}")


def test_resolver_comes_back(instance, sinks, nsd):
    """By the stub; libunbound takes its time before it believes in silence."""
    ask(instance, nsd.port, "yes")
    first = sinks("127.0.0.2")
    nsd.stop()
    instance.set(minimal_backoff_time="1s", maximal_backoff_time="2s",
                 queue_run_delay="1s", transport_retry_time="1s")
    instance.start()
    qid = instance.send("a@zone.test")
    instance.wait_log(rf"{qid}: .*dsn=4\.4\.3, status=deferred")
    nsd.start()
    first.wait()
    instance.wait_log(rf"{qid}: removed")


def test_no_resolver_is_told_at_once(instance):
    """Nobody listens where the resolver should be: deferred, not stuck."""
    ask(instance, free_port(), "yes").start()
    qid = instance.send("a@zone.test")
    instance.wait_log(rf"{qid}: .*dsn=4\.4\.3, status=deferred", timeout=5)

"""Policy servers of others over policy delegation: postgrey, policyd-spf (by
spawn) and postfwd, as Debian has them ("make check-peers" unpacks them), with
their own decisions about real sessions, by TCP and by Unix sockets."""
import email
import os
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import sys
import time

import pytest
import peers
from waiting import free_port, wait_for

ZONE = """\
$ORIGIN spf.test.
@ 300 IN SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
good TXT "v=spf1 ip4:192.0.2.0/24 -all"
soft TXT "v=spf1 ip4:192.0.2.0/24 ~all"
far TXT "v=spf1 include:good.spf.test -all"
broken TXT "v=spf1 ip5:1.2.3.4 -all"
"""
SPF_CONF = """\
debugLevel = 0
TestOnly = 1
HELO_reject = False
Mail_From_reject = Fail
PermError_reject = False
TempError_Defer = False
"""
# policyd-spf with another name server than resolv.conf's; nothing else differs.
SPF_MAIN = """\
#!{python}
import os
import sys
os.dup2(os.open("{errors}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
sys.path.append("{libraries}")
import DNS
DNS.defaults.update(server=["127.0.0.1"], port={port})
import spf
DNS.defaults.update(server=["127.0.0.1"], port={port})
from spf_engine.policyd_spf import main
sys.argv = ["policyd-spf", "{conf}"]
main()
"""
POSTFWD_CF = """\
id=SIZE ; size>=4194304 ; client_address==192.0.2.66 ; action=REJECT too large for you
id=HELO ; helo_name==bad.example ; action=554 5.7.1 no such name here
id=RATE ; sender==fast@client.example ; action=rate(sender/2/60/450 4.7.1 slower please)
id=HDR ; sender==marked@client.example ; action=PREPEND X-Postfwd: seen $$recipient
id=LAST ; action=DUNNO
"""


def program(name):
    found = peers.find(name)
    if not found:
        pytest.skip(f"{name} is not here: make check-peers")
    return found


def readable(directory):
    """A directory that a server which is another user may write to."""
    directory.mkdir()
    directory.chmod(0o777)
    return directory


@pytest.fixture
def run(instance):
    """run(argv, name): a program for the time of a test."""
    running = []

    def start(argv, name=None):
        running.append(peers.Program(instance.base, argv, name))
        return running[-1]
    yield start
    for one in reversed(running):
        one.close()


def connects(family, address):
    with socket.socket(family) as s:
        return s.connect_ex(address) == 0


def await_server(server, family, address):
    def ready():
        assert server.process.poll() is None, server.text()
        return connects(family, address)
    wait_for(ready, 20, what=f"a server at {address}: {server.text()}")


@pytest.fixture(params=["inet", "unix"])
def endpoint(request, instance):
    """(name in main.cf, family, address) of a server that is to be started."""
    if request.param == "inet":
        port = free_port()
        return f"inet:127.0.0.1:{port}", socket.AF_INET, ("127.0.0.1", port)
    path = str(readable(instance.base / "sockets") / "policy")
    return f"unix:{path}", socket.AF_UNIX, path


def asking(instance, name, **settings):
    """Who asks this server before all else; XCLIENT makes clients of us."""
    return instance.set(
        smtpd_recipient_restrictions=f"check_policy_service {name}",
        smtpd_relay_restrictions="permit_mynetworks, reject_unauth_destination",
        smtpd_authorized_xclient_hosts="127.0.0.1", **settings)


def session(instance, client="192.0.2.7", helo="client.example"):
    smtp = smtplib.SMTP("127.0.0.1", instance.port, helo, 20)
    smtp.ehlo()
    code, text = smtp.docmd("XCLIENT", f"ADDR={client} NAME=[UNAVAILABLE]")
    assert code == 220, text
    smtp.ehlo()
    return smtp


def rcpt(instance, sender="a@client.example", to="u1@md.test", size=None, **who):
    with session(instance, **who) as smtp:
        options = [] if size is None else [f"SIZE={size}"]
        assert smtp.mail(sender, options)[0] == 250
        code, text = smtp.rcpt(to)
        return code, text.decode()


def deliver(instance, sender, **who):
    """The message that arrives."""
    before = len(instance.maildir("u1"))
    with session(instance, **who) as smtp:
        smtp.sendmail(sender, ["u1@md.test"], "Subject: x\n\nhi\n")
    instance.wait_maildir("u1", before + 1)
    newest = max(instance.maildir("u1"), key=lambda path: path.stat().st_mtime_ns)
    return email.message_from_bytes(newest.read_bytes())


# -- postgrey --------------------------------------------------------------

def postgrey(instance, run, endpoint):
    """Started, and asked."""
    name, family, address = endpoint
    user, group = peers.user()
    where = (f"--inet={address[0]}:{address[1]}" if family == socket.AF_INET
             else f"--unix={address}")
    books = instance.base / "postgrey"
    if not books.exists():
        readable(books)
    empty = instance.write("nobody", "")
    server = run(peers.perl(
        program("postgrey"), where, f"--dbdir={books}", f"--user={user}", f"--group={group}",
        "--delay=2", "--hostname=mx.test.example", f"--whitelist-clients={empty}",
        f"--whitelist-recipients={empty}"), "postgrey")
    await_server(server, family, address)
    asking(instance, name)
    return server


def test_postgrey(instance, run, endpoint):
    """Puts off who is new, lets him pass when he comes again, and says so in a
    header; knows him after a restart of its own."""
    server = postgrey(instance, run, endpoint)
    instance.start()
    code, text = rcpt(instance)
    assert code == 450
    assert re.fullmatch(r"4\.2\.0 <u1@md\.test>: Recipient address rejected: Greylisted, "
                        r"see http://postgrey\.schweikert\.ch/help/md\.test\.html", text)
    instance.wait_log(r"smtpd\[\d+\]: NOQUEUE: reject: RCPT from unknown\[192\.0\.2\.7\]: "
                      r"450 4\.2\.0 <u1@md\.test>: Recipient address rejected: Greylisted, "
                      r"see .*; from=<a@client\.example> to=<u1@md\.test> proto=ESMTP "
                      r"helo=<client\.example>")
    wait_for(lambda: rcpt(instance, "b@client.example")[0] == 450, 5)
    time.sleep(2.5)
    message = deliver(instance, "a@client.example")
    assert re.match(r"delayed \d+ seconds by postgrey-1\.\S+ at mx\.test\.example",
                    message["X-Greylist"])
    # The header comes once: later mail is known.
    assert deliver(instance, "a@client.example")["X-Greylist"] is None
    server.close()
    postgrey(instance, run, endpoint)
    assert rcpt(instance)[0] == 250
    assert rcpt(instance, "c@client.example")[0] == 450


def test_postgrey_is_down(instance, run, endpoint):
    """Nobody is let in or refused for good while it is away."""
    server = postgrey(instance, run, endpoint)
    instance.set(smtpd_policy_service_retry_delay="1s", smtpd_policy_service_try_limit="2")
    instance.start()
    assert rcpt(instance)[0] == 450
    server.close()
    if endpoint[1] == socket.AF_UNIX:
        pathlib.Path(endpoint[2]).unlink(missing_ok=True)
    code, text = rcpt(instance)
    assert (code, text[:6]) == (451, "4.3.5 ")
    instance.wait_log(f"warning: problem talking to server {re.escape(endpoint[0])}: ")
    postgrey(instance, run, endpoint)
    assert rcpt(instance, "z@client.example")[1].startswith("4.2.0 ")


# -- policyd-spf -----------------------------------------------------------

@pytest.fixture
def policies(nsd):
    """The port of a name server with senders' policies."""
    return nsd({"spf.test": ZONE}).port


def spawn_spf(instance, port, endpoint):
    """A line of master.cf that has policyd-spf started for each connection."""
    program("policyd-spf")
    conf = instance.write("policyd-spf.conf", SPF_CONF)
    libraries = instance.base / "python"  # where every user may read
    if peers.PYTHON.exists():
        shutil.copytree(peers.PYTHON, libraries)
    script = instance.write("policyd-spf", SPF_MAIN.format(
        python=sys.executable, libraries=libraries, port=port, conf=conf,
        errors=readable(instance.base / "errors") / "spf"))
    script.chmod(0o755)
    name = endpoint[0]
    service = (f"{endpoint[2][0]}:{endpoint[2][1]} inet" if endpoint[1] == socket.AF_INET
               else "policyd-spf unix")
    instance.service(f"{service} - n n - 0 spawn user={peers.user()[0]} argv={script}")
    return name if endpoint[1] == socket.AF_INET else "unix:private/policyd-spf"


@pytest.fixture
def spf(instance, endpoint, policies):
    name = spawn_spf(instance, policies, endpoint)
    yield asking(instance, name, smtpd_policy_service_timeout="30s").start()
    errors = instance.base / "errors" / "spf"
    assert not errors.exists() or "Traceback" not in errors.read_text(), errors.read_text()


def test_spf(spf):
    """A sender's own list of hosts decides; what was found goes into the header."""
    message = deliver(spf, "a@good.spf.test")
    assert message["Received-SPF"].startswith("Pass (mailfrom) ")
    assert "client-ip=192.0.2.7" in message["Received-SPF"]
    code, text = rcpt(spf, "a@good.spf.test", client="198.51.100.9")
    assert code == 550
    assert text.startswith("5.7.23 <u1@md.test>: Recipient address rejected: Message "
                           "rejected due to: SPF fail - not authorized.")
    spf.wait_log(r"NOQUEUE: reject: RCPT from unknown\[198\.51\.100\.9\]: 550 5\.7\.23 ")
    assert deliver(spf, "a@soft.spf.test",
                   client="198.51.100.9")["Received-SPF"].startswith("Softfail ")
    assert deliver(spf, "a@far.spf.test")["Received-SPF"].startswith("Pass ")
    assert deliver(spf, "a@broken.spf.test")["Received-SPF"].startswith("Permerror ")
    assert rcpt(spf, "a@none.spf.test")[0] == 250


def test_spf_of_one_message_with_many_recipients(spf):
    """It keeps to the message by "instance": one header, not one a recipient."""
    with session(spf) as smtp:
        smtp.sendmail("a@good.spf.test", [f"u{i}@md.test" for i in (1, 2, 3)],
                      "Subject: x\n\nhi\n")
    for user in ("u1", "u2", "u3"):
        message = email.message_from_bytes(spf.wait_maildir(user)[0].read_bytes())
        assert len(message.get_all("Received-SPF")) == 1


# -- postfwd ---------------------------------------------------------------

@pytest.fixture
def postfwd(instance, run, endpoint):
    name, family, address = endpoint
    user, group = peers.user()
    rules = instance.write("postfwd.cf", POSTFWD_CF)
    where = (["--interface", address[0], "--port", str(address[1])]
             if family == socket.AF_INET else ["--proto", "unix", "--port", address])
    pid = readable(instance.base / "run") / "pid"
    server = run(peers.perl(
        program("postfwd1"), "--daemon", "--perfmon", "--nodns", "--file", str(rules),
        "--user", user, "--group", group, "--umask", "0000", "--pidfile", str(pid), *where),
        "postfwd")
    wait_for(lambda: pid.exists() and connects(family, address), 20, what=server.text())
    yield asking(instance, name).start()
    os.kill(int(pid.read_text()), signal.SIGTERM)


def test_postfwd(postfwd):
    assert rcpt(postfwd) == (250, "2.1.5 Ok")
    code, text = rcpt(postfwd, size=5000000, client="192.0.2.66")
    assert (code, text) == (554, "5.7.1 <u1@md.test>: Recipient address rejected: "
                                 "too large for you")
    assert rcpt(postfwd, size=4000000, client="192.0.2.66")[0] == 250
    assert rcpt(postfwd, helo="bad.example")[0] == 554
    postfwd.wait_log(r"NOQUEUE: reject: RCPT from unknown\[192\.0\.2\.7\]: 554 5\.7\.1 "
                     r"<u1@md\.test>: Recipient address rejected: no such name here; ")
    assert deliver(postfwd, "marked@client.example")["X-Postfwd"] == "seen u1@md.test"


def test_postfwd_counts(postfwd):
    """What it remembers of a sender it remembers over our connections to it."""
    codes = [rcpt(postfwd, "fast@client.example", to=f"u{i}@md.test")
             for i in range(1, 5)]
    assert [code for code, _ in codes] == [250, 250, 450, 450]
    assert codes[2][1] == ("4.7.1 <u3@md.test>: Recipient address rejected: slower please")


def test_all_of_them(instance, run, policies):
    """One after another in one list, as sites have them; the first refusal counts."""
    path = str(readable(instance.base / "sockets") / "postgrey")
    postgrey(instance, run, (f"unix:{path}", socket.AF_UNIX, path))
    name = spawn_spf(instance, policies, (None, socket.AF_UNIX, None))
    asking(instance, f"{name}, check_policy_service unix:{path}").start()
    assert rcpt(instance, "a@good.spf.test", client="198.51.100.9")[0] == 550
    assert rcpt(instance, "a@good.spf.test")[1].startswith("4.2.0 ")
    time.sleep(2.5)
    message = deliver(instance, "a@good.spf.test")
    assert message["Received-SPF"].startswith("Pass ")
    assert message["X-Greylist"].startswith("delayed ")

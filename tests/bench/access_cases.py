"""Cases of tests/bench about access control: what restrictions, screening and the
greylist cost, and clients that hardly move."""
import asyncio
import statistics
import time

from cases import PATIENCE, WARM_UP, check, send, sized
from mta import wait_until
from trickle import Trickle, fresh

ROUNDS = 5
PARALLEL = 200   # clients at a time that are screened or put off
TRICKLE_SECONDS = 30

# What a host has that takes mail for its own domains from the whole world.
PLAIN = """\
mynetworks = 10.0.0.0/8, 192.168.0.0/16, 127.0.0.9
relay_domains = discard.test
smtpd_relay_restrictions = reject_unauth_destination
"""
STOCK = PLAIN + """\
smtpd_helo_required = yes
smtpd_client_restrictions = permit_mynetworks, check_client_access cidr:{conf}/clients
smtpd_helo_restrictions = permit_mynetworks, reject_invalid_helo_hostname,
    reject_non_fqdn_helo_hostname
smtpd_sender_restrictions = permit_mynetworks, reject_non_fqdn_sender,
    check_sender_access hash:{conf}/senders
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions = reject_non_fqdn_recipient,
    check_client_access cidr:{conf}/networks
"""
NETWORKS = 500  # lines of each cidr table
SENDERS = 10000  # of the hash table


def stock(server):
    """Its tables, none of which has our client; the settings."""
    for name, first in (("clients", 11), ("networks", 172)):
        server.write(name, "".join(f"{first}.{n // 250}.{n % 250}.0/24 REJECT no\n"
                                   for n in range(NETWORKS)))
    server.write("senders", "".join(f"u{n}@d{n % 100}.bad.test REJECT no\n"
                                    for n in range(SENDERS)))
    server.command("postmap", f"hash:{server.base}/conf/senders")
    return STOCK.format(conf=server.base / "conf")


def ingest(server, count):
    """Messages a second, and CPU of each."""
    sent = server.count("status=sent")
    server.start()
    send(server, WARM_UP, t="user@discard.test", b=900000)
    cpu = server.cpu()
    result = send(server, count, t="user@discard.test")
    check(wait_until(lambda: server.count("status=sent") >= sent + WARM_UP + count, PATIENCE),
          "LOST")
    used = (server.cpu() - cpu) * 1e6 / count
    server.stop()
    return result["rate"], used


def restrictions(server, scale):
    """With and without, in turns."""
    count, extra = sized(5000, scale), stock(server)
    rates, cpu = {PLAIN: [], extra: []}, {PLAIN: [], extra: []}
    for turn in range(2 * ROUNDS):
        settings = (PLAIN, extra)[(turn + turn // 2) % 2]  # who is first changes as well
        server.configure(settings)
        rate, used = ingest(server, count)
        rates[settings].append(rate)
        cpu[settings].append(used)
    shares = [a / b for a, b in zip(rates[extra], rates[PLAIN])]
    plain, with_them = statistics.median(cpu[PLAIN]), statistics.median(cpu[extra])
    return {"messages_s": statistics.median(rates[extra]), "cpu_us": with_them,
            "plain_messages_s": statistics.median(rates[PLAIN]), "plain_cpu_us": plain,
            "share_of_plain_rate": statistics.median(shares),
            "share_lowest": min(shares), "share_highest": max(shares),
            "share_by_cpu": plain / with_them}


# -- connections from many addresses ---------------------------------------

def address(number):
    """127.1.0.1 and on."""
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"


async def converse(port, source, commands, wanted):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    code = b""
    try:
        for command in (b"", *commands):
            if command:
                writer.write(command + b"\r\n")
            while True:
                line = await asyncio.wait_for(reader.readline(), PATIENCE)
                if line[3:4] != b"-":
                    break
            if command.startswith(wanted):
                code = line[:3]
    finally:
        writer.close()
    return code


def connections(server, sources, commands=(b"QUIT",), wanted=b"QUIT"):
    """CPU microseconds of each, and the replies to the wanted command."""
    async def all_of_them():
        waiting, done = list(reversed(sources)), []

        async def worker():
            while waiting:
                done.append(await converse(server.port, waiting.pop(), commands, wanted))
        await asyncio.gather(*(worker() for _ in range(PARALLEL)))
        return done
    cpu = server.cpu()
    codes = asyncio.run(all_of_them())
    return (server.cpu() - cpu) * 1e6 / len(sources), codes


SCREEN = "127.0.0.1:{port} inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n"


def screening(server, scale):
    """A connection that is greeted and leaves: without, new, and known."""
    count = sized(4000, scale)
    sources = [address(n) for n in range(count)]
    extra = ("smtpd_client_connection_rate_limit = 0\nmynetworks = 127.0.0.1\n"
             "postscreen_greet_wait = 1s\npostscreen_pre_queue_limit = 2000\n"
             "postscreen_pipelining_enable = yes\npostscreen_non_smtp_command_enable = yes\n"
             "postscreen_bare_newline_enable = yes\n")
    talk = (b"EHLO bench.test", b"MAIL FROM:<a@bench.test>", b"RCPT TO:<u@discard.test>",
            b"QUIT")
    extra += "relay_domains = discard.test\nsmtpd_relay_restrictions = reject_unauth_destination\n"
    result = {}
    server.configure(extra)
    server.start()
    connections(server, sources[:PARALLEL], talk)
    result["plain_cpu_us"], codes = connections(server, sources, talk, b"RCPT")
    check(set(codes) == {b"250"}, f"not served: {set(codes)}")
    server.stop()
    server.configure(extra)
    master = (server.base / "conf/master.cf").read_text().splitlines(True)
    server.write("master.cf", SCREEN.format(port=server.port) + "".join(master[1:]))
    server.start()
    for name in ("new", "known"):
        result[name + "_cpu_us"], codes = connections(server, sources, talk, b"RCPT")
        check(set(codes) == {b"250"}, f"{name} not served: {set(codes)}")
    check(server.count("PASS NEW") >= count, "not all of them passed")
    check(server.count("PASS OLD") >= count, "not all of them were known")
    for name in ("new", "known"):
        result[name + "_to_plain"] = result[name + "_cpu_us"] / result["plain_cpu_us"]
    return result


def greylist(server, scale):
    """A recipient: without, put off, when it comes again, and later on."""
    count = sized(4000, scale)
    sources = [address(n * 250 % 1000000) for n in range(count)]  # networks of their own
    talk = (b"EHLO bench.test", b"MAIL FROM:<a@bench.test>", b"RCPT TO:<u@discard.test>",
            b"QUIT")
    extra = ("mynetworks = 127.0.0.1\nrelay_domains = discard.test\n"
             "smtpd_relay_restrictions = reject_unauth_destination\n")
    result = {}
    server.configure(extra)
    server.start()
    connections(server, sources[:PARALLEL], talk)
    result["plain_cpu_us"], _ = connections(server, sources, talk, b"RCPT")
    server.stop()
    server.configure(extra + "smtpd_recipient_restrictions = check_greylist\n"
                             "smtpd_greylist_delay = 1s\n")
    server.start()
    for name, wanted in (("put_off", b"450"), ("again", b"250"), ("known", b"250")):
        result[name + "_cpu_us"], codes = connections(server, sources, talk, b"RCPT")
        check(set(codes) == {wanted}, f"{name}: {set(codes)}")
        time.sleep(2)
    for name in ("put_off", "again", "known"):
        result[name + "_to_plain"] = result[name + "_cpu_us"] / result["plain_cpu_us"]
    return result


def trickle(server, scale):
    """Sessions that send one octet a second."""
    count = sized(10000, scale)
    server.sessions = count + 200
    server.configure()
    server.start()
    send(server, 10, c=1, t="user@discard.test")
    before = server.memory()
    with Trickle(server.port, count, "user@discard.test") as clients:
        time.sleep(5)
        cpu, octets, began = server.cpu(), clients.octets, time.monotonic()
        time.sleep(TRICKLE_SECONDS)
        used, seconds = server.cpu() - cpu, time.monotonic() - began
        octets = clients.octets - octets
        greeted, done = fresh(server.port, "user@discard.test", 100)
        memory = (server.memory() - before) / count
        lost = clients.lost()
    check(lost == 0, f"{lost} sessions were ended")
    return {"kib_a_session": memory, "octets_s": octets / seconds,
            "cpu_us_an_octet": used * 1e6 / octets, "cores": used / seconds,
            "greeting_p50_ms": greeted[0] * 1000, "greeting_max_ms": greeted[1] * 1000,
            "message_p50_ms": done[0] * 1000, "message_max_ms": done[1] * 1000}


CASES = {"restrictions": restrictions, "screening": screening, "greylist": greylist,
         "trickle": trickle}

"""Tables in real databases and directories, each started here on a socket or
port of its own as an unprivileged user. "make check-tables" installs them all;
here a missing one is skipped."""
import contextlib
import glob
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest
from test_network_tables import HERE, ask, listening
from waiting import free_port, wait_for

USER = "nobody"


def find_program(name):
    for place in [shutil.which(name), f"/usr/sbin/{name}",
                  *sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))]:
        if place and os.path.exists(place):
            return place
    return pytest.skip(f"no {name} here: make check-tables")


def as_user():
    """For subprocess: databases do not run as root."""
    return {"user": USER, "group": pwd.getpwnam(USER).pw_gid,
            "extra_groups": []} if os.geteuid() == 0 else {}


def give(path):
    path.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        for above in path.parents:
            if str(above) != "/tmp" and str(above).startswith("/tmp/"):
                above.chmod(0o755)
        os.chown(path, pwd.getpwnam(USER).pw_uid, -1)
    return path


@contextlib.contextmanager
def running(argv, is_up, **kwargs):
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, **kwargs)
    try:
        wait_for(is_up, timeout=60, what=argv[0])
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def table(instance, kind, name, text):
    path = instance.conf / name
    path.write_text(text)
    return f"{kind}:{path}"


def need(instance, kind):
    instance.write_config()
    if "module not loaded" in str(ask(instance, "x", f"{kind}:/nonexistent")):
        pytest.skip(f"no {kind} module in this build")


ROWS = [("ann", "a1@md.test"), ("list", "b@md.test"), ("list", "c@md.test"),
        ("o'neil\\", "quoted"), ("user@md.test", "u1@md.test")]
WHERE = "SELECT value FROM t WHERE name = "


def ask_the_same(instance, kind, head):
    """What all SQL types have in common."""
    def spec(name, text):
        return table(instance, kind, name, head + text)
    plain = spec("plain", f"query = {WHERE}'%s' ORDER BY value\n")
    assert ask(instance, "ANN", plain) == "a1@md.test"
    assert ask(instance, "none", plain) is None
    assert ask(instance, "list", plain) == "b@md.test,c@md.test"
    assert ask(instance, "o'neil\\", plain) == "quoted"
    assert ask(instance, "x' OR '1'='1", plain) is None
    assert ask(instance, "x\\' OR 1=1 -- ", plain) is None
    assert ask(instance, "list", spec(
        "format", f"query = {WHERE}'%s' ORDER BY value\n"
        "result_format = smtp:[%u]+%S%%\n")) == \
        "smtp:[b]+list%,smtp:[c]+list%"
    assert "expansion_limit exceeded" in ask(instance, "list", spec(
        "limit", f"query = {WHERE}'%s'\nexpansion_limit = 1\n"))
    parts = spec("parts", f"query = {WHERE}'%u@%2.%1' AND '%d' = '%D'\n")
    assert ask(instance, "user@md.test", parts) == "u1@md.test"
    assert ask(instance, "user", parts) is None
    assert ask(instance, "@md.test", parts) is None
    only = spec("domain", f"query = {WHERE}'%s'\ndomain = inline:{{md.test=x}}"
                "\n")
    assert ask(instance, "user@md.test", only) == "u1@md.test"
    assert ask(instance, "ann", only) is None
    old = spec("old", "table = t\nselect_field = value\nwhere_field = name\n"
               "additional_conditions = AND value = 'a1@md.test'\n")
    assert ask(instance, "ann", old) == "a1@md.test"
    assert "query failed" in ask(instance, "ann", spec(
        "bad", "query = SELEKT '%s'\n"))
    assert "no query" in ask(instance, "ann", spec("no", ""))
    assert "invalid template" in ask(instance, "ann", spec(
        "letter", "query = SELECT '%x'\n"))
    return plain


def deliver(instance, spec):
    """Through lookup: nobody else has the module or the password."""
    instance.set(virtual_alias_maps=f"proxy:{spec}").start()
    instance.send("user@md.test")
    instance.wait_maildir("u1")


def test_sqlite(instance, tmp_path):
    need(instance, "sqlite")
    path = tmp_path / "db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (name TEXT, value TEXT)")
        db.executemany("INSERT INTO t VALUES (?, ?)", ROWS)
    os.chmod(path, 0o644)
    ask_the_same(instance, "sqlite", f"dbpath = {path}\n")
    slow = table(instance, "sqlite", "slow", f"dbpath = {path}\ntimeout = 1\n"
                 "query = WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT "
                 "i + 1 FROM n) SELECT count(*) FROM n\n")
    before = time.monotonic()
    assert "timed out" in ask(instance, "x", slow)
    assert time.monotonic() - before < 10
    assert "unable to open" in ask(instance, "x", table(
        instance, "sqlite", "none", f"dbpath = {path}.not\nquery = SELECT 1\n"))


@contextlib.contextmanager
def postgres(base):
    initdb, server = find_program("initdb"), find_program("postgres")
    where = give(base / "pg")
    (base / "password").write_text("pw\n")
    (base / "password").chmod(0o644)
    subprocess.run([initdb, "-D", where / "data", "-U", "mail", "-A",
                    "scram-sha-256", "--pwfile", base / "password",
                    "--no-sync"], cwd=where, check=True,
                   stdout=subprocess.DEVNULL, **as_user())
    port = free_port()
    socket = where / f".s.PGSQL.{port}"
    with running([server, "-D", where / "data", "-k", where, "-p", str(port),
                  "-h", HERE, "-F"], socket.exists, cwd=where,
                 **as_user()) as process:
        process.port, process.where = port, where
        yield process


def psql(server, sql):
    wait_for(lambda: subprocess.run(
        ["psql", "-q", "-h", HERE, "-p", str(server.port), "-U", "mail",
         "postgres", "-c", "SELECT 1"], env={**os.environ, "PGPASSWORD": "pw"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        check=False).returncode == 0, timeout=30, what="psql")
    subprocess.run(["psql", "-q", "-h", HERE, "-p", str(server.port), "-U",
                    "mail", "postgres"], input=sql, text=True, check=True,
                   env={**os.environ, "PGPASSWORD": "pw"})


def values():
    return ", ".join("(" + ", ".join(
        "'" + field.replace("'", "''") + "'" for field in row) + ")"
        for row in ROWS)


HEAVY = pytest.mark.skipif(not os.environ.get("CHECK_TABLES"),
                           reason="takes long: make check-tables")


@HEAVY
def test_pgsql(instance, tmp_path):
    need(instance, "pgsql")
    with postgres(give(tmp_path / "p")) as server:
        psql(server, "CREATE TABLE t (name TEXT, value TEXT); INSERT INTO t "
             f"VALUES {values()};")
        login = "user = mail\npassword = pw\ndbname = postgres\n"
        head = f"hosts = inet:{HERE}:{free_port()} inet:{HERE}:{server.port}\n"
        spec = ask_the_same(instance, "pgsql", head + login)
        assert ask(instance, "ann", table(
            instance, "pgsql", "uri", "hosts = postgresql://mail:pw@"
            f"{HERE}:{server.port}/postgres\nquery = {WHERE}'%s'\n")) == \
            "a1@md.test"
        assert "authentication failed" in ask(instance, "ann", table(
            instance, "pgsql", "wrong", f"hosts = {HERE}:{server.port}\nuser = "
            f"mail\npassword = no\ndbname = postgres\nquery = {WHERE}'%s'\n"))
        assert "timed out" in ask(instance, "x", table(
            instance, "pgsql", "slow", f"hosts = {HERE}:{server.port}\n{login}"
            "timeout = 1\nquery = SELECT pg_sleep(20)\n"))
        # Not UTF-8: it is in no table.
        assert ask(instance, b"\xff\xfe", spec) is None
        deliver(instance, spec)
        delays_one_session(instance, server, login)
    assert ask(instance, "ann", spec).startswith("! ")


def delays_one_session(instance, server, login):
    """Ten questions that hang leave another table as fast as before."""
    slow = table(instance, "pgsql", "sleep", f"hosts = {HERE}:{server.port}\n"
                 f"{login}timeout = 8\nquery = SELECT 'u1@md.test' FROM "
                 "pg_sleep(6) WHERE '%u' LIKE 'slow%%'\n")
    quick = table(instance, "pgsql", "quick", f"hosts = {HERE}:{server.port}\n"
                  f"{login}query = {WHERE}'%s'\n")
    instance.set(virtual_alias_maps=quick,
                 relay_domains="slow.test", relay_recipient_maps=slow)
    instance.reload()

    def hang():
        with contextlib.suppress(Exception):
            with instance.smtp() as client:
                client.ehlo()
                client.mail("a@client.example")
                client.rcpt("slow@slow.test")
    threads = [threading.Thread(target=hang) for _ in range(10)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    before = time.monotonic()
    instance.send("user@md.test")
    took = time.monotonic() - before
    for thread in threads:
        thread.join()
    assert took < 5


@HEAVY
def test_mysql(instance, tmp_path):
    need(instance, "mysql")
    server = find_program("mariadbd")
    install = find_program("mysql_install_db")
    where = give(give(tmp_path / "m") / "db")
    subprocess.run([install, "--no-defaults", f"--datadir={where}/data",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db"], check=True, cwd=where,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   **as_user())
    port, path = free_port(), where / "socket"
    (where / "init.sql").write_text(
        "CREATE DATABASE mail;\n"
        "CREATE TABLE mail.t (name TEXT, value TEXT);\n"
        "INSERT INTO mail.t VALUES " + values().replace("\\", "\\\\") + ";\n"
        "CREATE USER 'mail'@'127.0.0.1' IDENTIFIED BY 'pw';\n"
        "GRANT SELECT, EXECUTE ON mail.* TO 'mail'@'127.0.0.1';\n")
    with running([server, "--no-defaults", f"--datadir={where}/data",
                  f"--socket={path}", f"--port={port}",
                  f"--bind-address={HERE}", f"--init-file={where}/init.sql",
                  f"--pid-file={where}/pid"], path.exists, cwd=where,
                 **as_user()) as process:
        process.send_signal(0)
        head = (f"hosts = inet:{HERE}:{free_port()} inet:{HERE}:{port}\n"
                "user = mail\npassword = pw\ndbname = mail\n")
        wait_for(lambda: ask(instance, "ann", table(
            instance, "mysql", "up", head + f"query = {WHERE}'%s'\n")) ==
            "a1@md.test", timeout=30, what="mariadbd")
        spec = ask_the_same(instance, "mysql", head)
        assert "Access denied" in ask(instance, "ann", table(
            instance, "mysql", "wrong", f"hosts = inet:{HERE}:{port}\nuser = "
            f"mail\npassword = no\ndbname = mail\nquery = {WHERE}'%s'\n"))
        deliver(instance, spec)


LDIF = """dn: dc=test
objectClass: dcObject
objectClass: organization
o: test
dc: test

dn: cn=ann,dc=test
objectClass: inetOrgPerson
cn: ann
sn: a
mail: ann@md.test
description: a1@md.test
description: a2@md.test

dn: cn=odd \\2C (b),dc=test
objectClass: inetOrgPerson
cn: odd , (b)
sn: b
mail: odd*(b)@md.test
description: odd

dn: cn=user,dc=test
objectClass: inetOrgPerson
cn: user
sn: u
mail: user@md.test
description: u1@md.test

dn: cn=group,dc=test
objectClass: groupOfNames
cn: group
description: extra@md.test
member: cn=ann,dc=test
member: cn=user,dc=test
member: cn=gone,dc=test
"""


@contextlib.contextmanager
def slapd(base):
    server, add = find_program("slapd"), find_program("slapadd")
    where = give(base / "ldap")
    give(where / "db")
    schemas = "".join(f"include /etc/ldap/schema/{name}.schema\n" for name in
                      ("core", "cosine", "inetorgperson"))
    (where / "slapd.conf").write_text(
        f"{schemas}modulepath /usr/lib/ldap\nmoduleload back_mdb\n"
        f"pidfile {where}/pid\ndatabase mdb\nsuffix dc=test\n"
        f"rootdn cn=root,dc=test\nrootpw pw\ndirectory {where}/db\n"
        "access to * by dn.exact=cn=root,dc=test write by anonymous auth\n")
    subprocess.run([add, "-q", "-f", where / "slapd.conf"], input=LDIF,
                   text=True, check=True, cwd=where, **as_user())
    port = free_port()
    with running([server, "-d", "0", "-f", where / "slapd.conf", "-h",
                  f"ldap://{HERE}:{port}"], lambda: listening(port), cwd=where,
                 **as_user()) as process:
        process.port = port
        yield process


def test_ldap(instance, tmp_path):
    need(instance, "ldap")
    with slapd(give(tmp_path / "l")) as server:
        head = (f"server_host = {HERE}:{free_port()} ldap://{HERE}:"
                f"{server.port}\nsearch_base = dc=test\nbind_dn = "
                "cn=root,dc=test\nbind_pw = pw\nquery_filter = (mail=%s)\n")

        def spec(name, text):
            return table(instance, "ldap", name, head + text)
        plain = spec("plain", "result_attribute = description\n")
        assert ask(instance, "ann@md.test", plain) == "a1@md.test,a2@md.test"
        assert ask(instance, "none@md.test", plain) is None
        assert ask(instance, "*", plain) is None
        assert ask(instance, "odd*(b)@md.test", plain) == "odd"
        assert ask(instance, "a)(mail=*", plain) is None
        assert ask(instance, "ann@md.test", spec(
            "format", "result_attribute = description\nresult_format = "
            "%u/%D\n")) == "a1/md.test,a2/md.test"
        assert "expansion_limit exceeded" in ask(instance, "ann@md.test", spec(
            "limit", "result_attribute = description\nexpansion_limit = 1\n"))
        assert ask(instance, "odd , (b)", spec(
            "base", "search_base = cn=%s,dc=test\nscope = base\nquery_filter = "
            "(objectClass=*)\nresult_attribute = description\n")) == "odd"
        group = ("query_filter = (cn=%s)\nspecial_result_attribute = member\n")
        assert ask(instance, "group", spec(
            "group", group + "result_attribute = description\n")) == \
            "extra@md.test,a1@md.test,a2@md.test,u1@md.test"
        assert ask(instance, "group", spec(
            "leaf", group + "result_attribute =\nleaf_result_attribute = "
            "description\n")) == "a1@md.test,a2@md.test,u1@md.test"
        assert ask(instance, "group", spec(
            "terminal", group + "result_attribute = mail\n"
            "terminal_result_attribute = description\n")) == "extra@md.test"
        assert "recursion_limit" in ask(instance, "group", spec(
            "deep", group + "recursion_limit = 0\n"))
        assert "Invalid credentials" in ask(instance, "x", spec(
            "wrong", f"bind_pw = no\nserver_host = {HERE}:{server.port}\n"))
        assert "bind = sasl" in ask(instance, "x", spec("sasl",
                                                        "bind = sasl\n"))
        deliver(instance, plain)
    assert ask(instance, "ann@md.test", plain).startswith("! ")

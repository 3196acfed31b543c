"""Lookup tables from outside: postmap and its kin, tables that change under a
running system, and what clean-up makes of a message by them."""
import glob
import os
import re
import subprocess
import time

import pytest
from waiting import wait_for


def postmap(instance, *args, **kwargs):
    return instance.command("postmap", *args, **kwargs)


@pytest.fixture
def table(instance):
    """A source file and how to rebuild it."""
    instance.write_config()

    class Table:
        path = instance.conf / "map"
        spec = f"hash:{path}"

        @classmethod
        def write(cls, text, **kwargs):
            cls.path.write_text(text)
            return postmap(instance, cls.spec, **kwargs)

        @classmethod
        def ask(cls, key):
            done = postmap(instance, "-q", key, cls.spec, check=False)
            return done.stdout if done.returncode == 0 else None
    return Table


def indexed(table):
    """The file beside the source: LMDB's where there is no Berkeley DB."""
    return glob.glob(f"{table.path}.*db")[0]


def test_postmap_interface(instance, table):
    done = table.write("Key value\n  more\nother x\nKEY dup\nbroken\n")
    assert re.search(r'map\.(db|lmdb): duplicate entry: "KEY"', done.stderr)
    assert "line 5: expected format: key whitespace value" in done.stderr
    assert table.ask("kEy") == "value  more\n"
    assert table.ask("none") is None
    done = postmap(instance, "-q", "-", table.spec, input="other\nnone\nkey\n")
    assert done.stdout == "other\tx\nkey\tvalue  more\n"
    assert sorted(postmap(instance, "-s", table.spec).stdout.splitlines()) == [
        "key\tvalue  more", "other\tx"]
    postmap(instance, "-i", table.spec, input="third 3\nother y\n")
    assert table.ask("third") == "3\n" and table.ask("other") == "x\n"
    postmap(instance, "-i", "-r", table.spec, input="other y\n")
    assert table.ask("other") == "y\n"
    postmap(instance, "-d", "other", table.spec)
    assert table.ask("other") is None
    assert postmap(instance, "-d", "other", table.spec,
                   check=False).returncode == 1
    assert postmap(instance, "hash:/nonexistent/x", check=False).returncode == 1
    assert postmap(instance, "-q", "x", "nosuch:x",
                   check=False).returncode == 1
    assert not glob.glob(f"{table.path}.*.new")


def test_mode_is_that_of_the_source(instance, table):
    table.path.write_text("a b\n")
    table.path.chmod(0o640)
    postmap(instance, table.spec)
    assert os.stat(indexed(table)).st_mode & 0o777 == 0o640


def test_postmaps_at_the_same_time(instance, table):
    """Each sees a whole table, and so does whoever asks meanwhile."""
    lines = "".join(f"key{i} value{i}\n" for i in range(2000))
    table.write(lines)
    argv = [str(instance.prefix / "sbin/postmap"), "-c", str(instance.conf)]
    writers = [subprocess.Popen(argv + [table.spec]) for _ in range(6)]
    while any(w.poll() is None for w in writers):
        assert table.ask("key1999") == "value1999\n"
    assert [w.returncode for w in writers] == [0] * 6
    assert len(postmap(instance, "-s", table.spec).stdout.splitlines()) == 2000


def test_newaliases(instance):
    aliases = instance.write("aliases", "root: ann\nlist: a, b,\n  c\n")
    instance.set(alias_database=f"hash:{aliases}").write_config()
    instance.command("newaliases")
    done = instance.command("postalias", "-q", "list", f"hash:{aliases}")
    assert re.split(r"[,\s]+", done.stdout.strip()) == ["a", "b", "c"]
    listed = instance.command("postalias", "-s", f"hash:{aliases}").stdout
    assert "@:\t@\n" in listed and "root:\tann\n" in listed


def test_virtual_aliases_change_while_running(instance):
    source = instance.write("virtual", "all@md.test u1@md.test, u2@md.test\n")
    instance.set(virtual_alias_maps=f"hash:{source}").write_config()
    postmap(instance, f"hash:{source}")
    instance.start()
    instance.send("all@md.test")
    first = instance.message(instance.wait_maildir("u1")[0])
    instance.wait_maildir("u2")
    assert first["X-Original-To"] == "all@md.test"
    assert first["Delivered-To"] == "u1@md.test"
    instance.wait_log(r"to=<u1@md.test>, orig_to=<all@md.test>, relay=virtual")

    source.write_text("all@md.test u3@md.test\n")
    postmap(instance, f"hash:{source}")
    time.sleep(2)  # the promise is "within seconds"
    instance.send("all@md.test")
    instance.wait_maildir("u3")
    assert len(instance.maildir("u1")) == 1
    instance.wait_empty()


def test_broken_alias_table_defers(instance):
    instance.set(virtual_alias_maps="fail:test").start()
    with instance.smtp() as client:
        client.ehlo()
        client.mail("a@client.example")
        code, _ = client.rcpt("u1@md.test")
        if code == 250:
            code, text = client.data("Subject: x\r\n\r\n")
        assert 400 <= code < 500
    assert not instance.queue()


def test_unreadable_table_stays_in_use(instance):
    """What was read before is good until there is another; the log is told."""
    path = instance.write("access", "/^u2@/ REJECT\n")
    instance.set(smtpd_recipient_restrictions=f"check_recipient_access regexp:{path}",
                 smtpd_processes="1").start()

    def reply():
        with instance.smtp() as client:
            client.ehlo()
            client.mail("a@client.example")
            return client.rcpt("u2@md.test")[0]
    warning = f"warning: regexp:{path}: what was read before stays in use: "

    def told():
        assert reply() == 554
        return warning in instance.log()
    assert reply() == 554
    path.unlink()
    os.mkfifo(path)
    wait_for(told, step=0.2)
    assert reply() == 554
    assert instance.log().count(warning) == 1


def test_alias_loop_is_refused(instance):
    instance.set(virtual_alias_maps="inline:{a@md.test=b@md.test,"
                 "b@md.test=a@md.test}").start()
    with instance.smtp() as client:
        client.ehlo()
        client.mail("a@client.example")
        client.rcpt("a@md.test")
        code, text = client.data("Subject: x\r\n\r\n")
    assert (code, text) == (451, b"4.6.0 Alias expansion error")
    instance.wait_log(r"cleanup\[\d+\]: warning: \w+: unreasonable "
                      r"virtual_alias_maps map nesting for ")


def test_header_completion(instance):
    instance.set(append_dot_mydomain="yes", mydomain="test.example").start()
    qid = instance.send(body="To: joe, \"A B\" <ann@host>\r\nBcc: secret\r\n"
                        "\r\nx\r\n")
    got = instance.message(instance.wait_maildir("u1")[0])
    assert got["To"] == "joe@mx.test.example, \"A B\" <ann@host.test.example>"
    assert got["From"] == "sender@client.example"
    assert got["Bcc"] is None
    assert re.fullmatch(rf"<\d{{14}}\.{qid}@mx\.test\.example>",
                        got["Message-Id"])
    assert re.fullmatch(r"\w{3}, +\d+ \w{3} \d{4} [\d:]{8} [+-]\d{4} \(\w+\)",
                        got["Date"])
    instance.wait_log(rf"cleanup\[\d+\]: {qid}: message-id="
                      + re.escape(got["Message-Id"]))


def test_nothing_is_added_for_strangers(instance):
    instance.set(local_header_rewrite_clients="").start()
    qid = instance.send(body="To: joe\r\n\r\nx\r\n")
    got = instance.message(instance.wait_maildir("u1")[0])
    assert got["To"] == "joe"
    assert got["Message-Id"] is got["Date"] is got["From"] is None
    instance.wait_log(rf"cleanup\[\d+\]: {qid}: message-id=<>")


@pytest.mark.parametrize("settings,body,reply", [
    ({"message_size_limit": "2000"}, "Subject: x\r\n\r\n" + "x" * 70 + "\r\n" +
     "y\r\n" * 1000, (552, b"5.3.4 Error: message file too big")),
    ({"hopcount_limit": "3"}, "Received: 1\r\nReceived: 2\r\n\r\nx\r\n",
     (554, b"5.4.0 Error: too many hops")),
], ids=["size", "hops"])
def test_content_refused(instance, settings, body, reply):
    instance.set(**settings).start()
    with instance.smtp() as client:
        client.ehlo()
        client.mail("a@client.example")
        client.rcpt("u1@md.test")
        assert client.data(body) == reply
    assert not instance.queue()

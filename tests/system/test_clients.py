"""The clients that people use, each with a message and an attachment's worth of
lines. "make check-clients" installs all of them; here a missing one is skipped."""
import os
import pathlib
import shutil
import subprocess

import pytest
from mode import OUT, SLOW

BODY = "".join(f"line {i}\r\n" for i in range(500)) + ".\r\n..\r\nend\r\n"
MESSAGE = ("From: me@client.example\r\nTo: u1@md.test\r\nSubject: from {}\r\n\r\n" + BODY)


def need(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: make check-clients")


def run(argv, **kwargs):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60 * SLOW, **kwargs)
    assert done.returncode == 0, done.stdout.decode(errors="replace")


def check(instance, name):
    path = instance.wait_maildir("u1")[0]
    octets = path.read_bytes()
    assert f"Subject: from {name}".encode() in octets
    assert octets.rstrip(b"\n").endswith(b"line 499\n.\n..\nend")
    instance.wait_log(r"status=sent \(delivered to maildir\)")
    assert "warning" not in instance.log(), instance.log()


def test_swaks(running):
    need("swaks")
    run(["swaks", "--server", f"127.0.0.1:{running.port}", "--from",
         "me@client.example", "--to", "u1@md.test", "--data", "-"],
        input=MESSAGE.format("swaks").replace("\r\n", "\n").encode())
    check(running, "swaks")


def test_curl(running):
    need("curl")
    run(["curl", "-sS", f"smtp://127.0.0.1:{running.port}/client.example",
         "--mail-from", "me@client.example", "--mail-rcpt", "u1@md.test",
         "--upload-file", "-"], input=MESSAGE.format("curl").encode())
    check(running, "curl")


def test_msmtp(running):
    need("msmtp")
    run(["msmtp", "-C", "/dev/null", "--host=127.0.0.1", f"--port={running.port}",
         "--from=me@client.example", "u1@md.test"],
        input=MESSAGE.format("msmtp").replace("\r\n", "\n").encode())
    check(running, "msmtp")


def test_smtplib(running):
    with running.smtp() as client:
        client.sendmail("me@client.example", ["u1@md.test"], MESSAGE.format("smtplib"))
    check(running, "smtplib")


NODE = """
const mailer = require('nodemailer').createTransport({
    host: '127.0.0.1', port: +process.argv[2], secure: false, ignoreTLS: true,
    name: 'client.example'});
mailer.sendMail({envelope: {from: 'me@client.example', to: ['u1@md.test']},
    raw: require('fs').readFileSync(0)}).then(
    info => console.log(info.response), error => { console.error(error); process.exit(1); });
"""


def test_nodemailer(running):
    need("node")
    modules = pathlib.Path(OUT).parent / "clients" / "node_modules"
    if not (modules / "nodemailer").exists():
        pytest.skip("nodemailer is not installed: make check-clients")
    run(["node", "-e", NODE, "-", str(running.port)],
        input=MESSAGE.format("nodemailer").encode(),
        env=dict(os.environ, NODE_PATH=str(modules)))
    check(running, "nodemailer")

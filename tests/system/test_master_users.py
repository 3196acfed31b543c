"""Who the processes are and what they may, started by root and by others."""
import os
import pathlib
import pwd
import subprocess

import pytest
from stage import ask, needs_root


@needs_root
def test_users(stage):
    stage.start()
    postern = pwd.getpwnam("postern")
    for pid, name in stage.pids().items():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines()
                      if ":\t" in line)
        uids, groups = fields["Uid"].split(), fields["Groups"].split()
        wanted = 0 if name in ("master", "local") else postern.pw_uid
        assert uids == [str(wanted)] * 4, name
        if wanted:
            assert fields["Gid"].split() == [str(postern.pw_gid)] * 4
            assert groups == [str(postern.pw_gid)]
            assert int(fields["CapEff"], 16) == 0
        argv = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        if name != "master":
            names = {v.split(b"=")[0] for v in argv.split(b"\0") if v}
            assert names <= {b"PATH", b"MAIL_CONFIG", b"LANG", b"TZ",
                             b"ASAN_OPTIONS", b"UBSAN_OPTIONS",
                             b"LSAN_OPTIONS", b"TSAN_OPTIONS"}, names
            fds = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
            assert {0, 1, 2, 3, 4} <= fds
    for name, mode in (("spool", 0o700), ("private", 0o700), ("public", 0o755),
                       ("maildrop", 0o730)):
        st = (stage.spool / name).stat()
        assert (st.st_uid, st.st_mode & 0o7777) == (postern.pw_uid, mode), name
    assert (stage.spool / "pid").stat().st_uid == 0
    for name in ("qmgr", "pickup", "smtp"):
        assert (stage.spool / "public" / name).stat().st_mode & 0o777 == 0o666
    assert (stage.spool / "pid/master.socket").stat().st_mode & 0o777 == 0o600


@needs_root
def test_console_is_for_root_alone(stage):
    stage.start()
    nobody = pwd.getpwnam("postern")

    def attempt():
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    done = subprocess.run(
        ["/usr/bin/python3", "-c", "import socket,sys;"
         "socket.socket(socket.AF_UNIX).connect(sys.argv[1])",
         str(stage.spool / "pid/master.socket")], preexec_fn=attempt,
        stderr=subprocess.PIPE, check=False)
    assert b"PermissionError" in done.stderr
    # Others see that it runs, but cannot hold its locks.
    assert stage.command("postern", "status",
                         preexec_fn=attempt).returncode == 0
    for name in ("master.pid", "children.lock"):
        assert (stage.spool / "pid" / name).stat().st_mode & 0o777 == 0o600
    stage.stop()
    assert stage.command("postern", "status", preexec_fn=attempt,
                         check=False).returncode != 0


@needs_root
@pytest.mark.parametrize("parameter, value", [
    ("mail_owner", "no-such-user"), ("mail_owner", "root"),
    ("queue_owner", "no-such-user"), ("setgid_group", "no-such-group")])
def test_missing_users(stage, parameter, value):
    stage.set(**{parameter: value}).write_config()
    done = stage.command("postern", "start", check=False)
    assert done.returncode != 0
    assert f"parameter {parameter}" in done.stderr and value in done.stderr
    assert stage.command("postern", "check", check=False).returncode != 0


@needs_root
def test_ordinary_user(stage):
    """All of it as that user, whatever mail_owner says."""
    nobody = pwd.getpwnam("nobody")
    stage.set(mail_owner="no-such-user", setgid_group="no-such-group")
    stage.write_config()
    for path in (stage.base, stage.log_file.parent):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)

    def drop():
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    stage.command("postern", "start", preexec_fn=drop)
    assert ask(stage.port, "lease 1") == "2"
    for pid in stage.pids():
        assert os.stat(f"/proc/{pid}").st_uid in (0, nobody.pw_uid)
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
    assert stage.command("postern", "reload", preexec_fn=drop).returncode == 0
    assert stage.command("postern", "status", preexec_fn=drop).returncode == 0
    stage.command("postern", "stop", preexec_fn=drop)
    assert not stage.pids()

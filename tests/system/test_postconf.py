"""postconf: what it prints and what it leaves in the files.

The expectations are what Postfix's postconf does with the same files, but for
comments behind an edited line of master.cf, which stay where they are.
"""
import os
import subprocess

import pytest
from mode import OUT

MAIN = """\
# comment
compatibility_level = 3.6
myhostname = mx.example.org
mydestination = $myhostname,
   localhost,   b
# inside
   c
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination, \
check_recipient_access hash:/etc/rcpt/table, reject_rbl_client zen.example.org, permit
slow_destination_rate_delay = 1s
nosuch_destination_rate_delay = 1s
myclass = permit
smtpd_restriction_classes = myclass
smtpd_banner =$myhostname   ESMTP
foo=bar
mua_x = permit_sasl_authenticated, reject
"""

MASTER = """\
# c
smtp      inet  n       -       y       -       -       smtpd
# between
submission inet n       -       y       -       -       smtpd
  -o syslog_name=x/submission
# inner
  -o smtpd_client_restrictions=$mua_x -o { smtpd_sender_restrictions = permit_mynetworks, reject }
  -o smtpd_helo_restrictions=
slow      unix  -       -       n       -       2       smtp -v -o smtp_helo_name=$myhostname
127.0.0.1:10025 inet n - n - - smtpd
bsmtp     unix  -       n       n       -       -       pipe
  flags=Fq. user=bsmtp argv=/usr/lib/bsmtp -t$nexthop {-f $sender} $recipient with many words so that it folds over the line
"""

UNUSED = {"postconf: warning: {d}/main.cf: unused parameter: foo=bar",
          "postconf: warning: {d}/main.cf: unused parameter: "
          "nosuch_destination_rate_delay=1s"}


@pytest.fixture
def conf(tmp_path):
    (tmp_path / "main.cf").write_text(MAIN)
    (tmp_path / "master.cf").write_text(MASTER)
    return tmp_path


def postconf(conf, *args):
    return subprocess.run([OUT / "sbin/postconf", "-c", conf, *args],
                          capture_output=True, text=True, timeout=60)


def shown(conf, *args):
    done = postconf(conf, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_set_values(conf):
    done = postconf(conf, "-n")
    assert done.stdout == f"""\
compatibility_level = 3.6
config_directory = {conf}
mua_x = permit_sasl_authenticated, reject
myclass = permit
mydestination = $myhostname, localhost, b c
myhostname = mx.example.org
slow_destination_rate_delay = 1s
smtpd_banner = $myhostname ESMTP
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination, \
check_recipient_access hash:/etc/rcpt/table, reject_rbl_client zen.example.org, permit
smtpd_restriction_classes = myclass
"""
    assert set(done.stderr.splitlines()) == {u.format(d=conf) for u in UNUSED}


@pytest.mark.parametrize("args,want", [
    (["smtpd_banner"], "smtpd_banner = $myhostname ESMTP\n"),
    (["-x", "smtpd_banner"], "smtpd_banner = mx.example.org ESMTP\n"),
    (["-d", "smtpd_banner"],
     "smtpd_banner = $myhostname ESMTP $mail_name\n"),
    (["-dx", "default_destination_rate_delay"],
     "default_destination_rate_delay = 0s\n"),
    (["-h", "smtpd_banner"], "$myhostname ESMTP\n"),
    (["-H", "smtpd_banner"], "smtpd_banner\n"),
    (["relayhost"], "relayhost =\n"),
    (["-h", "relayhost"], "\n"),
    (["-d", "2bounce_notice_recipient"],
     "2bounce_notice_recipient = postmaster\n"),
    (["slow_destination_rate_delay", "slow_time_limit"],
     "slow_destination_rate_delay = 1s\n"
     "slow_time_limit = $command_time_limit\n"),
    (["-o", "smtpd_banner=xx", "-o", "myhostname = y.z", "smtpd_banner",
      "myhostname"], "smtpd_banner = xx\nmyhostname = y.z\n"),
    (["-C", "user"],
     "mua_x = permit_sasl_authenticated, reject\nmyclass = permit\n"),
    (["-f", "smtpd_recipient_restrictions"],
     "smtpd_recipient_restrictions = permit_mynetworks, "
     "reject_unauth_destination,\n"
     "    check_recipient_access hash:/etc/rcpt/table, reject_rbl_client\n"
     "    zen.example.org, permit\n"),
])
def test_show_main(conf, args, want):
    assert shown(conf, *args) == want


def test_show_all(conf):
    lines = shown(conf).splitlines()
    names = [line.split(" =")[0] for line in lines]
    assert names == sorted(names) and len(names) > 1000
    assert "smtpd_timeout = ${stress?{10}:{300}}s" in lines
    assert "bsmtp_time_limit = $command_time_limit" in lines
    assert not any(n.startswith("transport_destination_") for n in names)
    # Defaults do not depend on main.cf being there or right.
    (conf / "main.cf").write_text("nonsense\n")
    assert shown(conf, "-d", "biff") == "biff = yes\n"


def test_unknown_name(conf):
    done = postconf(conf, "nosuch", "biff")
    assert done.returncode == 0
    assert done.stdout == "biff = yes\n"
    assert "postconf: warning: nosuch: unknown parameter" in done.stderr


def test_show_services(conf):
    assert shown(conf, "-M") == """\
smtp       inet  n       -       y       -       -       smtpd
submission inet  n       -       y       -       -       smtpd -o syslog_name=x/submission -o smtpd_client_restrictions=$mua_x -o {smtpd_sender_restrictions=permit_mynetworks, reject} -o smtpd_helo_restrictions=
slow       unix  -       -       n       -       2       smtp -v -o smtp_helo_name=$myhostname
127.0.0.1:10025 inet n   -       n       -       -       smtpd
bsmtp      unix  -       n       n       -       -       pipe flags=Fq. user=bsmtp argv=/usr/lib/bsmtp -t$nexthop {-f $sender} $recipient with many words so that it folds over the line
"""
    assert shown(conf, "-Mf", "bsmtp", "submission/inet") == """\
bsmtp      unix  -       n       n       -       -       pipe flags=Fq.
    user=bsmtp argv=/usr/lib/bsmtp -t$nexthop {-f $sender} $recipient with many
    words so that it folds over the line
submission inet  n       -       y       -       -       smtpd
    -o syslog_name=x/submission
    -o smtpd_client_restrictions=$mua_x
    -o {smtpd_sender_restrictions=permit_mynetworks, reject}
    -o smtpd_helo_restrictions=
"""
    assert "smtp_helo_name=mx.example.org" in shown(conf, "-Mx", "slow")
    assert 'unmatched request: "no/inet"' in postconf(conf, "-M",
                                                      "no/inet").stderr


def test_show_fields_and_overrides(conf):
    assert shown(conf, "-F", "slow/unix/process_limit",
                 "127.0.0.1:10025/inet/chroot") == \
        "slow/unix/process_limit = 2\n127.0.0.1:10025/inet/chroot = n\n"
    assert len(shown(conf, "-F").splitlines()) == 5 * 8
    assert shown(conf, "-P") == """\
submission/inet/smtpd_client_restrictions = $mua_x
submission/inet/smtpd_helo_restrictions =
submission/inet/smtpd_sender_restrictions = permit_mynetworks, reject
submission/inet/syslog_name = x/submission
slow/unix/smtp_helo_name = $myhostname
"""
    assert shown(conf, "-Phx", "slow/unix/smtp_helo_name") == \
        "mx.example.org\n"


@pytest.mark.parametrize("args", [
    ["-dn"], ["-hH"], ["-Mh"], ["-M", "-n"], ["-eX", "a=b"], ["-#"], ["-X"],
    ["-e", "foo"], ["-e", "bad name=x"], ["-e", "=x"], ["-X", "a=b"],
    ["-e", "a=b\nc"], ["-Me", "slow=x"], ["-Me", "slow/unix=bad"],
    ["-Fe", "slow/unix/process_limit=x"], ["-Fe", "slow/unix/nosuch=x"],
    ["-Fe", "slow/unix=x"], ["-F#", "slow/unix/chroot"], ["-C", "nosuch"],
    ["-ex", "a=b"], ["-o", "x"],
])
def test_refused(conf, args):
    done = postconf(conf, *args)
    assert done.returncode == 1
    assert done.stderr.startswith("postconf: fatal: ")
    assert (conf / "main.cf").read_text() == MAIN
    assert (conf / "master.cf").read_text() == MASTER


@pytest.mark.parametrize("args,old,new", [
    (["-e", "foo=new text"], "foo=bar\n", "foo = new text\n"),
    (["foo="], "foo=bar\n", "foo = \n"),
    (["-e", "mydestination=x"],
     "mydestination = $myhostname,\n   localhost,   b\n# inside\n   c\n",
     "mydestination = x\n# inside\n"),
    (["-X", "mydestination"],
     "mydestination = $myhostname,\n   localhost,   b\n# inside\n   c\n",
     "# inside\n"),
    (["-#", "mydestination"],
     "mydestination = $myhostname,\n   localhost,   b\n# inside\n   c\n",
     "#mydestination = $myhostname,\n#   localhost,   b\n# inside\n#   c\n"),
    (["-X", "nosuch"], "", ""),
])
def test_edit_main(conf, args, old, new):
    shown(conf, *args)
    assert (conf / "main.cf").read_text() == MAIN.replace(old, new, 1)


def test_edit_adds(conf):
    (conf / "main.cf").write_text("a = 1\n# no newline at the end")
    shown(conf, "-e", "b = 2", "a=3", "c=d=e", "b=4")
    assert (conf / "main.cf").read_text() == \
        "a = 3\n# no newline at the end\nb = 4\nc = d=e\n"


def test_edit_doubles(conf):
    (conf / "main.cf").write_text("a = 1\nb = 2\na = 3\n")
    done = postconf(conf, "-e", "a=x")
    assert 'multiple entries for "a"' in done.stderr
    assert (conf / "main.cf").read_text() == "a = x\nb = 2\na = x\n"


def test_edit_keeps_the_file(conf):
    """Mode and owner stay, and a link stays a link."""
    real = conf / "real.cf"
    (conf / "main.cf").rename(real)
    (conf / "main.cf").symlink_to("real.cf")
    real.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real, 1234, 2345)
    shown(conf, "-e", "foo=new")
    assert (conf / "main.cf").is_symlink()
    st = real.stat()
    assert st.st_mode & 0o7777 == 0o640
    if os.geteuid() == 0:
        assert (st.st_uid, st.st_gid) == (1234, 2345)
    assert "foo = new\n" in real.read_text()
    assert sorted(os.listdir(conf)) == ["main.cf", "master.cf", "real.cf"]


SUBMISSION = MASTER[MASTER.index("submission"):MASTER.index("slow")]
SLOW = MASTER[MASTER.index("slow"):MASTER.index("127")]
NEW_SUBMISSION = """\
# inner
submission inet  n       -       {chroot}       -       -       smtpd
    -o syslog_name=x/submission
    -o smtpd_client_restrictions={clients}
    -o {{smtpd_sender_restrictions=permit_mynetworks, reject}}
    -o smtpd_helo_restrictions=
"""


@pytest.mark.parametrize("args,old,new", [
    (["-Me", "slow/unix=slow unix - - n - 5 smtp -o {a = b c}"], SLOW,
     "slow       unix  -       -       n       -       5       smtp\n"
     "    -o {a=b c}\n"),
    (["-Fe", "slow/unix/process_limit=7"], SLOW,
     "slow       unix  -       -       n       -       7       smtp -v\n"
     "    -o smtp_helo_name=$myhostname\n"),
    (["-Fe", "slow/unix/command=smtp -o a=b"], SLOW,
     "slow       unix  -       -       n       -       2       smtp\n"
     "    -o a=b\n"),
    (["-Fe", "submission/inet/chroot=n"], SUBMISSION,
     NEW_SUBMISSION.format(chroot="n", clients="$mua_x")),
    (["-Pe", "submission/inet/smtpd_client_restrictions=zz"], SUBMISSION,
     NEW_SUBMISSION.format(chroot="y", clients="zz")),
    (["-Pe", "slow/unix/x=y", "slow/unix/z=a"], SLOW,
     "slow       unix  -       -       n       -       2       smtp -v\n"
     "    -o smtp_helo_name=$myhostname\n    -o x=y\n    -o z=a\n"),
    (["-PX", "slow/unix/smtp_helo_name"], SLOW,
     "slow       unix  -       -       n       -       2       smtp -v\n"),
    (["-MX", "slow/unix"], SLOW, ""),
    (["-MX", "submission/inet"], SUBMISSION, "# inner\n"),
    (["-M#", "slow/unix"], SLOW, "#" + SLOW),
    (["-MX", "nosuch/unix"], "", ""),
])
def test_edit_master(conf, args, old, new):
    shown(conf, *args)
    assert (conf / "master.cf").read_text() == MASTER.replace(old, new, 1)


def test_edit_master_adds(conf):
    shown(conf, "-Me", "new/unix=new unix - - n - - lmtp")
    assert (conf / "master.cf").read_text() == MASTER + \
        "new        unix  -       -       n       -       -       lmtp\n"


def test_no_file(tmp_path):
    done = postconf(tmp_path, "-n")
    assert done.returncode == 1 and "main.cf" in done.stderr
    assert shown(tmp_path, "-d", "biff") == "biff = yes\n"


def test_bad_expression(conf):
    (conf / "main.cf").write_text("relayhost = ${x\n")
    assert shown(conf, "relayhost") == "relayhost = ${x\n"
    done = postconf(conf, "-x", "relayhost")
    assert done.returncode == 1 and "closing bracket" in done.stderr

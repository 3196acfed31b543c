"""Table types by postmap: keys out of messages, types that build files, and,
where Postfix's own postmap is at hand, the same questions to both."""
import json
import os
import pathlib
import subprocess

import pytest

MESSAGE = """From: a
Subject: x
 y
Content-Type: multipart/mixed; boundary="b c"

pre
--b c
Content-Type: text/plain

body1
--b c
Content-Type: message/rfc822

Subject: inner

inbody
--b c--
post
"""
MESSAGE_KEYS = {
    "-h": ["From: a", "Subject: x\n y",
           'Content-Type: multipart/mixed; boundary="b c"'],
    "-hm": ["From: a", "Subject: x\n y",
            'Content-Type: multipart/mixed; boundary="b c"',
            "Content-Type: text/plain", "Content-Type: message/rfc822",
            "Subject: inner"],
    "-b": ["", "pre", "--b c", "Content-Type: text/plain", "", "body1",
           "--b c", "Content-Type: message/rfc822", "", "Subject: inner", "",
           "inbody", "--b c--", "post"],
    "-bm": ["", "pre", "--b c", "", "body1", "--b c", "", "", "inbody",
            "--b c--", "post"],
}


def postmap(instance, *args, **kwargs):
    return instance.command("postmap", *args, **kwargs)


@pytest.mark.parametrize("option", MESSAGE_KEYS)
def test_message_keys(instance, option):
    instance.write_config()
    done = postmap(instance, option, "-q", "-", "regexp:{{/(.*)/ <$1>}}",
                   input=MESSAGE)
    assert done.stdout == "".join(
        f"{key}\t<{key}>\n" for key in MESSAGE_KEYS[option])


def test_message_options(instance):
    instance.write_config()
    done = postmap(instance, "-h", "-q", "x", "static:x", check=False)
    assert done.returncode != 0
    assert 'specify -b -h or -m only with "-q -"' in done.stderr


def built_types(instance):
    instance.write_config()
    return instance.command("postconf", "-m").stdout.split()


@pytest.mark.parametrize("kind", ["hash", "btree", "lmdb", "cdb"])
def test_build_ask_edit(instance, kind):
    if kind not in built_types(instance):
        pytest.skip(f"no {kind}: in this build")
    source = instance.conf / "map"
    source.write_text("One 1\ntwo 2 2\n")
    spec = f"{kind}:{source}"
    postmap(instance, spec)
    assert postmap(instance, "-q", "ONE", spec).stdout == "1\n"
    postmap(instance, "-d", "one", spec)
    assert postmap(instance, "-q", "one", spec, check=False).returncode == 1
    postmap(instance, "-i", spec, input="three 3\n")
    assert sorted(postmap(instance, "-s", spec).stdout.splitlines()) == [
        "three\t3", "two\t2 2"]
    postmap(instance, "-n", spec)
    assert postmap(instance, "-q", "one", spec).stdout == "1\n"
    postmap(instance, "-N", spec)
    assert postmap(instance, "-q", "one", spec).stdout == "1\n"
    postmap(instance, "-F", "-i", "-r", spec, input=f"file {source}\n")
    assert postmap(instance, "-F", "-q", "file", spec).stdout == \
        "One 1\ntwo 2 2\n\n"
    assert postmap(instance, "-q", "a", f"{kind}:/nonexistent/x",
                   check=False).returncode == 1


def test_json(instance):
    instance.write_config()
    source = instance.write("map", 'a 1\n"b \\" c" say "x"\n')
    spec = f"texthash:{source}"
    lines = postmap(instance, "-js", spec).stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"a": "1"}, {'"b \\" c"': 'say "x"'}]
    assert postmap(instance, "-jq", "a", spec).stdout == '{"a": "1"}\n'
    assert postmap(instance, "-j", "-q", "-", spec, input="A\nz\n").stdout == \
        '{"A": "1"}\n'
    assert instance.command("postalias", "-jq", "a", spec).stdout == \
        '{"a": "1"}\n'
    assert postmap(instance, "-j", spec, check=False).returncode == 1


@pytest.fixture(scope="session")
def reference():
    """Runs Postfix's postmap, from a package that was unpacked or installed."""
    roots = [os.environ.get("POSTFIX_ROOT", ""),
             os.path.expanduser("~/.cache/mta-bench/root-postfix"), "/"]
    for root in map(pathlib.Path, filter(None, roots)):
        program = root / "usr/sbin/postmap"
        if program.exists():
            break
    else:
        pytest.skip("no Postfix to compare with")
    libraries = root / "usr/lib/postfix"

    def run(conf, *args, input=None):
        (conf / "main.cf").write_text(
            "compatibility_level = 3.6\nmyhostname = mail.example.com\n"
            f"shlib_directory = {libraries}\nmeta_directory = {conf}\n")
        (conf / "dynamicmaps.cf").write_text(
            "pcre\tpostfix-pcre.so\tdict_pcre_open\n"
            if (libraries / "postfix-pcre.so").exists() else "")
        return subprocess.run(
            [program, "-c", conf, *args], text=True, input=input,
            env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    return run


EXPRESSIONS = [
    ("!!/x/ yes\n! /x/ y2\n", "x y"),
    ("if /(/\n/a/ in\nendif\n/a/ out\n", "a b"),
    ("if /a/q\n/a/ in\nendif\n/b/ out\n", "a b"),
    ("if /a/\n/b/ x\n", "ab b"),
    ("/a/ $ foo\n/b/ a$\n/c/ $- x\n/d/ $${1}x\n/e/ ${}\n/f/ $1a\n", "d e"),
    ("/(a)|(b)/ [$1][$2]\n", "a b"),
    ("/a/im x\n/A/i yy\n/^b$/m m\n", "a A b"),
    ("/a\\/b/ slash\n|c\\|d| alt\n", "a/b c c|d"),
    ("IF /a/\n/a/ up\nENDIF\nifx /a/ f\nif/b/\n/b/ tight\nendif\nif\nendif\n",
     "a b"),
    ('"q" x\n{a} b\n-a- dash\n', "q a"),
    ("/a/ x  y  \n  z\n", "a"),
    ("if !/a/\nif /b/\n/./ b\nendif\n/./ not-a\nendif\n/./ other\n", "a b c"),
    ("//  empty\n", "a"),
    ("/(x)?y/ <$1>\n", "y xy"),
    ("if /(x)(y)/\n/./ $1\nendif\n", "xyz"),
    ("endif\nif\n  /x/\n/a/ k\nif !\n", "a"),
    ("/^foo(.*)bar$/ hi $1\n/a/ $(1) x$$y ${9}\n!/(c)/ $1\n/\\(/ x\nif /x/\n"
     "/open\n/x/q y\n/(/ z\nendif\nendif\nif !/k/ foo\n/k/ ${1\n/k/ $x\n"
     "/k/ $(1)${2} $0\nendif trailing\nabc def\n", "fooXbar a c ( x k y q"),
    ("/(.)(.)(.)/ $3$(2)${1}$$\n", "abc ABC"),
    ("/^.$/ one\n/^..$/ two\n", "\u00e9 e"),
    (" /a/ x\n/b/ y\n", "a b"),
    ("# c\n\n   # d\n/a/ x # not\n", "a"),
]
PERL = [
    ("/A B/x x\n/a.c/s nodot\n/a.*?b/U ung\n/b/A anch\n/c$/E e\n/d/X xx\n",
     "ab axc xb c d"),
    ("/^(?!owner-)(.*)-out@(.*)/ Use ${1}@${2}\n/(?<n>x)/ $1\n",
     "a-out@b owner-a-out@b x"),
]
NETS = [
    ("10.0.0.0/8 ten\n!192.168.0.0/16 far\n::/0 six\n0.0.0.0/0 any\n",
     "10.1.2.3 192.168.1.1 ::1 1.2.3.4 foo [::1] IPv6:::1 ::ffff:10.1.1.1"),
    ("10.0.0.1/8 bad\n10.0.0.0/33 b\n10.0.0.0/ x\nfoo bar\n10.0.0.0/8\n"
     "[10.0.0.0]/8 br\n[2001:db8::]/32 c\n1.2.3 k\n", "10.1.1.1 2001:db8::1"),
    ("2001:db8:2:: e $1\n[2001:db8:1::/48] d\n10.0.0.0/08 z\n",
     "10.1.1.1 2001:db8:1::1 2001:db8:2::"),
    ("if 10.0.0.0/8\n10.1.0.0/16 a\n!10.2.0.0/16 notb\nendif\n"
     "if !10.0.0.0/8\n0.0.0.0/0 out\nendif x\nif foo\n1.2.3.4 k\nendif\n"
     "if 1.0.0.0/8 x\nendif\nif 2.0.0.0/8\n",
     "10.1.0.1 10.2.0.1 10.3.0.1 1.2.3.4 ::1"),
    ("IF 10.0.0.0/8\n 10.1.0.0/16 a\nENDIF\nif\nendif\n!!10.0.0.0/8 x\n"
     "! 10.0.0.0/8 y\n010.0.0.1 oct\n", "10.1.0.1 8.0.0.1 1.1.1.1"),
]


@pytest.mark.parametrize("kind", ["regexp", "pcre", "cidr"])
def test_same_as_postfix(instance, reference, tmp_path, kind):
    if kind not in built_types(instance):
        pytest.skip(f"no {kind}: in this build")
    probe = reference(tmp_path, "-q", "a", kind + ":{}")
    if "unsupported dictionary type" in probe.stderr:
        pytest.skip(f"that Postfix has no {kind}:")
    files = {"regexp": EXPRESSIONS, "pcre": EXPRESSIONS + PERL, "cidr": NETS}
    path = instance.conf / "rules"
    for text, keys in files[kind]:
        path.write_text(text)
        asked = keys.replace(" ", "\n") + "\n"
        theirs = reference(tmp_path, "-q", "-", f"{kind}:{path}", input=asked)
        ours = postmap(instance, "-q", "-", f"{kind}:{path}", input=asked,
                       check=False)
        assert (ours.returncode, ours.stdout) == \
            (theirs.returncode, theirs.stdout), text


@pytest.mark.parametrize("kind", ["hash", "btree", "lmdb", "cdb"])
def test_files_of_postfix(instance, reference, tmp_path, kind):
    if kind not in built_types(instance):
        pytest.skip(f"no {kind}: in this build")
    source = tmp_path / "map"
    source.write_text("Ann@example.org ann\n@example.net catch all\n")
    made = reference(tmp_path, f"{kind}:{source}")
    if "unsupported dictionary type" in made.stderr:
        pytest.skip(f"that Postfix has no {kind}:")
    spec = f"{kind}:{source}"
    assert postmap(instance, "-q", "ann@example.org", spec).stdout == "ann\n"
    postmap(instance, spec)
    theirs = reference(tmp_path, "-q", "@example.net", spec)
    assert theirs.stdout == "catch all\n"

"""Programs of others that Postern works with, as their packages have them:
installed, or unpacked below build/ by "make check-peers". Each runs in the
foreground, for one test, and is not started as a service of the system."""
import os
import pathlib
import shutil
import subprocess

from instance import ROOT
from mode import OUT

UNPACKED = OUT.parent / "peers" / "services"
LIBRARIES = UNPACKED / "usr/lib/x86_64-linux-gnu"
PERL = [UNPACKED / "usr/share/perl5", *sorted(LIBRARIES.glob("perl5/5.*"))]
PYTHON = UNPACKED / "usr/lib/python3/dist-packages"


def find(name):
    """The path of a program, or None."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    installed = shutil.which(name, path=path)
    for place in ("usr/sbin", "usr/bin"):
        if not installed and (UNPACKED / place / name).exists():
            return str(UNPACKED / place / name)
    return installed


def environ():
    """Ours, with the libraries of what is only unpacked behind the system's."""
    return dict(os.environ, LD_LIBRARY_PATH=str(LIBRARIES), PYTHONPATH=str(PYTHON),
                PYTHONDONTWRITEBYTECODE="1")


def perl(program, *arguments):
    """A Perl program with the options of its first line."""
    with open(program, encoding="utf-8", errors="replace") as text:
        first = text.readline().split()
    places = [word for place in PERL for word in ("-I", str(place))]
    return [shutil.which("perl"), *first[1:], *places, program, *arguments]


def user():
    """Whom it may become, and the group."""
    return ("nobody", "nogroup") if ROOT else (str(os.geteuid()), str(os.getegid()))


class Program:
    """One that runs until it is closed; what it says is in a file."""

    def __init__(self, base, argv, name=None):
        self.said = pathlib.Path(base) / ((name or pathlib.Path(argv[0]).name) + ".out")
        with self.said.open("ab") as out:
            self.process = subprocess.Popen([str(a) for a in argv], env=environ(),
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def text(self):
        return self.said.read_text(errors="replace")

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait(5)

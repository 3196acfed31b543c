"""Debian's Postfix where it is not installed: what "make check-peers" unpacked.

Its package lies over /usr and /etc for processes in namespaces of their own.
"""
import pathlib

ACCOUNTS = {"postfix": 950, "postdrop": 951}

# For main.cf: where the package has its files.
DIRECTORIES = """\
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
"""

OVERLAY = """\
mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr
mount -t overlay overlay -o lowerdir={base}/etc:{root}/etc:/etc /etc
"""

ENTER = """\
set -e
{overlay}mount -t proc proc /proc
cd /
exec postfix -c {base}/conf start-fg
"""


def unpacked(out):
    """Where it is, beside the build at out."""
    return pathlib.Path(out).parent / "peers/postfix"


def argv(base, root=None):
    """Start it with the configuration below base; root: not installed, but there.

    --kill-child: with unshare goes process 1, and with that all the rest.
    """
    overlay = OVERLAY.format(root=root, base=base) if root else ""
    return ["unshare", "--mount", "--propagation", "private", "--pid", "--fork",
            "--kill-child", "sh", "-c", ENTER.format(overlay=overlay, base=base)]


def write_accounts(base):
    """/etc/passwd and /etc/group as they are, and its own accounts."""
    (base / "etc").mkdir()
    for name in ("passwd", "group"):
        (base / "etc" / name).write_text(with_accounts("/etc/" + name))


def with_accounts(path):
    lines = [line for line in pathlib.Path(path).read_text().splitlines()
             if line.split(":")[0] not in ACCOUNTS]
    tail = "::/nonexistent:/usr/sbin/nologin" if path.endswith("passwd") else ""
    for name, number in ACCOUNTS.items():
        middle = f"{number}:{number}" if tail else f"{number}:"
        lines.append(f"{name}:x:{middle}{tail}")
    return "\n".join(lines) + "\n"

"""Which build is tested, and how much more time than a release it is given.

Each limit that a test sets to a wait is a release's, and is multiplied by SLOW.
"""
import os
import pathlib

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


def slowness(out):
    """Of the build below out; sanitized ones share the processors badly, too."""
    return {"san": 4, "tsan": 10}.get(pathlib.Path(out).name, 1)


OUT = pathlib.Path(os.environ.get("POSTERN_OUT", TOP / "build/release"))
SLOW = slowness(OUT)
SANITIZED = SLOW > 1

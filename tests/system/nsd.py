"""A name server of our own, NSD, for zones that a test writes."""
import shutil
import socket
import subprocess

import pytest
from waiting import free_port, wait_for

PROGRAM = shutil.which("nsd") or shutil.which("/usr/sbin/nsd")

NSD_CONF = """\
server:
  ip-address: {address}@{port}
  username: ""
  chroot: ""
  zonesdir: "{base}"
  database: ""
  pidfile: "{base}/nsd.pid"
  xfrdfile: "{base}/xfrd.state"
  zonelistfile: "{base}/zone.list"
  logfile: "{base}/nsd.log"
  server-count: 1
remote-control:
  control-enable: no
"""


class Nsd:
    """Serves {zone: text of its file}, by default at a port of its own."""

    def __init__(self, base, zones, address="127.0.0.1", port=None):
        if PROGRAM is None:
            pytest.skip("nsd is not installed")
        self.base = base
        self.address, self.port = address, port or free_port()
        self.probe = soa_question(next(iter(zones)))
        text = NSD_CONF.format(address=address, port=self.port, base=base)
        for name, zone in zones.items():
            (base / name).write_text(zone)
            text += f'zone:\n  name: "{name}"\n  zonefile: "{name}"\n'
        (base / "nsd.conf").write_text(text)
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        self.process = subprocess.Popen(
            [PROGRAM, "-d", "-c", str(self.base / "nsd.conf")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.answers, what="NSD")

    def answers(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            s.connect((self.address, self.port))
            try:
                s.send(self.probe)
                return len(s.recv(512)) > 12
            except OSError:
                return False

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


def soa_question(zone):
    """A query for the zone's SOA record."""
    labels = b"".join(bytes([len(label)]) + label.encode()
                      for label in zone.split("."))
    return b"\0\1\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\6\0\1"

"""Single messages pass while a list of LIST_RECIPIENTS is being delivered."""
import json
import os
import subprocess
import time

import pytest
from mode import OUT, SLOW
from waiting import free_port, wait_for

RECIPIENTS = int(os.environ.get("LIST_RECIPIENTS", "5000"))
SINGLES = int(os.environ.get("LIST_SINGLES", "150"))
# Other tests share the cores: only a run of its own is held to the ratio.
STRICT = "LIST_RECIPIENTS" in os.environ
BENCH = OUT / "tests/bench"


class CountingSink:
    """tests/bench/smtp_sink: counts, and times from source to sink. distance: ms to
    an answer, for hosts that are far away."""

    def __init__(self, distance=0):
        self.port = free_port()
        self.process = subprocess.Popen(
            [BENCH / "smtp_sink", "-p", str(self.port), "-d", str(distance)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ask("reset")

    def ask(self, word="count"):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def source(port, *args):
    done = subprocess.run([BENCH / "smtp_source", "-p", str(port), *map(str, args)],
                          stdout=subprocess.PIPE, check=False, timeout=300)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def singles(instance, sink):
    """Latency of one message after the other, ms: median and 99th of a hundred."""
    sink.ask("reset")
    source(instance.port, "-n", SINGLES, "-c", 1, "-m", 50, "-w", 5, "-t", "s%u@one.example")
    wait_for(lambda: sink.ask()["messages"] >= SINGLES, 60 * SLOW)
    return sink.ask()


def peaks(instance):
    """The most that each process ever had in memory, MiB."""
    most = {}
    for pid, name in instance.pids().items():
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
        most[name] = max(most.get(name, 0), peak // 1024)
    return most


def figures(counted):
    return f"p50 {counted['e2e_p50_ms']:.1f} p99 {counted['e2e_p99_ms']:.1f} ms"


@pytest.mark.timeout(600)
@pytest.mark.skipif(not (BENCH / "smtp_sink").exists(), reason="tests/bench is not built")
@pytest.mark.parametrize("shape", ["far hosts", "near hosts", "the same destination"])
def test_singles_beside_a_list(instance, shape):
    """Near hosts are on these very cores, which they share with all that is
    measured: for what is seen then, not for the ratio."""
    crowd, alone = CountingSink(100 if shape == "far hosts" else 0), CountingSink()
    same = shape == "the same destination"
    host = "127.0.0.1"
    to = "r%u@one.example" if same else "r%u@d%d.list.example"
    text = f"one.example smtp:[{host}]:{alone.port}\n"
    for i in range(1, 101):
        text += f"d{i}.list.example smtp:[127.0.1.{i}]:{crowd.port}\n"
    instance.write("transport", text)
    instance.set(smtpd_recipient_limit=RECIPIENTS, smtpd_recipient_overshoot_limit="1000",
                 smtpd_timeout="300s")
    instance.start()
    try:
        singles(instance, alone)
        idle = singles(instance, alone)
        began = time.monotonic()
        source(instance.port, "-n", 1, "-r", RECIPIENTS, "-k", RECIPIENTS, "-t", to)
        taken = time.monotonic() - began
        print("most memory:", peaks(instance))
        busy = singles(instance, alone)
        left = len(instance.queue())
        instance.wait_empty(timeout=200 * SLOW)
        took = time.monotonic() - began
        print(f"{shape}: list of {RECIPIENTS} taken in {taken:.1f} s, out after {took:.1f} s"
              f"{'' if left else ' (before the singles were through)'}; "
              f"one message: {figures(idle)} idle, {figures(busy)} beside it")
        if STRICT and shape == "far hosts":
            assert left and busy["e2e_p99_ms"] <= 2 * idle["e2e_p99_ms"]
    finally:
        crowd.close()
        alone.close()

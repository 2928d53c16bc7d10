"""The benchmarks' clock counts what this process and its real children, grandchildren and sandboxes compute."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.cpu_clock import CpuClock
from runners.runner import Limits, Target

BURN = "import time\nwhile time.process_time() < 0.4: pass\n"
FORKS_AND_KILLS = """
import os, signal, time
reader, writer = os.pipe()
pid = os.fork()
while pid == 0:
    if time.process_time() > 0.3 and writer:
        writer = os.write(writer, b"enough") and None
os.read(reader, 6)
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
print("reaped", flush=True)
time.sleep(30)
"""
MODULE = "def spin(number):\n    return number\n"
TEST = "from shop import spin\n\n\ndef test_spin():\n    assert spin(1) == 2\n"


def test_it_counts_this_process_and_does_not_count_waiting():
    clock = CpuClock()
    start = clock()
    time.sleep(0.2)
    assert clock() - start < 0.1
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    assert 0.2 <= clock() - start < 0.5


def test_a_child_that_ended_stays_counted():
    with CpuClock() as clock:
        start = clock()
        subprocess.run([sys.executable, "-c", BURN], check=True)
        assert 0.3 <= clock() - start < 1.5


def test_a_grandchild_that_was_killed_is_counted():
    with CpuClock() as clock:
        start = clock()
        with subprocess.Popen([sys.executable, "-c", FORKS_AND_KILLS], stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"reaped\n"
            used = clock() - start
            process.kill()
        assert used >= 0.25
        assert used <= clock() - start < used + 0.2


def test_bodies_that_hang_in_a_warm_sandbox_cost_what_they_compute(repo, runner):
    root = repo({"shop.py": MODULE, "test_shop.py": TEST})
    limits = Limits(suite_timeout_s=60, test_timeout_s=5, execution_timeout_s=0.6)
    with CpuClock() as clock:
        with runner(root, limits).open_session(Target("shop.py", "spin", 1), ["test_shop.py::test_spin"]) as session:
            before = clock()
            (execution,) = session.execute([b"def spin(number):\n    while True:\n        pass\n"])
            used = clock() - before
        assert not execution.passed
        assert 0.01 < used < 3
        assert clock() - before >= used

"""Executions of one changed body against one failing test: how many a second each kind of sandbox manages.

    .venv/bin/python -m benchmarks.sandbox [--repeat N] [--json]

One Markdown table (or JSON) on stdout. The ways are measured in turns within one run, so that a neighbour on the
machine slows all of them alike: compare the ratios. A way that does not work here is left out, and said.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runners.local import LocalRunner
from runners.runner import Limits, Runner, RunnerError, SuiteRequest, Target
from runners.warm import WarmSession

MODULE = '''\
from dataclasses import dataclass
from decimal import Decimal


@dataclass
class Line:
    price: Decimal
    count: int


def total(lines, discount=Decimal(0)):
    """Sum of the lines, less a discount."""
    result = Decimal(0)
    for line in lines:
        result += line.price * line.count
    return result - discount - 1
'''
TESTS = """\
from decimal import Decimal

import pytest

from shop import Line, total


@pytest.fixture
def lines():
    return [Line(Decimal("1.50"), 2), Line(Decimal(4), 1)]


def test_total(lines):
    assert total(lines) == 7


@pytest.mark.parametrize("count", range(30))
def test_sign(count):
    assert total([Line(Decimal(10), count)]) == count * 10
"""
NODE = "test_shop.py::test_total"
TARGET = Target("shop.py", "total", 11)
FIXED = MODULE.replace(" - 1\n", "\n").encode()
Way = Callable[[], bool]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Executions per second, by kind of sandbox.")
    parser.add_argument("--repeat", type=int, default=10, help="executions of the slowest ways; fast ones get more")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        (root / "shop.py").write_text(MODULE)
        (root / "test_shop.py").write_text(TESTS)
        ways: dict[str, Way] = {}
        for opening in (docker_ways, local_ways):
            try:
                ways |= stack.enter_context(opening(root))
            except (RunnerError, OSError, subprocess.SubprocessError) as error:
                print(f"left out: {opening.__name__}: {error}", file=sys.stderr)
        seconds = measure(ways, arguments.repeat)
    load, results = os.getloadavg()[0], {name: summary(times) for name, times in seconds.items()}
    machine = {"load": load, "cpus": os.cpu_count(), "python": sys.version.split()[0]}
    print(json.dumps(machine | {"ways": results}, indent=2) if arguments.json else table(results, load))


def measure(ways: dict[str, Way], repeat: int) -> dict[str, list[float]]:
    """Return the seconds of each execution. A fast way runs in bursts of ten beside one run of a slow one."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            for _ in range(10 if "warm" in name else 1):
                started = time.perf_counter()
                passed = way()
                seconds[name].append(time.perf_counter() - started)
                if not passed:
                    raise SystemExit(f"{name}: the right body did not pass")
    return seconds


def summary(times: list[float]) -> dict[str, float]:
    """Return the figures of one way, in milliseconds."""
    ordered = sorted(times)
    median = statistics.median(ordered)
    return {
        "n": len(ordered),
        "p10_ms": round(ordered[len(ordered) // 10] * 1000, 1),
        "median_ms": round(median * 1000, 1),
        "per_s": round(1 / median, 2),
    }


def table(ways: dict[str, dict[str, float]], load: float) -> str:
    """Return a Markdown table; the ratios are to the cold container, or to the first way without Docker."""
    base = next(iter(ways.values()))
    lines = [
        f"| way (load {load:.1f}, {os.cpu_count()} CPUs) | n | p10 ms | median ms | per second | ratio |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, way in ways.items():
        ratio = base["median_ms"] / way["median_ms"]
        lines.append(f"| {name} | {way['n']} | {way['p10_ms']} | {way['median_ms']} | {way['per_s']} | x{ratio:.1f} |")
    return "\n".join(lines)


@contextmanager
def local_ways(root: Path) -> Iterator[dict[str, Way]]:
    """The ways in bubblewrap."""
    with LocalRunner(root, LIMITS, python=sys.executable) as runner, warm_ways("bubblewrap", runner) as warm:
        yield {"bubblewrap, cold": cold_way(runner)} | warm


@contextmanager
def docker_ways(root: Path) -> Iterator[dict[str, Way]]:
    """The ways in containers, `docker exec` of a whole pytest among them."""
    from runners.docker import DockerRunner

    with DockerRunner(root, LIMITS) as runner, warm_ways("container", runner) as warm, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        (folder / "test_shop.py").write_text(TESTS)
        options = ["--network=none", "--read-only", "--cap-drop=ALL", "--tmpfs=/tmp:exec", "--rm", "--detach"]
        command = ["docker", "run", *options, f"--mount=type=bind,src={folder},dst=/repo,readonly", "-w", "/repo"]
        sleeping = [*command, runner.image, "python", "-c", "import time; time.sleep(3600)"]
        name = subprocess.run(sleeping, check=True, capture_output=True, text=True).stdout.strip()
        stack.callback(subprocess.run, ["docker", "rm", "--force", name], check=False, capture_output=True)

        def execute() -> bool:
            (folder / "shop.py").write_bytes(FIXED)
            pytest = ["python", "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", NODE]
            return subprocess.run(["docker", "exec", name, *pytest], check=False, capture_output=True).returncode == 0

        yield {"container, cold": cold_way(runner), "container, docker exec pytest": execute} | warm


def cold_way(runner: Runner) -> Way:
    """A fresh sandbox for each execution."""
    return lambda: runner.run_suite(SuiteRequest((NODE,), {TARGET.path: FIXED})).tests[0].passed


@contextmanager
def warm_ways(name: str, runner: Runner) -> Iterator[dict[str, Way]]:
    """A fork of a warm process for each execution, at both levels, without and with a trace."""
    with runner.open_session(TARGET, [NODE]) as session:
        assert isinstance(session, WarmSession)
        if session.level != "swap":
            raise RunnerError(f"the session only reached the level {session.level}: {session.why}")

        def at(level: str, trace: bool) -> Way:
            def run() -> bool:
                session.level = level
                return session.execute([FIXED], trace=trace)[0].passed

            return run

        yield {
            f"{name}, warm, import": at("import", False),
            f"{name}, warm, swap": at("swap", False),
            f"{name}, warm, swap and trace": at("swap", True),
        }


LIMITS = Limits(suite_timeout_s=120, test_timeout_s=20, execution_timeout_s=10)

if __name__ == "__main__":
    main()

"""Executions of one changed body against one failing test: how long each kind of sandbox takes.

    .venv/bin/python -m benchmarks.sandbox [--repeat N] [--json]

Markdown tables (or JSON) on stdout: the ways, and the ratios that are our goals. The ways are measured in turns within
one run, so that a neighbour on the machine slows all of them alike: compare the ratios. A "guided" execution follows a
pause, as it does while a model decodes; the others follow each other at once. The floor is what no sandbox can go
below: a process with pytest and the tests loaded forks, and its child runs the test and answers through a pipe. A way
that does not work here is left out, and said.
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
from dataclasses import dataclass, replace
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
BATCH = 48  # bodies of one batch, for the scaling with workers
PAUSE_S = 0.04  # between guided executions: about what a small model takes for a line
FLOOR = """
import os, sys
import pytest, _pytest.assertion, shop, test_shop
import gc
gc.freeze()
body = sys.argv[1]
while sys.stdin.buffer.read(1):
    ear, mouth = os.pipe()
    if os.fork() == 0:
        names = dict(vars(shop))
        exec(compile(body, "shop.py", "exec"), names)
        shop.total.__code__ = names["total"].__code__
        test_shop.test_total([shop.Line(test_shop.Decimal("1.50"), 2), shop.Line(test_shop.Decimal(4), 1)])
        os.write(mouth, b"1")
        os._exit(0)
    os.close(mouth)
    said = os.read(ear, 1) or b"0"
    os.close(ear)
    os.wait()
    sys.stdout.buffer.write(said)
    sys.stdout.buffer.flush()
"""


@dataclass(frozen=True)
class Way:
    """One way of executing a body. many: runs beside one of a slow way; pause_s: before each; of: bodies in one run."""

    run: Callable[[], bool]
    many: int = 1
    pause_s: float = 0.0
    of: int = 1


GOALS = (  # (what, which way, divided by which, the goal)
    ("guided execution, times faster than docker run", "docker run pytest", "container, guided", ">= 50"),
    (
        "guided execution with trace, times faster than docker run",
        "docker run pytest",
        "container, guided, trace",
        ">= 50",
    ),
    ("guided execution, times the floor", "container, guided", "floor: fork, test, pipe", "<= 3"),
    ("trace, times the execution without", "container, guided, trace", "container, guided", "<= 2"),
    ("one after the other, times the floor", "container, swap", "floor: fork, test, pipe", ""),
    ("two workers, times faster than one", "container, batch, 1 worker", "container, batch, 2 workers", ""),
)


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
        for opening in (docker_ways, local_ways, floor_way):
            try:
                ways |= stack.enter_context(opening(root))
            except (RunnerError, OSError, subprocess.SubprocessError) as error:
                print(f"left out: {opening.__name__}: {error}", file=sys.stderr)
        seconds = measure(ways, arguments.repeat)
    load, results = os.getloadavg()[0], {name: summary(times, ways[name]) for name, times in seconds.items()}
    machine = {"load": load, "cpus": os.cpu_count(), "python": sys.version.split()[0]}
    found = ratios(results)
    if arguments.json:
        print(json.dumps(machine | {"ways": results, "ratios": found}, indent=2))
    else:
        print(table(results, load), ratio_table(found), sep="\n\n")


def measure(ways: dict[str, Way], repeat: int) -> dict[str, list[float]]:
    """Return the seconds of each run. A fast way runs in bursts beside one run of a slow one."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            for _ in range(way.many):
                time.sleep(way.pause_s)
                started = time.perf_counter()
                passed = way.run()
                taken = time.perf_counter() - started
                if not passed and not way.run():  # once may be a neighbour that cleans up the engine
                    raise SystemExit(f"{name}: the right body did not pass")
                if passed:
                    seconds[name].append(taken)
    return seconds


def summary(times: list[float], way: Way) -> dict[str, float]:
    """Return the figures of one way, in milliseconds for one body."""
    ordered = sorted(time / way.of for time in times)
    median = statistics.median(ordered)
    return {
        "n": len(ordered),
        "p10_ms": round(ordered[len(ordered) // 10] * 1000, 2),
        "median_ms": round(median * 1000, 2),
        "per_s": round(1 / median, 2),
    }


def ratios(ways: dict[str, dict[str, float]]) -> list[dict[str, object]]:
    """Return the ratios that can be told, of the medians and of the tenth percentiles."""
    found: list[dict[str, object]] = []
    for what, above, below, goal in GOALS:
        if above in ways and below in ways:
            by = {key: round(ways[above][key] / ways[below][key], 2) for key in ("median_ms", "p10_ms")}
            found.append({"what": what, "goal": goal, "median": by["median_ms"], "p10": by["p10_ms"]})
    return found


def ratio_table(found: list[dict[str, object]]) -> str:
    """Return a Markdown table of the ratios beside their goals."""
    lines = ["| ratio | goal | of the medians | of the tenth percentiles |", "|---|---|---:|---:|"]
    lines += [f"| {one['what']} | {one['goal']} | {one['median']} | {one['p10']} |" for one in found]
    return "\n".join(lines)


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
    """The ways in containers, a whole pytest by `docker run` and by `docker exec` among them."""
    from runners.docker import DockerRunner

    with (
        DockerRunner(root, LIMITS) as runner,
        DockerRunner(root, replace(LIMITS, workers=2)) as wide,
        warm_ways("container", runner) as warm,
        batch_way("container", wide, 2) as batch,
        ExitStack() as stack,
    ):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        (folder / "test_shop.py").write_text(TESTS)
        nobodys = "--label=egcfg-fix.owner="  # else that of the image: a sweep takes it for a dead run's container
        options = ["--network=none", "--read-only", "--cap-drop=ALL", "--tmpfs=/tmp:exec", "--rm", nobodys]
        mount = [f"--mount=type=bind,src={folder},dst=/repo,readonly", "-w", "/repo"]
        sleeping = ["docker", "run", *options, "--detach", *mount, runner.image, "python", "-c", SLEEP]
        name = subprocess.run(sleeping, check=True, capture_output=True, text=True).stdout.strip()
        stack.callback(subprocess.run, ["docker", "rm", "--force", name], check=False, capture_output=True)
        pytest = ["python", "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", NODE]

        def by(*command: str) -> Way:
            def execute() -> bool:
                (folder / "shop.py").write_bytes(FIXED)
                done = subprocess.run([*command, *pytest], check=False, capture_output=True, text=True)
                if done.returncode:
                    print(done.returncode, done.stdout[-500:], done.stderr[-500:], file=sys.stderr)
                return done.returncode == 0

            return Way(execute)

        yield {
            "docker run pytest": by("docker", "run", *options, *mount, runner.image),
            "docker exec pytest": by("docker", "exec", name),
            "container, cold": cold_way(runner),
            **warm,
            **batch,
        }


@contextmanager
def floor_way(root: Path) -> Iterator[dict[str, Way]]:
    """The least that an execution can cost on this machine, without any sandbox."""
    process = subprocess.Popen(
        [sys.executable, "-B", "-c", FLOOR, FIXED.decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    source, sink = process.stdin, process.stdout
    assert source is not None
    assert sink is not None

    def ask() -> bool:
        source.write(b"x")
        source.flush()
        return sink.read(1) == b"1"

    try:
        yield {"floor: fork, test, pipe": Way(ask, many=20)}
    finally:
        source.close()
        process.wait()
        sink.close()


def cold_way(runner: Runner) -> Way:
    """A fresh sandbox for each execution, as for a verdict."""
    return Way(lambda: runner.run_suite(SuiteRequest((NODE,), {TARGET.path: FIXED})).tests[0].passed)


@contextmanager
def warm_ways(name: str, runner: Runner) -> Iterator[dict[str, Way]]:
    """A fork of a warm process for each execution: both levels, with a pause and without, with a trace and without."""
    with opened(runner) as session, batch_way(name, runner, 1) as batch:

        def at(level: str, trace: bool, pause_s: float = 0.0) -> Way:
            def run() -> bool:
                session.level = level
                return session.execute([FIXED], trace=trace)[0].passed

            return Way(run, 10, pause_s)

        yield {
            f"{name}, import": at("import", False),
            f"{name}, swap": at("swap", False),
            f"{name}, swap, trace": at("swap", True),
            f"{name}, guided": at("swap", False, PAUSE_S),
            f"{name}, guided, trace": at("swap", True, PAUSE_S),
            **batch,
        }


@contextmanager
def batch_way(name: str, runner: Runner, workers: int) -> Iterator[dict[str, Way]]:
    """Many bodies at a time, spread over so many sandboxes."""
    with opened(runner) as session:
        end = time.monotonic() + 60
        while session.workers < workers and time.monotonic() < end:
            session.execute([FIXED] * 8)
        if session.workers < workers:
            raise RunnerError(f"only {session.workers} of {workers} sandboxes were ready")

        def run() -> bool:
            return all(execution.passed for execution in session.execute([FIXED] * BATCH))

        label = f"{name}, batch, {workers} worker{'s' if workers > 1 else ''}"
        yield {label: Way(run, 2, of=BATCH)}


@contextmanager
def opened(runner: Runner) -> Iterator[WarmSession]:
    """Return a session at the swap level."""
    with runner.open_session(TARGET, [NODE]) as session:
        assert isinstance(session, WarmSession)
        if session.level != "swap":
            raise RunnerError(f"the session only reached the level {session.level}: {session.why}")
        yield session


SLEEP = "import time; time.sleep(3600)"
LIMITS = Limits(suite_timeout_s=120, test_timeout_s=20, execution_timeout_s=10, workers=1)

if __name__ == "__main__":
    main()

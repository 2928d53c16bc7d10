"""Warm against cold, test by test: does a forked child of a warm process say what a fresh process says?

    .venv/bin/python -m benchmarks.agreement PACKAGE[==VERSION] ... [--every N] [--runner local] [--trace] [--json]

PACKAGE: its source distribution, with its own tests, is fetched with `pip download`; what the tests import must be
installed in the interpreter that runs them (--python). Each suite is run cold, twice; tests that differ between the two
are left out and counted. Then each file's tests are run warm, on the unpatched code, at both levels, with a trace of
the function that most of them execute if asked for. One table on stdout; each test that differs is listed below it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from runners import open_runner
from runners.runner import FunctionKey, Limits, Runner, SuiteRequest, Target, TestRun
from runners.warm import WarmSession

LIMITS = Limits(suite_timeout_s=3600, test_timeout_s=900, execution_timeout_s=1800, workers=1, file_mib=512)
PER_SESSION = 150  # tests of one warm execution
LEVELS = ("import", "swap")


@dataclass
class Agreement:
    """What one suite came to."""

    package: str
    tests: int = 0
    unsteady: int = 0  # differ between two cold runs
    seconds: float = 0.0  # of one cold run
    compared: Counter[str] = field(default_factory=Counter)  # by level
    equal: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)  # why a level was not used -> tests
    differences: list[str] = field(default_factory=list)


def main() -> None:
    """Fetch, run and print."""
    parser = argparse.ArgumentParser(description="Warm outcomes against cold ones, for every test of real suites.")
    parser.add_argument("packages", nargs="+", help="names on the package index, or folders")
    parser.add_argument("--every", type=int, default=1, help="run each N-th test only")
    parser.add_argument("--runner", default="local", choices=["local", "docker"])
    parser.add_argument("--python", help="the interpreter with the packages' dependencies")
    parser.add_argument("--trace", action="store_true", help="trace the function that most tests of a file execute")
    parser.add_argument("--pytest-args", default="", help="more arguments for pytest, separated by spaces")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for package in given.packages:
            root = Path(package) if Path(package).is_dir() else fetch(package, Path(folder))
            arguments = given.pytest_args.split()
            with open_runner(given.runner, root, LIMITS, python=given.python, pytest_args=arguments) as runner:  # type: ignore[attr-defined]
                found.append(agreement(root.name, runner, given.every, given.trace))
    print(json.dumps([asdict(one) for one in found], indent=2) if given.json else table(found))


def fetch(package: str, folder: Path) -> Path:
    """Return the unpacked source distribution of a package."""
    target = folder / package.partition("=")[0]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--no-binary",
        ":all:",
    ]
    subprocess.run([*command, "--dest", str(target), package], check=True)
    archive = next(target.glob("*.tar.gz"))
    with tarfile.open(archive) as packed:
        packed.extractall(target, filter="data")
    return next(path for path in target.iterdir() if path.is_dir())


def agreement(name: str, runner: Runner, every: int, trace: bool) -> Agreement:
    """Compare warm with cold for one suite."""
    first = runner.run_suite(SuiteRequest(coverage=True))
    second = runner.run_suite(SuiteRequest(tuple(run.node_id for run in first.tests)))
    again = second.by_id()
    steady = [run for run in first.tests if run.node_id in again and same(run, again[run.node_id])]
    result = Agreement(name, len(first.tests), len(first.tests) - len(steady), round(second.duration_s, 1))
    chosen = [run for run in steady if run.phase != "collect"][::every]
    for tests in by_file(chosen):
        compare(result, runner, tests, trace)
        print(f"{name}: {dict(result.equal)} of {dict(result.compared)} equal", file=sys.stderr)
    return result


def by_file(runs: Sequence[TestRun]) -> Iterator[list[TestRun]]:
    """Yield the tests of each file, not too many at once."""
    files: dict[str, list[TestRun]] = {}
    for run in runs:
        files.setdefault(run.node_id.split("::")[0], []).append(run)
    for tests in files.values():
        for start in range(0, len(tests), PER_SESSION):
            yield tests[start : start + PER_SESSION]


def compare(result: Agreement, runner: Runner, tests: list[TestRun], trace: bool) -> None:
    """Run some tests warm on the code as it is and note what differs."""
    key = most_executed(tests)
    if key is None:
        result.refused["no function of the repository is executed"] += len(tests)
        return
    target = Target(key.path, key.qualname, key.first_line)
    nodes = [run.node_id for run in tests]
    with runner.open_session(target, nodes) as session:
        assert isinstance(session, WarmSession)
        reached = LEVELS[: {"cold": 0, "import": 1, "swap": 2}[session.level]]
        for level, why in session.why.items():
            result.refused[f"{level}: {why}"] += len(tests)
        source = session.original
        for level in reached:
            session.level = level
            [execution] = session.execute([source], trace=trace)
            for cold, warm in zip(tests, execution.runs, strict=True):
                result.compared[level] += 1
                if same(cold, warm):
                    result.equal[level] += 1
                else:
                    result.differences.append(f"{level}: {told(cold)} cold, {told(warm)} warm")


def most_executed(tests: Sequence[TestRun]) -> FunctionKey | None:
    """Return the function outside of the tests' own files that most of them execute; ties go to the first by name."""
    files = {run.node_id.split("::")[0] for run in tests}
    counts = Counter(key for run in tests for key in run.functions if key.path not in files)
    plain = {key: count for key, count in counts.items() if "test" not in key.path and "conftest" not in key.path}
    return min(plain, key=lambda key: (-plain[key], key.path, key.first_line), default=None)


def same(one: TestRun, other: TestRun) -> bool:
    """Say whether two runs of a test came out alike."""
    return (one.outcome, one.phase, one.exception) == (other.outcome, other.phase, other.exception)


def told(run: TestRun) -> str:
    return f"{run.node_id} is {run.outcome} {run.exception} {run.message[:80]!r}"


def table(found: Sequence[Agreement]) -> str:
    """Return a Markdown table, and the differences."""
    lines = [
        "| suite | tests | unsteady cold | cold run s | import: equal of compared | swap: equal of compared |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for one in found:
        shown = " | ".join(f"{one.equal[level]} of {one.compared[level]}" for level in LEVELS)
        lines.append(f"| {one.package} | {one.tests} | {one.unsteady} | {one.seconds} | {shown} |")
    for one in found:
        lines += [f"\n{one.package}: a level was not used for {n} tests: {why}" for why, n in one.refused.items()]
        lines += [f"- {one.package}: {difference}" for difference in one.differences]
    return "\n".join(lines)


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)

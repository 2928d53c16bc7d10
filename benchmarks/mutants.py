"""Cases from real packages: generated faults in functions that the package's own tests cover, kept if those notice.

    .venv/bin/python -m benchmarks.mutants --packages DIR [--download] [--count 500] --out mutants.jsonl
    .venv/bin/python -m benchmarks.repair mutants.jsonl --arms H,I --out mutants-repaired.jsonl

DIR holds unpacked source distributions of the packages that were kept out of training; --download fetches the newest
with pip first. Of a suite only the test module that says most about a function comes along, taken apart so that each
test asserts one thing, with the tests that execute the function. A mutant is kept when at least two of them fail, and
few hang; the failing ones are dealt in turns. An interrupted run is continued: the same seed draws the same faults.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import LIMITS, PYTEST_SETTINGS, Case, CaseFile, Files, load, repository
from benchmarks.fault_classes import fault_class
from benchmarks.suites import Name, Suite, name_of, take_apart
from bot.functions import BodyError, FunctionText, find_function, functions_in, splice
from bot.localise import is_test_path
from runners import open_runner
from runners.choose import RunnerKind
from runners.runner import FunctionKey, Limits, SuiteRequest, TestRun
from training.corpus import EVALUATION_PACKAGES
from training.faults import inject

MOST_TESTS = 40  # of one function, those that execute the fewest others
SLOW_S = 1.0  # tests that take longer on correct code are left out
HANGING = 2  # tests that may hang on a mutant
SUITE = Limits(suite_timeout_s=1800.0, test_timeout_s=LIMITS.test_timeout_s)
LARGEST = 1 << 20  # bytes of one file


@dataclass(frozen=True, slots=True)
class Package:
    """An unpacked source distribution: its Python files but for test modules, and those."""

    name: str
    files: Files
    test_modules: Files


@dataclass(frozen=True, slots=True)
class Covered:
    """A function and the tests of one module that execute it."""

    package: Package
    key: FunctionKey
    function: FunctionText
    module: str
    suite: Suite
    tests: tuple[Name, ...]


# ---------------------------------------------------------------------------------------------------------- packages


def download(folder: Path, names: Sequence[str]) -> None:
    """Fetch and unpack the newest source distributions with pip. Their tests are only run later, in the sandbox."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([*command, "--dest", place, *names], check=True)
        for archive in Path(place).glob("*.tar.gz"):
            with tarfile.open(archive) as file:
                file.extractall(folder, filter="data")


def packages(folder: Path, names: Sequence[str]) -> list[Package]:
    """Return the packages of these names, as far as they are there and have tests; says what is missing."""
    found = []
    for name in names:
        roots = sorted(p for p in folder.iterdir() if p.is_dir() and _plain(p.name.rpartition("-")[0]) == _plain(name))
        package = _package(roots[-1]) if roots else None
        if package is None or not package.test_modules:
            print(f"{name}: {'no tests in it' if roots else 'not there'}, left out", file=sys.stderr)
        else:
            found.append(package)
    return found


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _package(root: Path) -> Package:
    files: dict[str, str] = {"pyproject.toml": PYTEST_SETTINGS}
    tests: dict[str, str] = {}
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name in ("setup.py", "versioneer.py") or name.startswith(("docs/", "examples/", "misc/")):
            continue
        if path.stat().st_size <= LARGEST:
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            (tests if path.name.startswith("test_") else files)[name] = text
    return Package(root.name, files, tests)


# ---------------------------------------------------------------------------------------------------------- coverage


def covered(package: Package, runner: RunnerKind) -> list[Covered]:
    """Return the functions of a package that two tests of one module execute, each with its best module."""
    best: dict[FunctionKey, Covered] = {}
    for path, source in package.test_modules.items():
        try:
            suite = take_apart(source)
        except SyntaxError:
            continue
        runs = _run({**package.files, path: suite.text(suite.names)}, {}, None, runner, coverage=True)
        for key, tests in _executing(runs, suite).items():
            function = find_function(package.files.get(key.path, "").encode(), key.qualname, key.first_line)
            if function is None or not function.body or is_test_path(key.path) or len(tests) < 2:
                continue
            if key not in best or len(tests) > len(best[key].tests):
                best[key] = Covered(package, key, function, path, suite, tuple(tests[:MOST_TESTS]))
    return sorted(best.values(), key=lambda one: (one.key.path, one.key.first_line))


def _executing(runs: Sequence[TestRun], suite: Suite) -> dict[FunctionKey, list[Name]]:
    """Return the quick passing tests of each function, those that execute the fewest functions first.

    Inherited ones have no text of their own that could be dealt.
    """
    bad = {name_of(run.node_id) for run in runs if run.outcome != "passed" or run.duration_s > SLOW_S}
    own = set(suite.names)
    found: dict[FunctionKey, dict[Name, int]] = {}
    for run in runs:
        if name_of(run.node_id) not in bad and name_of(run.node_id) in own:
            for key in run.functions:
                found.setdefault(key, {})[name_of(run.node_id)] = len(run.functions)
    return {key: sorted(tests, key=lambda name: tests[name]) for key, tests in found.items()}


def _run(
    files: Files, replaced: Files, paths: tuple[str, ...] | None, runner: RunnerKind, *, coverage: bool = False
) -> tuple[TestRun, ...]:
    with repository({**files, **replaced}) as folder:
        opened = open_runner(runner, folder, SUITE)
        try:
            return opened.run_suite(SuiteRequest(node_ids=paths, coverage=coverage)).tests
        finally:
            opened.close()


# ----------------------------------------------------------------------------------------------------------- mutants


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault in a covered function. body: normalised."""

    name: str
    of: Covered
    body: str
    source: str
    operators: tuple[str, ...]
    kind: str


def mutant(one: Covered, turn: int, seed: int) -> Mutant | None:
    """Return the fault that this turn draws for a function; None when it changes no body."""
    where = f"{one.package.name} {one.key.path} {one.key.qualname}"
    function = one.function
    namesakes = [f for f in functions_in(one.package.files[one.key.path].encode()) if f.qualname == function.qualname]
    if len(namesakes) > 1:
        where += f" in line {one.key.first_line}"
    fault = inject(function.text, random.Random(f"{seed} {where} {turn}"))
    if fault is None or not function.text.isascii() or not fault.text.startswith(function.header):
        return None
    body = fault.text[len(function.header) :]
    try:
        source = splice(one.package.files[one.key.path].encode(), function, body).decode()
    except BodyError:
        return None
    kind = fault_class(fault.operators, fault.text, function.text)
    return Mutant(f"{where} {turn}", one, body, source, fault.operators, kind)


def case_of(made: Mutant, runner: RunnerKind) -> Case | None:
    """Run the function's tests on the mutant and deal them; None unless at least two fail and few of them hang."""
    one = made.of
    changed = {one.key.path: made.source}
    runs = _run(one.package.files, {**changed, one.module: one.suite.text(one.tests)}, None, runner)
    failing = {name_of(run.node_id) for run in runs if run.failing and run.phase == "call"}
    hanging = sum(run.outcome in ("timeout", "missing") for run in runs)
    broken = any(run.phase == "collect" for run in runs)
    if broken or len(failing) < 2 or hanging > HANGING:
        return None
    wrong = [name for name in one.tests if name in failing]
    unsound = {name_of(run.node_id) for run in runs if not run.passed}  # a test that lacks a fixture judges nothing
    right = [name for name in one.tests if name not in unsound]
    visible, hidden = {*wrong[::2], *right[::2]}, {*wrong[1::2], *right[1::2]}
    return Case(
        made.name,
        made.kind,
        one.key.path,
        one.key.qualname,
        {**one.package.files, **changed, one.module: one.suite.text(visible)},
        {one.module: one.suite.text(hidden)},
        made.operators,
    )


def cases(
    found: Sequence[Covered], count: int, turns: int, seed: int, known: set[str], runner: RunnerKind
) -> Iterator[tuple[Case, Mutant]]:
    """Yield up to `count` cases, a mutant of each function in turn; what is `known` counts and is not made again."""
    order = list(found)
    random.Random(seed).shuffle(order)
    bodies: set[tuple[str, str]] = set()
    left = count - len(known)
    for turn in range(turns):
        for one in order:
            if left <= 0:
                return
            made = mutant(one, turn, seed)
            if made is None or (one.package.name + one.key.path + one.key.qualname, made.body) in bodies:
                continue
            bodies.add((one.package.name + one.key.path + one.key.qualname, made.body))
            case = case_of(made, runner) if made.name not in known else None
            if case is not None:
                left -= 1
                yield case, made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, help="folder of unpacked source distributions")
    parser.add_argument("--download", action="store_true", help="fetch them with pip first")
    parser.add_argument("--only", help="names of packages, with commas between; all that were kept out of training")
    parser.add_argument("--modules", help="only test modules whose path holds this text")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--turns", type=int, default=20, help="faults tried in one function, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runner", default="local", choices=("local", "docker"))
    parser.add_argument("--out", type=Path, required=True, help="case file; made or continued")
    chosen = parser.parse_args(arguments)
    names = chosen.only.split(",") if chosen.only else sorted(EVALUATION_PACKAGES)
    if chosen.download:
        download(chosen.packages, names)
    file = CaseFile(chosen.out)
    known = {case.name for case in load(chosen.out)} if chosen.out.exists() else set()
    found: list[Covered] = []
    for package in packages(chosen.packages, names):
        modules = {p: text for p, text in package.test_modules.items() if not chosen.modules or chosen.modules in p}
        functions = covered(Package(package.name, package.files, modules), chosen.runner)
        print(f"{package.name}: {len(functions)} functions with tests", file=sys.stderr, flush=True)
        file.share(package.name, package.files)
        found += functions
    made = 0
    for case, of in cases(found, chosen.count, chosen.turns, chosen.seed, known, chosen.runner):
        key = of.of.key
        body = {"path": key.path, "qualname": key.qualname, "first_line": key.first_line, "body": of.body}
        file.add(case, of.of.package.name, body)
        made += 1
        print(f"[{made + len(known)}/{chosen.count}] {case.name} {case.kind}", file=sys.stderr, flush=True)
    print(f"{made} mutants made, {made + len(known)} in {chosen.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

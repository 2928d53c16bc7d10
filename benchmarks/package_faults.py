"""Faults put into real packages that keep their own suites: drawn, checked by the suite, and kept in a file.

A fault is kept when at least two tests of the package's own suite fail on it, in their own call, and at most one hangs.
Half of the failing test functions are held back: a repair never sees them, and they judge what it proposes. They are
deselected by pytest, which goes by the beginning of a node id; what such a beginning hits is held back as well.
"""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fault_classes import fault_class
from bot.functions import BodyError, FunctionText, find_function, splice
from bot.localise import is_test_path
from runners import open_runner
from runners.choose import RunnerKind
from runners.runner import FunctionKey, Limits, SuiteRequest, SuiteRun
from training.faults import inject

LIMITS = Limits(suite_timeout_s=900.0, test_timeout_s=10.0)
TRIED = 60  # tests on which a drawn fault is tried before the whole suite is
TURNS = 3  # faults drawn in each function, at most
MOST_FAILING = 0.5  # of the suite: a fault that breaks more is none that a person would commit


@dataclass(frozen=True, slots=True)
class PackageFault:
    """A fault in a package. body: normalised. visible, held: failing tests a repair may see, and those that judge."""

    name: str
    package: str  # name of the folder of the unpacked distribution
    path: str
    qualname: str
    first_line: int
    body: str
    kind: str
    operators: tuple[str, ...]
    visible: tuple[str, ...]
    held: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Healthy:
    """A package as it was published: where it is, what passes, and which tests execute which function."""

    root: Path
    passing: frozenset[str]
    tests: Mapping[FunctionKey, tuple[str, ...]]  # those that execute the fewest functions first


@contextmanager
def changed(root: Path, files: Mapping[str, bytes]) -> Iterator[Path]:
    """Yield a copy of the package with some files replaced; it goes away afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="egcfg-package-"))
    try:
        copy = folder / root.name
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns("__pycache__", ".git"))
        for path, content in files.items():
            (copy / path).write_bytes(content)
        yield copy
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_suite(root: Path, runner: RunnerKind, request: SuiteRequest) -> SuiteRun:
    """Run tests of the package in a sandbox of their own."""
    opened = open_runner(runner, root, LIMITS)
    try:
        return opened.run_suite(request)
    finally:
        opened.close()


def healthy(root: Path, runner: RunnerKind) -> Healthy:
    """Run the whole suite once on the package as it is."""
    suite = run_suite(root, runner, SuiteRequest(coverage=True))
    passing = [run for run in suite.tests if run.outcome == "passed"]
    executing: dict[FunctionKey, list[tuple[int, str]]] = {}
    for run in passing:
        for key in run.functions:
            executing.setdefault(key, []).append((len(run.functions), run.node_id))
    tests = {key: tuple(node_id for _, node_id in sorted(found)) for key, found in executing.items()}
    return Healthy(root, frozenset(run.node_id for run in passing), tests)


def draw(package: Healthy, count: int, seed: int, runner: RunnerKind) -> Iterator[PackageFault]:
    """Yield up to `count` faults in different functions, of different classes as long as there are any."""
    order = sorted(package.tests, key=lambda key: (key.path, key.first_line))
    random.Random(f"{seed} {package.root.name}").shuffle(order)
    kinds: set[str] = set()
    used: set[FunctionKey] = set()
    for new_kind in (True, False):
        for turn in range(TURNS):
            for key in order:
                if count <= 0:
                    return
                drawn = None if key in used else _drawn(package, key, turn, seed, kinds if new_kind else ())
                fault = drawn and _checked(package, key, *drawn, runner)
                if fault:
                    used.add(key)
                    kinds.add(fault.kind)
                    count -= 1
                    yield fault


Drawn = tuple[FunctionText, str, tuple[str, ...], str]


def _drawn(package: Healthy, key: FunctionKey, turn: int, seed: int, known: Collection[str]) -> Drawn | None:
    """Return (function, faulty body, operators, class of fault), None for what no suite could judge or repair reach."""
    if is_test_path(key.path) or len(package.tests[key]) < 2:
        return None
    source = (package.root / key.path).read_bytes()
    function = find_function(source, key.qualname, key.first_line)
    if function is None or not function.body or not function.text.isascii():
        return None
    where = f"{seed} {package.root.name} {key.path} {key.qualname} {turn}"
    fault = inject(function.text, random.Random(where))
    if fault is None or not fault.text.startswith(function.header):
        return None
    kind = fault_class(fault.operators, fault.text, function.text)
    return None if kind in known else (function, fault.text[len(function.header) :], fault.operators, kind)


def _checked(
    package: Healthy,
    key: FunctionKey,
    function: FunctionText,
    body: str,
    operators: tuple[str, ...],
    kind: str,
    runner: RunnerKind,
) -> PackageFault | None:
    """Try the fault on some tests, then on the whole suite, and deal those that fail."""
    try:
        source = splice((package.root / key.path).read_bytes(), function, body)
    except BodyError:
        return None
    with changed(package.root, {key.path: source}) as copy:
        few = run_suite(copy, runner, SuiteRequest(node_ids=package.tests[key][:TRIED]))
        if len(_failing(few, package.passing)) < 2:
            return None
        whole = run_suite(copy, runner, SuiteRequest())
    failing = _failing(whole, package.passing)
    hanging = sum(run.outcome in ("timeout", "crashed") for run in whole.tests)
    if not whole.complete or hanging > 1 or not 2 <= len(failing) <= MOST_FAILING * len(package.passing):
        return None
    visible, held = dealt(failing)
    if not visible or not held:
        return None
    name = f"{package.root.name} {key.qualname}"
    return PackageFault(
        name, package.root.name, key.path, key.qualname, key.first_line, body, kind, operators, visible, held
    )


def _failing(suite: SuiteRun, passing: frozenset[str]) -> list[str]:
    return sorted(r.node_id for r in suite.tests if r.failing and r.phase == "call" and r.node_id in passing)


def dealt(failing: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (visible, held) failing tests: cases of one test function stay together, every second function is held."""
    functions = list(dict.fromkeys(node_id.partition("[")[0] for node_id in failing))
    if len(functions) == 1:  # cases of one parametrised test: dealt themselves
        functions = list(failing)
    beginnings = tuple(functions[1::2])
    held = tuple(node_id for node_id in failing if node_id.startswith(beginnings)) if beginnings else ()
    return tuple(node_id for node_id in failing if node_id not in held), held


def faulty_source(root: Path, fault: PackageFault) -> bytes:
    """Return the fault's file with the fault in it. Raises ValueError when the package is another than was drawn."""
    source = (root / fault.path).read_bytes()
    function = find_function(source, fault.qualname, fault.first_line)
    if function is None:
        raise ValueError(f"{fault.package} has no {fault.qualname} at {fault.path}:{fault.first_line}")
    return splice(source, function, fault.body)


def save(faults: Sequence[PackageFault], path: Path) -> None:
    """Write the faults as lines of JSON, whole or not at all."""
    scratch = path.with_name(f"{path.name}.part")
    scratch.write_text("".join(json.dumps(dataclasses.asdict(fault)) + "\n" for fault in faults), encoding="utf-8")
    scratch.replace(path)


def load(path: Path) -> list[PackageFault]:
    """Return the faults of a file that `save` wrote."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        several = {name: tuple(fields.pop(name)) for name in ("operators", "visible", "held")}
        found.append(PackageFault(**fields, **several))
    return found

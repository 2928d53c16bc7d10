"""Harvests library functions with realistic literal calls: those that their packages' own tests make.

Doctests and unit tests run in a forked child each, with limits, while a profile function notes the literal arguments
and results of plain module-level functions. A function is kept when its text, executed on its own, gives these results
again. Importing a package runs its code: the packages are the caller's choice, and the child is capped, mute and off
the network where the kernel allows it, but no security boundary.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import ctypes
import doctest
import hashlib
import importlib
import json
import math
import os
import random
import re
import resource
import signal
import sys
import sysconfig
import tempfile
import time
import unittest
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from training.contamination import humanevalfix_filter
from training.corpus import STANDARD_LIBRARY, Package, functions_in, installed_packages, save
from training.executed import TEST_CHARS, study
from training.execution import Worker, is_literal
from training.functions import SourceFunction, identity

CALLS = 12  # kept for one function
RECORDED_CALLS = 40  # distinct ones noted for one function in one job
LOOKS = 4000  # calls of one function looked at in one job
ARGUMENT_CHARS = 110
ARGUMENT_ITEMS = 30
JOB_WALL_S = 25.0
JOB_CPU_S = 12
JOB_MEMORY_BYTES = 4 << 30
TOGETHER = 10  # modules or files in one job
JOBS = 30  # of one package, times its share
FUNCTIONS = 60  # of one package, times its share
NEW_NETWORK = 0x40000000  # CLONE_NEWNET
# Tests that start processes, open connections or wait are not worth their time.
UNSUITABLE = re.compile(
    r"\b(socket|subprocess|multiprocessing|script_helper|tkinter|_testcapi|os\.fork|os\.kill|asyncio|threading\.Thread"
    r"|requires_resource|bigmemtest|ctypes)\b"
)
UNTOLD = "?"  # the result of a call whose end the profile function cannot tell


@dataclass(frozen=True, slots=True)
class Job:
    """Some tests. kind: "doctest" or "unittest" with names of modules, "pytest" with files of one folder.

    package: whose functions are recorded.
    """

    package: str
    kind: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A call that a test made. text: as an expression. result: the repr of what it returned, or UNTOLD."""

    path: str
    module: str
    name: str
    text: str
    result: str


# ---------------------------------------------------------------------------------------------------------- recording


def is_plain(value: object, depth: int = 4) -> bool:
    """True for a small value built of exact builtin types, whose repr reads back equal."""
    kind = type(value)
    if value is None or kind in (bool, str, bytes):
        return value is None or kind is bool or len(value) <= ARGUMENT_CHARS  # type: ignore[arg-type]
    if kind is int:
        return abs(value) < 10**40  # type: ignore[arg-type]
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    if kind in (list, tuple, set):
        return depth > 0 and len(value) <= ARGUMENT_ITEMS and all(is_plain(v, depth - 1) for v in value)  # type: ignore
    if kind is dict:
        items: Any = value
        return len(items) <= ARGUMENT_ITEMS and is_plain(list(items), depth) and is_plain(list(items.values()), depth)
    return False


def written(value: object) -> str | None:
    """Return the source of a plain value, None when it has none or a long one."""
    text = repr(value) if is_plain(value) else None
    return text if text is not None and len(text) <= ARGUMENT_CHARS else None


def call_text(function: Any, frame: FrameType) -> str | None:
    """Return the call that started a frame of `function`; None when an argument is no short literal.

    Arguments equal to their defaults are left out; those after one left out go by name.
    """
    code, values = frame.f_code, frame.f_locals
    plain = code.co_varnames[: code.co_argcount]
    named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    defaults = function.__defaults__ or ()
    usual = dict(zip(plain[len(plain) - len(defaults) :], defaults, strict=True)) | (function.__kwdefaults__ or {})
    rest = code.co_varnames[len(plain) + len(named) :]
    more = values[rest[0]] if code.co_flags & 0x04 else ()
    keywords = values[rest[1 if code.co_flags & 0x04 else 0]] if code.co_flags & 0x08 else {}
    parts: list[str | None] = []
    by_name = False
    for place, name in enumerate([*plain, *named]):
        if place == len(plain):
            parts += [written(value) for value in more]
            by_name = True
        value = values[name]
        if name in usual and not more and (value is usual[name] or written(value) == (written(usual[name]) or "")):
            by_name = True
            continue
        text = written(value)
        parts.append(None if text is None else f"{name}={text}" if by_name else text)
    if len(named) == 0:
        parts += [written(value) for value in more]
    for name, value in keywords.items():
        text = written(value)
        parts.append(None if text is None else f"{name}={text}")
    if any(part is None for part in parts):
        return None
    text = f"{code.co_name}({', '.join(part for part in parts if part is not None)})"
    return text if len(text) < TEST_CHARS - 10 else None


class Recorder:
    """A profile function that tells literal calls of module-level functions in `files`."""

    def __init__(self, files: frozenset[str], tell: Callable[[Recorded], None]) -> None:
        self.files, self.tell = files, tell
        self.looks: dict[CodeType, int] = {}  # left for a function; 0 for what is of no interest
        self.told: dict[CodeType, set[str]] = defaultdict(set)
        self.open: dict[FrameType, str] = {}

    def __call__(self, frame: FrameType, event: str, result: object) -> None:
        if event == "call":
            code = frame.f_code
            left = self.looks.get(code)
            if left is None:
                left = self.looks[code] = LOOKS if self._function(frame) is not None else 0
            if left:
                self.looks[code] = left - 1
                self._begin(frame)
        elif event == "return" and frame in self.open:
            self._end(frame, self.open.pop(frame), result)

    def _function(self, frame: FrameType) -> Any:
        """Return the module-level function that a frame runs, None when it is none of interest."""
        code, scope = frame.f_code, frame.f_globals
        if code.co_qualname != code.co_name or scope.get("__file__") not in self.files or code.co_flags & 0x280:
            return None
        found = scope.get(code.co_name)
        while found is not None and getattr(found, "__code__", None) is not code:
            found = getattr(found, "__wrapped__", None)
        return found

    def _begin(self, frame: FrameType) -> None:
        code = frame.f_code
        if code.co_flags & 0x20 and code.co_code[frame.f_lasti + 1] & 3:
            return  # a generator that goes on
        function = self._function(frame)
        text = call_text(function, frame) if function is not None else None
        if text is None or text in self.told[code]:
            return
        self.told[code].add(text)
        if len(self.told[code]) >= RECORDED_CALLS:
            self.looks[code] = 0
        if code.co_flags & 0x20:
            self._end(frame, f"list({text})", None)
        else:
            self.open[frame] = text

    def _end(self, frame: FrameType, text: str, result: object) -> None:
        """None is also what the profile function hears when the call raises."""
        shown = UNTOLD if result is None else written(result)
        if shown is not None:
            scope = frame.f_globals
            self.tell(Recorded(scope["__file__"], scope["__name__"], frame.f_code.co_name, text, shown))


# --------------------------------------------------------------------------------------------------------------- jobs


@contextlib.contextmanager
def listening(recorder: Recorder) -> Iterator[None]:
    sys.setprofile(recorder)
    try:
        yield
    finally:
        sys.setprofile(None)


class _Listener:
    """A pytest plugin that listens while tests run, not while they are collected."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        with listening(self.recorder):
            yield


def _doctests(modules: Sequence[str], recorder: Recorder) -> None:
    for name in modules:
        with contextlib.suppress(Exception):
            module = importlib.import_module(name)
            with listening(recorder):
                doctest.testmod(module, report=False)


def _unit_tests(modules: Sequence[str], recorder: Recorder) -> None:
    with contextlib.suppress(ImportError):
        support: Any = importlib.import_module("test.support")
        support.use_resources = []
    for module in modules:
        suite = unittest.defaultTestLoader.loadTestsFromName(module)
        with listening(recorder):
            suite.run(unittest.TestResult())


def _pytest(paths: Sequence[str], recorder: Recorder) -> None:
    options = "-q -p no:cacheprovider -W ignore -o addopts= --assert=plain --continue-on-collection-errors"
    doctests = "--doctest-modules --doctest-continue-on-failure"
    root = str(Path(paths[0]).parent)
    arguments = [*paths, "-c", os.devnull, "--rootdir", root, *options.split(), *doctests.split()]
    pytest.main(arguments, plugins=[_Listener(recorder)])


RUN: dict[str, Callable[[Sequence[str], Recorder], None]] = {
    "doctest": _doctests,
    "unittest": _unit_tests,
    "pytest": _pytest,
}


def confine(folder: str, paths: Sequence[Path]) -> None:
    """Make this forked process a job's: limits, no output, no network, its own folder, the packages importable."""
    os.setsid()
    ctypes.CDLL(None).unshare(NEW_NETWORK)
    resource.setrlimit(resource.RLIMIT_AS, (JOB_MEMORY_BYTES, JOB_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (JOB_CPU_S, JOB_CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (50 << 20, 50 << 20))
    mute = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(mute, descriptor)
    os.chdir(folder)
    os.environ.update({"HOME": folder, "TMPDIR": folder})
    tempfile.tempdir = None
    sys.dont_write_bytecode = True
    sys.path[:0] = map(str, paths)
    sys.argv = ["harvest"]


def record(job: Job, files: frozenset[str], paths: Sequence[Path], folder: str) -> list[Recorded]:
    """Run one job in a forked child; return what it told until its end or its limits."""
    told = Path(folder) / "told.jsonl"
    child = os.fork()
    if child == 0:
        try:
            with told.open("w", encoding="utf-8", buffering=1) as out:
                confine(folder, paths)
                tell = lambda r: out.write(json.dumps([r.path, r.module, r.name, r.text, r.result]) + "\n")  # noqa: E731
                RUN[job.kind](job.targets, Recorder(files, tell))
        finally:
            os._exit(0)
    end = time.monotonic() + JOB_WALL_S
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    lines = told.read_text(encoding="utf-8", errors="replace").splitlines() if told.exists() else []
    return [Recorded(*fields) for line in lines if (fields := _fields(line))]


def _fields(line: str) -> list[str]:
    """Return the five texts of a line; none of one that was cut off."""
    try:
        fields = json.loads(line)
    except ValueError:
        return []
    fine = isinstance(fields, list) and len(fields) == 5 and all(isinstance(f, str) for f in fields)
    return fields if fine else []


def _holds(path: Path, sign: str) -> bool:
    return _plain(path) and path.stat().st_size < 600_000 and sign in path.read_text(encoding="utf-8", errors="replace")


def jobs_of(package: Package, folders: Sequence[Path], tests: Path | None, rng: random.Random) -> list[Job]:
    """Return the jobs of one package in random order: modules with doctests, files of unit tests.

    tests: a folder with a folder of unit tests for each package whose installation has none.
    """
    if package.name == STANDARD_LIBRARY:
        root = Path(sysconfig.get_path("stdlib"))
        units = [
            f for f in (root / "test").rglob("test_*.py") if not UNSUITABLE.search(f.read_text("utf-8", "replace"))
        ]
        found = [Job(package.name, "unittest", (_module(f.relative_to(root)),)) for f in units if _plain(f)]
        documented = [_module(f.relative_to(root)) for f in package.files if _holds(f, ">>> ")]
        found += [Job(package.name, "doctest", tuple(part)) for part in _parts(documented)]
    else:
        folder = next((f for f in folders if package.files and package.files[0].is_relative_to(f)), None)
        if folder is None:
            return []
        files = [f for f in package.files if _holds(f, ">>> ")]
        tops = {folder / f.relative_to(folder).parts[0] for f in package.files if _plain(f)}
        for place in sorted(tops) + ([tests / package.name] if tests else []):
            files += sorted(place.rglob("test_*.py"))
        by_folder: dict[Path, list[str]] = defaultdict(list)
        for file in files:
            by_folder[file.parent].append(str(file))
        found = [Job(package.name, "pytest", tuple(p)) for own in by_folder.values() for p in _parts(own)]
    rng.shuffle(found)
    return found[: JOBS * share(package.name)]


def _parts(items: list[str]) -> Iterator[list[str]]:
    """Yield a few at a time, since importing a package costs more than most of its tests."""
    for start in range(0, len(items), TOGETHER):
        yield items[start : start + TOGETHER]


def _plain(path: Path) -> bool:
    return ".." not in path.parts and "idlelib" not in path.parts and path.is_file()


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# ---------------------------------------------------------------------------------------------------------- functions


@dataclass(slots=True)
class Harvest:
    """What the jobs told, by function; turned into functions that run from their text alone."""

    packages: dict[str, Package]  # by the path of each of their files
    folders: Sequence[Path]
    machine: Sequence[str] = ()  # names of places of this machine; what names one is of no use elsewhere
    calls: dict[tuple[str, str, str], dict[str, str]] = field(
        default_factory=dict
    )  # (path, module, name): text: result

    def add(self, recorded: Iterable[Recorded]) -> None:
        """Take in calls, those aside that name places of this machine."""
        for r in recorded:
            if r.path in self.packages and not any(place in r.text + r.result for place in self.machine):
                self.calls.setdefault((r.path, r.module, r.name), {})[r.text] = r.result

    def functions(self, rng: random.Random) -> Iterator[tuple[SourceFunction, dict[str, str]]]:
        """Yield each function that has text as the corpus takes it, with all its calls, and their results."""
        texts: dict[str, dict[str, SourceFunction]] = {}
        for (path, module, name), calls in sorted(self.calls.items()):
            if len(calls) < 3:
                continue
            package = self.packages[path]
            if path not in texts:
                source = Path(path).read_text(encoding="utf-8", errors="replace")
                texts[path] = {}
                for function in functions_in(source, package.name, rng):
                    texts[path].setdefault(function.name, function)
            if name in texts[path]:
                prelude = self._prelude(path, module)
                yield replace(texts[path][name], calls=tuple(sorted(calls)), prelude=prelude), calls

    def _prelude(self, path: str, module: str) -> str:
        """Return source that gives a function the names of its module."""
        folder = next((str(f) for f in self.folders if Path(path).is_relative_to(f)), "")
        find = f"import sys\nif {folder!r} not in sys.path:\n    sys.path.insert(0, {folder!r})\n" if folder else ""
        names = "{k: v for k, v in vars(_module).items() if not k.startswith('__')}"
        return f"{find}import {module} as _module\nglobals().update({names})\n"


def telling(function: SourceFunction, results: dict[str, str], worker: Worker) -> SourceFunction | None:
    """Return the function with its most telling calls; None when from its text it does not do what was recorded."""
    case = study(function, worker)
    if case is None:
        return None
    by_result: dict[str, list[str]] = defaultdict(list)
    for call, result in zip(case.calls, case.results, strict=True):
        told = results[call]
        agrees = told == UNTOLD or (result.kind == "value" and same_value(told, result.text))
        if agrees and (result.kind != "value" or result.text != "None"):
            by_result[f"{result.kind} {result.text}"].append(call)
    kept: list[str] = []
    groups = [sorted(calls, key=len) for calls in by_result.values()]
    for turn in range(CALLS):
        kept += [group[turn] for group in groups if turn < len(group)]
    chosen = replace(function, calls=tuple(kept[:CALLS]))
    return chosen if study(chosen, worker) is not None else None


def same_value(one: str, other: str) -> bool:
    """True for reprs of equal literals; sets may be in any order."""
    if one == other:
        return True
    try:
        return bool(is_literal(one) and is_literal(other) and ast.literal_eval(one) == ast.literal_eval(other))
    except ValueError:
        return False


def kept_functions(
    harvest: Harvest, evaluation: Path | None, rng: random.Random
) -> tuple[list[SourceFunction], list[dict[str, object]]]:
    """Return the functions that hold and the licence rows of their packages."""
    contamination = humanevalfix_filter(evaluation)
    seen: set[str] = set()
    found: dict[str, list[SourceFunction]] = defaultdict(list)
    with Worker() as worker:
        for function, results in harvest.functions(rng):
            limit = FUNCTIONS * share(function.package)
            key = identity(function.text)
            if key in seen or contamination.refuses(function.text, function.name, function.package):
                continue
            made = telling(function, results, worker) if len(found[function.package]) < limit else None
            if made is not None:
                seen.add(key)
                found[function.package].append(made)
    rows = [manifest_row(p, len(found[p.name])) for p in _distinct(harvest.packages.values()) if found[p.name]]
    return [function for functions in found.values() for function in functions], rows


def _distinct(packages: Iterable[Package]) -> list[Package]:
    return list({package.name: package for package in packages}.values())


def manifest_row(package: Package, count: int) -> dict[str, object]:
    """Return the row in the form of the corpus manifest."""
    digest = hashlib.sha256()
    for path in package.files:
        if path.is_file() and path.stat().st_size <= 600_000:
            digest.update(path.read_bytes())
    row = {"package": package.name, "version": package.version, "licence": package.licence}
    return {**row, "sha256": digest.hexdigest(), "functions": count}


def turns(jobs: Iterable[list[Job]]) -> Iterator[Job]:
    """Yield the first jobs of each package, then the next of each, and so on, each its share."""
    waiting = [list(reversed(own)) for own in jobs]
    while waiting := [own for own in waiting if own]:
        for own in waiting:
            for _ in range(min(len(own), share(own[-1].package))):
                yield own.pop()


def share(package: str) -> int:
    """Return how many times as much of a package as of others is used: the standard library is many packages."""
    return 20 if package == STANDARD_LIBRARY else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, nargs="*", default=[], help="folders filled by pip install --target")
    parser.add_argument("--tests", type=Path, help="folder with a folder of unit tests for each of some packages")
    parser.add_argument(
        "--out", type=Path, required=True, help="functions file to write; its manifest stands beside it"
    )
    parser.add_argument("--evaluation", type=Path, help="HumanEvalFix JSON lines to keep out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=12, help="of running tests")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folders = [folder.resolve() for folder in options.packages]
    packages = list(installed_packages(folders))
    files = {str(path): package for package in packages for path in package.files}
    own_files = {package.name: frozenset(map(str, package.files)) for package in packages}
    jobs = [own for package in packages if (own := jobs_of(package, folders, options.tests, rng))]
    machine = (sys.base_prefix, sys.prefix, tempfile.gettempdir(), *map(str, folders))
    harvest = Harvest(files, folders, machine)
    end = time.monotonic() + 60 * options.minutes
    done = 0
    for job in turns(jobs):
        if time.monotonic() > end:
            break
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            harvest.add(record(job, own_files[job.package], folders, folder))
        done += 1
    print(f"{done} of {sum(map(len, jobs))} jobs, {len(harvest.calls)} functions called with literals", flush=True)
    functions, manifest = kept_functions(harvest, options.evaluation, rng)
    save(functions, options.out)
    name = f"{options.out.stem}-manifest.json"
    options.out.with_name(name).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    print(f"{len(functions)} functions from {len(manifest)} packages, {sum(len(f.calls) for f in functions)} calls")


if __name__ == "__main__":
    main()

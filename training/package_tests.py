"""Runs the doctests and unit tests of a package, and returns the literal calls that they make of its functions.

Each job is a forked child with limits on time and memory, mute, in a folder of its own, and off the network where the
kernel allows it. Importing a package runs its code, and this is no security boundary: run it inside one.
"""

from __future__ import annotations

import contextlib
import ctypes
import doctest
import importlib
import json
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from training.corpus import STANDARD_LIBRARY, Package
from training.recorder import Recorded, Recorder

JOB_WALL_S = 12.0
JOB_CPU_S = 8
JOB_MEMORY_BYTES = 4 << 30
TOGETHER = 10  # modules or files in one job
JOBS = 30  # of one package, times its share
NEW_NETWORK = 0x40000000  # CLONE_NEWNET
# Tests that start processes, open connections or wait are not worth their time.
UNSUITABLE = re.compile(
    r"\b(socket|subprocess|multiprocessing|script_helper|tkinter|_testcapi|os\.fork|os\.kill|asyncio|threading\.Thread"
    r"|requires_resource|bigmemtest|ctypes)\b"
)


@dataclass(frozen=True, slots=True)
class Job:
    """Some tests. kind: "doctest" or "unittest" with names of modules, "pytest" with files of one folder.

    package: whose functions are recorded.
    """

    package: str
    kind: str
    targets: tuple[str, ...]


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


def turns(jobs: Iterable[list[Job]]) -> Iterator[Job]:
    """Yield the standard library's jobs, which import little, then the first of each package, then the second ..."""
    waiting = [list(reversed(own)) for own in jobs]
    for own in waiting:
        while own and own[-1].package == STANDARD_LIBRARY:
            yield own.pop()
    while waiting := [own for own in waiting if own]:
        for own in waiting:
            yield own.pop()


def share(package: str) -> int:
    """Return how many times as much of a package as of others is used: the standard library is many packages."""
    return 20 if package == STANDARD_LIBRARY else 1

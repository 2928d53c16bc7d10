"""Chooses what is installed for a repository's tests, from what its files declare. Nothing is run; files are only read.

The order of trust: the project's own metadata, its test extras and groups, what tox and nox install for the tests, then
requirements files, then development groups. Lock files pin versions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from runners.environment import locks, pytest_files, python_version, requirements_files, setuptools_files, task_files
from runners.environment.declared import Declared, Need, Rank, ranked
from runners.environment.files import Files, strings, table
from runners.environment.pyproject import DEFAULT_BACKEND, Project

EVERYTHING = "everything, with the locked versions"  # the first attempt's name
_PYTEST = Need("pytest>=7", "egcfg-fix")
_SIBLINGS = 20  # folders of a repository that one project may pull in


@dataclass(frozen=True, slots=True)
class Plan:
    """What one project's environment is made of. Paths are POSIX and relative to the repository's top."""

    project: str  # the project's folder, "." for the whole repository
    needs: tuple[Need, ...]
    pins: tuple[str, ...] = ()
    pinned_by: str = ""  # the lock file
    build: tuple[str, ...] = ()  # what the build back ends need
    editable: bool = False  # the project is a package and is installed in place
    siblings: tuple[str, ...] = ()  # other folders of the repository that it depends on
    layout: str = ""  # "src" or "flat", for a package
    python: tuple[str, ...] = ()  # version specifiers
    preferred: str = ""  # a version that some file names
    indexes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    said: Mapping[str, str] = field(default_factory=dict)  # file -> what was taken from it
    digest: str = ""  # of the files that were read

    @property
    def version(self) -> str:
        """The Python to use where it can be chosen."""
        return python_version.choose(self.python, self.preferred)

    def lines(self, most: Rank = Rank.WISHED) -> tuple[str, ...]:
        """Return the requirements up to a rank, each once."""
        return tuple(dict.fromkeys(one.line for one in self.needs if one.rank <= most))

    def attempts(self) -> Iterator[dict[str, Any]]:
        """Yield what is tried, in order; the later ones leave more to be tried one by one."""
        pins = list(self.pins)
        everything = list(self.lines())
        tried: list[tuple[list[str], list[str]]] = []
        for name, rank, with_pins in (
            (EVERYTHING, Rank.WISHED, pins),
            ("everything, without the locked versions", Rank.WISHED, []),
            ("what the tests need", Rank.TESTS, []),
            ("what the project declares", Rank.PROJECT, []),
        ):
            lines = list(self.lines(rank))
            if (lines, with_pins) not in tried:
                tried.append((lines, with_pins))
                singles = [line for line in everything if line not in lines]
                yield {"name": name, "lines": lines, "pins": with_pins, "singles": singles}

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return asdict(self) | {"version": self.version}


def make_plan(root: Path, top: Path | None = None, version: str = "") -> Plan:
    """Return the plan for the project at `root`, inside the repository at `top` (default: `root` itself).

    version: the Python there will be, when that is known already; else the one that the files lead to.
    """
    top = Path(top or root).resolve()
    files = Files(top, Path(root).resolve().relative_to(top).as_posix())
    project = Project(files)
    found = _own(files, project)
    found += python_version.read(files) + locks.pipfile(files)
    found += _tests(files, project, version or python_version.choose(found.python, found.preferred))
    found += _shared_groups(files)
    siblings, found = _siblings(files, found)
    lock, locked = locks.read(files)
    if locked and not found.needs:
        found += locks.as_needs(lock, locked)
    said = {**found.said, **({lock: f"{len(locked)} pins"} if locked else {})}
    packaged = bool(found.build) or files.exists("setup.py") or _has_metadata(files)
    return Plan(
        project=files.folder,
        needs=tuple(_named_once((*_promoted(found), _PYTEST))),
        pins=tuple(dict.fromkeys((*locks.pins(locked), *found.pins))),
        pinned_by=lock,
        build=tuple(dict.fromkeys(found.build or (DEFAULT_BACKEND if packaged else ()))),
        editable=packaged,
        siblings=siblings,
        layout=_layout(files, project) if packaged else "",
        python=tuple(dict.fromkeys(found.python)),
        preferred=found.preferred,
        indexes=tuple(dict.fromkeys(found.indexes)),
        notes=tuple(dict.fromkeys(found.notes)),
        said=said,
        digest=_digest(files),
    )


def workspace_top(root: Path) -> Path:
    """Return the folder of the uv workspace whose member `root` is; `root` itself when there is none."""
    root = Path(root).resolve()
    for around in list(root.parents)[:6]:
        workspace = table(table(Files(around).toml("pyproject.toml").get("tool")).get("uv")).get("workspace")
        for pattern in strings(table(workspace).get("members")):
            if PurePosixPath(root.relative_to(around).as_posix()).match(pattern.strip("/")):
                return around
    return root


def _own(files: Files, project: Project) -> Declared:
    """Return what the project declares about itself, extras and groups for tests among it."""
    found = project.read() + project.tests() + setuptools_files.read_cfg(files)
    declared = {"dependencies", "optional-dependencies"} & set(project.project)
    return found if declared else found + setuptools_files.read_py(files)


def _tests(files: Files, project: Project, version: str) -> Declared:
    """Return what tox, nox and requirements files add, and the extras and groups that they name."""
    found = pytest_files.read(files)
    found += task_files.read_tox(files, version) + task_files.read_nox(files) + requirements_files.read(files)
    for extra in dict.fromkeys(found.extras):
        named = project.extra(extra) + setuptools_files.extras_cfg(files, extra)
        if not project.project:
            named += setuptools_files.read_py(files, extra)
        found += ranked(named, Rank.TESTS)
    for group in dict.fromkeys(found.groups):
        found += ranked(project.group(group), Rank.TESTS)
    return found


def _shared_groups(files: Files) -> Declared:
    """Return the test groups of the workspace around a project: that is where a monorepo often keeps its pytest."""
    found = Declared()
    for around in list(files.upwards())[1:]:
        shared = Project(around)
        if shared.data:
            tests = shared.tests()
            found += replace(ranked(tests, Rank.TESTS), local=(), build=(), indexes=tests.indexes)
    return found


def _siblings(files: Files, found: Declared) -> tuple[tuple[str, ...], Declared]:
    """Return the folders that the project depends on, innermost first, and the project with what they need."""
    order: list[str] = []
    waiting = [(files, folder) for folder in found.local]
    names: set[str] = set()
    while waiting and len(order) < _SIBLINGS:
        base, folder = waiting.pop(0)
        sibling = base.at(folder)
        if sibling is None:
            found += Declared(notes=(f'"{folder}" is named as a dependency but is no folder of the repository.',))
            continue
        if sibling.folder in order or sibling.folder == files.folder:
            continue
        project = Project(sibling)
        own = project.read()
        if not project.project.get("dependencies"):
            own += setuptools_files.read_cfg(sibling) + setuptools_files.read_py(sibling)
        names.add(project.name)
        order.append(sibling.folder)
        found += replace(own, local=(), preferred="")
        waiting += [(sibling, inner) for inner in own.local]
    kept = tuple(one for one in found.needs if not (one.name and one.name in names))
    return tuple(reversed(order)), replace(found, needs=kept)


def _promoted(found: Declared) -> tuple[Need, ...]:
    """Return the needs; requirements files are the project's own word where nothing else speaks for it."""
    needs = tuple(dict.fromkeys(found.needs))
    if any(one.rank is Rank.PROJECT for one in needs):
        return needs
    return tuple(replace(one, rank=Rank.PROJECT) if one.rank is Rank.TESTS else one for one in needs)


def _named_once(needs: tuple[Need, ...]) -> Iterator[Need]:
    """Yield the needs without bare names that another need has with a version."""
    for one in needs:
        if one.line != one.name or not any(
            o.name == one.name and o.line != o.name for o in needs if o.rank <= one.rank
        ):
            yield one


def _has_metadata(files: Files) -> bool:
    text = files.text("setup.cfg") or ""
    return "[metadata]" in text and "name" in text


def _layout(files: Files, project: Project) -> str:
    name = project.name.replace("-", "_")
    if files.names("src/*/__init__.py", "src/*.py") or (name and files.exists(f"src/{name}")):
        return "src"
    return "flat"


def _digest(files: Files) -> str:
    parts = [[path, hashlib.sha256(content).hexdigest()] for path, content in sorted(files.seen.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

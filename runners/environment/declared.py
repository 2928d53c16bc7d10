"""What dependency files declare, in the terms of the packaging standards: pure text, nothing is read or run here.

Sources: PEP 508 (requirements), PEP 440 (versions), PEP 735 (dependency groups).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

_TESTS = re.compile(
    r"((unit|integration|run)-?)?(py)?(tests?|testing)(-(deps|dependencies|requirements|extras?|base|min))?"
)
_WISHED = re.compile(r"dev(el|elop|elopment)?(-(deps|dependencies|requirements))?|all|ci|complete|full")
_INDEX_OPTION = re.compile(r"(--index-url|-i|--extra-index-url|--find-links|-f)(?:\s+|=)(\S+)")


class Rank(IntEnum):
    """How much a requirement is needed. When not everything can be installed together, the last rank goes first."""

    PROJECT = 0  # the project's own dependencies and its test extras and groups
    TESTS = 1  # what requirements files, tox and nox add for the tests
    WISHED = 2  # development groups: often formatters, sometimes a plugin that the tests need


@dataclass(frozen=True, slots=True)
class Need:
    """One requirement: a line that pip would take, and the file that says so."""

    line: str
    origin: str
    rank: Rank = Rank.PROJECT

    @property
    def name(self) -> str:
        """The canonical name of the distribution; "" for a bare URL."""
        return name_of(self.line)


@dataclass(frozen=True, slots=True)
class Declared:
    """What one file, or several together, declare."""

    needs: tuple[Need, ...] = ()
    pins: tuple[str, ...] = ()  # constraints, from -c files
    local: tuple[str, ...] = ()  # folders of the repository that are to be installed, relative to the project
    extras: tuple[str, ...] = ()  # of the project itself
    groups: tuple[str, ...] = ()  # dependency groups of the project itself
    build: tuple[str, ...] = ()  # what the build back end needs
    python: tuple[str, ...] = ()  # version specifiers
    preferred: str = ""  # a version of Python, from a file that names one
    indexes: tuple[str, ...] = ()  # index URLs
    notes: tuple[str, ...] = ()
    said: Mapping[str, str] = field(default_factory=dict)  # file -> what was taken from it

    def __add__(self, other: Declared) -> Declared:
        return Declared(
            self.needs + other.needs,
            self.pins + other.pins,
            self.local + other.local,
            self.extras + other.extras,
            self.groups + other.groups,
            self.build + other.build,
            self.python + other.python,
            self.preferred or other.preferred,
            self.indexes + other.indexes,
            self.notes + other.notes,
            {**self.said, **{k: _joined(self.said.get(k), v) for k, v in other.said.items()}},
        )


def _joined(before: str | None, after: str) -> str:
    return ", ".join(dict.fromkeys([*(before or after).split(", "), *after.split(", ")]))


def rank_of(group: str) -> Rank | None:
    """Return the rank of an extra or group by its name; None when tests do not need it."""
    name = canonical(group)
    if _TESTS.fullmatch(name):
        return Rank.PROJECT
    return Rank.WISHED if _WISHED.fullmatch(name) else None


def canonical(name: object) -> str:
    """Return a name as PEP 503 compares it; "" for anything that is no string."""
    return re.sub(r"[-_.]+", "-", name).strip().lower() if isinstance(name, str) else ""


def name_of(line: str) -> str:
    """Return the canonical name of the distribution that a requirement asks for; "" when it cannot be told."""
    found = re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*(\[|[<>=!~;@(]|\s|$)", line)
    return canonical(found.group(1)) if found and "://" not in found.group(1) else ""


def requirement(line: str) -> Requirement | None:
    """Return a requirement parsed; None when it is none."""
    try:
        return Requirement(re.sub(r"\s--hash[=\s]\S+", "", line).strip())
    except (InvalidRequirement, RecursionError):
        return None


def needs(lines: Iterable[str], origin: str, rank: Rank = Rank.PROJECT) -> Declared:
    """Return requirement lines as they stand in pyproject.toml and its like; local paths become folders to install."""
    found = Declared()
    for line in lines:
        found += need(line, origin, rank)
    return found


def need(line: str, origin: str, rank: Rank = Rank.PROJECT) -> Declared:
    """Return one line of requirements, wherever it stands: a requirement, a local path or an option of pip."""
    line = line.strip()
    if option := _INDEX_OPTION.match(line):
        remote = option.group(2).startswith(("http://", "https://"))
        return Declared(indexes=(option.group(2),)) if remote and "find" not in option.group(1) else Declared()
    line = re.sub(r"^(-e|--editable)[\s=]*", "", line)
    if not line or line.startswith(("-", "#")):
        return Declared()
    path = local_path(line)
    if path is not None:
        folder, extras = path
        own = folder in (".", "")
        return Declared(local=() if own else (folder,), extras=extras if own else ())
    if requirement(line) is None and not re.match(r"(git|hg|svn|bzr)\+|https?://", line):
        note = f'{origin}: "{line[:80]}" is no requirement and was passed over.'
        return Declared(notes=(note,))
    return Declared(needs=(Need(line, origin, rank),))


def local_path(line: str) -> tuple[str, tuple[str, ...]] | None:
    """Return (folder, extras) for a line that names a path: ".[test]", "./lib", "-e ../lib", "lib @ file:../lib"."""
    direct = re.match(r"[\w.-]+\s*(?:\[([^\]]*)\])?\s*@\s*file:(.*)", line)
    target = direct.group(2) if direct else line.removeprefix("file:")
    target = re.sub(r"\s*;.*", "", re.sub(r"#egg=.*", "", target)).strip()
    extras = re.search(r"\[([^\]]*)\]$", target)
    folder = target[: extras.start()] if extras else target
    if not (direct or line.startswith(("file:", ".", "/")) or re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?", folder)):
        return None
    for root in ("//${PROJECT_ROOT}/", "${PROJECT_ROOT}/", "//{root:uri}/", "{root:uri}/"):
        folder = folder.removeprefix(root)
    given = (extras.group(1) if extras else "") + "," + ((direct.group(1) or "") if direct else "")
    return folder.rstrip("/") or ".", tuple(canonical(e) for e in given.split(",") if e.strip())


def ranked(found: Declared, rank: Rank) -> Declared:
    """Return it with every requirement at `rank` or below."""
    return replace(found, needs=tuple(replace(one, rank=max(one.rank, rank)) for one in found.needs))


def group_lines(groups: Mapping[str, Any], name: str, depth: int = 0) -> list[str]:
    """Return a dependency group with the groups it includes (PEP 735). `groups` has canonical names."""
    found: list[str] = []
    items = groups.get(canonical(name))
    for item in items if isinstance(items, list) and depth < 10 else ():
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict) and isinstance(item.get("include-group"), str):
            found += group_lines(groups, item["include-group"], depth + 1)
    return found

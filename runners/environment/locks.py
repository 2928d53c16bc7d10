"""Reads lock files as pins: constraints on what the dependency files ask for, so that locked versions are installed.

Formats: uv.lock, poetry.lock, pdm.lock, pylock.toml (PEP 751), Pipfile.lock. A package that is locked in several
versions is pinned only where a marker tells them apart; what lies in the repository or comes from a URL is not pinned.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runners.environment.declared import Declared, Need, Rank, canonical, requirement
from runners.environment.files import Files, strings, table, tables

_ELSEWHERE = ("git", "url", "path", "directory", "editable", "virtual", "vcs", "archive", "file")


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of a lock file."""

    name: str
    version: str
    marker: str = ""
    extras: str = ""
    develop: bool = False

    @property
    def line(self) -> str:
        tail = f" ; {self.marker}" if self.marker else ""
        return f"{self.name}{self.extras}=={self.version}{tail}"


def read(files: Files) -> tuple[str, list[Locked]]:
    """Return (path, packages) of the nearest lock file, from the project's folder up to the repository's top."""
    for around in files.upwards():
        for name, reader in _READERS.items():
            content = around.json(name) if name.endswith("Pipfile.lock") else around.toml(name)
            locked = [one for one in reader(content) if requirement(one.line) is not None]
            if locked:
                return around.path(name) or name, locked
    return "", []


def pins(locked: list[Locked]) -> tuple[str, ...]:
    """Return the constraints that a lock file makes."""
    versions: dict[str, dict[str, Locked]] = defaultdict(dict)
    for one in locked:
        versions[one.name].setdefault(one.version, one)
    lines = []
    for found in versions.values():
        entries = list(found.values())
        if len(entries) == 1 or all(entry.marker for entry in entries):
            marker = entries[0].marker if len(entries) > 1 else ""
            lines += [f"{one.name}=={one.version}" + (f" ; {one.marker}" if marker else "") for one in entries]
    return tuple(sorted(lines))


def as_needs(path: str, locked: list[Locked]) -> Declared:
    """Return what is locked as requirements, for a repository that has nothing but the lock file."""
    entries = (Need(one.line, path, Rank.WISHED if one.develop else Rank.PROJECT) for one in locked)
    return Declared(needs=tuple(entries))


def pipfile(files: Files) -> Declared:
    """Return a Pipfile's sources and version of Python, and what its lock, or else the Pipfile itself, lists."""
    content = files.toml("Pipfile")
    path = files.path("Pipfile") or "Pipfile"
    python = table(content.get("requires"))
    version = python.get("python_full_version") or python.get("python_version")
    urls = tuple(str(entry["url"]) for entry in tables(content.get("source")) if "url" in entry)
    found = Declared(preferred=version if isinstance(version, str) else "", indexes=urls)
    lines: list[Need] = []
    local: list[str] = []
    for section, rank in (("packages", Rank.PROJECT), ("dev-packages", Rank.PROJECT)):
        for name, given in table(content.get(section)).items():
            entry = {"version": given} if isinstance(given, str) else table(given)
            if isinstance(entry.get("path"), str):
                local.append(entry["path"])
            elif "git" not in entry and "file" not in entry:
                wanted = str(entry.get("version", "*"))
                extras = ",".join(strings(entry.get("extras")))
                line = f"{name}[{extras}]" if extras else name
                lines.append(Need(line + ("" if wanted == "*" else wanted), path, rank))
    folders = tuple(one for one in local if one not in (".", "./"))
    said = {path: f"{len(lines)} packages"} if lines else {}
    return found + Declared(needs=tuple(lines), local=folders, said=said)


def _uv(content: Mapping[str, Any]) -> Iterator[Locked]:
    for package in tables(content.get("package")):
        if not any(key in table(package.get("source")) for key in _ELSEWHERE):
            markers = [f"({marker})" for marker in strings(package.get("resolution-markers"))]
            yield from _one(package, " or ".join(markers))


def _poetry(content: Mapping[str, Any]) -> Iterator[Locked]:
    for package in tables(content.get("package")):
        kind = table(package.get("source")).get("type", "")
        if kind not in _ELSEWHERE:
            markers = package.get("markers")
            yield from _one(package, markers if isinstance(markers, str) else "")


def _pdm(content: Mapping[str, Any]) -> Iterator[Locked]:
    for package in tables(content.get("package")):
        if not any(key in package for key in _ELSEWHERE):
            marker = package.get("marker")
            yield from _one(package, marker if isinstance(marker, str) else "")


def _pylock(content: Mapping[str, Any]) -> Iterator[Locked]:
    for package in tables(content.get("packages")):
        if not any(key in package for key in ("vcs", "directory", "archive")):
            marker = package.get("marker")
            told = isinstance(marker, str) and not re.search(r"extras|dependency_groups", marker)
            yield from _one(package, str(marker) if told else "")


def _pipenv(content: Mapping[str, Any]) -> Iterator[Locked]:
    for section in ("default", "develop"):
        for name, given in table(content.get(section)).items():
            entry, version = table(given), table(given).get("version")
            if isinstance(version, str) and version.startswith("==") and not any(k in entry for k in _ELSEWHERE):
                markers = entry.get("markers")
                extras = ",".join(strings(entry.get("extras")))
                marker = markers if isinstance(markers, str) else ""
                yield Locked(
                    canonical(name), version[2:], marker, f"[{extras}]" if extras else "", section == "develop"
                )


def _one(package: Mapping[str, Any], marker: str) -> Iterator[Locked]:
    name, version = package.get("name"), package.get("version")
    if isinstance(name, str) and isinstance(version, str):
        yield Locked(canonical(name), version, marker)


_READERS = {
    "uv.lock": _uv,
    "poetry.lock": _poetry,
    "pdm.lock": _pdm,
    "pylock.toml": _pylock,
    "pylock.dev.toml": _pylock,
    "pylock.test.toml": _pylock,
    "Pipfile.lock": _pipenv,
}

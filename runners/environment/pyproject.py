"""Reads pyproject.toml: the standard tables, and those of poetry, pdm, uv, hatch, flit and setuptools.

Sources: PEP 518 (build-system), PEP 621 (project), PEP 735 (dependency-groups), each tool's own reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runners.environment import poetry
from runners.environment.declared import (
    Declared,
    Rank,
    canonical,
    group_lines,
    name_of,
    needs,
    rank_of,
    ranked,
    requirement,
)
from runners.environment.files import Files, strings, table, tables
from runners.environment.requirements_files import one_file

NAME = "pyproject.toml"
DEFAULT_BACKEND = ("setuptools>=61", "wheel")  # PEP 517, without a [build-system] table


class Project:
    """The project that a pyproject.toml describes: what it needs, alone and with extras and groups."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.data = files.toml(NAME)
        self.tool = table(self.data.get("tool"))
        self.project = table(self.data.get("project"))
        self.origin = files.path(NAME) or NAME
        named = self.project.get("name") or table(self.tool.get("poetry")).get("name")
        self.name = canonical(named or table(table(self.tool.get("flit")).get("metadata")).get("module"))
        self.extras = self._extras()
        self.groups = self._groups()

    def read(self) -> Declared:
        """Return what the file says without any extra or group."""
        if not self.data:
            return Declared()
        found = self._expand(strings(self.project.get("dependencies")), Rank.PROJECT)
        if "dependencies" in strings(self.project.get("dynamic")):
            found += self._dynamic("dependencies")
        flit = table(table(self.tool.get("flit")).get("metadata"))
        found += needs(strings(flit.get("requires")), self.origin)
        found += poetry.runtime(table(self.tool.get("poetry")), self.origin)
        versions = [self.project.get("requires-python"), flit.get("requires-python")]
        found += Declared(
            build=self.backend(),
            python=tuple(one for one in versions if isinstance(one, str)),
            indexes=self._indexes(),
            local=self._sources(),
        )
        count = len(found.needs)
        return found + Declared(said={self.origin: f"{count} dependencies"} if count else {self.origin: "project"})

    def tests(self) -> Declared:
        """Return the extras and groups that tests need, by their names."""
        found = Declared()
        for name in self.extras:
            rank = rank_of(name)
            if rank is not None:
                found += self.extra(name, rank)
        for name in self.groups:
            rank = rank_of(name)
            if rank is not None:
                found += self.group(name, rank)
        for name in strings(table(self.tool.get("uv")).get("default-groups")):
            found += self.group(name, Rank.WISHED)
        dev = strings(table(self.tool.get("uv")).get("dev-dependencies"))
        return found + self._expand(dev, Rank.WISHED) + self._hatch()

    def extra(self, name: str, rank: Rank = Rank.PROJECT) -> Declared:
        """Return an extra."""
        found = self._expand(self.extras.get(canonical(name), []), rank)
        return found + Declared(said={self.origin: f"extra {name}"}) if canonical(name) in self.extras else found

    def group(self, name: str, rank: Rank = Rank.PROJECT) -> Declared:
        """Return a dependency group with what it includes."""
        key = canonical(name)
        if key not in self.groups:
            return Declared()
        found = self._expand(group_lines(self.groups, key), rank)
        return found + Declared(said={self.origin: f"group {name}"})

    def backend(self) -> tuple[str, ...]:
        """Return what the build back end needs; () when nothing says that this is a package."""
        build = table(self.data.get("build-system"))
        if not build:
            packaged = self.project.get("name") and table(self.tool.get("uv")).get("package") is not False
            return DEFAULT_BACKEND if packaged else ()
        wanted = strings(build.get("requires")) or list(DEFAULT_BACKEND)
        backend = str(build.get("build-backend", ""))
        if backend.startswith(("hatchling", "pdm.")):
            wanted.append("editables")  # what their hook for editable installations asks for
        return tuple(wanted)

    def _expand(self, lines: list[str], rank: Rank, depth: int = 0) -> Declared:
        """Return requirements, with those on the project's own extras ("package[test]") in place."""
        found = Declared()
        for line in lines:
            if not self.name or name_of(line) != self.name:
                found += ranked(needs([line], self.origin, rank), rank)
                continue
            parsed = requirement(line)
            for extra in sorted(parsed.extras) if parsed is not None and depth < 5 else ():
                found += self._expand(self.extras.get(canonical(extra), []), rank, depth + 1)
        return found

    def _extras(self) -> dict[str, list[str]]:
        extras = {canonical(k): strings(v) for k, v in table(self.project.get("optional-dependencies")).items()}
        flit = table(table(self.tool.get("flit")).get("metadata"))
        extras |= {canonical(k): strings(v) for k, v in table(flit.get("requires-extra")).items()}
        extras |= poetry.extras(table(self.tool.get("poetry")))
        dynamic = table(table(self.tool.get("setuptools")).get("dynamic"))
        for name, entry in table(dynamic.get("optional-dependencies")).items():
            extras[canonical(name)] = self._lines_of(entry)
        return extras

    def _groups(self) -> dict[str, Any]:
        groups = {canonical(k): v for k, v in table(self.data.get("dependency-groups")).items()}
        groups |= {canonical(k): v for k, v in table(table(self.tool.get("pdm")).get("dev-dependencies")).items()}
        return groups | poetry.groups(table(self.tool.get("poetry")))

    def _dynamic(self, name: str) -> Declared:
        entry = table(table(self.tool.get("setuptools")).get("dynamic")).get(name)
        return needs(self._lines_of(entry), self.origin)

    def _lines_of(self, entry: object) -> list[str]:
        """Return the requirements of `{file = [...]}`, setuptools' way to point at a requirements file."""
        named = table(entry).get("file")
        names = [named] if isinstance(named, str) else strings(named)
        return [need.line for name in names for need in one_file(self.files, name, Rank.PROJECT).needs]

    def _hatch(self) -> Declared:
        found = Declared()
        for name, given in table(table(self.tool.get("hatch")).get("envs")).items():
            environment, rank = table(given), rank_of(name.removeprefix("hatch-"))
            rank = Rank.WISHED if name == "default" else rank
            if rank is None:
                continue
            lines = [*strings(environment.get("dependencies")), *strings(environment.get("extra-dependencies"))]
            plain = [line for line in lines if "{" not in line]
            found += self._expand(plain, max(rank, Rank.TESTS))
            for extra in strings(environment.get("features")):
                found += self.extra(extra, rank)
            for group in strings(environment.get("dependency-groups")):
                found += self.group(group, rank)
            found += Declared(said={self.origin: f"hatch environment {name}"} if plain else {})
        return found

    def _indexes(self) -> tuple[str, ...]:
        places = (("uv", "index"), ("poetry", "source"), ("pdm", "source"))
        entries = [entry for tool, key in places for entry in tables(table(self.tool.get(tool)).get(key))]
        urls = (entry.get("url") for entry in entries if not entry.get("explicit"))
        return tuple(url for url in urls if isinstance(url, str) and url.startswith(("http://", "https://")))

    def _sources(self) -> tuple[str, ...]:
        """Return the folders that stand in for distributions: uv's and poetry's path sources and uv's workspace."""
        found = []
        for name, given in table(table(self.tool.get("uv")).get("sources")).items():
            for entry in tables(given) if isinstance(given, list) else [table(given)]:
                if isinstance(entry.get("path"), str):
                    found.append(entry["path"])
                elif entry.get("workspace") is True and (folder := _member(self.files, canonical(name))):
                    found.append(folder)
        return (*found, *poetry.paths(table(self.tool.get("poetry"))))


def _member(files: Files, name: str) -> str | None:
    """Return the folder of a workspace's member, relative to `files`."""
    for around in files.upwards():
        workspace = table(table(around.toml(NAME).get("tool")).get("uv")).get("workspace")
        for pattern in strings(table(workspace).get("members")):
            for found in around.names(f"{pattern.strip('/')}/{NAME}") if _plain(pattern) else ():
                data: Mapping[str, Any] = around.toml(found)
                if canonical(table(data.get("project")).get("name")) == name:
                    up = "/".join([".."] * _depth(files.folder, around.folder))
                    return "/".join(part for part in (up, found.removesuffix(f"/{NAME}")) if part)
    return None


def _plain(pattern: str) -> bool:
    return re.fullmatch(r"[\w.*?\[\]-]+(/[\w.*?\[\]-]+)*/?", pattern) is not None and ".." not in pattern


def _depth(folder: str, around: str) -> int:
    return len([p for p in folder.split("/") if p != "."]) - len([p for p in around.split("/") if p != "."])

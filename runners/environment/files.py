"""Reads a repository's dependency files: untrusted input, so never through a link that leaves it, never without end.

What was read is remembered, so that a person can be shown it.
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

SIZE_LIMIT = 16 << 20  # bytes; lock files are the largest


class Files:
    """The files of one project of a repository. `top` is the repository, `folder` the project in it ("." or "a/b")."""

    def __init__(self, top: Path, folder: str = ".", seen: dict[str, bytes] | None = None) -> None:
        self.top = Path(top).resolve()
        self.folder = PurePosixPath(folder).as_posix()
        self.seen: dict[str, bytes] = {} if seen is None else seen  # path from the top -> content

    def at(self, folder: str) -> Files | None:
        """Return the files of another folder, relative to this one; None when that is no folder of the repository."""
        path = self.path(folder)
        if path is None or not (self.top / path).is_dir():
            return None
        return Files(self.top, path, self.seen)

    def path(self, name: str) -> str | None:
        """Return a name relative to this folder as a path from the top; None when it leads out of the repository."""
        joined = os.path.normpath(os.path.join(self.folder, name))
        inside = not os.path.isabs(name) and joined != ".." and not joined.startswith("../") and "\0" not in joined
        return PurePosixPath(joined).as_posix() if inside else None

    def text(self, name: str) -> str | None:
        """Return a file's text; None when there is none, or none that can be read as text."""
        path = self.path(name)
        if path is None:
            return None
        if path not in self.seen:
            content = _bytes(self.top, path)
            if content is None:
                return None
            self.seen[path] = content
        try:
            return self.seen[path].decode("utf-8-sig")
        except ValueError:
            return None

    def toml(self, name: str) -> dict[str, Any]:
        """Return a TOML file's content; {} when there is none or it is no TOML."""
        try:
            return tomllib.loads(self.text(name) or "")
        except (ValueError, RecursionError):
            return {}

    def json(self, name: str) -> dict[str, Any]:
        """Return a JSON object; {} when there is none."""
        try:
            return table(json.loads(self.text(name) or "{}"))
        except (ValueError, RecursionError):
            return {}

    def names(self, *patterns: str) -> list[str]:
        """Return the files that match, sorted, relative to this folder."""
        base = self.top / self.folder
        found = {path.relative_to(base).as_posix() for pattern in patterns for path in base.glob(pattern)}
        return sorted(name for name in found if (base / name).is_file())

    def exists(self, name: str) -> bool:
        """Say whether a file or folder of the repository has this name."""
        path = self.path(name)
        return path is not None and (self.top / path).exists()

    def upwards(self) -> Iterator[Files]:
        """Yield this folder and the ones around it, up to the top."""
        here = PurePosixPath(self.folder)
        for folder in (here, *here.parents):
            yield Files(self.top, folder.as_posix(), self.seen)


def _bytes(top: Path, path: str) -> bytes | None:
    try:
        real = (top / path).resolve(strict=True)
        if not real.is_relative_to(top) or ".git" in real.relative_to(top).parts:
            return None
        status = real.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > SIZE_LIMIT:
            return None
        return real.read_bytes()
    except (OSError, RuntimeError, ValueError):
        return None


def table(value: object) -> dict[str, Any]:
    """Return a table, {} for anything else."""
    return value if isinstance(value, dict) else {}


def strings(value: object) -> list[str]:
    """Return the strings of a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, (list, tuple)) else []


def tables(value: object) -> list[dict[str, Any]]:
    """Return the tables of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

"""Decides which files of a project its build reads, so that changed function bodies do not mean another build.

Installing in place makes metadata, entry points and a path. That reads the configuration, the package's outline and
what holds its version; the sources themselves come with every run. So bodies of other modules are left empty here.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from runners.environment.files import Files
from runners.workspace import repository_files

_CONFIGURATION = ("pyproject.toml", "setup.cfg", "setup.py", "MANIFEST.in")
_DESCRIBED = re.compile(r"v?(\d+(?:\.\d+)*(?:(?:a|b|rc|\.?post|\.?dev)\d+)?)(?:-(\d+)-g[0-9a-f]+)?$")
_VERSIONED = re.compile(
    r"(.*/)?(__init__|__about__|__version__|__meta(data)?__|_?version|_?_?about_?_?|_meta|_compat)\.py"
)
_APART = re.compile(r"(docs?|tests?|testing|examples?|benchmarks?|\.github|\.ci)/|.*/tests?/")
_TIME = 1_577_836_800  # of every file: back ends write it into zip archives, which know no time before 1980
_LARGE = 4 << 20  # bytes of one file, and of no interest to metadata


def outline(root: Path) -> dict[str, bytes]:
    """Return the files that a build of the project's metadata reads, with the bodies of other modules left empty."""
    return {
        name: _content(root, name) if _read_by_build(name, named) else b""
        for named in (_named(root),)
        for name in repository_files(root)
        if not _APART.match(name) or name in named
    }


def whole(root: Path) -> dict[str, bytes]:
    """Return every file that may enter a build."""
    return {name: _content(root, name) for name in repository_files(root)}


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return files as a tar, the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as out:
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755 if name.endswith((".sh", "configure")) else 0o644
            info.mtime = _TIME
            out.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def version(root: Path, described: Iterable[str]) -> str:
    """Return the version for back ends that would ask git, which is not there: PKG-INFO's, else the last tag's.

    described: the output of `git describe --tags`, line by line.
    """
    for line in (Files(root).text("PKG-INFO") or "").splitlines():
        if line.startswith("Version:"):
            return line.partition(":")[2].strip()
    for line in described:
        found = _DESCRIBED.match(line.split("/")[-1])
        if found:
            later = found.group(2) and "post" not in found.group(1)
            return found.group(1) + (f".post{found.group(2)}" if later else "")
    return "0.0.0"


def _read_by_build(name: str, named: set[str]) -> bool:
    return not name.endswith((".py", ".pyi")) or "/" not in name or name in named or bool(_VERSIONED.fullmatch(name))


def _named(root: Path) -> set[str]:
    """Return the modules that the configuration names, as a path or as "package.module:attribute"."""
    files = Files(root)
    text = "\n".join(files.text(name) or "" for name in _CONFIGURATION)
    paths = set(re.findall(r"[\w./-]+\.py\b", text))
    for module in re.findall(r"attr\s*[:=]\s*[\"']?([\w.]+)", text):
        stem = module.rpartition(".")[0].replace(".", "/")
        paths |= {f"{place}{stem}.py" for place in ("", "src/", "lib/")}
    return paths


def _content(root: Path, name: str) -> bytes:
    try:
        path = (root / name).resolve()
        return path.read_bytes() if path.is_file() and path.stat().st_size <= _LARGE else b""
    except (OSError, RuntimeError):
        return b""

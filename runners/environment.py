"""Decides how the repository's dependencies get into an image, from its own files.

Only dependency files are read; nothing of the repository is executed, and the repository itself is not installed: the
harness puts it on the path. An image is named after everything that went into it, so nothing is ever built twice.
"""

from __future__ import annotations

import configparser
import hashlib
import io
import os
import re
import tarfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

DEFAULT_BASE_IMAGE = "python:3.11-slim"
_TEST_GROUPS = re.compile(r"(unit)?[-_]?(tests?|testing|dev|develop|development|ci|all)", re.IGNORECASE)
_TEST_FILES = re.compile(
    r"(requirements|(tests?|dev|ci)[-_.]requirements)([-_.]?(tests?|testing|dev|base|main|common|ci))*\.txt"
    r"|requirements/(tests?|testing|dev|base|main|common|default|pytest|ci)\.txt",
    re.IGNORECASE,
)


def base_image(named: str | None = None) -> str:
    """Return the base image: the one named, $EGCFG_BASE_IMAGE, or the official slim Python."""
    return named or os.environ.get("EGCFG_BASE_IMAGE") or DEFAULT_BASE_IMAGE


def dockerfile() -> bytes:
    """Return our Dockerfile: beside this module in an installation, at the top of a checkout."""
    here = Path(__file__).resolve().parent
    installed = here / "Dockerfile"
    return (installed if installed.is_file() else here.parent / "Dockerfile").read_bytes()


def tag(base: str, base_id: str, requirements: str) -> str:
    """Return the name of the image that these inputs make. base_id: what the base's name stands for just now."""
    parts = [base.encode(), base_id.encode(), dockerfile(), requirements.encode()]
    digest = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    return f"egcfg-fix/env:{digest[:24]}"


def context(requirements: str) -> bytes:
    """Return the build context as a tar: the Dockerfile and the requirements, nothing of the repository."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (("Dockerfile", dockerfile()), ("requirements.txt", requirements.encode())):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def build_arguments(base: str) -> dict[str, str]:
    """Return the build arguments; the package index may be named in pip's own variables."""
    chosen = {name: os.environ.get(name, "") for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")}
    return {"BASE_IMAGE": base} | {name: value for name, value in chosen.items() if value}


def requirements(root: Path) -> str:
    """Return what the repository says its tests need, as the text of a requirements file.

    Read are pyproject.toml (project, its test extras and dependency groups, poetry's tables), setup.cfg and
    requirements files. A file that cannot be read as what it claims to be is passed over.
    """
    lines = [*_from_pyproject(root), *_from_setup_cfg(root), *_from_requirements_files(root)]
    return "".join(f"{line}\n" for line in dict.fromkeys(lines))


def _from_pyproject(root: Path) -> list[str]:
    try:
        data = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    project = _table(data.get("project"))
    own = _canonical(project.get("name"))
    extras = {_canonical(name): value for name, value in _table(project.get("optional-dependencies")).items()}
    found: list[str] = []

    def add(items: Iterable[str], depth: int = 0) -> None:
        for item in items:
            name = _canonical(re.split(r"[\[<>=!~; @(]", item, maxsplit=1)[0])
            inner = re.match(r"[^\[]*\[([^\]]*)\]", item)
            if own and name == own:  # "package[test]" inside an extra of the package itself
                for extra in inner.group(1).split(",") if inner and depth < 5 else ():
                    add(_strings(extras.get(_canonical(extra))), depth + 1)
            else:
                found.append(item)

    add(_strings(project.get("dependencies")))
    for name, items in extras.items():
        if _TEST_GROUPS.fullmatch(name):
            add(_strings(items))
    groups = {_canonical(name): value for name, value in _table(data.get("dependency-groups")).items()}
    for name in groups:
        if _TEST_GROUPS.fullmatch(name):
            add(_group(groups, name))
    tool = _table(data.get("tool"))
    add(_strings(_table(tool.get("uv")).get("dev-dependencies")))
    add(_from_poetry(_table(tool.get("poetry"))))
    return [line for line in found if _installable(line)]


def _group(groups: Mapping[str, Any], name: str, depth: int = 0) -> list[str]:
    found = []
    items = groups.get(name)
    for item in items if isinstance(items, list) and depth < 10 else ():
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict) and isinstance(item.get("include-group"), str):
            found += _group(groups, _canonical(item["include-group"]), depth + 1)
    return found


def _from_poetry(poetry: Mapping[str, Any]) -> list[str]:
    tables = [_table(poetry.get("dependencies")), _table(poetry.get("dev-dependencies"))]
    tables += [
        _table(_table(group).get("dependencies"))
        for name, group in _table(poetry.get("group")).items()
        if _TEST_GROUPS.fullmatch(name)
    ]
    found = []
    for table in tables:
        for name, wanted in table.items():
            version = wanted.get("version") if isinstance(wanted, dict) else wanted
            optional = isinstance(wanted, dict) and (wanted.get("optional") or "path" in wanted or "git" in wanted)
            if name.lower() != "python" and isinstance(version, str) and not optional:
                found.append(name + _poetry_version(version))
    return found


def _poetry_version(version: str) -> str:
    """Return a poetry constraint as pip writes it."""
    parts = []
    for part in version.replace(" ", "").split(","):
        if part in ("*", ""):
            continue
        if part[0] == "^":
            numbers = part[1:].split(".")
            place = next((n for n, number in enumerate(numbers) if number != "0"), len(numbers) - 1)
            if numbers[place].isdigit():
                parts.append(f">={part[1:]},<{'.'.join([*numbers[:place], str(int(numbers[place]) + 1)])}")
        elif part[0] == "~" and part[1:2] != "=":
            numbers = part[1:].split(".")
            parts.append(f">={part[1:]},=={'.'.join(numbers[:2] if len(numbers) > 1 else numbers)}.*")
        else:
            parts.append(part if part[0] in "<>=!~" else f"=={part}")
    return ",".join(parts)


def _from_setup_cfg(root: Path) -> list[str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string((root / "setup.cfg").read_text(encoding="utf-8"))
    except (OSError, ValueError, configparser.Error):
        return []
    values = [parser.get("options", "install_requires", fallback="")]
    if parser.has_section("options.extras_require"):
        values += [value for name, value in parser.items("options.extras_require") if _TEST_GROUPS.fullmatch(name)]
    return [line for value in values for line in map(str.strip, value.splitlines()) if _installable(line)]


def _from_requirements_files(root: Path) -> list[str]:
    found: list[str] = []
    places = [*root.glob("*.txt"), *root.glob("requirements/*.txt"), *root.glob("tests/requirements*.txt")]
    for path in sorted(places):
        name = path.relative_to(root).as_posix()
        if _TEST_FILES.fullmatch(name.removeprefix("tests/")):
            found += _requirements_file(root, path, set())
    return found


def _requirements_file(root: Path, path: Path, seen: set[Path]) -> list[str]:
    """Return the lines of a requirements file, with what it includes in place, without local paths."""
    real = path.resolve()
    if real in seen or not real.is_relative_to(root.resolve()):
        return []
    seen.add(real)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return []
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        included = re.match(r"(-r|--requirement)[\s=]*(\S+)", line)
        if included:
            found += _requirements_file(root, path.parent / included.group(2), seen)
            continue
        line = re.sub(r"\s--hash[=\s]\S+", "", line).strip()
        if _installable(line):
            found.append(line)
    return found


def _installable(line: str) -> bool:
    """Say whether a requirement can be installed in a build that has only the network."""
    local = ("-", ".", "/", "file:", "#", "git+")
    return bool(line) and not line.startswith(local) and "@ file:" not in line and "@ git+" not in line


def _canonical(name: object) -> str:
    return re.sub(r"[-_.]+", "-", name).strip().lower() if isinstance(name, str) else ""


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

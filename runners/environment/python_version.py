"""Decides which Python an image should have: what the repository's files prefer, within what they allow."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from runners.environment.declared import Declared
from runners.environment.files import Files

DEFAULT = "3.11"
KNOWN = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")  # the harness needs 3.9
_FILES = {  # file -> the line that names a version
    ".python-version": r"(?:cpython[@-])?(3\.\d+)(?:\.\d+)?",
    "runtime.txt": r"python-(3\.\d+)(?:\.\d+)?",
    ".tool-versions": r"python\s+(3\.\d+)(?:\.\d+)?",
}


def read(files: Files) -> Declared:
    """Return the version that .python-version and its like name, in the project's folder or around it."""
    for around in files.upwards():
        for name, pattern in _FILES.items():
            for line in (around.text(name) or "").splitlines():
                if found := re.match(pattern + r"\s*$", line.split("#")[0].strip()):
                    path = around.path(name) or name
                    return Declared(preferred=found.group(1), said={path: f"Python {found.group(1)}"})
    return Declared()


def choose(requires: Iterable[str], preferred: str = "") -> str:
    """Return "3.x": the version preferred, else ours, else the newest; of those that `requires` allows."""
    requires = tuple(requires)
    short = ".".join(preferred.split(".")[:2])
    for version in (short, DEFAULT, *reversed(KNOWN)):
        if version in KNOWN and allows(requires, version):
            return version
    return short if short in KNOWN else DEFAULT


def allows(requires: Iterable[str], version: str) -> bool:
    """Say whether every specifier allows a version ("3.11" stands for its newest patch release)."""
    full = version if version.count(".") > 1 else f"{version}.99"
    for text in requires:
        try:
            if not SpecifierSet(text).contains(full, prereleases=True):
                return False
        except InvalidSpecifier:
            continue
    return True

"""Reads requirements files: which of a repository's there are for its tests, and what they include."""

from __future__ import annotations

import re

from runners.environment.declared import Declared, Rank, need, requirement
from runners.environment.files import Files

_PLACES = ("*.txt", "requirements/*.txt", "requirements/*.in", "tests/*.txt", "test/*.txt", "*.in")
_WORDS = r"(py)?tests?|testing|unit|base|main|common|default|runtime|install|prod|production|min"
_DEV = r"dev|devel|develop|development|ci|all|local"
_FILE = re.compile(
    rf"(?:(?:(?P<before>{_WORDS}|{_DEV})[-_.])?(?:requirements?|reqs?|deps|dependencies)(?P<after>(?:[-_.](?:{_WORDS}|{_DEV}))*)"
    rf"|requirements/(?P<inside>(?:{_WORDS}|{_DEV}|pytest|requirements?)(?:[-_.](?:{_WORDS}|{_DEV}|requirements?))*))\.(?:txt|in)",
    re.IGNORECASE,
)


def read(files: Files) -> Declared:
    """Return what the requirements files for running and testing say; those for documentation and the like are left."""
    found = Declared()
    names = files.names(*_PLACES)
    for name in names:
        match = _FILE.fullmatch(re.sub(r"^tests?/", "", name))
        compiled = name.endswith(".in") and name.removesuffix(".in") + ".txt" in names
        if match is None or compiled:
            continue
        words = " ".join(part or "" for part in match.groups())
        tests = re.search(r"test|unit", words, re.IGNORECASE) or re.match(r"tests?/", name)
        wished = re.search(rf"(?<![a-z])({_DEV})(?![a-z])", words, re.IGNORECASE) and not tests
        found += one_file(files, name, Rank.WISHED if wished else Rank.TESTS)
    return found


def one_file(files: Files, name: str, rank: Rank, seen: set[str] | None = None) -> Declared:
    """Return the lines of a requirements file with what it includes in place; included names are relative to it."""
    seen = set() if seen is None else seen
    path = files.path(name)
    if path is None:
        return Declared(notes=(f"{name} lies outside the repository and was not read.",))
    if path in seen or len(seen) > 100:
        return Declared()
    seen.add(path)
    text = files.text(name)
    if text is None:
        return Declared(notes=(f"{path} is named but cannot be read.",))
    found = Declared()
    folder = name.rpartition("/")[0]
    for line in logical_lines(text):
        included = re.match(r"(-r|--requirement|-c|--constraint)[\s=]*(\S+)", line)
        if included is None:
            found += _moved(need(line, path, rank), folder)
        elif included.group(1) in ("-r", "--requirement"):
            found += one_file(files, f"{folder}/{included.group(2)}" if folder else included.group(2), rank, seen)
        else:
            found += constraints(files, f"{folder}/{included.group(2)}" if folder else included.group(2))
    count = len(found.needs)
    return found + Declared(said={path: f"{count} requirement{'s' if count != 1 else ''}"})


def _moved(found: Declared, folder: str) -> Declared:
    """Return it with its local folders seen from the project rather than from a file in `folder`."""
    if not folder or not found.local:
        return found
    return Declared(needs=found.needs, local=tuple(f"{folder}/{path}" for path in found.local), notes=found.notes)


def constraints(files: Files, name: str) -> Declared:
    """Return a constraints file as pins."""
    text, path = files.text(name), files.path(name)
    if text is None or path is None:
        return Declared(notes=(f"{name} is named but cannot be read.",))
    lines = tuple(line for line in logical_lines(text) if requirement(line) is not None)
    return Declared(pins=lines, said={path: f"{len(lines)} constraints"})


def logical_lines(text: str) -> list[str]:
    """Return the lines that say something: continued ones joined, comments cut."""
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [re.sub(r"\s+", " ", line) for line in lines if line]

"""Reads poetry's tables and says in the standards' terms what they say in poetry's.

Source: poetry's reference of dependency specification (carets, tildes, wildcards, groups, extras, markers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from runners.environment.declared import Declared, canonical, needs
from runners.environment.files import strings, table, tables


def runtime(poetry: Mapping[str, Any], origin: str) -> Declared:
    """Return the project's own dependencies and the Python it wants."""
    found = Declared()
    wanted = table(poetry.get("dependencies"))
    for name, given in wanted.items():
        if name.lower() == "python":
            text = given if isinstance(given, str) else table(given).get("version")
            found += Declared(python=(specifier(text),) if isinstance(text, str) and specifier(text) else ())
        elif not (isinstance(given, dict) and given.get("optional")):
            found += needs(_lines(name, given), origin)
    return found


def groups(poetry: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the groups; `dev-dependencies`, which poetry had before groups, is the group "dev"."""
    named = {"dev": table(poetry.get("dev-dependencies"))} if poetry.get("dev-dependencies") else {}
    for name, group in table(poetry.get("group")).items():
        named[canonical(name)] = {**named.get(canonical(name), {}), **table(table(group).get("dependencies"))}
    return {
        name: [line for one, given in entries.items() if one != "python" for line in _lines(one, given)]
        for name, entries in named.items()
    }


def extras(poetry: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the extras, each a list of the optional dependencies that it names."""
    optional = {canonical(name): (name, given) for name, given in table(poetry.get("dependencies")).items()}
    found = {}
    for extra, names in table(poetry.get("extras")).items():
        chosen = [optional[canonical(name)] for name in strings(names) if canonical(name) in optional]
        found[canonical(extra)] = [line for name, given in chosen for line in _lines(name, given)]
    return found


def paths(poetry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the folders of dependencies that lie in the repository."""
    entries = [*table(poetry.get("dependencies")).values(), *table(poetry.get("dev-dependencies")).values()]
    for group in table(poetry.get("group")).values():
        entries += table(table(group).get("dependencies")).values()
    return tuple(entry["path"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("path"), str))


def _lines(name: str, given: object) -> Iterator[str]:
    """Yield a dependency as requirement lines; one that is a path is no line."""
    if isinstance(given, list):  # one entry for each platform or version of Python
        for entry in tables(given):
            yield from _lines(name, entry)
        return
    entry = {"version": given} if isinstance(given, str) else table(given)
    if "path" in entry:
        return
    extras = ",".join(strings(entry.get("extras")))
    full = f"{name}[{extras}]" if extras else name
    marker = _marker(entry)
    tail = f" ; {marker}" if marker else ""
    if isinstance(entry.get("git"), str):
        revision = next((entry[key] for key in ("rev", "tag", "branch") if isinstance(entry.get(key), str)), "")
        yield f"{full} @ git+{entry['git']}{'@' + revision if revision else ''}{tail}"
    elif isinstance(entry.get("url"), str):
        yield f"{full} @ {entry['url']}{tail}"
    elif isinstance(entry.get("version"), str):
        yield f"{full}{specifier(entry['version'])}{tail}"


def _marker(entry: Mapping[str, Any]) -> str:
    parts = []
    if isinstance(entry.get("python"), str):
        try:
            parts += [f"python_version {s.operator} '{s.version}'" for s in SpecifierSet(specifier(entry["python"]))]
        except InvalidSpecifier:
            parts = []
    if isinstance(entry.get("platform"), str) and re.fullmatch(r"\w+", entry["platform"]):
        parts.append(f"sys_platform == '{entry['platform']}'")
    if isinstance(entry.get("markers"), str):
        parts.append(f"({entry['markers']})")
    return " and ".join(sorted(parts))


def specifier(text: str) -> str:
    """Return a poetry constraint as PEP 440 writes it; of alternatives ("||") only the lower bound of the first."""
    alternatives = [part for part in re.split(r"\|\|?", text) if part.strip()]
    if len(alternatives) > 1:
        bound = re.search(r"\d[\w.]*", alternatives[0])
        return f">={bound.group().rstrip('.')}" if bound else ""
    parts = [part for part in re.split(r"\s*,\s*|(?<=[\w*])\s+(?=[<>=!^~])", text.strip()) if part not in ("", "*")]
    return ",".join(part for part in map(_single, parts) if part)


def _single(part: str) -> str:
    part = part.replace(" ", "")
    numbers = re.sub(r"^[~^]", "", part).split(".")
    if part[0] == "^":
        digits = [re.match(r"\d*", number).group() for number in numbers]  # type: ignore[union-attr]
        place = next((n for n, digit in enumerate(digits) if digit not in ("0", "")), len(digits) - 1)
        if not digits[place]:
            return ""
        return f">={part[1:]},<{'.'.join([*digits[:place], str(int(digits[place]) + 1)])}"
    if part[0] == "~" and part[1:2] != "=":
        return f">={part[1:]},=={'.'.join(numbers[:2])}.*"
    if part[0] in "<>=!~":
        return re.sub(r"^=(?!=)", "==", part)
    return f"=={part}"

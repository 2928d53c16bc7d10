"""Says what an interpreter of this machine lacks for a plan: for bubblewrap, which runs the tests with one.

Nothing is installed: what is on a person's machine is theirs to change. The commands that would do it are shown.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from runners.environment import python_version
from runners.environment.declared import Rank, canonical, requirement
from runners.environment.plan import Plan
from runners.interpreter import ask

_QUESTION = """
import json, sys, importlib.metadata as m
found = {d.metadata["Name"]: d.version for d in m.distributions() if d.metadata["Name"]}
print(json.dumps([".".join(map(str, sys.version_info[:3])), found]))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter and the distributions that it sees, canonical name -> version."""

    path: str
    version: str
    installed: Mapping[str, str]


def look(path: str) -> Interpreter:
    """Ask an interpreter what it is and has. Raises InterpreterMissing when it does not answer."""
    version, found = ask(path, _QUESTION)
    return Interpreter(path, str(version), {canonical(name): str(value) for name, value in dict(found).items()})


def missing(plan: Plan, installed: Mapping[str, str]) -> tuple[str, ...]:
    """Return the needs that an environment lacks or has in a wrong version; development groups are left out."""
    found = []
    for line in plan.lines(Rank.TESTS):
        parsed = requirement(line)
        if parsed is None or (parsed.marker is not None and not parsed.marker.evaluate({"extra": ""})):
            continue
        version = installed.get(canonical(parsed.name))
        if version is None or (parsed.specifier and not parsed.specifier.contains(version, prereleases=True)):
            found.append(line)
    return tuple(found)


def advice(plan: Plan, found: Interpreter) -> tuple[str, ...]:
    """Return what to do before the tests can run with this interpreter; () when nothing is missing."""
    lines = []
    if not python_version.allows(plan.python, found.version):
        said = ", ".join(plan.python)
        lines.append(f"The project needs Python {said} and this is {found.version}: name another with --python.")
    lacking = missing(plan, found.installed)
    if lacking:
        lines.append(shlex.join([found.path, "-m", "pip", "install", *lacking]))
    return tuple(lines)


def recipe(plan: Plan) -> str:
    """Return how to make an environment for a plan, as a sentence with commands."""
    lines = plan.lines(Rank.TESTS)
    short = lines if len(lines) <= 30 else ("-r", "requirements.txt")
    install = shlex.join([".venv/bin/python", "-m", "pip", "install", *short])
    return f"For an environment of its own: python{plan.version} -m venv .venv && {install}"

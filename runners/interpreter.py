"""Which Python of this machine runs the repository's tests, and what one says of itself when asked.

Only bubblewrap needs one: in Docker the image has its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runners.runner import InterpreterMissing
from runners.workspace import git_list


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python for the repository's tests. folders: what must be visible for it to work."""

    path: str
    folders: tuple[str, ...]
    pytest: str


def find_interpreter(root: Path, python: str | None = None) -> Interpreter:
    """Return the interpreter to use: the one named, the repository's own, the active environment's, or ours.

    Raises InterpreterMissing when the one chosen does not work or has no pytest.
    """
    chosen = python or _own_environment(root) or _active_environment() or sys.executable
    resolved = shutil.which(chosen) if os.sep not in chosen else chosen
    if not resolved or not os.access(resolved, os.X_OK):
        raise InterpreterMissing(f"There is no interpreter {chosen}.", hint="Name another with --python.")
    found = _describe(os.path.abspath(resolved))
    if not found.pytest:
        hint = f"Install it there ({found.path} -m pip install pytest), or name another with --python."
        raise InterpreterMissing(f"{found.path} has no pytest.", hint=hint)
    return found


def _own_environment(root: Path) -> str | None:
    """The repository's .venv, unless it came with the repository: then running it here would run a stranger's code."""
    python = root / ".venv" / "bin" / "python"
    if not python.exists() or not (root / ".venv" / "pyvenv.cfg").is_file():
        return None
    return None if git_list(root, "--cached", "--", ".venv") else str(python)


def _active_environment() -> str | None:
    folder = os.environ.get("VIRTUAL_ENV")
    python = Path(folder, "bin", "python") if folder else None
    return str(python) if python is not None and python.exists() else None


_QUESTION = """
import sys, json, sysconfig
try:
    import importlib.metadata as m
    version = m.version("pytest")
except Exception:
    version = ""
folders = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *sys.path}
print(json.dumps([sys.version_info[:2], version, sorted(f for f in folders if f)]))
"""


def ask(python: str, question: str) -> Any:
    """Run a script with an interpreter and return what its last line says in JSON.

    Isolated, in the root folder and with a bare environment, so that no file of the current folder is run.
    Raises InterpreterMissing when it does not answer within 60 s.
    """
    try:
        done = subprocess.run(
            [python, "-I", "-c", question],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=True,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", "/")},
        )
        return json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        hint = "Name a working one with --python."
        raise InterpreterMissing(f"{python} does not work as a Python interpreter.", hint=hint) from error


def _describe(python: str) -> Interpreter:
    version, pytest, folders = ask(python, _QUESTION)
    if tuple(version) < (3, 9):
        hint = "Name a newer one with --python; Python 3.9 is the oldest that works."
        raise InterpreterMissing(f"{python} is Python {version[0]}.{version[1]}.", hint=hint)
    real = os.path.realpath(python)
    return Interpreter(python, tuple(sorted({*folders, os.path.dirname(os.path.dirname(real))})), pytest)

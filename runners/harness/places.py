"""Where code lies: which files belong to the repository, and what its functions are called in full."""

from __future__ import annotations

import ast
import os
from types import CodeType, TracebackType
from typing import Any

from runners.harness.kept import open_file
from runners.harness.probes import starting_line

MESSAGE_CHARS = 2000


def exception_text(excinfo: Any) -> str:
    """Return what pytest says in one line of what was raised, whatever its class does."""
    try:
        text = excinfo.exconly(tryshort=True)
    except Exception:  # a hostile __str__
        text = "<unprintable>"
    return str(text)[:MESSAGE_CHARS]


def text_of(error: BaseException) -> str:
    """Return what an exception says, whatever its class does."""
    try:
        return str(error)[:MESSAGE_CHARS]
    except Exception:  # a hostile __str__
        return "<unprintable>"


class Places:
    """Which files belong to the repository, and the qualified names of their functions."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self._paths: dict[str, str] = {}
        self._names: dict[str, dict[tuple[str, int], str]] = {}

    def relative(self, filename: str) -> str:
        """Return the POSIX path inside the repository, or "" for a file outside of it."""
        known = self._paths.get(filename)
        if known is None:
            path = "" if filename[:1] == "<" else os.path.realpath(filename)
            inside = path.startswith(self.root + os.sep) and "site-packages" not in path
            known = self._paths[filename] = path[len(self.root) + 1 :] if inside else ""
        return known

    def qualname(self, code: CodeType) -> str:
        """Return the qualified name of the function with this code."""
        name = getattr(code, "co_qualname", None)
        if isinstance(name, str):
            return name
        if code.co_filename not in self._names:  # before Python 3.11 only the source tells
            names: dict[tuple[str, int], str] = {}
            self._names[code.co_filename] = names
            try:
                with open_file(code.co_filename, "rb") as file:
                    _collect_names(ast.parse(file.read()), "", names)
            except (OSError, SyntaxError, ValueError):
                pass
        return self._names[code.co_filename].get((code.co_name, code.co_firstlineno), code.co_name)

    def frames(self, trace: TracebackType | None) -> list[list[Any]]:
        """Return [[path, line, name], ...] of the repository's frames, innermost last; of a great many only 30."""
        found = []
        while trace is not None:
            code = trace.tb_frame.f_code
            path = self.relative(code.co_filename)
            if path:
                found.append([path, trace.tb_lineno, self.qualname(code)])
            trace = trace.tb_next
        return found if len(found) <= 30 else found[:10] + found[-20:]


def _collect_names(node: ast.AST, prefix: str, names: dict[tuple[str, int], str]) -> None:
    for child in ast.iter_child_nodes(node):
        below = prefix
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names[child.name, starting_line(child)] = prefix + child.name
            below = prefix + child.name + ".<locals>."
        elif isinstance(child, ast.ClassDef):
            below = prefix + child.name + "."
        _collect_names(child, below, names)

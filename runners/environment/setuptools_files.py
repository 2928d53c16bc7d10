"""Reads setup.cfg and setup.py. setup.py is a program: it is parsed and its constants are followed, never run.

What cannot be told without running it (a computed list, a file read in an unusual way) is named in a note.
"""

from __future__ import annotations

import ast
import configparser
import re
from typing import Any

from runners.environment.declared import Declared, Rank, canonical, needs, rank_of
from runners.environment.files import Files
from runners.environment.requirements_files import logical_lines, one_file

UNKNOWN = object()


def read_cfg(files: Files) -> Declared:
    """Return what setup.cfg says: dependencies, test extras, python_requires."""
    text, origin = files.text("setup.cfg"), files.path("setup.cfg") or "setup.cfg"
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text or "")
    except configparser.Error:
        return Declared(notes=(f"{origin} cannot be read as a configuration file.",))
    found = _value(files, parser.get("options", "install_requires", fallback=""), origin, Rank.PROJECT)
    found += _value(files, parser.get("options", "tests_require", fallback=""), origin, Rank.PROJECT)
    said = [f"{len(found.needs)} dependencies"] if found.needs else []
    if parser.has_section("options.extras_require"):
        for name, value in parser.items("options.extras_require"):
            if (rank := rank_of(name)) is not None:
                found += _value(files, value, origin, rank)
                said.append(f"extra {name}")
    python = parser.get("options", "python_requires", fallback="").strip()
    if parser.has_option("metadata", "name") or found.needs or python:
        said = said or ["project"]
    return found + Declared(python=(python,) if python else (), said={origin: ", ".join(said)} if said else {})


def extras_cfg(files: Files, name: str) -> Declared:
    """Return one extra of setup.cfg."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(files.text("setup.cfg") or "")
    except configparser.Error:
        return Declared()
    items = dict(parser.items("options.extras_require")) if parser.has_section("options.extras_require") else {}
    values = [value for key, value in items.items() if canonical(key) == canonical(name)]
    return _value(files, "\n".join(values), files.path("setup.cfg") or "setup.cfg", Rank.PROJECT)


def _value(files: Files, value: str, origin: str, rank: Rank) -> Declared:
    """Return a list of setup.cfg: lines, or `file: a.txt, b.txt`."""
    if value.strip().startswith("file:"):
        found = Declared()
        for name in value.strip().removeprefix("file:").split(","):
            found += one_file(files, name.strip(), rank)
        return found
    lines = [part for line in logical_lines(value) for part in line.split(";;")]
    return needs(lines, origin, rank)


def read_py(files: Files, *extras: str) -> Declared:
    """Return what setup.py says, as far as its text tells; `extras` are read beside those that tests need."""
    text, origin = files.text("setup.py"), files.path("setup.py") or "setup.py"
    if text is None:
        return Declared()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Declared(notes=(f"{origin} cannot be parsed.",))
    constants = Constants(files)
    given = constants.setup(tree)
    if given is None:
        return Declared(said={origin: "calls no setup()"})
    found, said, notes = Declared(), [], []
    for key in ("install_requires", "tests_require"):
        if key in given:
            lines = _lines(given[key])
            if lines is None:
                notes.append(f"{origin}: {key} is computed, and setup.py is never run to read it.")
            else:
                found += needs(lines, origin)
                said.append(f"{len(lines)} in {key}")
    wanted = given.get("extras_require", {})
    if not isinstance(wanted, dict):
        notes.append(f"{origin}: extras_require is computed, and setup.py is never run to read it.")
        wanted = {}
    for name, value in wanted.items():
        rank = Rank.PROJECT if canonical(name) in extras else rank_of(str(name))
        if rank is not None and (lines := _lines(value)) is not None:
            found += needs(lines, origin, rank)
            said.append(f"extra {name}")
    python = given.get("python_requires")
    pythons = (python,) if isinstance(python, str) else ()
    return found + Declared(python=pythons, notes=tuple(notes), said={origin: ", ".join(said) or "project"})


def _lines(value: Any) -> list[str] | None:
    if isinstance(value, str):
        return logical_lines(value)
    if isinstance(value, (list, tuple, set)) and all(isinstance(item, str) for item in value):
        return [line for item in value for line in logical_lines(item)]
    return None


class Constants:
    """Follows the constants of a module: names, lists, dictionaries, sums, and files read into lists of lines."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._names: dict[str, Any] = {}
        self._functions: dict[str, ast.FunctionDef] = {}

    def setup(self, tree: ast.Module) -> dict[str, Any] | None:
        """Return the keyword arguments of the call of setup(); values that cannot be told are UNKNOWN."""
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                self._functions[node.name] = node
        found: dict[str, Any] | None = None
        for statement in self._statements(tree.body):
            self._assign(statement)
            for call in ast.walk(statement):
                if isinstance(call, ast.Call) and _called(call) == "setup":
                    found = {**(found or {}), **self._keywords(call)}
        return found

    def _statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Return statements in order, with the bodies of `if`, `try`, `with` and functions in place."""
        flat: list[ast.stmt] = []
        for statement in body:
            inner = [s for name in ("body", "orelse", "finalbody") for s in getattr(statement, name, ())]
            if inner and not isinstance(statement, ast.ClassDef):
                flat += self._statements(inner)
            else:
                flat.append(statement)
        return flat

    def _keywords(self, call: ast.Call) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for keyword in call.keywords:
            value = self.value(keyword.value)
            if keyword.arg is not None:
                found[keyword.arg] = value
            elif isinstance(value, dict):
                found |= {str(key): item for key, item in value.items()}
        return found

    def _assign(self, statement: ast.stmt) -> None:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            value = self.value(statement.value)
            for target in targets:
                if isinstance(target, ast.Name):
                    self._names[target.id] = value
                elif isinstance(target, ast.Subscript):
                    holder, key = self.value(target.value), self.value(target.slice)
                    if isinstance(holder, dict) and isinstance(key, str):
                        holder[key] = value
        elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            self._names[name] = _added(self._names.get(name, UNKNOWN), self.value(statement.value))
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            self._call_for_effect(statement.value)

    def _call_for_effect(self, call: ast.Call) -> None:
        """Follow `names.append(x)`, `names.extend(xs)` and `extras.update(...)`."""
        if not isinstance(call.func, ast.Attribute) or len(call.args) != 1:
            return
        holder, value = self.value(call.func.value), self.value(call.args[0])
        if isinstance(holder, list) and call.func.attr == "append" and value is not UNKNOWN:
            holder.append(value)
        elif isinstance(holder, list) and call.func.attr == "extend" and isinstance(value, (list, tuple)):
            holder.extend(value)
        elif isinstance(holder, dict) and call.func.attr == "update" and isinstance(value, dict):
            holder.update(value)

    def value(self, node: ast.expr, depth: int = 0) -> Any:
        """Return the value of an expression; UNKNOWN when its text does not tell it."""
        if depth > 50:
            return UNKNOWN
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self._names.get(node.id, UNKNOWN)
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return self._sequence(node.elts, depth)
        if isinstance(node, ast.Dict):
            return self._dictionary(node, depth)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return _added(self.value(node.left, depth + 1), self.value(node.right, depth + 1))
        if isinstance(node, ast.Subscript):
            holder, key = self.value(node.value, depth + 1), self.value(node.slice, depth + 1)
            return holder.get(key, UNKNOWN) if isinstance(holder, dict) and isinstance(key, str) else UNKNOWN
        if isinstance(node, ast.Call):
            return self._called(node, depth)
        if isinstance(node, ast.ListComp):
            return self._file_of(node)
        return UNKNOWN

    def _sequence(self, items: list[ast.expr], depth: int) -> Any:
        found: list[Any] = []
        for item in items:
            value = self.value(item.value if isinstance(item, ast.Starred) else item, depth + 1)
            if value is UNKNOWN or (isinstance(item, ast.Starred) and not isinstance(value, (list, tuple))):
                return UNKNOWN
            found += value if isinstance(item, ast.Starred) else [value]
        return found

    def _dictionary(self, node: ast.Dict, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in zip(node.keys, node.values, strict=True):
            value = self.value(item, depth + 1)
            name = self.value(key, depth + 1) if key is not None else None
            if isinstance(name, str):
                found[name] = value
            elif key is None and isinstance(value, dict):
                found |= value
        return found

    def _called(self, call: ast.Call, depth: int) -> Any:
        name = _called(call)
        if name == "dict":
            return self._keywords(call)
        if name in ("list", "tuple", "sorted", "set") and len(call.args) == 1 and not call.keywords:
            return self.value(call.args[0], depth + 1)
        if name == "sum" and call.args and isinstance(call.args[0], (ast.List, ast.Tuple)):
            parts = self.value(call.args[0], depth + 1)
            lists = parts is not UNKNOWN and all(isinstance(part, list) for part in parts)
            return [item for part in parts for item in part] if lists else UNKNOWN
        return self._file_of(call)

    def _file_of(self, node: ast.expr) -> Any:
        """Return the lines of the one requirements file that an expression, or the function it calls, names."""
        texts = _texts(node)
        if isinstance(node, ast.Call) and not _requirement_files(texts) and _called(node) in self._functions:
            texts = [text for part in self._functions[_called(node)].body for text in _texts(part)]
        names = _requirement_files(texts)
        if len(names) != 1 or not self._files.exists(names[0]):
            return UNKNOWN
        return [need.line for need in one_file(self._files, names[0], Rank.PROJECT).needs]


def _texts(node: ast.AST) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def _requirement_files(texts: list[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if re.fullmatch(r"[\w./-]*requirements?[\w./-]*\.(txt|in)", text)]


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _added(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return [*left, *right]
    return UNKNOWN

"""Decides whether a patch can be judged with its function in a process apart from the tests (level J5).

Pure functions of text and runs. It applies to functions of plain data that share nothing with their tests but what they
are given: not to methods, generators or coroutines, not to functions that use what a test may have changed. Where it
applies, a body that passes only beside its tests is found out, whatever it knows about them.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from bot.functions import BodyError, FunctionText, splice
from bot.gate import PURE_MODULES, imported
from bot.records import Patch
from runners.runner import ASK, Apart, Runner, SuiteRequest, SuiteRun

MOST_TESTS = 40  # passing tests that are run beside the targets
_DECORATORS = frozenset({"staticmethod", "lru_cache", "cache"})
_CHANGES = re.compile(r"monkeypatch|\bmock\b|\bpatch\b|freeze|importlib|\breload\b")
_IMPURE = frozenset({"open", "input", "print", "id", "globals", "locals", "vars"})


@dataclass(frozen=True, slots=True)
class Opinion:
    """What came of judging a patch apart."""

    applies: bool = False  # J5 was reached
    why: str = ""  # why it does not apply
    doubt: str = ""  # why the patch passes only beside its tests


def judge_apart(
    patch: Patch,
    function: FunctionText,
    body: str,
    runner: Runner,
    targets: Sequence[str],
    passing: Sequence[str],
    tests: Mapping[str, str],
) -> Opinion:
    """Run the targets, and passing tests of the same files, with the function in a sandbox of its own.

    function: as it was. tests: path -> source of test files and their conftest.py; the function's sandbox gets them
    without content.
    """
    own = {part for path in test_files(targets) for part in (path, *conftests(path))}
    why = obstacle(function, patch.before, body, [text for path, text in tests.items() if path in own])
    if not runner.isolated:
        why = "there is no sandbox"
    if why:
        return Opinion(why=why)
    try:
        asking = splice(patch.before, function, asking_body(function))
    except BodyError:
        return Opinion(why="its body cannot ask for another process")
    ids = (*targets, *[node for node in passing if node not in targets][:MOST_TESTS])
    hidden = dict.fromkeys(tests, b"")

    def run(after: bytes) -> SuiteRun:
        apart = Apart(patch.path, patch.qualname, {**hidden, patch.path: after})
        return runner.run_suite(SuiteRequest(ids, {patch.path: asking}, canaries=True, apart=apart))

    suite = run(patch.after)
    red = _red(suite, ids)
    if suite.asked and not red and not suite.unasked:
        return Opinion(applies=True)
    before = run(patch.before)  # does another process make no difference to the body as it was?
    if before.unasked or not before.asked:
        return Opinion(why=before.unasked[0] if before.unasked else "the tests do not call it")
    if _red(before, ids) != set(targets):
        return Opinion(why="the tests see the function otherwise from another process")
    if not suite.asked:
        return Opinion(why="the tests do not call it")
    said = suite.unasked[0] if suite.unasked else f"{sorted(red)[0]} fails"
    return Opinion(doubt=f"it passes only in one process with its tests; apart from them, {said}")


def _red(suite: SuiteRun, ids: Iterable[str]) -> set[str]:
    runs = suite.by_id()
    return {node for node in ids if suite.tampered or node not in runs or runs[node].outcome != "passed"}


def asking_body(function: FunctionText) -> str:
    """Return a body that hands all arguments to the function in its own process."""
    node = _definition(function, "    pass\n")
    assert node is not None
    arguments = node.args
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    positional += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    keywords = [f"{argument.arg!r}: {argument.arg}" for argument in arguments.kwonlyargs]
    keywords += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
    given = f"({', '.join(positional)}{',' if positional else ''})"
    return f"    return {ASK}({given}, {{{', '.join(keywords)}}})\n"


def obstacle(function: FunctionText, source: bytes, body: str, tests: Iterable[str]) -> str:
    """Return why the function cannot be judged apart from its tests, judging by texts; "" if it can."""
    old, new = _definition(function, function.body or "    pass\n"), _definition(function, body)
    if old is None or new is None or function.is_async or function.is_generator or _yields(new):
        return "it is a coroutine or a generator"
    decorators = {_name(node) for node in new.decorator_list}
    if decorators - _DECORATORS:
        return f"it is decorated with {sorted(decorators - _DECORATORS)[0]}"
    if "<locals>" in function.qualname or ("." in function.qualname and "staticmethod" not in decorators):
        return "it is a method or an inner function"
    if any(_CHANGES.search(text) for text in tests):
        return "its tests replace parts of the program"
    module = _module(source)
    for used in (old, new):
        why = _shared(used, module, {function.name})
        if why:
            return why
    return ""


def _definition(function: FunctionText, body: str) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(function.header + body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return next((node for node in tree.body if isinstance(node, ast.FunctionDef)), None)


def _yields(node: ast.AST) -> bool:
    return any(isinstance(child, ast.Yield | ast.YieldFrom) for child in ast.walk(node))


def _name(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else "?"


def _module(source: bytes) -> dict[str, list[ast.stmt]]:
    """Return name -> the statements of the module that bind it."""
    bound: dict[str, list[ast.stmt]] = {}
    for statement in ast.parse(source).body:
        for name in _bound(statement):
            bound.setdefault(name, []).append(statement)
    return bound


def _bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _shared(node: ast.AST, module: Mapping[str, list[ast.stmt]], seen: set[str]) -> str:
    """Return what a function shares with the rest of the program that a test may change, or ""."""
    if any(isinstance(child, ast.Global | ast.Nonlocal) for child in ast.walk(node)):
        return "it changes variables of its module"
    names = [child for child in ast.walk(node) if isinstance(child, ast.Name)]
    local = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    local |= {child.arg for child in ast.walk(node) if isinstance(child, ast.arg)}
    local |= {child.name for child in ast.walk(node) if isinstance(child, ast.FunctionDef | ast.ClassDef)}
    for child in ast.walk(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            local |= _bound(child)
            if _impure(child):
                return f"it uses {_impure(child)}"
    for name in sorted({name.id for name in names} - local - seen):
        why = _of_module(name, module.get(name, []), module, seen)
        if why:
            return why
    return ""


def _of_module(name: str, binding: list[ast.stmt], module: Mapping[str, list[ast.stmt]], seen: set[str]) -> str:
    seen.add(name)
    if not binding:
        known = hasattr(builtins, name) and name not in _IMPURE
        return "" if known else f"it uses {name}"
    if len(binding) > 1:
        return f"it uses {name}, which its module binds more than once"
    statement = binding[0]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return f"it uses {_impure(statement)}" if _impure(statement) else ""
    if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
        return "" if _constant(statement.value) else f"it uses the variable {name} of its module"
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return _shared(statement, module, seen)
    return f"it uses {name} of its module"


def _impure(node: ast.Import | ast.ImportFrom) -> str:
    """Return a module that an import brings in and that is not one of the pure ones of the library, or ""."""
    if isinstance(node, ast.ImportFrom) and node.level:
        return "another module of the repository"
    return next((name for name in imported(node) if name not in PURE_MODULES | {"__future__"}), "")


def _constant(node: ast.expr) -> bool:
    """True for a value that nobody can change: a literal without lists, dicts and sets."""
    mutable = (ast.List, ast.Dict, ast.Set)
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return isinstance(node, ast.Call) and _name(node) in ("compile", "frozenset", "Decimal", "Fraction", "TypeVar")
    return not any(isinstance(child, mutable) for child in ast.walk(node))


def test_files(ids: Iterable[str]) -> list[str]:
    """Return the files in which these tests stand, each once."""
    return list(dict.fromkeys(node.partition("::")[0] for node in ids))


def conftests(path: str) -> list[str]:
    """Return where files of shared fixtures may stand for a test file."""
    return [str(folder / "conftest.py") for folder in PurePosixPath(path).parents]


def same_files(ids: Sequence[str], targets: Sequence[str]) -> list[str]:
    """Return those of `ids` that stand in a file of one of the targets."""
    files = set(test_files(targets))
    return [node for node in ids if node.partition("::")[0] in files]

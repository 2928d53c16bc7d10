"""Decides which bodies may not be run at all, by their text: what a repair has no need of and a fake lives by.

Pure functions of text. Asked before a body first meets a test in the warm sandbox, and once more before a verdict.
A filter against models that learn to cheat, and not a proof: names can be put together while the body runs. The sandbox
is the boundary, and the verdict does not rest on this filter.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

from bot.functions import FunctionText
from bot.syntax import parsed
from runners.runner import FRONTIER


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PURE_MODULES = _words("""
    abc array bisect cmath collections contextlib copy dataclasses datetime decimal enum fractions functools heapq
    itertools json math numbers operator re statistics string textwrap types typing unicodedata warnings""")
REFUSED_NAMES = _words("""
    eval exec compile globals locals vars breakpoint exit quit open input SystemExit KeyboardInterrupt GeneratorExit
    __import__ __builtins__ __loader__ __spec__ __file__""")
VARIABLE_NAMES = frozenset({"vars", "exit", "quit", "open", "input"})  # of those, names that people give to variables
REFUSED_ATTRIBUTES = _words("""
    f_back f_locals f_globals f_builtins gi_frame cr_frame ag_frame tb_frame tb_next _getframe _current_frames
    currentframe get_objects get_referrers settrace setprofile modules _exit _Exit
    __globals__ __code__ __closure__ __subclasses__ __builtins__ __traceback__ __self__ __getattribute__""")
# Modules that others carry about as attributes: dataclasses.sys, collections.abc.sys.
REFUSED_MODULES = _words("sys _sys os _os gc inspect builtins ctypes importlib subprocess pytest _pytest")
COMPARISONS = _words("""
    __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __hash__ __bool__ __len__ __contains__ __instancecheck__
    __subclasscheck__ __class__""")
NOT_PYTHON = "it is not valid Python"
_NODE_ID = re.compile(r"\.py::|PYTEST_CURRENT_TEST|pytest_")
_TEST_MODULE = re.compile(r"(^|\.)(test_\w+|\w+_tests?|tests?|conftest)(\.|$)")
_DUNDER = re.compile(r"__[a-z]+(?:_[a-z]+)*__")


def forbidden(function: FunctionText, source: bytes, body: str, *, partial: bool = False) -> str:
    """Return why `body` may not be run at all, or "".

    function: with the old body, of the file `source`. partial: a half-written body, which ends at its frontier.
    Refuses imports outside a short pure list, eval and its kin, files, frames, the test runner and the tests, node ids,
    classes that equal everything, `getattr` of a name that is put together. Whatever the file uses already is allowed.
    """
    if "__egcfg_" in (body.replace(FRONTIER, "") if partial else body):
        return f"it uses a reserved name such as {FRONTIER}"
    try:
        tree = parsed(function.header + body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return NOT_PYTHON
    known = _used(source)
    strings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    named = sorted(text for text in strings if _NODE_ID.search(text) and repr(text) not in known)
    if named:
        return f"it knows the tests by name ({named[0][:40]!r})"
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        for word in _refused(node):
            if word not in known and not (word in bound and word in VARIABLE_NAMES):
                return f"it uses {word}, which the file does not"
        refusal = _refused_import(node, known) or _refused_trick(node, known)
        if refusal:
            return refusal
    return ""


def _refused(node: ast.AST) -> Iterator[str]:
    """Yield the words of one node that a body may not bring in."""
    if isinstance(node, ast.Name) and node.id in REFUSED_NAMES:
        yield node.id
    elif isinstance(node, ast.Attribute) and node.attr in REFUSED_ATTRIBUTES | REFUSED_MODULES:
        yield node.attr
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from _hidden_names(node.value)


def _hidden_names(text: str) -> Iterator[str]:
    """Yield refused names inside a string, for `getattr` and `format`; ordinary words are just text."""
    hidden = REFUSED_ATTRIBUTES | REFUSED_NAMES
    if "_" in text and text in hidden:
        yield text
    yield from (word for word in _DUNDER.findall(text) if (word != text and word in hidden) or word in COMPARISONS)


def _refused_import(node: ast.AST, known: frozenset[str]) -> str:
    """Return why an import is refused, or "". A relative one may name all of the repository but its tests."""
    if isinstance(node, ast.ImportFrom) and node.level:
        modules = [node.module or "", *(alias.name for alias in node.names)]
        tests = [name for name in modules if _TEST_MODULE.search(name) and name.partition(".")[0] not in known]
        return f"it imports {tests[0]}, which belongs to the tests" if tests else ""
    for module in imported(node):
        if module not in PURE_MODULES and module not in known:
            return f"it imports {module}, which the file does not"
    return ""


def _refused_trick(node: ast.AST, known: frozenset[str]) -> str:
    """Return why a class, an assignment or a look-up is refused, or ""."""
    if isinstance(node, ast.ClassDef):
        functions = {n.name for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
        bound = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        tricks = sorted(COMPARISONS & (functions | bound) - known)
        return f"it defines a class with {tricks[0]}" if tricks else ""
    if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) and node.attr in COMPARISONS - known:
        return f"it assigns {node.attr}"
    called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    if called in ("getattr", "setattr", "delattr", "hasattr") and called not in known:
        name = node.args[1] if isinstance(node, ast.Call) and len(node.args) > 1 else None
        if isinstance(name, ast.BinOp | ast.JoinedStr | ast.Call):
            return f"it calls {called} with a name that is put together"
    return ""


def imported(node: ast.AST) -> list[str]:
    """Return the top-level modules that a node imports; none for a relative import."""
    if isinstance(node, ast.ImportFrom):
        return [] if node.level else [(node.module or "").partition(".")[0]]
    return [alias.name.partition(".")[0] for alias in node.names] if isinstance(node, ast.Import) else []


@lru_cache(maxsize=16)
def _used(source: bytes) -> frozenset[str]:
    """Return every name, attribute, module and method that the file holds already, and every string with its repr."""
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.arg):
            words.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            words.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            words.update(imported(node))
            words.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.update((repr(node.value), *_hidden_names(node.value)))
    return frozenset(words)

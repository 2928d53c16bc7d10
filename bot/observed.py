"""Corrections of a stale test by what it was seen to meet: values instead of those expected, names that exist.

Pure text: a body, where it failed and what it said in, one corrected body out. The values come from the sandbox as
text; only literals of plain types are taken over. Whether a correction is worth anything is decided elsewhere.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from bot.functions import FunctionNode, FunctionText
from bot.syntax import last_name, smallest, statements_at
from runners.runner import TestRun

LITERAL_CHARS = 400
_ASSERT = re.compile(r"^(?:\w*(?:Error|Failure): )?(assert .+)$", re.MULTILINE)
_UNEQUAL = re.compile(r"^(?:AssertionError: )?(.+?) != (.+?)(?: : .*)?$", re.MULTILINE)
_MEANT = re.compile(r"has no attribute '(\w+)'\. Did you mean: '(\w+)'\?")


@dataclass(frozen=True, slots=True)
class _Change:
    """A piece of the function's text, and what stands there instead."""

    node: ast.expr
    text: str


def corrected(function: FunctionText, body: str, run: TestRun, names: Collection[str]) -> str:
    """Return the body with the first thing corrected that made `run` fail, or "" when nothing is known to correct.

    body: normalised, of the test `function`. names: what the module of the test has in scope.
    """
    text = function.header + body
    try:
        (node,) = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    if not isinstance(node, FunctionNode):
        return ""
    statements = statements_at(node, _line(function, run))
    innermost = smallest(statements)
    if innermost is None:
        return ""
    for change in _changes(node, innermost, statements, run, names):
        new = _replaced(text, change)
        if new and new != text and new.startswith(function.header):
            return new[len(function.header) :]
    return ""


def _line(function: FunctionText, run: TestRun) -> int:
    """Return the line of the function's text at which the test failed, 0 when it is not known."""
    own = [frame.line for frame in run.frames if frame.function.rpartition(".")[2] == function.name]
    return own[-1] - function.first_line + 1 if own else 0


def _changes(
    function: FunctionNode, statement: ast.stmt, around: list[ast.stmt], run: TestRun, names: Collection[str]
) -> Iterator[_Change]:
    if isinstance(statement, ast.Assert):
        yield from _expected(function, statement.test, run.message)
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        yield from _expected_by_call(function, statement.value, run.message)
    for one in around:
        if isinstance(one, ast.With) and run.exception != "AssertionError":
            yield from _raised(one, run.exception, names)
    meant = _MEANT.search(run.message)
    if meant is not None:
        for node in ast.walk(statement):
            if isinstance(node, ast.Attribute) and node.attr == meant[1]:
                yield _Change(node, f"{ast.unparse(node.value)}.{meant[2]}")


def _expected(function: FunctionNode, test: ast.expr, message: str) -> Iterator[_Change]:
    """A literal that was compared with something: what it was compared with, from pytest's own words."""
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.Is)):
        return
    for match in _ASSERT.finditer(message):
        try:
            (said,) = ast.parse(match[1]).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if isinstance(said, ast.Assert) and isinstance(said.test, ast.Compare) and len(said.test.ops) == 1:
            pairs = ((test.comparators[0], said.test.left), (test.left, said.test.comparators[0]))
            for side, seen in pairs:
                yield from _literal(function, side, ast.unparse(seen))


def _expected_by_call(function: FunctionNode, call: ast.Call, message: str) -> Iterator[_Change]:
    """The same for unittest: assertEqual(a, b) says "a != b"."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    match = _UNEQUAL.search(message)
    if name.startswith("assert") and name.endswith("Equal") and len(call.args) >= 2 and match is not None:
        yield from _literal(function, call.args[1], match[1])
        yield from _literal(function, call.args[0], match[2])


def _literal(function: FunctionNode, side: ast.expr, seen: str) -> Iterator[_Change]:
    """Put `seen` where the expected literal stands: in the assertion, or where the name in it was given its value."""
    if _value(seen) is None and seen != "None":
        return
    if isinstance(side, ast.Call) and len(side.args) == 1 and not side.keywords:  # pytest.approx(0.5)
        side = side.args[0] if last_name(side.func) == "approx" else side
    if isinstance(side, ast.Name):
        given = [
            one.value
            for one in ast.walk(function)
            if isinstance(one, ast.Assign) and [ast.unparse(target) for target in one.targets] == [side.id]
        ]
        if len(given) != 1:
            return
        side = given[0]
    try:
        ast.literal_eval(side)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return
    yield _Change(side, seen)


def _value(text: str) -> object:
    if len(text) > LITERAL_CHARS:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _raised(statement: ast.With, exception: str, names: Collection[str]) -> Iterator[_Change]:
    """Another exception than the one waited for, when the test can name it."""
    known = exception in names or isinstance(getattr(builtins, exception, None), type)
    for item in statement.items:
        call = item.context_expr
        name = call.func.attr if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else ""
        if isinstance(call, ast.Call) and call.args and name in ("raises", "assertRaises") and known:
            yield _Change(call.args[0], exception)


def _replaced(text: str, change: _Change) -> str:
    """Return `text` with the node's source replaced. Columns count bytes."""
    node = change.node
    if node.end_lineno is None or node.end_col_offset is None:
        return ""
    lines = text.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    data = text.encode()
    return (data[:start] + change.text.encode() + data[end:]).decode()

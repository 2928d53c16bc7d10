"""Parses and compiles source text without a word; finds the statements at a line, and the last name of a dotted one.

Warnings about it are the repository's business, or the model's. Warning filters belong to the whole process, so there
is one lock for all who change them.
"""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import CodeType

_FILTERS = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Show no warnings meanwhile. May be nested."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def parsed(source: str | bytes) -> ast.Module:
    """Return the syntax tree of a module. Raises SyntaxError, ValueError, RecursionError or MemoryError."""
    with quiet():
        return ast.parse(source)


def compiled(source: str | bytes | ast.Module, name: str) -> CodeType:
    """Return the code of a module named `name` in tracebacks. Raises as `parsed`, and OverflowError."""
    with quiet():
        return compile(source, name, "exec", dont_inherit=True)


def last_name(node: ast.AST) -> str:
    """Return the last name of a dotted expression, such as a decorator or what is called; "" for any other."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def statements_at(tree: ast.AST, line: int) -> list[ast.stmt]:
    """Return the statements that hold a 1-based line, outer ones before inner ones."""
    statements = (node for node in ast.walk(tree) if isinstance(node, ast.stmt))
    return [one for one in statements if one.lineno <= line <= (one.end_lineno or one.lineno)]


def smallest(statements: Iterable[ast.stmt]) -> ast.stmt | None:
    """Return the statement of the fewest lines, the first of equals."""
    return min(statements, key=lambda one: (one.end_lineno or one.lineno) - one.lineno, default=None)

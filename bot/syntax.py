"""Parses and compiles source text without a word: warnings about it are the repository's business, or the model's.

Warning filters belong to the whole process, so there is one lock for all who change them.
"""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Iterator
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

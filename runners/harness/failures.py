"""A failure as pytest's objects tell it: what was raised, and what a doctest expected and got."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from runners.harness.places import MESSAGE_CHARS, exception_text

Cause = tuple[type[BaseException], BaseException, TracebackType]


def short_failure(excinfo: Any, **_style: Any) -> str:
    """Stand in for pytest's long text of a failure, which costs more than most tests."""
    return exception_text(excinfo)


def cause_of(excinfo: Any) -> Cause:
    """Return (class, exception, traceback) of a failure; for a doctest that raised, of what it raised."""
    inner = getattr(excinfo.value, "exc_info", None)
    doctest = sys.modules.get("doctest")
    if doctest is not None and isinstance(excinfo.value, doctest.UnexpectedException) and isinstance(inner, tuple):
        return inner
    return excinfo.type, excinfo.value, excinfo.tb


def doctest_text(error: BaseException) -> str:
    """Return what a doctest expected and got, "" for any other failure."""
    doctest = sys.modules.get("doctest")
    if doctest is None or not isinstance(error, (doctest.DocTestFailure, *_multiple_doctest_failures())):
        return ""
    first = getattr(error, "failures", [error])[0]
    if not isinstance(first, doctest.DocTestFailure):
        return ""
    example = first.example
    source, want = example.source.strip(), example.want.strip()
    got = first.got.strip() or "nothing"
    return f"{source}: expected {want or 'nothing'}, got {got}"[:MESSAGE_CHARS]


def _multiple_doctest_failures() -> tuple[type, ...]:
    found = getattr(sys.modules.get("_pytest.doctest"), "MultipleDoctestFailures", None)
    return (found,) if isinstance(found, type) else ()

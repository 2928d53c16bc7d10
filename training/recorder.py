"""Notes the literal calls that running code makes of plain functions, and what they return.

A profile function: arguments are written down when a call begins, before the body can change them. Only values built of
exact builtin types count, and only functions of a module's top level.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from training.executed import TEST_CHARS

RECORDED_CALLS = 40  # distinct ones noted for one function
LOOKS = 4000  # calls of one function looked at
ARGUMENT_CHARS = 110
ARGUMENT_ITEMS = 30
UNTOLD = "?"  # the result of a call whose end the profile function cannot tell
VARIABLE, KEYWORDS, GENERATOR, ASYNCHRONOUS = 0x04, 0x08, 0x20, 0x280  # flags of code objects


@dataclass(frozen=True, slots=True)
class Recorded:
    """A call that a test made. text: as an expression. result: the repr of what it returned, or UNTOLD."""

    path: str
    module: str
    name: str
    text: str
    result: str


def is_plain(value: object, depth: int = 4) -> bool:
    """True for a small value built of exact builtin types, whose repr reads back equal."""
    kind = type(value)
    if value is None or kind in (bool, str, bytes):
        return value is None or kind is bool or len(value) <= ARGUMENT_CHARS  # type: ignore[arg-type]
    if kind is int:
        return abs(value) < 10**40  # type: ignore[arg-type]
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    if kind in (list, tuple, set):
        return depth > 0 and len(value) <= ARGUMENT_ITEMS and all(is_plain(v, depth - 1) for v in value)  # type: ignore
    if kind is dict:
        items: Any = value
        return len(items) <= ARGUMENT_ITEMS and is_plain(list(items), depth) and is_plain(list(items.values()), depth)
    return False


def written(value: object) -> str | None:
    """Return the source of a plain value, None when it has none or a long one."""
    text = repr(value) if is_plain(value) else None
    return text if text is not None and len(text) <= ARGUMENT_CHARS else None


def _given(value: object, name: str = "") -> str | None:
    """Return an argument as source, after its name if it has one; None when it is no short literal."""
    text = written(value)
    return f"{name}={text}" if text is not None and name else text


def call_text(function: Any, frame: FrameType) -> str | None:
    """Return the call that started a frame of `function`; None when an argument is no short literal.

    Arguments equal to their defaults are left out; those after one left out go by name.
    """
    code, values = frame.f_code, frame.f_locals
    plain = code.co_varnames[: code.co_argcount]
    named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    defaults = function.__defaults__ or ()
    usual = dict(zip(plain[len(plain) - len(defaults) :], defaults, strict=True)) | (function.__kwdefaults__ or {})
    rest = code.co_varnames[len(plain) + len(named) :]
    more = values[rest[0]] if code.co_flags & VARIABLE else ()
    keywords = values[rest[1 if code.co_flags & VARIABLE else 0]] if code.co_flags & KEYWORDS else {}

    def is_usual(name: str) -> bool:
        text = written(values[name])
        return name in usual and (values[name] is usual[name] or (text is not None and text == written(usual[name])))

    parts: list[str | None] = []
    by_name = False
    for name in plain:
        by_name = by_name or (not more and is_usual(name))
        if more or not is_usual(name):
            parts.append(_given(values[name], name if by_name else ""))
    parts += [_given(value) for value in more]
    parts += [_given(values[name], name) for name in named if not is_usual(name)]
    parts += [_given(value, name) for name, value in keywords.items()]
    if None in parts:
        return None
    text = f"{code.co_name}({', '.join(part for part in parts if part is not None)})"
    return text if len(text) < TEST_CHARS - 10 else None


class Recorder:
    """A profile function that tells literal calls of module-level functions in `files`."""

    def __init__(self, files: frozenset[str], tell: Callable[[Recorded], None]) -> None:
        self.files, self.tell = files, tell
        self.looks: dict[CodeType, int] = {}  # left for a function; 0 for what is of no interest
        self.told: dict[CodeType, set[str]] = defaultdict(set)
        self.open: dict[FrameType, str] = {}

    def __call__(self, frame: FrameType, event: str, result: object) -> None:
        if event == "call":
            left = self.looks.get(frame.f_code)
            if left != 0:
                with contextlib.suppress(Exception):  # of strange objects; else no call would be heard any more
                    self._begin(frame, left)
        elif event == "return" and frame in self.open:
            self._end(frame, self.open.pop(frame), result)

    def _function(self, frame: FrameType) -> Any:
        """Return the module-level function that a frame runs, None when it is none of interest."""
        code, scope = frame.f_code, frame.f_globals
        if code.co_qualname != code.co_name or scope.get("__file__") not in self.files or code.co_flags & ASYNCHRONOUS:
            return None
        found = scope.get(code.co_name)
        while found is not None and getattr(found, "__code__", None) is not code:
            found = getattr(found, "__wrapped__", None)
        return found

    def _begin(self, frame: FrameType, left: int | None) -> None:
        code = frame.f_code
        self.looks[code] = 0  # unless it turns out to be of interest
        function = self._function(frame)
        if function is None:
            return
        self.looks[code] = LOOKS if left is None else left - 1
        if code.co_flags & GENERATOR and code.co_code[frame.f_lasti + 1] & 3:
            return  # a generator that goes on
        text = call_text(function, frame)
        if text is None or text in self.told[code]:
            return
        self.told[code].add(text)
        if len(self.told[code]) >= RECORDED_CALLS:
            self.looks[code] = 0
        if code.co_flags & GENERATOR:
            self._end(frame, f"list({text})", None)
        else:
            self.open[frame] = text

    def _end(self, frame: FrameType, text: str, result: object) -> None:
        """None is also what the profile function hears when the call raises."""
        shown = UNTOLD if result is None else written(result)
        if shown is not None:
            scope = frame.f_globals
            self.tell(Recorded(scope["__file__"], scope["__name__"], frame.f_code.co_name, text, shown))

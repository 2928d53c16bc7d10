"""What came of one call: its arguments and its result or exception, as texts and a digest."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable
from types import FrameType
from typing import Any

from runners.harness.fingerprint import Arguments, fingerprint
from runners.harness.values import MAPPINGS, SHOWN_ITEMS, attributes_of, class_name, safe_repr, shortened

Example = tuple[Arguments, Any]  # and what it gives
COMPARE_CHARS = 300  # of one text


def arguments_of(frame: FrameType) -> tuple[list[str], Arguments]:
    """Return (names, (positional, keywords)) with which a function was called, before its body has changed them."""
    code, local = frame.f_code, frame.f_locals
    count, names = code.co_argcount, list(code.co_varnames)
    positional = [local[name] for name in names[:count]]
    shown = names[:count]
    rest = count + code.co_kwonlyargcount
    keywords = {name: local[name] for name in names[count:rest]}
    if code.co_flags & 4:
        positional += local[names[rest]]
        rest += 1
    if code.co_flags & 8:
        keywords.update(local[names[rest]])
    return shown, (positional, keywords)


def call_text(names: list[str], arguments: Arguments) -> str:
    """Return arguments as a call writes them, without the first one if it is `self` or `cls`."""
    positional, keywords = arguments
    parts = []
    for place, value in enumerate(positional):
        name = names[place] if place < len(names) else ""
        if place == 0 and name == "cls":
            continue
        parts.append(f"{name}={_told(value)}" if name == "self" else _told(value))
    parts += [f"{name}={_told(value)}" for name, value in keywords.items()]
    return shortened(", ".join(parts), COMPARE_CHARS)


def _told(value: Any) -> str:
    """Return a text for a value, with what the attributes of an object hold."""
    attributes = attributes_of(value) if type(type(value)) is type and type(value).__module__ != "builtins" else []
    if not attributes or type(value) in MAPPINGS or isinstance(value, (BaseException, type)):
        return shortened(safe_repr(value, 3), COMPARE_CHARS)
    shown = ", ".join(f"{name}={safe_repr(item, 2)}" for name, item in attributes[:SHOWN_ITEMS])
    return shortened(f"{class_name(type(value))}({shown})", COMPARE_CHARS)


def copy_of(value: Any) -> Any:
    """Return a copy of a value: containers by exact type, objects by the copy module, what resists as it is."""
    try:
        import copy

        return copy.deepcopy(value)
    except Exception:
        return value


def outcome_of_call(function: Callable[..., Any], arguments: Arguments) -> list[Any]:
    """Return [kind, text, digest] of one call; the digest also tells what it did to its arguments."""
    positional, keywords = arguments
    try:
        value = _run_out(function(*positional, **keywords))
    except SystemExit as error:
        return ["raise", f"SystemExit({safe_repr(error.code)})", "SystemExit"]
    except Exception as error:
        return ["raise", shortened(safe_repr(error, 3), COMPARE_CHARS), class_name(type(error))]
    return ["value", _told(value), fingerprint([value, positional, sorted(keywords.items())])]


def outcome_of_example(function: Callable[..., Any], example: Example) -> list[Any]:
    """Return [kind, text, "", whether it gave what the docstring says] of one example."""
    (positional, keywords), expected = example
    try:
        value = _run_out(function(*positional, **keywords))
    except SystemExit:
        return ["raise", "SystemExit", "", False]
    except Exception as error:
        return ["raise", shortened(safe_repr(error, 3), COMPARE_CHARS), "", False]
    return ["value", _told(value), "", alike(value, expected)]


def alike(value: Any, expected: Any) -> bool:
    """Say whether a value is what a literal says, by exact type; numbers are compared as numbers."""
    kind, wanted = type(value), type(expected)
    if kind in (int, float, complex) and wanted in (int, float, complex):
        return bool(value == expected or abs(value - expected) <= 1e-9 * abs(expected))
    if kind is not wanted:
        return False
    if kind in (list, tuple):
        return len(value) == len(expected) and all(map(alike, value, expected))
    if kind is dict:
        try:
            return len(value) == len(expected) and all(alike(value[key], expected[key]) for key in expected)
        except KeyError:
            return False
    return fingerprint(value) == fingerprint(expected)


def _run_out(value: Any) -> Any:
    """Return what a generator yields or a coroutine returns, as far as that takes no event loop."""
    if type(value) is types.GeneratorType:
        return list(itertools.islice(value, 50))
    if type(value) is types.CoroutineType:
        try:
            value.send(None)
        except StopIteration as end:
            return end.value
        value.close()
        raise RuntimeError("it waits for something")
    return value

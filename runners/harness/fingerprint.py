"""Digests of values that are equal where the values are, and arguments a small step away from given ones."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator
from typing import Any

from runners.harness.values import PLAIN_TYPES, UNINTERESTING, attributes_of, class_name, safe_repr

Arguments = tuple[list[Any], dict[str, Any]]  # positional, by keyword
COMPARE_NODES = 4000  # parts of one value that are looked at


def fingerprint(value: Any) -> str:
    """Return a digest that is equal for equal values, in this process and its forks; runs no code of user classes.

    Floating-point numbers are equal when twelve digits are. What is behind the first COMPARE_NODES parts is not seen.
    """
    import hashlib

    parts: list[str] = []
    _walk(value, parts, {})
    return hashlib.sha1("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _walk(value: Any, parts: list[str], seen: dict[int, int]) -> None:
    kind = type(value)
    if len(parts) >= COMPARE_NODES:
        return
    if kind is float:
        parts.append(f"float {value:.12g}")
    elif kind is str or kind is bytes or kind is bytearray:
        parts.append(f"{kind.__name__} {value[:10_000]!r}")
    elif kind is int:
        bits = value.bit_length()
        parts.append(f"int {value:x}" if bits < 10_000 else f"int of {bits} bits")
    elif kind in PLAIN_TYPES or isinstance(value, type):
        parts.append(f"{class_name(kind)} {safe_repr(value)}")
    elif id(value) in seen:
        parts.append(f"seen {seen[id(value)]}")
    else:
        seen[id(value)] = len(seen)
        parts.append(f"{class_name(kind)}(")
        _walk_inside(value, kind, parts, seen)
        parts.append(")")


def _walk_inside(value: Any, kind: type, parts: list[str], seen: dict[int, int]) -> None:
    if kind is set or kind is frozenset:
        parts.extend(sorted(fingerprint(item) for item in itertools.islice(value, COMPARE_NODES)))
        return
    for base, items in ((dict, dict.items), (list, list.__iter__), (tuple, tuple.__iter__)):
        if issubclass(kind, base):
            for item in itertools.islice(items(value), COMPARE_NODES):
                _walk(item, parts, seen)
    if kind is collections.deque:
        for item in value:
            _walk(item, parts, seen)
    if issubclass(kind, (set, frozenset)):
        parts.extend(sorted(fingerprint(item) for item in set.__iter__(value)))
    if issubclass(kind, UNINTERESTING):
        parts.append(str(getattr(value, "__qualname__", "")))
        return
    if issubclass(kind, BaseException):
        _walk(value.args, parts, seen)
    if kind.__module__ not in ("builtins", "collections"):
        for name, item in attributes_of(value):
            parts.append(name)
            _walk(item, parts, seen)


def nearby(arguments: Arguments) -> Iterator[Arguments]:
    """Yield like arguments, each with one small change: what a test of the next case would look like."""
    positional, keywords = arguments
    for place, value in enumerate(positional):
        for other in _near(value):
            yield [*positional[:place], other, *positional[place + 1 :]], keywords
    for name, value in keywords.items():
        for other in _near(value):
            yield positional, {**keywords, name: other}


def _near(value: Any, depth: int = 1) -> list[Any]:
    """Return values of the same shape a step away, most telling first."""
    kind = type(value)
    if kind is bool:
        return [not value]
    if kind is int:
        return [value + 1, value - 1] if value > 0 else [value + 1]
    if kind is float:
        return [value + 1.0, value / 2]
    if kind is str:
        return [value[:-1], value + value[:1]] + ([value[::-1]] if len(value) > 2 else []) if value else []
    if kind is list or kind is tuple:
        if not value:
            return []
        found = [value[:-1], value + value[:1], value[::-1]]
        if depth:
            for place in {0, len(value) - 1}:
                for other in _near(value[place], depth - 1)[:2]:
                    found.append(value[:place] + kind([other]) + value[place + 1 :])
        return [other for other in found if other != value]
    return []

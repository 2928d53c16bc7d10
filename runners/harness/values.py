"""Values as text that no code of the repository helps to write."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

SCALAR_CHARS = 40
VALUE_CHARS = 200

_name_of: Callable[[type], str] = type.__dict__["__name__"].__get__
_class_mro = type.__dict__["__mro__"].__get__
_class_dict = type.__dict__["__dict__"].__get__
_PLAIN = (bool, type(None), float, complex, range, decimal.Decimal, fractions.Fraction, datetime.date)
PLAIN_TYPES = frozenset((*_PLAIN, datetime.datetime, datetime.time, datetime.timedelta, type(Ellipsis), slice))
_SEQUENCES: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}
MAPPINGS: dict[type, str] = {dict: "", collections.OrderedDict: "OrderedDict", collections.defaultdict: "defaultdict"}
MAPPINGS[collections.Counter] = "Counter"
SHOWN_ITEMS = 6
UNINTERESTING = (types.FunctionType, types.ModuleType, types.BuiltinFunctionType, type)


def class_name(kind: type) -> str:
    """Return the name of a class, plain even where it is of a class derived from str, whose methods could run."""
    return str.__str__(_name_of(kind))


def safe_repr(value: Any, depth: int = 2) -> str:
    """Return a short text for `value` by its exact type; no method of a user's class ever runs."""
    kind: Any = type(value)
    if kind is str or kind is bytes or kind is bytearray:
        text = repr(value if len(value) <= SCALAR_CHARS else value[:SCALAR_CHARS])
        return text if len(text) <= SCALAR_CHARS and len(value) <= SCALAR_CHARS else text[: SCALAR_CHARS - 2] + ".."
    if kind is int:
        bits = value.bit_length()
        return f"<int {bits} bits>" if bits > 200 else shortened(repr(value), SCALAR_CHARS)
    if kind in PLAIN_TYPES:
        if kind is slice:
            parts = ", ".join(safe_repr(part, 0) for part in (value.start, value.stop, value.step))
            return f"slice({parts})"
        if kind is decimal.Decimal or kind is fractions.Fraction:
            short = sys.getsizeof(value) < 400
            return shortened(kind.__repr__(value), SCALAR_CHARS) if short else f"<{kind.__name__}>"
        if getattr(value, "tzinfo", None) is not None:  # the repr of a zone is the zone's own code
            return shortened(kind.__repr__(value.replace(tzinfo=None)), SCALAR_CHARS)
        return shortened(kind.__repr__(value), SCALAR_CHARS)
    if kind in _SEQUENCES or kind is collections.deque:
        return _sequence(value, kind, depth)
    if kind in MAPPINGS:
        return _mapping(value, kind, depth)
    if issubclass(kind, BaseException):
        return _exception(value, kind, depth)
    if isinstance(value, type):
        return f"<class {class_name(value)}>"
    return _other(value, kind, depth)


def shortened(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 2] + ".."


def _sequence(value: Any, kind: type, depth: int) -> str:
    left, right = _SEQUENCES.get(kind, ("deque([", "])"))
    if not value:
        return left + right if kind in (list, tuple, collections.deque) else kind.__name__ + "()"
    if depth <= 0:
        return left + ".." + right
    shown = [safe_repr(item, depth - 1) for item in _first(value)]
    if kind is set or kind is frozenset:
        shown.sort()  # the order of a set depends on the hash seed
    more = _more(len(value)) or ("," if kind is tuple and len(value) == 1 else "")
    return shortened(left + ", ".join(shown) + more + right, VALUE_CHARS)


def _mapping(value: Any, kind: type, depth: int) -> str:
    name = MAPPINGS[kind]
    left, right = (f"{name}({{", "})") if name else ("{", "}")
    if depth <= 0 and value:
        return left + ".." + right
    items = ((safe_repr(key, depth - 1), safe_repr(item, depth - 1)) for key, item in _first(dict.items(value)))
    shown = ", ".join(f"{key}: {item}" for key, item in items)
    return shortened(left + shown + _more(len(value)) + right, VALUE_CHARS)


def _more(count: int) -> str:
    return f", .. {count} in all" if count > SHOWN_ITEMS else ""


def _first(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for item in values:
        if len(found) == SHOWN_ITEMS:
            break
        found.append(item)
    return found


def _exception(value: BaseException, kind: type, depth: int) -> str:
    if kind.__module__ != "builtins":
        return class_name(kind)
    args = ", ".join(safe_repr(arg, depth - 1) for arg in value.args[:3])
    return shortened(f"{kind.__name__}({args})", VALUE_CHARS)


def _other(value: Any, kind: type, depth: int) -> str:
    name = class_name(kind)
    if type(kind) is enum.EnumMeta:
        member = next((text for attribute, text in attributes_of(value) if attribute == "_name_"), None)
        return f"{name}.{member}" if type(member) is str else f"<{name}>"
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind is getattr(numpy, "ndarray", None):
        first = ", ".join(safe_repr(item, 0) for item in value.ravel()[:SHOWN_ITEMS].tolist())
        return shortened(f"array({value.shape} {value.dtype} [{first}])", VALUE_CHARS)
    if numpy is not None and getattr(kind, "__module__", "") == "numpy" and hasattr(kind, "item"):
        return safe_repr(value.item(), 0)
    if depth < 2:
        return f"<{name}>"
    shown = ", ".join(f"{key}={safe_repr(item, 0)}" for key, item in attributes_of(value)[:SHOWN_ITEMS])
    return shortened(f"{name}({shown})", VALUE_CHARS) if shown else f"<{name}>"


_readers: dict[type, list[tuple[str, Any]]] = {}


def attributes_of(value: Any) -> list[tuple[str, Any]]:
    """Return (name, value) of the attributes stored in an object itself, without running any code of its class."""
    kind = type(value)
    readers = _readers.get(kind)
    if readers is None:
        found: dict[str, Any] = {}
        for base in _class_mro(kind):
            for name, member in _class_dict(base).items():
                if name == "__dict__" or type(member) is types.MemberDescriptorType:
                    found.setdefault(name, member)
        readers = _readers[kind] = [
            (name, member)
            for name, member in found.items()
            if type(member) in (types.GetSetDescriptorType, types.MemberDescriptorType)
        ]
    pairs: list[tuple[str, Any]] = []
    for name, member in readers:
        try:
            stored = member.__get__(value)
        except AttributeError:
            continue
        if name == "__dict__":
            pairs.extend((key, item) for key, item in list(stored.items()) if type(key) is str)
        else:
            pairs.append((name, stored))
    return pairs

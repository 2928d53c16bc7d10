"""Plain data: what of a value crosses to another process, and back."""

from __future__ import annotations

import base64
import datetime
import decimal
import fractions
from collections.abc import Callable, Iterable
from typing import Any

from runners.harness.values import class_name

_PLAIN_ITEMS = 100_000  # in one message
_LISTS: dict[str, Callable[[Iterable[Any]], Any]] = {"l": list, "t": tuple, "s": set, "z": frozenset}
_DATES: dict[str, Any] = {"d": datetime.date, "h": datetime.time, "m": datetime.datetime}


class NotPlain(ValueError):
    """A value that does not cross: of a class of its own, too deep, or too large."""


def to_plain(value: Any) -> Any:
    """Return a value as JSON data from which `from_plain` makes an equal one; by exact type, so that nothing runs."""
    room = [_PLAIN_ITEMS]

    def pack(value: Any, depth: int) -> Any:
        room[0] -= 1
        kind = type(value)
        if room[0] < 0 or depth > 60:
            raise NotPlain("too deep or too large")
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if -(1 << 53) < value < 1 << 53 else ["i", hex(value)]
        if kind is float:
            return ["f", value.hex()]
        if kind is complex:
            return ["c", value.real.hex(), value.imag.hex()]
        if kind is bytes or kind is bytearray:
            return ["b" if kind is bytes else "B", base64.b64encode(value).decode()]
        if kind is dict:
            return ["D", [[pack(key, depth + 1), pack(item, depth + 1)] for key, item in value.items()]]
        for mark, known in _LISTS.items():
            if kind is known:
                return [mark, [pack(item, depth + 1) for item in value]]
        if kind is range:
            return ["r", *(pack(part, depth + 1) for part in (value.start, value.stop, value.step))]
        return _pack_number_or_date(value, kind)

    return pack(value, 0)


def _pack_number_or_date(value: Any, kind: type) -> list[Any]:
    if kind is decimal.Decimal:
        return ["N", str(value)]
    if kind is fractions.Fraction:
        return ["F", hex(value.numerator), hex(value.denominator)]
    if kind is datetime.timedelta:
        return ["T", value.days, value.seconds, value.microseconds]
    for mark, known in _DATES.items():
        crosses = type(getattr(value, "tzinfo", None)) in (type(None), datetime.timezone)
        if kind is known and crosses and not getattr(value, "fold", 0):
            return [mark, value.isoformat()]
    raise NotPlain(f"a value of class {class_name(kind)}")


def from_plain(data: Any) -> Any:
    """Return the value that `to_plain` made data of. Raises NotPlain for anything else, whoever wrote it."""
    try:
        return _unpack(data, 0)
    except NotPlain:
        raise
    except Exception as error:
        raise NotPlain("malformed data") from error


def _unpack(data: Any, depth: int) -> Any:
    if data is None or type(data) in (bool, str, int):
        return data
    if type(data) is not list or depth > 60:
        raise NotPlain("malformed data")
    mark, *parts = data
    if mark in _LISTS:
        return _LISTS[mark](_unpack(item, depth + 1) for item in parts[0])
    if mark == "D":
        return {_unpack(key, depth + 1): _unpack(item, depth + 1) for key, item in parts[0]}
    if mark in _DATES:
        return _DATES[mark].fromisoformat(parts[0])
    simple: dict[Any, Callable[[], Any]] = {
        "i": lambda: int(parts[0], 16),
        "f": lambda: float.fromhex(parts[0]),
        "c": lambda: complex(float.fromhex(parts[0]), float.fromhex(parts[1])),
        "b": lambda: base64.b64decode(parts[0]),
        "B": lambda: bytearray(base64.b64decode(parts[0])),
        "r": lambda: range(*(_unpack(part, depth + 1) for part in parts)),
        "N": lambda: decimal.Decimal(parts[0]),
        "F": lambda: fractions.Fraction(int(parts[0], 16), int(parts[1], 16)),
        "T": lambda: datetime.timedelta(*parts),
    }
    return simple[mark]()

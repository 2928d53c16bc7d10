"""How the value of a setting is read: from the text of a flag or a variable, and from TOML, where it has a type.

Pure: a reader returns the value, or raises ValueError with what would be right. It knows no setting.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Read = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of value is read. Both readers raise ValueError, whose text completes "It must be ...".

    text: from a flag or the environment. value: from TOML, already typed.
    """

    metavar: str
    text: Read
    value: Read
    multiple: bool = False  # a flag that may be repeated; each use is one item
    switch: bool = False  # a flag without a value


def string(says: str = "text", pattern: str = r".*", metavar: str = "TEXT") -> Kind:
    def read(given: Any) -> str:
        if not isinstance(given, str) or "\0" in given or re.fullmatch(pattern, given, re.DOTALL) is None:
            raise ValueError(says)
        return given

    return Kind(metavar, read, read)


def choice(*allowed: str) -> Kind:
    says = "one of " + ", ".join(allowed)

    def read(given: Any) -> str:
        if given not in allowed:
            raise ValueError(says)
        return str(given)

    return Kind("[" + "|".join(allowed) + "]", read, read)


def switch() -> Kind:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

    def text(given: str) -> bool:
        if given.lower() not in words:
            raise ValueError("true or false")
        return words[given.lower()]

    def value(given: Any) -> bool:
        if not isinstance(given, bool):
            raise ValueError("true or false")
        return given

    return Kind("", text, value, switch=True)


def whole(low: int, high: int) -> Kind:
    says = f"a whole number from {low} to {high}"

    def value(given: Any) -> int:
        if isinstance(given, bool) or not isinstance(given, int) or not low <= given <= high:
            raise ValueError(says)
        return given

    def text(given: str) -> int:
        if re.fullmatch(r"[+-]?\d{1,18}", given.strip()) is None:
            raise ValueError(says)
        return value(int(given))

    return Kind("N", text, value)


def number(low: float, high: float, *, above: bool = False, metavar: str = "X") -> Kind:
    says = f"a number {'above' if above else 'from'} {low:g} {'and at most' if above else 'to'} {high:g}"

    def value(given: Any) -> float:
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
            raise ValueError(says)
        if given > high or given < low or (above and given == low):
            raise ValueError(says)
        return float(given)

    def text(given: str) -> float:
        try:
            number = float(given)
        except ValueError:
            raise ValueError(says) from None
        return value(number)

    return Kind(metavar, text, value)


def several(item: Kind, split: Callable[[str], Sequence[str]], *, multiple: bool = True, metavar: str = "") -> Kind:
    """Return the kind of a list of `item`. In the environment the items stand in one text, cut by `split`."""

    def text(given: str) -> tuple[Any, ...]:
        try:
            parts = split(given)
        except ValueError as error:
            raise ValueError(f"readable ({error})") from None
        return tuple(item.text(part) for part in parts)

    def value(given: Any) -> tuple[Any, ...]:
        if isinstance(given, list):
            return tuple(item.value(part) for part in given)
        if isinstance(given, str) and not multiple:
            return text(given)
        try:
            return (item.value(given),)
        except ValueError as error:
            raise ValueError(f"a list, each item {error}") from None

    return Kind(metavar or item.metavar, text, value, multiple=multiple)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def commas(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,]+", text) if part]


def lines_or_commas(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[\n,]", text) if part.strip()]

"""Random literal inputs by kind, small and readable as people write them in tests."""

# ruff: noqa: E501 - a table
from __future__ import annotations

import random
from collections.abc import Callable

WORDS = tuple(
    """apple pear tea milk bread kiwi level noon Anna bob cat dog eve sun moon star red blue green data code test run
walk jump a an the is it to be on x y zoo radar stats Alpha beta Gamma item error info ok id key name""".split()  # noqa: SIM905
)


def _ints(rng: random.Random) -> list[int]:
    span = rng.choice(((-5, 10), (0, 9), (0, 30), (-20, 60), (1, 5)))
    return [rng.randint(*span) for _ in range(rng.choice((0, 1, 2, 3, 4, 4, 5, 5, 6, 7)))]


def _text(rng: random.Random) -> str:
    joined = rng.choice((" ", " ", " ", ", ", "-", "  "))
    text = joined.join(rng.choice(WORDS) for _ in range(rng.choice((0, 1, 1, 2, 3, 4))))
    return rng.choice((text, text, text.title(), text + "!", f" {text} ", text + str(rng.randrange(100))))


def _pair(rng: random.Random) -> tuple[int, int]:
    low = rng.randrange(0, 15)
    return low, low + rng.randrange(0, 8)


def _matrix(rng: random.Random) -> list[list[int]]:
    width = rng.randrange(1, 4)
    return [[rng.randrange(-3, 10) for _ in range(width)] for _ in range(rng.randrange(1, 4))]


def _some(make: Callable[[random.Random], object], rng: random.Random, most: int = 5) -> list[object]:
    return [make(rng) for _ in range(rng.randrange(0, most + 1))]


def _word(rng: random.Random) -> str:
    return rng.choice(WORDS)


KINDS: dict[str, Callable[[random.Random], object]] = {
    "int": lambda r: r.choice((r.randrange(-5, 11), r.randrange(0, 6), r.randrange(0, 101))),
    "small": lambda r: r.randrange(0, 6),
    "pos": lambda r: r.choice((1, 2, 3, 4, 5, 6, 8, 10, 12)),
    "nat": lambda r: r.choice((r.randrange(0, 20), r.randrange(0, 400), r.randrange(1000, 99999))),
    "float": lambda r: r.choice((round(r.uniform(-2, 10), 1), float(r.randrange(10)), round(r.uniform(0, 100), 2))),
    "share": lambda r: r.choice((0, 0.1, 0.25, 0.5, 0.2, 1)),
    "bool": lambda r: r.random() < 0.5,
    "ints": _ints,
    "ints1": lambda r: _ints(r) or [r.randrange(9)],
    "pints": lambda r: [r.randrange(1, 20) for _ in range(r.randrange(1, 7))],
    "sints": lambda r: sorted(_ints(r)),
    "usints": lambda r: sorted(set(_ints(r))),
    "floats": lambda r: [round(r.uniform(0, 20), 1) for _ in range(r.randrange(1, 6))],
    "bits": lambda r: [r.randrange(2) for _ in range(r.randrange(0, 8))],
    "word": _word,
    "char": lambda r: r.choice("aeostx ,-1"),
    "sep": lambda r: r.choice((",", "-", " ", ":", ";", "/")),
    "text": _text,
    "letters": lambda r: "".join(r.choice("aabbcde") for _ in range(r.randrange(0, 9))),
    "digits": lambda r: "".join(r.choice("0123456789") for _ in range(r.randrange(1, 6))),
    "words": lambda r: [r.choice(WORDS) for _ in range(r.choice((0, 1, 2, 3, 3, 4, 5)))],
    "lines": lambda r: "\n".join(_text(r) for _ in range(r.randrange(1, 4))),
    "brackets": lambda r: "".join(r.choice("()[]{}a" if r.random() < 0.3 else "()") for _ in range(r.randrange(0, 7))),
    "csv": lambda r: ",".join(str(r.choice((r.randrange(50), r.choice(WORDS), ""))) for _ in range(r.randrange(1, 5))),
    "pairs_text": lambda r: r.choice(("&", ";", ",")).join(f"{r.choice('abcxyz')}={r.randrange(20)}" for _ in range(r.randrange(0, 4))),
    "time": lambda r: f"{r.randrange(24):02d}:{r.randrange(60):02d}",
    "minutes": lambda r: r.choice((0, 59, 60, 61, 90, 125, 600, 1439, r.randrange(5000))),
    "year": lambda r: r.choice((1900, 2000, 2023, 2024, 2100, 1996, 2001)),
    "month": lambda r: r.randrange(1, 13),
    "counts": lambda r: {w: r.randrange(0, 10) for w in r.sample(WORDS, r.randrange(0, 5))},
    "names": lambda r: {w: r.choice(WORDS) for w in r.sample(WORDS, r.randrange(0, 4))},
    "lists": lambda r: {w: _ints(r)[:3] for w in r.sample(WORDS, r.randrange(0, 4))},
    "matrix": _matrix,
    "pairs": lambda r: _some(_pair, r),
    "pair": _pair,
    "named": lambda r: [(r.choice(WORDS), r.randrange(0, 20)) for _ in range(r.randrange(0, 5))],
    "cart": lambda r: [(r.choice(WORDS), r.randrange(1, 20), r.randrange(1, 5)) for _ in range(r.randrange(0, 4))],
    "records": lambda r: [{"name": r.choice(WORDS), "age": r.randrange(10, 70), "score": r.randrange(0, 101)} for _ in range(r.randrange(1, 4))],
    "graph": lambda r: {n: r.sample("ABCD", r.randrange(0, 3)) for n in "ABCD"},
    "node": lambda r: r.choice("ABCD"),
    "nested": lambda r: [r.choice((r.randrange(9), [r.randrange(9), r.randrange(9)], [[r.randrange(9)], 1])) for _ in range(r.randrange(0, 4))],
    "maybe": lambda r: r.choice((None, r.randrange(10), r.randrange(10))),
    "options": lambda r: [r.choice((None, r.randrange(10), r.randrange(10))) for _ in range(r.randrange(0, 6))],
    "anyword": lambda r: r.choice(("", _word(r), _text(r))),
}  # fmt: skip


def value(kind: str, rng: random.Random) -> object:
    """Return a random value of a kind; raises KeyError for an unknown one."""
    return KINDS[kind](rng)

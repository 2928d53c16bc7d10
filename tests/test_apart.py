"""Judging a function apart from its tests: to which functions it applies, how it asks, and what may cross."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from bot.apart import asking_body, obstacle
from bot.functions import FunctionText, functions_in, splice
from runners.harness.plain import NotPlain, from_plain, to_plain

SOURCE = b'''import math
import os
from functools import lru_cache
from .other import helper

LIMIT = 10
PAIRS = ((1, 2), (3, 4))
CACHE = {}


class Wrong(ValueError):
    pass


def plain(a, b=1, *rest, key, other=None, **more):
    """Return something."""
    if a > LIMIT:
        raise Wrong(a)
    return math.floor(doubled(a)) + len(PAIRS)


def doubled(x):
    return 2 * x


def cached(x):
    return CACHE.setdefault(x, doubled(x))


def indirect(x):
    return cached(x)


def outside(x):
    return os.getcwd() + helper(x)


def counts(x):
    global LIMIT
    LIMIT = x


@lru_cache
def fast(x):
    return x


def numbers(n):
    yield n


async def waits(n):
    return n


class Shop:
    def price(self):
        return 1

    @staticmethod
    def tax(x):
        return x

    @property
    def name(self):
        return ""
'''
FUNCTIONS = {one.qualname: one for one in functions_in(SOURCE)}


def why(name: str, body: str = "", tests: tuple[str, ...] = ()) -> str:
    function: FunctionText = FUNCTIONS[name]
    return obstacle(function, SOURCE, body or function.body, tests)


def test_functions_of_plain_data_are_judged_apart() -> None:
    assert [name for name in FUNCTIONS if why(name) == ""] == ["plain", "doubled", "fast", "Shop.tax"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cached", "variable CACHE"),
        ("indirect", "variable CACHE"),
        ("outside", "another module|it uses os"),
        ("counts", "changes variables"),
        ("numbers", "generator"),
        ("waits", "coroutine"),
        ("Shop.price", "method"),
        ("Shop.name", "property"),
    ],
)
def test_others_are_not_and_it_is_said_why(name: str, said: str) -> None:
    assert any(part in why(name) for part in said.split("|"))


def test_a_body_that_shares_more_than_the_old_one_and_tests_that_replace_parts_rule_it_out() -> None:
    assert "CACHE" in why("plain", "    return CACHE\n")
    assert "generator" in why("plain", "    yield a\n")
    assert "random" in why("plain", "    import random\n    return random.random()\n")
    assert "replace" in why("plain", tests=("def test_it(monkeypatch): pass",))


def test_the_asking_body_hands_over_every_argument() -> None:
    body = asking_body(FUNCTIONS["plain"])
    assert body == "    return __egcfg_ask__((a, b, *rest,), {'key': key, 'other': other, **more})\n"
    namespace: dict[str, Any] = {"__egcfg_ask__": lambda *given: given}
    asking = splice(SOURCE, FUNCTIONS["plain"], body).replace(b"from .other import helper\n", b"")
    exec(compile(asking, "asking.py", "exec"), namespace)
    assert namespace["plain"](1, 2, 3, key=4, z=5) == ((1, 2, 3), {"key": 4, "other": None, "z": 5})


PLAIN = [
    *(None, True, 0, -(2**80), 2**53, 1.5, math.inf, 1j, "", "\ud800\x00", b"\xff", bytearray(b"a"), range(1, 9, 2)),
    *([], [1, [2, (3,)]], (), {"a": {1: 2}}, {(1, 2): [3]}, {1, 2}, frozenset({"x"}), Decimal("1.10"), Fraction(1, 3)),
    *(datetime.date(2020, 2, 29), datetime.datetime(2020, 1, 1, 1, 2, 3, 4, datetime.UTC), datetime.time(1, 2)),
    datetime.timedelta(days=-1, microseconds=5),
]


def test_plain_values_cross_and_come_out_equal_and_of_the_same_type() -> None:
    import json

    for value in PLAIN:
        back = from_plain(json.loads(json.dumps(to_plain(value))))
        assert back == value
        assert type(back) is type(value)
    assert math.isnan(from_plain(to_plain(math.nan)))


def test_values_with_a_will_of_their_own_do_not_cross() -> None:
    class Equal(int):
        def __eq__(self, other: object) -> bool:
            raise AssertionError("never asked")

        __hash__ = int.__hash__

    cycle: list[Any] = []
    cycle.append(cycle)
    for value in (Equal(1), [Equal(1)], object(), len, cycle, [0] * 200_000, Wrongly()):
        with pytest.raises(NotPlain):
            to_plain(value)


class Wrongly(dict[str, int]):
    pass


@pytest.mark.parametrize(
    "data",
    [
        ["?"],
        ["l"],
        ["l", 1],
        ["i", "zz"],
        ["D", [[["l", []], 1]]],
        {"a": 1},
        1.5,
        ["m", "now"],
        ["F", "0x1", "0x0"],
        [],
    ],
)
def test_malformed_data_is_refused_whoever_wrote_it(data: object) -> None:
    with pytest.raises(NotPlain):
        from_plain(data)

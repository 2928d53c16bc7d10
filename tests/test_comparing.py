"""Variants of one function on the calls that tests make of it: the real harness in a real sandbox."""

from __future__ import annotations

import pytest

from runners.comparison import parse_compared
from runners.harness.fingerprint import fingerprint, nearby
from runners.harness.outcomes import alike
from runners.runner import ComparedCall, Comparing, Example, Limits, Runner, SuiteRequest, SuiteRun, Target

CART = b'''import threading


class Hostile:
    def __repr__(self):
        raise SystemExit

    def __eq__(self, other):
        raise SystemExit

    __hash__ = None


class Cart:
    def __init__(self):
        self.items = []

    def add(self, price, *more, count=1, **marks):
        """Put something in."""
        self.items.append(price * count)
        return len(self.items)


def clamp(x, low, high):
    if x < low:
        return low
    return high if x > high else x


def first(values):
    yield from values


def ask(thing):
    return 1
'''
TESTS = b"""from cart import Cart, Hostile, ask, clamp, first


def test_add(capfd):
    cart = Cart()
    print("before")
    assert cart.add(2, count=3) == 1
    assert cart.add(1, 5, mark="x") == 2
    assert cart.items == [6, 1]
    assert capfd.readouterr().out == "before\\n"


def test_clamp():
    assert clamp(3, 1, 5) == 3
    assert clamp(3, 1, 5) == 3
    assert clamp(9, 1, 5) == 5


def test_first():
    assert list(first([1, 2])) == [1, 2]


def test_hostile():
    assert ask(Hostile()) == 1
"""


@pytest.fixture(scope="module")
def shop(repo, runner) -> Runner:
    return runner(repo({"cart.py": CART, "test_cart.py": TESTS}), Limits(suite_timeout_s=60, test_timeout_s=20))


def compared(shop: Runner, name: str, *variants: bytes, near: bool = False) -> SuiteRun:
    line = CART[: CART.index(f"def {name.rpartition('.')[2]}".encode())].count(b"\n") + 1
    comparing = Comparing(Target("cart.py", name, line), (CART, *variants), near)
    suite = shop.run_suite(SuiteRequest(comparing=comparing))
    assert [(run.node_id, run.outcome) for run in suite.tests if not run.passed] == []
    return suite


def results(call: ComparedCall) -> list[tuple[str, str]]:
    return [(result.kind, result.text) for result in call.results]


def test_each_variant_does_each_different_call_once_from_the_same_state_and_the_tests_notice_nothing(shop):
    hangs = CART.replace(b"if x < low:", b"while x:")
    kills = CART.replace(b"    if x < low:", b"    import os; os._exit(3)\n    if x < low:")
    prints = CART.replace(b"    if x < low:", b"    print('noise')\n    if x <= 3:")
    suite = compared(shop, "clamp", prints, hangs, kills)
    assert [call.arguments for call in suite.compared] == ["3, 1, 5", "9, 1, 5"]
    first, second = suite.compared
    assert results(first) == [("value", "3"), ("value", "1"), ("value", "1"), ("crashed", "")]
    assert first.results[0].digest != first.results[1].digest == first.results[2].digest
    assert results(second)[:2] == [("value", "5"), ("value", "5")]
    assert second.results[0].digest == second.results[1].digest


def test_a_variant_that_never_ends_is_stopped(shop):
    suite = compared(shop, "clamp", CART.replace(b"if x < low:", b"while True:\n        continue\n    if x:"))
    assert {call.results[1].kind for call in suite.compared} == {"timeout"}


def test_what_a_method_does_to_its_object_is_part_of_the_result(shop):
    suite = compared(shop, "Cart.add", CART.replace(b"price * count", b"price"))
    first, second = suite.compared
    assert first.arguments == "self=Cart(items=[]), 2, count=3"
    assert second.arguments == "self=Cart(items=[6]), 1, 5, count=1, mark='x'"
    assert first.results[0].digest != first.results[1].digest
    assert second.results[0].digest == second.results[1].digest


def test_generators_are_run_out_and_objects_of_the_repository_never_run_code_of_theirs(shop):
    suite = compared(shop, "first", CART.replace(b"yield from values", b"yield from values[1:]"))
    assert [results(call) for call in suite.compared] == [[("value", "[1, 2]"), ("value", "[2]")]]
    hostile = compared(shop, "ask", CART.replace(b"return 1", b"return thing.missing"))
    (call,) = hostile.compared
    assert call.arguments == "<Hostile>"
    assert [result.kind for result in call.results] == ["value", "raise"]


def test_inputs_near_the_recorded_ones_are_marked(shop):
    suite = compared(shop, "clamp", CART.replace(b"x > high", b"x >= high"), near=True)
    recorded = [call.arguments for call in suite.compared if not call.nearby]
    near = [call.arguments for call in suite.compared if call.nearby]
    assert recorded == ["3, 1, 5", "9, 1, 5"]
    assert "2, 1, 5" in near
    assert "3, 0, 5" in near


def test_a_function_that_is_not_there_is_said_not_to_be_compared(shop):
    request = SuiteRequest(comparing=Comparing(Target("cart.py", "clamp", 2), (CART,)))
    suite = shop.run_suite(request)
    assert "no function" in suite.uncompared
    assert all(run.passed for run in suite.tests)


def test_equal_values_have_equal_digests_and_user_classes_are_not_asked():
    class Loud:
        def __init__(self) -> None:
            self.value = 1

        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

    assert fingerprint(Loud()) == fingerprint(Loud())
    assert fingerprint({1, "a", (2.0,)}) == fingerprint({(2.0,), 1, "a"})
    assert fingerprint(0.1 + 0.2) == fingerprint(0.3)
    different = [1, 1.0, True, "1", b"1", [1], (1,), {1}, {1: 1}, None, Loud()]
    assert len({fingerprint(value) for value in different}) == len(different)
    ring: list[object] = []
    ring.append(ring)
    assert fingerprint(ring) != fingerprint([])


def test_nearby_values_differ_in_one_argument():
    arguments = ([3, "abc", [1, 2]], {"flag": True})
    near = list(nearby(arguments))
    assert all((one[0] != arguments[0]) + (one[1] != arguments[1]) == 1 for one in near)
    assert ([3, "abc", [1, 2]], {"flag": False}) in near
    assert arguments == ([3, "abc", [1, 2]], {"flag": True})


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"r": "no"},
        {"r": [["value", "1", "d"]]},
        {"r": [["value", "1", "d"], ["strange", "", ""]]},
        {"r": [["value", "1", "d"], 7]},
    ],
)
def test_a_reply_that_does_not_speak_of_every_variant_is_dropped(frame):
    assert parse_compared({"n": "t.py::t", "a": "1", **frame}, 2) is None


def test_examples_are_done_once_by_each_variant(shop):
    hangs = CART.replace(b"if x < low:", b"while x:")
    low = CART.replace(b"return low", b"return float(low)")
    written = (Example("([0], {'low': 1, 'high': 5})", "1", ""), Example("([9, 1, 5], {})", "5", ""))
    line = CART[: CART.index(b"def clamp")].count(b"\n") + 1
    comparing = Comparing(Target("cart.py", "clamp", line), (CART, hangs, low), calls=0, examples=written)
    suite = shop.run_suite(SuiteRequest(comparing=comparing))
    assert suite.compared == ()
    assert [[(r.kind, r.text, r.holds) for r in call.results] for call in suite.examples] == [
        [("value", "1", True), ("value", "0", False), ("value", "1.0", True)],
        [("value", "5", True), ("value", "1", False), ("value", "5", True)],
    ]
    assert [call.example for call in suite.examples] == [0, 1]


@pytest.mark.parametrize(
    ("value", "expected", "same"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (0.1 + 0.2, 0.3, True),
        ([1, (2.0, "a")], [1, (2, "a")], True),
        ((1,), [1], False),
        ({"a": [1]}, {"a": [1.0]}, True),
        ({"a": 1}, {"b": 1}, False),
        ({1, 2}, {2, 1}, True),
        (float("nan"), 1, False),
    ],
)
def test_a_value_is_what_a_literal_says(value, expected, same):
    assert alike(value, expected) is same

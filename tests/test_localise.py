from __future__ import annotations

import math

import pytest

from bot.localise import is_test_path, localise, rank
from bot.records import TestFailure
from bot.spectrum import Spectrum
from runners.runner import Frame, FunctionKey, TestRun

CORE = b"""class Stack:
    def __init__(self):
        self.items = []

    def pop(self):
        return self.items[-1]

    def push(self, item):
        self.items.append(item)


def total(xs):
    result = 0
    for x in xs:
        result += line_total(x)
    return result


def line_total(x):
    if x < 0:
        return 0
    return x * 2


def spin(n):
    while n:
        pass


square = lambda x: x * x
"""
TESTS = b"""from pkg.core import spin
import other


def test_spin():
    assert spin(3) == 0
"""
FILES = {"pkg/core.py": CORE, "tests/test_core.py": TESTS, "pkg/broken.py": b"def f(:\n"}

INIT = FunctionKey("pkg/core.py", "Stack.__init__", 2)
POP = FunctionKey("pkg/core.py", "Stack.pop", 5)
PUSH = FunctionKey("pkg/core.py", "Stack.push", 8)
TOTAL = FunctionKey("pkg/core.py", "total", 12)
LINE_TOTAL = FunctionKey("pkg/core.py", "line_total", 19)
SPIN = FunctionKey("pkg/core.py", "spin", 25)


def sources(path):
    return FILES[path]


def failure(name, *functions, frames=(), kind="failure"):
    node_id = f"tests/test_core.py::{name}"
    frames = tuple(Frame(path, line, "?") for path, line in frames)
    return TestFailure(node_id, "call", kind, "AssertionError", "assert 1 == 2", frames, frozenset(functions))


def passed(name, *functions):
    return TestRun(f"tests/test_core.py::{name}", "passed", functions=frozenset(functions))


def names(suspects):
    return [suspect.key.qualname for suspect in suspects]


def test_a_function_that_only_failing_tests_execute_comes_first():
    failures = [failure("test_a", POP, PUSH), failure("test_b", POP, PUSH)]
    suspects = localise(failures, [passed("test_c", PUSH), passed("test_d", PUSH)], sources)
    assert names(suspects) == ["Stack.pop", "Stack.push"]
    assert suspects[0].ochiai == 1
    assert suspects[1].ochiai == pytest.approx(2 / math.sqrt(2 * 4), abs=1e-5)
    assert suspects[0].score == suspects[0].ochiai / 2
    assert suspects[1].reason == "executed by 2 of 2 failing and 2 of 2 passing tests"


def test_the_innermost_frame_that_is_no_test_counts_one_and_outer_frames_less():
    frames = [("tests/test_core.py", 6), ("pkg/core.py", 15), ("pkg/core.py", 21), ("tests/conftest.py", 1)]
    first, second = localise([failure("test_a", TOTAL, LINE_TOTAL, frames=frames)], [], sources)
    assert (first.key, first.traceback, first.score) == (LINE_TOTAL, 1, 1)
    assert (second.key, second.traceback) == (TOTAL, 0.5)
    assert first.reason.endswith("innermost frame of the traceback")
    assert second.reason.endswith("; in the traceback")


def test_functions_of_tests_and_of_installed_packages_are_no_suspects():
    files = dict.fromkeys(["tests/helpers.py", "test_core.py", "conftest.py", ".venv/lib/site-packages/x.py"], CORE)
    keys = [FunctionKey(path, "Stack.pop", 5) for path in files]
    assert localise([failure("test_a", *keys)], [], files.__getitem__) == []


def test_functions_that_cannot_be_found_or_rewritten_are_no_suspects():
    keys = [
        FunctionKey("pkg/core.py", "<lambda>", 30),
        FunctionKey("pkg/core.py", "Stack.pop", 6),
        FunctionKey("pkg/gone.py", "f", 1),
        FunctionKey("pkg/broken.py", "f", 1),
        FunctionKey("pkg/core.py", "<module>", 1),
    ]
    assert localise([failure("test_a", *keys)], [], sources) == []


def test_equal_scores_prefer_the_function_that_a_test_is_named_after():
    assert names(localise([failure("test_total_of_two", TOTAL, LINE_TOTAL)], [], sources))[0] == "total"
    assert names(localise([failure("TestStack::testPush", POP, PUSH)], [], sources))[0] == "Stack.push"


def test_equal_scores_put_bodies_with_nothing_to_get_wrong_last():
    assert names(localise([failure("test_a", INIT, POP)], [], sources)) == ["Stack.pop", "Stack.__init__"]


def test_equal_scores_prefer_deeper_calls():
    assert names(localise([failure("test_a", TOTAL, LINE_TOTAL)], [], sources)) == ["line_total", "total"]


def test_the_order_does_not_depend_on_the_order_of_sets():
    keys = [INIT, POP, PUSH, TOTAL, LINE_TOTAL, SPIN]
    orders = [names(localise([failure("test_a", *order)], [], sources)) for order in (keys, keys[::-1])]
    assert orders[0] == orders[1]
    assert len(orders[0]) == 6


def test_a_hang_without_coverage_blames_what_its_test_imports_and_names():
    suspects = localise([failure("test_spin", kind="timeout")], [passed("test_a", POP)], sources)
    assert names(suspects) == ["spin"]
    assert suspects[0].reason == "named by 1 of 1 failing and 0 of 1 passing tests"


def test_names_reexported_by_a_package_are_followed():
    files = {"src/lib/__init__.py": b"from .core import spin\n", "src/lib/core.py": CORE}
    files["tests/test_core.py"] = TESTS.replace(b"pkg.core", b"lib")
    suspects = localise([failure("test_spin", kind="timeout")], [], files.__getitem__)
    assert [s.key for s in suspects] == [FunctionKey("src/lib/core.py", "spin", 25)]


def test_no_failure_no_suspect():
    assert localise([failure("test_missing")], [], sources) == []


@pytest.mark.parametrize("path", ["tests/test_a.py", "a_test.py", "conftest.py", "pkg/tests/helpers.py", "test/x.py"])
def test_test_files_are_known_by_their_names_and_folders(path):
    assert is_test_path(path)


@pytest.mark.parametrize("path", ["pkg/testing.py", "latest/core.py", "src/contest.py", "attest.py"])
def test_other_files_are_not_taken_for_tests(path):
    assert not is_test_path(path)


def test_functions_that_the_last_change_touched_come_first():
    failures = [failure("test_a", POP, PUSH, TOTAL), failure("test_b", POP, PUSH, TOTAL)]
    passing = [passed("test_c", TOTAL)]
    spectrum = Spectrum(
        failures, passing, sources, changes={"pkg/core.py": [range(12, 13)], "other.py": [range(1, 99)]}
    )
    first, *others = rank(failures, spectrum)
    assert first.key == TOTAL
    assert first.score < others[0].score
    assert first.reason == "executed by 2 of 2 failing and 1 of 1 passing tests; changed"
    assert not any(suspect.reason.endswith("changed") for suspect in others)


def test_passing_tests_without_coverage_count_neither_for_nor_against_a_function():
    suspects = localise([failure("test_a", POP)], [passed("test_b"), passed("test_c", POP)], sources)
    assert suspects[0].reason == "executed by 1 of 1 failing and 1 of 1 passing tests"


def test_among_equals_the_function_that_the_failing_statement_calls_comes_first():
    tests = b"def test_x():\n    stack = Stack()\n    assert (\n        stack.pop() == 3\n    )\n"
    read = {**FILES, "tests/test_x.py": tests}.__getitem__
    ranking = {}
    for line in (2, 4):
        failing = failure("test_x", PUSH, POP, INIT, frames=[("tests/test_x.py", line)])
        ranking[line] = [suspect.key for suspect in localise([failing], [], read)]
    assert ranking[2][0] == INIT
    assert ranking[4][0] == POP
    unread = failure("test_x", PUSH, POP, INIT, frames=[("tests/nowhere.py", 1)])
    assert len(localise([unread], [], read)) == 3


@pytest.mark.parametrize(
    ("statement", "method"),
    [
        ("assert bag == other", "__eq__"),
        ("assert bag != other", "__ne__"),
        ("assert 3 in bag", "__contains__"),
        ("assert len(bag) == 3", "__len__"),
        ("assert [*bag] == []", "__iter__"),
        ("assert sorted(bag) == []", "__iter__"),
        ("for item in bag: pass", "__iter__"),
        ("assert bag[0] == 1", "__getitem__"),
        ("bag[0] = 1", "__setitem__"),
        ("del bag[0]", "__delitem__"),
        ("assert (bag | other).size == 3", "__or__"),
        ("bag |= other", "__ior__"),
        ("assert -bag is bag", "__neg__"),
        ("assert not bag", "__bool__"),
        ("with bag: pass", "__exit__"),
        ("assert f'{bag!r}' == ''", "__repr__"),
        ("assert str(bag) == ''", "__str__"),
        ("assert {bag} == set() or bag(3)", "__call__"),
        ("self.assertLess(bag, other)", "__lt__"),
        ("assert reversed(bag)", "__reversed__"),
    ],
)
def test_equal_scores_prefer_the_method_behind_an_operator_to_the_constructor_and_to_others(statement, method):
    names_of = ["__init__", "a_long_way_down", method]
    bodies = {
        name: f"    def {name}(self, *rest):\n        x = {place}\n        return x + x\n"
        for place, name in enumerate(names_of)
    }
    core = "class Bag:\n" + "".join(bodies.values())
    test = f"def test_x(self, bag, other):\n    kept = Bag\n    {statement}\n"
    keys = [FunctionKey("pkg/bag.py", f"Bag.{name}", 2 + 3 * place) for place, name in enumerate(names_of)]
    read = {"pkg/bag.py": core.encode(), "tests/test_bag.py": test.encode()}.__getitem__
    failing = failure("test_x", *keys, frames=[("tests/test_bag.py", 3)])
    assert names(localise([failing], [], read))[0] == f"Bag.{method}"

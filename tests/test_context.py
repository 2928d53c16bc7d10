from __future__ import annotations

import pytest

from bot.context import build_task, failure_line, source_of_test
from bot.functions import FunctionText, functions_in
from bot.records import TestFailure

TESTS = b'''import pytest
from pkg import f


def test_plain():
    """Why."""
    assert f(1) == 2


def test_fixture(tmp_path):
    # a comment
    assert f(tmp_path) == 2


@pytest.mark.parametrize("n, expected", [(5, 120), (6, [720,
    721]), ("a b", None), pytest.param(7, 8, id="seven")])
def test_cases(n, expected):
    assert f(n) == expected


@pytest.mark.parametrize("word", ["", "x", "yes"])
@pytest.mark.parametrize("n", [1, 2])
def test_stacked(n, word):
    assert f(n, word)


@pytest.mark.parametrize("n", [1, 2])
def test_both(tmp_path, n):
    assert f(tmp_path, n)


@pytest.mark.parametrize("n", CASES)
def test_elsewhere(n): assert f(n)


class TestGroup:
    class TestInner:
        def test_method(self):
            value = """a
  b"""
            assert f(value)


if True:
    async def test_conditional():
        assert await f()
'''


def read(path: str) -> bytes:
    return {"tests/test_f.py": TESTS}[path]


def source(name: str) -> str:
    return source_of_test(f"tests/test_f.py::{name}", read)


def function(source: bytes, name: str) -> FunctionText:
    return next(f for f in functions_in(source) if f.name == name)


# ------------------------------------------------------------------------------------------------------------ tests


def test_a_test_without_fixtures_is_the_lines_of_its_body():
    assert source("test_plain") == "assert f(1) == 2\n"


def test_a_test_with_fixtures_is_shown_whole():
    assert source("test_fixture") == "def test_fixture(tmp_path):\n    # a comment\n    assert f(tmp_path) == 2\n"


@pytest.mark.parametrize(
    ("case", "values"),
    [
        ("5-120", "n = 5\nexpected = 120\n"),
        ("6-expected1", "n = 6\nexpected = [720, 721]\n"),
        ("a b-None", 'n = "a b"\nexpected = None\n'),
        ("seven", "n = 7\nexpected = 8\n"),
        ("unknown", ""),
    ],
)
def test_the_parameters_of_a_case_are_set_before_its_body(case, values):
    shown = source(f"test_cases[{case}]")
    assert shown.startswith(values)
    assert shown.endswith("assert f(n) == expected\n")


def test_parameters_beside_fixtures_are_told_in_a_comment():
    assert source("test_both[2]") == "# n = 2\ndef test_both(tmp_path, n):\n    assert f(tmp_path, n)\n"


def test_parameters_of_stacked_decorators_are_found_by_their_ids():
    assert source("test_stacked[2-yes]") == 'word = "yes"\nn = 2\nassert f(n, word)\n'


def test_parameters_that_are_not_literal_leave_the_whole_test():
    assert source("test_elsewhere[3]") == "def test_elsewhere(n): assert f(n)\n"


def test_methods_and_conditional_tests_are_found():
    assert source("TestGroup::TestInner::test_method").startswith('value = """a\n  b"""')
    assert source("test_conditional") == "assert await f()\n"


@pytest.mark.parametrize(
    "node_id", ["tests/gone.py::test_a", "tests/test_f.py::test_gone", "tests/test_f.py", "x::y::z"]
)
def test_a_test_that_cannot_be_found_has_no_source(node_id):
    assert source_of_test(node_id, read) == ""


def test_at_most_three_different_tests_are_told():
    source = b"def f(n):\n    return n\n"
    names = ["test_plain", "test_plain", "test_fixture", "test_cases[5-120]", "test_stacked[1-x]"]
    failures = [failure(name) for name in names]
    task = build_task(failures, function(source, "f"), source, read)
    assert len(task.tests) == 3
    assert task.tests[0] == "assert f(1) == 2\n"
    assert (task.function, task.header_lines) == ("def f(n):\n    return n\n", 1)
    assert task.failure == "AssertionError: assert 1 == 2"
    assert (task.header, task.body) == ("def f(n):\n", "    return n\n")


# ---------------------------------------------------------------------------------------------------------- failures


def failure(name="test_plain", exception="AssertionError", message="assert 1 == 2\n  \n  More.", kind="failure"):
    return TestFailure(f"tests/test_f.py::{name}", "call", kind, exception, message, ())


@pytest.mark.parametrize(
    ("exception", "message", "expected"),
    [
        ("AssertionError", "assert 1 == 2\n +  where 1 = f()\n\nmore", "AssertionError: assert 1 == 2 + where 1 = f()"),
        ("AssertionError", "AssertionError: assert 1 == 2", "AssertionError: assert 1 == 2"),
        ("decimal.InvalidOperation", "bad", "InvalidOperation: bad"),
        ("ValueError", "", "ValueError"),
        ("", "stopped after 2 s", "stopped after 2 s"),
    ],
)
def test_a_failure_is_one_line(exception, message, expected):
    assert failure_line(failure(exception=exception, message=message)) == expected


def test_a_timeout_is_called_one():
    assert failure_line(failure(exception="", message="stopped after 2 s", kind="timeout")).startswith("Timeout: ")

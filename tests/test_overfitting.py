from __future__ import annotations

import pytest

from bot.functions import FunctionText, functions_in
from bot.overfitting import smells, telling

FACTORIAL = "def fact(n):\n    result = 1\n    for i in range(n):\n        result *= i\n    return result\n"
TESTS = ["n = 5\nexpected = 120\nassert fact(n) == expected\n", "assert fact(6) == 720\n"]


def function(source: str) -> FunctionText:
    return functions_in(source.encode())[0]


def found(source: str, body: str, *tests: str) -> str:
    return "; ".join(smells(function(source), body, tests))


# ------------------------------------------------------------------------------------------------- ordinary repairs


ORDINARY_REPAIRS = {
    "one constant more": (FACTORIAL, FACTORIAL.partition("\n")[2].replace("range(n)", "range(1, n + 1)"), TESTS),
    "another operator": (
        "def is_adult(age):\n    return age > 18\n",
        "    return age >= 18\n",
        ["assert is_adult(18)\n"],
    ),
    "a missing edge case": (
        "def first(xs):\n    return xs[0]\n",
        "    if not xs:\n        return None\n    return xs[0]\n",
        ["assert first([]) is None\n"],
    ),
    "an edge case of zero": (
        "def fact(n):\n    return n * fact(n - 1)\n",
        "    if n == 0:\n        return 1\n    return n * fact(n - 1)\n",
        ["assert fact(0) == 1\n"],
    ),
    "a message that a test matches": (
        "def pop(xs):\n    return xs.pop()\n",
        "    if not xs:\n        raise IndexError('pop from empty stack')\n    return xs.pop()\n",
        ["with pytest.raises(IndexError, match='pop from empty stack'):\n    pop([])\n"],
    ),
    "a label": (
        "def sign(x):\n    return 'plus'\n",
        "    return 'minus' if x < 0 else 'plus'\n",
        ["assert sign(-3) == 'minus'\n"],
    ),
    "a factor that is a round number": (
        "def percent(x):\n    return x * 10\n",
        "    return x * 100\n",
        ["assert percent(1) == 100\n"],
    ),
    "a key of a record": (
        "def info(a):\n    return {'name': a.name}\n",
        "    return {'name': a.name, 'total': a.total}\n",
        ["assert info(a) == {'name': 'x', 'total': 4}\n"],
    ),
    "an exception of one kind handled": (
        "def number(s):\n    return int(s)\n",
        "    try:\n        return int(s)\n    except ValueError:\n        return None\n",
        ["assert number('abc') is None\n"],
    ),
    "a character to branch on": (
        "def depth(s):\n    return s.count('(')\n",
        "    return sum(1 if c == '(' else -1 if c == ')' else 0 for c in s)\n",
        ["assert depth('(()') == 1\n"],
    ),
    "a default at the end": (
        "def size(n):\n    if n > 5:\n        return 'L'\n    return 'S'\n",
        "    if n > 5:\n        return 'L'\n    return 'M'\n",
        ["assert size(5) == 'M'\n"],
    ),
    "a method that no longer needs its argument's parts": (
        "def clear(self):\n    self.items = None\n",
        "    self.items = []\n",
        ["assert s.clear() is None\n"],
    ),
}


@pytest.mark.parametrize("name", ORDINARY_REPAIRS)
def test_an_ordinary_repair_does_not_smell(name):
    source, body, tests = ORDINARY_REPAIRS[name]
    assert smells(function(source), body, tests) == []


# -------------------------------------------------------------------------------------------------------- overfitting


def test_a_body_that_hard_codes_the_expected_value_is_suspected_of_overfitting():
    reasons = found(FACTORIAL, "    return 120\n", *TESTS)
    assert "120" in reasons
    assert "whatever it is given" not in found(FACTORIAL, "    return 121\n", *TESTS)
    assert "no longer uses any of its parameters" in reasons


def test_an_expected_literal_returned_for_everything_is_found_even_if_it_is_small():
    assert "returns [1, 2]" in found(
        "def f(x):\n    return sorted(x)\n", "    return [1, 2]\n", "assert f([2, 1]) == [1, 2]"
    )


def test_a_branch_on_a_literal_input_of_the_tests_is_found():
    for condition in ("n == 5", "n in (5, 6)", "5 == n"):
        body = f"    if {condition}:\n        return 120\n    return 1\n"
        assert "branches on 5" in found(FACTORIAL, body, *TESTS)
    assert "branches on 5" in found(FACTORIAL, "    match n:\n        case 5:\n            return 1\n", *TESTS)


def test_a_table_of_the_tests_cases_is_found():
    reasons = found(FACTORIAL, "    return {5: 120, 6: 720}[n]\n", *TESTS)
    assert "branches on 5" in reasons
    assert "720 is copied" in reasons
    assert "120 is copied" in found(FACTORIAL, "    table = [120, 720]\n    return table[n - 5]\n", *TESTS)


def test_a_whole_expected_sentence_is_found_but_not_a_part_of_one():
    source = "def greet(name):\n    return 'Hi ' + name\n"
    test = "assert greet('Bob') == 'Hello, Bob!'"
    assert "'Hello, Bob!' is copied" in found(source, "    return name and 'Hello, Bob!'\n", test)
    assert found(source, "    return f'Hello, {name}!'\n", test) == ""


def test_parameters_of_parametrized_tests_count_as_inputs():
    body = "    if n == 17:\n        return 3\n    return 1\n"
    test = "n = 17\nexpected = 3\nassert f(n) == expected\n"
    assert "branches on 17" in found("def f(n):\n    return n\n", body, test)


def test_negative_numbers_keep_their_sign_but_a_new_sign_is_no_new_constant():
    assert "-47 is copied" in found("def f(n):\n    return n\n", "    return n and -47\n", "assert f(3) == -47")
    assert found("def f(n):\n    return n + 47\n", "    return n - 47\n", "assert f(3) == -47") == ""


@pytest.mark.parametrize(
    "handler",
    [
        "except:\n        pass",
        "except Exception:\n        return None",
        "except (ValueError, Exception):\n        return 0",
    ],
)
def test_newly_swallowed_exceptions_are_found(handler):
    body = f"    try:\n        return int(x)\n    {handler}\n"
    assert "swallows" in found("def f(x):\n    return int(x)\n", body)
    assert found(f"def f(x):\n{body}", body.replace("int(x)", "int(x, 0)")) == ""


def test_a_broad_handler_that_raises_again_swallows_nothing():
    body = "    try:\n        return int(x)\n    except Exception as e:\n        raise TypeError from e\n"
    assert found("def f(x):\n    return int(x)\n", body) == ""


def test_suppressing_every_exception_is_found():
    body = "    with contextlib.suppress(Exception):\n        return int(x)\n"
    assert "swallows" in found("def f(x):\n    return int(x)\n", body)


def test_what_cannot_be_parsed_has_no_smell():
    assert found("def f(x):\n    return x\n", "    return (\n") == ""
    assert found("def f(x):\n    return x\n", "    return x + 1\n", "assert (") == ""


@pytest.mark.parametrize(
    "constant", [0, 1, -1, 2, 10, 100, 1000, 0.5, 60, 256, True, None, "", "a", "name", "two_words"]
)
def test_constants_that_any_body_may_hold_tell_nothing(constant):
    assert not telling(constant)


@pytest.mark.parametrize("constant", [120, -47, 3.14159, 17, "Hello, Bob!", b"\x00\x01 bytes"])
def test_unusual_constants_are_telling(constant):
    assert telling(constant)


# -------------------------------------------------------------------------------------------------- deleted behaviour


SAVE = """\
def save(record, path):
    if not record:
        raise ValueError("empty")
    check(record)
    lock(path)
    data = encode(record)
    path.write(data)
    return len(data)
"""


def test_behaviour_that_is_deleted_to_please_a_test_is_found():
    body = SAVE.partition("\n")[2]
    assert "returns a constant" in found(SAVE, "    check(record)\n    lock(path)\n    return 0\n")
    assert "no longer raises" in found(SAVE, body.replace('raise ValueError("empty")', "return 0"))
    assert "no longer calls check, lock" in found(SAVE, body.replace("    check(record)\n    lock(path)\n", ""))
    assert "7 statements become 1" in found(SAVE, "    return check(record) or lock(path) or path.write(record)\n")


def test_less_than_that_is_an_ordinary_repair():
    body = SAVE.partition("\n")[2]
    assert found(SAVE, body.replace("    check(record)\n", "")) == ""
    assert found(SAVE, body.replace("if not record", "if record is None")) == ""
    assert found("def f(x):\n    return x\n", "    if x:\n        return 1\n    return 0\n") == ""
    assert found("def size(self):\n    return 1\n", "    return 2\n") == ""

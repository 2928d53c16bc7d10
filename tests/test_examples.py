"""Examples in docstrings: read from text, and done by bodies in a real sandbox."""

from __future__ import annotations

import pytest

from bot.examples import Kept, examples, kept
from bot.functions import FunctionText, find_function, splice
from runners.runner import FunctionKey, Limits, Runner


def function(docstring: str, signature: str = "def f(*a, **k):") -> FunctionText:
    text = "".join(f"    {line}\n" for line in ['"""' + docstring.replace("\n", "\n    "), '"""', "return 1"])
    found = find_function(f"{signature}\n{text}".encode(), "f", 1)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("docstring", "arguments", "expected"),
    [
        (">>> f(1, k=[2])\n'a'", "([1], {'k': [2]})", "'a'"),
        (">>> f([])", "([[]], {})", "None"),
        (">>> f(1) == 2\nTrue", "([1], {})", "2"),
        (">>> f(1) == 2", "([1], {})", "2"),
        (">>> f('==')\nTrue", "(['=='], {})", "True"),
        (">>> module.f(1)\n-1.5", "([1], {})", "-1.5"),
        ("Say f(1) == 2.", "([1], {})", "2"),
        ('f("a)", (1, 2)) => {"x": ()}', "(['a)', (1, 2)], {})", "{'x': ()}"),
        ("f((1, 2)) ==> [3]  # a reason", "([(1, 2)], {})", "[3]"),
        ("f(1) -> None", "([1], {})", "None"),
        ("f(1, 2) ➞ 'x'", "([1, 2], {})", "'x'"),
        ("For example f('Hi') returns 'iH'", "(['Hi'], {})", "'iH'"),
        ("f(2)   # => True", "([2], {})", "True"),
    ],
)
def test_an_example_is_read_in_the_notations_that_people_use(docstring, arguments, expected):
    (found,) = examples(function(docstring))
    assert (found.arguments, found.expected) == (arguments, expected)


@pytest.mark.parametrize(
    "docstring",
    [
        ">>> f(1)\nTraceback (most recent call last):\n    ...\nValueError: no",
        ">>> g(1)\n2",
        ">>> f(x)\n2",
        ">>> f(1)\n<object at 0x1>",
        ">>> f(1) + 1\n2",
        "f(n) == f(n - 1) + 1",
        "f(1) => true",
        "self.f(1) == 2 and f.f(1) == 3",
        "f(1 == 2",
        "f(1), 2",
        ">>> f(**{'a': 1})\n2",
    ],
)
def test_what_is_no_call_with_literals_is_no_example(docstring):
    assert examples(function(docstring)) == ()


@pytest.mark.parametrize("signature", ["async def f():", "@cache\ndef f():", "@a.b\ndef f():"])
def test_functions_that_are_not_called_as_they_are_written_have_no_examples(signature):
    assert examples(function("f() == 1", signature)) == ()


def test_methods_have_none_and_static_methods_do():
    lines = (
        'class A:\n    def f(self):\n        """f() == 1"""\n    @staticmethod\n    def g():\n        """g() == 1"""\n'
    )
    method, static = (find_function(lines.encode(), name, line) for name, line in (("A.f", 2), ("A.g", 4)))
    assert method is not None
    assert static is not None
    assert examples(method) == ()
    assert [example.text for example in examples(static)] == ["g()"]


def test_each_call_counts_once_and_there_is_an_end():
    assert len(examples(function("f(1) == 2\nf(1) == 3\n" + "\n".join(f"f({n}) == 0" for n in range(2, 40))))) == 16


CODE = b'''def longest(words):
    """Return the longest word, the first of several.

    >>> longest([])
    >>> longest(["a", "bb", "c"])
    'bb'
    >>> longest("old")
    ['stale']
    """
    best = None
    for word in words:
        if best is None or len(word) < len(best):
            best = word
    return best
'''
TESTS = b"from words import longest\n\n\ndef test_longest():\n    assert longest(['bbb', 'a']) == 'bbb'\n"


@pytest.fixture(scope="module")
def words(repo, runner) -> Runner:
    return runner(repo({"words.py": CODE, "test_words.py": TESTS}), Limits(suite_timeout_s=60, test_timeout_s=20))


def test_bodies_are_asked_which_examples_they_keep(words):
    text = find_function(CODE, "longest", 1)
    assert text is not None
    right = text.body.replace("<", ">")
    bodies = [right, "    return words[0]\n", "    while True: pass\n", "    raise SystemExit\n"]
    sources = [CODE, *(splice(CODE, text, body) for body in bodies)]
    found = kept(examples(text), FunctionKey("words.py", "longest", 1), sources, ["test_words.py::test_longest"], words)
    assert found is not None
    faulty, good, first, endless, leaves = found
    assert (faulty.held, len(faulty.failed)) == (1, 2)
    stale = "longest(\"old\") gives 'o', not ['stale']"
    assert good == Kept(2, (stale,))
    assert not good.doubtful
    raising = "longest([]) raises IndexError('list index out of range'), not None"
    assert first == Kept(0, (raising, 'longest(["a", "bb", "c"]) gives \'a\', not \'bb\'', stale), (raising,))
    assert first.doubtful
    assert Kept(6, ("f(4) gives True, not False",)).doubtful is False
    assert Kept(6, ("f(4) gives True, not False",), ("f(4) gives True, not False",)).doubtful
    assert endless.held == leaves.held == 0
    assert endless.failed[0] == "longest([]) does not end, not None"
    assert leaves.failed[0] == "longest([]) raises SystemExit, not None"


def test_without_a_call_nothing_is_told(words):
    text = find_function(CODE, "longest", 1)
    assert text is not None
    assert (
        kept(examples(text), FunctionKey("words.py", "longest", 1), [CODE], ["test_words.py::test_no"], words) is None
    )

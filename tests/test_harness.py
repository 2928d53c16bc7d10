"""The tracer as pure functions: what instrumented code does and says, and what safe representations never run."""

from __future__ import annotations

import ast
import asyncio
import collections
import enum
import textwrap
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from runners.harness.probes import instrument
from runners.harness.tracing import Recorder
from runners.harness.values import safe_repr

Event = tuple[str, int, int, list[list[str]]]


def record(source: str, qualname: str, run: Callable[[dict[str, Any]], Any], **options: Any) -> list[Event]:
    """Instrument `qualname` in `source`, execute the module, call `run` with its namespace, return the events."""
    source = textwrap.dedent(source)
    events: list[Event] = []
    recorder = Recorder(events.append, **options)
    line = next(
        min([node.lineno, *(d.lineno for d in node.decorator_list)])
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == qualname.rpartition(".")[2]
    )
    tree = instrument(source, qualname, line)
    namespace: dict[str, Any] = {"__name__": "subject", **recorder.probes()}
    exec(compile(tree, "subject.py", "exec"), namespace)
    try:
        run(namespace)
    except Exception as error:
        namespace["error"] = error
    return events


def kinds(events: list[Event]) -> list[tuple[str, int]]:
    return [(kind, line) for kind, line, _, _ in events]


def values(event: Event) -> dict[str, str]:
    return {pair[0]: pair[1] for pair in event[3]}


LOOP = """
def total(numbers):
    t = 0
    for n in numbers:
        t += n
    return t
"""


def test_a_loop_tells_line_by_line_what_changed() -> None:
    events = record(LOOP, "total", lambda n: n["total"]([2, 3]))
    assert kinds(events) == [("line", 3), ("line", 4), ("line", 5), ("line", 5), ("line", 6), ("return", 6)]
    assert [values(event) for event in events] == [
        {"numbers": "[2, 3]"},
        {"t": "0"},
        {"n": "2"},
        {"t": "2", "n": "3"},
        {"t": "5"},
        {"return": "5"},
    ]


def test_a_change_inside_a_container_is_seen() -> None:
    source = "def f(seen):\n    seen['k'] = 1\n    return None\n"
    events = record(source, "f", lambda n: n["f"]({}))
    assert values(events[1]) == {"seen": "{'k': 1}"}


def test_recursion_tells_its_depth() -> None:
    source = "def fact(n):\n    if n < 2:\n        return 1\n    return n * fact(n - 1)\n"
    events = record(source, "fact", lambda n: n["fact"](3))
    assert [event[2] for event in events if event[0] == "return"] == [2, 1, 0]
    assert [values(event)["return"] for event in events if event[0] == "return"] == ["1", "2", "6"]


def test_a_generator_tells_what_it_yields_also_when_two_run_interleaved() -> None:
    source = "def g(a):\n    yield a\n    a += 1\n    yield a\n"
    events = record(source, "g", lambda n: list(zip(n["g"](1), n["g"](10), strict=True)))
    assert [values(event)["return"] for event in events if event[0] == "yield"] == ["1", "10", "2", "11"]


def test_what_is_sent_into_a_generator_arrives_in_instrumented_code() -> None:
    source = "def g():\n    got = yield 1\n    yield got\n"
    heard: list[int] = []

    def run(n: dict[str, Any]) -> None:
        generator = n["g"]()
        heard.append(next(generator))
        heard.append(generator.send(7))

    record(source, "g", run)
    assert heard == [1, 7]


def test_an_async_function_is_traced() -> None:
    source = "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x + 1\n"
    events = record(source, "f", lambda n: asyncio.run(n["f"](1)))
    assert kinds(events) == [("line", 3), ("line", 4), ("return", 4)]
    assert values(events[-1])["return"] == "2"


def test_an_async_generator_may_return_early() -> None:
    source = "async def g(x):\n    yield x\n    if x:\n        return\n    yield 2\n"

    async def drain(n: dict[str, Any]) -> list[int]:
        return [item async for item in n["g"](1)]

    events = record(source, "g", lambda n: asyncio.run(drain(n)))
    assert ("yield", 2) in kinds(events)


def test_a_nested_function_is_traced_with_the_function_around_it() -> None:
    source = """
    def outer(x):
        def inner(y):
            return x + y
        return inner(2)
    """
    events = record(source, "outer", lambda n: n["outer"](1))
    assert ("return", 4) in kinds(events)
    assert values(events[-1])["return"] == "3"


def test_a_nested_function_can_be_the_target() -> None:
    source = """
    def outer(x):
        def inner(y):
            return x + y
        return inner(2)
    """
    events = record(source, "outer.<locals>.inner", lambda n: n["outer"](1))
    assert {line for _, line in kinds(events)} == {4}


def test_attributes_of_self_are_shown_one_level_deep() -> None:
    source = """
    class Stack:
        def __init__(self):
            self.items = []
        def push(self, x):
            self.items.append(x)
    """
    events = record(source, "Stack.push", lambda n: n["Stack"]().push(4))
    assert values(events[0]) == {"self.items": "[]", "x": "4"}
    assert values(events[-1]) == {"return": "None", "self.items": "[4]"}


def test_the_exception_that_leaves_the_function_is_told_with_its_line() -> None:
    source = "def f(x):\n    y = x + 1\n    if y:\n        raise ValueError('no', y)\n"
    events = record(source, "f", lambda n: n["f"](1))
    assert events[-1][:2] == ("raise", 4)
    assert values(events[-1])["raise"] == "ValueError('no', 2)"


def test_tracebacks_of_instrumented_code_name_each_frame_once_with_its_own_line() -> None:
    source = textwrap.dedent("""
    def f(x):
        if x:
            return 1 // 0
    """)
    tree = instrument(source, "f", 2)
    namespace: dict[str, Any] = dict(Recorder(lambda event: None).probes())
    exec(compile(tree, "subject.py", "exec"), namespace)
    with pytest.raises(ZeroDivisionError) as caught:
        namespace["f"](1)
    assert [entry.lineno for entry in caught.traceback[1:]] == [3]  # pytest counts from 0


def test_docstring_try_match_with_and_nonlocal_survive_instrumentation() -> None:
    source = """
    def f(x):
        'doc'
        count = 0
        def bump():
            nonlocal count
            count += 1
        try:
            with open(__file__ if False else '/dev/null') as file:
                match x:
                    case [first, *_]:
                        bump()
                    case _:
                        raise KeyError(x)
        except KeyError:
            count = -1
        else:
            bump()
        finally:
            count *= 10
        return count
    """
    results: list[object] = []

    def run(n: dict[str, Any]) -> None:
        results.extend([n["f"].__doc__, n["f"]([1]), n["f"](3)])

    record(source, "f", run)
    assert results == ["doc", 20, -10]


def test_after_the_budget_only_the_ending_is_recorded() -> None:
    cuts: list[Recorder] = []
    source = textwrap.dedent(LOOP)
    events: list[Event] = []
    recorder = Recorder(events.append, budget=5)
    cuts.append(recorder)
    namespace: dict[str, Any] = dict(recorder.probes())
    exec(compile(instrument(source, "total", 2), "subject.py", "exec"), namespace)
    assert namespace["total"](range(100)) == 4950
    assert len(events) == 6
    assert events[-1][0] == "return"
    assert recorder.cut


def test_a_runaway_loop_is_reported_after_so_many_steps() -> None:
    class Stop(Exception):
        pass

    def runaway() -> None:
        raise Stop

    source = "def f():\n    while True:\n        x = 1\n"
    events: list[Event] = []
    recorder = Recorder(events.append, budget=3, steps=50, runaway=runaway)
    namespace: dict[str, Any] = dict(recorder.probes())
    exec(compile(instrument(source, "f", 1), "subject.py", "exec"), namespace)
    with pytest.raises(Stop):
        namespace["f"]()
    assert recorder.count == 51


def test_instrumenting_a_function_that_is_not_there_is_a_lookup_error() -> None:
    with pytest.raises(LookupError):
        instrument("def f(): pass\n", "g", 1)


class Hostile:
    def __repr__(self) -> str:
        raise AssertionError("the repr of a user's class ran")

    __str__ = __len__ = __iter__ = __eq__ = __hash__ = __getattr__ = __bool__ = __repr__  # type: ignore[assignment]


class HostileList(list[int]):
    __repr__ = __len__ = __iter__ = __getitem__ = Hostile.__repr__  # type: ignore[assignment]


class Point:
    __slots__ = ("x", "y")

    def __init__(self) -> None:
        self.x, self.y = 1, "a"


class HostileName(str):
    def __str__(self) -> str:
        raise AssertionError("called")

    def __format__(self, spec: str) -> str:
        raise AssertionError("called")


class Misnamed:
    pass


Misnamed.__name__ = HostileName("Misnamed")


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1, "1"),
        (True, "True"),
        (None, "None"),
        ("a'b", '"a\'b"'),
        ("x" * 100, "'" + "x" * 37 + ".."),
        (10**100, "<int 333 bits>"),
        (Decimal("1.50"), "Decimal('1.50')"),
        ([1, [2, [3]]], "[1, [2, [..]]]"),
        ((1,), "(1,)"),
        ({"b", "a"}, "{'a', 'b'}"),
        (list(range(9)), "[0, 1, 2, 3, 4, 5, .. 9 in all]"),
        ({"k": (1, 2)}, "{'k': (1, 2)}"),
        (collections.deque([1]), "deque([1])"),
        (collections.Counter("aa"), "Counter({'a': 2})"),
        (ValueError("no"), "ValueError('no')"),
        (int, "<class int>"),
        (slice(1, None), "slice(1, None, None)"),
        (Colour.RED, "Colour.RED"),
    ],
)
def test_values_are_shown_short_and_as_python_writes_them(value: object, shown: str) -> None:
    assert safe_repr(value) == shown


def test_no_method_of_a_users_class_runs_when_it_is_shown() -> None:
    assert safe_repr(Hostile()) == "<Hostile>"
    assert safe_repr([HostileList([1])]) == "[<HostileList>]"
    assert safe_repr(Point()) == "Point(x=1, y='a')"
    assert safe_repr(Misnamed()) == "<Misnamed>"


def test_no_representation_is_long() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep, "y" * 1000]
    assert len(safe_repr(deep)) <= 200

"""Executed samples: a function, a fault that its tests really notice, the failing assertions, the failure's text.

A call whose true result is a literal becomes a test; a mutant is kept when at least one of its calls goes wrong.
Mutants that fail on some calls only are preferred to those that fail on all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from training.execution import Result, Worker, assemble, is_literal, split_call
from training.faults import Fault, inject
from training.functions import SourceFunction

MAX_TESTS = 3
TEST_CHARS = 180
TESTED_EXCEPTIONS = frozenset({"ValueError", "KeyError", "IndexError", "TypeError"})


@dataclass(frozen=True, slots=True)
class Case:
    """A correct function with calls and their true results."""

    function: SourceFunction
    calls: tuple[str, ...]
    results: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class FailingCase:
    """A fault that the case's calls notice. wrong: what each call did instead; failing: indices that differ."""

    case: Case
    fault: Fault
    wrong: tuple[Result, ...]
    failing: tuple[int, ...]


def study(function: SourceFunction, worker: Worker) -> Case | None:
    """Run the correct function; None when its calls do not tell enough about it."""
    calls = tuple(dict.fromkeys(c for c in function.calls if len(c) < TEST_CHARS))
    results = worker.run(assemble(function.text, function.prelude), calls)
    kept = [(c, r) for c, r in zip(calls, results, strict=True) if testable(r)]
    values = {r.text for _, r in kept if r.kind == "value"}
    if len(values) < 2 or sum(r.kind == "value" for _, r in kept) < 3:
        return None
    return Case(function, tuple(c for c, _ in kept), tuple(r for _, r in kept))


def testable(result: Result) -> bool:
    """True for a result that a test can state: a literal, or one of the usual exceptions."""
    if result.kind == "value":
        return is_literal(result.text)
    return result.kind == "raise" and result.text.split(":")[0] in TESTED_EXCEPTIONS


def judge(case: Case, fault: Fault, worker: Worker) -> FailingCase | None:
    """Run a faulty version; None when no call notices the fault."""
    wrong = worker.run(assemble(fault.text, case.function.prelude), case.calls)
    failing = [i for i, (r, w) in enumerate(zip(case.results, wrong, strict=True)) if differs(r, w)]
    return FailingCase(case, fault, tuple(wrong), tuple(failing)) if failing else None


def differs(right: Result, wrong: Result) -> bool:
    """True when a test written for `right` fails on `wrong`: exceptions are compared by type."""
    if right.kind != "raise":
        return right != wrong
    return wrong.kind != "raise" or right.text.split(":")[0] != wrong.text.split(":")[0]


def assertion(call: str, result: Result, style: int) -> str:
    """Return the source of a test of one call. style 0: the lines of its body; 1: a test function."""
    setup, expression = split_call(call)
    lines = setup.splitlines()
    if result.kind == "raise":
        lines += [f"with pytest.raises({result.text.split(':')[0]}):", f"    {expression}"]
    elif result.text in ("True", "False", "None"):
        lines.append(f"assert {expression} is {result.text}")
    else:
        lines.append(f"assert {expression} == {result.text}")
    if style == 0:
        return "\n".join(lines)
    name = "".join(c if c.isalnum() else "_" for c in expression.split("(")[0]).strip("_").lower()
    return f"def test_{name}():\n" + "".join(f"    {line}\n" for line in lines)


def failure_text(call: str, right: Result, wrong: Result, style: int) -> str:
    """Return what pytest says, on one line."""
    expression = split_call(call)[1]
    if wrong.kind == "timeout":
        return "Timeout" if style else "TimeoutError: timed out"
    if wrong.kind == "raise":
        return wrong.text
    if right.kind == "raise":
        return f"Failed: DID NOT RAISE <class '{right.text.split(':')[0]}'>"
    relation = "is" if right.text in ("True", "False", "None") else "=="
    text = f"AssertionError: assert {wrong.text} {relation} {right.text}"
    return text if style else f"{text} + where {wrong.text} = {expression}"


def failing_cases(function: SourceFunction, worker: Worker, rng: random.Random, count: int) -> Iterator[FailingCase]:
    """Yield up to `count` distinct noticed faults of one function."""
    case = study(function, worker)
    if case is None:
        return
    seen = {function.text}
    found = 0
    for _ in range(3 * count):
        if found == count:
            return
        fault = inject(function.text, rng)
        if fault is None or fault.text in seen:
            continue
        seen.add(fault.text)
        failing = judge(case, fault, worker)
        if failing is None or (len(failing.failing) == len(case.calls) and rng.random() < 0.4):
            continue
        found += 1
        yield failing


def shown_tests(failing: FailingCase, rng: random.Random, first: int | None = None) -> tuple[tuple[str, ...], str]:
    """Return up to three tests, failing ones first, `first` before all, and the failure text of the first."""
    case = failing.case
    chosen = list(failing.failing)
    rng.shuffle(chosen)
    chosen.sort(key=lambda i: len(case.calls[i]) + len(case.results[i].text) > 90)
    if first is not None:
        chosen = [first, *(i for i in chosen if i != first)]
    chosen = chosen[: rng.choice((1, 2, 2, 3))]
    passing = [i for i in range(len(case.calls)) if i not in failing.failing]
    if passing and len(chosen) < MAX_TESTS and rng.random() < 0.3:
        chosen.append(rng.choice(passing))
    style = rng.randrange(2)
    tests = tuple(assertion(case.calls[i], case.results[i], style) for i in chosen)
    shown = chosen[0]
    return tests, failure_text(case.calls[shown], case.results[shown], failing.wrong[shown], rng.randrange(2))

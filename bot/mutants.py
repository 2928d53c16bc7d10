"""Decides whether a new test still notices the faults that the old one noticed.

A stale test fails on the code as it is, so it cannot be asked which faults it "kills". What it can be asked is what it
notices: a small fault in the code under test that makes it fail otherwise (another value is met, another exception
comes), or pass, was seen by it. The new test passes on the code as it is and must fail on every one of these faults.
What the old test had not yet reached where it failed is not asked of the new one here; `bot.assertions` sees to it.
Runs tests in warm sessions only; faults are single edits of the functions that the test executes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.edits import Edit, single_edits
from bot.functions import BodyError, FunctionText, splice
from bot.records import Patch
from runners.runner import Execution, FunctionKey, Runner, Target

FUNCTIONS = 3  # whose faults are tried
FAULTS = 12  # of each function
ENOUGH = 10  # noticed faults: further functions need not be tried
VALUES_SHOWN = frozenset({"AssertionError", "Failed", "failureException"})  # failures whose words tell what was met


@dataclass(frozen=True, slots=True)
class Noticed:
    """What two tests notice of the faults `tried`. missed: those that only the old one noticed."""

    tried: int = 0
    by_old: int = 0
    by_new: int = 0
    missed: tuple[str, ...] = ()  # "size in cart.py, line 3 (NUM)"


def noticed(
    patch: Patch, node_ids: Sequence[str], functions: Sequence[tuple[FunctionKey, FunctionText, bytes]], runner: Runner
) -> Noticed:
    """Compare the test as it was and as `patch` makes it on faults in `functions` (key, text, the whole file).

    node_ids: of that test, which all pass with the patch.
    """
    result = Noticed()
    for key, function, source in functions[:FUNCTIONS]:
        faults = _sources(function, source)
        if not faults or result.by_old >= ENOUGH:
            continue
        sources = [source, source, *(content for _, content in faults)]
        old = _runs(runner, Target(key.path, key.qualname, key.first_line), node_ids, sources)
        new = _runs(runner, Target(key.path, key.qualname, key.first_line, patch.files), node_ids, sources)
        seen = [place for place in range(2, len(sources)) if _differs(old[place], old[0], old[1])]
        missed = [faults[place - 2][0] for place in seen if new[place].passed]
        where = f"{key.qualname} in {key.path}"
        told = tuple(
            f"{where}, line {function.first_line + function.header_lines + edit.line - 1} ({edit.operator})"
            for edit in missed
        )
        fails = sum(not run.passed for run in new[2:])
        result = Noticed(
            result.tried + len(faults), result.by_old + len(seen), result.by_new + fails, (*result.missed, *told)
        )
    return result


def _runs(runner: Runner, target: Target, node_ids: Sequence[str], sources: Sequence[bytes]) -> list[Execution]:
    with runner.open_session(target, node_ids) as session:
        return session.execute(sources)


def _sources(function: FunctionText, source: bytes) -> list[tuple[Edit, bytes]]:
    """Return faults as whole files: the likeliest of each operator in turns, so that they differ in kind."""
    by_operator: dict[str, list[Edit]] = {}
    for edit in single_edits(function):
        by_operator.setdefault(edit.operator, []).append(edit)
    ordered = [edits[turn] for turn in range(FAULTS) for edits in by_operator.values() if turn < len(edits)]
    found: list[tuple[Edit, bytes]] = []
    for edit in ordered:
        if len(found) >= FAULTS:
            break
        try:
            found.append((edit, splice(source, function, edit.body)))
        except BodyError:
            continue
    return found


def _differs(run: Execution, *plain: Execution) -> bool:
    """True when a run came out otherwise than the plain ones; what differs among those says nothing."""
    stable = len({_said(one, whole=True) for one in plain}) == 1
    return all(_said(run, whole=stable) != _said(one, whole=stable) for one in plain)


def _said(execution: Execution, *, whole: bool) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (run.outcome, run.exception, run.message if whole and run.exception in VALUES_SHOWN else "")
        for run in execution.runs
    )

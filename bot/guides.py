"""Decides which tests steer a search, and which only judge what it finds.

Pure functions of records. Of the failing tests some guide; the others are held out and never run before the verdict.
Passing tests that reach the function stand guard: a body that breaks one is no candidate.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence, Set

from bot.records import TestFailure
from runners.runner import FunctionKey, TestRun

GUIDES = 4  # at most so many tests steer the search; the rest of the group's failing tests only judge
GUARDS = 6  # passing tests that every body meets in the warm sandbox
GUARDING = 40  # and those that a body meets which passes what steers it


def split_guides(failures: Sequence[TestFailure], holdout: float = 0.5) -> tuple[list[str], list[str]]:
    """Return (guiding, held out) node ids: at most four guide, and these fail in different ways.

    holdout: share of the failing tests that are held out, at least, as far as one is left to guide.

    Two fail in the same way when the same exception leaves the same line, and they are tests of the same function.
    Ways that are left over give second tests, spread evenly. A single test guides alone. Held-out ones never steer the
    search; a patch that passes them too is strong.
    """
    count = min(GUIDES, max(1, math.ceil(len(failures) * (1 - holdout) - 1e-9)))
    ways: dict[Hashable, int] = {}
    for place, failure in enumerate(failures):
        ways.setdefault(_way(failure), place)
    firsts = list(ways.values())
    chosen = {firsts[at] for at in _spread(len(firsts), count)}
    others = [place for place in range(len(failures)) if place not in chosen]
    chosen.update(others[at] for at in _spread(len(others), count - len(chosen)))
    ids = [failure.node_id for failure in failures]
    return [ids[place] for place in sorted(chosen)], [ids[n] for n in range(len(ids)) if n not in chosen]


def _way(failure: TestFailure) -> Hashable:
    frame = failure.frames[-1] if failure.frames else None
    return failure.node_id.partition("[")[0], failure.exception, frame


def _spread(length: int, count: int) -> list[int]:
    """Return at most `count` places of a list of that length, first and last among them, evenly spread."""
    count = min(count, length)
    if count <= 1:
        return [0][:count]
    return sorted({round(index * (length - 1) / (count - 1)) for index in range(count)})


def guards(passing: Sequence[TestRun], key: FunctionKey) -> list[str]:
    """Return ids of tests that pass and execute `key`: a body that breaks one is no candidate.

    At most six: those that execute the fewest functions, since they say most about this one.
    """
    return [run.node_id for run in reaching(passing, {key})[:GUARDS]]


def guarding(passing: Sequence[TestRun], key: FunctionKey, tests: Sequence[str]) -> list[str]:
    """Return ids of the next tests of that kind, in the files of `tests`: what breaks one is no candidate either."""
    files = {node_id.partition("::")[0] for node_id in tests}
    further = reaching(passing, {key})[GUARDS:]
    near = [run.node_id for run in further if run.node_id.partition("::")[0] in files and run.node_id not in tests]
    return near[:GUARDING]


def reaching(passing: Sequence[TestRun], keys: Set[FunctionKey]) -> list[TestRun]:
    """Return the tests that pass and execute one of the functions; those that execute the fewest others come first."""
    found = [run for run in passing if run.outcome == "passed" and not keys.isdisjoint(run.functions)]
    return sorted(found, key=lambda run: (len(run.functions), run.node_id))

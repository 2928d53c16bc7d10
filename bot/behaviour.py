"""What a patch changes on the calls that the tests themselves make: before and after, call by call.

Runs the function's old body, the patch's and those of its rivals side by side in the sandbox, each on every recorded
call from the same state. Only text and digests come back. What it says is evidence for the reader and for
`bot.doubt`; code in the sandbox could hide a difference, so it proves nothing by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.records import Difference, Discovery, Patch, TestFailure
from runners.runner import ComparedCall, Comparing, FunctionKey, Result, Runner, RunnerError, SuiteRequest, Target

REACHING = 24  # passing tests whose calls are recorded, at most
CALLS = 40  # different calls that are recorded, at most
SECONDS = 8.0  # that all variants of all calls may take
UNKNOWN = frozenset({"refused", "lost"})  # kinds of results that say nothing about a body
BAD = frozenset({"raise", "timeout", "crashed"})


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Calls and what each body made of them. The old body is number 0, the patch 1, its rivals follow.

    passing: tests that pass without the patch. why: there are no calls, when there are none.
    """

    calls: tuple[ComparedCall, ...] = ()
    passing: frozenset[str] = frozenset()
    why: str = ""

    @property
    def compared(self) -> int:
        """How many different calls of passing tests the old body and the patch were both seen to do."""
        return sum(self._own(call) and not _unknown(call, 0, 1) for call in self.calls)

    def changes(self) -> tuple[Difference, ...]:
        """Return the calls of passing tests on which the patch does something else than the old body."""
        return tuple(d for call in self.calls if self._own(call) for d in _difference(call, 0, 1))

    def losses(self) -> tuple[Difference, ...]:
        """Return the changed calls of passing tests that had a result and have none any more: an error, or no end."""
        lost = [c for c in self.calls if self._own(c) and c.results[0].kind == "value" and c.results[1].kind in BAD]
        return tuple(difference for call in lost for difference in _difference(call, 0, 1))

    def between(self, one: int, other: int) -> tuple[Difference, ...]:
        """Return all calls, nearby ones too, on which two bodies differ; `before` is what `one` does."""
        return tuple(d for call in self.calls for d in _difference(call, one, other))

    def _own(self, call: ComparedCall) -> bool:
        return not call.nearby and call.node_id in self.passing


def observe(
    key: FunctionKey,
    patch: Patch,
    rivals: Sequence[bytes],
    failures: Sequence[TestFailure],
    discovery: Discovery,
    runner: Runner,
) -> Behaviour:
    """Record the calls of the failing tests and of those passing tests that reach the function; compare all bodies.

    patch: of the function `key`; of several functions, nothing is compared. rivals: the same file with other bodies.
    Arguments near the recorded ones are only tried when there are rivals.
    """
    if patch.further:
        return Behaviour(why="more than one function changes")
    reaching = [run for run in discovery.passing if run.outcome == "passed" and key in run.functions]
    reaching.sort(key=lambda run: (len(run.functions), run.node_id))
    passing = [run.node_id for run in reaching[:REACHING]]
    nodes = tuple(dict.fromkeys([*(failure.node_id for failure in failures), *passing]))
    target = Target(key.path, key.qualname, key.first_line)
    sources = (patch.before, patch.after, *rivals)
    comparing = Comparing(target, sources, nearby=bool(rivals), calls=CALLS, seconds=SECONDS)
    try:
        suite = runner.run_suite(SuiteRequest(node_ids=nodes, comparing=comparing))
    except RunnerError as error:
        return Behaviour(why=error.message)
    return Behaviour(suite.compared, frozenset(passing), suite.uncompared)


def _unknown(call: ComparedCall, one: int, other: int) -> bool:
    return not UNKNOWN.isdisjoint((call.results[one].kind, call.results[other].kind))


def _difference(call: ComparedCall, one: int, other: int) -> tuple[Difference, ...]:
    first, second = call.results[one], call.results[other]
    if _unknown(call, one, other) or (first.kind, first.digest) == (second.kind, second.digest):
        return ()
    before, after = _told(first), _told(second)
    if before == after:
        after = f"{after}, with another effect"
    return (Difference(call.node_id, call.arguments, before, after, call.nearby),)


def _told(result: Result) -> str:
    words = {"timeout": "does not end", "crashed": "ends the process"}
    return words.get(result.kind) or (f"raises {result.text}" if result.kind == "raise" else result.text)

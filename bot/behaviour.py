"""What a patch changes on the calls that the tests themselves make: before and after, call by call.

Runs the function's old body, the patch's and those of its rivals side by side in the sandbox, each on every recorded
call from the same state. Of a patch of several functions, the calls of each are compared, with all old bodies and with
all new ones; a call that one of them makes of another is part of its caller's. Only text and digests come back. What it
says is evidence for the reader and for `bot.doubt`; code in the sandbox could hide a difference, so it proves nothing
by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.guides import reaching
from bot.patches import body_change, moved_onto
from bot.records import Difference, Discovery, Patch, TestFailure
from runners.runner import (
    ComparedCall,
    Comparing,
    FunctionKey,
    Runner,
    RunnerError,
    SuiteRequest,
    Target,
    Varied,
)

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
    patch: Patch,
    rivals: Sequence[Patch],
    failures: Sequence[TestFailure],
    discovery: Discovery,
    runner: Runner,
) -> Behaviour:
    """Record the calls of the failing tests and of those passing tests that reach the functions; compare all bodies.

    rivals: patches of the same functions in the same order. Arguments near the recorded ones are only tried when there
    are rivals.
    """
    functions = _functions([patch, *rivals])
    if functions is None:
        return Behaviour(why="the bodies cannot be told apart from what surrounds them")
    found = [
        _compared(place, functions, discovery, failures, runner, nearby=bool(rivals)) for place in range(len(functions))
    ]
    calls = tuple(call for one in found for call in one.calls)
    return Behaviour(
        calls, frozenset().union(*(one.passing for one in found)), "; ".join(w.why for w in found if w.why)
    )


def _functions(patches: Sequence[Patch]) -> list[Varied] | None:
    """Return the changed functions, each with its file as it was and with each patch's body of this one alone."""
    first = patches[0]
    varied: list[Varied] = []
    for place, step in enumerate(first.steps):
        original = first.originals[step.path]
        alone = [moved_onto(first.originals, patch.steps[place]) for patch in patches]
        change = body_change(alone[0]) if alone[0] is not None else None
        if change is None:
            return None
        sources = (original, *(original if one is None else one.after for one in alone))  # None: the body as it was
        varied.append(Varied(Target(step.path, step.qualname, change[0].first_line), sources))
    return varied


def _compared(
    place: int,
    functions: Sequence[Varied],
    discovery: Discovery,
    failures: Sequence[TestFailure],
    runner: Runner,
    *,
    nearby: bool,
) -> Behaviour:
    """Compare on the calls of one of the functions, which vary all together."""
    one = functions[place]
    target = one.target
    key = FunctionKey(target.path, target.qualname, target.first_line)
    passing = [run.node_id for run in reaching(discovery.passing, {key})[:REACHING]]
    nodes = tuple(dict.fromkeys([*(failure.node_id for failure in failures), *passing]))
    beside = tuple(other for number, other in enumerate(functions) if number != place)
    comparing = Comparing(target, one.sources, nearby, CALLS, SECONDS / len(functions), beside)
    try:
        suite = runner.run_suite(SuiteRequest(node_ids=nodes, comparing=comparing))
    except RunnerError as error:
        return Behaviour(why=error.message)
    named = suite.compared if not beside else tuple(_named(call, target.qualname) for call in suite.compared)
    return Behaviour(named, frozenset(passing), suite.uncompared)


def _named(call: ComparedCall, qualname: str) -> ComparedCall:
    """Return the call with the function's name, which matters where several change."""
    return replace(call, arguments=f"{qualname}({call.arguments})")


def _unknown(call: ComparedCall, one: int, other: int) -> bool:
    return not UNKNOWN.isdisjoint((call.results[one].kind, call.results[other].kind))


def _difference(call: ComparedCall, one: int, other: int) -> tuple[Difference, ...]:
    first, second = call.results[one], call.results[other]
    if _unknown(call, one, other) or (first.kind, first.digest) == (second.kind, second.digest):
        return ()
    before, after = (result.without_value or result.text for result in (first, second))
    if before == after:
        after = f"{after}, with another effect"
    return (Difference(call.node_id, call.arguments, before, after, call.nearby),)

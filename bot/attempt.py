"""One function that is regenerated for a group of failures, and what became of the bodies that were judged in it.

A weak test may be passed by many wrong bodies. When several were refuted by the same other test, that one is run on
every body from then on: it steers, and says nothing as a judge any more. The others go on judging.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bot.examples import Kept
from bot.functions import FunctionText
from bot.records import Candidate, Patch, Suspect, TestFailure, Verdict
from runners.runner import Target

REFUTED = 3  # bodies that pass what steers them and are refuted by a test, until that is run on every body


@dataclass(frozen=True, slots=True)
class Attempt:
    """One function that is regenerated for a group of failures. `function` and `source`: as they are with `base`."""

    failures: tuple[TestFailure, ...]
    suspect: Suspect
    function: FunctionText
    source: bytes
    guides: Sequence[str]
    held_out: Sequence[str]
    base: Patch | None  # what stands changed meanwhile and becomes part of the patch
    target: Target
    tests: Sequence[str]  # that are run on every body: the guides, passing ones that stand guard, and those that joined
    joined: Sequence[str] = ()  # tests, since bodies that passed the others were refuted by them
    passing: list[Candidate] = field(default_factory=list)  # of all lots so far
    judged: set[str] = field(default_factory=set)  # bodies
    kept: dict[str, Kept] = field(default_factory=dict)  # body -> what it makes of the docstring's examples
    refuting: Counter[str] = field(default_factory=Counter)  # test -> bodies that it refuted

    def learn(self, verdict: Verdict) -> None:
        """Count the tests that refute a body which passes what is run on every body."""
        if verdict.word == "rejected":
            self.refuting.update({*verdict.still_failing, *verdict.broken}.difference(self.tests))

    @property
    def outwitted(self) -> str:
        """The test that refuted most bodies, the first by name of several; "" while none refuted enough."""
        count, test = min(((-count, test) for test, count in self.refuting.items()), default=(0, ""))
        return test if -count >= REFUTED else ""

    def stricter(self) -> Attempt:
        """Return an attempt in which the test that refuted most is run on every body, and no body is judged yet."""
        test = self.outwitted
        failing = test in self.held_out
        return replace(
            self,
            guides=[*self.guides, test] if failing else self.guides,
            held_out=[one for one in self.held_out if one != test],
            tests=[*self.tests, test],
            joined=(*self.joined, test),
            passing=[],
            judged=set(),
            refuting=Counter(),
        )

    def told(self, verdict: Verdict) -> Verdict:
        """Return a publishable verdict with the tests that joined those which steer."""
        if not self.joined or not verdict.publishable:
            return verdict
        names = ", ".join(self.joined)
        reason = f"steered by {names} too, since {REFUTED} bodies that passed the other tests were refuted there"
        return replace(verdict, reasons=(*verdict.reasons, reason))

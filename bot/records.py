"""The records that flow through the pipeline, in flow order, and their JSON.

Plain frozen dataclasses without behaviour of their own. Test runs and traces are `runners.runner`'s.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from runners.runner import Frame, FunctionKey, Outcome, Phase, TestRun

FailureKind = Literal["failure", "flaky", "order", "collection", "dependency", "fixture", "timeout", "crash"]
Origin = Literal["plain", "guided", "sampled", "edit", "observed"]
VerdictWord = Literal["strong", "plausible", "suspect", "rejected"]


@dataclass(frozen=True, slots=True)
class TestFailure:
    """A test that fails on the unpatched checkout."""

    __test__ = False  # a record, not a test class
    node_id: str  # as pytest prints it: "tests/test_stack.py::test_pop[empty]"
    phase: Phase
    kind: FailureKind  # "failure", "timeout" and "crash" are repairable by rewriting a body
    exception: str
    message: str
    frames: tuple[Frame, ...]  # repository frames only, innermost last
    functions: frozenset[FunctionKey] = frozenset()  # executed by the test

    @property
    def repairable(self) -> bool:
        return self.kind in ("failure", "timeout", "crash") and self.phase == "call"

    @property
    def as_run(self) -> TestRun:
        """The run that showed it."""
        outcomes: dict[str, Outcome] = {"timeout": "timeout", "crash": "crashed"}
        outcome = outcomes.get(self.kind, "failed" if self.phase == "call" else "error")
        return TestRun(self.node_id, outcome, self.phase, self.exception, self.message, self.frames)


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the first runs of the suite showed."""

    failures: tuple[TestFailure, ...]
    passing: tuple[TestRun, ...]  # with their coverage, as far as they were run
    collected: int
    skipped: int
    duration_s: float
    notes: tuple[str, ...] = ()
    untried: tuple[str, ...] = ()  # collected, but not run: whether they pass is not known


@dataclass(frozen=True, slots=True)
class Suspect:
    """A function that may hold the fault."""

    key: FunctionKey
    score: float  # mean of ochiai and traceback, 0..1
    ochiai: float
    traceback: float
    reason: str  # for people: "executed by 2 of 2 failing and 1 of 14 passing tests; innermost frame"


@dataclass(frozen=True, slots=True)
class Spent:
    """What a search used. Counted always, reported always."""

    seconds: float = 0.0
    tokens: int = 0  # tokens written by the model, drafts and continuations included
    passes: int = 0  # forward passes
    positions: int = 0  # positions computed in them, over all rows
    executions: int = 0  # bodies run against the guiding tests

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(Spent)))

    def __sub__(self, other: Spent) -> Spent:
        return Spent(*(getattr(self, f.name) - getattr(other, f.name) for f in dataclasses.fields(Spent)))


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one search may use; None means no limit of that kind."""

    seconds: float | None = 300.0
    tokens: int | None = None
    positions: int | None = None
    executions: int | None = 4000

    def exceeded(self, spent: Spent) -> str:
        """Return the name of the first limit that is used up, or ""."""
        for name in ("seconds", "tokens", "positions", "executions"):
            limit = getattr(self, name)
            if limit is not None and getattr(spent, name) >= limit:
                return name
        return ""

    def left(self, spent: Spent, share: float = 1.0) -> Budget:
        """Return `share` of what `spent` leaves."""

        def part(limit: int | None, used: int) -> int | None:
            return None if limit is None else max(0, int((limit - used) * share))

        seconds = None if self.seconds is None else max(0.0, (self.seconds - spent.seconds) * share)
        return Budget(
            seconds,
            part(self.tokens, spent.tokens),
            part(self.positions, spent.positions),
            part(self.executions, spent.executions),
        )

    def of_seconds(self, other: Budget) -> Budget:
        """Return this budget with no more seconds than `other` has."""
        seconds = min((one for one in (self.seconds, other.seconds) if one is not None), default=None)
        return dataclasses.replace(self, seconds=seconds)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of the decoder."""

    gamma: float  # guidance scale; 0 is the plain model
    temperature: float = 0.8  # of the continuations
    horizon: int = 3  # d, lines of a continuation
    candidates: int = 3  # s, continuations at each boundary
    alpha: float | None = None  # plausibility mask of the guidance: 0 is none, None what `bot.decoding.guidance` says

    def __str__(self) -> str:
        usual = f"gamma={self.gamma:g} t={self.temperature:g} d={self.horizon} s={self.candidates}"
        return usual if self.alpha is None else f"{usual} alpha={self.alpha:g}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A whole body that passed the guiding tests in the warm sandbox: a hint, never a verdict."""

    suspect: Suspect
    body: str  # normalised: four-space indentation, `def` at column 0
    origin: Origin
    setting: str  # "gamma=1 t=0.8 d=3 s=3"
    logprob: float  # of the whole body under the plain model, nats
    spent: Spent  # up to the moment it was found
    guided: float = math.nan  # like `logprob`, with what the faulty body did told in the prompt


@dataclass(frozen=True, slots=True)
class Patch:
    """Function bodies replaced: nearly always one, that of `qualname` in the file `path`.

    further: bodies replaced after it, each on the files as those before leave them. subject: "tests" when the body is
    that of a stale test, which only happens on --repair tests.
    """

    path: str
    qualname: str
    before: bytes
    after: bytes  # the file with this one body replaced
    diff: str  # unified, a/ b/ prefixes; of the whole change
    further: tuple[Patch, ...] = ()
    subject: Literal["code", "tests"] = "code"

    @property
    def steps(self) -> tuple[Patch, ...]:
        """The bodies one by one; only the first one's `diff` may tell of more than its own."""
        return (dataclasses.replace(self, further=()), *self.further) if self.further else (self,)

    @property
    def files(self) -> dict[str, bytes]:
        """The files that change, as the whole patch leaves them."""
        return {step.path: step.after for step in self.steps}

    @property
    def originals(self) -> dict[str, bytes]:
        """The same files, as they were."""
        return {step.path: step.before for step in reversed(self.steps)}

    @property
    def title(self) -> str:
        """What is replaced, for people: "area in shop.py" or "area in shop.py and Cart.total in cart.py"."""
        return " and ".join(f"{step.qualname} in {step.path}" for step in self.steps)


@dataclass(frozen=True, slots=True)
class Difference:
    """One call of a function on which two bodies do different things. All texts are safe, short ones."""

    node_id: str  # the test that made the call
    arguments: str
    before: str  # what the one body does
    after: str  # what the other does
    nearby: bool = False  # no test made this call: it is a small step away from one that a test made


@dataclass(frozen=True, slots=True)
class Rival:
    """Another patch that passes everything too, is about as small, and does something else on these calls."""

    diff: str
    differences: tuple[Difference, ...]  # before: with the patch that is judged; after: with this one


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of a patch by cold runs."""

    word: VerdictWord
    reasons: tuple[str, ...]
    fixed: tuple[str, ...] = ()  # node ids that failed before and pass now
    still_failing: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()  # node ids that passed before and do not now
    regression_tests: int = 0
    level: str = ""  # how it was judged: "J4 in docker"
    compared: int = 0  # calls of passing tests that the old and the new body were both seen to do
    differences: tuple[Difference, ...] = ()  # those of them on which they differ
    rivals: tuple[Rival, ...] = ()  # which might as well be right

    @property
    def publishable(self) -> bool:
        return self.word in ("strong", "plausible")


@dataclass(frozen=True, slots=True)
class Repair:
    """The outcome for one group of failures blamed on the same functions."""

    failures: tuple[TestFailure, ...]
    suspects: tuple[Suspect, ...]
    candidate: Candidate | None
    patch: Patch | None
    verdict: Verdict | None
    spent: Spent = field(default_factory=Spent)
    reason: str = ""  # why there is no patch, when there is none

    @property
    def published(self) -> bool:
        return self.verdict is not None and self.verdict.publishable


class Emit(Protocol):
    """Where every stage tells what it does, for the journal and the terminal. Fields must survive `to_json`."""

    def __call__(self, event: str, **fields: Any) -> None: ...


def to_json(record: Any) -> Any:
    """Return `record` as JSON-able data; bytes become text, sets become sorted lists."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, dict):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [to_json(item) for item in record]
    if isinstance(record, (set, frozenset)):
        return sorted((to_json(item) for item in record), key=str)
    if isinstance(record, bytes):
        return record.decode("utf-8", "replace")
    return record

"""Samples with a dynamic signal: what the faulty body and candidate continuations did on the guiding tests.

The correct body is cut at a statement boundary. What stands there is made, run and rendered as `bot.decoding` does it:
single edits of the faulty body as whole bodies, sampled continuations (true next lines, faulty ones, those of mutants)
as far as they are written. The target is the rest of the correct body. Probes and recorder are the sandbox's own
(`runners.harness`).
"""

from __future__ import annotations

import builtins
import random
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from bot.decoding.decoder import EDITS
from bot.decoding.dynamic_signal import (
    TAGGED_ENTRY_TOKENS,
    TAGGED_SIGNAL_TOKENS,
    Observation,
    ObservationOrigin,
    render,
)
from bot.decoding.edit_pool import EditPool, names_in_scope
from bot.decoding.prompt import Task, tagged_prompt
from bot.functions import BodyError, FunctionText, complete, functions_in, logical_lines, splice
from bot.generate import DEFAULT_PORTFOLIO
from bot.guides import GUARDS, GUIDES
from runners.harness.injected import Frontier
from runners.harness.probes import instrument
from runners.harness.tracing import Event, Recorder
from runners.runner import FRONTIER, EventKind, Outcome, Trace, TraceEvent
from training.executed import FailingCase, differs, failure_text, shown_tests
from training.execution import CALL_TIMEOUT_S, Result, Worker, assemble, run_call
from training.faults import inject_once
from training.functions import SourceFunction
from training.samples import Sample

EVENTS = 60  # recorded for one run
HORIZON = DEFAULT_PORTFOLIO[0].setting.horizon  # statements in a continuation
CANDIDATES = DEFAULT_PORTFOLIO[0].setting.candidates  # sampled continuations
NOISE = 2.0  # nats, spread of what a model adds to an edit's prior
START = 0.25  # share of the samples in which nothing is written yet, beside those of bodies of one statement
FAULTY_ALONE = 0.2  # share of those in which only the faulty body has run

RawEvent = tuple[EventKind, int, int, list[tuple[str, str]]]
Traced = tuple[Result, bool, list[RawEvent], bool]


def pairs(event: Event) -> RawEvent:
    """Return the recorder's event with its values as pairs."""
    kind, line, depth, values = event
    return kind, line, depth, [(name, text) for name, text in values]


def run_traced(source: str, qualname: str, first_line: int, call: str) -> Traced | None:
    """Return result, whether the frontier was reached, events, whether events were cut. Runs in the worker."""
    events: list[RawEvent] = []
    recorder = Recorder(lambda event: events.append(pairs(event)), budget=EVENTS)
    reached = []

    def frontier() -> BaseException:
        reached.append(True)
        recorder.frontier(sys._getframe(1))
        return Frontier("the body ends here")

    for name, probe in {**recorder.probes(), FRONTIER: frontier}.items():
        setattr(builtins, name, probe)
    namespace: dict[str, Any] = {"__name__": "module"}
    try:
        tree = instrument(source, qualname, first_line)
        exec(compile(tree, "<module>", "exec"), namespace)
    except Exception:
        return None
    result = run_call(namespace, call)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return result, bool(reached), events[: EVENTS + 40], recorder.cut


@dataclass(frozen=True, slots=True)
class Attempt:
    """A body to run, and the text that is shown for it: of a continuation, its lines after the cut."""

    body: str
    shown: str
    origin: ObservationOrigin


class Observer:
    """Runs bodies of one faulty function on the guiding tests and tells what happened on the one that tells most.

    guides: half of the failing calls, `place` first. After them come passing ones, which a body must not break.
    """

    def __init__(self, failing: FailingCase, place: int, worker: Worker, rng: random.Random) -> None:
        self.case, self.worker = failing.case, worker
        others = [i for i in failing.failing if i != place]
        passing = [i for i in range(len(self.case.calls)) if i not in failing.failing]
        rng.shuffle(others)
        rng.shuffle(passing)
        count = min(GUIDES, (len(failing.failing) + 1) // 2)
        self.places = [place, *others[: count - 1], *passing[:GUARDS]]
        self.source = assemble(failing.fault.text, self.case.function.prelude).encode()
        named = [f for f in functions_in(self.source) if f.name == self.case.function.name]
        self.function: FunctionText = named[-1]

    def observe(self, attempt: Attempt, first_line: int) -> Observation | None:
        """Return what happened with a body: the first test that fails, else the first; None when it cannot be run."""
        try:
            source = splice(self.source, self.function, attempt.body).decode()
        except BodyError:
            return None
        told: Observation | None = None
        for place in self.places:
            one = self._observe(source, place, attempt, first_line)
            if one is None or one.outcome not in ("passed", "frontier"):
                return one
            told = told or one
        return told

    def _observe(self, source: str, place: int, attempt: Attempt, first_line: int) -> Observation | None:
        function, call = self.function, self.case.calls[place]
        traced: Traced | None = self.worker.ask(run_traced, source, function.qualname, function.first_line, call)
        if traced is None:
            return None
        result, reached, raw, cut = traced
        events = tuple(TraceEvent(kind, line, depth, tuple(values)) for kind, line, depth, values in raw)
        outcome, message = self._verdict(place, result, reached)
        trace = Trace(events, cut).relative_to(function.first_line)
        return Observation(attempt.shown, first_line, outcome, message, trace, attempt.origin, call)

    def _verdict(self, place: int, result: Result, reached: bool) -> tuple[Outcome, str]:
        right = self.case.results[place]
        if reached:
            return "frontier", ""
        if result.kind == "timeout":
            return "timeout", f"timed out after {CALL_TIMEOUT_S} s"
        if not differs(right, result):
            return "passed", ""
        return "failed", failure_text(self.case.calls[place], right, result, 1)


def sampled(failing: FailingCase, given: int, observer: Observer, rng: random.Random) -> list[Attempt]:
    """Return what a model might go on with after the first `given` statements of the correct body.

    A continuation with fewer statements than it was to have ends the body; any other runs to where it is written.
    """
    function = failing.case.function
    correct = logical_lines(function.body)
    found: dict[str, Attempt] = {}
    for _ in range(CANDIDATES):
        source = function.text if rng.random() < 0.25 else failing.fault.text
        if rng.random() < 0.3:
            mutant = inject_once(source, rng)
            source = mutant.text if mutant is not None else source
        depth = HORIZON if given == 0 or rng.random() < 0.6 else rng.randrange(1, HORIZON)  # the rest of an older one
        lines = logical_lines(_body(source, function))[given : given + depth]
        text, written = "".join(lines), "".join(correct[:given])
        body = written + text if len(lines) < depth else complete(observer.function, written + text)
        if text and body:
            found.setdefault(text, Attempt(body, text, "sampled"))
    return list(found.values())


def nearby_edits(written: str, observer: Observer, rng: random.Random) -> list[Attempt]:
    """Return single edits of the next lines, whole bodies, while what is written is the faulty body's beginning."""
    function = observer.function
    if not function.body.startswith(written) or function.body == written:
        return []
    pool = EditPool(function, None, None, names_in_scope(observer.source, function))
    near = sorted(pool.near(written, HORIZON), key=lambda scored: -scored.score - rng.gauss(0, NOISE))
    bodies = [scored.edit.body for scored in near[:EDITS]]
    return [Attempt(body, "".join(logical_lines(body[len(written) :])[:HORIZON]), "edit") for body in bodies]


def _body(text: str, function: SourceFunction) -> str:
    return "".join(text.splitlines(keepends=True)[function.header_lines :])


def observations(
    failing: FailingCase, given: int, observer: Observer, rng: random.Random
) -> Iterator[Observation | None]:
    """Yield what is known when the first `given` statements are written: the faulty body first."""
    function = failing.case.function
    faulty = _body(failing.fault.text, function)
    yield observer.observe(Attempt(faulty, faulty, "faulty"), function.header_lines + 1)
    if given == 0 and rng.random() < FAULTY_ALONE:
        return
    written = "".join(logical_lines(function.body)[:given])
    first = function.header_lines + written.count("\n") + 1
    for attempt in [*nearby_edits(written, observer, rng), *sampled(failing, given, observer, rng)]:
        yield observer.observe(attempt, first)


def signal_sample(failing: FailingCase, worker: Worker, rng: random.Random, tokenizer: Tokenizer) -> Sample | None:
    """Return one sample with a signal; None when nothing could be told."""
    function = failing.case.function
    statements = logical_lines(function.body)
    given = 0 if rng.random() < START or len(statements) == 1 else rng.randrange(1, len(statements))
    place = rng.choice(failing.failing)
    try:
        observer = Observer(failing, place, worker, rng)
    except IndexError:
        return None
    text = render(
        [o for o in observations(failing, given, observer, rng) if o],
        "tagged",
        lambda part: len(tokenizer.encode(part, add_special_tokens=False).ids),
        entry_tokens=TAGGED_ENTRY_TOKENS,
        signal_tokens=TAGGED_SIGNAL_TOKENS,
    )
    if not text:
        return None
    tests, failure = shown_tests(failing, rng, place)
    prompt = tagged_prompt(Task(failing.fault.text, function.header_lines, tests[:2], failure))
    written = "".join(statements[:given])
    return Sample(
        prompt.with_signal(text), function.body + prompt.end, _body(failing.fault.text, function), len(written)
    )

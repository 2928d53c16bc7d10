"""Samples with a dynamic signal: what the faulty body and candidate continuations did on a failing test.

The correct body is cut at a statement boundary; continuations (the true next lines in half of the cases, the faulty
body's next lines, lines of mutants) are completed, executed and rendered exactly as `bot.decoding` does it; the
target is the rest of the correct body. Probes and recorder are the sandbox's own (`runners.harness`).
"""

from __future__ import annotations

import builtins
import random
import signal
import sys
from typing import Any

from tokenizers import Tokenizer

from bot.decoding.dynamic_signal import (
    TAGGED_ENTRY_TOKENS,
    TAGGED_SIGNAL_TOKENS,
    Observation,
    ObservationOrigin,
    render,
)
from bot.decoding.prompt import Task, tagged_prompt
from bot.functions import BodyError, FunctionText, complete, functions_in, logical_lines, splice
from runners import harness
from runners.runner import FRONTIER, EventKind, Outcome, Trace, TraceEvent
from training.executed import FailingCase, differs, failure_text, shown_tests
from training.execution import CALL_TIMEOUT_S, Result, Worker, assemble, run_call
from training.faults import inject_once
from training.samples import Sample

EVENTS = 60  # recorded for one run
sandbox: Any = harness  # one file without annotations
ENTRY_TOKENS = (40, TAGGED_ENTRY_TOKENS)  # of one entry, drawn for each sample
HORIZON = 3  # at most this many statements in a continuation

RawEvent = tuple[EventKind, int, int, list[tuple[str, str]]]
Traced = tuple[Result, bool, list[RawEvent], bool]


def pairs(event: tuple[EventKind, int, int, list[list[str]]]) -> RawEvent:
    """Return the recorder's event with its values as pairs."""
    kind, line, depth, values = event
    return kind, line, depth, [(name, text) for name, text in values]


def run_traced(source: str, qualname: str, first_line: int, call: str) -> Traced | None:
    """Return result, whether the frontier was reached, events, whether events were cut. Runs in the worker."""
    events: list[RawEvent] = []
    recorder = sandbox.Recorder(lambda event: events.append(pairs(event)), budget=EVENTS)
    reached = []

    def frontier() -> BaseException:
        reached.append(True)
        recorder.frontier(sys._getframe(1))
        error: BaseException = sandbox.Frontier("the body ends here")
        return error

    for name, probe in {**recorder.probes(), FRONTIER: frontier}.items():
        setattr(builtins, name, probe)
    namespace: dict[str, Any] = {"__name__": "module"}
    try:
        tree = sandbox.instrument(source, qualname, first_line)
        exec(compile(tree, "<module>", "exec"), namespace)
    except Exception:
        return None
    result = run_call(namespace, call)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return result, bool(reached), events[: EVENTS + 40], recorder.cut


class Observer:
    """Runs bodies of one faulty function on one failing test and tells what happened."""

    def __init__(self, failing: FailingCase, place: int, worker: Worker) -> None:
        case = failing.case
        self.call, self.right, self.worker = case.calls[place], case.results[place], worker
        self.source = assemble(failing.fault.text, case.function.prelude).encode()
        named = [f for f in functions_in(self.source) if f.name == case.function.name]
        self.function: FunctionText = named[-1]

    def observe(self, body: str, continuation: str, first_line: int, origin: ObservationOrigin) -> Observation | None:
        """Return what happened with `body`; None when it cannot be run."""
        try:
            source = splice(self.source, self.function, body).decode()
        except BodyError:
            return None
        function = self.function
        traced: Traced | None = self.worker.ask(run_traced, source, function.qualname, function.first_line, self.call)
        if traced is None:
            return None
        result, reached, raw, cut = traced
        events = tuple(TraceEvent(kind, line, depth, tuple(values)) for kind, line, depth, values in raw)
        outcome, message = self._verdict(result, reached)
        trace = Trace(events, cut).relative_to(function.first_line)
        return Observation(continuation, first_line, outcome, message, trace, origin)

    def _verdict(self, result: Result, reached: bool) -> tuple[Outcome, str]:
        if reached:
            return "frontier", ""
        if result.kind == "timeout":
            return "timeout", f"timed out after {CALL_TIMEOUT_S} s"
        if not differs(self.right, result):
            return "passed", ""
        return "failed", failure_text(self.call, self.right, result, 1)


def continuations(failing: FailingCase, given: int, rng: random.Random) -> list[tuple[str, ObservationOrigin]]:
    """Return continuations after the first `given` statements of the correct body; the true one in half the cases."""
    correct = logical_lines(failing.case.function.body)
    header = failing.case.function.header_lines
    depth = rng.randrange(1, HORIZON + 1)
    found: list[tuple[str, ObservationOrigin]] = []
    if rng.random() < 0.55:
        found.append(("".join(correct[given : given + depth]), "sampled"))
    faulty = logical_lines("".join(failing.fault.text.splitlines(keepends=True)[header:]))
    found.append(("".join(faulty[given : given + depth]), "sampled"))
    for _ in range(rng.randrange(0, 3)):
        mutant = inject_once(rng.choice((failing.case.function.text, failing.fault.text)), rng)
        if mutant is not None:
            lines = logical_lines("".join(mutant.text.splitlines(keepends=True)[header:]))
            found.append(("".join(lines[given : given + depth]), rng.choice(("edit", "sampled"))))
    rng.shuffle(found)
    return [(text, origin) for text, origin in dict(found).items() if text]


def signal_sample(failing: FailingCase, worker: Worker, rng: random.Random, tokenizer: Tokenizer) -> Sample | None:
    """Return one sample with a signal; None when nothing could be told."""
    function = failing.case.function
    statements = logical_lines(function.body)
    given = rng.randrange(len(statements)) if rng.random() < 0.6 else 0
    written = "".join(statements[:given])
    place = rng.choice(failing.failing)
    try:
        observer = Observer(failing, place, worker)
    except IndexError:
        return None
    faulty_body = "".join(failing.fault.text.splitlines(keepends=True)[function.header_lines :])
    found = [observer.observe(faulty_body, faulty_body, function.header_lines + 1, "faulty")]
    if rng.random() < 0.85:
        first = function.header_lines + written.count("\n") + 1
        for text, origin in continuations(failing, given, rng):
            whole = given + len(logical_lines(text)) >= len(statements)
            body = written + text if whole else complete(observer.function, written + text)
            if body:
                found.append(observer.observe(body, text, first, origin))
    text = render(
        [o for o in found if o], "tagged", lambda part: len(tokenizer.encode(part, add_special_tokens=False).ids),
        entry_tokens=rng.randint(*ENTRY_TOKENS), signal_tokens=TAGGED_SIGNAL_TOKENS,
    )  # fmt: skip
    if not text:
        return None
    tests, failure = shown_tests(failing, rng, place)
    prompt = tagged_prompt(Task(failing.fault.text, function.header_lines, tests[:2], failure))
    return Sample(prompt.with_signal(text), function.body + prompt.end, faulty_body, len(written))

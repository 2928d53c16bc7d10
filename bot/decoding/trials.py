"""Bodies, whole and half-written, run on the guiding tests: each at most once, and what it cost.

Decides how a body becomes a file to run and which of its runs is told. The session executes; nothing here does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bot.decoding.dynamic_signal import Observation, ObservationOrigin
from bot.functions import BodyError, FunctionText, splice
from bot.gate import NOT_PYTHON, forbidden
from bot.models.language_model import LanguageModel, Usage
from bot.records import Emit, Spent
from runners.runner import FRONTIER, Execution, Session, TestRun

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+\b")  # other ones in each run


@dataclass(frozen=True, slots=True)
class Progress:
    """A body that does not pass, but does better than the faulty one: it breaks no test that passed with that."""

    body: str
    passed: int  # tests that pass only with it
    further: int  # failing tests that fail in a later line of their own than before, less those that fail earlier
    behaviour: tuple[tuple[str, str, str, int], ...]  # of each test: outcome, exception, message, line in the test


@dataclass(slots=True)
class Trials:
    """The bodies of one function that were run in one session, by their text."""

    function: FunctionText
    source: bytes
    session: Session
    emit: Emit
    executions: int = 0
    _traced: dict[str, Execution] = field(default_factory=dict)
    _plain: dict[str, Execution] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)

    def run(self, bodies: Sequence[str], *, trace: bool = False) -> list[Execution | None]:
        """Return what the guiding tests did with each body; None for one that cannot or may not be run."""
        files: dict[str, bytes] = {}
        for body in bodies:
            if body not in files and body not in self._broken and self._known(body, trace) is None:
                if self._refused(body):
                    continue
                try:
                    files[body] = splice(self.source, self.function, body)
                except BodyError:
                    self._broken.add(body)
        if files:
            executions = self.session.execute(list(files.values()), trace=trace, brief=not trace)
            self.executions += len(files)
            memory = self._traced if trace else self._plain
            for body, execution in zip(files, executions, strict=True):
                memory[body] = execution
                outcome = _told(execution, 0).outcome if execution.runs else "missing"
                self.emit("execution", outcome=outcome, passed=execution.passed)
        return [self._known(body, trace) for body in bodies]

    def _refused(self, body: str) -> bool:
        """Ask the static gate, and tell of a body that may not run even once."""
        why = forbidden(self.function, self.source, body, partial=True)
        if not why or why == NOT_PYTHON:  # `splice` speaks for what does not parse
            return False
        self._broken.add(body)
        self.emit("refused", reason=why)
        return True

    def _known(self, body: str, trace: bool) -> Execution | None:
        known = self._traced.get(body)
        return known if known is not None or trace else self._plain.get(body)

    def faulty(self) -> Execution | None:
        """Return what the tests do with the function as it is."""
        return self.run([self.function.body], trace=True)[0]

    def observe(
        self, execution: Execution, continuation: str, first_line: int, origin: ObservationOrigin
    ) -> Observation | None:
        """Return what is told of an execution: its first failing test, else the one that fails without any change."""
        if not execution.runs:
            return None
        faulty = self.faulty()
        usual = next((place for place, run in enumerate(faulty.runs) if not run.passed), 0) if faulty else 0
        run = _told(execution, usual)
        trace = run.trace.relative_to(self.function.first_line) if run.trace else None
        message = (
            f"{run.exception}: {run.message}" if run.exception not in ("", *run.message.split(":")[:1]) else run.message
        )
        return Observation(continuation, first_line, run.outcome, message, trace, origin, run.node_id)

    def progress(self) -> list[Progress]:
        """Return the whole bodies run that do not pass but do better than the faulty one: most first, then as run.

        Whether they break a test that passed before is only known of those that were traced: see `held`.
        """
        faulty = self.faulty()
        if faulty is None:
            return []
        known = {**self._plain, **self._traced}
        found = [_progress(body, faulty, run) for body, run in known.items() if not run.passed and FRONTIER not in body]
        return sorted((item for item in found if item is not None), key=lambda item: (-item.passed, -item.further))

    def held(self, bodies: Sequence[str]) -> set[str]:
        """Return those of the bodies that do better than the faulty one and break nothing, by a run of all tests."""
        faulty = self.faulty()
        runs = zip(bodies, self.run(bodies, trace=True), strict=True)
        return {body for body, run in runs if run is not None and faulty is not None and _progress(body, faulty, run)}

    def observe_faulty(self) -> Observation | None:
        """Return what is told of the function as it is."""
        execution = self.faulty()
        if execution is None:
            return None
        return self.observe(execution, self.function.body, self.function.header_lines + 1, "faulty")

    def failing_lines(self) -> frozenset[int]:
        """Return the lines of the body, 1-based, that a failing test executes; empty when no trace tells."""
        faulty = self.faulty()
        traces = [run.trace for run in faulty.runs if run.trace and not run.passed] if faulty else []
        above = self.function.first_line + self.function.header_lines - 1
        return frozenset(event.line - above for trace in traces for event in trace.events if event.line > above)

    def raising_lines(self) -> frozenset[int]:
        """Return the lines of the body, 1-based, in which a failing test has its exception; not where it asserts."""
        faulty = self.faulty()
        innermost = [run.frames[-1] for run in faulty.runs if run.frames and not run.passed] if faulty else []
        above = self.function.first_line + self.function.header_lines - 1
        return frozenset(
            frame.line - above
            for frame in innermost
            if above < frame.line <= self.function.end_line and frame.function.rpartition(".")[2] == self.function.name
        )


def _progress(body: str, faulty: Execution, execution: Execution) -> Progress | None:
    """Return what a body achieves beside the faulty one, None when it is nothing or something breaks."""
    passed = further = 0
    if any(not run.passed for run in execution.runs[len(faulty.runs) :]):  # a guarding test
        return None
    for before, run in zip(faulty.runs, execution.runs, strict=False):
        if run.passed:
            passed += not before.passed
        elif run.outcome == "missing":  # it would have come later
            continue
        elif before.passed or run.phase == "collect":
            return None
        else:
            further += (_reach(run) > _reach(before)) - (_reach(run) < _reach(before))
    behaviour = tuple(
        (run.outcome, run.exception, _ADDRESS.sub("0x", run.message), _reach(run)) for run in execution.runs
    )
    return Progress(body, passed, further, behaviour) if passed or further > 0 else None


def _reach(run: TestRun) -> int:
    """Return the line of the test's own file in which it failed, 0 if it is not known."""
    path = run.node_id.partition("::")[0]
    return next((frame.line for frame in run.frames if frame.path == path), 0)


def _told(execution: Execution, usual: int) -> TestRun:
    """Return the run that tells most: the first that is seen to fail, else the usual one, else the first."""
    for run in execution.runs:
        if run.outcome not in ("passed", "frontier", "missing"):
            return run
    return execution.runs[usual if usual < len(execution.runs) else 0]


@dataclass(slots=True)
class Meter:
    """What one search has used so far."""

    model: LanguageModel | None
    trials: Trials
    clock: Callable[[], float]
    tokens: int = 0  # chosen by the decoder; sampled ones are in the model's usage
    _start: float = 0.0
    _before: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        self._start = self.clock()
        if self.model is not None:
            usage = self.model.usage
            self._before = Usage(usage.passes, usage.positions, usage.tokens)

    def spent(self) -> Spent:
        usage = self.model.usage if self.model is not None else self._before
        return Spent(
            seconds=self.clock() - self._start,
            tokens=self.tokens + usage.tokens - self._before.tokens,
            passes=usage.passes - self._before.passes,
            positions=usage.positions - self._before.positions,
            executions=self.trials.executions,
        )

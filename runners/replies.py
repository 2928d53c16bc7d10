"""What a sandbox says of tests that it ran, as records: their phases, their end, their traces, one warm execution.

Untrusted input, checked field by field: what is not as expected is cut, left out, or ends in `SandboxLost`.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from runners.fields import MESSAGE_CHARS, NODE_CHARS, count, parse_frames, seconds, text
from runners.runner import EventKind, FunctionKey, Outcome, Phase, SandboxLost, TestRun, Trace, TraceEvent

MAX_EVENTS = 2000
_PHASES: tuple[Phase, ...] = ("setup", "call", "teardown")
_KINDS = frozenset(get_args(EventKind))


class ExecutionReply:
    """The checked reply to one execution. refused: why the variant could not run this way."""

    def __init__(
        self, runs: tuple[TestRun, ...], duration_s: float, refused: str, reached: dict[str, bool], dirty: bool
    ) -> None:
        self.runs, self.duration_s, self.refused = runs, duration_s, refused
        self.reached, self.dirty = reached, dirty


class Phases:
    """The reports of one test, in the order in which they came."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self._reports: list[Mapping[str, Any]] = []
        self.ended = False
        self.functions: frozenset[FunctionKey] = frozenset()
        self.output = ""

    def add(self, report: object) -> None:
        if isinstance(report, dict) and report.get("w") in _PHASES and len(self._reports) < 12:
            self._reports.append(report)

    def forged(self) -> str:
        """Say why these reports cannot have come from one test that ran once; "" if they can."""
        phases = [report.get("w") for report in self._reports]
        if len(phases) != len(set(phases)):
            return f"{self.node_id} reported a phase twice"
        outcomes = {report.get("w"): report.get("o") for report in self._reports}
        if self.ended and outcomes.get("setup") == "passed" and "call" not in outcomes:
            return f"{self.node_id} ended without having been called"
        if self.ended and ("teardown" not in outcomes or "setup" not in outcomes):
            return f"{self.node_id} ended without its setup or teardown"
        return ""

    def run(self, *, trace: Trace | None = None, frontier: bool = False, ending: TestRun | None = None) -> TestRun:
        """Return the test's record. ending: what to say when the test never ended."""
        duration = sum(seconds(report.get("d")) for report in self._reports)
        if not self.ended and ending is not None:
            return TestRun(
                self.node_id,
                "frontier" if frontier else ending.outcome,
                ending.phase,
                message=ending.message,
                duration_s=duration,
                trace=trace,
            )
        worst = next((r for r in self._reports if r.get("o") not in ("passed", None)), None)
        if worst is None:
            complete = {report.get("w") for report in self._reports} == set(_PHASES)
            outcome: Outcome = "frontier" if frontier else "passed" if complete else "missing"
            return TestRun(
                self.node_id,
                outcome,
                duration_s=duration,
                trace=trace,
                functions=self.functions,
                output=self.output,
            )
        phase: Phase = worst["w"]
        return TestRun(
            self.node_id,
            "frontier" if frontier else _outcome(worst.get("o"), phase),
            phase,
            exception=text(worst.get("e"), 200),
            message=text(worst.get("m"), MESSAGE_CHARS),
            frames=parse_frames(worst.get("f")),
            duration_s=duration,
            trace=trace,
            functions=self.functions,
            output=self.output,
        )


def _outcome(word: object, phase: Phase) -> Outcome:
    if word == "failed":
        return "failed" if phase == "call" else "error"
    if word == "skipped":
        return "skipped"
    if word == "xfailed":
        return "xfailed"
    return "xpassed" if word == "xpassed" else "missing"


def death(node_id: str, why: str, code: object, timeout_s: float) -> TestRun:
    """Return the record of a test during which its process ended or was killed."""
    if why in ("timeout", "suite-timeout"):
        return TestRun(node_id, "timeout", message=f"stopped after {timeout_s:g} s")
    if why == "flood":
        return TestRun(node_id, "crashed", message="wrote without end into the channel of the runner")
    number = code if isinstance(code, int) else 0
    if number < 0:
        return TestRun(node_id, "crashed", message=f"the process was killed by {_signal_name(-number)}")
    return TestRun(node_id, "crashed", message=f"the process ended itself with status {number}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def parse_execution(frame: Mapping[str, Any], nodes: Sequence[str], trace: bool, timeout_s: float) -> ExecutionReply:
    """Return what a zygote said about one execution; tests it left out are "missing"."""
    answer = frame.get("d")
    if not isinstance(answer, dict):
        raise SandboxLost("The warm sandbox died half-way.", hint="The next execution starts a new one.")
    runs: dict[str, TestRun] = {}
    reached: dict[str, bool] = {}
    tests = answer.get("tests")
    for item in tests[: 4 * len(nodes)] if isinstance(tests, list) else ():
        node = item.get("n") if isinstance(item, dict) else None
        if not isinstance(node, str) or node not in nodes or node in runs:
            continue
        phases = Phases(node)
        reports = item.get("ph")
        for report in reports if isinstance(reports, list) else ():
            phases.add(report)
        why = text(item.get("why"), 20)
        phases.ended = not why and not phases.forged()
        tape = item.get("tape")
        frontier = isinstance(tape, dict) and bool(tape.get("fr"))
        reached[node] = isinstance(tape, dict) and bool(tape.get("se"))
        ending = death(node, why, item.get("code"), timeout_s) if why else None
        if ending is not None and isinstance(tape, dict) and tape.get("run"):
            ending = TestRun(node, "timeout", message="stopped in a loop that does not end")
        runs[node] = phases.run(trace=parse_trace(tape) if trace else None, frontier=frontier, ending=ending)
    errors = answer.get("errors")
    for error in errors[:20] if isinstance(errors, list) else ():
        record = collection_error(error)
        for node in nodes:
            if record and node not in runs and (node.split("::")[0] == record.node_id or not record.node_id):
                lost = Trace(lost="collection failed") if trace else None
                runs[node] = TestRun(
                    node, "error", "collect", record.exception, record.message, record.frames, trace=lost
                )
    why = text(answer.get("why"), 400)
    for node in nodes:
        if node not in runs:
            late = why.startswith("timeout")
            lost = Trace(lost=why or "no reply") if trace else None
            runs[node] = TestRun(node, "timeout" if late else "missing", message=why or "no result", trace=lost)
    ordered = tuple(runs[node] for node in nodes)
    refused = why if why and not why.startswith("timeout") else ""
    return ExecutionReply(ordered, seconds(answer.get("d")), refused, reached, bool(answer.get("dirty")))


def collection_error(frame: object) -> TestRun | None:
    """Return the record of a module or class that could not be collected."""
    if not isinstance(frame, dict):
        return None
    return TestRun(
        text(frame.get("n"), NODE_CHARS),
        "error",
        "collect",
        exception=text(frame.get("e"), 200),
        message=text(frame.get("m"), MESSAGE_CHARS),
        frames=parse_frames(frame.get("f")),
    )


def parse_trace(value: object) -> Trace:
    """Return the trace of one test; malformed events are dropped and the trace marked as cut."""
    if not isinstance(value, dict):
        return Trace(lost="the test never started")
    events, cut = [], bool(value.get("cut"))
    raw = value.get("ev")
    for item in raw[:MAX_EVENTS] if isinstance(raw, list) else ():
        event = _parse_event(item)
        if event is None:
            cut = True
        else:
            events.append(event)
    return Trace(tuple(events), cut=cut)


def _parse_event(item: object) -> TraceEvent | None:
    if not (isinstance(item, list) and len(item) == 4 and item[0] in _KINDS and isinstance(item[3], list)):
        return None
    values = tuple(
        (text(pair[0], 200), text(pair[1], 400))
        for pair in item[3][:200]
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)
    )
    kind: EventKind = item[0]
    return TraceEvent(kind, count(item[1]), count(item[2]), values)

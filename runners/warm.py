"""Warm sessions: one sandbox, many variants of one function, each in a forked child. The source of traces.

Opening a session calibrates it: the original body must come out as it does cold, and a body that only raises must be
seen by the tests, at the import level and, behind its guard, at the swap level. A level that disagrees is not used.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from runners.cold import Sandbox, Start, require_pytest, run_suite
from runners.runner import Execution, Limits, SandboxLost, SuiteRequest, Target, TestRun, Trace
from runners.wire import ExecutionReply, encode, parse_execution, text
from runners.workspace import Workspace, replace_file

_PREPARE_TIMEOUT_S = 60.0


class WarmSession:
    """A session whose level is found at the start; what a level cannot run goes to the next slower one."""

    def __init__(
        self,
        start: Start,
        workspace: Workspace,
        limits: Limits,
        target: Target,
        node_ids: Sequence[str],
        pytest_args: Sequence[str] = (),
    ) -> None:
        self.level = "cold"
        self.executions = 0
        self.why: dict[str, str] = {}  # why a faster level is not used, for reports
        self._start, self._workspace, self._limits, self._target = start, workspace, limits, target
        self._nodes = list(dict.fromkeys(node_ids))
        self._arguments = tuple(pytest_args)
        self._original = target.base.get(target.path) or workspace.read(target.path)
        self._overlay: Path | None = None
        self._sandbox: Sandbox | None = None
        try:
            self._calibrate()
        except BaseException:
            self._close_sandbox()
            raise

    def execute(self, sources: Sequence[bytes], *, trace: bool = False) -> list[Execution]:
        """Run the guiding tests on each variant, in order."""
        return [self._execute_one(source, trace) for source in sources]

    def close(self) -> None:
        """End the sandbox."""
        self._close_sandbox()

    def __enter__(self) -> WarmSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _execute_one(self, source: bytes, trace: bool) -> Execution:
        self.executions += 1
        for level in ("swap", "import")[("swap", "import", "cold").index(self.level) :]:
            reply = self._ask_patiently(level, source, trace)
            if reply is not None and not reply.refused:
                return Execution(reply.runs, reply.duration_s)
            if reply is not None and reply.refused.startswith("SyntaxError"):
                return Execution(tuple(_unparsable(node, reply.refused, trace) for node in self._nodes))
        return self._execute_cold(source, trace)

    def _execute_cold(self, source: bytes, trace: bool) -> Execution:
        request = SuiteRequest(
            tuple(self._nodes), {**self._target.base, self._target.path: source}, pytest_args=self._arguments
        )
        started = time.monotonic()
        suite = run_suite(self._start, self._workspace, self._limits, request)
        runs = suite.by_id()
        lost = Trace(lost="cold runs are not traced") if trace else None
        ordered = (runs.get(node, TestRun(node, "missing", message=suite.reason)) for node in self._nodes)
        return Execution(tuple(_with_trace(run, lost) for run in ordered), time.monotonic() - started)

    def _ask_patiently(self, level: str, source: bytes, trace: bool) -> ExecutionReply | None:
        """Ask once, and once more in a new sandbox if this one is lost; None when none can be started.

        A variant during which two sandboxes were lost is taken to be the cause.
        """
        lost = ""
        for _ in range(2):
            try:
                if self._sandbox is None and level not in self._prepare(swap=self.level == "swap"):
                    return None
            except SandboxLost:
                self._close_sandbox()
                continue
            try:
                reply = self._ask(level, source, trace=trace)
            except SandboxLost as error:
                self._close_sandbox()
                lost = error.message
                continue
            if reply.dirty:  # something survived: the next execution starts afresh
                self._close_sandbox()
            return reply
        if not lost:
            return None
        gone = Trace(lost="the sandbox was lost") if trace else None
        runs = tuple(TestRun(node, "crashed", message=lost, trace=gone) for node in self._nodes)
        return ExecutionReply(runs, 0.0, "", {}, False)

    def _ask(self, level: str, source: bytes, *, trace: bool = False, sentinel: bool = False) -> ExecutionReply:
        assert self._sandbox is not None
        assert self._overlay is not None
        replace_file(self._overlay, self._target.path, source)
        timeout = self._limits.execution_timeout_s
        frame: dict[str, Any] = {
            "op": "execute",
            "level": level,
            "source": encode(source),
            "trace": trace,
            "sentinel": sentinel,
            "timeout": timeout,
            "file_mib": self._limits.file_mib,
            "events": self._limits.trace_events,
        }
        self._sandbox.channel.send(frame)
        reply = self._sandbox.channel.expect("executed", 3 * timeout + 20)
        return parse_execution(reply, self._nodes, trace, timeout)

    def _prepare(self, *, swap: bool) -> set[str]:
        """Start the sandbox and its zygotes; return the levels that are ready."""
        if self._overlay is None:
            self._overlay = self._workspace.overlay()
            for path, content in self._target.base.items():
                replace_file(self._overlay, path, content)
        replace_file(self._overlay, self._target.path, self._original)
        self._sandbox = self._start(self._overlay)
        require_pytest(self._sandbox.hello)
        self._sandbox.channel.send(
            {
                "op": "prepare",
                "path": self._target.path,
                "qualname": self._target.qualname,
                "first_line": self._target.first_line,
                "source": encode(self._original),
                "nodes": self._nodes,
                "args": list(self._arguments),
                "swap": swap,
                "timeout": _PREPARE_TIMEOUT_S,
            }
        )
        reply = self._sandbox.channel.expect("prepared", 2 * _PREPARE_TIMEOUT_S + 10)
        ready = set()
        for level in ("import", "swap"):
            answer = reply.get(level)
            if isinstance(answer, dict) and answer.get("ok") is True:
                ready.add(level)
            elif level == "import" or swap:
                said = text(answer.get("why"), 300) if isinstance(answer, dict) else ""
                self.why[level] = said or "it did not start"
        return ready

    def _calibrate(self) -> None:
        """Find the fastest level that tells the truth about these tests."""
        request = SuiteRequest(tuple(self._nodes), self._target.base, pytest_args=self._arguments)
        cold = run_suite(self._start, self._workspace, self._limits, request)
        truth = [_outcome(run) for run in cold.tests]
        ready = self._prepare(swap=True)
        reached: dict[str, bool] = {}
        for level in ("import", "swap"):
            if level not in ready:
                break
            try:
                plain = self._ask(level, self._original)
                sentinel = self._ask(level, self._original, sentinel=True)
            except SandboxLost as error:
                self.why[level] = error.message
                break
            if plain.refused or sentinel.refused:
                self.why[level] = plain.refused or sentinel.refused
                break
            if [_outcome(run) for run in plain.runs] != truth:
                self.why[level] = _difference(truth, [_outcome(run) for run in plain.runs])
                break
            if level == "swap" and sentinel.reached != reached:
                self.why[level] = "a body that only raises reaches other tests than when it is imported"
                break
            reached = sentinel.reached
            self.level = level
        if self.level == "cold":
            self._close_sandbox()

    def _close_sandbox(self) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.close()


def _outcome(run: TestRun) -> tuple[str, str, str, str]:
    return run.node_id, run.outcome, run.phase, run.exception


def _difference(truth: list[tuple[str, str, str, str]], seen: list[tuple[str, str, str, str]]) -> str:
    for cold, warm in zip(truth, seen, strict=False):
        if cold != warm:
            return f"{cold[0]} is {cold[1]} {cold[3]} cold and {warm[1]} {warm[3]} here"
    return "other tests were run than cold"


def _with_trace(run: TestRun, trace: Trace | None) -> TestRun:
    return replace(run, trace=trace) if trace is not None else run


def _unparsable(node: str, why: str, trace: bool) -> TestRun:
    kind, _, message = why.partition(": ")
    lost = Trace(lost="the file does not compile") if trace else None
    return TestRun(node, "error", "collect", exception=kind, message=message, trace=lost)

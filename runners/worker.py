"""One warm sandbox: its zygotes, one execution at a time, and a new sandbox when it is lost.

Decides when a sandbox is replaced and when the tests get a tree they may write into. Which level of speed tells the
truth is decided by `calibrate`, the order of the levels by `runners.warm`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runners.cold import Sandbox, Start, require_pytest
from runners.fields import text
from runners.replies import ExecutionReply, parse_execution
from runners.runner import Limits, SandboxLost, Target, TestRun, Trace
from runners.wire import encode
from runners.workspace import Workspace, replace_file

Level = Literal["swap", "import"]
LEVELS: tuple[Level, ...] = ("import", "swap")  # slowest first: a level is only used if the one before it is right
READ_ONLY = "Read-only file system"  # as the kernel words it, whatever the locale of the tests: Python never translates
_PREPARE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker executes again and again: variants of one function, against these tests.

    guarding: further tests, for variants with which the others pass. known: how tests came out cold.
    """

    start: Start
    workspace: Workspace
    limits: Limits
    target: Target
    nodes: Sequence[str]
    pytest_args: Sequence[str] = ()
    guarding: Sequence[str] = ()
    known: Sequence[TestRun] = ()

    @property
    def original(self) -> bytes:
        return self.target.base.get(self.target.path) or self.workspace.read(self.target.path)

    def files(self, source: bytes | None = None) -> dict[str, bytes]:
        """Return the files that differ from the repository's, with `source` as the target's."""
        return dict(self.target.base) | ({} if source is None else {self.target.path: source})


class Worker:
    """A warm sandbox. writable: give the tests a copy that is put back after each execution, not a read-only view."""

    def __init__(self, job: Job, *, swap: bool, writable: bool = False) -> None:
        self.why: dict[str, str] = {}  # why a level is not used, for reports
        self.ready: frozenset[Level] = frozenset()
        self.writable = writable
        self.timeout_s = job.limits.execution_timeout_s  # for all tests of one variant
        self.late: Sequence[str] = ()  # tests that a variant only meets if it passes the others; in this order
        self.job, self._swap = job, swap
        self._overlay: Path | None = None
        self._sandbox: Sandbox | None = None

    def open(self) -> frozenset[Level]:
        """Start the sandbox and its zygotes; return the levels that are ready. Raises SandboxLost."""
        self.close()
        try:
            self._sandbox = self._started()
            require_pytest(self._sandbox.hello)
            self._sandbox.channel.send(self._preparation())
            reply = self._sandbox.channel.expect("prepared", 2 * _PREPARE_TIMEOUT_S + 10)
        except BaseException:
            self.close()
            raise
        found = [level for level in LEVELS if self._is_ready(level, reply.get(level))]
        self.ready = frozenset(found)
        return self.ready

    def run(
        self, level: Level, source: bytes, *, trace: bool, brief: bool = False, nodes: Sequence[str] | None = None
    ) -> ExecutionReply | None:
        """Run a variant once, and once more in a new sandbox if this one is lost; None when none can be started.

        A variant during which two sandboxes were lost is taken to be the cause: its tests have crashed.
        """
        lost = ""
        for _ in range(3):
            try:
                if self._sandbox is None:
                    self.open()
            except SandboxLost:
                continue
            if level not in self.ready:
                return None
            try:
                reply = self.ask(level, source, trace=trace, again=True, brief=brief, nodes=nodes)
            except SandboxLost as error:
                self.close()
                if lost:
                    return self._crashed(error.message, trace)
                lost = error.message
                continue
            if not reply.dirty:
                return reply
            self.close()  # something of an earlier variant survived, so this one was not run
        return None

    def ask(
        self,
        level: Level,
        source: bytes,
        *,
        trace: bool = False,
        sentinel: bool = False,
        again: bool = False,
        brief: bool = False,
        nodes: Sequence[str] | None = None,
    ) -> ExecutionReply:
        """Run a variant once. Raises SandboxLost.

        again: have a child wait for the next one. brief: ask nothing more once a test hangs or ends the process, and
        the late tests only while all before them pass. nodes: the job's.
        """
        assert self._sandbox is not None
        if self._overlay is not None and not self.writable:
            replace_file(self._overlay, self.job.target.path, source)
        timeout, wanted = self.timeout_s, nodes or self.job.nodes
        frame: dict[str, Any] = {
            "op": "execute",
            "level": level,
            "source": encode(source),
            "trace": trace,
            "sentinel": sentinel,
            "again": again,
            "rest": not brief,
            "late": list(self.late) if brief else [],
            "timeout": timeout,
            "file_mib": self.job.limits.file_mib,
            "events": self.job.limits.trace_events,
            "nodes": list(wanted),
        }
        self._sandbox.channel.send(frame)
        reply = self._sandbox.channel.expect("executed", 4 * timeout + 30)
        return parse_execution(reply, wanted, trace, timeout)

    def close(self) -> None:
        """End the sandbox; `open` or `run` starts another."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.close()

    def _started(self) -> Sandbox:
        job = self.job
        if self.writable:
            sandbox = job.start(None, warm=True)
            try:
                sandbox.channel.send_files(job.workspace.archive(job.files()), keep=True)
            except BaseException:
                sandbox.close()
                raise
            return sandbox
        if self._overlay is None:
            self._overlay = job.workspace.overlay()
            for path, content in job.files().items():
                replace_file(self._overlay, path, content)
        replace_file(self._overlay, job.target.path, job.original)
        return job.start(self._overlay, warm=True)

    def _preparation(self) -> dict[str, Any]:
        target = self.job.target
        return {
            "op": "prepare",
            "path": target.path,
            "qualname": target.qualname,
            "first_line": target.first_line,
            "source": encode(self.job.original),
            "nodes": [*self.job.nodes, *self.job.guarding],
            "args": list(self.job.pytest_args),
            "swap": self._swap,
            "timeout": _PREPARE_TIMEOUT_S,
        }

    def _is_ready(self, level: Level, answer: object) -> bool:
        if isinstance(answer, dict) and answer.get("ok") is True:
            return True
        if level == "import" or self._swap:
            said = text(answer.get("why"), 300) if isinstance(answer, dict) else ""
            self.why[level] = said or "it did not start"
        return False

    def _crashed(self, why: str, trace: bool) -> ExecutionReply:
        gone = Trace(lost="the sandbox was lost") if trace else None
        runs = tuple(TestRun(node, "crashed", message=why, trace=gone) for node in self.job.nodes)
        return ExecutionReply(runs, 0.0, "", {}, False)


@dataclass(slots=True)
class Calibration:
    """What a worker can be trusted with."""

    levels: list[Level] = field(default_factory=list)  # those that tell the truth, slowest first
    why: dict[str, str] = field(default_factory=dict)  # why another is not used
    read_only: bool = False  # a test met the read-only tree: a writable one may tell more
    usual_s: float = 0.0  # what all tests take at the slower of these levels, without those that hang
    passing: Sequence[str] = ()  # tests that pass,
    endless: Sequence[str] = ()  # and those that hang


def calibrate(worker: Worker, truth: Sequence[TestRun]) -> Calibration:
    """Find the levels at which the original body comes out as in `truth`, which is cold, and a raising one is seen."""
    found = Calibration(why=worker.why)
    original = worker.job.original
    expected = [_outcome(run) for run in truth]
    reached: dict[str, bool] = {}
    for level in LEVELS:
        if level not in worker.ready:
            break
        try:
            plain, sentinel = (worker.ask(level, original, sentinel=raising) for raising in (False, True))
        except SandboxLost as error:
            found.why[level] = error.message
            break
        found.read_only = found.read_only or met_read_only(plain.runs)
        why = _distrust(expected, plain, sentinel, reached if level == "swap" else sentinel.reached)
        if why:
            found.why[level] = why
            break
        reached = sentinel.reached
        found.levels.append(level)
        found.passing = [run.node_id for run in plain.runs if run.passed]
        found.endless = [run.node_id for run in plain.runs if run.outcome == "timeout"]
        found.usual_s = max(found.usual_s, (sentinel if found.endless else plain).duration_s)
    return found


def met_read_only(runs: Sequence[TestRun]) -> bool:
    """Say whether a test failed because the tree cannot be written into."""
    return any(READ_ONLY in run.message for run in runs)


def _distrust(
    expected: Sequence[tuple[str, ...]], plain: ExecutionReply, sentinel: ExecutionReply, reached: dict[str, bool]
) -> str:
    """Say why a level is not to be trusted, "" if it is."""
    if plain.refused or sentinel.refused:
        return plain.refused or sentinel.refused
    seen = [_outcome(run) for run in plain.runs]
    if seen != expected:
        return _difference(expected, seen)
    if sentinel.reached != reached:
        return "a body that only raises reaches other tests than when it is imported"
    return ""


def _outcome(run: TestRun) -> tuple[str, str, str, str]:
    return run.node_id, run.outcome, run.phase, run.exception


def _difference(truth: Sequence[tuple[str, ...]], seen: Sequence[tuple[str, ...]]) -> str:
    for cold, warm in zip(truth, seen, strict=False):
        if cold != warm:
            return f"{cold[0]} is {cold[1]} {cold[3]} cold and {warm[1]} {warm[3]} here"
    return "other tests were run than cold"

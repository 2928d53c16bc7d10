"""Cold runs: a fresh sandbox on a fresh copy, and the judgement of what it says. The only source of verdicts.

A test that hangs or crashes ends its process; the tests after it are run in a further fresh sandbox. With canaries,
tests of known outcome are mixed in: code that forges reports forges theirs too, and is found out (level J4). A body
written against this very protocol can still win: reports of one process are evidence, not proof.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from runners.apart import FunctionApart
from runners.comparison import comparing_frame, parse_compared
from runners.fields import NODE_CHARS, parse_function, text
from runners.replies import Phases, collection_error, death
from runners.runner import (
    ComparedCall,
    FunctionKey,
    InterpreterMissing,
    Limits,
    SandboxLost,
    SuiteRequest,
    SuiteRun,
    TestRun,
)
from runners.wire import Channel, Hello
from runners.workspace import Workspace

MAX_RESTARTS = 20
MAX_COMPARED = 2000  # compared calls that are taken in


class Sandbox(Protocol):
    """A started harness. root: the repository's path inside. hello: what it said about itself."""

    channel: Channel
    hello: Hello
    root: str

    def close(self) -> None: ...


class Start(Protocol):
    """Starts a sandbox: with a read-only view of an overlay, or (None) with an empty writable repository.

    warm: many executions are to come out the same, so that hashes are not random.
    """

    def __call__(self, overlay: Path | None, *, warm: bool = False) -> Sandbox: ...


def run_suite(start: Start, workspace: Workspace, limits: Limits, request: SuiteRequest) -> SuiteRun:
    """Run tests in fresh processes on fresh copies until each has a result or the time is used up."""
    if workspace.empty and not request.files:
        return SuiteRun((), complete=True)
    started = time.monotonic()
    canaries = Canaries() if request.canaries else None
    record = SuiteRecord(request, limits, canaries)
    files = dict(request.files) | ({canaries.path: canaries.source()} if canaries else {})
    archive = workspace.archive(files)
    apart = request.apart
    function = FunctionApart(start, workspace.archive(apart.files), limits, apart) if apart else None
    with function or nullcontext():
        for _ in range(MAX_RESTARTS + 1):
            left = limits.suite_timeout_s - (time.monotonic() - started)
            if left <= 0:
                record.stop(f"stopped after {limits.suite_timeout_s:g} s")
            if record.over:
                break
            _run_once(start, archive, record, left, function)
        else:
            record.stop("too many tests ended their process")
    suite = record.finish(time.monotonic() - started)
    return replace(suite, asked=function.asked, unasked=tuple(function.unasked)) if function else suite


def _run_once(start: Start, archive: bytes, record: SuiteRecord, left: float, function: FunctionApart | None) -> None:
    sandbox = start(None)
    try:
        require_pytest(sandbox.hello)
        if not sandbox.channel.send_files(archive):
            raise SandboxLost("The sandbox received an empty repository.")
        sandbox.channel.send(record.begin(sandbox, left))
        end = time.monotonic() + left + 20
        while True:
            try:
                reply = sandbox.channel.receive(end - time.monotonic())
            except SandboxLost as error:
                record.lost(error.message)
                return
            if record.take(reply):
                return
            answer = function.take(record.checked(reply)) if function else None
            if answer is not None:
                sandbox.channel.send(answer)
    finally:
        sandbox.close()


def require_pytest(hello: Hello) -> None:
    """Raise InterpreterMissing if the interpreter in the sandbox has no pytest."""
    if not hello.pytest:
        raise InterpreterMissing(
            f"The interpreter for the tests (Python {hello.python}) has no pytest.",
            hint="Install it there (python -m pip install pytest), or name another interpreter with --python.",
        )


class SuiteRecord:
    """What a suite said so far, over all its processes, and what is still to be run."""

    def __init__(self, request: SuiteRequest, limits: Limits, canaries: Canaries | None = None) -> None:
        self.over = False
        self._request, self._limits, self._canaries = request, limits, canaries
        self._wanted = request.node_ids if request.node_ids is None else tuple(dict.fromkeys(request.node_ids))
        self._expected: dict[str, None] = dict.fromkeys(self._wanted or ())
        self._tests: dict[str, TestRun] = {}
        self._broken: list[str] = []  # modules whose import ended the process
        self._tampered = self._reason = self._output = self._python = self._pytest = self._uncompared = ""
        self._compared: list[ComparedCall] = []

    def begin(self, sandbox: Sandbox, left: float) -> dict[str, Any]:
        """Return the request for the next process and get ready to read it."""
        self._python, self._pytest = sandbox.hello.python, sandbox.hello.pytest
        self._nonce = secrets.token_hex(16)
        self._current: Phases | None = None
        self._collecting, self._collected = "", False
        self._functions: dict[int, FunctionKey] = {}
        self._status: int | None = None
        self._before = len(self._tests)
        self._seen: set[str] = set()
        nodes = None if self._wanted is None and not self._collected_once else [*self._open()]
        return {
            "op": "suite",
            "nonce": self._nonce,
            "nodes": nodes,
            "args": [*self._request.pytest_args, *(f"--ignore={name}" for name in self._broken)],
            "coverage": self._request.coverage,
            "collect_only": self._request.collect_only,
            "compare": comparing_frame(self._request.comparing),
            "canaries": [f"{sandbox.root}/{self._canaries.path}"] if self._canaries else [],
            "suite_timeout": left,
            "test_timeout": self._limits.test_timeout_s,
            "file_mib": self._limits.file_mib,
            "output": self._limits.output_kib * 1024,
            "apart": self._request.apart is not None,
        }

    _collected_once = False

    def _open(self) -> list[str]:
        return [n for n in self._expected if n not in self._tests and n.split("::")[0] not in self._broken]

    def checked(self, reply: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what pytest's process says in a frame, {} if it is not from there."""
        frame = reply.get("d") if reply.get("k") == "child" else None
        return frame if isinstance(frame, dict) and frame.get("x") == self._nonce else {}

    def take(self, reply: Mapping[str, Any]) -> bool:
        """Take in one frame of the harness; True when the process has ended."""
        kind = reply.get("k")
        if kind == "child":
            frame = reply.get("d")
            if isinstance(frame, dict) and frame.get("x") == self._nonce:
                self._take_child(frame)
            else:
                self._tamper("a report came without the nonce of the run")
        elif kind == "garbled":
            self._tamper("something other than pytest wrote into the channel of reports")
        elif kind == "exit":
            self._take_exit(reply)
            return True
        elif kind == "error":
            self.stop(text(reply.get("why"), 300))
            return True
        return False

    def _take_child(self, frame: dict[str, Any]) -> None:
        kind, node = frame.get("k"), text(frame.get("n"), NODE_CHARS)
        current = self._current if self._current is not None and self._current.node_id == node else None
        if kind == "start":
            self._close(TestRun("", "crashed", message="the test never ended"))
            self._current = Phases(node)
        elif kind == "phase" and current is not None:
            current.add(frame)
        elif kind == "end" and current is not None:
            self._take_end(current, frame)
        elif kind == "fn":
            function, number = parse_function(frame), frame.get("i")
            if function is not None and isinstance(number, int):
                self._functions[number] = function
        elif kind in ("compared", "uncompared"):
            self._take_compared(frame)
        elif kind == "collecting":
            self._collecting = node
        elif kind == "collect_error":
            self._take_collect_error(frame)
        elif kind == "collected":
            self._take_collected(frame.get("n"))
        elif kind == "internal":
            self._reason = self._reason or f"pytest failed: {text(frame.get('m'), 500)}"
        elif kind == "done":
            self._status = frame["status"] if isinstance(frame.get("status"), int) else None

    def _take_compared(self, frame: Mapping[str, Any]) -> None:
        comparing = self._request.comparing
        if comparing is None or len(self._compared) >= MAX_COMPARED:
            return
        call = parse_compared(frame, len(comparing.sources), len(comparing.examples))
        if call is not None:
            self._compared.append(call)
        else:
            self._uncompared = text(frame.get("m"), 300) or "the sandbox told nonsense"

    def _take_collected(self, nodes: object) -> None:
        self._collected = True
        if self._wanted is None:
            for node in nodes if isinstance(nodes, list) else ():
                name = text(node, NODE_CHARS)
                if name and not (self._canaries and self._canaries.owns(name)):
                    self._expected.setdefault(name)
            self._collected_once = True

    def _take_collect_error(self, frame: object) -> None:
        error = collection_error(frame)
        if error is None or (self._canaries and self._canaries.owns(error.node_id)):
            return
        if self._wanted is None:
            self._tests.setdefault(error.node_id, error)
            return
        for node in self._expected:  # asked for by name: the error is theirs
            if node == error.node_id or node.startswith((error.node_id + "::", error.node_id + "[")):
                self._tests.setdefault(node, replace(error, node_id=node))

    def _take_end(self, current: Phases, frame: Mapping[str, Any]) -> None:
        numbers = frame.get("fn")
        current.ended = True
        current.functions = frozenset(
            self._functions[number]
            for number in (numbers if isinstance(numbers, list) else ())
            if isinstance(number, int) and number in self._functions
        )
        current.output = text(frame.get("out"), self._limits.output_kib * 1024)
        self._tamper(current.forged())
        self._close(None)

    def _close(self, ending: TestRun | None) -> None:
        """The current test is over."""
        phases, self._current = self._current, None
        if phases is None:
            return
        if phases.node_id in self._seen:
            self._tamper(f"{phases.node_id} was reported twice")
            return
        self._seen.add(phases.node_id)
        run = phases.run(ending=ending)
        if self._canaries and self._canaries.owns(run.node_id):
            self._tamper(self._canaries.judge(run, any(test.passed for test in self._tests.values())))
        elif run.node_id in self._expected:
            self._tests[run.node_id] = run
            if self._request.progress is not None:
                self._request.progress(len(self._tests), len(self._expected))
        else:
            self._tamper(f"{run.node_id} was run but never collected")

    def _take_exit(self, reply: Mapping[str, Any]) -> None:
        """The process has ended: close what it left open and decide whether another is needed."""
        why, code = text(reply.get("why"), 20), reply.get("code")
        self._output = text(reply.get("out"), self._limits.output_kib * 1024) or self._output
        limits, finished = self._limits, self._status is not None
        if why == "suite-timeout":
            self.stop(f"stopped after {limits.suite_timeout_s:g} s")
        limit = limits.suite_timeout_s if why == "suite-timeout" else limits.test_timeout_s
        open_test = self._current
        if self._canaries and self._collected and not finished and why == "exited" and code == 0:
            self._tamper("the process ended itself with status 0 before pytest was done")
        ending = death("", why, code, limit) if not finished else _ENDED_THE_RUN
        if open_test is not None:
            self._close(ending)
        elif not finished and not self._collected and self._collecting:
            self._broken.append(self._collecting)
            self._tests[self._collecting] = replace(ending, node_id=self._collecting, phase="collect")
        elif not self._collected and (not finished or self._status not in (0, 1, 5)):
            self.stop(self._reason or (f"pytest ended with status {self._status}" if finished else ending.message))
        if finished and self._canaries:
            missing = self._canaries.missing(self._seen) if self._status in (0, 1) and open_test is None else ""
            forged = "pytest reported success although canary tests must fail" if self._status == 0 else ""
            self._tamper(missing or forged)
        if finished and open_test is None and self._status != 2:
            self.over = True
        elif len(self._tests) == self._before:
            self.stop("no test made progress" if not self._reason else "")
        elif (self._wanted is not None or self._collected_once) and not self._open():
            self.over = True

    def _tamper(self, why: str) -> None:
        self._tampered = self._tampered or why

    def stop(self, why: str) -> None:
        """End the run before every test has a result."""
        self._reason = self._reason or why
        self.over = True

    def lost(self, why: str) -> None:
        """The sandbox itself died: what was running has no result."""
        self._current = None
        self.stop(why)

    def finish(self, duration_s: float) -> SuiteRun:
        """Return the record of the whole run; tests without a result are "missing"."""
        tests = list(self._tests.values())
        for node in self._expected:
            if node not in self._tests:
                tests.append(self._without_result(node))
        order = {node: place for place, node in enumerate(self._expected)}
        tests.sort(key=lambda test: order.get(test.node_id, -1))
        return SuiteRun(
            tests=tuple(tests),
            complete=not self._reason,
            reason=self._reason,
            tampered=self._tampered,
            duration_s=duration_s,
            output=self._output,
            python=self._python,
            pytest=self._pytest,
            compared=tuple(call for call in self._compared if call.example < 0),
            examples=tuple(call for call in self._compared if call.example >= 0),
            uncompared=self._uncompared,
        )

    def _without_result(self, node: str) -> TestRun:
        broken = self._tests.get(node.split("::")[0])
        if broken is not None:
            return replace(broken, node_id=node)
        return TestRun(
            node, "missing", message="not run" if self._reason or self._request.collect_only else "not collected"
        )


_ENDED_THE_RUN = TestRun("", "crashed", message="the test ended the whole run")


class Canaries:
    """Tests of known outcome under random names, in a folder of their own."""

    def __init__(self) -> None:
        def name() -> str:
            return "test_" + secrets.token_hex(6)

        self._asserts, self._raises, self._errors, self._passes = name(), name(), name(), name()
        self._fixture = "fixture_" + secrets.token_hex(6)
        self.path = f"folder_{secrets.token_hex(6)}/{secrets.token_hex(6)}_cases.py"

    def source(self) -> bytes:
        """Return the module that holds them."""
        return (
            "import pytest\n\n\n"
            f"@pytest.fixture\ndef {self._fixture}():\n    raise RuntimeError\n\n\n"
            f"def {self._asserts}():\n    assert not 1\n\n\n"
            f"def {self._raises}():\n    with pytest.raises(ZeroDivisionError):\n        pass\n\n\n"
            f"def {self._errors}({self._fixture}):\n    pass\n\n\n"
            f"def {self._passes}():\n    assert 1\n"
        ).encode()

    def owns(self, node_id: str) -> bool:
        return node_id.split("::")[0] == self.path

    def judge(self, run: TestRun, others_pass: bool) -> str:
        """Say what is wrong with the outcome of a canary; "" when it is as known."""
        known = {self._asserts: "failed", self._raises: "failed", self._errors: "error", self._passes: "passed"}
        wanted = known.get(run.node_id.partition("::")[2])
        if run.outcome == wanted or (run.outcome == "error" and run.phase == "setup" and not others_pass):
            return ""
        return f"a canary test that must be {wanted!r} came out as {run.outcome!r}"

    def missing(self, seen: set[str]) -> str:
        """Say whether a canary was not run."""
        names = (self._asserts, self._raises, self._errors, self._passes)
        return "" if all(f"{self.path}::{name}" in seen for name in names) else "a canary test was not run"

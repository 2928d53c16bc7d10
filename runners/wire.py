"""The host's half of the wire: a channel to the harness, and the checked parsing of everything that comes back.

Replies are untrusted input: each field is checked for type and size, and what is not as expected is cut, left out, or
ends in `SandboxLost`. Nothing here knows how the sandbox is made.
"""

from __future__ import annotations

import base64
import json
import math
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, get_args

from runners.runner import (
    ComparedCall,
    Comparing,
    EventKind,
    Frame,
    FunctionKey,
    Outcome,
    Phase,
    Result,
    ResultKind,
    SandboxLost,
    Target,
    TestRun,
    Trace,
    TraceEvent,
)

PROTOCOL = 1
MAX_LINE = 24 << 20
MESSAGE_CHARS = 2000
NODE_CHARS = 4000
MAX_EVENTS = 2000

BOOTSTRAP = (
    "import os,sys\n"
    "def r(n):\n"
    " b=b''\n"
    " while len(b)<n:\n"
    "  p=os.read(0,n-len(b))\n"
    "  if not p:os._exit(3)\n"
    "  b+=p\n"
    " return b\n"
    "s=r(int.from_bytes(r(4),'big'))\n"
    "sys.path[:]=[p for p in sys.path if p]\n"
    "n={'__name__':'egcfg_harness','__builtins__':__builtins__}\n"
    "exec(compile(s,'<egcfg-harness>','exec'),n)\n"
    "n['serve']()"
)
"""What `python -c` runs: it reads the harness from stdin, so that the sandbox needs no file of ours."""

INTERPRETER_FLAGS = ("-s", "-B", "-c", BOOTSTRAP)


def harness_source() -> bytes:
    """Return the harness as the bootstrap expects it: its length in four bytes, then its text."""
    source = Path(__file__).with_name("harness.py").read_bytes()
    return len(source).to_bytes(4, "big") + source


class Stream(Protocol):
    """Bytes to and from a sandbox."""

    def send(self, data: bytes, deadline: float) -> None:
        """Write everything, or raise OSError, TimeoutError included."""
        ...

    def receive(self, timeout_s: float) -> bytes | None:
        """Return some bytes, b"" at the end, None when nothing came in time."""
        ...

    def last_words(self) -> str:
        """Return why the sandbox ended, as far as it can be known."""
        ...

    def close(self) -> None: ...


class ProcessStream:
    """A stream over the pipes of a process; closing it kills the process and its group."""

    def __init__(self, process: subprocess.Popen[bytes], ended: Callable[[], None] | None = None) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._ended = ended
        self._to, self._from = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(self._to, False)

    def send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([], [self._to], [], left)[1]:
                raise TimeoutError("the sandbox does not read")
            view = view[os.write(self._to, view[: 1 << 16]) :]

    def receive(self, timeout_s: float) -> bytes | None:
        if not select.select([self._from], [], [], max(timeout_s, 0))[0]:
            return None
        return os.read(self._from, 1 << 18)

    def last_words(self) -> str:
        stderr = self._process.stderr
        if stderr is None:
            return ""
        os.set_blocking(stderr.fileno(), False)
        try:
            said = stderr.read(4000) or b""
        except OSError:
            said = b""
        return said.decode("utf-8", "replace").strip()[-500:]

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._ended is not None:
            self._ended()


class SocketStream:
    """A stream over Docker's attach socket: 8-byte headers name the stream and the length of each piece."""

    def __init__(self, connection: socket.socket, ended: Callable[[], str], close: Callable[[], None]) -> None:
        self._socket, self._ended, self._close = connection, ended, close
        self._raw = b""
        self._errors = b""

    def send(self, data: bytes, deadline: float) -> None:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.01))
        self._socket.sendall(data)

    def receive(self, timeout_s: float) -> bytes | None:
        end = time.monotonic() + timeout_s
        while True:
            while len(self._raw) >= 8 and len(self._raw) >= 8 + (size := int.from_bytes(self._raw[4:8], "big")):
                kind, piece = self._raw[0], self._raw[8 : 8 + size]
                self._raw = self._raw[8 + size :]
                if kind == 1:
                    return piece
                self._errors = (self._errors + piece)[-4000:]
            left = end - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(1 << 18)
            except TimeoutError:
                return None
            if not data:
                return b""
            self._raw += data

    def last_words(self) -> str:
        said = self._errors.decode("utf-8", "replace").strip()[-500:]
        return "; ".join(part for part in (self._ended(), said) if part)

    def close(self) -> None:
        self._socket.close()
        self._close()


class Channel:
    """JSON lines to the harness and back, each with a deadline."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._scanned = 0

    def boot(self, *, root: str, tmp: str, was: str, processes: int = 0, timeout_s: float = 60.0) -> Hello:
        """Hand over the harness and greet it.

        root: the repository's path inside; was: its path outside; processes: a limit to set inside, 0 for none.
        """
        self.send_bytes(harness_source(), timeout_s)
        self.send({"op": "hello", "root": root, "tmp": tmp, "was": was, "processes": processes})
        return Hello(self.expect("hello", timeout_s))

    def send(self, frame: Mapping[str, Any], timeout_s: float = 30.0) -> None:
        self.send_bytes(json.dumps(frame, separators=(",", ":")).encode() + b"\n", timeout_s)

    def send_bytes(self, data: bytes, timeout_s: float) -> None:
        try:
            self._stream.send(data, time.monotonic() + timeout_s)
        except OSError as error:
            raise self._lost("The sandbox stopped listening", error) from error

    def send_files(self, archive: bytes, timeout_s: float = 120.0, *, keep: bool = False) -> int:
        """Send the repository as a tar; return how many entries arrived. keep: put it back after every execution."""
        self.send({"op": "files", "size": len(archive), "keep": keep})
        self.send_bytes(archive, timeout_s)
        return _count(self.expect("files", timeout_s).get("count"))

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """Return the next frame; raise SandboxLost when none comes in time or it is no JSON object."""
        end = time.monotonic() + timeout_s
        while (place := self._buffer.find(b"\n", self._scanned)) < 0:
            self._scanned = len(self._buffer)
            if len(self._buffer) > MAX_LINE:
                raise self._lost("The sandbox sent a reply that never ends")
            try:
                data = self._stream.receive(end - time.monotonic())
            except OSError as error:
                raise self._lost("The sandbox is gone", error) from error
            if data is None:
                raise self._lost(f"The sandbox did not answer within {timeout_s:.0f} s")
            if not data:
                raise self._lost("The sandbox ended")
            self._buffer += data
        line = bytes(self._buffer[:place])
        del self._buffer[: place + 1]
        self._scanned = 0
        try:
            frame = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._lost("The sandbox answered nonsense", error) from error
        if not isinstance(frame, dict):
            raise self._lost("The sandbox answered nonsense")
        return frame

    def expect(self, kind: str, timeout_s: float) -> dict[str, Any]:
        """Return the next frame, which must be of this kind."""
        frame = self.receive(timeout_s)
        if frame.get("k") == "error":
            raise self._lost(f"The sandbox reports: {text(frame.get('why'), 300)}")
        if frame.get("k") != kind:
            raise self._lost(f"The sandbox answered {text(frame.get('k'), 40)!r} instead of {kind!r}")
        return frame

    def close(self) -> None:
        self._stream.close()

    def _lost(self, what: str, error: BaseException | None = None) -> SandboxLost:
        words = self._stream.last_words()
        detail = "; ".join(part for part in (str(error) if error else "", words) if part)
        return SandboxLost(
            f"{what}{': ' + detail if detail else ''}.", hint="Run again; if it stays, raise the limits."
        )


class Hello:
    """What the harness said about itself."""

    def __init__(self, frame: Mapping[str, Any]) -> None:
        if frame.get("protocol") != PROTOCOL:
            raise SandboxLost("The harness speaks another protocol.", hint="Reinstall egcfg-fix.")
        self.python = text(frame.get("python"), 40)
        self.pytest = text(frame.get("pytest"), 40)
        self.pid = _count(frame.get("pid"))
        self.uid = _count(frame.get("uid"))
        status = frame.get("status")
        self.status = {text(k, 20): text(v, 40) for k, v in status.items()} if isinstance(status, dict) else {}
        self.denied = frame.get("denied") is True  # whether our own filter of system calls is in force
        limits = frame.get("limits")
        self.limits = {text(k, 20): text(v, 80) for k, v in limits.items()} if isinstance(limits, dict) else {}
        interfaces = frame.get("interfaces")
        self.interfaces = [text(name, 40) for name in interfaces] if isinstance(interfaces, list) else []


# --- checked fields ------------------------------------------------------------------------------------------------


def text(value: object, limit: int) -> str:
    """Return a string cut to `limit`, without surrogates; "" for anything that is no string."""
    if not isinstance(value, str):
        return ""
    return value[:limit].encode("utf-8", "replace").decode("utf-8")


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else 0


def seconds(value: object) -> float:
    """Return a duration, 0.0 for anything that is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    return 0.0


def relative_path(value: object) -> str:
    """Return a POSIX path that stays inside the repository, else ""."""
    path = text(value, 1000)
    return path if path and not path.startswith("/") and ".." not in path.split("/") else ""


def parse_frames(value: object) -> tuple[Frame, ...]:
    """Return the well-formed frames of a traceback."""
    found = []
    for item in value[:40] if isinstance(value, list) else ():
        if isinstance(item, list) and len(item) == 3 and relative_path(item[0]):
            found.append(Frame(relative_path(item[0]), _count(item[1]), text(item[2], 300)))
    return tuple(found)


def parse_function(frame: Mapping[str, Any]) -> FunctionKey | None:
    """Return the function a frame names, None if it is malformed."""
    path, name, line = relative_path(frame.get("p")), text(frame.get("q"), 300), _count(frame.get("l"))
    return FunctionKey(path, name, line) if path and name and line else None


_RESULTS = frozenset(get_args(ResultKind))
ARGUMENT_CHARS = 300


def comparing_frame(comparing: Comparing | None) -> dict[str, Any] | None:
    """Return how a comparison is asked for."""
    if comparing is None:
        return None
    return {
        **_varied(comparing.target, comparing.sources),
        "nearby": comparing.nearby,
        "calls": comparing.calls,
        "seconds": comparing.seconds,
        "beside": [_varied(one.target, one.sources) for one in comparing.beside],
        "examples": [[example.arguments, example.expected] for example in comparing.examples],
    }


def _varied(target: Target, sources: Sequence[bytes]) -> dict[str, Any]:
    return {
        "path": target.path,
        "qualname": target.qualname,
        "first_line": target.first_line,
        "sources": [encode(source) for source in sources],
    }


def parse_compared(frame: Mapping[str, Any], variants: int, examples: int = 0) -> ComparedCall | None:
    """Return one compared call, None if it is malformed or does not speak of each of the variants.

    examples: how many were asked for, when the frame tells of one of them.
    """
    raw = frame.get("r")
    results = []
    for item in raw[:variants] if isinstance(raw, list) else ():
        if not (isinstance(item, list) and len(item) in (3, 4) and item[0] in _RESULTS):
            return None
        holds = item[0] == "value" and item[3:] == [True]
        results.append(Result(item[0], text(item[1], ARGUMENT_CHARS), text(item[2], 200), holds))
    place = _count(frame.get("e")) - 1 if "e" in frame else -1
    if len(results) != variants or not -1 <= place < examples:
        return None
    node, arguments = text(frame.get("n"), NODE_CHARS), text(frame.get("a"), ARGUMENT_CHARS)
    return ComparedCall(node, arguments, frame.get("near") is True, tuple(results), place)


_KINDS = frozenset(get_args(EventKind))


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
    return TraceEvent(kind, _count(item[1]), _count(item[2]), values)


_PHASES: tuple[Phase, ...] = ("setup", "call", "teardown")


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
    import signal

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


class ExecutionReply:
    """The checked reply to one execution. refused: why the variant could not run this way."""

    def __init__(
        self, runs: tuple[TestRun, ...], duration_s: float, refused: str, reached: dict[str, bool], dirty: bool
    ) -> None:
        self.runs, self.duration_s, self.refused = runs, duration_s, refused
        self.reached, self.dirty = reached, dirty


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


def encode(source: bytes) -> str:
    """Return bytes as they travel inside a JSON frame."""
    return base64.b64encode(source).decode("ascii")

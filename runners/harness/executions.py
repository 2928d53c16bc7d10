"""What a zygote does with a request: one child for each execution, and what is left of it afterwards."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from runners.harness.child import Child
from runners.harness.kept import exit_now, fork, monotonic, read
from runners.harness.lines import Emit, Message, emitter, send_line
from runners.harness.pages import checked_ranges, copy_pages
from runners.harness.processes import cap, children, cpu_seconds, detach, sweep
from runners.harness.syscalls import PR_SET_DUMPABLE, prctl
from runners.harness.tape import Tape
from runners.harness.tree import wipe


class Executions:
    """Answers requests by children of this process. The next child is forked beforehand and waits.

    nodes: the tests in question. begin: called in a child with its request and where it reports to; puts the variant
    in place. What the child writes on `tape` outlives it.
    """

    def __init__(
        self,
        channel: socket.socket,
        tape: Tape,
        nodes: Sequence[str],
        tmp: str,
        begin: Callable[[Message, Emit], None],
    ) -> None:
        self.channel, self.tape, self.nodes, self.tmp, self.begin = channel, tape, nodes, tmp, begin
        self.keep = children()
        self.files = set(os.listdir(tmp)) if tmp else set()
        self.waiting: Child | None = None
        self.pages: list[tuple[int, int]] | None = None  # what the first child wrote to
        self.dirty = False

    def execute(self, request: Message) -> bool:
        """Answer one request by a child. Returns True in the child, which goes on to run the tests.

        With "rest", a second and a third child run what is left of the tests after one that hangs or ends the process.
        Tests in "late" come last, in that order, and none after one that has failed.
        """
        started = monotonic()
        limit, wanted = float(request["timeout"]), set(request.get("nodes") or self.nodes)
        late = {node: place for place, node in enumerate(request.get("late", ()))}
        pending = sorted((node for node in self.nodes if node in wanted), key=lambda node: late.get(node, -1))
        answer: Message = {"tests": [], "errors": [], "why": ""}
        for _ in range(3 if request.get("rest") else 1):
            talk = self._converse(dict(request, nodes=pending), limit)
            if talk is None:
                return True
            child, frames = talk
            refused = next((frame["why"] for frame in frames if frame["k"] == "refused"), None)
            if refused is not None:
                answer["why"] = str(refused)
                break
            last = _merge(answer, frames, child, self.nodes, self.tape.read())
            if last is None or last not in pending:
                break
            pending, limit = pending[pending.index(last) + 1 :], limit / 2
            if not pending:
                break
            self._clean(child)
        answer["d"] = round(monotonic() - started, 6)
        send_line(self.channel, answer)
        self._clean(child)
        send_line(self.channel, {"dirty": self.dirty})
        if request.get("again"):
            self.waiting = self._spawn()
            return self.waiting is None
        return False

    def _converse(self, request: Message, limit: float) -> tuple[Child, list[Message]] | None:
        """Return (child, what it said) for a request given to the child that waits; None in the child itself.

        One that dies or stops while it waits, which code in another child can bring about, is replaced once.
        """
        replaced = False
        while True:
            child, self.waiting = self.waiting or self._spawn(), None
            if child is None:
                return None
            self.tape.clear()
            request["scout"] = bool(request.get("again")) and self.pages is None
            frames = _gather(child, limit) if child.tell(request, monotonic() + limit) else []
            if not frames:
                self._clean(child)
            if frames or replaced:
                break
            replaced = True
        pages = next((frame.get("r") for frame in frames if frame["k"] == "pages"), None)
        if pages is not None:
            self.pages = checked_ranges(pages)
        return child, frames

    def _spawn(self) -> Child | None:
        """Fork the child that will run the next request. Returns it; None in the child, once it has its request."""
        receive, send = os.pipe()
        ear, tell = os.pipe()
        parent = os.getpid()
        pid = fork()
        if pid:
            os.close(send)
            os.close(ear)
            return Child(pid, receive, tell)
        emit = emitter(send)
        detach([receive, tell, self.channel.fileno()])
        if os.getppid() != parent:  # it ended before we could ask to end with it
            exit_now(1)
        self.begin(self._await(ear, emit), emit)
        return None

    def _await(self, ear: int, emit: Emit) -> Message:
        """Wait for the request, with the memory that it will take already made our own."""
        if self.pages:
            copy_pages(self.pages)
        prctl(PR_SET_DUMPABLE, 0)  # until then nobody may look into this process or change it
        heard = b""
        while not heard.endswith(b"\n"):
            data = read(ear, 1 << 16)
            if not data:
                exit_now(0)
            heard += data
        os.close(ear)
        request: Message = json.loads(heard)
        prctl(PR_SET_DUMPABLE, 1)
        cap(2 * request["timeout"], request["file_mib"])
        emit({"k": "begun"})
        return request

    def _clean(self, child: Child) -> None:
        """Remove what a child left; what cannot be removed makes this process unfit for another."""
        child.end()
        swept = sweep(self.keep)
        self.dirty = self.dirty or not swept or (bool(self.tmp) and not wipe(self.tmp, self.files))


def _gather(child: Child, limit: float) -> list[Message]:
    """Return what a child says until it is done; on a busy machine, which does not let it run, for twice the time."""
    frames: list[Message] = []
    started, used = monotonic(), cpu_seconds(child.pid)

    def end() -> float:
        late = monotonic() >= started + limit
        return started + (2 * limit if late and cpu_seconds(child.pid) - used < limit / 2 else limit)

    for line in child.lines(end):
        try:
            frame = json.loads(line)
            if isinstance(frame, dict) and isinstance(frame.get("k"), str):
                frames.append(frame)
                if frame["k"] in ("done", "refused"):
                    child.why = "exited"
        except ValueError:
            continue
    return frames


def _merge(
    answer: Message, frames: list[Message], child: Child, nodes: Sequence[str], tapes: dict[int, dict[str, Any]]
) -> Any:
    """Add one child's tests to the answer. Return the test during which the child ended, if any."""
    current: Message | None = None
    for frame in frames:
        kind = frame["k"]
        if kind == "start":
            current = {"n": frame.get("n"), "ph": [], "why": "", "tape": None}
            if current["n"] in nodes:
                current["tape"] = tapes.get(nodes.index(current["n"]))
            answer["tests"].append(current)
        elif kind == "phase" and current is not None:
            current["ph"].append(frame)
        elif kind == "end":
            current = None
        elif kind == "collect_error":
            answer["errors"].append(frame)
    if current is not None:
        runaway = current["tape"] is not None and current["tape"].get("run")
        current["why"] = "timeout" if runaway or child.why != "exited" else "crashed"
        current["code"] = child.code
        return current["n"]
    if child.why != "exited" and not answer["tests"]:
        answer["why"] = "timeout before the first test"
    return None

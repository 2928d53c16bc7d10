"""The process that answers calls of one function which runs apart from its tests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence

from runners.harness.apart import serve_function
from runners.harness.appearance import redirect
from runners.harness.child import Child
from runners.harness.kept import fork, monotonic
from runners.harness.lines import Message
from runners.harness.processes import become_child, sweep


class Answerer:
    """Starts it, and starts it again when it has ended. close: descriptors that are none of its business."""

    def __init__(self, root: str, request: Message, close: Sequence[int]) -> None:
        self.root, self.request, self.close = root, request, close
        self.child: Child | None = None
        self.lines: Iterator[bytes] = iter(())
        self.until = 0.0

    def start(self) -> str:
        """Start the process; return why it cannot answer, "" if it can."""
        receive, send = os.pipe()
        ear, tell = os.pipe()
        pid = fork()
        if pid == 0:
            become_child([receive, tell, *self.close], self.request["seconds"], self.request["file_mib"])
            redirect(os.devnull)
            serve_function(self.root, self.request, ear, send)
        os.close(send)
        os.close(ear)
        self.child = child = Child(pid, receive, tell)
        self.until = monotonic() + self.request["timeout"]
        self.lines = child.lines(lambda: self.until)
        said = self._next(child)
        return "" if said.get("k") == "ready" else str(said.get("why") or "it did not start")

    def ask(self, arguments: object) -> Message:
        """Return what came of one call; {"why": ...} where nothing did."""
        why = "" if self.child is not None else self.start()
        if why or self.child is None:
            return {"why": why or "it did not start"}
        self.until = monotonic() + self.request["timeout"]
        told = self.child.tell({"a": arguments}, self.until)
        return self._next(self.child) if told else {"why": "it does not listen"}

    def _next(self, child: Child) -> Message:
        """Return what the process says next; {"why": ...} when it ended, is silent or talks nonsense."""
        line = next(self.lines, None)
        try:
            said = json.loads(line) if line is not None else None
        except ValueError:
            said = None
        if isinstance(said, dict):
            return said
        why = "nonsense" if line is not None else child.why or "silence"
        child.end()
        sweep(set())
        self.child = None
        return {"why": why}

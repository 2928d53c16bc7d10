"""What a function did: the probes' receiver, which turns their calls into events with the values that changed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal

from runners.harness.kept import getframe
from runners.harness.values import UNINTERESTING, attributes_of, safe_repr

EVENT_CHARS = 2000
MAX_STEPS = 2_000_000

EventKind = Literal["line", "return", "yield", "raise", "frontier"]
Event = tuple[EventKind, int, int, list[list[str]]]  # kind, line, depth, [[name, text], ...]


def visible_values(frame: FrameType) -> dict[str, str]:
    """Return {name: text} of a frame's variables, and of the attributes of its first argument `self`."""
    code, local = frame.f_code, frame.f_locals
    values = {}
    for name, value in local.items():
        if name[:1] in ".@_" and (name[:1] != "_" or name.startswith("__")):
            continue
        if name == "self" and code.co_argcount and code.co_varnames[0] == "self":
            attributes = attributes_of(value)
            for attribute, item in attributes[:20]:
                if not isinstance(item, UNINTERESTING):
                    values["self." + attribute] = safe_repr(item)
            if attributes:
                continue
        if not isinstance(value, UNINTERESTING):
            values[name] = safe_repr(value)
    return values


class Recorder:
    """Turns calls of the probes that `instrument` inserts into events (kind, line, depth, [[name, text], ...]).

    emit: receives each event. budget: events recorded; afterwards only endings, then nothing. steps: probe calls
    until `runaway` is called, which is expected not to return.
    """

    def __init__(
        self,
        emit: Callable[[Event], object],
        budget: int = 300,
        steps: int = MAX_STEPS,
        runaway: Callable[[], object] | None = None,
    ) -> None:
        self.emit, self.budget, self.steps, self.runaway = emit, budget, steps, runaway
        self.reset()

    def reset(self) -> None:
        """Start afresh, as for the next test."""
        self.left, self.closing, self.count, self.cut = self.budget, 40, 0, False
        self.frames: dict[int, tuple[int, dict[str, str]]] = {}

    def probes(self) -> dict[str, Callable[..., Any]]:
        """Return the names that instrumented code calls; they go into its globals or into builtins."""
        return {
            "__egcfg_c__": self._enter,
            "__egcfg_t__": self._line,
            "__egcfg_r__": self._return,
            "__egcfg_e__": self._end,
            "__egcfg_y__": self._yield,
            "__egcfg_x__": self._raise,
        }

    def _enter(self) -> None:
        if self.left <= 0:
            return
        frame, depth = getframe(1), 0
        above = frame.f_back
        while above is not None:
            depth += id(above) in self.frames
            above = above.f_back
        self.frames[id(frame)] = (min(depth, 50), {})

    def _line(self, line: int) -> None:
        self.count += 1
        if self.left > 0:
            self._record("line", line, getframe(1), None)
        elif self.count > self.steps and self.runaway is not None:
            self.cut = True
            self.runaway()
        else:
            self.cut = True

    def _return(self, line: int, value: Any) -> Any:
        if self.left > 0 or self.closing > 0:
            self._record("return", line, getframe(1), [["return", safe_repr(value)]])
            self.frames.pop(id(getframe(1)), None)
        return value

    def _end(self, line: int) -> None:
        if self.left > 0 or self.closing > 0:
            self._record("return", line, getframe(1), [["return", "None"]])
            self.frames.pop(id(getframe(1)), None)

    def _yield(self, line: int, value: Any) -> Any:
        if self.left > 0:
            self._record("yield", line, getframe(1), [["yield", safe_repr(value)]])
        return value

    def _raise(self) -> None:
        kind, error, trace = sys.exc_info()
        frame = getframe(1)
        if kind is GeneratorExit or getattr(kind, "__egcfg__", False) is True:
            return
        if self.left > 0 or self.closing > 0:
            line = trace.tb_lineno if trace is not None else None  # None also for code without lines of its own
            line = line or frame.f_lineno or frame.f_code.co_firstlineno
            self._record("raise", line, frame, [["raise", safe_repr(error)]])
        self.frames.pop(id(frame), None)

    def frontier(self, frame: FrameType) -> None:
        """Record where an unfinished body ends, with all its variables."""
        depth = self.frames.get(id(frame), (0, {}))[0]
        line = frame.f_lineno or frame.f_code.co_firstlineno
        self._emit("frontier", line, depth, [[name, text] for name, text in visible_values(frame).items()])

    def _record(self, kind: EventKind, line: int, frame: FrameType, ending: list[list[str]] | None) -> None:
        if self.left > 0:
            self.left -= 1
        else:
            self.cut = True
            self.closing -= 1
        depth, known = self.frames.get(id(frame)) or self.frames.setdefault(id(frame), (0, {}))
        now = visible_values(frame)
        changed = [[name, text] for name, text in now.items() if known.get(name) != text]
        known.update(now)
        self._emit(kind, line, depth, (ending or []) + changed)

    def _emit(self, kind: EventKind, line: int, depth: int, values: list[list[str]]) -> None:
        room, kept = EVENT_CHARS, []
        for name, text in values:
            room -= len(name) + len(text)
            if room < 0:
                self.cut = True
                break
            kept.append([name, text])
        if kind == "yield":
            kept = [["return", text] if name == "yield" else [name, text] for name, text in kept]
        self.emit((kind, line, depth, kept))

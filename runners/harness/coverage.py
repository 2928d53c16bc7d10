"""Which functions of the repository a test runs, without those that pytest calls to word a failed assertion."""

from __future__ import annotations

import functools
import sys
import threading
import types
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from runners.harness.lines import Emit
from runners.harness.places import Places

_WORDING = ("_saferepr", "_should_repr_global_name", "_call_reprcompare", "_format_assertmsg")  # of pytest's assertions


class Coverage:
    """Which functions of the repository run during each test; one cheap look per code object and test.

    Before Python 3.12 the profiler of cProfile looks. A function of ours as profiler would need a frame at each call,
    and where a test recurses to the limit it would fail in that frame instead of in the test's own.
    """

    def __init__(self, places: Places, emit: Emit) -> None:
        self.places, self.emit = places, emit
        self.numbers: dict[CodeType, int] = {}
        self.seen: set[CodeType] = set()
        self.current: set[int] = set()
        self.tool: int | None = None
        self.profiler: Any = None  # of _lsprof
        monitoring: Any = getattr(sys, "monitoring", None)
        self.monitoring = monitoring
        if monitoring is not None:
            self.tool = next((tool for tool in (4, 3, 1, 5, 2, 0) if monitoring.get_tool(tool) is None), None)
            if self.tool is not None:
                monitoring.use_tool_id(self.tool, "egcfg-fix")
                monitoring.register_callback(self.tool, monitoring.events.PY_START, self._started)

    def start(self) -> None:
        """Look from now on, as at the beginning of a test."""
        self.current = set()
        if self.tool is None:
            self.seen = set()
            threading.setprofile(self._profile)
            try:
                import _lsprof
            except ImportError:
                sys.setprofile(self._profile)
            else:
                self.profiler = _lsprof.Profiler(subcalls=False, builtins=False)
                self.profiler.enable()
        else:
            self.monitoring.restart_events()
            self.monitoring.set_events(self.tool, self.monitoring.events.PY_START)

    def overlook_wording(self) -> None:
        """Have what pytest does with the values of a failed assertion left out: only tests that fail call it.

        Else the `__repr__` of a value would be executed by every failing test and no passing one.
        """
        from _pytest.assertion import rewrite

        for name in _WORDING:  # those that this version has
            function = getattr(rewrite, name, None)
            if callable(function):
                setattr(rewrite, name, self._overlooked(function))

    def _overlooked(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wording(*arguments: Any) -> Any:
            paused = self._pause()
            try:
                return function(*arguments)
            finally:
                if paused:
                    self._resume()

        return wording

    def _pause(self) -> bool:
        """Look no more. Return whether it was we who looked: a test may have a profiler of its own."""
        if self.tool is not None:
            looking = bool(self.monitoring.get_events(self.tool))
            self.monitoring.set_events(self.tool, 0)
            return looking
        if sys.getprofile() is None or sys.getprofile() not in (self.profiler, self._profile):
            return False
        self.profiler.disable() if self.profiler is not None else sys.setprofile(None)
        return True

    def _resume(self) -> None:
        if self.tool is not None:
            self.monitoring.set_events(self.tool, self.monitoring.events.PY_START)
        elif self.profiler is not None:
            self.profiler.enable()
        else:
            sys.setprofile(self._profile)

    def stop(self) -> list[int]:
        """Return the numbers of the functions that ran since `start`."""
        if self.tool is None:
            sys.setprofile(None)
            threading.setprofile(None)
            self._take_profile()
        else:
            self.monitoring.set_events(self.tool, 0)
        return sorted(self.current)

    def _take_profile(self) -> None:
        profiler, self.profiler = self.profiler, None
        if profiler is not None:
            profiler.disable()
            for entry in profiler.getstats():
                if isinstance(entry.code, types.CodeType):
                    self._note(entry.code)

    def _started(self, code: CodeType, _offset: int) -> object:
        self._note(code)
        disable: object = self.monitoring.DISABLE
        return disable

    def _profile(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            code = frame.f_code
            if code not in self.seen:
                self.seen.add(code)
                self._note(code)

    def _note(self, code: CodeType) -> None:
        number = self.numbers.get(code)
        if number is None:
            number = self.numbers[code] = self._number(code)
        if number >= 0:
            self.current.add(number)

    def _number(self, code: CodeType) -> int:
        if code.co_name[:1] == "<" or not code.co_flags & 1:  # lambdas and comprehensions; class and module bodies
            return -1
        path = self.places.relative(code.co_filename)
        if not path:
            return -1
        number = len(self.numbers)
        self.emit({"k": "fn", "i": number, "p": path, "q": self.places.qualname(code), "l": code.co_firstlineno})
        return number

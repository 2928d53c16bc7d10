"""Which functions of the repository a test runs."""

# mypy: ignore-errors

from __future__ import annotations

import sys
import threading
import types


class Coverage:
    """Which functions of the repository run during each test; one cheap look per code object and test.

    Before Python 3.12 the profiler of cProfile looks. A function of ours as profiler would need a frame at each call,
    and where a test recurses to the limit it would fail in that frame instead of in the test's own.
    """

    def __init__(self, places, emit):
        self.places, self.emit = places, emit
        self.numbers, self.seen, self.current = {}, set(), set()
        self.tool, self.profiler = None, None
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            self.tool = next((tool for tool in (4, 3, 1, 5, 2, 0) if monitoring.get_tool(tool) is None), None)
        if self.tool is not None:
            monitoring.use_tool_id(self.tool, "egcfg-fix")
            monitoring.register_callback(self.tool, monitoring.events.PY_START, self._started)

    def start(self):
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
            sys.monitoring.restart_events()
            sys.monitoring.set_events(self.tool, sys.monitoring.events.PY_START)

    def stop(self):
        """Return the numbers of the functions that ran since `start`."""
        if self.tool is None:
            sys.setprofile(None)
            threading.setprofile(None)
            self._take_profile()
        else:
            sys.monitoring.set_events(self.tool, 0)
        return sorted(self.current)

    def _take_profile(self):
        profiler, self.profiler = self.profiler, None
        if profiler is not None:
            profiler.disable()
            for entry in profiler.getstats():
                if isinstance(entry.code, types.CodeType):
                    self._note(entry.code)

    def _started(self, code, _offset):
        self._note(code)
        return sys.monitoring.DISABLE

    def _profile(self, frame, event, _argument):
        if event == "call":
            code = frame.f_code
            if code not in self.seen:
                self.seen.add(code)
                self._note(code)

    def _note(self, code):
        number = self.numbers.get(code)
        if number is None:
            number = self.numbers[code] = self._number(code)
        if number >= 0:
            self.current.add(number)

    def _number(self, code):
        if code.co_name[:1] == "<" or not code.co_flags & 1:  # lambdas and comprehensions; class and module bodies
            return -1
        path = self.places.relative(code.co_filename)
        if not path:
            return -1
        number = len(self.numbers)
        self.emit({"k": "fn", "i": number, "p": path, "q": self.places.qualname(code), "l": code.co_firstlineno})
        return number

"""The pytest plugin: what happened in each test, streamed."""

from __future__ import annotations

import itertools
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from runners.harness.comparing import Comparison
from runners.harness.coverage import Coverage
from runners.harness.failures import cause_of, doctest_text, short_failure
from runners.harness.lines import Emit, Message
from runners.harness.options import REPEATING, tame
from runners.harness.places import MESSAGE_CHARS, Places, exception_text, text_of

_HOOKS: dict[str, dict[str, bool]] = {
    "pytest_load_initial_conftests": {"hookwrapper": True},
    "pytest_cmdline_main": {"hookwrapper": True},
    "pytest_sessionstart": {"tryfirst": True},
    "pytest_runtestloop": {"tryfirst": True},
    "pytest_collectstart": {"tryfirst": True},
    "pytest_make_collect_report": {"hookwrapper": True, "tryfirst": True},
    "pytest_collection_modifyitems": {"trylast": True},
    "pytest_runtest_logstart": {"tryfirst": True},
    "pytest_runtest_makereport": {"hookwrapper": True, "tryfirst": True},
    "pytest_runtest_call": {"hookwrapper": True, "tryfirst": True},
    "pytest_runtest_logfinish": {"trylast": True},
    "pytest_sessionfinish": {"trylast": True},
}


def mark_hooks(pytest: Any, plugin: type, hooks: dict[str, dict[str, bool]]) -> None:
    """Say how pytest is to call the methods of a plugin; decorators would need it before its time."""
    for name, options in hooks.items():
        pytest.hookimpl(**options)(getattr(plugin, name))


class Reporter:
    """Tells what pytest does, and sees to it that it does what was asked.

    pytest: the target's own, of any version. wanted: the node ids to run (None: all). canaries: paths of modules whose
    tests run between the others. on_test: called as each test begins; the run then goes on after its last one. output:
    characters of what a failed test has written that are told.
    """

    def __init__(
        self,
        pytest: Any,
        emit: Emit,
        places: Places,
        wanted: Sequence[str] | None = None,
        canaries: Sequence[str] = (),
        coverage: Coverage | None = None,
        on_test: Callable[[str], None] | None = None,
        output: int = 0,
        comparison: Comparison | None = None,
        collect_only: bool = False,
    ) -> None:
        self.pytest, self.emit, self.places = pytest, emit, places
        self.wanted, self.canaries, self.collect_only = wanted, canaries, collect_only
        self.coverage, self.comparison, self.on_test, self.output = coverage, comparison, on_test, output
        self.captured, self.calling, self.failed = "", False, False
        self.part: Message | None = None  # the first subtest that failed
        mark_hooks(pytest, type(self), _HOOKS)

    def pytest_load_initial_conftests(self, early_config: Any) -> Iterator[None]:
        tame(early_config.known_args_namespace)
        if early_config.pluginmanager.is_blocked("cacheprovider"):  # then nobody knows the option that we set
            getattr(early_config, "_inicfg", {}).pop("cache_dir", None)
        yield

    def pytest_cmdline_main(self, config: Any) -> Iterator[None]:
        tame(config.option)
        yield

    def pytest_sessionstart(self, session: Any) -> None:
        plugins = session.config.pluginmanager
        for plugin in plugins.get_plugins():
            name = getattr(plugin, "__name__", None) or type(plugin).__module__
            if str(name).partition(".")[0] in REPEATING:  # their options and marks stay known
                plugins.unregister(plugin)

    def pytest_runtestloop(self) -> bool | None:
        return True if self.collect_only else None

    def pytest_collectstart(self, collector: Any) -> None:
        if isinstance(collector, self.pytest.File):
            self.emit({"k": "collecting", "n": collector.nodeid})

    def pytest_make_collect_report(self, collector: Any) -> Iterator[None]:
        outcome: Any = yield
        error = outcome.excinfo
        if error is not None and issubclass(error[0], SystemExit):  # else one module ends the whole run
            text = f"SystemExit: {error[1].code!s} at import"
            self._uncollected(collector.nodeid, "SystemExit", text, self.places.frames(error[2]))
            outcome.force_result(self.pytest.CollectReport(collector.nodeid, "failed", text, []))
        elif error is None and outcome.get_result().outcome == "failed":
            self._tell_why(collector.nodeid, outcome.get_result())

    def _tell_why(self, node: str, report: Any) -> None:
        excinfo = getattr(getattr(report, "call", None), "excinfo", None)
        if excinfo is None:
            self._uncollected(node, "", str(report.longrepr), [])
            return
        cause = excinfo.value
        if excinfo.type.__name__ == "CollectError":  # what pytest wraps says more
            cause = cause.__cause__ or cause.__context__ or cause
        name = type(cause).__name__
        self._uncollected(node, name, f"{name}: {text_of(cause)}", self.places.frames(cause.__traceback__))

    def _uncollected(self, node: str, kind: str, message: str, frames: list[list[Any]]) -> None:
        self.emit({"k": "collect_error", "n": node, "e": kind, "m": message[-MESSAGE_CHARS:], "f": frames})

    def pytest_collection_modifyitems(self, session: Any, items: list[Any]) -> None:
        if self.wanted is not None:
            order = {node: place for place, node in enumerate(self.wanted)}
            kept = [item for item in items if item.nodeid in order]
            items[:] = sorted(kept, key=lambda item: order[item.nodeid])
        for path in self.canaries:
            self._insert_canaries(session, items, path)

    def _insert_canaries(self, session: Any, items: list[Any], path: str) -> None:
        """Put the tests of a module at the ends and between the files of the others, in an order by chance."""
        items[:] = [item for item in items if str(item.fspath) != path]
        module = self.pytest.Module.from_parent(session, path=pathlib.Path(path))
        changes = [n for n in range(1, len(items)) if items[n].fspath != items[n - 1].fspath]
        breaks = sorted((0, len(items), *changes), key=lambda n: hash((path, n)))
        known = zip(itertools.cycle(breaks), session.genitems(module))
        for place, item in sorted(known, key=lambda pair: -pair[0]):  # from the end: places stay right
            items.insert(place, item)

    def pytest_collection_finish(self, session: Any) -> None:
        nodes = [item.nodeid for item in session.items]
        for start in range(0, max(len(nodes), 1), 500):
            self.emit({"k": "collected", "n": nodes[start : start + 500]})
        for item in session.items:
            item.repr_failure = short_failure

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.emit({"k": "start", "n": nodeid})
        self.captured = ""
        self.calling, self.part = False, None
        if self.on_test is not None:
            self.on_test(nodeid)
        if self.comparison is not None:
            self.comparison.start(nodeid)
        if self.coverage is not None:
            self.coverage.start()

    def pytest_runtest_makereport(self, item: Any, call: Any) -> Iterator[None]:
        result: Any = yield
        report = result.get_result()
        frame = self._phase(item, call, report)
        if self.calling:  # a subtest: the first that fails tells what the test says
            if frame["o"] == "failed" and self.part is None:
                self.part = frame
            return
        if call.when == "call" and self.part is not None and frame["o"] in ("passed", "failed"):
            frame = dict(self.part, d=frame["d"])
        self.emit(frame)
        outcome = frame["o"]
        self.failed = self.failed or outcome == "failed"
        if self.output and outcome == "failed":
            self.captured = "\n".join(text for _, text in report.sections)[-self.output :]

    def pytest_runtest_call(self) -> Iterator[None]:
        self.calling = True
        yield
        self.calling = False

    def _phase(self, item: Any, call: Any, report: Any) -> Message:
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = {"skipped": "xfailed", "passed": "xpassed"}.get(outcome, outcome)
        frame = {"k": "phase", "n": item.nodeid, "w": call.when, "o": outcome, "d": round(call.duration, 6)}
        if call.excinfo is not None and outcome != "passed":
            kind, error, trace = cause_of(call.excinfo)
            frame["e"] = kind.__name__
            frame["m"] = doctest_text(error) or exception_text(call.excinfo)
            if outcome == "failed":
                frame["f"] = self.places.frames(trace)
        elif outcome == "failed":
            frame["m"] = str(report.longrepr)[:MESSAGE_CHARS]
        return frame

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        frame: Message = {"k": "end", "n": nodeid}
        if self.coverage is not None:
            frame["fn"] = self.coverage.stop()
        if self.captured:
            frame["out"] = self.captured
        self.emit(frame)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if self.on_test is None:  # what pytest still prints afterwards can cost a second, and nobody reads it
            sys.stdout.flush()
            self.emit({"k": "done", "status": int(exitstatus)})

    def pytest_internalerror(self, excinfo: Any) -> None:
        self.emit({"k": "internal", "m": exception_text(excinfo)})

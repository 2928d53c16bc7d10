"""The pytest plugin: what happened in each test, streamed; and the arguments and options of a run."""

# mypy: ignore-errors

from __future__ import annotations

import itertools
import os
import sys

from runners.harness.places import MESSAGE_CHARS, exception_text, text_of


def make_reporter(
    pytest,
    emit,
    places,
    wanted=None,
    canaries=(),
    coverage=None,
    on_test=None,
    output=0,
    comparison=None,
    collect_only=False,
):
    """Return the plugin object; `wanted` are the node ids to run (None: all)."""

    class Reporter:
        def __init__(self):
            self.wanted = wanted
            self.captured = ""
            self.calling, self.part = False, None

        @pytest.hookimpl(hookwrapper=True)
        def pytest_load_initial_conftests(self, early_config):
            _tame(early_config.known_args_namespace)
            if early_config.pluginmanager.is_blocked("cacheprovider"):  # then nobody knows the option that we set
                getattr(early_config, "_inicfg", {}).pop("cache_dir", None)
            yield

        @pytest.hookimpl(hookwrapper=True)
        def pytest_cmdline_main(self, config):
            _tame(config.option)
            yield

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionstart(self, session):
            plugins = session.config.pluginmanager
            for plugin in plugins.get_plugins():
                name = getattr(plugin, "__name__", None) or type(plugin).__module__
                if str(name).partition(".")[0] in _REPEATING:  # their options and marks stay known
                    plugins.unregister(plugin)

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(self):
            return True if collect_only else None

        @pytest.hookimpl(tryfirst=True)
        def pytest_collectstart(self, collector):
            if isinstance(collector, pytest.File):
                emit({"k": "collecting", "n": collector.nodeid})

        @pytest.hookimpl(hookwrapper=True, tryfirst=True)
        def pytest_make_collect_report(self, collector):
            outcome = yield
            error = outcome.excinfo
            if error is not None and issubclass(error[0], SystemExit):  # else one module ends the whole run
                text = "SystemExit: %s at import" % (error[1].code,)
                emit(self._collect_error(collector.nodeid, "SystemExit", text, places.frames(error[2])))
                outcome.force_result(pytest.CollectReport(collector.nodeid, "failed", text, []))
                return
            if error is None and outcome.get_result().outcome == "failed":
                call = getattr(outcome.get_result(), "call", None)
                excinfo = getattr(call, "excinfo", None)
                if excinfo is None:
                    emit(self._collect_error(collector.nodeid, "", str(outcome.get_result().longrepr), []))
                    return
                cause = excinfo.value
                if excinfo.type.__name__ == "CollectError":  # what pytest wraps says more
                    cause = cause.__cause__ or cause.__context__ or cause
                text = "%s: %s" % (type(cause).__name__, text_of(cause))
                frames = places.frames(cause.__traceback__)
                emit(self._collect_error(collector.nodeid, type(cause).__name__, text, frames))

        def _collect_error(self, node, kind, message, frames):
            return {"k": "collect_error", "n": node, "e": kind, "m": message[-MESSAGE_CHARS:], "f": frames}

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, session, items):
            if self.wanted is not None:
                order = {node: place for place, node in enumerate(self.wanted)}
                kept = [item for item in items if item.nodeid in order]
                items[:] = sorted(kept, key=lambda item: order[item.nodeid])
            for path in canaries:
                items[:] = [item for item in items if str(item.fspath) != path]
                module = pytest.Module.from_parent(session, path=_path(path))
                changes = [n for n in range(1, len(items)) if items[n].fspath != items[n - 1].fspath]
                breaks = sorted((0, len(items), *changes), key=lambda n: hash((path, n)))
                known = zip(itertools.cycle(breaks), session.genitems(module))
                for place, item in sorted(known, key=lambda pair: -pair[0]):  # from the end: places stay right
                    items.insert(place, item)

        def pytest_collection_finish(self, session):
            nodes = [item.nodeid for item in session.items]
            for start in range(0, max(len(nodes), 1), 500):
                emit({"k": "collected", "n": nodes[start : start + 500]})
            for item in session.items:
                item.repr_failure = _short_failure

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logstart(self, nodeid):
            emit({"k": "start", "n": nodeid})
            self.captured = ""
            self.calling, self.part = False, None
            if on_test is not None:
                on_test(nodeid)
            if comparison is not None:
                comparison.start(nodeid)
            if coverage is not None:
                coverage.start()

        @pytest.hookimpl(hookwrapper=True, tryfirst=True)
        def pytest_runtest_makereport(self, item, call):
            result = yield
            report = result.get_result()
            frame = self._phase(item, call, report)
            if self.calling:  # a subtest: the first that fails tells what the test says
                if frame["o"] == "failed" and self.part is None:
                    self.part = frame
                return
            if call.when == "call" and self.part is not None and frame["o"] in ("passed", "failed"):
                frame = dict(self.part, d=frame["d"])
            emit(frame)
            outcome = frame["o"]
            if output and outcome == "failed":
                self.captured = "\n".join(text for _, text in report.sections)[-output:]

        @pytest.hookimpl(hookwrapper=True, tryfirst=True)
        def pytest_runtest_call(self):
            self.calling = True
            yield
            self.calling = False

        def _phase(self, item, call, report):
            outcome = report.outcome
            if hasattr(report, "wasxfail"):
                outcome = {"skipped": "xfailed", "passed": "xpassed"}.get(outcome, outcome)
            frame = {"k": "phase", "n": item.nodeid, "w": call.when, "o": outcome, "d": round(call.duration, 6)}
            if call.excinfo is not None and outcome != "passed":
                excinfo = _cause_of(call.excinfo)
                frame["e"] = excinfo[0].__name__
                frame["m"] = _doctest_text(excinfo[1]) or exception_text(call.excinfo)
                if outcome == "failed":
                    frame["f"] = places.frames(excinfo[2])
            elif outcome == "failed":
                frame["m"] = str(report.longrepr)[:MESSAGE_CHARS]
            return frame

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logfinish(self, nodeid):
            frame = {"k": "end", "n": nodeid}
            if coverage is not None:
                frame["fn"] = coverage.stop()
            if self.captured:
                frame["out"] = self.captured
            emit(frame)

        @pytest.hookimpl(trylast=True)
        def pytest_sessionfinish(self, exitstatus):
            if on_test is None:  # what pytest still prints afterwards can cost a second, and nobody reads it
                sys.stdout.flush()
                emit({"k": "done", "status": int(exitstatus)})

        def pytest_internalerror(self, excinfo):
            emit({"k": "internal", "m": exception_text(excinfo)})

    return Reporter()


def _short_failure(excinfo, **_style):
    """Stand in for pytest's long text of a failure, which costs more than most tests."""
    return exception_text(excinfo)


def _cause_of(excinfo):
    """Return (class, exception, traceback) of a failure; for a doctest that raised, of what it raised."""
    inner = getattr(excinfo.value, "exc_info", None)
    doctest = sys.modules.get("doctest")
    if doctest is not None and isinstance(excinfo.value, doctest.UnexpectedException) and isinstance(inner, tuple):
        return inner
    return excinfo.type, excinfo.value, excinfo.tb


def _doctest_text(error):
    """Return what a doctest expected and got, "" for any other failure."""
    doctest = sys.modules.get("doctest")
    if doctest is None or not isinstance(error, (doctest.DocTestFailure, *_multiple_doctest_failures())):
        return ""
    first = getattr(error, "failures", [error])[0]
    if not isinstance(first, doctest.DocTestFailure):
        return ""
    source, want = first.example.source.strip(), first.example.want.strip()
    return ("%s: expected %s, got %s" % (source, want or "nothing", first.got.strip() or "nothing"))[:MESSAGE_CHARS]


def _multiple_doctest_failures():
    found = getattr(sys.modules.get("_pytest.doctest"), "MultipleDoctestFailures", None)
    return (found,) if isinstance(found, type) else ()


def _path(path):
    import pathlib

    return pathlib.Path(path)


# Plugins that run a test again until it passes, or shuffle the tests.
_REPEATING = frozenset({"flaky", "pytest_rerunfailures", "random_order"})

# Options that a repository may have in addopts and that would leave tests out, run them twice, elsewhere or in another
# order, or wait for a person. They are set back one by one, since a plugin that is switched off knows its options no
# more and pytest then refuses all of addopts.
_TAMED = {
    "lf": False, "failedfirst": False, "newfirst": False, "stepwise": False, "stepwise_skip": False,
    "collectonly": False, "setuponly": False, "setupplan": False, "usepdb": False, "trace": False, "maxfail": 0,
    "numprocesses": None, "dist": "no", "distload": False, "tx": [], "looponfail": False, "forked": False,
    "no_cov": True, "randomly_reorganize": False, "testmon": False, "picked": None, "reverse": False,
}  # fmt: skip


def _tame(options):
    for name, value in _TAMED.items():
        if hasattr(options, name):
            setattr(options, name, value)


def pytest_arguments(root, files, extra, tmp=""):
    """Return the arguments of a run. The cache is an empty one: what failed here before must not choose the tests."""
    cache = os.path.join(tmp or "/tmp", ".egcfg-cache-%d" % os.getpid())
    return ["--rootdir=" + root, "-o", "cache_dir=" + cache, "--continue-on-collection-errors", *extra, *files]


def files_of(nodes, root):
    files = []
    for node in nodes:
        name = node.split("::")[0]
        if name not in files and os.path.exists(os.path.join(root, name)):
            files.append(name)
    return files

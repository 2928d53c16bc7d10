"""Warm: processes that wait with everything loaded, and what one of their children does."""

from __future__ import annotations

import base64
import contextlib
import functools
import gc
import importlib
import os
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from runners.harness.appearance import enter, seem_captured
from runners.harness.executions import Executions
from runners.harness.injected import install_builtins
from runners.harness.kept import exit_now, fork
from runners.harness.lines import Emit, Message, requests_of, send_line
from runners.harness.options import files_of, pytest_arguments
from runners.harness.pages import own_pages
from runners.harness.places import Places
from runners.harness.processes import children
from runners.harness.reporting import Reporter, mark_hooks
from runners.harness.swapping import Watch, foreign_modules, not_swappable, shares_state
from runners.harness.syscalls import PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE, prctl, shield
from runners.harness.tape import Tape
from runners.harness.tracing import MAX_STEPS, Event, Recorder
from runners.harness.variants import Functions, Variants

RUNAWAY_STATUS = 77

_FORK_POINTS = {"pytest_load_initial_conftests": {"tryfirst": True}, "pytest_runtestloop": {"tryfirst": True}}

Prepare = Callable[[bytes, bool, bool], None]  # source, trace, sentinel


class _ForkPoints:
    """The plugin that has pytest stop where a zygote waits."""

    def __init__(self, zygote: Zygote) -> None:
        self.zygote = zygote

    def pytest_load_initial_conftests(self, args: list[str]) -> None:
        if sum(argument in ("-s", "--capture=no") for argument in args) < 2:  # one of them is ours
            seem_captured()
        self.zygote.serve_imports()

    def pytest_runtestloop(self, session: Any) -> None:
        if self.zygote.role == "swap":
            self.zygote.serve_swaps(session)
        elif session.items:
            self.zygote.run_items(session.items)


class Zygote:
    """A process that waits with everything loaded and forks one child per execution."""

    def __init__(self, request: Message, root: str, tmp: str, tape: Tape) -> None:
        self.request, self.root, self.tmp, self.tape = request, root, tmp, tape
        self.nodes: list[str] = request["nodes"]
        self.places = Places(root)
        source = base64.b64decode(request["source"])
        self.variants = Variants(root, request["path"], request["qualname"], request["first_line"], source)
        self.role, self.trouble = "import", ""  # then "swap" or "child"; what pytest complained about
        self.functions: Functions = []
        # In a child: what it reports to, which tests it runs, whether it tells which memory it wrote to.
        self.emit: Emit | None = None
        self.recorder: Recorder | None = None
        self.pending: list[str] = []
        self.late: frozenset[str] = frozenset()
        self.scout = False

    def main(self, channel: socket.socket, next_channel: socket.socket) -> NoReturn:
        """Run pytest up to its first conftest and serve there; children come back and go on."""
        try:
            self.channel, self.next_channel = channel, next_channel
            pytest_main, arguments, plugins = self._prepared()
            status = int(pytest_main(arguments, plugins=plugins))
            if self.role == "child":
                self._finish(status)
            send_line(self.channel, {"ok": False, "why": f"pytest ended with status {status} before it ran a test"})
        except BaseException as error:
            with contextlib.suppress(BaseException):
                send_line(channel, {"ok": False, "why": f"{type(error).__name__}: {error!s}"})
        finally:
            exit_now(1)

    def _prepared(self) -> tuple[Callable[..., Any], list[str], list[object]]:
        """Return pytest's main function, its arguments and the plugins."""
        import pytest

        enter(self.root)
        files = files_of(self.nodes, self.root)
        arguments = pytest_arguments(self.root, files, ["-s", *self.request.get("args", ())], self.tmp)
        mark_hooks(pytest, _ForkPoints, _FORK_POINTS)
        self.reporter = Reporter(pytest, self._emit, self.places, wanted=self.nodes, on_test=self._on_test)
        return pytest.main, arguments, [self.reporter, _ForkPoints(self)]

    def _emit(self, frame: Message) -> None:
        if self.role == "child" and self.emit is not None:
            self.emit(frame)
        elif frame["k"] in ("collect_error", "internal"):
            self.trouble = frame.get("m", "")

    def _on_test(self, node: str) -> None:
        if self.role == "child":
            self._close_trace()
            self.tape.write(["t", self.nodes.index(node) if node in self.nodes else -1])
            if self.recorder is not None:
                self.recorder.reset()

    def _close_trace(self) -> None:
        if self.recorder is not None and self.recorder.cut:
            self.tape.write(["c"])

    def serve_imports(self) -> None:
        """At the fork point before any conftest. Only forked children and the next zygote return."""
        loaded = sorted(
            name
            for name, module in list(sys.modules.items())
            if isinstance(getattr(module, "__file__", None), str) and self.places.relative(str(module.__file__))
        )
        why = f"pytest itself imports {loaded[0]} of this repository" if loaded else ""
        send_line(self.channel, {"ok": not loaded, "why": why})
        executions = self._settle(self._import_variant)
        for request in requests_of(self.channel):
            if request["op"] == "collect":
                if fork() == 0:
                    self._become_swap_zygote()
                    return
                self.next_channel.close()
                executions.keep = children()
            elif request["op"] == "load":
                _load(request["modules"])
            elif executions.execute(request):
                return
        exit_now(0)

    def _become_swap_zygote(self) -> None:
        os.close(self.channel.fileno())
        self.channel, self.role = self.next_channel, "swap"
        shield()
        self.descriptors = set(os.listdir("/proc/self/fd"))
        self.watch = Watch(self.variants)

    def serve_swaps(self, session: Any) -> None:
        """At the fork point after collection."""
        watched = self.watch.stop()
        items = {item.nodeid: item for item in session.items}
        self.functions = self.variants.functions()
        why = self._refuses(bool(items)) if watched else "the repository installs a profiler"
        modules = foreign_modules(self.before, self.places)
        send_line(self.channel, {"ok": not why, "why": why, "modules": modules})
        executions = self._settle(self._swap_variant)
        for request in requests_of(self.channel):
            if executions.execute(request):
                self.run_items([items[node] for node in self.pending if node in items])
        exit_now(0)

    def _settle(self, prepare: Prepare) -> Executions:
        """Make this process one that only waits and forks."""
        self.before = set(sys.modules)
        begin = functools.partial(self._begin, prepare)
        executions = Executions(self.channel, self.tape, self.nodes, self.tmp, begin)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_DUMPABLE, 0)
        gc.collect()
        gc.freeze()
        return executions

    def _refuses(self, collected: bool) -> str:
        """Say why a swap would not be the same as an import, "" if it is."""
        if self.variants.refusal:
            return self.variants.refusal
        if not collected:
            return "no test was collected: %s" % (self.trouble or "the node ids are unknown")
        if self.watch.called:
            return "called at import or collection"
        why = not_swappable(self.variants, self.functions, self.places)
        return why or shares_state(self.descriptors) or self.variants.refuses()

    def _begin(self, prepare: Prepare, request: Message, emit: Emit) -> None:
        """In a child: put the variant in place, with probes that record what it does if that is asked for."""
        self.role, self.emit = "child", emit
        self.pending, self.scout = request["nodes"], request["scout"]
        self.late = frozenset(request.get("late", ()))
        trace = bool(request.get("trace"))
        if trace:
            self.recorder = self._recording(request["events"])
        install_builtins(self.tape, self.recorder)
        try:
            prepare(base64.b64decode(request["source"]), trace, bool(request.get("sentinel")))
        except Exception as error:
            emit({"k": "refused", "why": f"{type(error).__name__}: {error!s}"})
            exit_now(0)

    def _recording(self, events: int) -> Recorder:
        tape = self.tape

        def runaway() -> NoReturn:
            tape.write(["z"])
            exit_now(RUNAWAY_STATUS)

        def record(event: Event) -> None:
            tape.write(["e", *event])

        return Recorder(record, events, MAX_STEPS, runaway)

    def _import_variant(self, source: bytes, trace: bool, sentinel: bool) -> None:
        self.variants.hook_import(source, trace, sentinel)
        self.reporter.wanted = self.pending

    def _swap_variant(self, source: bytes, trace: bool, sentinel: bool) -> None:
        self.variants.swap(self.functions, source, trace, sentinel)

    def run_items(self, items: list[Any]) -> NoReturn:
        """In a child: run these tests, and end."""
        for place, item in enumerate(items):
            if item.nodeid in self.late and self.reporter.failed:
                break
            following = items[place + 1] if place + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self._close_trace()
        self._finish(0)

    def _finish(self, status: int) -> NoReturn:
        """In a child: say that all is said, and end."""
        if self.emit is not None:
            if self.scout:
                with contextlib.suppress(Exception):
                    self.emit({"k": "pages", "r": own_pages()})
            self.emit({"k": "done", "status": status})
        exit_now(0)


def _load(modules: Iterable[str]) -> None:
    """Import them here once instead of in every child: neither tests nor variants can have changed them."""
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()

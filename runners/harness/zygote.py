"""Warm: zygotes, and one child per execution."""

# mypy: ignore-errors

from __future__ import annotations

import base64
import contextlib
import gc
import importlib
import json
import os
import stat
import sys
import threading

from runners.harness.appearance import enter, seem_captured
from runners.harness.child import Child
from runners.harness.injected import install_builtins
from runners.harness.kept import exit_now, fork, monotonic, open_file, read
from runners.harness.lines import emitter, requests_of, send_line
from runners.harness.pages import checked_ranges, copy_pages, own_pages
from runners.harness.places import Places
from runners.harness.processes import cap, children, detach, sweep
from runners.harness.reporting import files_of, make_reporter, pytest_arguments
from runners.harness.syscalls import PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE, prctl, shield
from runners.harness.tracing import MAX_STEPS, Recorder
from runners.harness.tree import wipe
from runners.harness.variants import Variants

RUNAWAY_STATUS = 77


class Zygote:
    """A process that waits with everything loaded and forks one child per execution."""

    def __init__(self, request, root, tmp, tape):
        self.request, self.root, self.tmp, self.tape = request, root, tmp, tape
        self.nodes = request["nodes"]
        self.places = Places(root)
        source = base64.b64decode(request["source"])
        self.variants = Variants(root, request["path"], request["qualname"], request["first_line"], source)
        self.called = False
        self.next_channel = None
        self.waiting, self.pages, self.scout, self.dirty = None, None, False, False

    def main(self, channel, next_channel):
        """Run pytest up to its first conftest and serve there; children come back and go on. Never returns."""
        try:
            self.channel, self.next_channel, self.role = channel, next_channel, "import"
            plugins, arguments = self._prepared()
            status = self.pytest.main(arguments, plugins=plugins)
            if self.role == "child":
                self._finish(int(status))
            send_line(
                self.channel, {"ok": False, "why": "pytest ended with status %d before it ran a test" % int(status)}
            )
        except BaseException as error:
            with contextlib.suppress(BaseException):
                send_line(channel, {"ok": False, "why": "%s: %s" % (type(error).__name__, error)})
        finally:
            exit_now(1)

    def _prepared(self):
        """Return the plugins and arguments for pytest."""
        import pytest

        self.pytest = pytest
        enter(self.root)
        files = files_of(self.nodes, self.root)
        arguments = pytest_arguments(self.root, files, ["-s", *self.request.get("args", ())], self.tmp)
        zygote = self

        class Hooks:
            @pytest.hookimpl(tryfirst=True)
            def pytest_load_initial_conftests(self, args):
                if sum(argument in ("-s", "--capture=no") for argument in args) < 2:  # one of them is ours
                    seem_captured()
                zygote.serve_imports()

            @pytest.hookimpl(tryfirst=True)
            def pytest_runtestloop(self, session):
                if zygote.role == "swap":
                    zygote.serve_swaps(session)
                elif session.items:
                    zygote.run_items(session.items)

        self.reporter = make_reporter(pytest, self._emit, self.places, wanted=self.nodes, on_test=self._on_test)
        return [self.reporter, Hooks()], arguments

    def _emit(self, frame):
        if self.role == "child":
            self.emit(frame)
        elif frame["k"] in ("collect_error", "internal"):
            self.trouble = frame.get("m", "")

    trouble = ""
    recorder = None

    def _on_test(self, node):
        if self.role == "child":
            self._close_trace()
            self.tape.write(["t", self.nodes.index(node) if node in self.nodes else -1])
            if self.recorder is not None:
                self.recorder.reset()

    def _close_trace(self):
        if self.recorder is not None and self.recorder.cut:
            self.tape.write(["c"])

    def serve_imports(self):
        """At the fork point before any conftest. Only forked children and the next zygote return."""
        loaded = sorted(
            name
            for name, module in list(sys.modules.items())
            if isinstance(getattr(module, "__file__", None), str) and self.places.relative(module.__file__)
        )
        why = "pytest itself imports %s of this repository" % loaded[0] if loaded else ""
        send_line(self.channel, {"ok": not loaded, "why": why})
        self._settle()
        for request in requests_of(self.channel):
            if request["op"] == "collect":
                if fork() == 0:
                    os.close(self.channel.fileno())
                    self.channel, self.role = self.next_channel, "swap"
                    shield()
                    self.descriptors = set(os.listdir("/proc/self/fd"))
                    self._watch()
                    return
                self.next_channel.close()
                self.keep = children()
            elif request["op"] == "load":
                self._load(request["modules"])
            elif self.execute(request, self._import_variant):
                return
        exit_now(0)

    def serve_swaps(self, session):
        """At the fork point after collection."""
        watched = sys.getprofile() is self.profile
        sys.setprofile(None)
        threading.setprofile(None)
        self.items = {item.nodeid: item for item in session.items}
        self.functions = self.variants.functions()
        why = self.refuses() if watched else "the repository installs a profiler"
        send_line(self.channel, {"ok": not why, "why": why, "modules": self._foreign()})
        self._settle()
        for request in requests_of(self.channel):
            if self.execute(request, self._swap_variant):
                self.run_items([self.items[node] for node in self.pending if node in self.items])
        exit_now(0)

    def _foreign(self):
        """Return the modules that collection imported and that are not the repository's, in order of import."""
        found = []
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            spec = getattr(module, "__spec__", None)
            if name not in self.before and isinstance(file, str) and getattr(spec, "name", None) == name:
                if not self.places.relative(file) and type(spec.loader).__module__.startswith("_frozen_importlib"):
                    found.append(name)
        return found

    def _load(self, modules):
        """Import them here once instead of in every child: neither tests nor variants can have changed them."""
        for name in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        gc.collect()
        gc.freeze()

    def _settle(self):
        self.before = set(sys.modules)
        self.keep = children()
        self.files = set(os.listdir(self.tmp)) if self.tmp else set()
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_DUMPABLE, 0)
        gc.collect()
        gc.freeze()

    def _watch(self):
        """Notice a call of the target during collection: its results would be old under a swap."""
        name, line = self.variants.qualname.rpartition(".")[2], self.variants.first_line
        real = os.path.realpath(self.variants.file)

        def profile(frame, event, _argument):
            seen = frame.f_code
            if event == "call" and seen.co_firstlineno == line and seen.co_name == name:
                if os.path.realpath(seen.co_filename) == real:
                    self.called = True

        self.profile = profile
        threading.setprofile(profile)
        sys.setprofile(profile)

    def refuses(self):
        if self.variants.refusal:
            return self.variants.refusal
        if not self.items:
            return "no test was collected: %s" % (self.trouble or "the node ids are unknown")
        if self.called:
            return "called at import or collection"
        if not any(place == len(self.variants.original) - 1 for _, place in self.functions) and not (
            len(self.variants.original) > 1 and self.functions
        ):
            return "no such function was imported"
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and self.places.relative(file) == self.variants.path:
                loader = getattr(getattr(module, "__spec__", None), "loader", None)
                if type(loader).__name__ == "AssertionRewritingHook":
                    return "its module is rewritten by pytest"
        copied = self.variants.copied(self.functions)
        if copied:
            return copied
        if self._shares_files():
            return "a file or socket is open after collection"
        with open_file("/proc/self/status") as file:
            threads = next(int(line.split()[1]) for line in file if line.startswith("Threads"))
        return "%d threads are running" % threads if threads != 1 else self.variants.refuses()

    def _shares_files(self):
        """Say whether collection left something open whose position or state all children would share."""
        for name in set(os.listdir("/proc/self/fd")) - self.descriptors:
            with contextlib.suppress(OSError):  # the listing's own
                if not stat.S_ISCHR(os.fstat(int(name)).st_mode):  # pytest holds /dev/null, others /dev/urandom
                    return True
        return False

    def execute(self, request, prepare):
        """Answer one request by a child. Returns True in the child, which goes on to run the tests."""
        started = monotonic()
        limit, wanted = float(request["timeout"]), set(request.get("nodes") or self.nodes)
        pending = [node for node in self.nodes if node in wanted]
        answer = {"tests": [], "errors": [], "why": ""}
        for _ in range(3):
            child, frames = self._converse(dict(request, nodes=pending), limit, prepare)
            if child is None:
                return True
            refused = next((frame["why"] for frame in frames if frame["k"] == "refused"), None)
            if refused is not None:
                answer["why"] = str(refused)
                break
            last = self._merge(answer, frames, child)
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
            self.waiting = self._spawn(prepare)
            return self.waiting is None
        return False

    def _converse(self, request, limit, prepare):
        """Return (child, what it said) for a request given to the child that waits; (None, None) in the child itself.

        One that dies or stops while it waits, which code in another child can bring about, is replaced once.
        """
        for _ in range(2):
            child, self.waiting = self.waiting or self._spawn(prepare), None
            if child is None:
                return None, None
            self.tape.clear()
            end = monotonic() + limit
            request["scout"] = bool(request.get("again")) and self.pages is None
            frames = self._gather(child, end) if child.tell(request, end) else []
            if frames:
                break
            self._clean(child)
        pages = next((frame.get("r") for frame in frames if frame["k"] == "pages"), None)
        if pages is not None:
            self.pages = checked_ranges(pages)
        return child, frames

    def _spawn(self, prepare):
        """Fork the child that will run the next request. Returns it; None in the child, once it has its request."""
        receive, send = os.pipe()
        ear, tell = os.pipe()
        parent = os.getpid()
        pid = fork()
        if pid:
            os.close(send)
            os.close(ear)
            return Child(pid, receive, tell)
        self.role = "child"
        self.emit = emitter(send)
        detach([receive, tell, self.channel.fileno()])
        if os.getppid() != parent:  # it ended before we could ask to end with it
            exit_now(1)
        request = self._await(ear)
        self.pending, self.scout = request["nodes"], request["scout"]
        self._variant(request, prepare)
        return None

    def _await(self, ear):
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
        request = json.loads(heard)
        prctl(PR_SET_DUMPABLE, 1)
        cap(2 * request["timeout"], request["file_mib"])
        self.emit({"k": "begun"})
        return request

    def _clean(self, child):
        """Remove what a child left; what cannot be removed makes this process unfit for another."""
        child.end()
        swept = sweep(self.keep)
        self.dirty = self.dirty or not swept or (bool(self.tmp) and not wipe(self.tmp, self.files))

    def _gather(self, child, end):
        frames = []
        for line in child.lines(lambda: end):
            try:
                frame = json.loads(line)
                if isinstance(frame, dict) and isinstance(frame.get("k"), str):
                    frames.append(frame)
                    if frame["k"] in ("done", "refused"):
                        child.why = "exited"
            except ValueError:
                continue
        return frames

    def _finish(self, status):
        """In the child: say that all is said, and end."""
        if self.scout:
            with contextlib.suppress(Exception):
                self.emit({"k": "pages", "r": own_pages()})
        self.emit({"k": "done", "status": status})
        exit_now(0)

    def _merge(self, answer, frames, child):
        """Add one child's tests to the answer. Return the test during which the child ended, if any."""
        tapes = self.tape.read()
        current, last = None, None
        for frame in frames:
            kind = frame["k"]
            if kind == "start":
                current = {"n": frame.get("n"), "ph": [], "why": "", "tape": None}
                if current["n"] in self.nodes:
                    current["tape"] = tapes.get(self.nodes.index(current["n"]))
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
            last = current["n"]
        elif child.why != "exited" and not answer["tests"]:
            answer["why"] = "timeout before the first test"
        return last

    def _variant(self, request, prepare):
        trace = bool(request.get("trace"))
        if trace:
            tape = self.tape

            def runaway():
                tape.write(["z"])
                exit_now(RUNAWAY_STATUS)

            def record(event):
                tape.write(["e", *event])

            self.recorder = Recorder(record, request["events"], MAX_STEPS, runaway)
        install_builtins(self.tape, self.recorder)
        try:
            prepare(base64.b64decode(request["source"]), trace, bool(request.get("sentinel")))
        except Exception as error:
            self.emit({"k": "refused", "why": "%s: %s" % (type(error).__name__, error)})
            exit_now(0)

    def _import_variant(self, source, trace, sentinel):
        self.variants.hook_import(source, trace, sentinel)
        self.reporter.wanted = self.pending

    def _swap_variant(self, source, trace, sentinel):
        self.variants.swap(self.functions, source, trace, sentinel)

    def run_items(self, items):
        for place, item in enumerate(items):
            following = items[place + 1] if place + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self._close_trace()
        self._finish(0)

"""The server: reads requests from the host, answers each, and forks what runs code of the repository."""

# mypy: ignore-errors

from __future__ import annotations

import base64
import contextlib
import gc
import importlib.metadata
import io
import json
import os
import resource
import signal
import socket
import sys
import tarfile

from runners.harness.apart import serve_function
from runners.harness.appearance import redirect, remap, seem_started_by_a_shell, tail
from runners.harness.child import Child
from runners.harness.confines import MAX_FILES, interfaces, own_limits, own_status
from runners.harness.kept import exit_now, fork, monotonic, read, write
from runners.harness.lines import Line
from runners.harness.processes import become_child, set_limit, sweep
from runners.harness.suite import run_suite
from runners.harness.syscalls import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    deny_calls,
    prctl,
    shield,
)
from runners.harness.tape import Tape
from runners.harness.tree import Tree
from runners.harness.zygote import Zygote

PROTOCOL = 1


class _Forked(BaseException):
    """Raised in a fresh fork to leave our own frames, so that tests find as much of the stack free as under pytest.

    args: what to call then, and with what.
    """


@contextlib.contextmanager
def _ending_here():
    """End a fresh fork that cannot be set up, or it would go on as a second server."""
    try:
        yield
    except BaseException:
        exit_now(1)


class Server:
    """Reads requests from the host and answers each; runs no code of the repository itself."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.pending = b""
        self.root, self.tmp = "", ""
        self.zygote, self.channels, self.tape, self.dirty = 0, {}, None, False
        self.tree, self.path = None, ""
        self.denied = False  # whether system calls are filtered
        self.function, self.answers, self.lines, self.until = None, None, iter(()), 0.0  # a function apart

    def serve(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, set(range(1, signal.NSIG)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33})
        prctl(PR_SET_DUMPABLE, 0)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.denied = deny_calls()
        while True:
            line = self._line()
            if line is None:
                break
            request = json.loads(line)
            try:
                getattr(self, "do_" + request["op"])(request)
            except Exception as error:
                self._reply({"k": "error", "why": "%s: %s" % (type(error).__name__, error)})
        self._drop()
        exit_now(0)

    def _line(self):
        while b"\n" not in self.pending:
            data = read(self.source, 1 << 16)
            if not data:
                return None
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return line

    def _exactly(self, size):
        parts, left = [self.pending[:size]], size - min(size, len(self.pending))
        self.pending = self.pending[size:]
        while left:
            data = read(self.source, min(left, 1 << 20))
            if not data:
                raise EOFError("the stream of files ended early")
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def _reply(self, frame):
        self._reply_raw(json.dumps(frame, separators=(",", ":")).encode())

    def _reply_raw(self, data):
        view = memoryview(data + b"\n")
        while view:
            view = view[write(self.sink, view) :]

    def do_hello(self, request):
        """Say who we are, and set up paths: where the repository is, and where it was when it was installed."""
        self.root, self.tmp = request["root"], request.get("tmp", "")
        set_limit(resource.RLIMIT_NOFILE, MAX_FILES)  # rootless Podman ignores the one it was given
        if request.get("processes"):
            set_limit(resource.RLIMIT_NPROC, request["processes"])
        if request.get("was"):
            remap(request["was"], self.root)
        if self.root not in sys.path:  # after the standard library, before a copy that may be installed
            place = next((n for n, entry in enumerate(sys.path) if "-packages" in entry), len(sys.path))
            sys.path[place:place] = [os.path.join(self.root, "src"), self.root]
        try:
            pytest = importlib.metadata.version("pytest")
        except importlib.metadata.PackageNotFoundError:
            pytest = ""
        self._reply(
            {"k": "hello", "protocol": PROTOCOL, "python": sys.version.split()[0], "pytest": pytest}
            | {"pid": os.getpid(), "uid": os.getuid(), "status": own_status(), "interfaces": interfaces()}
            | {"denied": self.denied, "limits": own_limits()}
        ) if sys.version_info >= (3, 9) else None

    def do_files(self, request):
        """Receive the repository as a tar stream."""
        data = self._exactly(request["size"])
        os.makedirs(self.root, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            extra = {"filter": "fully_trusted"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(self.root, **extra)  # the host wrote it
            count = len(archive.getnames())
        self.tree = Tree(self.root) if request.get("keep") else None
        self._reply({"k": "files", "count": count})

    def do_suite(self, request):
        """Run pytest once in a child and pass on what it says."""
        output = os.path.join(self.tmp or "/tmp", ".egcfg-output-%d" % os.getpid())
        receive, send = os.pipe()
        ear, tell = os.pipe()
        pid = fork()
        if pid == 0:
            with _ending_here():
                become_child([receive, tell, self.source, self.sink], request["suite_timeout"], request["file_mib"])
                redirect(output)
            raise _Forked(run_suite, self.root, request, send, self.tmp, ear)
        os.close(send)
        os.close(ear)
        child = Child(pid, receive, tell)
        end = monotonic() + request["suite_timeout"]
        watch = {"end": end}
        for line in child.lines(lambda: min(watch["end"], end)):
            try:
                frame = json.loads(line)
                if not isinstance(frame, dict):
                    raise ValueError("not an object")
            except ValueError:
                self._reply({"k": "garbled"})
                continue
            limit = {"start": 1.0, "collecting": 4.0}.get(frame.get("k"))
            if limit is not None:
                watch["end"] = monotonic() + limit * request["test_timeout"]
            elif frame.get("k") in ("end", "collected", "done"):  # reports of phases do not stop a test's clock
                watch["end"] = end
            self._reply_raw(b'{"k":"child","d":' + line + b"}")
            if request.get("apart") and frame.get("k") == "ask" and frame.get("x") == request["nonce"]:
                child.tell(json.loads(self._line() or b"{}"), end)
            if frame.get("k") == "done" and frame.get("x") == request["nonce"]:
                child.why = "exited"
        why = "suite-timeout" if child.why == "timeout" and monotonic() >= end else child.why
        child.end()
        sweep({self.zygote})
        self._reply({"k": "exit", "why": why, "code": child.code, "out": tail(output, request["output"])})

    def do_apart(self, request):
        """Start the process that answers calls of one function; say why it cannot."""
        self.function = request
        self._reply({"k": "apart", "why": self._start_function()})

    def _start_function(self):
        receive, send = os.pipe()
        ear, tell = os.pipe()
        pid = fork()
        if pid == 0:
            become_child([receive, tell, self.source, self.sink], self.function["seconds"], self.function["file_mib"])
            redirect(os.devnull)
            serve_function(self.root, self.function, ear, send)
        os.close(send)
        os.close(ear)
        self.answers = Child(pid, receive, tell)
        self.until = monotonic() + self.function["timeout"]
        self.lines = self.answers.lines(lambda: self.until)
        said = self._next_answer()
        return "" if said.get("k") == "ready" else str(said.get("why") or "it did not start")

    def _next_answer(self):
        """Return what the function's process says next; {"why": ...} when it ended, is silent or talks nonsense."""
        line = next(self.lines, None)
        try:
            said = json.loads(line) if line is not None else None
        except ValueError:
            said = None
        if isinstance(said, dict):
            return said
        why = "nonsense" if line is not None else self.answers.why or "silence"
        self.answers.end()
        sweep(set())
        self.answers = None
        return {"why": why}

    def do_ask(self, request):
        """Pass one call on to the function's process; one that has ended is started again first."""
        why = "" if self.answers is not None else self._start_function()
        if why or self.answers is None:
            self._reply({"k": "asked", "d": {"why": why or "it did not start"}})
            return
        self.until = monotonic() + self.function["timeout"]
        told = self.answers.tell({"a": request["a"]}, self.until)
        self._reply({"k": "asked", "d": self._next_answer() if told else {"why": "it does not listen"}})

    def do_prepare(self, request):
        """Start the zygotes of a warm session."""
        self._drop()
        self.dirty, self.path = False, request["path"]
        self.tape = Tape()
        ours, theirs = socket.socketpair()
        ours2, theirs2 = socket.socketpair()
        self.zygote = fork()
        if self.zygote == 0:
            self._zygote(request, theirs, theirs2, (ours, ours2))
        theirs.close()
        theirs2.close()
        self.channels = {"import": Line(ours), "swap": Line(ours2)}
        answer = {"k": "prepared", "import": None, "swap": None}
        answer["import"] = self.channels["import"].receive(request["timeout"])
        if request.get("swap") and answer["import"] and answer["import"].get("ok"):
            self.channels["import"].send({"op": "collect"})
            answer["swap"] = self.channels["swap"].receive(request["timeout"])
            modules = (answer["swap"] or {}).pop("modules", None)
            if isinstance(modules, list):
                self.channels["import"].send({"op": "load", "modules": [str(name) for name in modules]})
        self._reply(answer)

    def _zygote(self, request, channel, next_channel, close):
        with _ending_here():
            for end in close:
                end.close()
            for descriptor in (self.source, self.sink):
                os.close(descriptor)
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            shield()
            redirect(os.devnull)
            zygote = Zygote(request, self.root, self.tmp, self.tape)
        raise _Forked(zygote.main, channel, next_channel)

    def do_execute(self, request):
        """Have a zygote run the tests on one variant; it cleans up once the answer is on its way."""
        line = self.channels[request["level"]]
        if self.dirty:
            self._reply({"k": "executed", "d": {"why": "unclean", "dirty": True}})
            return
        if self.tree is not None:
            self.tree.put(self.path, base64.b64decode(request["source"]))
        line.send(request)
        answer = line.receive(2 * request["timeout"] + 5)  # later only if the zygote itself was stopped
        self._reply({"k": "executed", "d": answer})
        rest = line.receive(10) if answer is not None else None
        self.dirty = rest is None or rest.get("dirty") is not False
        if self.tree is not None and not self.tree.restore():
            self.dirty = True

    def _drop(self):
        for line in self.channels.values():
            line.close()
        self.zygote, self.channels = 0, {}
        sweep(set())


def serve():
    """Take over stdin and stdout and serve until stdin ends."""
    source, sink = os.dup(0), os.dup(1)
    for descriptor in (source, sink):
        os.set_inheritable(descriptor, False)
    redirect(os.devnull)
    sys.dont_write_bytecode = True
    seem_started_by_a_shell()
    gc.freeze()
    try:
        Server(source, sink).serve()
    except _Forked as forked:
        function, *arguments = forked.args
    function(*arguments)

"""The server: reads requests from the host, answers each, and forks what runs code of the repository."""

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
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from runners.harness.answering import Answerer
from runners.harness.appearance import redirect, remap, seem_started_by_a_shell, tail
from runners.harness.child import Child
from runners.harness.confines import MAX_FILES, interfaces, own_limits, own_status
from runners.harness.kept import exit_now, fork, monotonic
from runners.harness.lines import Host, Line, Message
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
def _ending_here() -> Iterator[None]:
    """End a fresh fork that cannot be set up, or it would go on as a second server."""
    try:
        yield
    except BaseException:
        exit_now(1)


class Server:
    """Answers each request of the host; runs no code of the repository itself."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.root, self.tmp, self.path = "", "", ""
        self.zygote, self.dirty = 0, False
        self.channels: dict[str, Line] = {}
        self.tree: Tree | None = None
        self.denied = False  # whether system calls are filtered
        self.answerer: Answerer | None = None

    def serve(self) -> NoReturn:
        """Answer requests until the host is gone."""
        signal.pthread_sigmask(signal.SIG_BLOCK, set(range(1, signal.NSIG)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33})
        prctl(PR_SET_DUMPABLE, 0)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.denied = deny_calls()
        while True:
            line = self.host.line()
            if line is None:
                break
            request = json.loads(line)
            try:
                getattr(self, "do_" + request["op"])(request)
            except Exception as error:
                self.host.reply({"k": "error", "why": f"{type(error).__name__}: {error}"})
        self._drop()
        exit_now(0)

    def _channels_to_host(self) -> list[int]:
        return [self.host.source, self.host.sink]

    def do_hello(self, request: Message) -> None:
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
        self.host.reply(
            {"k": "hello", "protocol": PROTOCOL, "python": sys.version.split()[0], "pytest": pytest}
            | {"pid": os.getpid(), "uid": os.getuid(), "status": own_status(), "interfaces": interfaces()}
            | {"denied": self.denied, "limits": own_limits()}
        )

    def do_files(self, request: Message) -> None:
        """Receive the repository as a tar stream."""
        data = self.host.exactly(request["size"])
        os.makedirs(self.root, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            extra: Any = {"filter": "fully_trusted"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(self.root, **extra)  # the host wrote it
            count = len(archive.getnames())
        self.tree = Tree(self.root) if request.get("keep") else None
        self.host.reply({"k": "files", "count": count})

    def do_suite(self, request: Message) -> None:
        """Run pytest once in a child and pass on what it says."""
        output = os.path.join(self.tmp or "/tmp", f".egcfg-output-{os.getpid()}")
        child = self._fork_suite(request, output)
        end = monotonic() + request["suite_timeout"]
        self._pass_on(child, request, end)
        why = "suite-timeout" if child.why == "timeout" and monotonic() >= end else child.why
        child.end()
        sweep({self.zygote})
        self.host.reply({"k": "exit", "why": why, "code": child.code, "out": tail(output, request["output"])})

    def _fork_suite(self, request: Message, output: str) -> Child:
        receive, send = os.pipe()
        ear, tell = os.pipe()
        pid = fork()
        if pid == 0:
            with _ending_here():
                close = [receive, tell, *self._channels_to_host()]
                become_child(close, request["suite_timeout"], request["file_mib"])
                redirect(output)
            raise _Forked(run_suite, self.root, request, send, self.tmp, ear)
        os.close(send)
        os.close(ear)
        return Child(pid, receive, tell)

    def _pass_on(self, child: Child, request: Message, end: float) -> None:
        """Pass on what the child says until it is done, or a test or the whole takes too long."""
        watch = {"end": end}
        for line in child.lines(lambda: min(watch["end"], end)):
            try:
                frame = json.loads(line)
                if not isinstance(frame, dict):
                    raise ValueError("not an object")
            except ValueError:
                self.host.reply({"k": "garbled"})
                continue
            kind = frame.get("k")
            if kind == "start":
                watch["end"] = monotonic() + request["test_timeout"]
            elif kind == "collecting":
                watch["end"] = monotonic() + 4.0 * request["test_timeout"]
            elif kind in ("end", "collected", "done"):  # reports of phases do not stop a test's clock
                watch["end"] = end
            self.host.reply_raw(b'{"k":"child","d":' + line + b"}")
            if request.get("apart") and kind == "ask" and frame.get("x") == request["nonce"]:
                child.tell(json.loads(self.host.line() or b"{}"), end)
            if kind == "done" and frame.get("x") == request["nonce"]:
                child.why = "exited"

    def do_apart(self, request: Message) -> None:
        """Start the process that answers calls of one function; say why it cannot."""
        self.answerer = Answerer(self.root, request, self._channels_to_host())
        self.host.reply({"k": "apart", "why": self.answerer.start()})

    def do_ask(self, request: Message) -> None:
        """Pass one call on to the function's process; one that has ended is started again first."""
        if self.answerer is None:
            raise LookupError("no function was named")
        self.host.reply({"k": "asked", "d": self.answerer.ask(request["a"])})

    def do_prepare(self, request: Message) -> None:
        """Start the zygotes of a warm session."""
        self._drop()
        self.dirty, self.path = False, request["path"]
        tape = Tape()
        ours, theirs = socket.socketpair()
        ours2, theirs2 = socket.socketpair()
        self.zygote = fork()
        if self.zygote == 0:
            self._become_zygote(request, tape, theirs, theirs2, (ours, ours2))
        theirs.close()
        theirs2.close()
        self.channels = {"import": Line(ours), "swap": Line(ours2)}
        answer: Message = {"k": "prepared", "import": None, "swap": None}
        answer["import"] = self.channels["import"].receive(request["timeout"])
        if request.get("swap") and answer["import"] and answer["import"].get("ok"):
            self.channels["import"].send({"op": "collect"})
            answer["swap"] = self.channels["swap"].receive(request["timeout"])
            modules = (answer["swap"] or {}).pop("modules", None)
            if isinstance(modules, list):
                self.channels["import"].send({"op": "load", "modules": [str(name) for name in modules]})
        self.host.reply(answer)

    def _become_zygote(
        self,
        request: Message,
        tape: Tape,
        channel: socket.socket,
        next_channel: socket.socket,
        close: Iterable[socket.socket],
    ) -> NoReturn:
        with _ending_here():
            for end in close:
                end.close()
            for descriptor in self._channels_to_host():
                os.close(descriptor)
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            shield()
            redirect(os.devnull)
            zygote = Zygote(request, self.root, self.tmp, tape)
        raise _Forked(zygote.main, channel, next_channel)

    def do_execute(self, request: Message) -> None:
        """Have a zygote run the tests on one variant; it cleans up once the answer is on its way."""
        line = self.channels[request["level"]]
        if self.dirty:
            self.host.reply({"k": "executed", "d": {"why": "unclean", "dirty": True}})
            return
        if self.tree is not None:
            self.tree.put(self.path, base64.b64decode(request["source"]))
        line.send(request)
        # Three children have less than 4 times the limit in all. What they spend over the container's share of the
        # processors, which killing them for memory can be, the kernel takes from all that is in it.
        answer = line.receive(4 * request["timeout"] + 20)
        self.host.reply({"k": "executed", "d": answer})
        rest = line.receive(10) if answer is not None else None
        self.dirty = rest is None or rest.get("dirty") is not False
        if self.tree is not None and not self.tree.restore():
            self.dirty = True

    def _drop(self) -> None:
        for line in self.channels.values():
            line.close()
        self.zygote, self.channels = 0, {}
        sweep(set())


def serve() -> None:
    """Take over stdin and stdout and serve until stdin ends."""
    source, sink = os.dup(0), os.dup(1)
    for descriptor in (source, sink):
        os.set_inheritable(descriptor, False)
    redirect(os.devnull)
    sys.dont_write_bytecode = True
    seem_started_by_a_shell()
    gc.freeze()
    try:
        Server(Host(source, sink)).serve()
    except _Forked as forked:
        function, *arguments = forked.args
    function(*arguments)

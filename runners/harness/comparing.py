"""Comparing: what variants of a function do with the arguments that the tests give it."""

from __future__ import annotations

import ast
import base64
import builtins
import contextlib
import io
import json
import os
import resource
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any, TypeVar

from runners.harness.child import FRAME_BYTES
from runners.harness.fingerprint import Arguments, fingerprint, nearby
from runners.harness.kept import exit_now, fork, getframe, kill, monotonic, open_file, read, write
from runners.harness.lines import Emit, Message
from runners.harness.outcomes import (
    COMPARE_CHARS,
    Example,
    arguments_of,
    call_text,
    copy_of,
    outcome_of_call,
    outcome_of_example,
)
from runners.harness.places import text_of
from runners.harness.probes import find_function, is_docstring, starting_line
from runners.harness.processes import set_limit
from runners.harness.variants import Functions, Variants

CALL_SECONDS = 1.0  # for one variant, one call and what is near it
WAITING_SECONDS = 8.0  # the same on a machine that is too busy to give it that much of a processor
CALLS_OF_TEST = 12
LOOK = "__egcfg_look__"

Input = TypeVar("Input", Arguments, Example)
OutcomeOf = Callable[[Callable[..., Any], Input], list[Any]]


class Watched(Variants):
    """Variants whose original calls `LOOK` first of all, while `looking`."""

    looking = False

    def transform(
        self, tree: ast.AST, first_line: int | None = None, trace: bool = False, sentinel: bool = False
    ) -> None:
        if not self.looking:
            super().transform(tree, first_line, trace, sentinel)
            return
        try:
            node = find_function(tree, self.qualname, self.first_line)
        except LookupError:
            return
        place = 1 if is_docstring(node.body[0]) and len(node.body) > 1 else 0
        call = ast.Expr(ast.Call(ast.Name(LOOK, ast.Load()), [], []))
        call.lineno, call.col_offset = node.body[place].lineno, 0
        node.body.insert(place, call)
        ast.fix_missing_locations(tree)


class Comparison:
    """At each call of a function, forks a child for each variant, which does the same call and tells what came of it.

    A fork is a copy of everything the call can see, so that no variant sees what another one did. Arguments and results
    leave the sandbox as text by exact type and as a digest; no object does.
    """

    def __init__(self, root: str, request: Message, emit: Emit) -> None:
        self.emit, self.calls, self.nearby = emit, request["calls"], request["nearby"]
        self.left = request["seconds"]
        self.sources = [base64.b64decode(text) for text in request["sources"]]
        self.examples: list[Example] = [
            (ast.literal_eval(call), ast.literal_eval(gives)) for call, gives in request["examples"]
        ]
        where = (request["path"], request["qualname"], request["first_line"])
        self.variants = Watched(root, *where, self.sources[0])
        self.variants.looking = True
        self.variants.hook_import(self.sources[0], False, False)
        self.beside = [self._varied(root, one) for one in request["beside"]]
        self.callers = {
            (os.path.realpath(one.file), one.chain[-1].name, starting_line(one.chain[-1])) for one, _ in self.beside
        }
        self.node, self.of_test, self.busy = "", 0, False
        self.seen: set[str] = set()
        self.functions: Functions = []
        setattr(builtins, LOOK, self.look)

    @staticmethod
    def _varied(root: str, one: Message) -> tuple[Variants, list[bytes]]:
        """Return a function that varies beside the target, and its sources."""
        sources = [base64.b64decode(text) for text in one["sources"]]
        return Variants(root, one["path"], one["qualname"], one["first_line"], sources[0]), sources

    def start(self, node: str) -> None:
        """A test begins."""
        self.node, self.of_test = node, 0

    def look(self) -> None:
        """What the watched function calls first: compares the variants on this call, if there is still room."""
        room = self.calls > 0 and self.of_test < CALLS_OF_TEST
        if self.busy or not self.node or self.left <= 0 or not (room or self.examples):
            return
        self.busy, begun = True, monotonic()
        try:
            if self.examples:
                self._show(getframe(1))
            if room:
                self._compare(getframe(1))
        except Exception as error:
            self.emit({"k": "uncompared", "m": f"{type(error).__name__}: {text_of(error)[:COMPARE_CHARS]}"})
            self.calls, self.examples = 0, []
        finally:
            self.busy = False
            self.left -= monotonic() - begun

    def _show(self, frame: FrameType) -> None:
        """Let each variant do the examples of the docstring, once for all tests."""
        examples, self.examples = self.examples, []
        function = self._function_of(frame.f_code)
        answers = [self._ask(function, number, examples, outcome_of_example) for number in range(len(self.sources))]
        for place in range(len(examples)):
            results = [answer[place] if place < len(answer) else ["lost", "", ""] for answer in answers]
            self.emit({"k": "compared", "n": self.node, "a": "", "near": False, "r": results, "e": place + 1})

    def _compare(self, frame: FrameType) -> None:
        if self.beside and self._called_by_another(frame.f_back):
            return
        names, arguments = arguments_of(frame)
        key = fingerprint([arguments[0], sorted(arguments[1].items())])
        if key in self.seen:
            return
        function = self._function_of(frame.f_code)
        self.seen.add(key)
        self.calls -= 1
        self.of_test += 1
        texts = [call_text(names, arguments)]
        near = list(nearby(arguments)) if self.nearby else []
        texts += [call_text(names, one) for one in near]
        answers = [
            self._ask(function, number, [arguments, *near], outcome_of_call) for number in range(len(self.sources))
        ]
        for place, said in enumerate(texts):
            results = [answer[place] if place < len(answer) else ["lost", "", ""] for answer in answers]
            self.emit({"k": "compared", "n": self.node, "a": said, "near": place > 0, "r": results})

    def _called_by_another(self, frame: FrameType | None) -> bool:
        """Say whether a function that varies beside the target is running."""
        while frame is not None:
            code = frame.f_code
            if (os.path.realpath(code.co_filename), code.co_name, code.co_firstlineno) in self.callers:
                return True
            frame = frame.f_back
        return False

    def _function_of(self, code: CodeType) -> Callable[..., Any]:
        """Return the one function object that is running; raise LookupError when it cannot be told which."""
        for attempt in range(2):
            found = [function for function, _ in self.functions if function.__code__ is code]
            if len(found) == 1:
                return found[0]
            if attempt == 0:
                self.functions = self.variants.functions()
        raise LookupError(f"{len(found)} functions share this code")

    def _ask(
        self, function: Callable[..., Any], number: int, inputs: Sequence[Input], outcome_of: OutcomeOf[Input]
    ) -> list[list[Any]]:
        """Return [kind, text, digest] for each of the inputs, as far as a child gets with them."""
        receive, send = os.pipe()
        pid = _quiet_fork()
        if pid == 0:
            try:
                os.close(receive)
                self._answer(function, number, inputs, send, outcome_of)
            finally:
                exit_now(0)
        os.close(send)
        try:
            begun = monotonic()
            data, late = _read_all(receive, begun + CALL_SECONDS)
            while late and len(data) < FRAME_BYTES and monotonic() - begun < WAITING_SECONDS and _kept_waiting(pid):
                more, late = _read_all(receive, monotonic() + CALL_SECONDS / 4)
                data += more
        finally:
            os.close(receive)
            with contextlib.suppress(OSError):
                kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)
        answers = [json.loads(line) for line in data.split(b"\n")[:-1]]
        if len(answers) < len(inputs):
            answers.append(["timeout" if late else "crashed", "", ""])
        return answers

    def _answer(
        self,
        function: Callable[..., Any],
        number: int,
        inputs: Sequence[Input],
        send: int,
        outcome_of: OutcomeOf[Input],
    ) -> None:
        """In the child: do the calls one after the other, each on copies of the arguments where that is possible."""
        try:
            set_limit(resource.RLIMIT_CPU, time.process_time() + CALL_SECONDS + 1)
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (1, 2):
                os.dup2(null, descriptor)
            sys.stdout = sys.stderr = io.StringIO()
            self.variants.looking = False
            self.functions = self.variants.functions()
            self.variants.swap(self.functions, self.sources[number])
            for other, sources in self.beside:
                self._swap_beside(other, sources[0], sources[number])
        except BaseException as error:
            line = ["refused", f"{type(error).__name__}: {text_of(error)[:COMPARE_CHARS]}", ""]
            write(send, json.dumps(line).encode() + b"\n")
            return
        last = len(inputs) - 1
        for place, one in enumerate(inputs):
            own = one if place == last else copy_of(one)
            write(send, json.dumps(outcome_of(function, own)).encode() + b"\n")

    @staticmethod
    def _swap_beside(variants: Variants, original: bytes, source: bytes) -> None:
        """Give another function its body of the variant; raise LookupError where that is impossible."""
        if source != original:
            functions = variants.functions()
            if not functions:
                raise LookupError(f"{variants.qualname} is not imported")
            variants.swap(functions, source)


def comparison_for(root: str, request: Message | None, emit: Emit) -> Comparison | None:
    """Return the comparison that was asked for, None when it is impossible."""
    try:
        return Comparison(root, request, emit) if request else None
    except (LookupError, SyntaxError, ValueError, OSError) as error:
        emit({"k": "uncompared", "m": f"{type(error).__name__}: {error}"})
        return None


def _quiet_fork() -> int:
    """Fork; that the process has threads, of which newer versions of Python warn, is so by intent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fork()


def _kept_waiting(pid: int) -> bool:
    """Say whether a child wants to run and has not had its time on a processor, as far as the kernel tells."""
    try:
        with open_file(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return False
    return fields[0] == b"R" and used < CALL_SECONDS


def _read_all(descriptor: int, end: float) -> tuple[bytes, bool]:
    """Return (what was written until the descriptor was closed or the time was up, whether it was up)."""
    data = b""
    while len(data) < FRAME_BYTES:
        left = end - monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return data, True
        part = read(descriptor, 1 << 16)
        if not part:
            break
        data += part
    return data, False

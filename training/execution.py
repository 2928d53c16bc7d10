"""Runs functions on calls in a forked worker with hard limits, and says what came out.

The worker swallows output, limits memory and time, and is replaced when it falls silent: faulty code loops, hides
exceptions, recurses into the C stack. It refuses to change files, start processes or open connections, which mutants
of library code might. Only literal results count. Not a security boundary: it runs our own mutants.
"""

from __future__ import annotations

import ast
import contextlib
import io
import multiprocessing
import os
import resource
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

CALL_TIMEOUT_S = 0.15
SILENCE_S = 4.0
MEMORY_BYTES = 4 << 30
REPR_CHARS = 120
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
HARMLESS = frozenset({"os.listdir", "os.scandir", "os.walk"})


@dataclass(frozen=True, slots=True)
class Result:
    """What one call did. kind: "value", "raise", "timeout". text: the value's repr, or `Type: message`."""

    kind: str
    text: str


class _Late(BaseException):
    """The call took too long."""


def assemble(function: str, prelude: str) -> str:
    """Return the module: a method goes to the end of the prelude's class, a function after the prelude."""
    first = function.split("(", 1)[1].lstrip() if "(" in function else ""
    if first.startswith("self") and "class " in prelude:
        return prelude.rstrip() + "\n\n" + textwrap.indent(function, "    ")
    return prelude + "\n\n" + function if prelude else function


def split_call(call: str) -> tuple[str, str]:
    """Return the set-up lines and the last line, an expression."""
    setup, _, expression = call.rpartition("\n")
    return setup, expression


def _ring(*_: object) -> None:
    raise _Late


def run_call(namespace: dict[str, Any], call: str) -> Result:
    """Run one call in a namespace; the caller has set the alarm's handler."""
    setup, expression = split_call(call)
    signal.setitimer(signal.ITIMER_REAL, CALL_TIMEOUT_S, 0.02)
    try:
        scope = dict(namespace)
        exec(setup, scope)
        text = repr(eval(expression, scope))
    except _Late:
        return Result("timeout", "")
    except BaseException as error:  # mutants raise anything
        signal.setitimer(signal.ITIMER_REAL, 0)
        message = str(error).split("\n")[0][:REPR_CHARS]
        return Result("raise", f"{type(error).__name__}: {message}".removesuffix(": "))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return Result("value", text if len(text) <= 4000 else text[:4000] + "...")


def run_module(source: str, calls: Sequence[str]) -> list[Result]:
    """Return what each call does; a module that does not load fails all calls alike."""
    namespace: dict[str, Any] = {"__name__": "module"}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            exec(compile(source, "<module>", "exec"), namespace)
        except BaseException as error:  # see above
            return [Result("raise", f"{type(error).__name__}: {error}"[:REPR_CHARS])] * len(calls)
        results = []
        for call in calls:
            try:
                results.append(run_call(namespace, call))
            except _Late:
                results.append(Result("timeout", ""))
            if sum(r.kind == "timeout" for r in results) > 1:
                return results + [Result("timeout", "")] * (len(calls) - len(results))
        return results


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: raises PermissionError when something outside the process would change."""
    outside = event.startswith(("os.", "shutil.", "subprocess.", "socket.")) and event not in HARMLESS
    if outside or (event == "open" and arguments[2] & WRITING):
        raise PermissionError(f"{event} is refused")


def _serve(pipe: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGALRM, _ring)
    warnings.simplefilter("ignore")
    sys.dont_write_bytecode = True
    sys.addaudithook(_refuse)
    while True:
        function, arguments = pipe.recv()
        try:
            pipe.send(function(*arguments))
        except _Late:
            pipe.send(None)


class Worker:
    """A forked process that runs modules; use as a context manager."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("fork")
        self.lost = 0
        self._start()

    def _start(self) -> None:
        self.pipe, theirs = self.context.Pipe()
        self.process = self.context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def run(self, source: str, calls: Sequence[str]) -> list[Result]:
        """Return what each call does; all "timeout" when the worker had to be replaced."""
        results: list[Result] | None = self.ask(run_module, source, list(calls))
        return [Result("timeout", "")] * len(calls) if results is None else results

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function of a module returns in the worker; None when the worker had to be replaced."""
        try:
            self.pipe.send((function, arguments))
            if self.pipe.poll(SILENCE_S):
                return self.pipe.recv()
        except (EOFError, OSError):
            pass
        self.lost += 1
        self.close()
        self._start()
        return None

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_literal(text: str) -> bool:
    """True for a short repr that reads back as a value."""
    if len(text) > REPR_CHARS or "nan" in text or "inf" in text:
        return False
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text == "set()"
    return True

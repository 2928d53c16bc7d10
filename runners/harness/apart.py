"""A function apart: its tests in one sandbox, its body in another, plain data between them."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from runners.harness.kept import exit_now, getframe, read
from runners.harness.lines import Emit, Message, emitter
from runners.harness.places import text_of
from runners.harness.plain import NotPlain, from_plain, to_plain
from runners.harness.values import class_name

ASK = "__egcfg_ask__"


class Asker:
    """What the body of a function that runs apart calls, in the process of the tests."""

    def __init__(self, emit: Emit, ear: int) -> None:
        self.emit, self.ear, self.lock, self.owner = emit, ear, threading.Lock(), os.getpid()

    def __call__(self, positional: Sequence[Any], keywords: dict[str, Any]) -> Any:
        if os.getpid() != self.owner:
            raise self._unasked("arguments", "a process that the tests started calls it")
        try:
            sent = to_plain([list(positional), keywords])
        except NotPlain as error:
            raise self._unasked("arguments", str(error)) from None
        with self.lock:
            self.emit({"k": "ask", "a": sent})
            answer = self._hear()
        self._mutate([list(positional), keywords], sent, answer.get("p"))
        if "s" in answer:
            return positional[answer["s"]]
        if "v" in answer:
            return self._checked(answer["v"])
        if "e" in answer:
            raise self._exception(answer["e"], getframe(1).f_globals)
        if "n" in answer:
            raise self._unasked("result", str(answer["n"])[:300])
        why = str(answer.get("why"))[:300]
        raise RuntimeError(f"the function's process ended: {why}")

    def _hear(self) -> Message:
        heard = b""
        while not heard.endswith(b"\n"):
            data = read(self.ear, 1 << 16)
            if not data:
                exit_now(0)
            heard += data
        answer = json.loads(heard)
        return answer if isinstance(answer, dict) else {}

    def _checked(self, data: Any) -> Any:
        try:
            return from_plain(data)
        except NotPlain as error:
            raise self._unasked("result", str(error)) from None

    def _unasked(self, what: str, why: str) -> RuntimeError:
        self.emit({"k": "unasked", "w": what, "m": why})
        return RuntimeError(f"the call cannot cross to another process: {why}")

    def _mutate(self, given: list[Any], sent: Any, after: Any) -> None:
        """Do to the arguments what the function did to its own copies of them."""
        if after is None or after == sent:
            return
        left = self._checked(after)
        pairs = list(zip(given[0], left[0])) + [(item, left[1].get(key)) for key, item in given[1].items()]
        for old, new in pairs:
            if type(old) is not type(new) or old == new:
                continue
            if type(old) in (list, bytearray):
                old[:] = new
            elif type(old) in (dict, set):
                old.clear()
                old.update(new)
            else:
                raise self._unasked("arguments", "it changes what is inside its arguments")

    def _exception(self, told: Any, known: dict[str, Any]) -> Exception:
        """Return an exception of a class that the tests' process knows itself; no other class is ever made."""
        name, args = told
        kind = known.get(name, getattr(builtins, name, None)) if isinstance(name, str) else None
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            return self._unasked("result", f"it raises {str(name)[:100]}")
        args = tuple(self._checked(args))
        if kind.__module__ == "builtins":
            return kind(*args)
        error = kind.__new__(kind)
        error.args = args
        return error


def serve_function(root: str, request: Message, ear: int, send: int) -> NoReturn:
    """In the child: import one module and answer calls of one of its functions until nobody asks any more."""
    emit = emitter(send)
    try:
        os.chdir(root)
        module = importlib.import_module(_module_of(root, request["path"]))
        function: Any = module
        for part in request["qualname"].split("."):
            function = getattr(function, part)
    except BaseException as error:
        emit({"k": "refused", "why": f"{type(error).__name__}: {text_of(error)}"})
        exit_now(0)
    emit({"k": "ready"})
    pending = b""
    while True:
        while b"\n" not in pending:
            data = read(ear, 1 << 16)
            if not data:
                exit_now(0)
            pending += data
        line, _, pending = pending.partition(b"\n")
        emit(_answer(function, json.loads(line)["a"]))


def _answer(function: Callable[..., Any], data: Any) -> Message:
    positional, keywords = from_plain(data)
    answer: Message = {}
    try:
        value = function(*positional, **keywords)
    except Exception as error:
        try:
            answer["e"] = [class_name(type(error)), to_plain(list(error.args))]
        except NotPlain as why:
            answer["n"] = f"its exception holds {why}"
    except BaseException as error:
        answer["why"] = f"it raised {class_name(type(error))}"
    else:
        mutable = [place for place, item in enumerate(positional) if item is value and type(item) in (list, dict, set)]
        try:
            answer.update({"s": mutable[0]} if mutable else {"v": to_plain(value)})
        except NotPlain as why:
            answer["n"] = f"its result holds {why}"
    with contextlib.suppress(NotPlain):
        answer["p"] = to_plain([positional, keywords])
    return answer


def _module_of(root: str, path: str) -> str:
    """Return the name under which a file of the repository is imported: as deep as its packages go."""
    folder, name = os.path.split(os.path.join(root, path))
    parts = [] if name == "__init__.py" else [name[: -len(".py")]]
    while os.path.exists(os.path.join(folder, "__init__.py")) and folder != root:
        folder, name = os.path.split(folder)
        parts.insert(0, name)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return ".".join(parts)

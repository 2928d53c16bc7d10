"""Reads the examples in a function's docstring, and says which bodies keep them.

An example is a call of the function itself with literal arguments and the literal it should give, as doctest writes it
or as people do in prose: `f(1) == 2`, `f(1) -> 2`, `f(1) => 2`, `f(1) returns 2`. Examples steer nothing. They are also
not binding, since docstrings grow stale: of bodies that pass the tests, one that keeps more of them goes first.
"""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.functions import FunctionText
from runners.runner import (
    ComparedCall,
    Comparing,
    Example,
    FunctionKey,
    Result,
    Runner,
    RunnerError,
    SuiteRequest,
    Target,
)

MOST = 16  # examples of one docstring
LONGEST = 2000  # characters of an example
SECONDS = 8.0  # that all bodies may take for all examples
_GIVES = re.compile(r"\s*(?:==>|=>|-->|->|==|→|➞|⇒|returns|gives|#\s*(?:==?>|->)?)\s*(.+)")
_PLAIN_DECORATORS = frozenset({"staticmethod"})


@dataclass(frozen=True, slots=True)
class Kept:
    """What one body made of the examples: how many it keeps, and those that it does not, as text.

    broken: those that it does not keep and the body as it was did.
    """

    held: int = 0
    failed: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def doubtful(self) -> bool:
        """True when it breaks one that held, or fails as many as it keeps: then the docstring is hardly stale."""
        return bool(self.broken) or 0 < len(self.failed) >= self.held


def examples(function: FunctionText) -> tuple[Example, ...]:
    """Return the examples of a function's docstring, in their order, each call once; none for what needs an object."""
    try:
        node = ast.parse(function.header + (function.body or "    pass\n")).body[0]
    except (SyntaxError, ValueError, RecursionError, MemoryError, IndexError):
        return ()
    if not isinstance(node, ast.FunctionDef) or "<locals>" in function.qualname:
        return ()
    decorators = {child.id for child in node.decorator_list if isinstance(child, ast.Name)}
    own = len(decorators) == len(node.decorator_list) and decorators <= _PLAIN_DECORATORS
    if not own or ("." in function.qualname and not decorators):
        return ()
    found: dict[str, Example] = {}
    for call, gives in _written(ast.get_docstring(node) or "", function.name):
        example = _example(call, gives, function.name)
        if example is not None:
            found.setdefault(example.arguments, example)
    return tuple(found.values())[:MOST]


def _written(docstring: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield (call, what it gives) as texts that need not parse."""
    try:
        written = doctest.DocTestParser().get_examples(docstring)
    except ValueError:  # no doctest after all
        written = []
    for one in written:
        source, want = one.source.strip(), one.want.strip()
        call, equal, rest = source.rpartition("==")
        if equal and want in ("", "True") and _expression(call.strip()) is not None:
            yield call, rest
        elif one.exc_msg is None:
            yield source, want or "None"
    for line in docstring.splitlines():
        if not line.lstrip().startswith((">>>", "...")):
            yield from _in_prose(line, name)


def _in_prose(line: str, name: str) -> Iterator[tuple[str, str]]:
    for begin in re.finditer(rf"(?<![\w.]){re.escape(name)}\(", line):
        for end in re.finditer(r"\)", line[begin.end() : begin.end() + LONGEST]):
            stop = begin.end() + end.end()
            gives = _GIVES.fullmatch(line, stop)
            if gives is not None and _expression(line[begin.start() : stop]) is not None:
                yield line[begin.start() : stop], gives[1]
                break


def _example(call: str, gives: str, name: str) -> Example | None:
    """Return the example if it is a call of `name` with literals that gives a literal."""
    node = _expression(call.strip())
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)):
        return None
    called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
    try:
        positional = [ast.literal_eval(argument) for argument in node.args]
        keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}
        expected = _literal(gives)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    arguments = repr((positional, keywords))
    if called != name or None in keywords or len(arguments) + len(expected) > LONGEST:
        return None
    return Example(arguments, expected, call.strip())


def _literal(text: str) -> str:
    """Return a literal in one spelling; a full stop or a comment may follow. Raises ValueError if it is none."""
    for cut in (text.strip().rstrip(".,;"), text.partition("  #")[0].strip()):
        try:
            return repr(ast.literal_eval(cut))
        except (ValueError, SyntaxError):
            continue
    raise ValueError(text)


def _expression(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def kept(
    written: Sequence[Example],
    key: FunctionKey,
    sources: Sequence[bytes],
    tests: Sequence[str],
    runner: Runner,
) -> list[Kept] | None:
    """Return what each of `sources` makes of the examples; None when that cannot be told.

    sources: the function's file, as it is and then with other bodies. tests: ids of some that call the function. An
    example that nobody gets a result for, or that the sandbox leaves out, speaks neither for nor against.
    """
    target = Target(key.path, key.qualname, key.first_line)
    comparing = Comparing(target, tuple(sources), calls=0, seconds=SECONDS, examples=tuple(written))
    try:
        suite = runner.run_suite(SuiteRequest(node_ids=tuple(tests), comparing=comparing))
    except RunnerError:
        return None
    known = [call for call in suite.examples if any(result.kind == "value" for result in call.results)]
    if not known or suite.tampered:
        return None
    return [_kept(written, known, place) for place in range(len(sources))]


def _kept(written: Sequence[Example], calls: Sequence[ComparedCall], place: int) -> Kept:
    failed = [call for call in calls if not call.results[place].holds and call.results[place].kind != "refused"]
    broken = [call for call in failed if call.results[0].holds]
    failing, breaking = (
        tuple(_told(written[call.example], call.results[place]) for call in some) for some in (failed, broken)
    )
    return Kept(sum(call.results[place].holds for call in calls), failing, breaking)


def _told(example: Example, result: Result) -> str:
    said = f"gives {result.text}" if result.kind == "value" else result.without_value or "has no result"
    return f"{example.text} {said}, not {example.expected}"

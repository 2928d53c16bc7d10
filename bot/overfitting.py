"""Decides what in a passing patch smells of having learnt the tests by heart.

Pure checks on syntax trees: constants copied from the failing tests, branches on their literal inputs, swallowed
exceptions, an early return of the expected value, parameters that no longer matter, deleted behaviour. Each smell is
text for people.
Small constants and ordinary one-line repairs (1 to 2, `<` to `<=`) raise none. Proves nothing: held-out tests judge.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bot.functions import FunctionNode, FunctionText
from bot.syntax import last_name, parsed

Constant = str | bytes | int | float | complex

ORDINARY = frozenset(
    [
        7,
        12,
        24,
        28,
        29,
        30,
        31,
        32,
        52,
        60,
        64,
        90,
        128,
        180,
        255,
        256,
        360,
        365,
        366,
        400,
        512,
        1024,
        3600,
        4096,
        86400,
    ]
)  # numbers that programs hold for reasons of their own, like powers of ten
SMALL = 10
MANY = 6  # statements of a function of which most may not just go


@dataclass(frozen=True, slots=True)
class _Tests:
    """What the failing tests' sources hold: constants of assertions and parameters, and the values compared with."""

    constants: frozenset[object]
    expected: frozenset[str]  # literals on one side of a comparison, as canonical text

    def hold(self, constant: object) -> bool:
        """True for a number of the tests, and for a string that they expect as a whole."""
        return repr(constant) in self.expected if isinstance(constant, str | bytes) else constant in self.constants


def smells(function: FunctionText, body: str, tests: Sequence[str]) -> list[str]:
    """Return why `body` looks made for the tests rather than for the task; empty for an ordinary repair.

    function: with the old body. body: normalised. tests: sources of the failing tests.
    """
    old, new = _node(function.header + function.body), _node(function.header + body)
    if old is None or new is None:
        return []
    seen = _seen(tests)
    found = [
        *_copied_constants(old, new, seen),
        *_literal_branches(old, new, seen),
        *_early_return(old, new, seen),
        *_swallowed(old, new),
        *_ignored_parameters(old, new),
        *_deleted(old, new),
    ]
    return list(dict.fromkeys(found))


def _copied_constants(old: FunctionNode, new: FunctionNode, tests: _Tests) -> Iterator[str]:
    """Constants of the tests that the new body returns or keeps in a table, and the old function had nowhere."""
    before = set(_constants(old))
    for node in _statements(new):
        if isinstance(node, ast.Return) and node.value is not None:
            holders: list[ast.AST] = [node.value]
        elif isinstance(node, ast.Dict | ast.List | ast.Tuple | ast.Set):
            holders = [node]
        else:
            continue
        copied = [c for h in holders for c in _plain_constants(h) if telling(c) and tests.hold(c)]
        copied = [c for c in dict.fromkeys(copied) if c not in before]
        if isinstance(node, ast.Return) or len(copied) > 1:
            for constant in copied:
                yield f"{constant!r} is copied from the failing tests"


def _literal_branches(old: FunctionNode, new: FunctionNode, tests: _Tests) -> Iterator[str]:
    """Comparisons of something with a constant that stands in the tests."""
    before = set(_compared(old))
    for constant in dict.fromkeys(_compared(new)):
        if constant in before or constant not in tests.constants or not _telling_input(constant):
            continue
        yield f"it branches on {constant!r}, an input of the failing tests"


def _early_return(old: FunctionNode, new: FunctionNode, tests: _Tests) -> Iterator[str]:
    """A literal that the tests expect, returned unconditionally where the old body computed something."""
    returned = {_canonical(n.value) for n in _statements(old) if isinstance(n, ast.Return) and n.value}
    for statement in new.body:
        if not isinstance(statement, ast.Return):
            if any(isinstance(n, ast.Return | ast.Raise | ast.Yield | ast.YieldFrom) for n in ast.walk(statement)):
                return
        else:
            text = _canonical(statement.value) if statement.value else ""
            if text and text in tests.expected and text not in returned:
                yield f"it returns {text}, which the failing tests expect, whatever it is given"
            return


def _swallowed(old: FunctionNode, new: FunctionNode) -> Iterator[str]:
    if sum(map(_swallows, _statements(new))) > sum(map(_swallows, _statements(old))):
        yield "it swallows exceptions that were raised before"


def _ignored_parameters(old: FunctionNode, new: FunctionNode) -> Iterator[str]:
    arguments = old.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    parameters = {argument.arg for argument in every if argument is not None}
    if parameters & _names(old) and not parameters & _names(new):
        yield "it no longer uses any of its parameters"


def _deleted(old: FunctionNode, new: FunctionNode) -> Iterator[str]:
    """What the function did and does no more: computing its result, raising, calling, most of its statements."""
    if _computes(old) and _is_constant(new):
        yield "it returns a constant, where it computed its result"
    if any(isinstance(n, ast.Raise) for n in _statements(old)) and not any(
        isinstance(n, ast.Raise) for n in _statements(new)
    ):
        yield "it no longer raises anything, which it did"
    called = {last_name(n.func) for n in _statements(new) if isinstance(n, ast.Call)}
    dropped = {name for name in _called_alone(old) if name not in called}
    if len(dropped) > 1:
        yield f"it no longer calls {', '.join(sorted(dropped)[:3])}"
    before, after = _count(old), _count(new)
    if before >= MANY and 2 * after < before:
        yield f"it deletes most of what the function did ({before} statements become {after})"


def _computes(node: FunctionNode) -> bool:
    returned = [n.value for n in _statements(node) if isinstance(n, ast.Return) and n.value is not None]
    return any(not _canonical(value) for value in returned)


def _is_constant(node: FunctionNode) -> bool:
    """True for a body that returns a literal and never decides anything."""
    decisions = ast.If | ast.IfExp | ast.For | ast.While | ast.Match | ast.Try | ast.Yield | ast.YieldFrom
    returned = [n.value for n in _statements(node) if isinstance(n, ast.Return) and n.value is not None]
    decides = any(isinstance(n, decisions) for n in _statements(node))
    return bool(returned) and all(_canonical(value) for value in returned) and not decides


def _called_alone(node: FunctionNode) -> Iterator[str]:
    """Yield the names of calls that are statements: made for what they do, not for what they return."""
    for child in _statements(node):
        if isinstance(child, ast.Expr):
            value = child.value.value if isinstance(child.value, ast.Await) else child.value
            if isinstance(value, ast.Call) and last_name(value.func):
                yield last_name(value.func)


def _count(node: FunctionNode) -> int:
    return sum(isinstance(child, ast.stmt) for child in _statements(node))


def telling(constant: object) -> bool:
    """True for constants that a body hardly holds by chance: strings that are no single word, numbers of some size."""
    if isinstance(constant, bool) or constant is None or constant is Ellipsis:
        return False
    if isinstance(constant, str | bytes):
        text = constant if isinstance(constant, str) else constant.decode("latin-1")
        return len(text) > 5 and not text.replace("-", "_").isidentifier()
    if isinstance(constant, int | float):
        size = abs(constant)
        round_number = size >= 1 and str(size).removesuffix(".0").strip("0") == "1"
        return size not in ORDINARY and not round_number and (size > SMALL or size != round(size, 1))
    return isinstance(constant, complex)


def _telling_input(constant: object) -> bool:
    """True for constants that few bodies branch on: not 0, 1, 2, single characters or the like."""
    if isinstance(constant, bool) or constant is None or constant is Ellipsis:
        return False
    if isinstance(constant, str | bytes):
        return len(constant) >= 3
    return isinstance(constant, int | float) and abs(constant) > 2 and constant not in ORDINARY


# --------------------------------------------------------------------------------------------------- reading tests


def _seen(tests: Sequence[str]) -> _Tests:
    constants: set[object] = set()
    expected: set[str] = set()
    for source in tests:
        try:
            tree = parsed(textwrap.dedent(source))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and last_name(node.func) in ("raises", "warns", "skip", "xfail", "fail"):
                for child in ast.walk(node):
                    if isinstance(child, ast.Constant):
                        child.value = None  # a message that a repair may have to produce
        constants.update(_plain_constants(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                expected.update(text for side in sides if (text := _canonical(side)) and _worth(side))
            elif isinstance(node, ast.Call) and last_name(node.func).startswith("assert"):
                expected.update(text for argument in node.args if (text := _canonical(argument)) and _worth(argument))
    return _Tests(frozenset(constants), frozenset(expected))


def _worth(node: ast.expr) -> bool:
    """True for a literal that is no mere True, None, 0 or empty container."""
    value = ast.literal_eval(node)
    return value not in (0, 1, -1, "", b"") and value is not None and value != type(value)()


def _canonical(node: ast.expr | None) -> str:
    """Return a literal as text that is equal for equal values, or "" for anything else."""
    if node is None:
        return ""
    try:
        return repr(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ""


# ---------------------------------------------------------------------------------------------------- reading bodies


def _node(text: str) -> FunctionNode | None:
    try:
        body = parsed(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return body[0] if body and isinstance(body[0], FunctionNode) else None


def _statements(node: FunctionNode) -> Iterator[ast.AST]:
    for statement in node.body:
        yield from ast.walk(statement)


def _constants(node: ast.AST) -> Iterator[object]:
    for child in ast.walk(node):
        if isinstance(child, ast.Constant):
            yield child.value
            if isinstance(child.value, int | float) and not isinstance(child.value, bool):
                yield -child.value  # so that a sign alone makes no new constant


def _plain_constants(node: ast.AST) -> Iterator[object]:
    """Yield constants with their sign; parts of f-strings are constants too."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        yield -value if isinstance(value, int | float | complex) else value
        return
    if isinstance(node, ast.Constant):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from _plain_constants(child)


def _compared(node: FunctionNode) -> Iterator[object]:
    """Yield the constants that the body compares something with: ==, in, match, keys of a table that is looked up."""
    for child in _statements(node):
        if isinstance(child, ast.Compare) and all(
            isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in child.ops
        ):
            yield from _literal_parts([child.left, *child.comparators])
        elif isinstance(child, ast.MatchValue):
            yield from _literal_parts([child.value])
        elif isinstance(child, ast.Subscript) and isinstance(child.value, ast.Dict):
            yield from _literal_parts(key for key in child.value.keys if key is not None)
        elif (
            isinstance(child, ast.Call)
            and isinstance(child.func, ast.Attribute)
            and isinstance(child.func.value, ast.Dict)
        ):
            yield from _literal_parts(key for key in child.func.value.keys if key is not None)


def _literal_parts(nodes: Iterable[ast.expr]) -> Iterator[object]:
    for node in nodes:
        if _canonical(node):
            yield from _plain_constants(node)


def _swallows(node: ast.AST) -> bool:
    """True for a handler of everything that does nothing but go on, and for suppress(Exception)."""
    if isinstance(node, ast.Call) and last_name(node.func) == "suppress":
        return any(_is_broad(argument) for argument in node.args)
    if not isinstance(node, ast.ExceptHandler) or not (node.type is None or _is_broad(node.type)):
        return False
    return all(
        isinstance(s, ast.Pass | ast.Continue | ast.Break)
        or (isinstance(s, ast.Return) and (s.value is None or bool(_canonical(s.value))))
        or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        for s in node.body
    )


def _is_broad(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple):
        return any(_is_broad(part) for part in node.elts)
    return isinstance(node, ast.Name) and node.id in ("Exception", "BaseException")


def _names(node: FunctionNode) -> set[str]:
    """Return the names that the body reads. `super()` and locals() read the parameters without naming them."""
    names = {n.id for n in _statements(node) if isinstance(n, ast.Name)}
    if names & {"super", "locals"}:
        names |= {argument.arg for argument in [*node.args.posonlyargs, *node.args.args]}
    return names

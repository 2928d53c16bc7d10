"""Decides whether a new body of a test asserts as much as the old one did.

Pure checks on syntax trees, the first of two: what passes here must still notice the faults that the old test noticed
(`bot.mutants`). Each reason is text for people. Refuses what makes a test green without making it right: assertions
gone, weakened, made conditional, caught or compared with themselves, skips, and code under test that is replaced.
"""

from __future__ import annotations

import ast
import itertools
from collections import Counter
from collections.abc import Iterator

from bot.functions import FunctionNode, FunctionText
from bot.syntax import last_name

EXACT, PARTIAL, WEAK, EMPTY = 3, 2, 1, 0  # how much an assertion pins down


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ESCAPES = _words("skip skipTest xfail fail importorskip exit _exit suppress")
REPLACING = _words("setattr delattr setitem patch object Mock MagicMock AsyncMock exec")
EXACT_CALLS = _words("""
    assertEqual assertEquals assertListEqual assertDictEqual assertTupleEqual assertSetEqual assertCountEqual
    assertSequenceEqual assertMultiLineEqual assertAlmostEqual assertRaisesRegex assert_called_once_with
    assert_called_with assert_array_equal assert_allclose assert_frame_equal""")
WEAK_CALLS = _words("""
    assertTrue assertFalse assertIsNotNone assertIsInstance assertNotEqual assertNotIn assertIsNot assert_called""")
CONTEXTS = _words("raises warns assertRaises assertWarns assertRaisesRegex deprecated_call")
BROAD = _words("Exception BaseException Warning")


def weakened(function: FunctionText, body: str) -> str:
    """Return why `body` tests less than the old body of the test `function`, or "".

    body: normalised, as `bot.functions` has it. What the old body did already is never held against the new one.
    """
    old, new = _node(function.header + function.body), _node(function.header + body)
    if old is None or new is None:
        return "it is not valid Python"
    before, after = list(_assertions(old)), list(_assertions(new))
    if not after:
        return "it asserts nothing"
    empty = next((text for text, strength, _ in after if strength == EMPTY), "")
    if empty and Counter(t for t, s, _ in after if s == EMPTY) - Counter(t for t, s, _ in before if s == EMPTY):
        return f"an assertion is true whatever the code does ({empty})"
    return _fewer(before, after) or _new_ways_out(old, new)


Assertion = tuple[str, int, bool]  # its text, its strength, whether it stands where it always runs


def _fewer(before: list[Assertion], after: list[Assertion]) -> str:
    if len(after) < len(before):
        return f"{len(before)} assertions become {len(after)}"
    if sum(always for *_, always in after) < sum(always for *_, always in before):
        return "an assertion no longer runs every time"
    strengths = [sorted((strength for _, strength, _ in some), reverse=True) for some in (before, after)]
    if any(new < old for old, new in zip(*strengths, strict=False)):
        return "an assertion says less than before"
    return ""


def _new_ways_out(old: FunctionNode, new: FunctionNode) -> str:
    """Return what of the new body lets a test end green early, or tests something else than the code."""
    for text, count in (Counter(_ways_out(new)) - Counter(_ways_out(old))).items():
        if count:
            return text
    return ""


def _ways_out(function: FunctionNode) -> Iterator[str]:
    for node in _inside(function):
        if isinstance(node, ast.Return):
            yield "it returns before its end"
        elif isinstance(node, ast.Try):
            yield "it catches exceptions"
        elif isinstance(node, ast.Call) and last_name(node.func) in ESCAPES:
            yield f"it calls {last_name(node.func)}"
        elif isinstance(node, ast.Call) and last_name(node.func) == "approx" and (node.keywords or len(node.args) > 1):
            yield "it sets a tolerance"
        elif isinstance(node, ast.Call) and last_name(node.func) in REPLACING:
            yield f"it replaces code ({last_name(node.func)})"
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            yield "it sets an attribute"
        elif isinstance(node, ast.Global | ast.Nonlocal | ast.Import | ast.ImportFrom):
            yield "it reaches outside of the test"
        elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            yield "it allows an alternative"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield "it defines something of its own"


def _assertions(function: FunctionNode) -> Iterator[Assertion]:
    yield from _asserted(function.body, always=True)


def _asserted(nodes: list[ast.stmt], *, always: bool) -> Iterator[Assertion]:
    for node in nodes:
        if isinstance(node, ast.Assert):
            yield ast.unparse(node.test), _strength(node.test), always
        elif isinstance(node, ast.Expr):
            value = node.value.value if isinstance(node.value, ast.Await) else node.value
            if isinstance(value, ast.Call) and last_name(value.func).startswith("assert"):
                yield ast.unparse(value), _call_strength(value), always
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                call = item.context_expr
                if isinstance(call, ast.Call) and last_name(call.func) in CONTEXTS:
                    yield ast.unparse(call), _context_strength(call), always
            yield from _asserted(node.body, always=always)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.While | ast.If | ast.Try):
            inner = always and isinstance(node, ast.For) and _is_full(node.iter)
            for block in ("body", "orelse", "finalbody"):
                yield from _asserted(getattr(node, block, []), always=inner and block == "body")
            for handler in getattr(node, "handlers", []):
                yield from _asserted(handler.body, always=False)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                yield from _asserted(case.body, always=False)


def _is_full(node: ast.expr) -> bool:
    """True for a literal sequence that is not empty: a loop over it runs."""
    return isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict) and bool(ast.unparse(node).strip("[](){} "))


def _strength(test: ast.expr) -> int:
    """Return how much `assert test` pins down."""
    if not any(isinstance(node, ast.Name | ast.Call) for node in ast.walk(test)):
        return EMPTY
    if isinstance(test, ast.BoolOp):
        parts = [_strength(part) for part in test.values]
        return max(parts) if isinstance(test.op, ast.And) else min(*parts, WEAK)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return min(_strength(test.operand), PARTIAL)
    if isinstance(test, ast.Compare):
        sides = [test.left, *test.comparators]
        if any(ast.dump(one) == ast.dump(other) for one, other in itertools.pairwise(sides)):
            return EMPTY
        if all(isinstance(op, ast.Eq) for op in test.ops):
            return EXACT
        weak = any(isinstance(op, ast.NotEq | ast.IsNot | ast.NotIn) for op in test.ops)
        exact = isinstance(test.ops[0], ast.Is) and len(test.ops) == 1
        return WEAK if weak else EXACT if exact else PARTIAL
    if isinstance(test, ast.Call) and last_name(test.func) in (
        "isinstance",
        "issubclass",
        "hasattr",
        "callable",
        "bool",
    ):
        return WEAK
    return PARTIAL if isinstance(test, ast.Call) else WEAK


def _call_strength(call: ast.Call) -> int:
    name = last_name(call.func)
    arguments = [ast.dump(argument) for argument in call.args]
    if arguments and not any(isinstance(node, ast.Name | ast.Call) for a in call.args for node in ast.walk(a)):
        return EMPTY
    if len(arguments) > 1 and arguments[0] == arguments[1]:
        return EMPTY
    return EXACT if name in EXACT_CALLS else WEAK if name in WEAK_CALLS else PARTIAL


def _context_strength(call: ast.Call) -> int:
    if any(isinstance(node, ast.Name) and node.id in BROAD for a in call.args for node in ast.walk(a)):
        return WEAK
    return EXACT if any(keyword.arg == "match" for keyword in call.keywords) or len(call.args) > 1 else PARTIAL


def _inside(function: FunctionNode) -> Iterator[ast.AST]:
    for statement in function.body:
        yield from ast.walk(statement)


def _node(text: str) -> FunctionNode | None:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return body[0] if body and isinstance(body[0], FunctionNode) else None

"""Edits of operators: comparisons, arithmetic, `and`, `or`, `not`, and whole conditions."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator

from bot.binding import ATOM, BINARY, SYMBOL_LEVELS, level_of, required_level
from bot.edit_view import FunctionView, Proposals, Span, apply, in_order, is_not, simple_conditions

_ORDER = ("<", "<=", ">", ">=", "==", "!=")
_BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
_NEGATION = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_DIRECTION = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_OTHER_TESTS = {"in": ("not in", "=="), "not in": ("in", "!="), "is": ("is not", "=="), "is not": ("is", "!=")}
_COMPARISON = re.compile(r"not\s+in|is\s+not|in\b|is\b|[<>=!]=|[<>]")
ARITHMETIC = ("+", "-", "*", "/", "//", "%", "**")
BITWISE = ("&", "|", "^", "<<", ">>")
NEAR = {
    "+": "-*", "-": "+*/", "*": "+/", "/": "*", "%": "/", "&": "|^", "|": "&^", "^": "&|", "<<": ">>", ">>": "<<",
    "//": "/%", "**": "*",
}  # fmt: skip

_BOTH_SIDES = (("set(", ")"), ("sorted(", ")"), ("len(", ")"), ("abs(", ")"), ("str(", ")"), ("", ".lower()"))


def edit_compare(view: FunctionView, node: ast.Compare) -> Proposals:
    """Exchange the comparison, its sides, or what both sides go through."""
    operands = [node.left, *node.comparators]
    for left, right in itertools.pairwise(operands):
        gap_start, gap_end = view.end(left), view.start(right)
        match = _COMPARISON.search(view.text, gap_start, gap_end)
        if match is None:
            continue
        symbol = " ".join(match[0].split())
        for other, share in _other_comparisons(symbol):
            yield "CMP", share, ((match.start(), match.end(), other),)
    if len(operands) == 2:
        left, right = operands
        for before, after in _BOTH_SIDES if not any(isinstance(side, ast.Constant) for side in operands) else ():
            yield (
                "CALL_ADD",
                0.5,
                (
                    (view.start(left), view.end(left), before + view.source(left, 0 if before else ATOM) + after),
                    (view.start(right), view.end(right), before + view.source(right, 0 if before else ATOM) + after),
                ),
            )
        swap = ((view.start(left), view.end(left), view.source(right, 7)),
                (view.start(right), view.end(right), view.source(left, 7)))  # fmt: skip
        yield "OPERAND_SWAP", 0.5, swap


def _other_comparisons(symbol: str) -> Iterator[tuple[str, float]]:
    if symbol in _OTHER_TESTS:
        negated, plain = _OTHER_TESTS[symbol]
        yield negated, 3.0
        yield plain, 0.3
        return
    for other in _ORDER:
        if other == symbol:
            continue
        share = 6.0 * (other == _BOUNDARY[symbol]) + 2.5 * (other == _NEGATION[symbol])
        yield other, share + 1.5 * (other == _DIRECTION.get(symbol)) + 0.4
    if symbol in ("==", "!="):
        yield ("in" if symbol == "==" else "not in"), 0.4
        yield ("is" if symbol == "==" else "is not"), 0.1


def edit_binary(view: FunctionView, node: ast.BinOp) -> Proposals:
    """Exchange the operator or the operands, drop one, group them otherwise."""
    symbol = BINARY[type(node.op)][0]
    if symbol == "@":
        return
    left, right = view.source(node.left, 0), view.source(node.right, 0)
    position = view.text.find(symbol, view.end(node.left), view.start(node.right))
    for other in ARITHMETIC if symbol in ARITHMETIC else (*BITWISE, "**", "+", "-"):
        if other == symbol or (other == "**" and isinstance(node.right, ast.Constant) and not _small(node.right)):
            continue
        share = 3.0 if other in NEAR[symbol] else 1.0
        level = SYMBOL_LEVELS[other]
        spans = [(position, position + len(symbol), other)]
        for side, needed in ((node.left, level + (other == "**")), (node.right, level + (other != "**"))):
            if level_of(side) < needed and not view.parenthesised(side):
                spans += [(view.start(side), view.start(side), "("), (view.end(side), view.end(side), ")")]
        if level < required_level(view.parents[node], node) and not view.parenthesised(node):
            spans += [(view.start(node), view.start(node), "("), (view.end(node), view.end(node), ")")]
        yield "BIN", share, tuple(spans)
        if len(spans) > 1:
            yield "BIN", share / 2, tuple(spans[:1])
    level = BINARY[type(node.op)][1]
    for kept in (node.left, node.right):
        yield "EXPR_DROP", 2.0, view.replace(node, view.raw(kept), level_of(kept))
    if symbol in ("-", "/", "//", "%", "**", "<<", ">>") or "num" not in (
        view.guess(node.left),
        view.guess(node.right),
    ):
        swapped = f"{view.source(node.right, level + (symbol == '**'))} {symbol} {view.source(node.left, level + 1)}"
        yield "OPERAND_SWAP", 2.0, view.replace(node, swapped, level)
    if isinstance(node.right, ast.BinOp):  # a + b * c -> (a + b) * c
        inner = node.right
        rest = view.text[view.end(inner.left) : view.end(node)]
        if not view.parenthesised(inner):
            grouped = f"({view.text[view.start(node) : view.end(inner.left)]}){rest}"
            yield "OPERAND_SWAP", 1.0, view.replace(node, grouped, level_of(inner))
    for side in (node.left, node.right):  # (a + b) * c -> a + b * c
        if isinstance(side, ast.BinOp) and view.parenthesised(side):
            bare = _ungroup(view, side)
            yield "OPERAND_SWAP", 1.0, bare
    if left and right and symbol == "*" and view.raw(node.left) == view.raw(node.right):
        yield "BIN", 0.5, view.replace(node, f"{view.source(node.left, 15)} ** 2", 14)


def _small(node: ast.Constant) -> bool:
    return isinstance(node.value, (int, float)) and abs(node.value) <= 3


def _ungroup(view: FunctionView, node: ast.AST) -> tuple[Span, ...]:
    opening = view.text.rindex("(", 0, view.start(node))
    closing = view.text.index(")", view.end(node))
    return (opening, opening + 1, ""), (closing, closing + 1, "")


def edit_unary(view: FunctionView, node: ast.UnaryOp) -> Proposals:
    """Drop the operator."""
    operator = "NOT" if isinstance(node.op, ast.Not) else "NUM"
    yield operator, 1.5, view.replace(node, view.raw(node.operand), level_of(node.operand))


def edit_bool(view: FunctionView, node: ast.BoolOp) -> Proposals:
    """Exchange `and` and `or`, drop a part."""
    word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
    gaps = []
    for left, right in itertools.pairwise(node.values):
        match = re.compile(rf"\b{word}\b").search(view.text, view.end(left), view.start(right))
        if match:
            gaps.append((match.start(), match.end(), other))
    yield "BOOLOP", 3.0, tuple(gaps)
    if word == "and" and any(level_of(value) < 5 for value in node.values):
        return
    if required_level(view.parents[node], node) > 3 or word == "or":
        wrapped = ((view.start(node), view.start(node), "("), *gaps, (view.end(node), view.end(node), ")"))
        yield "BOOLOP", 1.0, wrapped
    for gap in gaps if len(gaps) > 1 else ():
        yield "BOOLOP", 1.0, (gap,)
    for index, value in enumerate(node.values):
        if len(node.values) == 2:
            kept = node.values[1 - index]
            yield "COND_DROP", 2.0, view.replace(node, view.raw(kept), level_of(kept))
        elif index:
            yield "COND_DROP", 2.0, ((view.end(node.values[index - 1]), view.end(value), ""),)
        else:
            yield "COND_DROP", 2.0, ((view.start(value), view.start(node.values[1]), ""),)


def edit_test(view: FunctionView, node: ast.expr) -> Proposals:
    """Negate a condition, conjoin another condition of the function or a simple one on its names."""
    if not is_not(node):
        yield "NOT", 1.0, view.replace(node, f"not {view.source(node, 5)}", 5)
    if isinstance(node, ast.BoolOp) or (is_not(node) and isinstance(node.operand, ast.BoolOp)):  # type: ignore[attr-defined]
        wrapped = f"not ({view.raw(node)})"
        yield "NOT", 0.5, view.replace(node, wrapped, 5)
    if isinstance(view.parents[node], (ast.BoolOp, ast.UnaryOp)):
        return
    own = view.raw(node)
    others = {
        view.source(test, 5): 1.0 for test in view.tests if view.raw(test) not in own and own not in view.raw(test)
    }
    for variant in _variants(view, node):
        others.setdefault(variant, 0.7)
    names = [name.id for name in ast.walk(node) if isinstance(name, ast.Name) and name.id in view.variables]
    for text, share in simple_conditions(view, list(dict.fromkeys([*names, *view.operands]))[:5], 0.3):
        others.setdefault(text, share)
    for text, share in others.items():
        negated = f"not {text}" if not text.startswith("not ") else text[4:]
        yield "COND_ADD", share, view.replace(node, f"{view.source(node, 5)} and {text}", 4)
        yield "COND_ADD", share, view.replace(node, f"{view.source(node, 4)} or {text}", 3)
        if share >= 0.7:
            yield "COND_ADD", share / 2, view.replace(node, f"{view.source(node, 5)} and {negated}", 4)
            yield "COND_ADD", share / 2, view.replace(node, f"{view.source(node, 4)} or {negated}", 3)


def _variants(view: FunctionView, node: ast.expr) -> list[str]:
    """Return comparisons like those of `node` with two names exchanged: `x + y == z` gives `x + z == y`."""
    found = []
    for part in [part for part in ast.walk(node) if isinstance(part, ast.Compare)][:3]:
        names = [name for name in ast.walk(part) if isinstance(name, ast.Name) and name.id in view.variables][:4]
        start = view.start(part)
        for one, other in itertools.combinations(names, 2):
            spans = in_order(view.swap(one, other))
            found.append(apply(view.raw(part), [(a - start, b - start, text) for a, b, text in spans]))
    return found

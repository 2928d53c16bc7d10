"""Edits that put back what was dropped from an expression, or another value in the place of one that cannot be meant.

A term of the object's own attributes, a modulus in a comparison; a name for a literal, nothing for a value; a name in
the place of one that is said twice.
"""

from __future__ import annotations

import ast

from bot.binding import SYMBOL_LEVELS
from bot.edit_view import FunctionView, Proposals

ATTRIBUTES = 6  # of the object, tried as terms
NAMES = 8  # tried in the place of one value
_READ = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Call, ast.keyword, ast.Compare, ast.Subscript)
_GIVEN = (ast.Assign, ast.Call, ast.keyword, ast.Tuple, ast.List, ast.Dict)
_NEVER_WITH_ITSELF = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod)


def edit_terms(view: FunctionView) -> Proposals:
    """Yield every edit of this module."""
    attributes = [name for name in view.attributes if name.startswith("self.")][:ATTRIBUTES]
    for node in view.values:
        parent = view.parents[node]
        inner = isinstance(parent, ast.BinOp) and isinstance(node, ast.BinOp) and type(parent.op) is not type(node.op)
        if (inner or isinstance(parent, _READ)) and view.guess(node) in ("num", ""):
            yield from _terms(view, node, attributes)
        if isinstance(parent, _GIVEN):
            yield from _named(view, node) if isinstance(node, ast.Constant) else _emptied(view, node)
        if isinstance(node, (ast.Name, ast.Attribute)):
            yield from _said_twice(view, node)
    for comparison in view.nodes:
        if isinstance(comparison, ast.Compare) and isinstance(comparison.left, (ast.Name, ast.Attribute)):
            yield from _moduli(view, comparison, attributes)


def _terms(view: FunctionView, node: ast.expr, attributes: list[str]) -> Proposals:
    """Add a term to a sum or product."""
    if not isinstance(node, ast.BinOp) and (view.guess(node) != "num" or isinstance(node, ast.Constant)):
        return
    own = view.source(node, 11)
    lengths = [view.raw(n) for n in view.nodes if isinstance(n, ast.Call) and view.raw(n).startswith("len(")]
    for name in [name for name in [*attributes, *dict.fromkeys(lengths[:2])] if name not in own]:
        yield "TERM", 1.0, view.replace(node, f"{name} + {view.source(node, 12)}", 11)
        for symbol, share in (("+", 0.7), ("-", 1.0), ("*", 0.3)):
            level = SYMBOL_LEVELS[symbol]
            yield "TERM", share, view.replace(node, f"{view.source(node, level)} {symbol} {name}", level)
    for text in ("+ 2", "- 2"):
        yield "TERM", 0.5, view.replace(node, f"{own} {text}", 11)


def _moduli(view: FunctionView, node: ast.Compare, attributes: list[str]) -> Proposals:
    """Compare the rest of a division."""
    right = node.comparators[0]
    if (
        isinstance(right, ast.Constant)
        and isinstance(right.value, int)
        and isinstance(node.ops[0], (ast.Eq, ast.NotEq))
    ):
        for name in [name for name in attributes if name != view.raw(node.left)]:
            yield "TERM", 0.7, view.replace(node.left, f"{view.raw(node.left)} % {name}", 12)


def _named(view: FunctionView, node: ast.Constant) -> Proposals:
    """Give a name's value instead of a literal."""
    if isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return  # a number may be any name in its place already
    if isinstance(node.value, str) and not view.is_plain_string(node):
        return
    attributes = [name for name in view.attributes if name.startswith("self.")][:2]
    for name in dict.fromkeys([*view.forgotten, *view.unread, *view.variables[:NAMES], *attributes]):
        if f"{name} = {view.raw(node)}" not in view.text:
            yield "NAMED", 1.0, view.replace(node, name)


def _emptied(view: FunctionView, node: ast.expr) -> Proposals:
    """Give nothing instead of a value."""
    if not isinstance(node, (ast.Name, ast.Attribute, ast.Call)):
        return
    yield "NAMED", 0.7, view.replace(node, "None")
    if isinstance(view.parents[node], ast.Assign):
        for text in ("[]", "{}", "0", "True", "False"):
            yield "NAMED", 0.3, view.replace(node, text)


def _said_twice(view: FunctionView, node: ast.Name | ast.Attribute) -> Proposals:
    """Put a name in the place of one that stands beside itself."""
    parent, own = view.parents[node], view.raw(node)
    if isinstance(parent, ast.BinOp) and not isinstance(parent.op, _NEVER_WITH_ITSELF):
        return
    if isinstance(parent, (ast.Call, ast.Tuple, ast.Compare, ast.BoolOp, ast.BinOp)):
        beside = [
            child for child in ast.iter_child_nodes(parent) if isinstance(child, ast.expr) and child in view.parents
        ]
        if sum(view.raw(child) == own for child in beside) > 1:
            for name in [*view.variables[:NAMES], *view.attributes[:NAMES]]:
                if name != own:
                    yield "VAR", 2.0, view.replace(node, name)

"""How tightly the parts of an expression bind, and so where parentheses are needed. Pure syntax."""

from __future__ import annotations

import ast

ATOM = 16
# Strings with expressions in them, and what holds such an expression: t"..." is of Python 3.14.
FORMATTED: tuple[type[ast.expr], ...] = (ast.JoinedStr, getattr(ast, "TemplateStr", ast.JoinedStr))
FIELDS: tuple[type[ast.expr], ...] = (ast.FormattedValue, getattr(ast, "Interpolation", ast.FormattedValue))
BINARY: dict[type[ast.operator], tuple[str, int]] = {
    ast.BitOr: ("|", 7), ast.BitXor: ("^", 8), ast.BitAnd: ("&", 9), ast.LShift: ("<<", 10), ast.RShift: (">>", 10),
    ast.Add: ("+", 11), ast.Sub: ("-", 11), ast.Mult: ("*", 12), ast.Div: ("/", 12), ast.FloorDiv: ("//", 12),
    ast.Mod: ("%", 12), ast.MatMult: ("@", 12), ast.Pow: ("**", 14),
}  # fmt: skip
SYMBOL_LEVELS = dict(BINARY.values())
_LEVELS: dict[type[ast.expr], int] = {
    ast.NamedExpr: 0, ast.Yield: 0, ast.YieldFrom: 0, ast.Lambda: 1, ast.IfExp: 2, ast.Compare: 6, ast.Await: 15,
}  # fmt: skip


def level_of(node: ast.expr) -> int:
    """Return how tightly `node` binds: the higher, the fewer parentheses it needs."""
    if isinstance(node, ast.BinOp):
        return BINARY[type(node.op)][1]
    if isinstance(node, ast.BoolOp):
        return 4 if isinstance(node.op, ast.And) else 3
    if isinstance(node, ast.UnaryOp):
        return 5 if isinstance(node.op, ast.Not) else 13
    return _LEVELS.get(type(node), ATOM)


def required_level(parent: ast.AST, node: ast.AST) -> int:
    """Return the level an expression needs to stand unparenthesised where `node` stands in `parent`."""
    if isinstance(parent, ast.BinOp):
        level = BINARY[type(parent.op)][1]
        if isinstance(parent.op, ast.Pow):
            return 15 if node is parent.left else 13
        return level if node is parent.left else level + 1
    if isinstance(parent, ast.BoolOp):
        return 5 if isinstance(parent.op, ast.And) else 4
    if isinstance(parent, ast.UnaryOp):
        return 5 if isinstance(parent.op, ast.Not) else 13
    if isinstance(parent, (ast.Attribute, ast.Await)) or (isinstance(parent, ast.Call) and node is parent.func):
        return ATOM
    if isinstance(parent, ast.Subscript):
        return ATOM if node is parent.value else 0
    if isinstance(parent, (ast.Compare, ast.Starred)):
        return 7
    if isinstance(parent, (ast.IfExp, ast.comprehension, *FIELDS)):
        return 3
    return 1 if isinstance(parent, (ast.Lambda, ast.Dict, ast.keyword)) else 0

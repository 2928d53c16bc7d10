"""Edits that fit every value: a term is added to it, it is wrapped in a call, a part of it is taken."""

from __future__ import annotations

import ast

from bot.binding import ATOM, FORMATTED, SYMBOL_LEVELS
from bot.edit_view import FunctionView, Proposals

# What to wrap a value of each kind in: (prefix, suffix, share).
_Wrap = tuple[str, str, float]
_AROUND_ANY: tuple[_Wrap, ...] = (("len(", ")", 1.0), ("str(", ")", 0.6), ("int(", ")", 0.6))
_AROUND_NUMBER: tuple[_Wrap, ...] = (
    ("abs(", ")", 2.0), ("int(", ")", 1.0), ("str(", ")", 1.0), ("float(", ")", 0.5), ("round(", ")", 0.5),
)  # fmt: skip
_AROUND_SEQUENCE: tuple[_Wrap, ...] = (
    ("len(", ")", 1.0), ("set(", ")", 1.0), ("sorted(", ")", 1.0), ("list(", ")", 0.7), ("sum(", ")", 0.5),
    ("max(", ")", 0.5), ("min(", ")", 0.5), ("reversed(", ")", 0.4), ("tuple(", ")", 0.4), ("", ".copy()", 0.4),
    ("enumerate(", ")", 0.3), ("range(len(", "))", 0.3), ("any(", ")", 0.2), ("all(", ")", 0.2),
)  # fmt: skip
_AROUND_TEXT: tuple[_Wrap, ...] = (
    ("", ".lower()", 1.0), ("", ".strip()", 0.8), ("", ".upper()", 0.6), ("int(", ")", 1.0), ("len(", ")", 0.8),
    ("", ".split()", 0.6), ("float(", ")", 0.4), ("set(", ")", 0.5), ("list(", ")", 0.4), ("sorted(", ")", 0.4),
    ("reversed(", ")", 0.3),
)  # fmt: skip
_AROUND_DICT: tuple[_Wrap, ...] = (
    ("", ".items()", 1.0), ("", ".values()", 1.0), ("", ".keys()", 0.5), ("", ".copy()", 0.5), ("len(", ")", 0.5),
    ("sorted(", ")", 0.4), ("dict(", ")", 0.3), ("list(", ")", 0.3),
)  # fmt: skip
_WRAPS: dict[str, tuple[_Wrap, ...]] = {
    "num": _AROUND_NUMBER, "str": _AROUND_TEXT, "list": _AROUND_SEQUENCE, "dict": _AROUND_DICT, "bool": (), "other": (),
    "set": (("sorted(", ")", 1.0), ("list(", ")", 1.0), ("len(", ")", 1.0), ("", ".copy()", 0.5)),
}  # fmt: skip


def edit_value(view: FunctionView, node: ast.expr) -> Proposals:
    """Add a term to a value, wrap it, take a part of it."""
    kind = view.guess(node)
    if isinstance(node, (ast.Tuple, ast.Lambda, *FORMATTED, ast.IfExp, ast.Dict)):
        return
    parent = view.parents[node]
    if isinstance(parent, ast.Attribute) or (isinstance(parent, ast.Call) and _callee(parent) == "isinstance"):
        if not isinstance(parent, ast.Call):
            yield from _wrap(view, node, kind, 0.3)
        return
    if isinstance(parent, ast.BinOp) and isinstance(node, ast.BinOp) and type(parent.op) is type(node.op):
        return  # the inner part of a chain: the whole chain is offered instead
    yield from _add_term(view, node, kind)
    if not isinstance(node, ast.Constant):
        yield from _wrap(view, node, kind, 1.0)
        yield from _take_part(view, node, kind)


def _callee(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _add_term(view: FunctionView, node: ast.expr, kind: str) -> Proposals:
    if kind in ("num", "") and not isinstance(view.parents[node], ast.comprehension):
        constant = isinstance(node, ast.Constant)
        share = 1.0 if kind == "num" else 0.6
        for text, times in () if constant else (("+ 1", 4.0), ("- 1", 4.0)):
            yield "EXPR_ADD", share * times, view.replace(node, f"{view.source(node, 11)} {text}", 11)
        for text in () if constant else ("* 2", "// 2", "/ 2", "% 2", "** 2", "% 10", "// 10"):
            level = 14 if "**" in text else 12
            yield "EXPR_ADD", share * 0.3, view.replace(node, f"{view.source(node, level + 1)} {text}", level)
        if not constant:
            yield "NUM", share * 0.5, view.replace(node, f"-{view.source(node, 13)}", 13)
        for number in [number for number in view.numbers if number not in ("0", "1", "2")][:2] if not constant else ():
            for symbol in ("+", "-", "*", "%"):
                text = f"{view.source(node, SYMBOL_LEVELS[symbol])} {symbol} {number}"
                yield "EXPR_ADD", share * 0.2, view.replace(node, text, SYMBOL_LEVELS[symbol])
        for name in _operands(view, node):
            for symbol, times in (("+", 0.6), ("-", 0.6), ("*", 0.4), ("%", 0.15), ("//", 0.15), ("/", 0.15)):
                level = SYMBOL_LEVELS[symbol]
                text = f"{view.source(node, level)} {symbol} {name}"
                yield "EXPR_ADD", share * times, view.replace(node, text, level)
    if kind in ("str", "list"):
        others = view.strings[:3] if kind == "str" else ["[0]", "[1]"]
        for name in [*[name for name in view.variables if view.hints.get(name) == kind][:4], *others]:
            yield "EXPR_ADD", 0.2, view.replace(node, f"{view.source(node, 11)} + {name}", 11)
            yield "EXPR_ADD", 0.1, view.replace(node, f"{name} + {view.source(node, 12)}", 11)


def _operands(view: FunctionView, node: ast.expr) -> list[str]:
    """Names that could be added to, or multiplied with, `node`: numbers first."""
    known = [name for name in view.operands if view.hints.get(name) == "num"]
    unknown = [name for name in view.operands if name not in view.hints]
    return [name for name in [*known, *unknown] if name != view.raw(node)][:5]


def _wrap(view: FunctionView, node: ast.expr, kind: str, share: float) -> Proposals:
    parent = view.parents[node]
    inside = _callee(parent) if isinstance(parent, ast.Call) else ""
    iterated = isinstance(parent, (ast.For, ast.comprehension))
    wraps = _WRAPS.get(kind)
    if wraps is None:
        table = {(a, b): times for a, b, times in (*_AROUND_DICT, *_AROUND_TEXT, *_AROUND_SEQUENCE, *_AROUND_NUMBER)}
        wraps = tuple((a, b, times * 0.5) for (a, b), times in table.items())
    for before, after, times in wraps:
        if before == f"{inside}(" or (iterated and before in _SCALAR_WRAPS):
            continue
        text = before + view.source(node, 0 if before else ATOM) + after
        yield "CALL_ADD", share * times, view.replace(node, text)


_SCALAR_WRAPS = ("len(", "int(", "abs(", "float(", "round(", "sum(", "any(", "all(")


def _take_part(view: FunctionView, node: ast.expr, kind: str) -> Proposals:
    """Subscript a value."""
    if kind in ("num", "bool", "other", "set") or isinstance(node, (ast.BinOp, ast.GeneratorExp)):
        return
    text = view.source(node, ATOM)
    share = 0.5 if kind else 0.25
    if kind != "dict":
        for part in ("[::-1]", "[1:]", "[:-1]", "[0]", "[-1]"):
            yield "SUBSCRIPT", share, view.replace(node, text + part)
    names = [name for name in view.variables if view.hints.get(name, "num") == "num" and name != text]
    if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
        for name in names[:5]:
            yield "SUBSCRIPT", share / 2, view.replace(node, f"{text}[{name}]")
            if kind != "dict":
                yield "SUBSCRIPT", share / 3, view.replace(node, f"{text}[:{name}]")
                yield "SUBSCRIPT", share / 3, view.replace(node, f"{text}[{name}:]")

"""Edits of literals: numbers, strings, `None`, lists, dictionaries; one place, or all with the same one alike."""

from __future__ import annotations

import ast
import itertools
from typing import Any

from bot.binding import ATOM, level_of
from bot.edit_view import NAMES_PER_SITE, FunctionView, Proposals, is_bool

FAR = 1e15  # numbers beyond are no counts or bounds


def edit_constant(view: FunctionView, node: ast.Constant) -> Proposals:
    """Change a literal of any kind."""
    value = node.value
    if isinstance(value, bool):
        yield "LIT", 4.0, view.replace(node, str(not value))
        yield "LIT", 0.7, view.replace(node, "None")
    elif value is None:
        for other, share in (("True", 0.5), ("False", 1.0), ("0", 1.0), ("[]", 1.0), ("''", 0.7), ("{}", 0.4)):
            yield "LIT", share, view.replace(node, other)
    elif isinstance(value, (int, float)):
        yield from _edit_number(view, node, value)
    elif isinstance(value, str) and view.is_plain_string(node):
        yield from _edit_string(view, node, value)


def _edit_number(view: FunctionView, node: ast.Constant, value: int | float) -> Proposals:
    options: dict[str, float] = {}

    def offer(number: int | float | str, share: float) -> None:
        text = str(number)
        options[text] = options.get(text, 0.0) + share

    if abs(value) > FAR:
        return
    offer(value + 1, 3.0)
    offer(value - 1, 3.0)
    for number in (0, 1, -1, 2):
        offer(number, 1.0)
    offer(-value, 1.2)
    for text in view.numbers:
        offer(text, 0.5)
    for far in (value + 2, value - 2, value * 2):
        offer(far, 0.4)
    if isinstance(value, float) or abs(value) < 1:
        offer(1 / value if value else 0.5, 0.4)
    offer(value * 10, 0.2)
    if isinstance(value, int):
        offer(value // 2, 0.2)
        offer(value // 10, 0.1)
        offer(float(value), 0.1)
    for text, share in options.items():
        yield "NUM", share, view.replace(node, text, 13 if text.startswith("-") else ATOM)
    for name in view.variables[:NAMES_PER_SITE]:
        kind = view.hints.get(name, "")
        if kind in ("num", ""):
            yield "EXPR_REPLACE", 0.5, view.replace(node, name)
        if kind in ("list", "str", "dict", "set", ""):
            yield "EXPR_REPLACE", 0.4, view.replace(node, f"len({name})")


def _edit_string(view: FunctionView, node: ast.Constant, value: str) -> Proposals:
    quote = "'" if "'" not in value and view.raw(node).endswith("'") else '"'

    def literal(text: str) -> str:
        shown = repr(text)
        return quote + shown[1:-1] + quote if quote not in shown[1:-1] and shown[0] in "'\"" else shown

    options: dict[str, float] = {}
    changed = (value.lower(), value.upper(), value.capitalize(), value.title(), value.swapcase(), value.strip())
    for text in changed:
        options.setdefault(text, 1.0)
    for text in ("", " ", f"{value} ", f" {value}", value[::-1], value[1:], value[:-1]):
        options.setdefault(text, 0.8)
    if len(value) <= 2:
        for text in (*_SIMILAR.get(value, ""), "\n", ",", value * 2):
            options.setdefault(text, 0.5)
    for index in range(len(value) if len(value) <= 16 else 0):
        options.setdefault(value[:index] + value[index + 1 :], 0.3)
        options.setdefault(value[:index] + value[index : index + 2][::-1] + value[index + 2 :], 0.2)
    for text, share in options.items():
        if text != value:
            yield "LIT", share, view.replace(node, literal(text))
    for text in view.strings_near(node)[:8]:
        yield "LIT", 0.7, view.replace(node, text)
    for text in ("None", "0", "[]"):
        yield "LIT", 0.15, view.replace(node, text)


_SIMILAR = {
    "(": ")[{<", ")": "(]}>", "[": "](", "]": "[)", "{": "}(", "}": "{)", "<": ">", ">": "<", "+": "-", "-": "+_",
    "*": "+/", "/": "\\*", ",": ";.", ".": ",", ":": ";", ";": ":,", "_": "-", "0": "1", "1": "0", "'": '"',
}  # fmt: skip


def edit_collection(view: FunctionView, node: ast.List | ast.Tuple | ast.Set) -> Proposals:
    """Drop an element, exchange neighbours, fill or empty a list."""
    if not isinstance(getattr(node, "ctx", None), ast.Load) and not isinstance(node, ast.Set):
        return
    if len(node.elts) > 1:
        for index, element in enumerate(node.elts):
            if index + 1 < len(node.elts):
                span = (view.start(element), view.start(node.elts[index + 1]), "")
            else:
                span = (view.end(node.elts[index - 1]), view.end(element), "")
            yield "LIT", 0.7, (span,)
        for left, right in itertools.pairwise(node.elts[:12]):
            yield "OPERAND_SWAP", 1.0, view.swap(left, right)
    elif len(node.elts) == 1 and isinstance(node, ast.List):
        yield "LIT", 0.7, view.replace(node, "[]")
        yield "CALL_DROP", 0.7, view.replace(node, view.raw(node.elts[0]), level_of(node.elts[0]))
    elif isinstance(node, ast.List):
        for name in [*view.variables[:8], "0", "1", "''", "None"]:
            yield "LIT", 0.5, view.replace(node, f"[{name}]")


def edit_dict(view: FunctionView, node: ast.Dict) -> Proposals:
    """Exchange values, or a key with its value; drop an entry."""
    pairs = [(key, value) for key, value in zip(node.keys, node.values, strict=True) if key is not None]
    if len(pairs) != len(node.keys) or len(pairs) > 12:
        return
    for (key, value), (other_key, other_value) in itertools.pairwise(pairs):
        yield "OPERAND_SWAP", 0.7, view.swap(value, other_value)
        yield "LIT", 0.5, ((view.start(key), view.start(other_key), ""),)
    for key, value in pairs:
        yield "OPERAND_SWAP", 0.3, view.swap(key, value)


def edit_literals(view: FunctionView) -> Proposals:
    """Change a literal everywhere, or all strings of a statement alike."""
    places: dict[str, list[ast.Constant]] = {}
    rows: dict[int, list[ast.Constant]] = {}
    for node in view.nodes:
        if isinstance(node, ast.Constant) and not is_bool(node) and isinstance(node.value, (str, int, float)):
            if isinstance(node.value, str) and not view.is_plain_string(node):
                continue
            places.setdefault(view.raw(node), []).append(node)
            if isinstance(node.value, str):
                rows.setdefault(node.lineno, []).append(node)
    for nodes in places.values():
        value: Any = nodes[0].value
        others = _changed_cases(value) if isinstance(value, str) else (repr(value + 1), repr(value - 1))
        for other in others if 1 < len(nodes) <= 4 else ():
            operator = "LIT" if isinstance(value, str) else "NUM"
            yield operator, 0.4, tuple((view.start(node), view.end(node), other) for node in nodes)
    for nodes in rows.values():
        for texts in zip(*(_changed_cases(str(node.value)) for node in nodes), strict=True) if len(nodes) > 1 else ():
            spans = zip(nodes, texts, strict=True)
            yield "LIT", 0.7, tuple((view.start(node), view.end(node), text) for node, text in spans)


def _changed_cases(text: str) -> tuple[str, ...]:
    return tuple(repr(other) for other in (text.lower(), text.upper(), text.capitalize(), text.title(), text.strip()))

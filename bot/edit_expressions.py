"""Edits of expressions: names, operators, constants, calls, subscripts, conditions.

Each function here knows one kind of node and yields proposals; a proposal may come to nothing or not compile.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

from bot.edit_view import (
    ATOM,
    BINARY,
    NAMES_PER_SITE,
    RESULTS,
    SYMBOL_LEVELS,
    FunctionView,
    Proposals,
    Span,
    apply,
    in_order,
    is_bool,
    is_not,
    level_of,
    required_level,
    simple_conditions,
)

FAR = 1e15  # numbers beyond are no counts or bounds
SITES_PER_EXPRESSION = 24  # other expressions tried in one place

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

_SIBLINGS = (
    "min max sum", "any all", "floor ceil round int trunc", "append extend add insert", "find index rfind rindex count",
    "lstrip rstrip strip", "startswith endswith", "keys values items", "add discard remove", "pop popleft remove",
    "appendleft append", "union intersection difference symmetric_difference", "issubset issuperset",
    "upper lower swapcase title capitalize casefold", "isupper islower", "isdigit isalpha isalnum isnumeric isspace",
    "list set tuple sorted frozenset", "sorted reversed", "str repr", "int float round", "len sum max", "sqrt isqrt",
    "split rsplit splitlines", "partition rpartition", "ljust rjust center", "get pop setdefault", "bin hex oct",
    "log log2 log10", "sin cos tan", "map filter", "isinstance issubclass", "getattr hasattr", "ord chr",
    "heappush heappop", "heappushpop heapreplace", "nlargest nsmallest", "bisect_left bisect_right bisect",
    "permutations combinations product", "match search fullmatch", "copy deepcopy", "update setdefault",
    "write writelines", "read readline readlines", "range enumerate", "gcd lcm", "zip zip_longest",
    "insert append", "abs int", "replace removeprefix removesuffix", "encode decode", "sort reverse", "array asarray",
    "std var", "mean median average", "argmin argmax", "zeros ones", "zeros_like ones_like", "hstack vstack",
    "head tail", "iloc loc", "year month day", "hour minute second", "days seconds total_seconds", "weekday isoweekday",
    "group groups groupdict", "stem name suffix", "dirname basename", "wait gather", "popitem pop",
    "ROUND_HALF_UP ROUND_HALF_EVEN ROUND_DOWN ROUND_UP ROUND_HALF_DOWN",
)  # fmt: skip


def _sibling_table() -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for group in _SIBLINGS:
        words = group.split()
        for word in words:
            table.setdefault(word, []).extend(other for other in words if other != word)
    return {word: list(dict.fromkeys(others)) for word, others in table.items()}


_SIBLING_TABLE = _sibling_table()

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

# Arguments that calls are often missing.
_EXTRA_ARGUMENTS = {
    "sorted": ("reverse=True", "key=len", "key=str", "key=abs", "key=lambda x: x[1]", "key=lambda x: -x"),
    "sort": ("reverse=True", "key=len", "key=str"), "max": ("key=len", "default=0", "default=None"),
    "min": ("key=len", "default=0", "default=None"), "split": ("' '", "','", "'\\n'", "1"), "round": ("2", "1"),
    "get": ("0", "None", "[]", "''", "False"), "pop": ("0", "-1", "None"), "join": (), "int": ("2", "10", "16"),
    "sum": ("[]", "1"), "strip": ("' '", "'\\n'"), "enumerate": ("1", "start=1"), "zip": ("strict=True",),
    "open": ("'w'", "encoding='utf-8'"), "next": ("None",), "getattr": ("None",), "dumps": ("sort_keys=True",),
    "reduce": ("0", "1"), "replace": ("1",), "rstrip": ("'\\n'",), "setdefault": ("[]", "0"), "index": ("1",),
    "isinstance": (), "deque": ("maxlen=1",), "mkdir": ("exist_ok=True", "parents=True"), "range": (),
    "popitem": ("last=False",), "mean": ("axis=0", "axis=1", "keepdims=True"), "std": ("axis=0", "axis=1", "ddof=1"),
    "makedirs": ("exist_ok=True",), "match": ("re.IGNORECASE",), "search": ("re.IGNORECASE",),
}  # fmt: skip


def _edit_compare(view: FunctionView, node: ast.Compare) -> Proposals:
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


def _edit_binary(view: FunctionView, node: ast.BinOp) -> Proposals:
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
            if level_of(side) < needed and not _parenthesised(view, side):
                spans += [(view.start(side), view.start(side), "("), (view.end(side), view.end(side), ")")]
        if level < required_level(view.parents[node], node) and not _parenthesised(view, node):
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
        if not _parenthesised(view, inner):
            grouped = f"({view.text[view.start(node) : view.end(inner.left)]}){rest}"
            yield "OPERAND_SWAP", 1.0, view.replace(node, grouped, level_of(inner))
    for side in (node.left, node.right):  # (a + b) * c -> a + b * c
        if isinstance(side, ast.BinOp) and _parenthesised(view, side):
            bare = _ungroup(view, side)
            yield "OPERAND_SWAP", 1.0, bare
    if left and right and symbol == "*" and view.raw(node.left) == view.raw(node.right):
        yield "BIN", 0.5, view.replace(node, f"{view.source(node.left, 15)} ** 2", 14)


def _small(node: ast.Constant) -> bool:
    return isinstance(node.value, (int, float)) and abs(node.value) <= 3


def _parenthesised(view: FunctionView, node: ast.AST) -> bool:
    before = view.text[: view.start(node)].rstrip()
    after = view.text[view.end(node) :].lstrip()
    return before.endswith("(") and after.startswith(")") and not _is_argument(view, node)


def _is_argument(view: FunctionView, node: ast.AST) -> bool:
    parent = view.parents[node]
    return isinstance(parent, ast.Call) and node is not parent.func and len(parent.args) + len(parent.keywords) == 1


def _ungroup(view: FunctionView, node: ast.AST) -> tuple[Span, ...]:
    opening = view.text.rindex("(", 0, view.start(node))
    closing = view.text.index(")", view.end(node))
    return (opening, opening + 1, ""), (closing, closing + 1, "")


def _edit_unary(view: FunctionView, node: ast.UnaryOp) -> Proposals:
    operator = "NOT" if isinstance(node.op, ast.Not) else "NUM"
    yield operator, 1.5, view.replace(node, view.raw(node.operand), level_of(node.operand))


def _edit_bool(view: FunctionView, node: ast.BoolOp) -> Proposals:
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


def _edit_constant(view: FunctionView, node: ast.Constant) -> Proposals:
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


def _edit_collection(view: FunctionView, node: ast.List | ast.Tuple | ast.Set) -> Proposals:
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
            yield "OPERAND_SWAP", 1.0, _swap(view, left, right)
    elif len(node.elts) == 1 and isinstance(node, ast.List):
        yield "LIT", 0.7, view.replace(node, "[]")
        yield "CALL_DROP", 0.7, view.replace(node, view.raw(node.elts[0]), level_of(node.elts[0]))
    elif isinstance(node, ast.List):
        for name in [*view.variables[:8], "0", "1", "''", "None"]:
            yield "LIT", 0.5, view.replace(node, f"[{name}]")


def _edit_dict(view: FunctionView, node: ast.Dict) -> Proposals:
    pairs = [(key, value) for key, value in zip(node.keys, node.values, strict=True) if key is not None]
    if len(pairs) != len(node.keys) or len(pairs) > 12:
        return
    for (key, value), (other_key, other_value) in itertools.pairwise(pairs):
        yield "OPERAND_SWAP", 0.7, _swap(view, value, other_value)
        yield "LIT", 0.5, ((view.start(key), view.start(other_key), ""),)
    for key, value in pairs:
        yield "OPERAND_SWAP", 0.3, _swap(view, key, value)


def _swap(view: FunctionView, one: ast.AST, other: ast.AST) -> tuple[Span, ...]:
    return (view.start(one), view.end(one), view.raw(other)), (view.start(other), view.end(other), view.raw(one))


def _edit_if_expression(view: FunctionView, node: ast.IfExp) -> Proposals:
    yield "CONTROL", 1.0, _swap(view, node.body, node.orelse)
    for kept in (node.body, node.orelse):
        yield "EXPR_DROP", 1.0, view.replace(node, view.raw(kept), level_of(kept))


def _edit_name(view: FunctionView, node: ast.Name) -> Proposals:
    if isinstance(node.ctx, ast.Store):
        for name in view.variables[:NAMES_PER_SITE]:
            if name != node.id:
                yield "EXCHANGE", 0.5, ((view.start(node), view.end(node), name),)
        return
    if not isinstance(node.ctx, ast.Load) or node.id in ("self", "cls"):
        return
    if view.is_called(node):
        for name in _SIBLING_TABLE.get(node.id, ()):
            yield "FUNC", 2.0, view.replace(node, name)
        called = [other.id for other in view.nodes if isinstance(other, ast.Name) and view.is_called(other)]
        for name in dict.fromkeys([*called, *view.outer_names][:NAMES_PER_SITE]):
            if name != node.id:
                yield "FUNC", 0.7, view.replace(node, name)
        return
    kind = view.hints.get(node.id, "")
    for name in view.variables[:NAMES_PER_SITE]:
        other = view.hints.get(name, "")
        if name != node.id:
            yield "VAR", 1.0 if not kind or not other or kind == other else 0.3, view.replace(node, name)
    for name in view.outer_names[:NAMES_PER_SITE]:
        if name != node.id:
            yield "VAR", 0.2, view.replace(node, name)
    if kind in ("num", "") and not isinstance(view.parents[node], (ast.Attribute, ast.Subscript, ast.For)):
        for number in dict.fromkeys(["0", "1", *view.numbers[:3]]):
            yield "EXPR_REPLACE", 0.3, view.replace(node, number)
    for name in view.attributes[:NAMES_PER_SITE] if node.id not in _modules(view) else ():
        yield "ATTR", 0.3, view.replace(node, name)
    for name in _SIBLING_TABLE.get(node.id, ()) if node.id not in view.variables else ():
        yield "FUNC", 1.0, view.replace(node, name)


def _modules(view: FunctionView) -> set[str]:
    return {name.partition(".")[0] for name in view.attributes}


def _edit_attribute(view: FunctionView, node: ast.Attribute) -> Proposals:
    end = view.end(node)
    member = (end - len(node.attr), end)
    for name in _SIBLING_TABLE.get(node.attr, ()):
        yield "FUNC", 2.0, ((*member, name),)
    base = view.raw(node.value)
    for name in view.attributes[:NAMES_PER_SITE]:
        owner, _, attribute = name.rpartition(".")
        if attribute != node.attr and owner == base:
            yield "ATTR", 2.0, ((*member, attribute),)
        elif attribute != node.attr and owner in ("self", "cls") and not view.is_called(node):
            yield "ATTR", 0.5, ((*member, attribute),)
    if isinstance(node.ctx, ast.Load) and not view.is_called(node):
        if node.attr in view.variables:
            yield "ATTR", 1.0, view.replace(node, node.attr)
        yield "ATTR", 0.5, view.replace(node, base, level_of(node.value))


def _edit_call(view: FunctionView, node: ast.Call) -> Proposals:
    arguments = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    for argument in arguments[:3]:
        yield "CALL_DROP", 1.0, view.replace(node, view.source(argument), level_of(argument))
    if isinstance(node.func, ast.Attribute):
        owner = node.func.value
        yield "CALL_DROP", 1.5, view.replace(node, view.raw(owner), level_of(owner))
        if len(arguments) == 1:
            yield (
                "ARG",
                1.0,
                (
                    (view.start(owner), view.end(owner), view.source(arguments[0], ATOM)),
                    (view.start(arguments[0]), view.end(arguments[0]), view.raw(owner)),
                ),
            )
        for other in view.variables[:8]:  # other receiver of the same method
            if not isinstance(owner, ast.Name):
                yield "EXPR_REPLACE", 0.2, view.replace(owner, other)
    for one, other_argument in itertools.combinations(arguments[:4], 2):
        yield "ARG", 3.0, _swap(view, one, other_argument)
    if name in ("max", "min") and node.args and not node.keywords:
        inside = (view.start(node.args[0]), view.end(node.args[-1]))
        pairs = itertools.combinations(view.operands[:6], 2)
        for pair in pairs if not isinstance(node.args[0], ast.GeneratorExp) else ():
            yield "ARG", 0.4, ((*inside, ", ".join(pair)),)
    yield from _drop_arguments(view, node)
    yield from _add_arguments(view, node, name)
    if name == "range" and not node.keywords:
        yield from _edit_range(view, node, arguments)


def _drop_arguments(view: FunctionView, node: ast.Call) -> Proposals:
    parts: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
    if any(isinstance(part, ast.GeneratorExp) for part in parts):
        return
    for index, part in enumerate(parts):
        following = parts[index + 1 :]
        if following:
            yield "ARG", 1.5, ((view.start(part), view.start(following[0]), ""),)
        else:
            begin = view.end(parts[index - 1]) if index else view.start(part)
            yield "ARG", 1.5, ((begin, view.end(part), ""),)
    for keyword in node.keywords:
        if keyword.arg == "key":
            for other in ("len", "str", "abs", "sum"):
                yield "ARG", 0.5, view.replace(keyword.value, other)


def _add_arguments(view: FunctionView, node: ast.Call, name: str) -> Proposals:
    parts: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
    if any(isinstance(part, ast.GeneratorExp) for part in parts):
        if name in ("max", "min") and len(parts) == 1:
            for value in ("0", "None"):
                yield "ARG", 0.5, view.replace(parts[0], f"{view.raw(parts[0])}, default={value}")  # type: ignore[arg-type]
        return
    present = {keyword.arg for keyword in node.keywords}
    if "axis" in present and "keepdims" not in present:
        yield "ARG", 1.5, _append_argument(view, node, "keepdims=True")
    for extra in _EXTRA_ARGUMENTS.get(name, ()):
        if extra.partition("=")[0] not in present:
            yield "ARG", 0.8, _append_argument(view, node, extra)
    if node.keywords or name in _FIXED_ARITY:
        return
    numbers = view.numbers[:4] if name not in RESULTS else []
    for value in [*view.variables[:NAMES_PER_SITE], *view.attributes[:6], *numbers]:
        yield "ARG", 0.4, _append_argument(view, node, value)
        if node.args and isinstance(node.func, ast.Name) and name not in RESULTS:
            yield "ARG", 0.15, ((view.start(node.args[0]), view.start(node.args[0]), f"{value}, "),)


_FIXED_ARITY = frozenset(
    [
        *("len", "abs", "ord", "chr", "list", "set", "tuple", "dict", "sorted", "reversed", "any", "all", "sum", "str"),
        *("int", "float", "bool", "lower", "upper", "strip", "append", "add", "copy", "keys", "values", "items"),
        *("split", "isinstance", "isdigit", "isalpha", "floor", "ceil", "sqrt", "repr", "hash", "join", "swapcase"),
    ]
)


def _append_argument(view: FunctionView, node: ast.Call, text: str) -> tuple[Span, ...]:
    parts: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
    if not parts:
        closing = view.end(node) - 1
        return ((closing, closing, text),)
    end = max(view.end(part) for part in parts)
    while view.text[end:].lstrip().startswith(")") and len(view.text[end:].lstrip()) and end < view.end(node) - 1:
        end = view.text.index(")", end) + 1  # past the parentheses around the last argument
        if end >= view.end(node):
            end = view.end(node) - 1
            break
    return ((end, end, f", {text}"),)


def _edit_range(view: FunctionView, node: ast.Call, arguments: list[ast.expr]) -> Proposals:
    texts = [view.source(argument, 0) for argument in arguments]
    inside = (view.start(node.args[0]), view.end(node.args[-1])) if node.args else None
    if inside is None or len(arguments) != len(node.args):
        return

    def become(text: str) -> tuple[Span, ...]:
        return ((*inside, text),)

    if len(texts) == 1:
        stop = texts[0]
        for start in ("1", "2", *view.numbers[:3]):
            yield "CONTROL", 1.0, become(f"{start}, {stop}")
        for name in view.variables[:8]:
            if view.hints.get(name, "num") == "num" and name != stop:
                yield "CONTROL", 0.5, become(f"{name}, {stop}")
                yield "CONTROL", 0.3, become(f"{name} + 1, {stop}")
        yield "CONTROL", 1.0, become(f"1, {view.source(arguments[0], 11)} + 1")
        yield "CONTROL", 1.0, become(f"{view.source(arguments[0], 11)} - 1, -1, -1")
        yield "CONTROL", 0.4, become(f"{stop}, 0, -1")
        yield "CONTROL", 0.4, become(f"0, {stop}, 2")
    elif len(texts) == 2:
        for step in ("2", "-1", *view.variables[:4]):
            yield "CONTROL", 0.7, become(f"{texts[0]}, {texts[1]}, {step}")
        yield "CONTROL", 0.4, become(f"{texts[1]}, {texts[0]}, -1")
        yield "CONTROL", 0.4, become(f"{view.source(arguments[1], 11)} - 1, {view.source(arguments[0], 11)} - 1, -1")
        yield "CONTROL", 0.4, become(f"{view.source(arguments[0], 11)} + 1, {view.source(arguments[1], 11)} + 1")


def _edit_subscript(view: FunctionView, node: ast.Subscript) -> Proposals:
    if isinstance(node.ctx, ast.Del):
        return
    yield "SUBSCRIPT", 1.0, view.replace(node, view.raw(node.value), level_of(node.value))
    if isinstance(node.slice, ast.Slice):
        yield from _edit_slice(view, node, node.slice)
        return
    if isinstance(node.slice, ast.Tuple):
        return
    index = view.source(node.slice, 11)
    place = (view.start(node.slice), view.end(node.slice))
    if view.guess(node.slice) in ("num", "") and not isinstance(node.slice, (ast.Constant, ast.UnaryOp)):
        for text, share in ((f"{index} + 1", 1.5), (f"{index} - 1", 1.5), (f"-{index}", 0.4), (f"-{index} - 1", 0.4)):
            yield "SUBSCRIPT", share, ((*place, text),)
    for text, share in (("0", 0.7), ("-1", 1.0), ("1", 0.5), (f":{index}", 0.5), (f"{index}:", 0.5)):
        yield "SUBSCRIPT", share, ((*place, text),)
    if isinstance(node.slice, ast.UnaryOp):
        yield "SUBSCRIPT", 0.5, ((view.end(node), view.end(node), "[0]"),)
    outer = view.parents[node]
    if isinstance(outer, ast.Subscript) and outer.value is node and not isinstance(outer.slice, (ast.Slice, ast.Tuple)):
        yield "SUBSCRIPT", 1.0, _swap(view, node.slice, outer.slice)


def _edit_slice(view: FunctionView, node: ast.Subscript, bounds: ast.Slice) -> Proposals:
    lower, upper, step = (view.source(part, 0) if part else "" for part in (bounds.lower, bounds.upper, bounds.step))
    place = (view.text.index("[", view.end(node.value)) + 1, view.end(node) - 1)

    def become(low: str, high: str, stride: str = step) -> tuple[Span, ...]:
        return ((*place, f"{low}:{high}" + (f":{stride}" if stride else "")),)

    low_text = view.source(bounds.lower, 11) if bounds.lower else ""
    high_text = view.source(bounds.upper, 11) if bounds.upper else ""
    lows = [f"{low_text} + 1", f"{low_text} - 1", ""] if lower else ["1", "2"]
    highs = [f"{high_text} + 1", f"{high_text} - 1", ""] if upper else ["-1", "-2"]
    for text in lows:
        yield "SUBSCRIPT", 1.0, become(text, upper)
    for text in highs:
        yield "SUBSCRIPT", 1.0, become(lower, text)
    for text in ("", "-1", "2") if step or not isinstance(node.ctx, ast.Store) else ():
        if text != step:
            yield "SUBSCRIPT", 0.7, become(lower, upper, text)
    yield "SUBSCRIPT", 0.7, become(upper, lower)
    for name in view.variables[:NAMES_PER_SITE]:
        if view.hints.get(name, "num") == "num":
            for spans in (become(name, upper), become(lower, name)):
                yield "SUBSCRIPT", 0.3, spans
    if lower and not upper:
        yield "SUBSCRIPT", 0.5, ((*place, lower),)
    if upper and not lower:
        yield "SUBSCRIPT", 0.5, ((*place, upper),)


def _edit_comprehension(view: FunctionView, node: ast.comprehension) -> Proposals:
    for condition in node.ifs:
        opening = view.text.rindex("if", 0, view.start(condition))
        yield "COND_DROP", 1.5, ((opening, view.end(condition), ""),)
    last = node.ifs[-1] if node.ifs else node.iter
    end = view.end(last)
    while view.text[end : end + 1] == ")" and _parenthesised(view, last) and node.ifs:
        end += 1
    targets = [name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)]
    if not node.ifs:
        for condition_text, share in simple_conditions(view, targets, 0.4):
            yield "COND_ADD", share, ((end, end, f" if {condition_text}"),)
        for test in view.tests:
            yield "COND_ADD", 0.4, ((end, end, f" if {view.source(test, 3)}"),)


def _edit_lambda(view: FunctionView, node: ast.Lambda) -> Proposals:
    if view.guess(node.body) in ("num", ""):
        yield "NUM", 1.0, view.replace(node.body, f"-{view.source(node.body, 13)}", 13)


# --- operators on every value -----------------------------------------------------------------------------------------


def _edit_value(view: FunctionView, node: ast.expr) -> Proposals:
    kind = view.guess(node)
    if isinstance(node, (ast.Tuple, ast.Lambda, ast.JoinedStr, ast.IfExp, ast.Dict)):
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


def _edit_test(view: FunctionView, node: ast.expr) -> Proposals:
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
            spans = in_order(_swap(view, one, other))
            found.append(apply(view.raw(part), [(a - start, b - start, text) for a, b, text in spans]))
    return found


def _replace_expressions(view: FunctionView) -> Proposals:
    """Put another expression of the function in the place of each, unless their kinds clash."""
    pool: dict[str, ast.expr] = {}
    for node in view.values:
        if not isinstance(node, (ast.Constant, ast.Name, ast.Tuple, ast.Lambda)) and len(view.raw(node)) <= 60:
            pool.setdefault(view.raw(node), node)
    for node in view.values:
        own, kind = view.raw(node), view.guess(node)
        if isinstance(node, (ast.Tuple, ast.Lambda, ast.JoinedStr)) or isinstance(view.parents[node], ast.Attribute):
            continue
        tried = 0
        for text, other in pool.items():
            clash = kind and view.guess(other) and kind != view.guess(other)
            if text == own or clash or tried >= SITES_PER_EXPRESSION:
                continue
            tried += 1
            yield "EXPR_REPLACE", 1.0 / (2 + abs(node.lineno - other.lineno)), view.replace(node, text, level_of(other))
        if not isinstance(node, (ast.Name, ast.Constant)) and not isinstance(view.parents[node], ast.Call):
            for name in view.variables[:8]:
                yield "EXPR_REPLACE", 0.3, view.replace(node, name)


def _edit_literals(view: FunctionView) -> Proposals:
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


_BY_TYPE: dict[type[ast.AST], Callable[[FunctionView, Any], Proposals]] = {
    ast.Compare: _edit_compare, ast.BinOp: _edit_binary, ast.UnaryOp: _edit_unary, ast.BoolOp: _edit_bool,
    ast.Constant: _edit_constant, ast.List: _edit_collection, ast.Tuple: _edit_collection, ast.Set: _edit_collection,
    ast.Dict: _edit_dict, ast.IfExp: _edit_if_expression, ast.Name: _edit_name, ast.Attribute: _edit_attribute,
    ast.Call: _edit_call, ast.Subscript: _edit_subscript, ast.comprehension: _edit_comprehension,
    ast.Lambda: _edit_lambda,
}  # fmt: skip


def edit_expressions(view: FunctionView) -> Proposals:
    """Yield every edit of every expression."""
    for node in view.nodes:
        operator = _BY_TYPE.get(type(node))
        if operator is not None and not isinstance(view.parents[node], (ast.JoinedStr, ast.pattern)):
            yield from operator(view, node)
    for value in view.values:
        yield from _edit_value(view, value)
    for test in view.tests:
        yield from _edit_test(view, test)
    yield from _edit_literals(view)
    yield from _replace_expressions(view)

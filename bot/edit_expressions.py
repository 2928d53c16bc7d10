"""Edits of expressions: names, attributes, calls, subscripts, comprehensions; and which edits every kind of node gets.

Each function here knows one kind of node and yields proposals; a proposal may come to nothing or not compile.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable
from typing import Any

from bot.binding import ATOM, FORMATTED, level_of
from bot.edit_literals import edit_collection, edit_constant, edit_dict, edit_literals
from bot.edit_operators import edit_binary, edit_bool, edit_compare, edit_test, edit_unary
from bot.edit_values import edit_value
from bot.edit_view import NAMES_PER_SITE, FunctionView, Proposals, Span, simple_conditions
from bot.value_hints import RESULTS

SITES_PER_EXPRESSION = 24  # other expressions tried in one place


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


def _edit_if_expression(view: FunctionView, node: ast.IfExp) -> Proposals:
    yield "CONTROL", 1.0, view.swap(node.body, node.orelse)
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
        yield "ARG", 3.0, view.swap(one, other_argument)
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
    if name in ("isinstance", "issubclass", "getattr", "hasattr") and len(parts) == 1:
        for value in view.variables[:8]:
            yield "ARG", 1.0, ((view.start(parts[0]), view.start(parts[0]), f"{value}, "),)
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
        yield "SUBSCRIPT", 1.0, view.swap(node.slice, outer.slice)


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
    while view.text[end : end + 1] == ")" and view.parenthesised(last) and node.ifs:
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


def _replace_expressions(view: FunctionView) -> Proposals:
    """Put another expression of the function in the place of each, unless their kinds clash."""
    pool: dict[str, ast.expr] = {}
    for node in view.values:
        if not isinstance(node, (ast.Constant, ast.Name, ast.Tuple, ast.Lambda)) and len(view.raw(node)) <= 60:
            pool.setdefault(view.raw(node), node)
    for node in view.values:
        own, kind = view.raw(node), view.guess(node)
        if isinstance(node, (ast.Tuple, ast.Lambda, *FORMATTED)) or isinstance(view.parents[node], ast.Attribute):
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


_BY_TYPE: dict[type[ast.AST], Callable[[FunctionView, Any], Proposals]] = {
    ast.Compare: edit_compare, ast.BinOp: edit_binary, ast.UnaryOp: edit_unary, ast.BoolOp: edit_bool,
    ast.Constant: edit_constant, ast.List: edit_collection, ast.Tuple: edit_collection, ast.Set: edit_collection,
    ast.Dict: edit_dict, ast.IfExp: _edit_if_expression, ast.Name: _edit_name, ast.Attribute: _edit_attribute,
    ast.Call: _edit_call, ast.Subscript: _edit_subscript, ast.comprehension: _edit_comprehension,
    ast.Lambda: _edit_lambda,
}  # fmt: skip


def edit_expressions(view: FunctionView) -> Proposals:
    """Yield every edit of every expression."""
    for node in view.nodes:
        operator = _BY_TYPE.get(type(node))
        if operator is not None and not isinstance(view.parents[node], (*FORMATTED, ast.pattern)):
            yield from operator(view, node)
    for value in view.values:
        yield from edit_value(view, value)
    for test in view.tests:
        yield from edit_test(view, test)
    yield from edit_literals(view)
    yield from _replace_expressions(view)

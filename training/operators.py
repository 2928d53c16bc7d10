"""Fault operators: what programmers get wrong in one place. Each yields every edit it can make in one function.

Weights follow measured distributions of small Python faults: TSSB-3M (arXiv:2201.12046), PyPIBugs
(arXiv:2105.12787), HumanEvalFix (arXiv:2308.07124), QuixBugs; a quarter of the weight removes something, since many
fixes add something. Operators return candidate edits only; `training.faults` keeps those that parse and change the
syntax tree.
"""

# ruff: noqa: ARG001, E501 - tables; every operator has the same signature, few need the random numbers
from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator

from training.code import Code, Edit

Operator = Callable[[Code, random.Random], Iterator[Edit | None]]

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip
BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
NEGATION = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "==", "in": "not in", "not in": "in",
            "is": "is not", "is not": "is"}  # fmt: skip
DIRECTION = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "<=", "!=": "<"}
ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
CONFUSED = {"+": "-*", "-": "+*/", "*": "+/-", "/": ["//", "*", "%"], "//": ["/", "%", "*"], "%": ["//", "/", "+"],
            "**": "*+", "&": "|^", "|": "&^", "^": "&|", "<<": [">>"], ">>": ["<<"]}  # fmt: skip
SIBLINGS = {
    "min": ["max"], "max": ["min"], "any": ["all"], "all": ["any"], "append": ["extend", "insert"], "extend": ["append"],
    "floor": ["ceil"], "ceil": ["floor"], "find": ["index", "rfind"], "lstrip": ["rstrip", "strip"], "sum": ["len", "max"],
    "rstrip": ["lstrip", "strip"], "strip": ["lstrip", "rstrip"], "upper": ["lower"], "lower": ["upper"], "len": ["sum"],
    "startswith": ["endswith"], "endswith": ["startswith"], "keys": ["values", "items"], "values": ["keys"],
    "items": ["keys", "values"], "split": ["rsplit"], "rsplit": ["split"], "sorted": ["list", "reversed"], "set": ["list"],
    "isdigit": ["isalpha", "isalnum"], "isalpha": ["isdigit", "isalnum"], "isalnum": ["isalpha"], "isupper": ["islower"],
    "islower": ["isupper"], "int": ["float", "round"], "float": ["int"], "list": ["set", "tuple"], "add": ["discard"],
    "tuple": ["list"], "str": ["repr"], "round": ["int"], "partition": ["rpartition"], "rpartition": ["partition"],
    "get": ["pop"], "update": ["setdefault"], "insert": ["append"], "union": ["intersection"], "ljust": ["rjust"],
    "rjust": ["ljust"], "intersection": ["union"], "discard": ["add"], "zip": ["enumerate"], "popleft": ["pop"],
}  # fmt: skip
WRAPPERS = ("sorted", "list", "set", "abs", "int", "len", "str", "reversed", "bool")


def variables(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """A variable read -> another name in scope."""
    for node in code.loads():
        if node.id in code.names:
            yield from (code.replace(node, name) for name in code.names if name != node.id)


def comparisons(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Boundary flip (most often), negation, direction."""
    for node in code.of(ast.Compare):
        if len(node.ops) != 1:
            continue
        token = COMPARISONS[type(node.ops[0])]
        for table, copies in ((BOUNDARY, 4), (NEGATION, 2), (DIRECTION, 1)):
            if token in table:
                yield from [code.between(node.left, node.comparators[0], token, table[token])] * copies


def numbers(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """n +- 1, a usual small number, the sign, another constant of the function."""
    for node in code.of(ast.Constant):
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        source = code.source(node)
        near = [value + 1, value - 1] if isinstance(value, int) else [value * 2, value / 2, value * 10]
        for other in [*near, *near, 0, 1, 2, *([10] if value > 4 else [])]:
            if other >= 0:
                yield code.replace(node, repr(other))
        if value:
            yield code.replace(node, f"-{source}")
        yield from (code.replace(node, c) for c in code.constants if c[:1].isdigit() and c != source)
    for negative in code.of(ast.UnaryOp):
        if isinstance(negative.op, ast.USub):
            yield code.replace(negative, code.source(negative.operand))


def dropped_expressions(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """`a op b` -> `a` or `b`."""
    for node in code.of(ast.BinOp):
        yield code.replace(node, code.source(node.left))
        yield code.replace(node, code.source(node.left))
        yield code.replace(node, code.source(node.right))


def added_expressions(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """`e` -> `e + 1`, `e - 1`, `e op name`."""
    for node in code.expressions:
        if isinstance(node, ast.Name | ast.Call | ast.Subscript | ast.BinOp) and _plain_load(code, node):
            source = code.source(node)
            yield code.replace(node, f"{source} + 1")
            yield code.replace(node, f"{source} - 1")
            if code.names:
                yield code.replace(node, f"{source} {rng.choice('+-*')} {rng.choice(code.names)}")


def arithmetic(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Another binary operator; another augmented assignment, or a plain one."""
    for node in code.of(ast.BinOp):
        token = ARITHMETIC.get(type(node.op))
        if token:
            yield from (code.between(node.left, node.right, token, other) for other in CONFUSED[token])
    for update in code.of(ast.AugAssign):
        token = ARITHMETIC.get(type(update.op))
        if token:
            for other in [*CONFUSED[token], ""]:
                yield code.between(update.target, update.value, f"{token}=", f"{other}=")


def booleans(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """`and` <-> `or`."""
    for node in code.of(ast.BoolOp):
        token, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield code.between(left, right, token, other)


def negations(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Drop a `not`; negate a condition."""
    for node in code.of(ast.UnaryOp):
        if isinstance(node.op, ast.Not):
            yield code.replace(node, code.source(node.operand))
    for test in _tests(code):
        if isinstance(test, ast.Name | ast.Call | ast.Attribute | ast.Subscript):
            yield code.replace(test, f"not {code.source(test)}")


def dropped_conditions(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Remove a conjunct, the filter of a comprehension, or a guard and its block."""
    for node in code.of(ast.BoolOp):
        for gone in node.values:
            rest = [value for value in node.values if value is not gone]
            if len(rest) == 1:
                yield code.replace(node, code.source(rest[0]))
    for loop in [n for n in code.nodes if isinstance(n, ast.comprehension)]:
        for test in loop.ifs:
            start, end = code.span(test)
            before = code.text.rfind(" if", 0, start)
            if before > 0:
                yield Edit(before, end, "")
    for branch in code.of(ast.If):
        if not branch.orelse and _has_lines(code, branch):
            yield Edit(*code.lines_of(branch), "")
            if len(branch.body) == 1 and branch.body[0].lineno == branch.lineno + 1:
                yield Edit(*code.lines_of(branch), code.indent(branch) + code.source(branch.body[0]) + "\n")


def added_conditions(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Join another condition of the function to a condition."""
    tests = list(_tests(code))
    for test in tests:
        for other in tests:
            if other is not test and not isinstance(test, ast.BoolOp):
                yield code.replace(test, f"{code.source(test)} {rng.choice(['and', 'or'])} {code.source(other)}")


def dropped_calls(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """`f(x)` -> `x`, `x.m()` -> `x`."""
    for node in code.of(ast.Call):
        if isinstance(node.func, ast.Attribute) and not isinstance(code.parents.get(node), ast.Expr):
            yield code.replace(node, code.source(node.func.value))
        elif isinstance(node.func, ast.Name) and len(node.args) == 1 and not node.keywords:
            yield code.replace(node, code.source(node.args[0]))


def added_calls(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """`e` -> `sorted(e)` and the like."""
    for node in code.expressions:
        if isinstance(node, ast.Name | ast.Call | ast.Subscript) and _plain_load(code, node):
            yield code.replace(node, f"{rng.choice(WRAPPERS)}({code.source(node)})")


def other_functions(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """A call of the sibling: min/max, find/index, upper/lower."""
    for node in code.of(ast.Call):
        yield from _renamed(code, node.func)


def attributes(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Another attribute used in the function."""
    for node in code.of(ast.Attribute):
        if isinstance(node.ctx, ast.Load) and not code.called(node):
            start = code.span(node)[1] - len(node.attr)
            for other in code.attributes:
                if other != node.attr:
                    yield Edit(start, start + len(node.attr), other)


def arguments(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Swap two arguments, drop one, repeat a name as one more."""
    for node in code.of(ast.Call):
        every: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
        for left, right in zip(node.args, node.args[1:], strict=False):
            yield from [_swap(code, left, right)] * 2
        for place, gone in enumerate(every):
            if len(every) > 1:
                start = code.span(gone)[0] if place == 0 else code.span(every[place - 1])[1]
                end = code.span(every[1])[0] if place == 0 else code.span(gone)[1]
                yield Edit(start, end, "")
        if every and code.names:
            end = code.span(every[-1])[1]
            yield Edit(end, end, f", {rng.choice(code.names)}")


def subscripts(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Index or bound one off, bound dropped, subscript dropped, step reversed."""
    for node in code.of(ast.Subscript):
        inner = node.slice
        if not isinstance(node.ctx, ast.Load):
            continue
        yield code.replace(node, code.source(node.value))
        if isinstance(inner, ast.Slice):
            low, high = (code.source(part) if part else "" for part in (inner.lower, inner.upper))
            step = f":{code.source(inner.step)}" if inner.step else ""
            for first, last in (
                ("", high),
                (low, ""),
                (high, low),
                (f"{low or 0} + 1", high),
                (low, f"{high} - 1" if high else "-1"),
            ):
                yield code.replace(inner, f"{first}:{last}{step}")
            yield code.replace(inner, f"{low}:{high}" + ("" if step else ":-1"))
        elif not isinstance(inner, ast.Tuple):
            source = code.source(inner)
            yield code.replace(inner, f"{source} + 1")
            yield code.replace(inner, f"{source} - 1")
            if source.startswith("-"):
                yield code.replace(inner, source[1:])
            elif source in ("0", "1"):
                yield code.replace(inner, "-1")


def swapped_operands(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """`a - b` -> `b - a`; both branches of a conditional expression; the ends of a comparison."""
    for node in code.of(ast.BinOp):
        yield _swap(code, node.left, node.right)
    for choice in code.of(ast.IfExp):
        yield _swap(code, choice.body, choice.orelse)
    for pair in code.of(ast.Tuple):
        for left, right in zip(pair.elts, pair.elts[1:], strict=False):
            yield _swap(code, left, right)


def _plain_load(code: Code, node: ast.expr) -> bool:
    """True where an expression is read and may be replaced by a longer one."""
    if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del) or code.called(node):
        return False
    return not isinstance(code.parents.get(node), ast.Expr | ast.Attribute | ast.keyword | ast.JoinedStr)


def _has_lines(code: Code, statement: ast.stmt) -> bool:
    """True when the statement starts its first line and ends its last."""
    start, end = code.lines_of(statement)
    own_start, own_end = code.span(statement)
    rest = code.text[own_end:end].strip()
    return not code.text[start:own_start].strip() and (not rest or rest.startswith("#"))


def _tests(code: Code) -> Iterator[ast.expr]:
    for node in code.nodes:
        if isinstance(node, ast.If | ast.While | ast.IfExp):
            yield node.test
        elif isinstance(node, ast.comprehension):
            yield from node.ifs


def _renamed(code: Code, function: ast.expr) -> Iterator[Edit]:
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    end = code.span(function)[1]
    for other in SIBLINGS.get(name, ()):
        yield Edit(end - len(name), end, other)


def _swap(code: Code, left: ast.expr, right: ast.expr) -> Edit:
    (start, left_end), (right_start, end) = code.span(left), code.span(right)
    return Edit(start, end, code.source(right) + code.text[left_end:right_start] + code.source(left))

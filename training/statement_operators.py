"""Fault operators on statements and literals: returns, deletions, moves, loop control, initial values.

Like `training.operators`: each yields every edit it can make; nothing here checks whether the result parses.
"""

# ruff: noqa: ARG001 - every operator has the same signature, few need the random numbers
from __future__ import annotations

import ast
import itertools
import random
import textwrap
from collections.abc import Iterator

from training.code import Code, Edit
from training.operators import _has_lines, _plain_load

_BLANKS = ("None", "0", "[]", "''", "{}", "False", "True")


def returns(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Return another variable, a blank value, the flipped truth value, or nothing; return <-> yield."""
    for node in code.of(ast.Return):
        if node.value is None:
            continue
        source = code.source(node.value)
        if source in ("True", "False"):
            yield from [code.replace(node.value, "False" if source == "True" else "True")] * 3
        for name in code.names:
            if name != source:
                yield code.replace(node.value, name)
        yield code.replace(node.value, rng.choice(_BLANKS))
        start, end = code.span(node)[0], code.span(node.value)[0]
        if isinstance(node.value, ast.Call):
            yield Edit(start, end, "")


def deleted_statements(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Delete an assignment, an update, a call or a guard."""
    for block in code.blocks():
        for statement in block:
            simple = isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr | ast.Continue | ast.Break)
            if len(block) > 1 and (simple or isinstance(statement, ast.If)) and _has_lines(code, statement):
                yield Edit(*code.lines_of(statement), "")


def moved_statements(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Swap neighbours; move a statement into or out of the block beside it."""
    for block in code.blocks():
        for first, second in itertools.pairwise(block):
            if not (_has_lines(code, first) and _has_lines(code, second)):
                continue
            (start, middle), (_, end) = code.lines_of(first), code.lines_of(second)
            if code.offset(second.lineno, 0) != middle:
                continue
            if isinstance(first, ast.For | ast.While | ast.If) and not first.orelse:
                inner = textwrap.indent(textwrap.dedent(code.text[middle:end]), code.indent(first.body[0]))
                yield Edit(middle, end, inner)
                last = first.body[-1]
                if len(first.body) > 1 and _has_lines(code, last):
                    outer_start, outer_end = code.lines_of(last)
                    moved = textwrap.dedent(code.text[outer_start:outer_end])
                    yield Edit(outer_start, outer_end, textwrap.indent(moved, code.indent(first)))
            elif first.lineno == first.end_lineno and second.lineno == second.end_lineno:
                yield Edit(start, end, code.text[middle:end] + code.text[start:middle])


def control(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """break/continue/pass; another arrangement of `range`; `elif` for `if`; a branch without its `else`."""
    words = ("break", "continue", "pass")
    for node in code.statements:
        source = code.source(node)
        if source in ("break", "continue"):
            yield from (code.replace(node, word) for word in words if word != source)
    for call in code.of(ast.Call):
        if isinstance(call.func, ast.Name) and call.func.id == "range" and call.args:
            sources = [code.source(argument) for argument in call.args]
            last = call.args[-1] if len(sources) == 1 else call.args[1]
            first = ["1", sources[0]] if len(sources) == 1 else sources[1:2]
            yield code.replace(last, f"{code.source(last)} - 1")
            yield code.replace(last, f"{code.source(last)} + 1")
            yield code.replace(call, f"range({', '.join(first)})")
            if len(sources) > 1:
                yield code.replace(call.args[0], f"{sources[0]} + 1")
    for branch in code.of(ast.If):
        start = code.span(branch)[0]
        if code.text[start : start + 4] == "elif":
            yield Edit(start, start + 4, "if")
    for loop in code.of(ast.While):
        yield code.replace(loop.test, "True")


def literals(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """A string, a truth value, None, an element of a display."""
    strings = [c for c in code.constants if c[:1] in "'\""]
    for node in code.of(ast.Constant):
        source = code.source(node)
        if isinstance(node.value, bool):
            yield code.replace(node, str(not node.value))
        elif (
            isinstance(node.value, str)
            and source[:1] in "'\""
            and "\n" not in source
            and source[:3] not in ('"""', "'''")
        ):
            quote, text = source[0], source[1:-1]
            choices = ["", text + " ", text[:-1], text[1:], text.swapcase(), text + text[-1:], " "]
            choices += ["," if text != "," else ";", "-" if text != "-" else "_"] if len(text) < 2 else []
            yield from (code.replace(node, f"{quote}{c}{quote}") for c in choices if c != text and not c.endswith("\\"))
            yield from (code.replace(node, other) for other in strings if other != source)
    for display in code.of(ast.List) + code.of(ast.Tuple):
        if len(display.elts) > 1 and isinstance(display.ctx, ast.Load):
            gone = rng.randrange(len(display.elts))
            kept = [code.source(element) for i, element in enumerate(display.elts) if i != gone]
            if isinstance(display, ast.List):
                yield code.replace(display, f"[{', '.join(kept)}]")


def replaced_expressions(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Any read expression -> another expression of the function."""
    pool = [
        n
        for n in code.expressions
        if isinstance(n, ast.Name | ast.Call | ast.Subscript | ast.Attribute | ast.BinOp | ast.Constant)
    ]
    pool = [n for n in pool if _plain_load(code, n) and (code.span(n)[1] - code.span(n)[0]) < 40]
    sources = list(dict.fromkeys(code.source(n) for n in pool))
    for node in pool:
        choices = [s for s in sources if s != code.source(node)]
        if choices:
            yield code.replace(node, rng.choice(choices))


def initial_values(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Another initial value; another exception type."""
    for statement in code.of(ast.Assign):
        source = code.source(statement.value)
        if isinstance(statement.value, ast.Constant | ast.List | ast.Dict) or source in ("set()", "[]", "{}"):
            for blank in ("0", "1", "[]", "None", "''", "{}", "-1"):
                if blank != source:
                    yield code.replace(statement.value, blank)
    for handler in code.of(ast.ExceptHandler):
        if handler.type is not None:
            for other in ("KeyError", "ValueError", "IndexError", "TypeError"):
                yield code.replace(handler.type, other)


def stores(code: Code, rng: random.Random) -> Iterator[Edit | None]:
    """Another assignment target; two names exchanged within a statement."""
    for statement in code.of(ast.Assign) + code.of(ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if len(targets) == 1 and isinstance(targets[0], ast.Name):
            yield from (code.replace(targets[0], name) for name in code.names if name != targets[0].id)
    for line in code.statements:
        names = [n for n in ast.walk(line) if isinstance(n, ast.Name) and n.id in code.names]
        if line.lineno == line.end_lineno and len(names) > 1:
            first, second = sorted(rng.sample(names, 2), key=lambda n: n.col_offset)
            (start, middle), (right, end) = code.span(first), code.span(second)
            if first.id != second.id and middle <= right:
                yield Edit(start, end, second.id + code.text[middle:right] + first.id)

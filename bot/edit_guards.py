"""Edits that add a check which people leave out: for None, for nothing, for the wrong type; a bound, a default.

Each function here yields proposals; a proposal may come to nothing or not compile.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from bot.edit_scope import openings
from bot.edit_view import Block, FunctionView, Proposals, insertions

SUBJECTS = 4  # names that are asked about, at most
_TAKES_OTHER = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__add__", "__sub__", "__mul__")
_READ_NUMBERS = ("int", "float", "Decimal")
_OF_TEXT = frozenset(["strip", "lower", "upper", "split", "startswith", "endswith", "replace", "partition", "encode"])


def edit_guards(view: FunctionView) -> Proposals:
    """Yield every edit that adds a check."""
    for test in view.tests:
        if not isinstance(view.parents[test], (ast.BoolOp, ast.UnaryOp)):
            yield from _asked_first(view, test)
    for block in view.blocks:
        yield from _after_assignments(view, block)
    for node in view.nodes:
        if isinstance(node, ast.BinOp):
            yield from _rounded(view, node) if isinstance(node.op, ast.FloorDiv) else ()
            yield from _bounded_parts(view, node)
        elif isinstance(node, ast.Call):
            yield from _of_nothing(view, node)
    yield from _at_the_top(view)
    yield from _defaults(view)
    yield from _bounds(view)
    yield from _tidied(view)


def _asked_first(view: FunctionView, test: ast.expr) -> Proposals:
    """Ask whether there is anything before asking something of it."""
    used = [
        node for node in ast.walk(test) if isinstance(node, (ast.Attribute, ast.Subscript)) and node in view.parents
    ]
    names = [node.value.id for node in used if isinstance(node.value, ast.Name) and node.value.id in view.variables]
    for name in list(dict.fromkeys(names))[:2]:
        for before in (name, f"{name} is not None"):
            yield "GUARD", 1.0, view.replace(test, f"{before} and {view.source(test, 4)}", 4)
        for before in (f"not {name}", f"{name} is None"):
            yield "GUARD", 1.0, view.replace(test, f"{before} or {view.source(test, 3)}", 3)


def _after_assignments(view: FunctionView, block: Block) -> Proposals:
    """Leave when what was just looked up is not there."""
    for statement in block.statements:
        lines = view.whole_lines([statement])
        if lines is None or not isinstance(statement, ast.Assign) or isinstance(statement.value, ast.Constant):
            continue
        target = statement.targets[0]
        if not isinstance(target, ast.Name):
            continue
        indent = " " * statement.col_offset
        newline = "" if view.text[: lines[1]].endswith("\n") else "\n"
        for exit_, share in _exits(view, in_loop=block.in_loop):
            for condition in (f"{target.id} is None", f"not {target.id}"):
                yield "GUARD", share, ((lines[1], lines[1], f"{newline}{indent}if {condition}: {exit_}\n"),)


def _exits(view: FunctionView, *, in_loop: bool) -> Iterator[tuple[str, float]]:
    """Yield the ways to leave early, the likely ones with a larger share."""
    if in_loop:
        yield "continue", 1.0
    returned = [
        view.raw(n.value) for n in view.nodes if isinstance(n, ast.Return) and isinstance(n.value, ast.Constant)
    ]
    for text in dict.fromkeys(["None", *returned]):
        yield f"return {text}", 0.7
    for text in ("0", "[]", "{}", "''", "False"):
        if text not in returned:
            yield f"return {text}", 0.3
    for name in dict.fromkeys([*view.exceptions, "ValueError", "KeyError"]):
        yield f"raise {name}", 0.2


def _at_the_top(view: FunctionView) -> Proposals:
    """Refuse another type as operators do; begin as other functions do; leave in a state that an attribute tells."""
    first = view.blocks[0].statements[0] if view.blocks else None
    lines = view.whole_lines([first]) if first is not None else None
    if first is None or lines is None:
        return
    indent = " " * first.col_offset

    def begin(line: str) -> tuple[tuple[int, int, str], ...]:
        return ((lines[0], lines[0], f"{indent}{line}\n"),)

    if view.definition.name in _TAKES_OTHER and view.parameters:
        other = view.parameters[0]
        yield "GUARD", 5.0, begin(f"if not isinstance({other}, type(self)): return NotImplemented")
    for line in openings(view.extra):
        yield "GUARD", 5.0, begin(line)
    raised = list(dict.fromkeys([*view.exceptions, "RuntimeError", "ValueError"]))[:4]
    for name in [name for name in view.attributes if name.startswith("self.")][:SUBJECTS]:
        for condition in (name, f"not {name}"):
            yield "GUARD", 0.3, begin(f"if {condition}: return")
            for exception in raised:
                yield "GUARD", 0.3, begin(f"if {condition}: raise {exception}")


def _defaults(view: FunctionView) -> Proposals:
    """Put something in the place of a parameter that may be None."""
    optional = _may_be_none(view)
    for node in view.values:
        if isinstance(node, ast.Name) and node.id in optional and not _asks(view, node):
            for other in ("[]", "{}", "''", "0", "()"):
                yield "GUARD", 0.7, view.replace(node, f"{node.id} or {other}", 3)
            for other in ("[]", "{}"):
                yield "GUARD", 0.4, view.replace(node, f"{other} if {node.id} is None else {node.id}", 2)
    first = view.blocks[0].statements[0] if view.blocks else None
    lines = view.whole_lines([first]) if first is not None else None
    if first is None or lines is None:
        return
    for name in optional:
        for other in ("[]", "{}", "''", "0", "set()"):
            line = f"{' ' * first.col_offset}if {name} is None: {name} = {other}\n"
            yield "GUARD", 0.7, ((lines[0], lines[0], line),)


def _may_be_none(view: FunctionView) -> list[str]:
    spec = view.definition.args
    positional = [*spec.posonlyargs, *spec.args]
    pairs = [
        *zip(positional[len(positional) - len(spec.defaults) :], spec.defaults, strict=True),
        *zip(spec.kwonlyargs, spec.kw_defaults, strict=True),
    ]
    return [argument.arg for argument, value in pairs if isinstance(value, ast.Constant) and value.value is None]


def _asks(view: FunctionView, node: ast.expr) -> bool:
    """Return whether `node` already stands where its truth or its being None is asked."""
    parent = view.parents[node]
    return isinstance(parent, (ast.BoolOp, ast.Compare, ast.If, ast.While, ast.UnaryOp)) or (
        isinstance(parent, ast.IfExp) and node is not parent.test
    )


def _bounds(view: FunctionView) -> Proposals:
    """Bound what is returned or assigned from below or above."""
    for node in view.nodes:
        if not isinstance(node, (ast.Return, ast.Assign)) or node.value is None:
            continue
        value = node.value
        if isinstance(value, (ast.Constant, ast.Tuple)) or view.guess(value) not in ("num", ""):
            continue
        own = view.source(value)
        for bound in ("0", "1"):
            yield "GUARD", 1.0 if bound == "0" else 0.4, view.replace(value, f"max({own}, {bound})")
        others = [name for name in view.operands if view.hints.get(name, "num") == "num" and name != own]
        for name in [*view.numbers[:3], *others[:SUBJECTS]]:
            for function in ("min", "max"):
                yield "GUARD", 0.2, view.replace(value, f"{function}({own}, {name})")


def _bounded_parts(view: FunctionView, node: ast.BinOp) -> Proposals:
    """Bound one part of a sum or product by another name."""
    for part in (node.left, node.right):
        own = view.raw(part)
        if isinstance(part, (ast.Name, ast.Attribute)) and view.guess(part) in ("num", ""):
            others = [name for name in view.operands if view.hints.get(name, "num") == "num" and name != own]
            for name in others[:SUBJECTS]:
                for function in ("min", "max"):
                    yield "GUARD", 0.1, view.replace(part, f"{function}({own}, {name})")


def _of_nothing(view: FunctionView, node: ast.Call) -> Proposals:
    """Take nothing for zero where a number is read from text or summed up."""
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in _READ_NUMBERS and len(node.args) == 1 and not node.keywords:
        argument = node.args[0]
        if isinstance(argument, (ast.Name, ast.Attribute, ast.Subscript)):
            yield "GUARD", 0.7, view.replace(argument, f"{view.raw(argument)} or 0", 3)


def _rounded(view: FunctionView, node: ast.BinOp) -> Proposals:
    """Round a whole division up, or to the nearest."""
    left, right = view.source(node.left, 12), view.source(node.right, 13)
    yield "GUARD", 2.0, view.replace(node, f"-(-{view.source(node.left, 13)} // {right})", 13)
    added = view.source(node.right, 12)
    yield "GUARD", 1.0, view.replace(node, f"({left} + {added} // 2) // {right}", 12)


def _tidied(view: FunctionView) -> Proposals:
    """Bring a text or a number into the form that the rest expects."""
    texts = {
        node.value.id
        for node in view.nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in _OF_TEXT
    }
    names = [name for name in view.variables if not name.startswith("_") and name not in view.forgotten][:SUBJECTS]
    for name in names:
        kind = "str" if name in texts else view.hints.get(name, "")
        forms = [f"{name}.strip()", f"{name}.lower()"] if kind in ("str", "") else []
        forms += [f"abs({name})", f"int({name})"] if kind in ("num", "") else []
        share = 0.7 if kind else 0.2
        for form in forms:
            for spans in insertions(view, f"{name} = {form}"):
                yield "GUARD", share, spans

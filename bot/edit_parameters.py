"""Edits that make use of a parameter which the body never names: compared, passed on, taken as bound or default.

A parameter is there to be used; one that the body forgets is where a fault is. The edits of single expressions put a
forgotten parameter in the place of other names already; here are the uses that need more than a name.
"""

from __future__ import annotations

import ast

from bot.edit_view import FunctionView, Proposals

PARAMETERS = 3  # forgotten ones that are tried


def edit_parameters(view: FunctionView) -> Proposals:
    """Yield the edits that use forgotten parameters."""
    for name in view.forgotten[:PARAMETERS]:
        for node in view.nodes:
            if isinstance(node, ast.Call):
                yield from _passed(view, node, name)
            elif isinstance(node, ast.Return) and node.value is not None:
                yield from _bounds(view, node.value, name)
        for test in view.tests:
            yield from _compared(view, test, name)


def _passed(view: FunctionView, node: ast.Call, name: str) -> Proposals:
    """Pass the parameter on: under its own name, in front, in the place of another argument."""
    if any(isinstance(argument, ast.GeneratorExp) for argument in node.args) or any(
        k.arg == name for k in node.keywords
    ):
        return
    parts: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
    end = max((view.end(part) for part in parts), default=0)
    close = view.end(node) - 1
    between = view.text[end:close].strip() if parts else ""
    comma = "" if not parts or between.endswith(",") else ", "
    stars = _stars(view, name)
    yield "ARG", 4.0 if stars else 2.0, ((close, close, f"{comma}{stars}{name}" if stars else f"{comma}{name}={name}"),)
    if parts and not stars:
        yield "ARG", 1.0, ((view.start(parts[0]), view.start(parts[0]), f"{name}, "),)
    for argument in node.args if not stars else ():
        if not isinstance(argument, (ast.Name, ast.Starred)):
            yield "ARG", 0.7, view.replace(argument, name)


def _stars(view: FunctionView, name: str) -> str:
    """Return "*" for the parameter that takes the rest of the arguments, "**" for the one of the rest by name."""
    spec = view.definition.args
    given = {"*": spec.vararg, "**": spec.kwarg}
    return next((stars for stars, argument in given.items() if argument is not None and argument.arg == name), "")


def _bounds(view: FunctionView, value: ast.expr, name: str) -> Proposals:
    """Bound what is returned, cut it, or return the parameter in place of nothing."""
    source = view.source(value)
    kind = view.hints.get(name, "")
    if kind in ("num", ""):
        for function in ("max", "min"):
            yield "CALL_ADD", 1.0, view.replace(value, f"{function}({source}, {name})")
        yield "CALL_ADD", 0.7, view.replace(value, f"round({source}, {name})")
    yield "EXPR_ADD", 1.0, view.replace(value, f"{view.source(value, 4)} or {name}", 3)
    if kind in ("bool", ""):
        for other in ("None", "not"):
            negated = f"not {name}" if other == "not" else f"{name} is None"
            yield "COND_ADD", 0.4, view.replace(value, f"{view.source(value, 3)} if {negated} else {name}", 2)


def _compared(view: FunctionView, test: ast.expr, name: str) -> Proposals:
    """Ask for the parameter too, and compare what the condition compares with it."""
    subjects = [part for part in ast.walk(test) if isinstance(part, ast.Compare) and part in view.parents]
    for part in subjects[:2]:
        left = view.source(part.left, 7)
        for symbol in ("<", "<=", ">", ">=", "==", "!="):
            text = f"{left} {symbol} {name}"
            yield "COND_ADD", 0.7, view.replace(test, f"{view.source(test, 5)} and {text}", 4)
            yield "COND_ADD", 0.5, view.replace(test, f"{view.source(test, 4)} or {text}", 3)

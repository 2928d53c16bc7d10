"""Edits of what a function gives back: the object, an attribute or the outcome of a method instead of a wrong value.

Names that share words with the function's own name count for more.
"""

from __future__ import annotations

import ast

from bot.edit_scope import called_with_one, idle, own_methods, related
from bot.edit_view import NAMES_PER_SITE, FunctionView, Proposals

_GIVE_THE_OBJECT = ("__iter__", "__enter__", "__aenter__", "__aiter__")


def edit_results(view: FunctionView) -> Proposals:
    """Yield every edit that gives back something of the object, or of the module, in the place of what is there."""
    first = view.definition.args.args[:1]
    owned = bool(first) and first[0].arg == "self"
    for node in view.nodes:
        if isinstance(node, ast.Return) and node.value is not None and _is_plain(node.value):
            if owned:
                yield from _of_object(view, node.value)
            yield from _of_module(view, node.value)


def _is_plain(value: ast.expr) -> bool:
    """Return whether `value` is too plain to be all that the function is there for."""
    empty = isinstance(value, (ast.List, ast.Tuple)) and not value.elts
    empty = empty or (isinstance(value, ast.Dict) and not value.keys)
    return empty or isinstance(value, (ast.Constant, ast.Name))


def _of_object(view: FunctionView, value: ast.expr) -> Proposals:
    name, own = view.definition.name, view.raw(value)
    if own != "self":
        same = name in _GIVE_THE_OBJECT or (name.startswith("__i") and len(view.parameters) == 1)
        yield "RESULT", 10.0 if same else 0.7, view.replace(value, "self")
    for attribute in [text for text in view.attributes if text.startswith("self.")][:NAMES_PER_SITE]:
        yield "RESULT", 3.0 if related(attribute[5:], name) else 0.5, view.replace(value, attribute)
    for method, parameter in own_methods(view.extra):
        share = 3.0 if related(method[5:], name) else 0.4
        if not parameter:
            yield "RESULT", share, view.replace(value, f"{method}()")
        for given in view.parameters[:3] if parameter else ():
            yield "RESULT", share / 2, view.replace(value, f"{method}({given})")


def _of_module(view: FunctionView, value: ast.expr) -> Proposals:
    """Give back what a function of the module makes of a parameter, or a name of the module that nothing uses."""
    if isinstance(value, ast.Name):
        return
    functions = [(function, 2.0) for function in idle(view.extra)]
    functions += [(function, 0.4) for function, _ in called_with_one(view.extra)]
    for function, share in functions:
        for given in view.parameters[:3]:
            yield "RESULT", share, view.replace(value, f"{function}({given})")
    for name in view.outer_names[:8]:
        yield "RESULT", 0.5 if related(name, view.definition.name) else 0.1, view.replace(value, name)

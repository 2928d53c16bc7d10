"""Edits that put back a call that was lost: of a function, of a method, of what formats or joins text.

Which calls are offered, a parameter that is named like a function tells, or what the module calls with one argument.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from bot.binding import FORMATTED
from bot.edit_scope import called_with_none, called_with_one, idle, related
from bot.edit_view import FunctionView, Proposals

FUNCTIONS = 5  # of the module, tried around one value
OPERANDS = 8  # what is put into a text
_LIKE_FUNCTIONS = re.compile(
    r"(.*_)?(f|fn|func|function|key|keyfunc|callback|cb|predicate|pred|factory|mapper|transform|hook|handler|convert(er)?"
    r"|getter|setter|wrapper|decorator|op|cmp|comparator|normali[sz]er|validator|serializer|default_factory)"
)
_PLACEHOLDER = re.compile(r"%[-+0-9.]*[sdrfxi]")
_FIELD = re.compile(r"\{[^{}]*\}")


def edit_calls(view: FunctionView) -> Proposals:
    """Yield every edit that puts a call back."""
    local = list(_local_functions(view))
    given = called_with_one(view.extra)[:FUNCTIONS]
    for node in view.values:
        if isinstance(node, ast.Constant):
            yield from _of_text(view, node) if isinstance(node.value, str) and view.is_plain_string(node) else ()
        elif not isinstance(node, (ast.Tuple, ast.Lambda, *FORMATTED)) and _may_be_wrapped(view, node):
            yield from _wrapped(view, node, local, given)
    for statement in view.nodes:
        if isinstance(statement, ast.Raise) and statement.exc is not None:
            yield from _raised(view, statement.exc)
        elif isinstance(statement, (ast.Return, ast.Assign)) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            near = " ".join([view.definition.name, *map(view.raw, targets)])
            for call in [*(f"{name}()" for name in idle(view.extra)), *called_with_none(view.extra)]:
                yield "CALLED", 2.0 if related(call, near) else 0.2, view.replace(statement.value, call)


def _may_be_wrapped(view: FunctionView, node: ast.expr) -> bool:
    parent = view.parents[node]
    if isinstance(parent, ast.Call):
        return not (isinstance(parent.func, ast.Name) and parent.func.id in ("isinstance", "issubclass"))
    return not isinstance(parent, (ast.Attribute, ast.Raise, ast.BoolOp, ast.UnaryOp, *FORMATTED))


def _local_functions(view: FunctionView) -> Iterator[tuple[str, float]]:
    """Yield the functions that the function has by name, or as an attribute, with how likely a call of them is lost."""
    called = {view.raw(node.func) for node in view.nodes if isinstance(node, ast.Call)}
    outer = [name for name in view.outer_names if name.islower()]
    for name in [*view.variables, *outer, *view.attributes]:
        plain = name.rpartition(".")[2]
        if name in view.variables and name in called:
            yield name, 2.0
        elif _LIKE_FUNCTIONS.fullmatch(plain):
            yield name, 2.0 if name in view.variables else 1.0
    for name in idle(view.extra):
        yield name, 6.0


def _wrapped(
    view: FunctionView, node: ast.expr, local: list[tuple[str, float]], given: list[tuple[str, str]]
) -> Proposals:
    own, parent = view.source(node), view.parents[node]
    for function, share in local:
        if function != own:
            yield "CALLED", share, view.replace(node, f"{function}({own})")
    whole = isinstance(parent, (ast.Assign, ast.Return, ast.For, ast.comprehension, ast.Call, ast.Yield, ast.keyword))
    whole = whole and isinstance(node, (ast.Name, ast.Attribute, ast.GeneratorExp))
    for function, parameter in given if whole or isinstance(node, ast.BinOp) else ():
        near = own == parameter or related(function, view.definition.name)
        if not own.startswith(function):
            yield "CALLED", 1.0 if near else 0.3, view.replace(node, f"{function}({own})")
    name = view.definition.name.strip("_")
    if isinstance(parent, ast.Return) and view.definition.name == f"__{name}__" and name in _GIVE_BACK:
        yield "CALLED", 6.0, view.replace(node, f"{name}({own})")


_GIVE_BACK = ("hash", "iter", "len", "str", "repr", "bool", "int", "float", "reversed", "next", "abs", "bytes")


def _of_text(view: FunctionView, node: ast.Constant) -> Proposals:
    """Fill the places of a text, or join what it stands between."""
    parent, text = view.parents[node], view.raw(node)
    if isinstance(parent, (ast.Attribute, ast.Compare, ast.Subscript, ast.Dict)):
        return
    for name in view.operands[:OPERANDS]:
        if len(_PLACEHOLDER.findall(text)) == 1 and not isinstance(parent, ast.BinOp):
            yield "CALLED", 2.0, view.replace(node, f"{text} % {name}", 12)
        if len(_FIELD.findall(text)) == 1:
            yield "CALLED", 2.0, view.replace(node, f"{text}.format({name})")
        between = len(text) <= 4 and isinstance(parent, (ast.Return, ast.Assign, ast.BinOp))
        if between and view.hints.get(name, "list") == "list":
            yield "CALLED", 0.5, view.replace(node, f"{text}.join({name})")


def _raised(view: FunctionView, node: ast.expr) -> Proposals:
    """Raise an exception with a text, not the text."""
    if isinstance(node, FORMATTED) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        for name in list(dict.fromkeys([*view.exceptions, "ValueError", "TypeError", "KeyError", "RuntimeError"]))[:6]:
            yield "CALLED", 4.0, view.replace(node, f"{name}({view.raw(node)})")

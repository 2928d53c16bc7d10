"""Edits of a function that reads a name which nothing binds: a binding that was lost, or stored under another name.

Such a function cannot work, so where these edits apply one of them is nearly certain to be the repair.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from bot.edit_scope import bindings, called_with_one, own_methods, related, unbound
from bot.edit_view import FunctionView, Proposals

NAMES = 2  # names that are looked after
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_REPEATED = (ast.For, ast.AsyncFor, ast.While, *_COMPREHENSIONS)


def edit_unbound(view: FunctionView) -> Proposals:
    """Yield what binds the names that are read and bound nowhere."""
    for name in [*unbound(view.extra), *_bound_too_late(view)][:NAMES]:
        reads = [node for node in view.nodes if isinstance(node, ast.Name) and node.id == name]
        if reads:
            yield from _stored_elsewhere(view, name, reads[0])
            yield from _lost(view, name, reads[0])


def _bound_too_late(view: FunctionView) -> list[str]:
    """Return the local names that are read before anything can have stored them: `total += 1` reads too."""
    if any(isinstance(node, (*_SCOPES, ast.Global, ast.Nonlocal)) for node in view.nodes):
        return []
    found = []
    for name in [name for name in view.variables if name not in view.parameters]:
        places = [node for node in view.nodes if isinstance(node, ast.Name) and node.id == name]
        stores = [n for n in places if isinstance(n.ctx, ast.Store) and not isinstance(view.parents[n], ast.AugAssign)]
        first = min((_outermost(view, node) for node in stores), default=len(view.text))
        if places and all(view.start(node) < first for node in places if node not in stores):
            found += [name] if any(node not in stores for node in places) else []
    return found


def _outermost(view: FunctionView, store: ast.AST) -> int:
    """Return where the loop or the expression begins that can bring what is stored to what is read before it."""
    begin = view.start(store)
    node = store
    while node in view.parents:
        node = view.parents[node]
        if isinstance(node, _REPEATED):
            begin = min(begin, view.start(node))
    return begin


def _stored_elsewhere(view: FunctionView, name: str, read: ast.Name) -> Proposals:
    """Rename what stores a value under another name before the read."""
    for node in view.nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and view.start(node) < view.start(read):
            spoilt = node.id in view.unread or node.id in view.parameters
            yield "STORE", 3.0 if spoilt else 1.0, ((view.start(node), view.end(node), name),)


def _lost(view: FunctionView, name: str, read: ast.Name) -> Proposals:
    """Bind the name before the statement that reads it first, and before the one of the function's own block."""
    places = [
        statement
        for block in view.blocks
        for statement in block.statements
        if view.start(statement) <= view.start(read) < view.end(statement)
    ]
    for statement in dict.fromkeys([*places[:1], *places[-1:]]):
        lines = view.whole_lines([statement])
        if lines is None:
            continue
        for line, share in _lines(view, name):
            yield "BIND", share, ((lines[0], lines[0], f"{' ' * statement.col_offset}{line}\n"),)


def _lines(view: FunctionView, name: str) -> Iterator[tuple[str, float]]:
    """Yield bindings of `name`: as elsewhere in the module, by a function or method of like name, of usual values."""
    for line in bindings(view.extra):
        if name in line.partition(" = ")[0].replace(" ", "").split(","):
            yield line, 8.0
    parameters = view.parameters[:3]
    for function, parameter in [*called_with_one(view.extra), *own_methods(view.extra)]:
        share = 3.0 if related(function.rpartition(".")[2], name) else 0.4
        if parameter or not function.startswith("self."):
            for given in [parameter] if parameter in parameters else parameters:
                yield f"{name} = {function}({given})", share
        else:
            yield f"{name} = {function}()", share
    for text in ("None", "0", "[]", "{}", "''", "False", "set()", *parameters):
        yield f"{name} = {text}", 0.4
    for text in [attribute for attribute in view.attributes if attribute.startswith("self.")]:
        yield f"{name} = {text}", 2.0 if related(text[5:], name) else 0.2

"""Edits that put back what people forget: an await, a call of the base class, a change of state, the last group.

Each function here yields proposals; a proposal may come to nothing or not compile.
"""

from __future__ import annotations

import ast
import builtins
import itertools
from collections.abc import Iterator

from bot.edit_scope import own_methods
from bot.edit_view import Block, FunctionView, Proposals, insertions
from bot.value_hints import RESULTS

ATTRIBUTES = 8  # attributes whose state is changed, at most
METHODS = 8  # methods of the same object that are called, at most
_NOT_AWAITED = frozenset(dir(builtins)) | frozenset(RESULTS)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def edit_omissions(view: FunctionView) -> Proposals:
    """Yield every edit that puts something back."""
    yield from _awaits(view)
    yield from _base_calls(view)
    yield from _state(view)
    yield from _own_methods(view)
    yield from _results(view)
    for block in view.blocks:
        yield from _last_group(view, block)
        yield from _collected(view, block)
    for node in view.nodes:
        if isinstance(node, ast.Lambda):
            yield from _bound_early(view, node)
            yield from _ties(view, node)
        elif isinstance(node, ast.Compare):
            yield from _swapped_keys(view, node)
        elif isinstance(node, ast.Dict):
            yield from _swapped_parts(view, node)
        elif isinstance(node, ast.FormattedValue):
            yield from _formatted(view, node)


def _awaits(view: FunctionView) -> Proposals:
    for node in view.nodes:
        if not isinstance(node, (ast.Call, ast.Await, ast.For, ast.With)) or not _in_coroutine(view, node):
            continue
        if isinstance(node, ast.Await):
            yield "AWAIT", 0.3, view.replace(node, view.raw(node.value))
        elif isinstance(node, (ast.For, ast.With)):
            yield "AWAIT", 0.5, ((view.start(node), view.start(node), "async "),)
        elif not isinstance(view.parents[node], ast.Await):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name not in _NOT_AWAITED:
                yield "AWAIT", 1.0, view.replace(node, f"await {view.raw(node)}", 15)


def _in_coroutine(view: FunctionView, node: ast.AST) -> bool:
    while node in view.parents:
        node = view.parents[node]
        if isinstance(node, _FUNCTIONS):
            break
    return isinstance(node, ast.AsyncFunctionDef)


def _base_calls(view: FunctionView) -> Proposals:
    """Call what the method overrides; only where the class has a base."""
    name = view.definition.name
    if "super()" not in view.extra or f"super().{name}" in view.text:
        return
    spec = view.definition.args
    everything = [argument.arg for argument in [*spec.posonlyargs, *spec.args][1:]]
    everything += [f"*{spec.vararg.arg}"] if spec.vararg else []
    everything += [f"{argument.arg}={argument.arg}" for argument in spec.kwonlyargs]
    everything += [f"**{spec.kwarg.arg}"] if spec.kwarg else []
    passed = [", ".join(everything[:count]) for count in range(len(everything), -1, -1)]
    for index, arguments in enumerate(passed[:5]):
        for spans in insertions(view, f"super().{name}({arguments})"):
            yield "LEFT_OUT", 1.0 if index == 0 else 0.5, spans


def _state(view: FunctionView) -> Proposals:
    """Change an attribute of the object: store a parameter, count it, keep it, set a flag."""
    attributes = [name for name in view.attributes if name.startswith("self.")][:ATTRIBUTES]
    for name in view.parameters:
        if f"self.{name}" not in view.text and view.definition.name == "__init__":
            for spans in insertions(view, f"self.{name} = {name}"):
                yield "LEFT_OUT", 2.0, spans
    for attribute in attributes:
        changes = [(f"{attribute} = {value}", 0.2) for value in ("True", "False", "None", "0", "[]")]
        changes += [(f"{attribute} {sign}= 1", 0.2) for sign in "+-"]
        for name in view.parameters[:3]:
            changes += [
                (f"{attribute} = {name}", 0.2),
                (f"{attribute} += {name}", 0.3),
                (f"{attribute} -= {name}", 0.2),
            ]
            changes += [(f"{attribute}.append({name})", 0.3), (f"{attribute}.add({name})", 0.2)]
        for line, share in changes:
            for spans in insertions(view, line):
                yield "LEFT_OUT", share, spans


def _own_methods(view: FunctionView) -> Proposals:
    """Call another method of the object, as a statement or in the place of an attribute."""
    others = [method for method in own_methods(view.extra) if method[0] != f"self.{view.definition.name}"][:METHODS]
    for name, parameter in others:
        if parameter and "," not in parameter:
            known = [parameter] if parameter in view.variables else view.variables[:3]
            lines = [f"{name}({argument})" for argument in known]
        else:
            lines = [] if parameter else [f"{name}()"]
        for line in lines if f"{name}(" not in view.text else ():
            for spans in insertions(view, line):
                yield "LEFT_OUT", 0.5, spans
        for node in view.values if not parameter else ():
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                yield "ATTR", 0.3, view.replace(node, f"{name}()")
    for part in view.nodes:  # of what a property holds, where a method gives it
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Attribute):
            for name, parameter in others:
                if not parameter and view.raw(part.value).startswith("self."):
                    yield "ATTR", 0.3, view.replace(part.value, f"{name}()")


def _results(view: FunctionView) -> Proposals:
    """Return at the end what the function has made."""
    last = view.blocks[0].statements[-1] if view.blocks else None
    lines = view.whole_lines([last]) if last is not None else None
    if last is None or lines is None or isinstance(last, (ast.Return, ast.Raise)):
        return
    made = [
        view.raw(target)
        for node in view.nodes
        if isinstance(node, (ast.Assign, ast.AugAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, (ast.Attribute, ast.Subscript))
    ]
    newline = "" if view.text[: lines[1]].endswith("\n") else "\n"
    for text in list(dict.fromkeys([*reversed(made), "self"]))[:5]:
        yield "RETURN", 1.5, ((lines[1], lines[1], f"{newline}{' ' * last.col_offset}return {text}\n"),)


def _last_group(view: FunctionView, block: Block) -> Proposals:
    """Do once more behind a loop, if something is left, what the loop does with each group."""
    for statement in block.statements:
        lines = view.whole_lines([statement]) if isinstance(statement, (ast.For, ast.While)) else None
        if lines is None:
            continue
        for inner in ast.walk(statement):
            if not isinstance(inner, ast.Expr) or inner.lineno != inner.end_lineno or inner not in view.parents:
                continue
            names = [node.id for node in ast.walk(inner) if isinstance(node, ast.Name)]
            for name in [name for name in dict.fromkeys(names) if name in view.variables][:3]:
                indent = " " * statement.col_offset
                newline = "" if view.text[: lines[1]].endswith("\n") else "\n"
                line = f"{newline}{indent}if {name}: {view.raw(inner)}\n"
                yield "LEFT_OUT", 1.0, ((lines[1], lines[1], line),)


def _collected(view: FunctionView, block: Block) -> Proposals:
    """Keep something in a set or a dictionary of the function at the end of a block."""
    last = block.statements[-1]
    lines = view.whole_lines([last])
    if lines is None or isinstance(last, (ast.Return, ast.Raise, ast.Break, ast.Continue)):
        return
    indent = " " * last.col_offset
    newline = "" if view.text[: lines[1]].endswith("\n") else "\n"
    others = [name for name in view.variables if view.hints.get(name, "num") in ("num", "str")][:6]
    for name in [name for name in view.variables if view.hints.get(name) in ("set", "dict")][:2]:
        if view.hints[name] == "set":
            kept = [f"{name}.add({other})" for other in others]
        else:
            kept = [f"{name}[{one}] = {other}" for one in others[:4] for other in others[:4] if one != other]
        for line in kept:
            yield "LEFT_OUT", 0.4, ((lines[1], lines[1], f"{newline}{indent}{line}\n"),)


def _bound_early(view: FunctionView, node: ast.Lambda) -> Proposals:
    """Bind a loop's variable when a lambda is made, not when it is called."""
    own = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
    free = {name.id for name in ast.walk(node.body) if isinstance(name, ast.Name)} - own
    colon = view.text.rindex(":", view.start(node), view.start(node.body))
    for name in [name for name in view.variables if name in free and name in _looped(view, node)]:
        comma = ", " if own else " "
        yield "LEFT_OUT", 3.0, ((colon, colon, f"{comma}{name}={name}"),)


def _looped(view: FunctionView, node: ast.AST) -> Iterator[str]:
    """Yield the variables of the loops and comprehensions around `node`."""
    while node in view.parents:
        node = view.parents[node]
        loops = [node] if isinstance(node, (ast.For, ast.AsyncFor)) else getattr(node, "generators", [])
        for loop in loops:
            yield from (name.id for name in ast.walk(loop.target) if isinstance(name, ast.Name))


def _ties(view: FunctionView, node: ast.Lambda) -> Proposals:
    """Break the ties of a key by something else of the same item."""
    parent = view.parents[node]
    if not isinstance(parent, ast.keyword) or parent.arg != "key" or isinstance(node.body, ast.Tuple):
        return
    body = view.source(node.body, 1)
    for item in [argument.arg for argument in node.args.args][:1]:
        for other in (item, f"{item}[0]", f"{item}[1]"):
            if other != body:
                yield "LEFT_OUT", 0.7, view.replace(node.body, f"({body}, {other})")


def _swapped_keys(view: FunctionView, node: ast.Compare) -> Proposals:
    """Compare by the second part before the first, on both sides."""
    sides = [node.left, *node.comparators]
    if len(sides) == 2 and all(isinstance(side, ast.Tuple) and len(side.elts) > 1 for side in sides):
        spans = []
        for side in sides:
            one, other = side.elts[:2]  # type: ignore[attr-defined]
            spans += [
                (view.start(one), view.end(one), view.raw(other)),
                (view.start(other), view.end(other), view.raw(one)),
            ]
        yield "OPERAND_SWAP", 1.0, tuple(spans)


def _swapped_parts(view: FunctionView, node: ast.Dict) -> Proposals:
    """Let the other part of a merged dictionary win."""
    if None not in node.keys or not 2 <= len(node.values) <= 6:
        return
    starts = [
        view.start(key) if key is not None else view.text.rindex("**", view.start(node), view.start(value))
        for key, value in zip(node.keys, node.values, strict=True)
    ]
    spans = []
    for start, value in zip(starts, node.values, strict=True):
        end = view.end(value)
        if view.text[start : view.start(value)].endswith("("):  # parentheses around a part reach beyond it
            end = view.text.index(")", end) + 1
        spans.append((start, end))
    for one, other in itertools.pairwise(spans):
        yield "OPERAND_SWAP", 1.0, ((*one, view.text[slice(*other)]), (*other, view.text[slice(*one)]))


def _formatted(view: FunctionView, node: ast.FormattedValue) -> Proposals:
    """Pad or round what a formatted string shows."""
    if node.format_spec is not None or node.conversion != -1 or node.value not in view.parents:
        return
    try:
        end = view.end(node.value)
    except IndexError:
        return
    if not view.text.startswith("}", end) or view.text[view.start(node.value) - 1] != "{":
        return
    for form in (":02d", ":.2f", ":,", ":.1f"):
        yield "LIT", 0.7, ((end, end, form),)

"""The faulty function as the edit operators see it: nodes with their offsets and parents, names, kinds of values.

Pure text and syntax. An edit is a set of spans of the function's text with what replaces them.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bot.binding import ATOM, FIELDS, FORMATTED, level_of, required_level
from bot.syntax import parsed, quiet
from bot.value_hints import guess, hints_of

Span = tuple[int, int, str]  # from, to (character offsets in the function's text), replacement
Proposal = tuple[str, float, tuple[Span, ...]]  # operator, share within it, what to replace
Proposals = Iterator[Proposal]

NAMES_PER_SITE = 24  # other names tried in one place


@dataclass(frozen=True, slots=True)
class Block:
    """One list of statements. owner: the statement it belongs to, None for the function's body."""

    statements: list[ast.stmt]
    owner: ast.stmt | None
    in_loop: bool


class FunctionView:
    """The faulty function: its text, its nodes with their offsets and parents, its names and expressions."""

    def __init__(self, text: str, header_lines: int, extra: tuple[str, ...]) -> None:
        self.text, self.extra = text, extra
        self.lines = _LINE.findall(text)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.body_start = self.starts[header_lines]
        tree = parsed(text)
        definition = next(node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
        self.definition = definition
        self.parents: dict[ast.AST, ast.AST] = {}
        self.blocks: list[Block] = []
        self._walk_blocks(definition, None, False)
        self.nodes = list(self._walk(definition))

    def _walk(self, root: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes of the body in source order; annotations and what cannot be located are left out."""
        for name, value in ast.iter_fields(root):
            if name in ("annotation", "returns", "format_spec", "decorator_list", "type_comment", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if not isinstance(child, ast.AST) or isinstance(child, ast.expr_context):
                    continue
                self.parents[child] = root
                if isinstance(root, FIELDS) and not self._located(child):
                    continue
                if not hasattr(child, "lineno") or self.start(child) >= self.body_start:
                    yield child
                yield from self._walk(child)

    def _located(self, node: ast.AST) -> bool:
        """Return whether a node inside an f-string is where its position says (Python before 3.12 may be off)."""
        try:
            with quiet():
                return ast.dump(ast.parse(self.raw(node), mode="eval").body) == ast.dump(node)
        except (SyntaxError, ValueError, IndexError):
            return False

    def _walk_blocks(self, owner: ast.AST, statement: ast.stmt | None, in_loop: bool) -> None:
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            block = getattr(owner, name, None)
            if not isinstance(block, list) or not block:
                continue
            if name in ("handlers", "cases"):
                for part in block:
                    self._walk_blocks(part, statement, in_loop)
                continue
            inside = in_loop or (isinstance(owner, (ast.For, ast.AsyncFor, ast.While)) and name == "body")
            inside = inside and not isinstance(owner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            statements = [item for item in block if self.start(item) >= self.body_start]
            if statements:
                self.blocks.append(Block(statements, statement, inside))
            for item in statements:
                self._walk_blocks(item, item, inside)

    # offsets and text

    def offset(self, line: int, column: int) -> int:
        source = self.lines[line - 1]
        if not source.isascii():
            column = len(source.encode()[:column].decode())
        return self.starts[line - 1] + column

    def start(self, node: Any) -> int:
        decorators = getattr(node, "decorator_list", None)
        if decorators:
            return self.start(decorators[0]) - 1
        return self.offset(node.lineno, node.col_offset)

    def end(self, node: Any) -> int:
        return self.offset(node.end_lineno, node.end_col_offset)

    def raw(self, node: ast.AST) -> str:
        return self.text[self.start(node) : self.end(node)]

    def source(self, node: ast.expr, level: int = 0) -> str:
        """Return the text of `node` fit for a place that needs `level`."""
        text = self.raw(node)
        if isinstance(node, ast.Tuple):
            return text if text.startswith("(") and text.endswith(")") else f"({text})"
        return f"({text})" if level_of(node) < level or ("\n" in text and level_of(node) < ATOM) else text

    def swap(self, one: ast.AST, other: ast.AST) -> tuple[Span, ...]:
        """Return the spans that put each of two nodes in the place of the other."""
        return (self.start(one), self.end(one), self.raw(other)), (self.start(other), self.end(other), self.raw(one))

    def parenthesised(self, node: ast.AST) -> bool:
        """Whether parentheses of its own stand around a node, not those of a call."""
        parent = self.parents[node]
        before, after = self.text[: self.start(node)].rstrip(), self.text[self.end(node) :].lstrip()
        of_call = isinstance(parent, ast.Call) and node is not parent.func
        if of_call and len(parent.args) + len(parent.keywords) == 1:  # type: ignore[attr-defined]
            return False
        return before.endswith("(") and after.startswith(")")

    def replace(self, node: ast.expr, text: str, level: int = ATOM) -> tuple[Span, ...]:
        """Return what puts `text`, which binds with `level`, in the place of `node`."""
        parent = self.parents[node]
        if isinstance(node, ast.GeneratorExp) and isinstance(parent, ast.Call) and self.end(node) == self.end(parent):
            text = f"({text})"  # the generator's parentheses are the call's
        elif level < required_level(parent, node):
            text = f"({text})"
        return ((self.start(node), self.end(node), text),)

    def whole_lines(self, statements: Sequence[ast.stmt]) -> tuple[int, int] | None:
        """Return the offsets of the whole lines of `statements`, or None if they share a line with something else."""
        first, last = statements[0], statements[-1]
        start, end = self.start(first), self.end(last)
        begin = self.text.rfind("\n", 0, start) + 1
        finish = self.text.find("\n", end)
        finish = len(self.text) if finish < 0 else finish + 1
        rest = self.text[end:finish].strip()
        if self.text[begin:start].strip() or (rest and not rest.startswith("#")):
            return None
        return begin, finish

    # names and expressions

    @cached_property
    def parameters(self) -> list[str]:
        spec = self.definition.args
        listed = [*spec.posonlyargs, *spec.args, *([spec.vararg] if spec.vararg else []), *spec.kwonlyargs]
        return [
            item.arg for item in [*listed, *([spec.kwarg] if spec.kwarg else [])] if item.arg not in ("self", "cls")
        ]

    @cached_property
    def variables(self) -> list[str]:
        """Parameters, then local names in order of appearance, nested scopes included."""
        found = dict.fromkeys(self.parameters)
        for node in self.nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found[node.id] = None
            elif isinstance(node, ast.arg):
                found[node.arg] = None
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found[node.name] = None
        return list(found)

    @cached_property
    def forgotten(self) -> list[str]:
        """Parameters that the body never names; one that begins with "_" is meant to be unused."""
        used = {node.id for node in self.nodes if isinstance(node, ast.Name)}
        used |= {name for node in self.nodes if isinstance(node, (ast.Nonlocal, ast.Global)) for name in node.names}
        return [name for name in self.parameters if name not in used and not name.startswith("_")]

    @cached_property
    def unread(self) -> list[str]:
        """Variables that the body sets and never reads, but for those that begin with "_"."""
        names = [node for node in self.nodes if isinstance(node, ast.Name)]
        read = {node.id for node in names if not isinstance(node.ctx, ast.Store)}
        read |= {name for node in self.nodes if isinstance(node, (ast.Nonlocal, ast.Global)) for name in node.names}
        return [name for name in dict.fromkeys(node.id for node in names) if name not in read and name[0] != "_"]

    @cached_property
    def outer_names(self) -> list[str]:
        """Names of the module: those used here that are not local, then those we were told of."""
        used = [node.id for node in self.nodes if isinstance(node, ast.Name) and node.id not in _BUILTINS]
        given = [name for name in self.extra if name.isidentifier()]
        local = {*self.variables, "self", "cls"}
        return [name for name in dict.fromkeys([*used, *given]) if name not in local]

    @cached_property
    def attributes(self) -> list[str]:
        """Dotted names: those used here, then those we were told of."""
        used = [
            f"{node.value.id}.{node.attr}"
            for node in self.nodes
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and not self.is_called(node)
        ]
        given = [name for name in self.extra if "." in name and all(part.isidentifier() for part in name.split("."))]
        return list(dict.fromkeys([*used, *given]))

    @cached_property
    def operands(self) -> list[str]:
        """What a condition or a sum could be about: variables, then attributes of `self`."""
        return [*self.variables, *[name for name in self.attributes if name.startswith(("self.", "cls."))][:4]]

    @cached_property
    def expressions(self) -> list[ast.expr]:
        """Expressions whose value is read, in source order."""
        found = []
        for node in self.nodes:
            parent = self.parents.get(node)
            context = getattr(node, "ctx", None)
            skipped = isinstance(node, (ast.Starred, ast.Slice, *FIELDS))
            skipped = skipped or isinstance(parent, (*FORMATTED, ast.Expr, ast.pattern, ast.ExceptHandler))
            if isinstance(node, ast.expr) and not skipped and (context is None or isinstance(context, ast.Load)):
                found.append(node)
        return found

    @cached_property
    def values(self) -> list[ast.expr]:
        """Expressions that are neither called functions, nor modules or objects before a dot."""
        return [node for node in self.expressions if not self.is_called(node)]

    @cached_property
    def numbers(self) -> list[str]:
        """The function's own numeric constants."""
        found = [
            self.raw(node)
            for node in self.nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not is_bool(node)
        ]
        return list(dict.fromkeys(found))

    @cached_property
    def _strings(self) -> list[ast.Constant]:
        found = [node for node in self.nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        return [node for node in found if self.is_plain_string(node)]

    @cached_property
    def strings(self) -> list[str]:
        return list(dict.fromkeys(self.raw(node) for node in self._strings))

    def strings_near(self, place: ast.Constant) -> list[str]:
        """Return the function's other strings, nearest first."""
        own = self.raw(place)
        ordered = sorted(self._strings, key=lambda node: abs(node.lineno - place.lineno))
        return [text for text in dict.fromkeys(self.raw(node) for node in ordered) if text != own]

    @cached_property
    def exceptions(self) -> list[str]:
        """Names in scope that look like exceptions."""
        return [name for name in self.outer_names if name.endswith(("Error", "Exception"))]

    @cached_property
    def tests(self) -> list[ast.expr]:
        """Expressions whose truth is asked: conditions, their parts, comprehension filters, returned comparisons."""
        found: list[ast.expr] = []
        for node in self.nodes:
            if isinstance(node, (ast.If, ast.While, ast.IfExp, ast.Assert)):
                found.append(node.test)
            elif isinstance(node, ast.comprehension):
                found += node.ifs
            elif isinstance(node, ast.BoolOp):
                found += node.values
            elif isinstance(node, (ast.Compare, ast.BoolOp)) or is_not(node):
                found.append(node)  # type: ignore[arg-type]
        return [node for node in dict.fromkeys(found) if node in self.parents and self.start(node) >= self.body_start]

    def is_called(self, node: ast.AST) -> bool:
        parent = self.parents.get(node)
        return isinstance(parent, ast.Call) and parent.func is node

    def is_plain_string(self, node: ast.Constant) -> bool:
        parent = self.parents[node]
        return not isinstance(parent, (*FORMATTED, ast.Expr)) and "\n" not in self.raw(node)

    @cached_property
    def hints(self) -> dict[str, str]:
        """What names probably hold: "num", "str", "list", "dict", "bool"; unknown ones are missing."""
        return hints_of(self.definition, self.nodes)

    def guess(self, node: ast.expr) -> str:
        """Return what `node` probably evaluates to, "" when there is no telling."""
        return guess(node, self.hints)


_BUILTINS = frozenset(dir(builtins))


_LINE = re.compile(r"[^\n]*\n|[^\n]+")  # as the parser counts them


def is_bool(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def is_not(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def simple_conditions(view: FunctionView, names: Sequence[str], share: float) -> Iterator[tuple[str, float]]:
    """Yield conditions one could ask of these names."""
    for name in names:
        kind = view.hints.get(name, "")
        yield name, share
        yield f"not {name}", share
        if kind in ("num", ""):
            for test in ("> 0", "!= 0", "< 0", "% 2 == 0", "% 2 == 1", "> 1", "== 1", "== 0"):
                yield f"{name} {test}", share / 2
        if kind in ("list", "str", "set", "dict", ""):
            for test in ("== 0", "== 1", "> 1"):
                yield f"len({name}) {test}", share / 2
        if kind != "bool":
            yield f"{name} is not None", share / 2
            for other in names:
                if other != name and view.hints.get(other, kind) == kind:
                    yield f"{name} != {other}", share / 3
                    yield f"{name} == {other}", share / 3
                    yield f"{name} < {other}", share / 4


def in_order(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    return tuple(sorted(spans, key=lambda span: span[:2]))


def apply(text: str, spans: Sequence[Span]) -> str:
    pieces, end = [], 0
    for start, stop, replacement in spans:
        pieces += [text[end:start], replacement]
        end = stop
    return "".join(pieces) + text[end:]


def insertions(view: FunctionView, line: str) -> Iterator[tuple[Span, ...]]:
    """Yield what puts `line` before the first or the last statement of the function's own block, or behind the last."""
    statements = view.blocks[0].statements if view.blocks else []
    for statement in dict.fromkeys([*statements[:2], *statements[-1:]]):
        lines = view.whole_lines([statement])
        if lines is not None:
            yield ((lines[0], lines[0], f"{' ' * statement.col_offset}{line}\n"),)
    last = view.whole_lines(statements[-1:]) if statements else None
    if last is not None and not isinstance(statements[-1], (ast.Return, ast.Raise)):
        newline = "" if view.text[: last[1]].endswith("\n") else "\n"
        yield ((last[1], last[1], f"{newline}{' ' * statements[-1].col_offset}{line}\n"),)

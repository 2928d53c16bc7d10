"""A function's text with what fault operators need to know of it: spans of nodes, names in scope, constants.

Pure. Edits replace a span of the original text, so that layout, comments and quotes of everything else survive.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from training.functions import docstring_node, parse_function

Node = TypeVar("Node", bound=ast.AST)


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace text[start:end] (character offsets) by `text`."""

    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]


class Code:
    """One function, parsed once. Only its body may be edited; `self` and `cls` are never offered as names."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.function = parse_function(text)
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        skip = 1 if docstring_node(self.function) is not None else 0
        self.body = self.function.body[skip:]
        self.nodes = [node for statement in self.body for node in ast.walk(statement)]
        self.parents = {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}
        self.expressions = [n for n in self.nodes if isinstance(n, ast.expr) and not self._inside_fstring(n)]
        self.statements = [n for n in self.nodes if isinstance(n, ast.stmt)]
        arguments = self.function.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        names = [a.arg for a in every] + [
            n.id for n in self.nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        ]
        self.names = [n for n in dict.fromkeys(names) if n not in ("self", "cls", "_")]
        self.constants = list(dict.fromkeys(self.source(n) for n in self.of(ast.Constant)))
        self.attributes = list(dict.fromkeys(n.attr for n in self.of(ast.Attribute)))

    def of(self, kind: type[Node]) -> list[Node]:
        """Return the body's nodes of a kind, outside f-strings."""
        return [n for n in self.nodes if isinstance(n, kind) and not self._inside_fstring(n)]

    def offset(self, line: int, column: int) -> int:
        """Return the character offset of a 1-based line and a column; the text is ASCII, so bytes are characters."""
        return self._starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt | ast.arg | ast.keyword | ast.excepthandler) -> tuple[int, int]:
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self.offset(node.lineno, node.col_offset), self.offset(end_line, end_column)

    def source(self, node: ast.expr | ast.stmt | ast.arg | ast.keyword | ast.excepthandler) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def replace(self, node: ast.expr | ast.stmt | ast.arg | ast.keyword, text: str) -> Edit:
        return Edit(*self.span(node), text)

    def between(self, left: ast.expr, right: ast.expr, token: str, new: str) -> Edit | None:
        """Return the edit that changes the operator `token` found between two operands, None if it is not plain."""
        start, end = self.span(left)[1], self.span(right)[0]
        gap = self.text[start:end]
        if gap.count(token) != 1:
            return None
        place = start + gap.index(token)
        return Edit(place, place + len(token), new)

    def lines_of(self, statement: ast.stmt) -> tuple[int, int]:
        """Return the offsets of the whole lines of a statement that has its lines to itself."""
        return self._starts[statement.lineno - 1], self._starts[statement.end_lineno or statement.lineno]

    def indent(self, statement: ast.stmt) -> str:
        return " " * statement.col_offset

    def blocks(self) -> Iterator[list[ast.stmt]]:
        """Yield every list of statements of the body, outermost first."""
        yield self.body
        for node in self.nodes:
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if isinstance(block, list) and block:
                    yield block

    def loads(self) -> list[ast.Name]:
        return [n for n in self.of(ast.Name) if isinstance(n.ctx, ast.Load)]

    def called(self, node: ast.AST) -> bool:
        """True for the expression that a call calls."""
        parent = self.parents.get(node)
        return isinstance(parent, ast.Call) and parent.func is node

    def _inside_fstring(self, node: ast.AST) -> bool:
        above: ast.AST | None = node
        while above is not None:
            if isinstance(above, ast.JoinedStr) and above is not node:
                return True
            above = self.parents.get(above)
        return False

"""A training function as text: normalised source, its header, its identity under renaming.

Pure text and `ast`; no execution, no files. The text convention is that of `bot.decoding.prompt.Task`: decorators
and `def` at column 0, four-space indentation, the body is everything after the signature and the docstring.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import textwrap
from dataclasses import dataclass

MAX_BODY_LINES = 24
MAX_CHARS = 1000


@dataclass(frozen=True, slots=True)
class SourceFunction:
    """One correct function.

    text: normalised source, ends in a newline. header_lines: its lines before the body.
    package: where it is from, "grammar" for generated ones. prelude: source to run before it (helpers, a class header).
    calls: expressions that call it, literal arguments only; empty when it cannot be run alone.
    """

    name: str
    text: str
    header_lines: int
    package: str
    calls: tuple[str, ...] = ()
    prelude: str = ""

    @property
    def header(self) -> str:
        return "".join(self.text.splitlines(keepends=True)[: self.header_lines])

    @property
    def body(self) -> str:
        return "".join(self.text.splitlines(keepends=True)[self.header_lines :])


def parse_function(text: str) -> ast.FunctionDef:
    """Return the tree of a module that is exactly one function; raises SyntaxError otherwise."""
    nodes = ast.parse(text).body
    if len(nodes) != 1 or not isinstance(nodes[0], ast.FunctionDef):
        raise SyntaxError("not exactly one function")
    return nodes[0]


def docstring_node(function: ast.FunctionDef) -> ast.Expr | None:
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first
    return None


def header_length(function: ast.FunctionDef) -> int:
    """Return the number of lines before the body; comments above the first statement belong to the body."""
    doc = docstring_node(function)
    if doc is not None:
        return doc.end_lineno or doc.lineno
    signature = [function.lineno, *(d.end_lineno or 0 for d in function.decorator_list)]
    ends = [n.end_lineno for n in ast.walk(function.args) if isinstance(n, ast.expr | ast.arg) and n.end_lineno]
    returns = [function.returns.end_lineno or 0] if function.returns is not None else []
    return max([*signature, *ends, *returns])


def normalise(segment: str, *, keep_docstring: bool = True) -> str | None:
    """Return the function's source in the convention of this module, or None when it does not fit it."""
    text = textwrap.dedent(segment).rstrip() + "\n"
    if "\t" in text or not text.isascii():
        return None
    try:
        function = parse_function(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    doc = docstring_node(function)
    if doc is not None and not keep_docstring:
        if len(function.body) == 1 or (doc.end_lineno or 0) >= function.body[1].lineno:
            return None
        lines = text.splitlines(keepends=True)
        text = "".join(lines[: doc.lineno - 1] + lines[doc.end_lineno :])
        function = parse_function(text)
    return text


def make_function(text: str, package: str, calls: tuple[str, ...] = (), prelude: str = "") -> SourceFunction | None:
    """Return the record of a normalised text, or None when the body is empty, too long, or not plain."""
    try:
        tree = parse_function(text)
    except (SyntaxError, ValueError):
        return None
    length = header_length(tree)
    lines = text.splitlines()
    body = lines[length:]
    if not body or len(body) > MAX_BODY_LINES or len(text) > MAX_CHARS or max(map(len, lines)) > 110:
        return None
    if not body[0].startswith("    ") or body[0].startswith("     "):
        return None
    return SourceFunction(tree.name, text, length, package, calls, prelude)


class _AlphaRenamer(ast.NodeTransformer):
    """Renames every variable, argument and the function itself by order of appearance; drops annotations."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def _rename(self, name: str) -> str:
        return self.names.setdefault(name, f"v{len(self.names)}")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name, node.returns, node.decorator_list = "f", None, []
        if docstring_node(node) is not None and len(node.body) > 1:
            node.body = node.body[1:]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self._rename(node.arg), None
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._rename(node.id)
        return node


def identity(text: str) -> str:
    """Return a hash equal for functions that differ only in names of variables, docstring, layout and comments."""
    tree = _AlphaRenamer().visit(copy.deepcopy(parse_function(text)))
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:20]


def same_code(left: str, right: str) -> bool:
    """True when two function texts have the same syntax tree (layout and comments aside)."""
    try:
        return ast.dump(ast.parse(left)) == ast.dump(ast.parse(right))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False

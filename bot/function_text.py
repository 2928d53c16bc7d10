"""A function as text, read from a file: where it stands, its header, its body, normalised.

Pure functions of bytes and text. A file is read once with its own encoding, newlines and indentation; what leaves this
module is *normalised*: decorators and `def` at column 0, four-space indentation, "\\n" newlines, multi-line strings
untouched. Source is parsed by the Python that runs us; `refusal` tells where that is too old for a repository's syntax.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from bot.logical_lines import BLANK, indent_of, placed, scan, width_of
from bot.syntax import compiled, parsed

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

INDENT = 4
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_NEWLINE = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class FunctionText:
    """A function of a file, and what `splice` needs to write another body into it.

    first_line, end_line: 1-based in the file, decorators included. `text` has the same lines, unless the body stands
    on the header's line (`inline`), which the text puts on a line of its own.
    header_lines: lines of `text` before the first statement after the docstring.
    start, end: byte offsets of the body in the file; `raw` is what stands there.
    """

    qualname: str  # as code.co_qualname
    first_line: int
    end_line: int
    header_lines: int
    text: str
    is_async: bool
    is_generator: bool
    begin: int = field(repr=False)  # byte offset of the first line
    start: int = field(repr=False)
    end: int = field(repr=False)
    raw: bytes = field(repr=False)
    encoding: str = field(repr=False)
    newline: str = field(repr=False)
    def_indent: str = field(repr=False)
    body_indent: str = field(repr=False)
    unit: str = field(repr=False)  # one level more, inside the body
    inline: bool = field(repr=False)

    @property
    def header(self) -> str:
        """Decorators, signature and docstring."""
        return "".join(lines_of(self.text)[: self.header_lines])

    @property
    def body(self) -> str:
        """All lines after the header; "" when there is nothing but a docstring."""
        return "".join(lines_of(self.text)[self.header_lines :])

    @property
    def name(self) -> str:
        return self.qualname.rpartition(".")[2]


# -------------------------------------------------------------------------------------------------------------- finding


def functions_in(source: bytes) -> list[FunctionText]:
    """Return every function of the file that can be spliced, in order of its first line; none if it does not parse."""
    module = _read(source)
    if module is None:
        return []
    found = [_function_text(module, place) for place in module.places]
    return [function for function in found if function is not None]


def find_function(source: bytes, qualname: str, first_line: int) -> FunctionText | None:
    """Return the function whose code object has this name and first line, if it can be spliced."""
    module = _read(source)
    for place in module.places if module else ():
        if place.qualname == qualname and place.first_line == first_line:
            return _function_text(module, place) if module else None
    return None


def refusal(source: bytes, qualname: str, first_line: int) -> str:
    """Return why the function whose code object has this name and first line cannot be rewritten, "" if it can."""
    name = qualname.rpartition(".")[2]
    if name == "<lambda>":
        return "a lambda is an expression: it has no body of statements"
    if name.startswith("<"):
        return "it is part of the code around it"
    module = _read_or_reason(source)
    if isinstance(module, str):
        return module
    place = next((p for p in module.places if (p.qualname, p.first_line) == (qualname, first_line)), None)
    if place is None:
        return "no function of this name begins in this line"
    if _function_text(module, place) is not None:
        return ""
    docstring = ast.get_docstring(place.node, clean=False) is not None
    shared = _cut(module, place.node, place.node.body[1:] if docstring else place.node.body, docstring) is None
    return (
        "its body shares a line with something else" if shared else "it does not read the same with other indentation"
    )


def function_at(source: bytes, line: int) -> FunctionText | None:
    """Return the innermost function around a line (1-based), if it can be spliced."""
    module = _read(source)
    around = [p for p in module.places if p.first_line <= line <= _end(p.node)] if module else []
    if module is None or not around:
        return None
    return _function_text(module, max(around, key=lambda place: (place.first_line, place.node.col_offset)))


# -------------------------------------------------------------------------------------------------------- reading files


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a function stands in the tree."""

    qualname: str
    first_line: int
    node: FunctionNode


@dataclass(frozen=True, slots=True)
class _Module:
    """A file that was read."""

    encoding: str
    lines: tuple[str, ...]  # without newlines
    newlines: tuple[str, ...]
    offsets: tuple[int, ...]  # of each line in bytes, and of the end
    raw: bytes
    places: tuple[_Place, ...]
    unit: str


def _read(source: bytes) -> _Module | None:
    """Return the file as lines and functions, or None if it cannot be decoded or parsed."""
    module = _read_or_reason(source)
    return None if isinstance(module, str) else module


@lru_cache(maxsize=64)
def _read_or_reason(source: bytes) -> _Module | str:
    """Return the file as lines and functions, or why it cannot be decoded or parsed."""
    encoding = _encoding(source)
    raws = byte_lines(source)
    try:
        texts = [raw.decode(codec_of(encoding)) for raw in raws]
        if "".join(texts) != source.decode(codec_of(encoding)):
            return f"its lines cannot be told apart in the encoding {encoding}"
        if texts:
            texts[0] = texts[0].removeprefix("\ufeff")
        tree = parsed("".join(texts))
    except LookupError:
        return f"its encoding {encoding} is not known"
    except UnicodeError as error:
        return f"its file is not {encoding}: {error.reason if isinstance(error, UnicodeDecodeError) else error}"
    except SyntaxError as error:
        version = ".".join(map(str, sys.version_info[:2]))
        return (
            f"Python {version}, which runs egcfg-fix, does not parse its file (line {error.lineno}: {error.msg}); "
            "where the repository's Python is newer, egcfg-fix must run with it too"
        )
    except (ValueError, RecursionError, MemoryError) as error:
        return f"its file cannot be parsed: {error or type(error).__name__}"
    lines = [text.rstrip("\r\n") for text in texts]
    offsets = [0]
    for raw in raws:
        offsets.append(offsets[-1] + len(raw))
    newlines = [text[len(line) :] for text, line in zip(texts, lines, strict=True)]
    unit = next(
        (indent_of(lines[n.body[0].lineno - 1]) for n in tree.body if isinstance(n, _Indented) and _below(n)), ""
    )
    places = sorted(_places(tree), key=lambda place: place.first_line)
    return _Module(encoding, tuple(lines), tuple(newlines), tuple(offsets), source, tuple(places), unit or " " * INDENT)


_Indented = FunctionNode | ast.ClassDef | ast.If | ast.For | ast.With | ast.While | ast.Try


def _below(node: _Indented) -> bool:
    return node.body[0].lineno > node.lineno and node.body[0].col_offset > 0


def _places(node: ast.AST, prefix: str = "", global_names: frozenset[str] = frozenset()) -> Iterator[_Place]:
    """Yield the functions at or under a node. prefix: of the qualified names, as the compiler builds them."""
    if isinstance(node, FunctionNode | ast.ClassDef):
        qualname = node.name if node.name in global_names else prefix + node.name
        if isinstance(node, FunctionNode):
            yield _Place(qualname, _first_line(node), node)
        prefix = f"{qualname}.<locals>." if isinstance(node, FunctionNode) else f"{qualname}."
        global_names = frozenset(name for n in _own_scope(node) if isinstance(n, ast.Global) for name in n.names)
    for block in _BLOCKS:
        for child in getattr(node, block, []):
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                yield from _places(child, prefix, global_names)


def _function_text(module: _Module, place: _Place) -> FunctionText | None:
    """Return the function as text, or None if no body could be spliced into it safely."""
    node = place.node
    end = _end(node)
    lines = list(module.lines[place.first_line - 1 : end])
    docstring = ast.get_docstring(node, clean=False) is not None
    statements = node.body[1:] if docstring else node.body
    cut = _cut(module, node, statements, docstring)
    if cut is None:
        return None
    body_line, start, inline = cut
    normal, indents = _normalised(lines)
    header_lines = body_line - place.first_line
    if inline:
        column = _characters(module.lines[body_line - 1], statements[0].col_offset)
        colon = len(module.lines[body_line - 1][:column].rstrip())
        dropped = len(module.lines[body_line - 1]) - len(normal[header_lines])
        first = " " * INDENT + module.lines[body_line - 1][column:]
        normal[header_lines : header_lines + 1] = [normal[header_lines][: colon - dropped], first]
        header_lines += 1
    text = "".join(f"{line}\n" for line in normal)
    def_indent = indent_of(lines[0]).rpartition("\f")[2]
    body_indent = indents.get(1, def_indent + module.unit)
    deeper = indents.get(2, "")
    unit = deeper[len(body_indent) :] if deeper.startswith(body_indent) else body_indent.removeprefix(def_indent)
    stop = module.offsets[end]
    function = FunctionText(
        qualname=place.qualname,
        first_line=place.first_line,
        end_line=end,
        header_lines=header_lines,
        text=text,
        is_async=isinstance(node, ast.AsyncFunctionDef),
        is_generator=has_yield(node),
        begin=module.offsets[place.first_line - 1],
        start=start,
        end=stop,
        raw=module.raw[start:stop],
        encoding=module.encoding,
        newline=module.newlines[place.first_line - 1] or "\n",
        def_indent=def_indent,
        body_indent=body_indent,
        unit=unit or module.unit,
        inline=inline,
    )
    return function if _faithful(function, node) else None


def _cut(
    module: _Module, node: FunctionNode, statements: list[ast.stmt], docstring: bool
) -> tuple[int, int, bool] | None:
    """Return the body's first line (1-based), its byte offset and whether it stands on the header's line."""
    if not statements:
        alone = not module.lines[node.body[0].lineno - 1][: node.body[0].col_offset].strip()
        return (_end(node) + 1, module.offsets[_end(node)], False) if alone else None
    line = _first_line(statements[0])
    text = module.lines[line - 1]
    before = text[: _characters(text, statements[0].col_offset)]
    if isinstance(statements[0], FunctionNode | ast.ClassDef):
        before = indent_of(text)
    joined = line > 1 and module.lines[line - 2].endswith("\\")
    if not before.strip(BLANK):
        return None if joined else (line, module.offsets[line - 1], False)
    if docstring or joined or not before.rstrip().endswith(":"):
        return None
    mark = 3 if line == 1 and module.raw.startswith(b"\xef\xbb\xbf") else 0
    start = module.offsets[line - 1] + mark + len(before.rstrip().encode(codec_of(module.encoding)))
    return line, start, True


def _faithful(function: FunctionText, node: FunctionNode) -> bool:
    """True if the normalised text is the same function, and its header and body part where they should."""
    if len(function.header.splitlines()) != function.header_lines:  # exotic line ends; other code uses splitlines
        return False
    try:
        tree = parsed(function.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return len(tree.body) == 1 and same_tree(tree.body[0], node)


def has_yield(node: FunctionNode) -> bool:
    """True if the function is a generator."""
    return any(isinstance(child, ast.Yield | ast.YieldFrom) for child in _own_scope(node))


def _own_scope(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes in the body of a function or class, without those of functions, classes and lambdas inside."""
    stack: list[ast.AST] = list(getattr(node, "body", []))
    while stack:
        child = stack.pop()
        yield child
        if not isinstance(child, FunctionNode | ast.ClassDef | ast.Lambda):
            stack.extend(ast.iter_child_nodes(child))


def _first_line(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, FunctionNode | ast.ClassDef) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _characters(line: str, utf8_column: int) -> int:
    """Return the column in characters for the AST's column in UTF-8 bytes."""
    return len(line.encode("utf-8")[:utf8_column].decode("utf-8", "replace"))


def byte_lines(source: bytes) -> list[bytes]:
    """Return the lines with their newlines, cut where the Python tokenizer cuts."""
    lines = []
    start = 0
    for match in _NEWLINE.finditer(source):
        lines.append(source[start : match.end()])
        start = match.end()
    return [*lines, source[start:]] if start < len(source) else lines


def _encoding(source: bytes) -> str:
    try:
        return tokenize.detect_encoding(io.BytesIO(source).readline)[0]
    except SyntaxError:
        return "unknown"


def codec_of(encoding: str) -> str:
    """Return the codec for a part of a file: the byte order mark is handled apart."""
    return "utf-8" if encoding == "utf-8-sig" else encoding


def same_tree(left: object, right: object) -> bool:
    """True if two syntax trees are equal but for positions."""
    if type(left) is not type(right):
        return False
    if isinstance(left, ast.AST):
        return all(same_tree(getattr(left, name, None), getattr(right, name, None)) for name in left._fields)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_tree, left, right))
    return left == right


# ----------------------------------------------------------------------------------------------------------------- text


def compiled_function(text: str) -> tuple[str, FunctionNode | None]:
    """Compile a function's text; return what is wrong with it and its node."""
    try:
        tree = parsed(text)
        node = tree.body[0]
        if len(tree.body) != 1 or not isinstance(node, FunctionNode):
            return "it does not end with the function", None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return str(error), None
    try:
        compiled(tree, "<body>")
    except SyntaxError as error:
        if "nonlocal" not in error.msg:  # its binding is in the enclosing function
            return error.msg, None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return str(error), None
    return "", node


def _normalised(lines: Sequence[str]) -> tuple[list[str], dict[int, str]]:
    """Return a function's lines in four-space indentation, and the file's own indentation of each level."""
    result = list(lines)
    indents: dict[int, str] = {}
    for logical, (level, extra) in placed(scan("".join(f"{line}\n" for line in lines))):
        if logical.kind == "code":
            indents.setdefault(level, logical.indent.rpartition("\f")[2])
        for number in range(logical.first, logical.last + 1):
            if number in logical.in_string:
                continue
            lead = indent_of(lines[number])
            if number == logical.first:
                more = extra
            elif lead.startswith(logical.indent):
                more = len(lead[len(logical.indent) :].expandtabs(INDENT))
            else:
                more = width_of(lead) - width_of(logical.indent)
            text = lines[number][len(lead) :]
            result[number] = " " * max(0, INDENT * level + more) + text if text else ""
    return result, indents


def lines_of(text: str) -> list[str]:
    """Return the lines with their "\\n"; unlike str.splitlines, no other character ends a line."""
    return [f"{line}\n" for line in text.removesuffix("\n").split("\n")] if text else []

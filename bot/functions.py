"""A function as text: find it in a file, complete a half-written body, splice a new body in.

Pure functions of bytes and text. A file is read once with its own encoding, newlines and indentation; what leaves this
module is *normalised*: decorators and `def` at column 0, four-space indentation, "\\n" newlines, multi-line strings
untouched. `splice` goes the other way and proves by parsing that nothing but the body changed. Source is parsed by the
Python that runs us, so a repository with newer syntax than ours shows fewer functions.
"""

from __future__ import annotations

import ast
import difflib
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from bot.logical_lines import BLANK, LogicalLine, indent_of, placed, scan, width_of
from bot.logical_lines import logical_lines as logical_lines  # belongs to what this module offers
from bot.syntax import compiled, parsed
from runners.runner import FRONTIER

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

INDENT = 4
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_NEWLINE = re.compile(rb"\r\n|\n|\r")


class BodyError(ValueError):
    """The body cannot stand in the file: it does not parse, reaches outside the function, or cannot be encoded."""


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
        return "".join(_lines(self.text)[: self.header_lines])

    @property
    def body(self) -> str:
        """All lines after the header; "" when there is nothing but a docstring."""
        return "".join(_lines(self.text)[self.header_lines :])

    @property
    def name(self) -> str:
        return self.qualname.rpartition(".")[2]


# ---------------------------------------------------------------------------------------------------------- finding


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


def function_at(source: bytes, line: int) -> FunctionText | None:
    """Return the innermost function around a line (1-based), if it can be spliced."""
    module = _read(source)
    around = [p for p in module.places if p.first_line <= line <= _end(p.node)] if module else []
    if module is None or not around:
        return None
    return _function_text(module, max(around, key=lambda place: (place.first_line, place.node.col_offset)))


# --------------------------------------------------------------------------------------------------------- splicing


def splice(source: bytes, function: FunctionText, body: str) -> bytes:
    """Return the file with `body` (normalised) in place of the function's body; every other byte survives.

    Lines that the old body has too keep their bytes. Raises BodyError if the file is not the one `function` came
    from, or if the result would not differ in exactly this body.
    """
    if source[function.start : function.end] != function.raw:
        raise BodyError("The file has changed since the function was read.")
    if body == function.body:
        return source
    body = _tidy(body)
    wanted = _parse_function(function, body)
    problem = "The body cannot be written with this file's indentation."
    plain = _reindented(function, body)
    for lines in (_reusing(function, body, plain), plain):
        try:
            raw = _assemble(source, function, lines)
        except UnicodeEncodeError as error:
            lost = error.object[error.start : error.end]
            raise BodyError(f"The file's encoding ({function.encoding}) has no {lost!r}.") from None
        result = source[: function.start] + raw + source[function.end :]
        problem = _difference(function, source[function.begin : function.start] + raw, wanted)
        if not problem:
            return result
    raise BodyError(problem)


def _tidy(body: str) -> str:
    """Return the body with "\\n" newlines and exactly one at its end."""
    body = body.replace("\r\n", "\n")
    if "\r" in body or "\0" in body:
        raise BodyError("The body holds control characters that no source file may hold.")
    lines = body.split("\n")
    while lines and not lines[-1].strip(BLANK):
        lines.pop()
    return "".join(f"{line}\n" for line in lines)


def _parse_function(function: FunctionText, body: str) -> list[ast.stmt]:
    """Return the statements of header + body, which must be one whole function that compiles."""
    if not body and function.body:
        raise BodyError("The body is empty.")
    problem, node = _compiled(function.header + body)
    if node is None:
        raise BodyError(f"The body is not valid Python: {problem}.")
    return node.body


def _compiled(text: str) -> tuple[str, FunctionNode | None]:
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


def _reindented(function: FunctionText, body: str) -> list[str]:
    """Return the body's lines in the file's indentation, without newlines."""
    text = function.header + body
    lines = text.split("\n")[:-1]
    for logical, (level, extra) in placed(scan(text)):
        lead = function.def_indent if level == 0 else function.body_indent + function.unit * (level - 1)
        own = len(logical.indent)
        for number in range(logical.first, logical.last + 1):
            if number not in logical.in_string:
                line = lines[number].lstrip(BLANK)
                shift = extra if number == logical.first else width_of(indent_of(lines[number])) - own
                lines[number] = _shifted(lead, shift) + line if line else ""
    return lines[function.header_lines :]


def _shifted(lead: str, columns: int) -> str:
    """Return the indentation `lead` with more or fewer columns, in tabs if it is made of tabs."""
    if columns < 0:
        tabs = "\t" in lead
        return lead[: max(0, len(lead) - (-columns // INDENT if tabs else -columns))]
    return lead + ("\t" * (columns // INDENT) + " " * (columns % INDENT) if "\t" in lead else " " * columns)


def _reusing(function: FunctionText, body: str, plain: list[str]) -> list[str | bytes]:
    """Return the body's lines: the file's own bytes where the old body has the same line, else the `plain` ones."""
    lines: list[str | bytes] = list(plain)
    if function.inline or not function.raw:
        return lines
    theirs = _byte_lines(function.raw)
    matcher = difflib.SequenceMatcher(None, _lines(function.body), _lines(body), autojunk=False)
    for block in matcher.get_matching_blocks():
        for offset in range(block.size):
            lines[block.b + offset] = theirs[block.a + offset]
    return lines


def _assemble(source: bytes, function: FunctionText, lines: Sequence[str | bytes]) -> bytes:
    """Return the bytes of the new body, with newlines exactly where the file needs them."""
    newline = function.newline.encode("ascii")
    raw = bytearray()
    if lines and (function.inline or (not function.raw and not source[: function.start].endswith((b"\n", b"\r")))):
        raw += newline
    for line in lines:
        part = line if isinstance(line, bytes) else line.encode(_codec(function.encoding))
        raw += part if part.endswith((b"\n", b"\r")) else part + newline
    ended = function.raw.endswith((b"\n", b"\r")) if function.raw else bool(source[function.end :]) or not lines
    if not ended and raw.endswith((b"\n", b"\r")):
        del raw[-1 - raw.endswith(b"\r\n") :]
    return bytes(raw)


def _difference(function: FunctionText, region: bytes, wanted: list[ast.stmt]) -> str:
    """Return why `region`, the bytes of the whole function with its new body, may not stand in the file, or "".

    Parsing the region alone, under a header of its own indentation, is enough and costs no more for a long file: the
    bytes before it are the same, so the tokenizer arrives in the same state; a region that parses as exactly one
    function leaves it outside brackets and strings; any line further out than the function would be a second
    statement, an `else` of our header or an error here.
    """
    text = region.decode(_codec(function.encoding), "replace").removeprefix("\ufeff")
    try:
        body: list[ast.stmt] = parsed(f"if 1:\n{text}" if function.def_indent else text).body
        if function.def_indent and len(body) == 1 and isinstance(body[0], ast.If) and not body[0].orelse:
            body = body[0].body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"The file would not parse with this body: {error}."
    if len(body) != 1 or not isinstance(body[0], FunctionNode) or body[0].name != function.name:
        return "The body reaches outside its function."
    if not _same(body[0].body, wanted):
        return "The body cannot be written with this file's indentation."
    return ""


# ---------------------------------------------------------------------------------------------- half-written bodies


def at_statement_boundary(function: FunctionText, partial_body: str) -> bool:  # noqa: ARG001
    """True where a new statement may begin: after a whole logical line that is neither blank nor a comment.

    The indentation of the next line may already be there. The very start of a body is a boundary.
    """
    text = partial_body.rstrip(" \t")
    if not text:
        return True
    if not text.endswith("\n"):
        return False
    last = scan(text)[-1]
    return last.kind == "code" and last.whole and not last.broken


def complete(function: FunctionText, partial_body: str) -> str | None:
    """Return a body that runs as far as `partial_body` is written and then raises the frontier.

    Whole logical lines are kept as they are; an unfinished line, bracket or string is dropped; an open header gets the
    frontier as its body, an open `try` a handler that re-raises. The frontier stands where the next statement would,
    and once more at the end of the body, so that nothing written half ever looks as if it returned None. Lines from
    the first syntax error on are dropped too; None if nothing is left then.
    """
    logicals = scan(partial_body.replace("\r\n", "\n"))
    text = partial_body.replace("\r\n", "\n")
    hint = -1
    if logicals and not logicals[-1].whole:
        hint = width_of(logicals.pop().indent)
    first = next((n for n, line in enumerate(logicals) if line.kind == "code" and not line.indent), None)
    if first is not None:  # a line at column 0: the body had ended before it
        body = text[: logicals[first].start]
        return body if body.strip() and _compiled(function.header + body)[1] else None
    had_code = any(line.kind == "code" for line in logicals)
    while True:
        kept = _without_decorators(logicals)
        for body in _completions(text[: kept[-1].stop] if kept else "", kept, hint):
            node = _compiled(function.header + body)[1]
            if node is not None:
                return body if has_yield(node) or not function.is_generator else f"{body}{' ' * INDENT}yield\n"
        codes = [n for n, line in enumerate(logicals) if line.kind == "code"]
        if len(codes) < 2 and (had_code or not codes):
            return None
        hint = width_of(logicals[codes[-1]].indent)
        logicals = logicals[: codes[-1]]


@dataclass(frozen=True, slots=True)
class _Block:
    """An open block: its indentation and the keyword and indentation of its header."""

    width: int
    keyword: str
    header_width: int


def _completions(text: str, logicals: Sequence[LogicalLine], hint: int) -> Iterator[str]:
    """Yield bodies to try, the best first. hint: columns where the next statement begins, -1 if unknown."""
    codes = [line for line in logicals if line.kind == "code"]
    blocks = _open_blocks(codes)
    base = blocks[0].width
    if codes and codes[-1].opens_block:
        header = width_of(codes[-1].indent)
        width = hint if hint > header else header + INDENT
        blocks.append(_Block(width, codes[-1].keyword, header))
        places = [width]
    else:
        widths = [block.width for block in blocks]
        places = [hint] if hint in widths else []
        places += [width for width in (widths[-1], base) if width not in places]
    for width in places:
        yield text + _frontier(blocks, width, base)


def _frontier(blocks: Sequence[_Block], width: int, base: int) -> str:
    """Return the lines that end a partial body: handlers for open `try`s, the frontier at `width` and at `base`."""
    raising = f"raise {FRONTIER}()"
    lines: list[tuple[int, str]] = []
    for block in reversed(blocks):
        if block.width > width and block.keyword == "try":
            lines += _handler(block)
    inside = next((block for block in blocks if block.width == width), None)
    if inside is not None and inside.keyword == "match":
        lines += [(width, "case _:"), (width + INDENT, raising)]
    else:
        lines.append((width, raising))
    for block in reversed(blocks):
        if block.width <= width and block.keyword == "try":
            lines += _handler(block)
    if width > base:
        lines.append((base, raising))
    return "".join(f"{' ' * columns}{line}\n" for columns, line in lines)


def _handler(block: _Block) -> list[tuple[int, str]]:
    return [(block.header_width, "except BaseException:"), (block.header_width + INDENT, "raise")]


def _open_blocks(codes: Sequence[LogicalLine]) -> list[_Block]:
    """Return the blocks that are open after these lines, outermost first."""
    blocks = [_Block(width_of(codes[0].indent) if codes else INDENT, "def", 0)]
    previous: LogicalLine | None = None
    for line in codes:
        width = width_of(line.indent)
        while len(blocks) > 1 and width < blocks[-1].width:
            blocks.pop()
        if previous is not None and width > blocks[-1].width:
            blocks.append(_Block(width, previous.keyword, width_of(previous.indent)))
        previous = line
    return blocks


def _without_decorators(logicals: list[LogicalLine]) -> list[LogicalLine]:
    """Return the lines without decorators at the end that decorate nothing yet."""
    end = len(logicals)
    for number in range(len(logicals) - 1, -1, -1):
        if logicals[number].kind == "code":
            if logicals[number].keyword != "@":
                break
            end = number
    return logicals[:end]


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


def _lines(text: str) -> list[str]:
    """Return the lines with their "\\n"; unlike str.splitlines, no other character ends a line."""
    return [f"{line}\n" for line in text.removesuffix("\n").split("\n")] if text else []


# ---------------------------------------------------------------------------------------------------- reading files


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


@lru_cache(maxsize=64)
def _read(source: bytes) -> _Module | None:
    """Return the file as lines and functions, or None if it cannot be decoded or parsed."""
    encoding = _encoding(source)
    raws = _byte_lines(source)
    try:
        texts = [raw.decode(_codec(encoding)) for raw in raws]
        if "".join(texts) != source.decode(_codec(encoding)):
            return None
        if texts:
            texts[0] = texts[0].removeprefix("\ufeff")
        tree = parsed("".join(texts))
    except (SyntaxError, UnicodeError, LookupError, ValueError, RecursionError, MemoryError):
        return None
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
    start = module.offsets[line - 1] + mark + len(before.rstrip().encode(_codec(module.encoding)))
    return line, start, True


def _faithful(function: FunctionText, node: FunctionNode) -> bool:
    """True if the normalised text is the same function, and its header and body part where they should."""
    if len(function.header.splitlines()) != function.header_lines:  # exotic line ends; other code uses splitlines
        return False
    try:
        tree = parsed(function.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return len(tree.body) == 1 and _same(tree.body[0], node)


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


def _byte_lines(source: bytes) -> list[bytes]:
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


def _codec(encoding: str) -> str:
    """Return the codec for a part of a file: the byte order mark is handled apart."""
    return "utf-8" if encoding == "utf-8-sig" else encoding


def _same(left: object, right: object) -> bool:
    """True if two syntax trees are equal but for positions."""
    if type(left) is not type(right):
        return False
    if isinstance(left, ast.AST):
        return all(_same(getattr(left, name, None), getattr(right, name, None)) for name in left._fields)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return left == right

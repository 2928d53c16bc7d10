"""Puts a new body into a function of a file: every byte outside the body survives, which is proven by parsing.

The body is written with the file's own indentation, newlines and encoding; lines that the old body has too keep their
bytes.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence

from bot.function_text import (
    INDENT,
    FunctionNode,
    FunctionText,
    byte_lines,
    codec_of,
    compiled_function,
    lines_of,
    same_tree,
)
from bot.logical_lines import BLANK, indent_of, placed, scan, width_of
from bot.syntax import parsed


class BodyError(ValueError):
    """The body cannot stand in the file: it does not parse, reaches outside the function, or cannot be encoded."""


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
    problem, node = compiled_function(function.header + body)
    if node is None:
        raise BodyError(f"The body is not valid Python: {problem}.")
    return node.body


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
    theirs = byte_lines(function.raw)
    matcher = difflib.SequenceMatcher(None, lines_of(function.body), lines_of(body), autojunk=False)
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
        part = line if isinstance(line, bytes) else line.encode(codec_of(function.encoding))
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
    text = region.decode(codec_of(function.encoding), "replace").removeprefix("\ufeff")
    try:
        body: list[ast.stmt] = parsed(f"if 1:\n{text}" if function.def_indent else text).body
        if function.def_indent and len(body) == 1 and isinstance(body[0], ast.If) and not body[0].orelse:
            body = body[0].body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"The file would not parse with this body: {error}."
    if len(body) != 1 or not isinstance(body[0], FunctionNode) or body[0].name != function.name:
        return "The body reaches outside its function."
    if not same_tree(body[0].body, wanted):
        return "The body cannot be written with this file's indentation."
    return ""

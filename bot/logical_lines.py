"""Where the statements of a text begin and end, for text that need not be valid Python: a half-written body.

A small scanner of strings, brackets, comments and newlines, fast enough to be asked at every token. `bot.functions`
decides what the lines mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.format_strings import format_string_end

BLANK = " \t\f"
_TOKEN = re.compile(
    r'''(?P<string>"""[^\\"]*(?:(?:\\.|"(?!""))[^\\"]*)*"""|\'\'\'[^\\']*(?:(?:\\.|'(?!''))[^\\']*)*\'\'\'
        |"(?!"")[^\\"\n]*(?:\\.[^\\"\n]*)*"|'(?!'')[^\\'\n]*(?:\\.[^\\'\n]*)*')
    |(?P<open_triple>"""|\'\'\')|(?P<open_quote>["'][^\n]*)|(?P<comment>\#[^\n]*)
    |(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<join>\\\n)|(?P<newline>\n)''',
    re.VERBOSE | re.DOTALL,
)


_STRINGS = frozenset({"string", "open_triple", "open_quote"})


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """A logical line of a text, or a blank or comment line.

    first, last: physical lines, 0-based. start, stop: offsets in the text, the newline included.
    whole: ends with its newline, outside brackets and strings. broken: holds a string cut by the end of a line.
    in_string: physical lines that begin inside a string.
    """

    kind: Literal["code", "comment", "blank"]
    first: int
    last: int
    start: int
    stop: int
    indent: str
    keyword: str  # first word, or "@"
    whole: bool
    broken: bool
    opens_block: bool
    in_string: frozenset[int]


def scan(text: str) -> list[LogicalLine]:
    """Return the logical lines of a text, which need not be valid Python. An unfinished one comes last."""
    found: list[LogicalLine] = []
    start = line = first = depth = 0
    comment = -1
    broken = False
    in_string: set[int] = set()

    def close(stop: int, last: int, whole: bool) -> None:
        nonlocal start, first, depth, comment, broken
        code = text[start : comment if comment >= 0 else stop]
        found.append(_logical(text[start:stop], code, first, last, start, whole, broken, frozenset(in_string)))
        start, first, depth, comment, broken = stop, last + 1, 0, -1, False
        in_string.clear()

    position = 0
    while (token := _TOKEN.search(text, position)) is not None:
        kind, position = token.lastgroup, token.end()
        end = format_string_end(text, token.start()) if kind in _STRINGS else 0
        if end > 0:
            kind, position = "string", end
        broken = broken or (end < 0 and kind == "string")
        if kind == "newline":
            if depth == 0:
                close(token.end(), line, True)
            else:
                comment = -1
            line += 1
        elif kind == "string":
            newlines = text.count("\n", token.start(), position)
            in_string.update(range(line + 1, line + newlines + 1))
            line += newlines
        elif kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(0, depth - 1)
        elif kind == "join":
            line += 1
        elif kind == "comment":
            comment = token.start()
        elif kind == "open_quote":
            broken = True
        elif kind == "open_triple":
            newlines = text.count("\n", token.end())
            in_string.update(range(line + 1, line + newlines + 1))
            close(len(text), line + newlines - text.endswith("\n"), False)
            return found
    if start < len(text):
        close(len(text), line - text.endswith("\n"), False)
    return found


def _logical(
    line: str, code: str, first: int, last: int, start: int, whole: bool, broken: bool, in_string: frozenset[int]
) -> LogicalLine:
    indent = indent_of(line)
    words = code.strip()
    kind: Literal["code", "comment", "blank"] = "code" if words else "comment" if line.strip() else "blank"
    keyword = "@" if words.startswith("@") else (re.match(r"\w*", words.removeprefix("async ").lstrip()) or [""])[0]
    return LogicalLine(
        kind, first, last, start, start + len(line), indent, keyword, whole, broken, words.endswith(":"), in_string
    )


def placed(logicals: Sequence[LogicalLine]) -> Iterator[tuple[LogicalLine, tuple[int, int]]]:
    """Yield each logical line with its nesting level and the columns its first line has beyond that level."""
    stack: list[int] = []
    for number, line in enumerate(logicals):
        width = width_of(line.indent)
        if line.kind == "code":
            while stack and width < stack[-1]:
                stack.pop()
            if not stack or width > stack[-1]:
                stack.append(width)
            yield line, (len(stack) - 1, 0)
        else:
            following = next((width_of(n.indent) for n in logicals[number:] if n.kind == "code"), -1)
            levels = [*stack, following] if stack and following > stack[-1] else stack
            level = max((n for n, at in enumerate(levels) if at <= width), default=0)
            yield line, (level, max(0, width - levels[level]) if levels else 0)


def logical_lines(text: str) -> list[str]:
    """Return the text cut after each statement line; blank and comment lines go with the line that follows them."""
    parts: list[str] = []
    start = 0
    for logical in scan(text):
        if logical.kind == "code" and logical.whole:
            parts.append(text[start : logical.stop])
            start = logical.stop
    return [*parts, text[start:]] if start < len(text) else parts


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip(BLANK))]


def width_of(indent: str) -> int:
    """Return the columns of an indentation as the Python tokenizer counts them."""
    return len(indent.rpartition("\f")[2].expandtabs(8))

"""A half-written body, made to run as far as it is written.

Decides where a statement may begin, and how open constructs are completed; nothing is dropped that could be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.function_text import INDENT, FunctionText, compiled_function, has_yield
from bot.logical_lines import LogicalLine, scan, width_of
from runners.runner import FRONTIER


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
        return body if body.strip() and compiled_function(function.header + body)[1] else None
    had_code = any(line.kind == "code" for line in logicals)
    while True:
        kept = _without_decorators(logicals)
        for body in _completions(text[: kept[-1].stop] if kept else "", kept, hint):
            node = compiled_function(function.header + body)[1]
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

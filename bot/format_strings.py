"""Where an f-string or t-string ends: since Python 3.12 its fields may hold its own quotes, comments and newlines.

Pure text, which need not be valid Python. Source: PEP 701, PEP 750.
"""

from __future__ import annotations

import re

DEEPEST = 40  # strings in fields of strings that are followed
_PREFIX = re.compile(r"(?<![\w])(?:[fFtT][rR]?|[rR][fFtT])$")
_ANY_PREFIX = 3  # characters before the quotes that are looked at


def format_string_end(text: str, quote: int) -> int:
    """Return the offset behind the string whose quotes begin at `quote`: 0 if it has no fields, -1 if unfinished."""
    return _literal_end(text, quote, 0) if _has_fields(text, quote) else 0


def _has_fields(text: str, quote: int) -> bool:
    return _PREFIX.search(text, max(0, quote - _ANY_PREFIX), quote) is not None


def _literal_end(text: str, start: int, depth: int) -> int:
    """Return the offset behind a string with fields, -1 if it does not end."""
    triple = text[start : start + 3] in ('"""', "'''")
    quotes = text[start : start + 3] if triple else text[start]
    at = start + len(quotes)
    while 0 <= at < len(text):
        if text.startswith(quotes, at):
            return at + len(quotes)
        if text.startswith("\\N{", at):
            at = text.find("}", at) + 1 or -1
        elif text[at] == "\\":
            at += 2
        elif text[at] == "\n" and not triple:
            return -1
        elif text.startswith("{{", at):
            at += 2
        elif text[at] == "{":
            at = _field_end(text, at + 1, quotes, depth)
        else:
            at += 1
    return -1


def _field_end(text: str, at: int, quotes: str, depth: int) -> int:
    """Return the offset behind the field whose expression begins at `at`, -1 if it does not end."""
    brackets = 0
    while 0 <= at < len(text):
        sign = text[at]
        if sign in "\"'":
            at = _string_end(text, at, depth + 1)
            continue
        if sign == "#":
            at = text.find("\n", at)
            continue
        if sign == "}" and not brackets:
            return at + 1
        if sign == ":" and not brackets:
            return _format_end(text, at + 1, quotes, depth)
        brackets += (sign in "([{") - (sign in ")]}")
        at += 1
    return -1


def _format_end(text: str, at: int, quotes: str, depth: int) -> int:
    """Return the offset behind a field whose format begins at `at`; the format may hold fields too."""
    while 0 <= at < len(text):
        if text[at] == "}":
            return at + 1
        if text.startswith(quotes, at) or (text[at] == "\n" and len(quotes) == 1):
            return -1
        at = _field_end(text, at + 1, quotes, depth + 1) if text[at] == "{" and depth < DEEPEST else at + 1
    return -1


def _string_end(text: str, start: int, depth: int) -> int:
    """Return the offset behind a string inside a field, -1 if it does not end."""
    if depth > DEEPEST:
        return -1
    if _has_fields(text, start):
        return _literal_end(text, start, depth)
    triple = text[start : start + 3] in ('"""', "'''")
    quotes = text[start : start + 3] if triple else text[start]
    at = start + len(quotes)
    while at < len(text):
        if text.startswith(quotes, at):
            return at + len(quotes)
        if text[at] == "\n" and not triple:
            return -1
        at += 2 if text[at] == "\\" else 1
    return -1

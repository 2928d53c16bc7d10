"""A body that a model is writing, as text: how far it is, where it ends, and what it is when it passes.

Text alone: nothing is run, and no model is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.decoding.prompt import Prompt
from bot.functions import FunctionText, at_statement_boundary
from bot.logical_lines import logical_lines
from bot.records import Origin


@dataclass(frozen=True, slots=True)
class Found:
    """A whole body that passes the guiding tests."""

    body: str
    origin: Origin
    setting: str


def statements(function: FunctionText, text: str) -> int:
    """Return how many whole logical lines, blank and comment lines aside, a half-written body has."""
    text = text.rstrip(" \t")
    parts = logical_lines(text)
    return len(parts) if not parts or at_statement_boundary(function, text) else len(parts) - 1


def finished(prompt: Prompt, text: str) -> str | None:
    """Return the body when `text` goes beyond it, to the end string or to code in column 0; else None."""
    end = text.find(prompt.end)
    if end >= 0:
        return text[:end]
    start = 0
    for part in logical_lines(text):
        code = next((line for line in part.splitlines() if line.strip() and not line.lstrip().startswith("#")), "")
        if code and not code[0].isspace():
            return text[:start]
        start += len(part)
    return None


def tidy(body: str) -> str:
    """Return the body without blank lines around it and with one newline at its end."""
    lines = body.rstrip().splitlines()
    while lines and not lines[0].strip():
        del lines[0]
    return "".join(f"{line}\n" for line in lines)

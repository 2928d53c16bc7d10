"""Untrusted text made harmless: for a terminal, and for Markdown as GitHub shows it. Pure."""

from __future__ import annotations

import re

UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """Return `text` with control, direction-changing and invisible characters as escapes; line ends become newlines."""
    text = text.replace("\r\n", "\n")
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def code(text: object) -> str:
    """Return `text` as a Markdown code span, also inside a table; mentions and links in it do nothing."""
    shown = printable(str(text)).replace("\n", " ").replace("|", "\\|")
    fence_ = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    return f"{fence_}{space}{shown}{space}{fence_}"


def words(text: object) -> str:
    """Return `text` as plain words: nothing in it is markup, a mention or a reference."""
    shown = re.sub(r"([\\`*_\[\]<>|~#!&])", r"\\\1", " ".join(printable(str(text)).split()))
    shown = re.sub(r"(?i)\b(www)\.", "\\1\N{ZERO WIDTH SPACE}.", shown)  # GitHub links it without a scheme
    return shown.replace("@", "@\N{ZERO WIDTH SPACE}").replace("://", ":\N{ZERO WIDTH SPACE}//")


def fence(text: str, language: str = "") -> str:
    """Return `text` as a fenced block that nothing in it can close."""
    shown = printable(text).rstrip("\n")
    marks = "`" * max(3, max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    return f"{marks}{language}\n{shown}\n{marks}"


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`, and a mark where it was cut."""
    return text if len(text) <= limit else f"{text[:limit]}... [cut, {len(text) - limit} more characters]"

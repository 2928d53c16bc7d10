"""A run as Markdown and HTML: the values that the templates of bot/templates show, and their filters.

Pure functions: records in, text out. Everything that comes from the repository, its tests or the model is untrusted:
control characters are made visible, and it is shown only where Markdown and HTML do not interpret it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot import __version__
from bot.execution_log import attempts, log
from bot.journal import masked_urls
from bot.markup import code, cut, fence, printable, words
from bot.patch_file import STALE
from bot.wording import WORDS, headline, meaning, message_of, where

if TYPE_CHECKING:
    from jinja2 import Environment

    from bot.pipeline import Outcome

DIFF_LIMIT = 60_000  # characters of one diff in Markdown; the patch file is never cut
MESSAGE_LIMIT = 2_000  # characters of one failure's message


@dataclass(frozen=True, slots=True)
class Run:
    """What a report tells beside the outcome: where the run's files are, and how to do it again."""

    folder: str = ""
    command: str = ""  # as a shell would read it
    commit: str = ""
    dirty: tuple[str, ...] = ()
    written: Mapping[str, str] = field(default_factory=dict)  # "patch", "report", "branch", ... -> where
    records: Sequence[Mapping[str, Any]] = ()  # of the journal


def markdown(outcome: Outcome, run: Run) -> str:
    """Return report.md."""
    text = _templates().get_template("report.md.jinja").render(**_values(outcome, run))
    return text.strip() + "\n"


def html(outcome: Outcome, run: Run) -> str:
    """Return report.html: self-contained, without scripts, with every attempt line by line."""
    values = {**_values(outcome, run), "attempts": attempts(run.records)}
    return _templates().get_template("report.html.jinja").render(**values).strip() + "\n"


def _values(outcome: Outcome, run: Run) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "discovery": outcome.discovery,
        "run": run,
        "headline": headline(outcome),
        "words": WORDS,
        "stale": STALE,
        "tests_changed": any(repair.patch and repair.patch.subject == "tests" for repair in outcome.repairs),
        "published": [repair for repair in outcome.repairs if repair.published],
        "doubtful": [repair for repair in outcome.repairs if repair.patch and not repair.published],
        "unrepaired": [repair for repair in outcome.repairs if not repair.patch],
        "log": log(run.records),
        "version": __version__,
    }


@cache
def _templates() -> Environment:
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: name is not None and ".html" in name,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "code": code,
        "words": words,
        "fence": fence,
        "printable": lambda text: printable(str(text)),
        "masked": lambda text: masked_urls(str(text)),
        "where": where,
        "cut": cut,
        "limit_diff": lambda text: cut(text, DIFF_LIMIT),
        "message": lambda failure: cut(message_of(failure), MESSAGE_LIMIT),
        "meaning": meaning,
        "short": lambda text: cut(" ".join(text.split()), 160),
    }
    return environment

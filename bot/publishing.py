"""One call of `egcfg-fix publish`: takes the token out of the environment, reads the bundle, says what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot import bundle
from bot.commits import Writer
from bot.config import Publishing
from bot.errors import BundleError, ConfigError
from bot.planned import UNPUBLISHED, Change, Published, planned
from bot.publish import publish
from bot.records import to_json

TOKENS = ("GH_TOKEN", "GITHUB_TOKEN")
RESULT = "published.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class PublishOutcome:
    """What came of it, for people and for programs."""

    results: tuple[Published, ...]
    lines: tuple[str, ...]
    repository: str

    @property
    def all_published(self) -> bool:
        return not any(result.operation in UNPUBLISHED for result in self.results)

    @property
    def document(self) -> dict[str, Any]:
        results = [to_json(result) for result in self.results]
        return {"schema": SCHEMA, "command": "publish", "repository": self.repository, "published": results}


def take_token(environment: MutableMapping[str, str]) -> str:
    """Return the token and remove it from the environment, so that no program started later inherits it."""
    found = [environment.pop(name, "").strip() for name in TOKENS]
    return next(filter(None, found), "")


def run(
    folder: Path, settings: Publishing, token: str, tell: Callable[[str], None], *, dry_run: bool = False
) -> PublishOutcome:
    """Publish the bundle in `folder`. dry_run: only check it; no token is needed.

    Raises BundleError, ConfigError and PublishError. What was done before stays done, and is in published.json.
    """
    content = bundle.read(folder)
    repository = _repository(content, settings)
    if dry_run:
        changes, refused = planned(content, settings)
        lines = [*(_would(change) for change in changes), *map(_line, refused)]
        return PublishOutcome(tuple(refused), tuple(lines or ["There is nothing to publish."]), repository)
    if not token:
        raise ConfigError("There is no token.", hint=f"Set {' or '.join(TOKENS)} for this command alone.")
    done: list[Published] = []

    def emit(event: str, **fields: Any) -> None:
        if event == "published":
            done.append(fields["result"])
            tell(_line(fields["result"]))
        elif event == "note":
            tell(str(fields.get("text", "")))

    try:
        with _writer(token, repository, settings) as writer:
            results = publish(content, settings, _github(token, repository, settings), emit, writer)
    finally:
        _remember(folder, PublishOutcome(tuple(done), (), repository))
    return PublishOutcome(tuple(results), _summary(results), repository)


def _repository(content: bundle.Bundle, settings: Publishing) -> str:
    """Return where to publish: never a place that only the bundle names, unless it is the one we are asked for."""
    named = content.source.repository
    if not settings.repository:
        raise ConfigError("No repository is named.", hint=f"Give --repository {named or 'OWNER/NAME'}.")
    if named and named.lower() != settings.repository.lower():
        raise BundleError(
            f"The bundle is of {named}, not of {settings.repository}.", hint="A bundle is published where it was made."
        )
    return settings.repository


def _github(token: str, repository: str, settings: Publishing) -> Any:
    from bot.github import GitHub

    return GitHub(token, repository, api_url=settings.api_url)


@contextmanager
def _writer(token: str, repository: str, settings: Publishing) -> Iterator[Writer | None]:
    """Yield what makes the commits, when that is not the API."""
    if settings.transport == "api":
        yield None
        return
    from bot.remote import Remote

    with Remote.opened(token, f"{settings.server_url.rstrip('/')}/{repository}.git") as remote:
        yield remote


def _remember(folder: Path, outcome: PublishOutcome) -> None:
    """Leave the result beside the bundle; a folder that cannot be written is no failure."""
    with suppress(OSError):
        (folder / RESULT).write_text(json.dumps(outcome.document, indent=1) + "\n", encoding="utf-8")


def _would(change: Change) -> str:
    return f"would publish: {change.title} ({', '.join(one.path for one in change.files)})"


def _summary(results: Sequence[Published]) -> tuple[str, ...]:
    return tuple(_line(result) for result in results) or ("There is nothing to publish.",)


def _line(result: Published) -> str:
    where = f" #{result.number} {result.url}" if result.number else f" {result.branch}" if result.commit else ""
    why = f" ({result.reason})" if result.reason else ""
    notes = "".join(f"\n  warning: {warning}" for warning in result.warnings)
    return f"{result.operation}:{where} {result.title}{why}{notes}"

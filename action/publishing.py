"""The half of the action that holds a token: what only the API knows, and the publishing of a bundle.

It runs no code of the repository and has no checkout. What it publishes comes from another job and is untrusted:
`bot.publishing` checks every patch again, and here it is checked that the bundle is about what this event is about.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TextIO

from action.annotations import Annotation, append, group
from action.events import CHOSEN_BRANCH, Head, Skip
from action.inputs import given, publishing_flags, switch
from action.subject import Subject
from bot import bundle
from bot.config import Publishing
from bot.errors import EXIT_NOT_REPAIRED, EXIT_OK, BundleError, ConfigError
from bot.markup import printable, words
from bot.planned import UNPUBLISHED, Published
from bot.precedence import load_publishing
from bot.publishing import run

TOKEN = "INPUT_TOKEN"
MOST_RUNS = 256  # the jobs of a matrix


def take_token(environment: MutableMapping[str, str], stream: TextIO) -> str:
    """Return the token and take it out of the environment, after the runner was told never to show it."""
    token = environment.pop(TOKEN, "").strip()
    if token and token.isprintable():
        print(f"::add-mask::{token}", file=stream, flush=True)
    return token


class Api:
    """What only GitHub's API knows; an `events.Ask`. Errors are PublishErrors that say what is missing."""

    def __init__(self, token: str, environment: Mapping[str, str]) -> None:
        from bot.github import GitHub

        settings = load_publishing({}, environment)
        self._github = GitHub(token, settings.repository, api_url=settings.api_url)

    def permission(self, login: str) -> str:
        """Return the role of a user in the repository, as the API has it: hidden members of an organisation too."""
        return self._github.permission(login)

    def head(self, number: int) -> Head:
        """Return the head of a pull request."""
        found = self._github.pull_request(number)
        return Head(found.head, found.branch, found.head_repository or None, found.base, found.state)


def publish(
    environment: MutableMapping[str, str],
    stream: TextIO,
    say: Callable[[Annotation], None],
    put: Callable[[Mapping[str, str]], None],
    found: Subject,
) -> int:
    """Publish the runs that lie at the input `run`; return 0 when all of them were."""
    token, dry_run = take_token(environment, stream), switch(environment, "dry-run")
    if not token and not dry_run:
        raise ConfigError("There is no token to publish with.", hint="Give this job `permissions: contents: write`.")
    if found.fork:
        raise Skip(
            f"The code is {found.head or 'a deleted fork'}'s, where this token may not push.",
            hint="The patch is in the artifact of the run, for the author to take.",
        )
    settings = load_publishing(publishing_flags(environment), environment)
    folders = list(runs(environment))
    if not folders:
        raise Skip("There is no run to publish: nothing was repaired, or nothing failed.")
    results: list[Published] = []

    def tell(text: str) -> None:
        print(_quiet(text), file=stream, flush=True)

    for folder in folders:
        _belongs(folder, found, settings)
        with group(stream, f"egcfg-fix publish {printable(folder.name)}"):
            outcome = run(folder, settings, token, tell, dry_run=dry_run)
            for line in outcome.lines if dry_run else ():
                tell(line)
        results += outcome.results
    for one in results:
        _tell(one, say)
    nothing = "Nothing was published: a dry run.\n" if dry_run else "There was nothing to publish.\n"
    lines = "".join(f"- {words(_line(one))}\n" for one in results) or nothing
    append(environment, "GITHUB_STEP_SUMMARY", f"### egcfg-fix: pull requests\n\n{lines}")
    put(outputs(results))
    return EXIT_NOT_REPAIRED if any(one.operation in UNPUBLISHED for one in results) else EXIT_OK


def runs(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders of runs at the input `run`: that folder itself, or those below it, as artifacts arrive."""
    top = Path(environment.get("GITHUB_WORKSPACE") or ".", given(environment, "run"))
    if (top / bundle.FILE).is_file():
        yield top
        return
    below = sorted(path.parent for depth in ("*", "*/*", "*/*/*") for path in top.glob(f"{depth}/{bundle.FILE}"))
    if len(below) > MOST_RUNS:
        raise BundleError(f"There are {len(below)} runs in {top}.", hint=f"At most {MOST_RUNS} are published at once.")
    yield from below


def _belongs(folder: Path, found: Subject, settings: Publishing) -> None:
    """Refuse a bundle that is not about what the event is about: another job wrote it, next to untrusted code."""
    source = bundle.read(folder).source
    told = {"commit": source.commit, "branch": source.branch, "pull request": source.pull_request}
    known = {"commit": found.commit, "branch": found.branch, "pull request": found.pull_request}
    if found.event in CHOSEN_BRANCH and settings.base and source.branch == settings.base:
        return  # such a job may check out any branch, and says which
    for name, value in known.items():
        if told[name] != value:
            raise BundleError(
                f"The bundle is about the {name} {str(told[name])[:60]!r}, this event about {str(value)[:60]!r}.",
                hint="Publish in the workflow run that repaired; for a schedule of another branch, give `base`.",
            )


def outputs(results: list[Published]) -> dict[str, str]:
    """Return the outputs: the first pull request that something happened to, and all of them as JSON."""
    first = next((one for one in results if one.number), None)
    listed = [
        {"operation": one.operation, "number": one.number, "url": one.url, "branch": one.branch, "title": one.title}
        for one in results
    ]
    return {
        "pull-request-number": str(first.number) if first else "",
        "pull-request-url": first.url if first else "",
        "pull-request-operation": first.operation if first else "none",
        "pull-requests": json.dumps(listed),
    }


def _tell(one: Published, say: Callable[[Annotation], None]) -> None:
    level = "warning" if one.operation in UNPUBLISHED or one.warnings else "notice"
    text = "\n".join([_line(one), *one.warnings])
    say(Annotation("warning" if level == "warning" else "notice", "egcfg-fix publish", text))


def _line(one: Published) -> str:
    place = f" #{one.number} {one.url}" if one.number else ""
    return f"{one.operation}:{place} {one.title}{f' ({one.reason})' if one.reason else ''}"


def _quiet(text: str) -> str:
    """Return text for the log in which no line can be a command of the runner."""
    return "\n".join(f"  {line}" if line.strip() else "" for line in printable(text).replace("::", ": :").split("\n"))

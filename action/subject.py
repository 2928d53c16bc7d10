"""What an event comes to, and how its untrusted JSON is read: field by field, each checked before it is used."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from bot.errors import EventError

PAYLOAD_LIMIT = 32 << 20  # bytes; GitHub caps payloads at 25 MB

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9._-]{1,100}")
BRANCH = re.compile(r"(?!/|-|.*(?:\.\.|//|@\{|\.lock(?:/|$)))[^\x00-\x20\x7f\ud800-\udfff~^:?*\[\\]{1,244}(?<![/.])")
LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")  # GHES and managed users have underscores


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be repaired."""

    event: str
    repository: str  # "owner/name" of the base
    commit: str  # to be checked out and repaired
    branch: str = ""  # on which it stands, in `head`
    pull_request: int = 0  # whose head it is, or 0
    base: str = ""  # branch that the pull request is to be merged into
    head: str = ""  # "owner/name" of the repository that has the branch
    untrusted: bool = False  # the code comes from a pull request

    @property
    def fork(self) -> bool:
        """True when the code comes from another repository."""
        return self.head.lower() != self.repository.lower()


def to_text(found: Subject) -> str:
    """Return `found` as one line, for an output of the job that asked the API."""
    return json.dumps(asdict(found), separators=(",", ":"))


def from_text(text: str, repository: str) -> Subject:
    """Return the Subject of `to_text`. Raises EventError unless it is one, of this repository."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    names = {field.name for field in fields(Subject)}
    if not isinstance(given, dict) or set(given) != names or not isinstance(given["untrusted"], bool):
        raise EventError("subject: this is not what the gate put out.", hint="Hand its output `subject` over whole.")
    found = Subject(
        matched(given["event"], re.compile(r"[a-z_]{1,40}"), "subject.event"),
        matched(given["repository"], REPOSITORY, "subject.repository"),
        matched(given["commit"], COMMIT, "subject.commit"),
        branch_name(given["branch"], "subject.branch"),
        number(given["pull_request"], "subject.pull_request", low=0),
        branch_name(given["base"], "subject.base") if given["base"] else "",
        matched(given["head"], REPOSITORY, "subject.head") if given["head"] else "",
        given["untrusted"],
    )
    if found.repository != repository:
        raise EventError(f"subject: it is about {found.repository}.", hint=f"This job is {repository}'s.")
    return found


def parse(data: bytes) -> Mapping[str, Any]:
    """Return the payload; raises EventError unless it is a JSON object of a usual size."""
    if len(data) > PAYLOAD_LIMIT:
        raise EventError("The event's payload is larger than GitHub sends.", hint="Look at GITHUB_EVENT_PATH.")
    try:
        payload = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        raise EventError("The event's payload is not JSON.", hint="Look at GITHUB_EVENT_PATH.") from None
    if not isinstance(payload, dict):
        raise EventError("The event's payload is not a JSON object.", hint="Look at GITHUB_EVENT_PATH.")
    return payload


# One field


def part(payload: Mapping[str, Any], key: str, default: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    value = payload.get(key)
    if isinstance(value, dict):
        return value
    if value is None and default is not None:
        return default
    raise malformed(key)


def text(payload: Mapping[str, Any], key: str) -> str:
    value = payload.get(key)
    if not isinstance(value, str) or len(value) > 1000:
        raise malformed(key)
    return value


def matched(value: object, pattern: re.Pattern[str], where: str) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise malformed(where)
    return value


def branch_name(value: object, where: str) -> str:
    return matched(value, BRANCH, where)


def number(value: object, where: str, *, low: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 1 << 53:
        raise malformed(where)
    return value


def full_name(repository: object, where: str) -> str:
    """Return "owner/name", or "" of a repository that is gone."""
    if repository is None:
        return ""
    return matched(repository.get("full_name") if isinstance(repository, dict) else None, REPOSITORY, where)


def malformed(where: str) -> EventError:
    return EventError(
        f"The event's payload is not as GitHub documents it: {where}.",
        hint="If GitHub sent it like that, please report it with the event's name.",
    )

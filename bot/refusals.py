"""What GitHub's refusals mean: which to wait out, and for the others what a person can do about it.

Pure: status, headers and message in, a decision out. Sources: docs.github.com, "Best practices for using the REST
API", "Rate limits for the REST API", "Troubleshooting the REST API", and messages seen in practice.
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass

SECONDARY_WAIT_S = 60.0  # when a secondary limit is met and nothing says for how long
BACKOFF_S = 1.0  # before the second try after a server error; doubles

PERMISSIONS = (  # part of a path -> what writing there needs
    ("/git/", "contents: write"),
    ("/pulls", "pull-requests: write"),
    ("/issues", "issues: write or pull-requests: write"),
    ("/labels", "issues: write or pull-requests: write"),
    ("/actions/workflows", "actions: write"),
    ("/collaborators", "metadata: read"),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with an error status."""

    verb: str
    path: str
    status: int
    message: str  # GitHub's own words, those of `errors` included
    headers: Mapping[str, str]  # names in lower case


def waiting_s(reply: Reply, attempt: int, now_s: float) -> float | None:
    """Return how long to wait before the same request is sent again, or None when that would not help.

    attempt: 1 for the first answer. now_s: seconds since 1970.
    """
    headers = reply.headers
    if reply.status in (403, 429):
        limited = reply.status == 429 or "rate limit" in reply.message.lower() or "abuse" in reply.message.lower()
        if "retry-after" in headers:
            return _retry_after(headers["retry-after"], now_s)
        if headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdigit():
            return max(1.0, float(headers["x-ratelimit-reset"]) - now_s + 1)
        return SECONDARY_WAIT_S * 2 ** (attempt - 1) if limited else None
    if reply.status >= 500 or reply.status == 408:
        return (
            _retry_after(headers["retry-after"], now_s) if "retry-after" in headers else BACKOFF_S * 2 ** (attempt - 1)
        )
    return None


def _retry_after(value: str, now_s: float) -> float:
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now_s)
    except (TypeError, ValueError):
        return SECONDARY_WAIT_S


def meaning(reply: Reply) -> tuple[str, str]:
    """Return (message, hint) for people, for an answer that ends the matter."""
    said, place = reply.message, f"{reply.verb} {reply.path}"
    low = said.lower()
    if reply.status == 401:
        return "GitHub does not accept the token.", "Give a token that is valid on this server; it may have expired."
    if reply.status == 403:
        return _forbidden(reply, low, place)
    if reply.status == 404:
        return (
            f"GitHub has no {place}, or the token may not see it.",
            "Check --repository, and that the token covers this repository.",
        )
    if reply.status == 410:
        return f"GitHub refused {place}: {said}", "Issues or pull requests are switched off in this repository."
    if reply.status in (408, 429) or reply.status >= 500:
        return (
            f"GitHub could not answer {place} ({reply.status}: {said}).",
            "Run egcfg-fix publish with the same folder later; it goes on where it stopped.",
        )
    return f"GitHub refused {place} ({reply.status}): {said}", _unprocessable(low)


def _forbidden(reply: Reply, low: str, place: str) -> tuple[str, str]:
    if "rate limit" in low or "abuse" in low:
        return (
            f"GitHub's rate limit is used up: {reply.message}",
            "Run egcfg-fix publish with the same folder later; it goes on where it stopped.",
        )
    if "not permitted to create or approve pull requests" in low:
        return (
            "This repository does not let GitHub Actions create pull requests.",
            "Settings > Actions > General > Workflow permissions: allow it, or give a token of an app or a person.",
        )
    if "x-github-sso" in reply.headers or "saml" in low:
        return "The organisation asks for single sign-on.", "Authorise the token for it: " + reply.headers.get(
            "x-github-sso", "Settings > Developer settings > Tokens > Configure SSO."
        )
    if "archived" in low or "read-only" in low:
        return f"The repository is read-only: {reply.message}", "Nothing can be published there."
    if "protected branch" in low or "repository rule" in low:
        return f"A rule protects the branch: {reply.message}", protected_hint()
    needed = reply.headers.get("x-accepted-github-permissions", "").replace("=", ": ") or next(
        (needs for part, needs in PERMISSIONS if part in reply.path), "write"
    )
    return (
        f"The token may not {place}: {reply.message}",
        f"It lacks the permission `{needed}`. In a workflow give it under `permissions:`; runs for forks and "
        "Dependabot get a read-only token whatever that says.",
    )


def _unprocessable(low: str) -> str:
    if "protected" in low or "rule" in low:
        return protected_hint()
    if "workflow" in low and ("scope" in low or "permission" in low):
        return "Changing workflow files needs a permission of its own; egcfg-fix never changes them."
    return ""


def protected_hint() -> str:
    return "Choose a --branch-prefix that no rule protects, or let the rule's bypass list name the token's owner."

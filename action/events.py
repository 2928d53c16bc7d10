"""The gate: which commit of which branch an event is about, and whether its code may be repaired at all.

Pure: the event's payload goes in, a Subject comes out, or a reason why there is nothing to do (`Skip`), or an error.
Payloads are untrusted, and so is everything that a pull request brings: names of branches, numbers, commits. Each field
is checked before it is used. What only the API knows (a commenter's permission, the head of a commented pull request)
is asked through `Ask`.

Three rules stand above the events. Code from another repository is refused unless `allow_forks` says otherwise. Code
of a pull request is never touched by a job that has a token in reach. And nothing that egcfg-fix itself pushed, opened
or wrote sets it off again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from action.subject import COMMIT, LOGIN, REPOSITORY, Subject, branch_name, full_name, matched, number, part, text
from bot.errors import EventError

BRANCH_PREFIX = "egcfg-fix/"
COMMAND = "/egcfg-fix"
MARKER = "<!-- egcfg-fix"  # begins every comment and pull request of ours
SIGNATURE = "A machine wrote this change (egcfg-fix "  # stands in every commit message of ours
QUEUE = "gh-readonly-queue/"  # branches of merge queues
WRITERS = ("admin", "maintain", "write")

CHOSEN_BRANCH = ("schedule", "workflow_dispatch", "repository_dispatch")  # their jobs may check out any branch
REFS = {  # what actions/checkout must be given for the events that are not about GITHUB_SHA
    "pull_request": "${{ github.event.pull_request.head.sha }}",
    "workflow_run": "${{ github.event.workflow_run.head_sha }}",
    "push": "${{ github.sha }}",
}
SUPPORTED = "pull_request, push, workflow_run, schedule, workflow_dispatch, repository_dispatch and issue_comment"
TWO_JOBS = (
    "Use two jobs: one that repairs with `contents: read` and no token, one that publishes and runs none of the code"
)


class Skip(Exception):  # an outcome, not an error: nobody's check turns red for it
    """Nothing is to be done: there is nothing to do, or, when there is a hint, it is refused by policy."""

    def __init__(self, reason: str, *, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a pull request, as the API tells it."""

    commit: str
    branch: str
    repository: str | None  # None when the fork is gone
    base: str
    state: str


class Ask(Protocol):
    """What only the API knows. Both may raise an EgcfgError."""

    def permission(self, login: str) -> str:
        """Return the role of a user in the repository: admin, maintain, write, triage, read or none."""

    def head(self, number: int) -> Head:
        """Return the head of a pull request."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the runner says beside the payload."""

    event: str  # GITHUB_EVENT_NAME
    repository: str  # GITHUB_REPOSITORY
    ref: str  # GITHUB_REF
    commit: str  # GITHUB_SHA
    workflow: str  # path of the workflow's own file, "" when unknown

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Surroundings:
        """Return what the runner's variables say. Raises EventError where they are none."""
        repository = matched(environment.get("GITHUB_REPOSITORY", ""), REPOSITORY, "GITHUB_REPOSITORY")
        workflow = environment.get("GITHUB_WORKFLOW_REF", "").partition("@")[0].removeprefix(f"{repository}/")
        return cls(
            environment.get("GITHUB_EVENT_NAME", ""),
            repository,
            environment.get("GITHUB_REF", ""),
            environment.get("GITHUB_SHA", ""),
            workflow,
        )


def subject(
    around: Surroundings,
    payload: Mapping[str, Any],
    *,
    ask: Ask | None = None,
    allow_forks: bool = False,
    prefix: str = BRANCH_PREFIX,
) -> Subject:
    """Return what the event is about. Raises Skip when nothing is to be done, EventError when the workflow is set up
    so that it would be dangerous, or the payload is not GitHub's.

    ask: needed by issue_comment alone. prefix: of the branches that egcfg-fix itself makes.
    """
    if around.event == "pull_request_target":
        raise EventError(
            "pull_request_target gives code from a pull request the rights and secrets of this repository.",
            hint=f"Trigger on pull_request, or on workflow_run after it. {TWO_JOBS}.",
        )
    if around.event == "merge_group":
        raise Skip(
            "A merge queue tests a commit that exists only for the queue; its pull requests are repaired instead."
        )
    reader = READERS.get(around.event)
    if reader is None:
        raise EventError(
            f"The event {around.event or '(none)'!r} is not one that egcfg-fix knows.", hint=f"It knows {SUPPORTED}."
        )
    found = reader(around, payload, ask)
    _check(found, allow_forks, prefix)
    return found


def _check(found: Subject, allow_forks: bool, prefix: str) -> None:
    if found.branch.startswith(prefix) and not found.fork:
        raise Skip(f"{found.branch} is a branch of egcfg-fix itself.")
    if found.branch.startswith(QUEUE):
        raise Skip(f"{found.branch} is a temporary branch of a merge queue.")
    if found.fork and not allow_forks:
        raise Skip(
            f"The code comes from {found.head or 'a repository that is gone'}, not from {found.repository}; "
            "code from forks is refused by default, since anyone can send it to this runner.",
            hint=f"{TWO_JOBS}; use a runner that is thrown away after each job; then set `allow-forks: true` in the "
            "first. Or push the branch to this repository after reading it.",
        )


# The events


def _push(around: Surroundings, payload: Mapping[str, Any], _ask: Ask | None) -> Subject:
    ref = text(payload, "ref")
    if not ref.startswith("refs/heads/"):
        raise Skip(f"{ref!r} is no branch.")
    if payload.get("deleted") is True or set(text(payload, "after")) == {"0"}:
        raise Skip("The branch was deleted.")
    commit = matched(payload.get("after"), COMMIT, "after")
    branch = branch_name(ref.removeprefix("refs/heads/"), "ref")
    _not_ours(part(payload, "head_commit", {}), branch, payload)
    return _own(around, commit, branch)


def _pull_request(around: Surroundings, payload: Mapping[str, Any], _ask: Ask | None) -> Subject:
    action = text(payload, "action")
    if action in ("closed", "locked", "unlocked", "dequeued", "demilestoned"):
        raise Skip(f"The pull request was {action}.")
    request = part(payload, "pull_request")
    if request.get("state") == "closed":
        raise Skip("The pull request is closed.")
    if _is_ours(request.get("body")):
        raise Skip("The pull request is one of egcfg-fix itself.")
    head, base = part(request, "head"), part(request, "base")
    return Subject(
        around.event,
        around.repository,
        matched(head.get("sha"), COMMIT, "pull_request.head.sha"),
        branch_name(head.get("ref"), "pull_request.head.ref"),
        number(payload.get("number"), "number"),
        branch_name(base.get("ref"), "pull_request.base.ref"),
        full_name(head.get("repo"), "pull_request.head.repo"),
        untrusted=True,
    )


def _workflow_run(around: Surroundings, payload: Mapping[str, Any], _ask: Ask | None) -> Subject:
    run = part(payload, "workflow_run")
    if around.workflow and str(run.get("path", "")).partition("@")[0] == around.workflow:
        raise Skip("The run that ended is one of this very workflow.")
    if payload.get("action") not in (None, "completed") or run.get("conclusion") not in ("failure", "timed_out"):
        said = run.get("conclusion") or payload.get("action")
        raise Skip(f"The workflow run did not fail (it is {said!r:.40}).")
    event = text(run, "event")
    if event == "merge_group":
        raise Skip("The run belongs to a merge queue; its pull requests are repaired instead.")
    commit = matched(run.get("head_sha"), COMMIT, "workflow_run.head_sha")
    branch = run.get("head_branch")
    head = full_name(run.get("head_repository"), "workflow_run.head_repository")
    number, base = _pull_request_of(run, commit)
    untrusted = event not in ("push", "schedule", "workflow_dispatch", "repository_dispatch") or number > 0
    if branch is None:
        raise Skip("The workflow run belongs to no branch.")
    name = branch_name(branch, "workflow_run.head_branch")
    _not_ours(part(run, "head_commit", {}), name, payload)
    return Subject(around.event, around.repository, commit, name, number, base, head, untrusted)


def _pull_request_of(run: Mapping[str, Any], commit: str) -> tuple[int, str]:
    """Return number and base of the pull request whose head the run was for; (0, "") when none is told (forks)."""
    listed = run.get("pull_requests")
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict) and part(one, "head", {}).get("sha") == commit:
            base = part(one, "base", {})
            return number(one.get("number"), "pull_requests.number"), branch_name(
                base.get("ref"), "pull_requests.base.ref"
            )
    return 0, ""


def _branch_of_the_run(around: Surroundings, _payload: Mapping[str, Any], _ask: Ask | None) -> Subject:
    """schedule and the dispatches: the branch is the runner's; the payload may hold next to nothing."""
    if not around.ref.startswith("refs/heads/"):
        raise Skip(f"{around.ref!r} is no branch.")
    commit = matched(around.commit, COMMIT, "GITHUB_SHA")
    return _own(around, commit, branch_name(around.ref.removeprefix("refs/heads/"), "GITHUB_REF"))


def _issue_comment(around: Surroundings, payload: Mapping[str, Any], ask: Ask | None) -> Subject:
    if payload.get("action") != "created":
        raise Skip("Only new comments count.")
    issue, comment = part(payload, "issue"), part(payload, "comment")
    if not isinstance(issue.get("pull_request"), dict):
        raise Skip("The comment is on an issue, not on a pull request.")
    body = comment.get("body")
    words = body.strip().partition("\n")[0].split() if isinstance(body, str) else []
    if not words or words[0] != COMMAND:
        raise Skip(f"The comment does not begin with {COMMAND}.")
    user = part(comment, "user")
    login = user.get("login")
    if user.get("type") != "User" or not isinstance(login, str) or LOGIN.fullmatch(login) is None:
        raise Skip("The comment is not by a person.")
    request = number(issue.get("number"), "issue.number")
    if ask is None:
        raise EventError(
            "A comment says neither who may give commands nor which commit is meant; that takes a token.",
            hint="Run `command: gate` in a job of its own, and hand its `subject` to the job that repairs.",
        )
    role = ask.permission(login)
    if role not in WRITERS:
        raise Skip(
            f"{login} may not write to {around.repository} (permission: {role:.20}), so the command is refused.",
            hint="Someone with write permission can give it.",
        )
    head = ask.head(request)
    if head.state != "open":
        raise Skip("The pull request is closed.")
    commit = matched(head.commit, COMMIT, "the pull request's head")
    _check_named(words[1:], commit, fork=(head.repository or "").lower() != around.repository.lower())
    return Subject(
        around.event,
        around.repository,
        commit,
        branch_name(head.branch, "the pull request's branch"),
        request,
        branch_name(head.base, "the pull request's base"),
        matched(head.repository, REPOSITORY, "the head's repository") if head.repository else "",
        untrusted=True,
    )


def _check_named(words: Sequence[str], commit: str, *, fork: bool) -> None:
    """Refuse a commit that is not the one the comment names. For a fork it must name one: its head can move."""
    named = words[0].lower() if words else ""
    if named and re.fullmatch(r"[0-9a-f]{7,64}", named) is None:
        raise Skip(f"{named!r:.40} is no commit.", hint=f"Write {COMMAND}, or {COMMAND} and a commit.")
    if named and not commit.startswith(named):
        raise Skip(
            f"The pull request's head is {commit[:12]}, not {named[:12]}.", hint="Read what is new, and ask again."
        )
    if fork and not named:
        raise Skip(
            "The head of a fork can change after it was read.",
            hint=f"Name the commit: {COMMAND} {commit[:12]}, if it is it.",
        )


READERS = {
    "push": _push,
    "pull_request": _pull_request,
    "workflow_run": _workflow_run,
    "schedule": _branch_of_the_run,
    "workflow_dispatch": _branch_of_the_run,
    "repository_dispatch": _branch_of_the_run,
    "issue_comment": _issue_comment,
}


def _own(around: Surroundings, commit: str, branch: str) -> Subject:
    return Subject(around.event, around.repository, commit, branch, head=around.repository)


def _is_ours(text: object) -> bool:
    return isinstance(text, str) and MARKER in text


def _not_ours(commit: Mapping[str, Any], branch: str, payload: Mapping[str, Any]) -> None:
    """Skip what egcfg-fix pushed to somebody's branch. On the default branch a person merged it."""
    if branch != part(payload, "repository", {}).get("default_branch"):
        check_message(commit.get("message"))


def check_message(message: object) -> None:
    """Raise Skip when a commit's message says that egcfg-fix wrote it."""
    if isinstance(message, str) and SIGNATURE in message:
        raise Skip("The commit is one of egcfg-fix itself.")


# Tokens in reach

VARIABLES = ("GITHUB_TOKEN", "GH_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_PAT", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")


def check_tokens(found: Subject, environment: Mapping[str, str], git_settings: Sequence[str]) -> list[str]:
    """Return what speaks against trusting this job with a token; raises EventError when the code is a pull request's.

    git_settings: names of the checkout's own git settings, lower case. Of an id token only the means to ask for one is
    seen, which is enough.
    """
    reach = [f"the variable {name}" for name in VARIABLES if environment.get(name)]
    if any(re.fullmatch(r"http\..*\.extraheader|includeif\.gitdir:.*\.path", name) for name in git_settings):
        reach.append("the credentials that actions/checkout left in the checkout")
    if environment.get("INPUT_TOKEN_GIVEN") == "true":
        reach.append("the input `token`")
    if reach and found.untrusted:
        raise EventError(
            f"The code comes from a pull request, and a token is in reach of this job: {', '.join(reach)}.",
            hint=f"{TWO_JOBS}. In the first, leave tokens out and check out with `persist-credentials: false`.",
        )
    return reach

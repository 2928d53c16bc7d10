"""What follows a pull request: labels, people, a workflow, a comment where the tests failed.

Each step is taken once, remembered in the pull request's marker, and none can undo what was published: what fails is a
warning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bot.errors import PublishError
from bot.identity import Marker, with_marker
from bot.pull_request import pointer

if TYPE_CHECKING:
    from bot.config import Publishing
    from bot.github import GitHub, PullRequest

COMMENT_MARK = "<!-- egcfg-fix-comment -->"


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The steps that are wanted. failed: the pull request whose tests failed, or 0."""

    settings: Publishing
    github: GitHub
    failed: int

    def taken(self, one: PullRequest, marker: Marker, commit: str, parent: int) -> tuple[list[str], bool]:
        """Do what is still to be done; return (warnings, whether anything was done).

        marker: what its body remembers. commit: of its branch. parent: the pull request on which it is stacked, or 0.
        """
        steps = self._steps(one, commit, parent)
        done, warnings = list(marker.done), []
        for name, step in steps:
            if name in done:
                continue
            reason = tried(self.github, step)
            if reason:
                warnings.append(f"{name.partition(':')[0]}: {reason}")
            else:
                done.append(name)
        if tuple(done) != marker.done:
            text = with_marker(one.body, replace(marker, done=tuple(done)))
            warnings += filter(None, [tried(self.github, lambda: self.github.edit_pull_request(one.number, body=text))])
        return warnings, tuple(done) != marker.done

    def _steps(self, one: PullRequest, commit: str, parent: int) -> list[tuple[str, Callable[[], None]]]:
        settings, github = self.settings, self.github
        steps: list[tuple[str, Callable[[], None]]] = []
        if settings.labels:
            steps.append(("labels", lambda: github.add_labels(one.number, settings.labels)))
        if settings.assignees:
            steps.append(("assignees", lambda: github.add_assignees(one.number, settings.assignees)))
        for person in settings.reviewers:
            if person.lower() != one.author.lower():  # GitHub refuses the author
                steps.append((f"reviewer:{person}", lambda who=person: github.request_reviews(one.number, [who], [])))  # type: ignore[misc]
        for team in settings.team_reviewers:
            steps.append((f"team:{team}", lambda who=team: github.request_reviews(one.number, [], [who])))  # type: ignore[misc]
        if settings.dispatch_workflow:
            workflow = settings.dispatch_workflow
            steps.append((f"dispatch:{commit[:10]}", lambda: github.dispatch(workflow, one.branch)))
        failed = parent or self.failed
        if failed and not settings.no_comment:
            steps.append((f"comment:{failed}", lambda: self._point(failed, one)))
        return steps

    def _point(self, number: int, one: PullRequest) -> None:
        text = pointer(one.number, one.url, COMMENT_MARK)
        for comment, said in self.github.comments(number):
            if said.startswith(COMMENT_MARK):
                if said.replace("\r\n", "\n").strip() != text.strip():
                    self.github.edit_comment(comment, text)
                return
        self.github.comment(number, text)


def tried(github: GitHub, step: Callable[[], None]) -> str:
    """Take a step; return why it failed, or "". A new pull request may not be known everywhere at once."""
    for attempt in range(3):
        try:
            step()
            return ""
        except PublishError as error:
            if "could not resolve to a node" in getattr(error, "said", "") and attempt < 2:
                github.pause(1.0 + attempt)
                continue
            return " ".join(part for part in (error.message, error.hint) if part)
    return ""

"""Decides what becomes a pull request, created, updated, left alone or closed, and does it: a second run finishes it.

Knows GitHub only through the object it is given. Nothing here is ever forced: a branch of ours moves only to a commit
that contains what is on it, so a person's commit cannot be lost, not even one that arrives in the same second. Every
step looks first whether it has been done; what fails after the change itself is pushed is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bot.bundle import Bundle
from bot.commits import Commits, Kept, Outdated, Writer
from bot.errors import BundleError, ConfigError, PublishError
from bot.follow_up import FollowUp, tried
from bot.identity import (
    Marker,
    branch_name,
    hash_of_files,
    hash_of_functions,
    hash_of_test,
    hash_of_text,
    hashes_of_tests,
    our_base,
    read_marker,
    with_marker,
)
from bot.planned import Change, Operation, Published, planned
from bot.pull_request import body, closing
from bot.records import Emit

if TYPE_CHECKING:
    from bot.config import Publishing
    from bot.github import GitHub, PullRequest


def publish(
    bundle: Bundle, settings: Publishing, github: GitHub, emit: Emit, writer: Writer | None = None
) -> list[Published]:
    """Publish a bundle; return what became of each proposal and of pull requests that are not needed any more.

    writer: makes the commits and moves the branches, in place of `github`. Raises PublishError when nothing can be done
    at all: the token, a limit, no network. What was done stays done, and the next call goes on from there.
    """
    if not bundle.source.commit:
        raise BundleError("The bundle names no commit.", hint="Repair a git checkout that has a commit.")
    changes, results = planned(bundle, settings)
    base = settings.base or bundle.source.branch or github.default_branch()
    commits = Commits(bundle, github, writer or github, base)
    follow_up = FollowUp(settings, github, failed=bundle.source.pull_request)
    desk = _Desk(bundle, settings, github, commits, follow_up, emit, base)
    for change in changes:
        results.append(desk.publish(change))
        emit("published", result=results[-1])
    if settings.mode != "push":
        for result in desk.close_what_is_green():
            results.append(result)
            emit("published", result=result)
    return results


@dataclass(slots=True)
class _Desk:
    """One call of `publish`: where it goes, and what is open there."""

    bundle: Bundle
    settings: Publishing
    github: GitHub
    commits: Commits
    follow_up: FollowUp
    emit: Emit
    base: str
    known: list[PullRequest] | None = None

    def publish(self, change: Change) -> Published:
        try:
            if self.settings.mode == "push":
                return self._onto_the_branch(change)
            return self._as_pull_request(change)
        except Outdated as reason:
            return Published("outdated", change.title, base=self.base, reason=str(reason))
        except PublishError as error:
            if getattr(error, "final", True):
                raise
            said = " ".join(part for part in (error.message, error.hint) if part)
            return Published("failed", change.title, base=self.base, reason=said)

    # -- mode "push"

    def _onto_the_branch(self, change: Change) -> Published:
        """Commit on the branch whose tests failed, as a person would who pushes to their own pull request."""
        commit, branch = self.bundle.source.commit, self.base
        if branch == self.github.default_branch():
            raise ConfigError(
                f"--mode push does not push to {branch}, the default branch.", hint="Use --mode pull-request."
            )
        tip = self.github.tip(branch)
        done = Published("created", change.title, branch=branch, base=branch)
        files = self.commits.checked_base(change, commit)
        if tip and self.commits.holds(tip, files) and self.github.contains(tip, commit):
            return replace(done, operation="unchanged", commit=tip)
        if tip != commit and not self.commits.only_ours(tip, commit):
            raise Outdated(f"{branch} has moved since its tests failed; the next run starts from what is there now.")
        made = self.commits.made(change, tip, [tip], self.commits.checked_base(change, tip))
        try:
            self.commits.writer.point(branch, made.sha, tip)
        except PublishError as error:
            if getattr(error, "status", 0) == 422 and self.github.tip(branch) != tip:
                raise Outdated(f"{branch} moved while the repair was pushed; nothing was overwritten.") from None
            raise
        self.known = None
        return replace(done, commit=made.sha, verified=made.verified)

    # -- modes "pull-request" and "stacked"

    def _open(self) -> list[PullRequest]:
        """Return the open pull requests of ours into any branch; a fork's branch of that name is not ours."""
        if self.known is None:
            mine = f"{self.settings.branch_prefix.rstrip('/')}/"
            self.known = [
                one
                for one in self.github.pull_requests()
                if one.branch.startswith(mine) and one.head_repository.lower() == self.github.repository.lower()
            ]
        return self.known

    def _same(self, change: Change, branch: str) -> PullRequest | None:
        """Return the open pull request that is to hold the change: by its branch, else by the functions it repairs."""
        here = [one for one in self._open() if one.base == self.base]
        for one in here:
            if one.branch == branch:
                return one
        functions = hash_of_functions(change.proposals)
        for one in here:
            marker = read_marker(one.body)
            if marker is not None and marker.functions == functions and self.settings.group == "function":
                return one
        return None

    def _as_pull_request(self, change: Change) -> Published:
        parent = self._parent() if self.settings.mode == "stacked" else 0
        branch = branch_name(self.settings.branch_prefix, self.base, change.key)
        existing = self._same(change, branch)
        if existing is not None:
            branch = existing.branch
        else:
            stopped = self._not_a_new_one(change, branch)
            if stopped is not None:
                return stopped
        done = Published("created", change.title, branch=branch, base=self.base)
        try:
            commit, moved, verified = self.commits.brought_up(change, branch)
        except Kept as tip:
            kept = replace(done, operation="kept", commit=str(tip), reason="People have committed to its branch.")
            return kept if existing is None else replace(kept, number=existing.number, url=existing.url)
        done = replace(done, commit=commit, verified=verified)
        if existing is None:
            existing, created = self._opened(change, branch)
        else:
            created = False
        told = self._told(change, existing) if moved or created else existing
        marker = read_marker(told.body) or self._marker(change)
        warnings, more = self.follow_up.taken(told, marker, commit, parent)
        operation: Operation = "created" if created else "updated" if moved or more else "unchanged"
        return replace(done, operation=operation, number=told.number, url=told.url, warnings=tuple(warnings))

    def _parent(self) -> int:
        """Return the open pull request on whose branch ours is stacked."""
        for one in self.github.pull_requests(branch=self.base):
            return one.number
        raise Outdated(f"There is no open pull request of the branch {self.base} to stack on.")

    def _not_a_new_one(self, change: Change, branch: str) -> Published | None:
        """Return why no pull request is opened, or None."""
        done = Published("deferred", change.title, branch=branch, base=self.base)
        for closed in self.github.pull_requests(state="closed", branch=branch):
            marker = read_marker(closed.body)
            if marker is None or closed.merged or marker.closed or marker.content != hash_of_files(change.files):
                break
            reason = f"#{closed.number} with the same change was closed by a person."
            return replace(done, operation="declined", number=closed.number, url=closed.url, reason=reason)
        limit = self.settings.max_open_prs
        if len(self._open()) >= limit:
            reason = f"{len(self._open())} pull requests of egcfg-fix are open, and --max-open-prs is {limit}."
            return replace(done, reason=reason)
        return None

    def _marker(self, change: Change, **known: str | tuple[str, ...]) -> Marker:
        marker = Marker(
            change.key,
            functions=hash_of_functions(change.proposals),
            tests=hashes_of_tests(change.proposals),
            content=hash_of_files(change.files),
        )
        plain = body(self.bundle, change.proposals, change.files, marker)
        return replace(marker, text=hash_of_text(change.title, plain), **known)  # type: ignore[arg-type]

    def _opened(self, change: Change, branch: str) -> tuple[PullRequest, bool]:
        """Open the pull request; return it, and False when another run was faster."""
        text = body(self.bundle, change.proposals, change.files, self._marker(change))
        draft = self.settings.draft
        for _ in range(2):
            try:
                made = self.github.create_pull_request(
                    title=change.title, body=text, branch=branch, base=self.base, draft=draft
                )
                self.known = None
                return made, True
            except PublishError as error:
                said = getattr(error, "said", "")
                if "already exists" in said:
                    for one in self.github.pull_requests(branch=branch):
                        return one, False
                if "no commits between" in said:
                    raise Outdated(f"{self.base} has this change already.") from None
                if not (draft and "draft" in said):
                    raise
                draft = False
                self.emit("note", text="This repository has no draft pull requests; an ordinary one is opened.")
        raise AssertionError("unreachable")

    def _told(self, change: Change, one: PullRequest) -> PullRequest:
        """Write title and body anew, unless a person has edited them; the marker always."""
        before = read_marker(one.body)
        marker = self._marker(change, done=before.done if before else ())
        if before is not None and before.text != hash_of_text(one.title, one.body):
            text, heading = with_marker(one.body, replace(marker, text="")), one.title
        else:
            text, heading = body(self.bundle, change.proposals, change.files, marker), change.title
        if text != one.body.replace("\r\n", "\n") or heading != one.title:
            self.github.edit_pull_request(one.number, title=heading, body=text)
        return replace(one, title=heading, body=text)

    # -- what is not needed any more

    def close_what_is_green(self) -> Iterable[Published]:
        """Close pull requests of ours whose tests all pass now without them; only a whole run can tell."""
        if not self.bundle.whole or self.github.tip(self.base) != self.bundle.source.commit:
            return
        failing = {hash_of_test(node_id) for node_id in self.bundle.failing}
        for one in list(self._open()):
            marker = read_marker(one.body)
            if one.base != self.base or marker is None or not marker.tests or not failing.isdisjoint(marker.tests):
                continue
            yield self._closed(one, marker)

    def _closed(self, one: PullRequest, marker: Marker) -> Published:
        reason = f"the tests that it repairs pass on {self.base} at {self.bundle.source.commit[:10]}."
        done = Published("closed", one.title, one.number, one.url, one.branch, one.head, self.base, reason=reason)
        tip = self.github.tip(one.branch)
        last = self.github.commit(tip or one.head)
        if not our_base(last.message, last.tree):
            return replace(done, operation="kept", reason=f"People have committed to its branch, but {reason}")
        text = with_marker(one.body, replace(marker, closed="green"))
        self.github.edit_pull_request(one.number, body=text, state="closed")
        steps: list[Callable[[], None]] = [lambda: self.github.comment(one.number, closing(reason))]
        if tip:
            steps.append(lambda: self.github.delete_branch(one.branch))
        self.known = [other for other in self._open() if other.number != one.number]
        return replace(done, warnings=tuple(filter(None, (tried(self.github, step) for step in steps))))

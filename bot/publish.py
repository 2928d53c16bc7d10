"""Decides what becomes a pull request, created, updated, left alone or closed, and does it: a second run finishes it.

Knows GitHub only through the object it is given. Nothing here is ever forced: a branch of ours moves only to a commit
that contains what is on it, so a person's commit cannot be lost, not even one that arrives in the same second. Every
step looks first whether it has been done; what fails after the change itself is pushed is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from bot.admission import refusal, together_refusal
from bot.bundle import Bundle, FileChange, Proposal
from bot.errors import BundleError, ConfigError, PublishError
from bot.identity import (
    MARKER,
    Marker,
    as_committed,
    blob_id,
    branch_name,
    hash_of_files,
    hash_of_functions,
    hash_of_test,
    hash_of_text,
    hashes_of_tests,
    key_of,
    our_base,
    read_marker,
)
from bot.pull_request import body, closing, commit_message, pointer, title
from bot.records import Emit

if TYPE_CHECKING:
    from bot.config import Publishing
    from bot.github import Commit, GitHub, PullRequest

Operation = Literal[
    "created",  # a new pull request, or with mode "push" a new commit
    "updated",  # the pull request has a new commit, or got what it lacked
    "unchanged",  # it is as it would be made
    "closed",  # by us: what it repairs does not fail any more
    "kept",  # people have committed to its branch; it stays theirs
    "declined",  # a person closed the same change before
    "deferred",  # enough are open; the next run may open it
    "outdated",  # the branch has moved on from what was repaired
    "refused",  # it may not be published
    "failed",  # GitHub did not let us
]
Files = Mapping[str, tuple[str, bytes]]  # path -> (mode, content)
UNPUBLISHED = frozenset({"outdated", "refused", "failed"})
RACES = 4  # times that a branch may move under our hands
COMMENT_MARK = "<!-- egcfg-fix-comment -->"


@dataclass(frozen=True, slots=True)
class Published:
    """What became of one proposal, or of one pull request of ours."""

    operation: Operation
    title: str
    number: int = 0
    url: str = ""
    branch: str = ""
    commit: str = ""
    base: str = ""
    verified: bool = False  # GitHub has signed the commit
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What one pull request is to hold."""

    proposals: tuple[Proposal, ...]
    files: tuple[FileChange, ...]
    key: str

    @property
    def title(self) -> str:
        return title(self.proposals)


class Writer(Protocol):
    """What makes commits and moves branches: GitHub's API, or git."""

    def write(self, base: str, parents: Sequence[str], files: Files, message: Callable[[str], str]) -> Commit:
        """Make a commit with `files`, path -> (mode, content), on the tree of `base`; message: from the new tree."""

    def point(self, branch: str, sha: str, old: str) -> None:
        """Let a branch point at `sha`, which contains `old`, where it points now; "" when it is new.

        Raises PublishError; its `status` is 422 when the branch is not at `old` any more, or a rule forbids it.
        """


class Outdated(Exception):
    """The branch does not hold any more what was repaired."""


class Kept(Exception):
    """People have committed to the branch."""


# ------------------------------------------------------------------------------------------------------------ plan


def planned(bundle: Bundle, settings: Publishing) -> tuple[list[Change], list[Published]]:
    """Return the changes to publish and what is refused; no pull request may hold anything that is."""
    admitted, refused = [], []
    for proposal in bundle.proposals:
        reason = refusal(proposal, exclude=settings.exclude, allow_tests=settings.allow_tests)
        if reason:
            refused.append(Published("refused", title([proposal]), reason=f"It is not published: {reason}."))
        else:
            admitted.append(proposal)
    if settings.group == "run" and len(admitted) > 1:
        reason = "one of them is refused" if refused else together_refusal(bundle.together, admitted)
        if not reason:
            return [Change(tuple(admitted), bundle.together, key_of(admitted, run=True))], refused
        refused.append(Published("refused", title(admitted), reason=f"Not in one pull request: {reason}."))
    run = settings.group == "run" and len(admitted) == 1
    return [Change((one,), one.files, key_of([one], run=run)) for one in admitted], refused


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
    desk = _Desk(bundle, settings, github, writer or github, emit, base)
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
    writer: Writer
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

    # -- the commit

    def _checked_base(self, change: Change, sha: str) -> Files:
        """Return path -> (mode, content) of what to commit on `sha`; raises Outdated when its files are others."""
        tree = self.github.commit(sha).tree
        files = {}
        for one in change.files:
            entry = self.github.entry(tree, one.path)
            if entry is None or entry.kind != "blob" or entry.mode not in ("100644", "100755"):
                raise Outdated(f"{one.path} is no file of commit {sha[:10]}.")
            content = as_committed(one, entry.sha)
            if content is None:
                raise Outdated(f"{one.path} in commit {sha[:10]} is not what was repaired.")
            files[one.path] = (entry.mode, content)
        return files

    def _still_wanted(self, change: Change) -> Files:
        """Return what to commit on the bundle's commit, after a look at what its branch has become since."""
        commit = self.bundle.source.commit
        files = self._checked_base(change, commit)
        tip = self.github.tip(self.base)
        if not tip:
            raise Outdated(f"There is no branch {self.base} any more.")
        if tip != commit:
            if not self.github.contains(tip, commit):
                raise Outdated(f"{self.base} does not contain commit {commit[:10]}, which was repaired.")
            if self._holds(tip, files):
                raise Outdated(f"{self.base} has this change already.")
            self._checked_base(change, tip)
        return files

    def _holds(self, sha: str, files: Files) -> bool:
        tree = self.github.commit(sha).tree
        found = {path: self.github.entry(tree, path) for path in files}
        return all((entry := found[path]) and entry.sha == blob_id(content) for path, (_, content) in files.items())

    def _commit(self, change: Change, base: str, parents: Sequence[str], files: Files) -> Commit:
        def message(tree: str) -> str:
            return commit_message(change.proposals, change.key, tree, base)

        return self.writer.write(base, parents, files, message)

    def _brought_up(self, change: Change, branch: str) -> tuple[str, bool, bool]:
        """Let `branch` hold the change; return (its commit, whether it was moved, whether it is signed).

        Raises Kept when people have committed to it. A branch that moves meanwhile is looked at again.
        """
        files = self._still_wanted(change)
        for _ in range(RACES):
            tip = self.github.tip(branch)
            if tip and self._holds(tip, files):
                return tip, False, self.github.commit(tip).verified
            made = self._next(change, tip, files)
            try:
                self.writer.point(branch, made.sha, tip)
                return made.sha, True, made.verified
            except PublishError as error:
                if getattr(error, "status", 0) != 422 or self.github.tip(branch) == tip:
                    raise  # nothing has moved it: a rule forbids it, or its name is taken
        raise PublishError(f"The branch {branch} kept moving.", hint="Another run is publishing; try again after it.")

    def _next(self, change: Change, tip: str, files: Files) -> Commit:
        """Make the commit that follows `tip`, or the first one: it always contains what is on the branch."""
        commit = self.bundle.source.commit
        if not tip:
            return self._commit(change, commit, [commit], files)
        last = self.github.commit(tip)
        base = our_base(last.message, last.tree)
        if tip != commit and not base and not self.github.contains(self.github.tip(self.base), tip):
            raise Kept(tip)
        if base and base != commit and self.github.contains(base, commit):
            return self._commit(change, base, [tip], self._checked_base(change, base))
        if self.github.contains(tip, commit):
            return self._commit(change, commit, [tip], files)
        return self._commit(change, commit, [tip, commit], files)

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
        files = self._checked_base(change, commit)
        if tip and self._holds(tip, files) and self.github.contains(tip, commit):
            return replace(done, operation="unchanged", commit=tip)
        if tip != commit and not self._only_ours(tip, commit):
            raise Outdated(f"{branch} has moved since its tests failed; the next run starts from what is there now.")
        made = self._commit(change, tip, [tip], self._checked_base(change, tip))
        try:
            self.writer.point(branch, made.sha, tip)
        except PublishError as error:
            if getattr(error, "status", 0) == 422 and self.github.tip(branch) != tip:
                raise Outdated(f"{branch} moved while the repair was pushed; nothing was overwritten.") from None
            raise
        self.known = None
        return replace(done, commit=made.sha, verified=made.verified)

    def _only_ours(self, tip: str, commit: str) -> bool:
        """True when nothing but commits of ours from this bundle lies between the two."""
        at = tip
        for _ in range(20):
            if not at or at == commit:
                return bool(at)
            last = self.github.commit(at)
            if not our_base(last.message, last.tree) or len(last.parents) != 1:
                return False
            at = last.parents[0]
        return False

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
            commit, moved, verified = self._brought_up(change, branch)
        except Kept as tip:
            kept = replace(done, operation="kept", commit=str(tip), reason="People have committed to its branch.")
            return kept if existing is None else replace(kept, number=existing.number, url=existing.url)
        done = replace(done, commit=commit, verified=verified)
        if existing is None:
            existing, created = self._opened(change, branch)
        else:
            created = False
        told = self._told(change, existing) if moved or created else existing
        warnings, more = self._followed_up(change, told, commit, parent)
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
            text, heading = _with_marker(one.body, replace(marker, text="")), one.title
        else:
            text, heading = body(self.bundle, change.proposals, change.files, marker), change.title
        if text != one.body.replace("\r\n", "\n") or heading != one.title:
            self.github.edit_pull_request(one.number, title=heading, body=text)
        return replace(one, title=heading, body=text)

    # -- what follows: each step once, and none of them can undo what was published

    def _followed_up(self, change: Change, one: PullRequest, commit: str, parent: int) -> tuple[list[str], bool]:
        """Do what is still to be done; return (warnings, whether anything was done)."""
        marker = read_marker(one.body) or self._marker(change)
        steps = self._steps(one, commit, parent)
        done, warnings = list(marker.done), []
        for name, step in steps:
            if name in done:
                continue
            reason = self._tried(step)
            if reason:
                warnings.append(f"{name.partition(':')[0]}: {reason}")
            else:
                done.append(name)
        if tuple(done) != marker.done:
            text = _with_marker(one.body, replace(marker, done=tuple(done)))
            warnings += filter(None, [self._tried(lambda: self.github.edit_pull_request(one.number, body=text))])
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
        failed = parent or self.bundle.source.pull_request
        if failed and not settings.no_comment:
            steps.append((f"comment:{failed}", lambda: self._point(failed, one)))
        return steps

    def _tried(self, step: Callable[[], None]) -> str:
        """Take a step; return why it failed, or "". A new pull request may not be known everywhere at once."""
        for attempt in range(3):
            try:
                step()
                return ""
            except PublishError as error:
                if "could not resolve to a node" in getattr(error, "said", "") and attempt < 2:
                    self.github.pause(1.0 + attempt)
                    continue
                return " ".join(part for part in (error.message, error.hint) if part)
        return ""

    def _point(self, number: int, one: PullRequest) -> None:
        text = pointer(one.number, one.url, COMMENT_MARK)
        for comment, said in self.github.comments(number):
            if said.startswith(COMMENT_MARK):
                if said.replace("\r\n", "\n").strip() != text.strip():
                    self.github.edit_comment(comment, text)
                return
        self.github.comment(number, text)

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
        text = _with_marker(one.body, replace(marker, closed="green"))
        self.github.edit_pull_request(one.number, body=text, state="closed")
        steps: list[Callable[[], None]] = [lambda: self.github.comment(one.number, closing(reason))]
        if tip:
            steps.append(lambda: self.github.delete_branch(one.branch))
        self.known = [other for other in self._open() if other.number != one.number]
        return replace(done, warnings=tuple(filter(None, map(self._tried, steps))))


def _with_marker(text: str, marker: Marker) -> str:
    """Return a body with its marker replaced, or put at its end."""
    plain = MARKER.sub("", text.replace("\r\n", "\n")).rstrip()
    return f"{plain}\n\n{marker}\n"

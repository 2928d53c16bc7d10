"""The commits of what is published, and the branches that point at them.

Nothing is ever forced: a branch of ours moves only to a commit that contains what is on it, so a person's commit cannot
be lost, not even one that arrives in the same second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bot.bundle import Bundle
from bot.errors import PublishError
from bot.identity import as_committed, blob_id, our_base
from bot.planned import Change
from bot.pull_request import commit_message

if TYPE_CHECKING:
    from bot.github import Commit, GitHub

Files = Mapping[str, tuple[str, bytes]]  # path -> (mode, content)
RACES = 4  # times that a branch may move under our hands


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


@dataclass(frozen=True, slots=True)
class Commits:
    """What is committed in one call of `publish`. base: the branch that is repaired."""

    bundle: Bundle
    github: GitHub
    writer: Writer
    base: str

    def brought_up(self, change: Change, branch: str) -> tuple[str, bool, bool]:
        """Let `branch` hold the change; return (its commit, whether it was moved, whether it is signed).

        Raises Kept when people have committed to it. A branch that moves meanwhile is looked at again.
        """
        files = self._still_wanted(change)
        for _ in range(RACES):
            tip = self.github.tip(branch)
            if tip and self.holds(tip, files):
                return tip, False, self.github.commit(tip).verified
            made = self._next(change, tip, files)
            try:
                self.writer.point(branch, made.sha, tip)
                return made.sha, True, made.verified
            except PublishError as error:
                if getattr(error, "status", 0) != 422 or self.github.tip(branch) == tip:
                    raise  # nothing has moved it: a rule forbids it, or its name is taken
        raise PublishError(f"The branch {branch} kept moving.", hint="Another run is publishing; try again after it.")

    def _still_wanted(self, change: Change) -> Files:
        """Return what to commit on the bundle's commit, after a look at what its branch has become since."""
        commit = self.bundle.source.commit
        files = self.checked_base(change, commit)
        tip = self.github.tip(self.base)
        if not tip:
            raise Outdated(f"There is no branch {self.base} any more.")
        if tip != commit:
            if not self.github.contains(tip, commit):
                raise Outdated(f"{self.base} does not contain commit {commit[:10]}, which was repaired.")
            if self.holds(tip, files):
                raise Outdated(f"{self.base} has this change already.")
            self.checked_base(change, tip)
        return files

    def checked_base(self, change: Change, sha: str) -> Files:
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

    def holds(self, sha: str, files: Files) -> bool:
        tree = self.github.commit(sha).tree
        found = {path: self.github.entry(tree, path) for path in files}
        return all((entry := found[path]) and entry.sha == blob_id(content) for path, (_, content) in files.items())

    def only_ours(self, tip: str, commit: str) -> bool:
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

    def made(self, change: Change, base: str, parents: Sequence[str], files: Files) -> Commit:
        def message(tree: str) -> str:
            return commit_message(change.proposals, change.key, tree, base)

        return self.writer.write(base, parents, files, message)

    def _next(self, change: Change, tip: str, files: Files) -> Commit:
        """Make the commit that follows `tip`, or the first one: it always contains what is on the branch."""
        commit = self.bundle.source.commit
        if not tip:
            return self.made(change, commit, [commit], files)
        last = self.github.commit(tip)
        base = our_base(last.message, last.tree)
        if tip != commit and not base and not self.github.contains(self.github.tip(self.base), tip):
            raise Kept(tip)
        if base and base != commit and self.github.contains(base, commit):
            return self.made(change, base, [tip], self.checked_base(change, base))
        if self.github.contains(tip, commit):
            return self.made(change, commit, [tip], files)
        return self.made(change, commit, [tip, commit], files)

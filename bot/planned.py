"""What one pull request is to hold, what may not be published at all, and what can become of a proposal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bot.admission import refusal, together_refusal
from bot.bundle import Bundle, FileChange, Proposal
from bot.identity import key_of
from bot.pull_request import title

if TYPE_CHECKING:
    from bot.config import Publishing

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
UNPUBLISHED = frozenset({"outdated", "refused", "failed"})


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

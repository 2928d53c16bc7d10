"""What is done with the patches of a run: its files are written, then what the user asked for.

Nothing in the repository changes unless the user said so; a wish that cannot come true is refused before the search.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot import bundle, git, working_tree
from bot.bundle import MARKDOWN, PATCH, RESULT
from bot.errors import RepositoryError
from bot.patch_file import patch_file
from bot.records import Patch
from bot.run_files import write_bundle, write_patch, write_report
from bot.wording import commit_message

if TYPE_CHECKING:
    from bot.invocation import Invocation
    from bot.pipeline import Outcome
    from bot.running import Running


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where the user wants the repair."""

    apply: bool
    allow_dirty: bool
    branch: str | None
    patch: Path | None

    def check_flags(self) -> None:
        if self.apply and self.branch is not None:
            raise click.UsageError(
                "--apply and --branch exclude each other: one changes the working tree, one spares it."
            )
        if self.allow_dirty and not self.apply:
            raise click.UsageError("--allow-dirty means nothing without --apply.")

    def check(self, root: Path) -> None:
        """Refuse before the search what would fail after it."""
        if self.branch is not None:
            git.check_branch(root, self.branch)
        if self.patch is not None and not os.access(self.patch.parent, os.W_OK):
            raise click.UsageError(f"--patch {self.patch}: the folder does not exist or may not be written.")

    @property
    def wanted(self) -> bool:
        """True when the patches are to go anywhere but into the run's folder."""
        return bool(self.apply or self.branch or self.patch)

    def carry_out(
        self, call: Invocation, root: Path, outcome: Outcome, patches: Sequence[Patch], written: dict[str, str]
    ) -> list[str]:
        """Do with the patches what the user asked for; add what is where to `written`. Return lines for people."""
        advice: list[str] = []
        if self.patch is not None:
            self.patch.write_bytes(patch_file(patches))
            written["patch"] = str(self.patch.resolve())
            advice.append(f"The patch is in {self.patch}.")
        if self.apply:
            written["applied"] = ", ".join(working_tree.apply(root, patches, allow_dirty=self.allow_dirty))
            call.changed = f"the repair was written into {written['applied']}"
            advice.append(f"Written: {written['applied']}.")
        if self.branch is not None:
            written["commit"] = git.create_branch(root, self.branch, patches, commit_message(outcome, patches))
            written["branch"] = self.branch
            call.changed = f"the repair is on branch {self.branch}"
            advice.append(f"Committed as {written['commit'][:10]}; to see it: git show {self.branch}")
        return advice


def deliver(
    call: Invocation, run: Running, delivery: Delivery, outcome: Outcome, patches: Sequence[Patch], *, exit_code: int
) -> tuple[dict[str, str], list[str]]:
    """Write the run's files, and do what the user asked for. Return (what -> where, lines for people)."""
    folder = run.journal.folder
    written = {
        "journal": str(run.journal.path),
        "report": str(folder / MARKDOWN),
        "result": str(folder / RESULT),
        "bundle": str(folder / bundle.FILE),
    }
    advice: list[str] = []
    if patches:
        written["patch"] = write_patch(folder, patches)
    try:
        if patches:
            advice = delivery.carry_out(call, run.root, outcome, patches, written)
    except RepositoryError as error:
        hint = f"{error.hint} The patch itself is in {folder / PATCH}."
        raise RepositoryError(error.message, hint=hint) from error
    finally:
        about = run.about(written)
        write_report(folder, outcome, about, exit_code=exit_code)
        place = git.folder(run.root)
        source = bundle.source_of(os.environ, commit=run.commit, branch=git.branch(run.root), folder=place)
        write_bundle(folder, source, outcome, about, run.pipeline.combined, whole=run.config.whole_suite)
    if patches and not delivery.wanted:
        advice.append(
            f"Nothing in the repository was changed. To take the patch: {_how_to_apply(run.root, folder / PATCH)}"
        )
    if any("budget is spent" in repair.reason for repair in outcome.repairs if not repair.published):
        advice.append(
            "To search on where this run stopped, add --resume last and a larger budget, such as --budget 20m."
        )
    return written, [*advice, f"Report: {_near(folder / MARKDOWN)}"]


def _how_to_apply(root: Path, patch: Path) -> str:
    here = root == Path.cwd()
    return shlex.join(["git", *([] if here else ["-C", str(root)]), "apply", _near(patch) if here else str(patch)])


def _near(path: Path) -> str:
    """Return `path` as seen from the current folder, when it lies in it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)

"""The files that a run leaves in its folder: the patch, the report, the result, and the bundle that `publish` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot import bundle, report
from bot.bundle import HTML, MARKDOWN, PATCH, RESULT
from bot.execution_log import log
from bot.json_documents import dumps, repair_document
from bot.patch_file import changes, patch_file
from bot.records import Patch, Repair

if TYPE_CHECKING:
    from bot.pipeline import Outcome

Combined = Callable[[Sequence[Repair]], Mapping[str, bytes]]  # the files with all published patches in them


def write_patch(folder: Path, patches: Sequence[Patch]) -> str:
    """Write the patch file and return where it is."""
    (folder / PATCH).write_bytes(patch_file(patches))
    return str(folder / PATCH)


def write_report(folder: Path, outcome: Outcome, about: report.Run, *, exit_code: int) -> None:
    """Write the report for people, as Markdown and HTML, and the result for programs."""
    (folder / MARKDOWN).write_text(report.markdown(outcome, about), encoding="utf-8")
    (folder / HTML).write_text(report.html(outcome, about), encoding="utf-8")
    result = dumps(repair_document(outcome, about, exit_code=exit_code))
    (folder / RESULT).write_text(f"{result}\n", encoding="utf-8")


def write_bundle(
    folder: Path, source: bundle.Source, outcome: Outcome, about: report.Run, combined: Combined, *, whole: bool
) -> None:
    """Write what `publish` takes. whole: the whole suite was run."""
    bundle.write(
        folder,
        source,
        outcome.discovery,
        outcome.repairs,
        lambda repairs: changes(repairs, combined(repairs)),
        whole=whole,
        command=about.command,
        environment=outcome.environment,
        log=log(about.records),
    )

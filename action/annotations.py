"""What GitHub shows of a run: workflow commands, annotations, the step summary, and the files of outputs.

Everything that comes from the repository, the model or a payload is untrusted: it reaches the log only escaped, on one
line, and the outputs only behind a random delimiter.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TextIO

from bot import report
from bot.errors import EgcfgError
from bot.markup import printable
from bot.pipeline import Outcome
from bot.records import Repair, TestFailure
from bot.wording import headline
from runners.runner import RunnerError

ANNOTATIONS = 10  # GitHub shows no more of a step and level; the report has them all
ANNOTATION_LIMIT = 4000  # characters of one message; GitHub cuts at 4096
SUMMARY_LIMIT = 1000 * 1024  # bytes; GitHub drops a step summary above 1 MiB

Level = Literal["error", "warning", "notice"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """A message at a place in the code."""

    level: Level
    title: str
    message: str
    path: str = ""  # relative to the workspace
    line: int = 0  # 1-based; 0 when there is none


def annotated(outcome: Outcome, prefix: str = "") -> list[Annotation]:
    """Return at most ten: one for each repair, patches first."""
    ordered = sorted(outcome.repairs, key=lambda item: not item.published)
    found = [_annotation(item, prefix) for item in ordered]
    if len(found) <= ANNOTATIONS:
        return found
    rest = len(found) - ANNOTATIONS + 1
    return [*found[: ANNOTATIONS - 1], Annotation("notice", "egcfg-fix", f"{rest} more results are in the report.")]


def _annotation(item: Repair, prefix: str) -> Annotation:
    tests = f"{len(item.failures)} failing test{'s' if len(item.failures) != 1 else ''}"
    if item.published and item.patch and item.verdict and item.candidate:
        key = item.candidate.suspect.key
        functions = list(dict.fromkeys(step.qualname for step in item.patch.steps))
        what = "this function" if len(functions) == 1 else "these functions"
        message = f"A {item.verdict.word} patch of {what} makes {tests} pass. A machine wrote it: read it first.\n"
        return Annotation(
            "notice", f"Repaired: {', '.join(functions)}", message + item.patch.diff, prefix + key.path, key.first_line
        )
    path, line = _place(item.failures)
    said = item.failures[0].message.strip()
    names = ", ".join(failure.node_id for failure in item.failures[:5])
    return Annotation(
        "warning", f"Not repaired: {tests}", f"{names}\n{said}\n{item.reason}", prefix + path if path else "", line
    )


def _place(failures: tuple[TestFailure, ...]) -> tuple[str, int]:
    """Return where the first of the failing tests stands: the outermost frame is the test's own."""
    first = failures[0]
    if first.frames:
        return first.frames[0].path, first.frames[0].line
    return first.node_id.partition("::")[0], 0


def failed(error: EgcfgError | RunnerError) -> Annotation:
    """Return the annotation of an error: what happened, and what to do."""
    return Annotation("error", "egcfg-fix did not run", " ".join(part for part in (error.message, error.hint) if part))


def command(annotation: Annotation) -> str:
    """Return the workflow command for `annotation`, one line whatever it holds."""
    place = {"title": annotation.title[:200], "file": annotation.path, "line": str(annotation.line or "")}
    properties = ",".join(f"{name}={_property(value)}" for name, value in place.items() if value)
    return f"::{annotation.level} {properties}::{_data(annotation.message[:ANNOTATION_LIMIT])}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def summary(outcome: Outcome, about: report.Run) -> str:
    """Return the report, without its log or but for its headline where it would be more than GitHub shows."""
    for part in (about, replace(about, records=())):
        text = report.markdown(outcome, part)
        if len(text.encode()) <= SUMMARY_LIMIT:
            return text
    return f"# {headline(outcome)}\n\nThe report is longer than a step summary may be; it is in the report file.\n"


# Files that the runner reads


def output(name: str, value: str) -> str:
    """Return the lines that set the output `name`; no value can end them early or set another."""
    delimiter = f"end-{secrets.token_hex(16)}"
    return f"{name}<<{delimiter}\n{value}\n{delimiter}"


def append(environment: Mapping[str, str], name: str, text: str) -> None:
    """Append to the file that the variable `name` names; where the runner gave none, there is nobody to read it."""
    path = environment.get(name)
    if path:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)


@contextmanager
def group(stream: TextIO, title: str) -> Iterator[None]:
    """Fold what is printed inside. Lines in between are not read as commands by the runner, whatever they are."""
    fence = secrets.token_hex(16)
    print(f"::group::{_data(title)}\n::stop-commands::{fence}", file=stream, flush=True)
    try:
        yield
    finally:
        print(f"::{fence}::\n::endgroup::", file=stream, flush=True)


def result_outputs(outcome: Outcome, folder: Path, *, gpu: bool) -> dict[str, str]:
    """Return the outputs that tell what a repair came to. gpu: the model ran on one."""
    discovery = outcome.discovery
    published = [item for item in outcome.repairs if item.published]
    patch, seconds = folder / "fix.patch", sum(item.spent.seconds for item in outcome.repairs)
    counts = {
        "failing": len(discovery.failures),
        "flaky": sum(one.kind == "flaky" for one in discovery.failures),
        "attempted": sum(len(item.failures) for item in outcome.repairs if item.suspects),
        "fixed": len(discovery.failures) - len(outcome.still_failing),
        "supported": sum(item.verdict is not None and item.verdict.word == "strong" for item in published),
    }
    return {
        "skipped": "",
        **{name: str(count) for name, count in counts.items()},
        "run": str(folder),
        "report": str(folder / "report.md"),
        "report-json": str(folder / "result.json"),
        "patch": str(patch) if patch.is_file() else "",
        "gpu-seconds": f"{seconds if gpu else 0:.1f}",
    }

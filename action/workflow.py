"""GitHub Actions: inputs to Config; the outcome to outputs, annotations, a step summary and an exit status.

Publishes nothing: it writes a report and a patch file, and what becomes of them is the workflow's decision. Everything
that comes from the repository or the model is untrusted: it reaches the log only escaped, and the outputs only behind
a random delimiter. A composite action gets no INPUT_ variables of its own accord; action.yml maps them one by one.
"""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TextIO, cast

from bot import __version__, config, git, journal, report, terminal
from bot.errors import EXIT_NOT_REPAIRED, EXIT_OK, ConfigError, EgcfgError, RepositoryError, exit_code_of
from bot.pipeline import Outcome, combined, repair
from bot.records import Emit, Repair, TestFailure
from runners.runner import RunnerError

ANNOTATIONS = 10  # GitHub shows no more of a step and level; the report has them all
ANNOTATION_LIMIT = 4000  # characters of one message
SUMMARY_LIMIT = 1000 * 1024  # bytes; GitHub drops a step summary above 1 MiB
FAIL_ON = ("none", "error", "unfixed")

Level = Literal["error", "warning", "notice"]
Repairing = Callable[[Path, config.Config, Emit], Outcome]


@dataclass(frozen=True, slots=True)
class Annotation:
    """A message at a place in the code."""

    level: Level
    title: str
    message: str
    path: str = ""  # relative to the workspace
    line: int = 0  # 1-based; 0 when there is none


def main(
    environment: Mapping[str, str] | None = None, stream: TextIO | None = None, *, repair: Repairing = repair
) -> int:
    """Run the repair that the environment asks for; return the step's exit status. `repair` is the pipeline's."""
    environment = os.environ if environment is None else environment
    stream = sys.stdout if stream is None else stream
    try:
        fail_on = read_fail_on(environment)
    except ConfigError as error:
        print(command(_failed(error)), file=stream)
        return error.exit_code
    try:
        status = run(environment, stream, repair)
    except (EgcfgError, RunnerError) as error:
        print(command(_failed(error)), file=stream)
        _append(environment, "GITHUB_STEP_SUMMARY", f"### egcfg-fix did not run\n\n{report.words(error.message)}\n")
        return EXIT_OK if fail_on == "none" else exit_code_of(error)
    return status if fail_on == "unfixed" else EXIT_OK


def run(environment: Mapping[str, str], stream: TextIO, repair: Repairing) -> int:
    """Repair, and write what came of it; return 0 when nothing fails any more, else 1."""
    workspace = Path(environment.get("GITHUB_WORKSPACE") or ".").resolve()
    root = working_directory(environment, workspace)
    settings = config.load(root, flags(environment), environment)
    command_line = shlex.join(["egcfg-fix", "repair", *settings.arguments()])
    commit = git.head(root)
    with journal.Journal.create(root, environment) as records:
        records("run", command=command_line, version=__version__, commit=commit)
        with terminal.Terminal(terminal.console(stream, environment), in_ci=True) as shown:
            outcome = repair(root, settings, journal.Fanout(records, shown))
    if not outcome.discovery.collected and not outcome.discovery.failures:
        raise RepositoryError(
            "No tests were collected.", hint="Name some in `tests`, or check testpaths in pytest's configuration."
        )
    folder = records.folder
    patches = report.changes(outcome.repairs, combined(outcome.repairs))
    patch = folder / "fix.patch"
    if patches:
        patch.write_bytes(report.patch_file(patches))
    about = report.Run(str(folder), command_line, commit, records=journal.read(records.path))
    (folder / "report.md").write_text(report.markdown(outcome, about), encoding="utf-8")
    for annotation in annotated(outcome, _prefix(root, workspace)):
        print(command(annotation), file=stream)
    _append(environment, "GITHUB_STEP_SUMMARY", summary(outcome, about))
    outputs = {
        "failing": str(len(outcome.discovery.failures)),
        "fixed": str(len(outcome.discovery.failures) - len(outcome.still_failing)),
        "report": str(folder / "report.md"),
        "patch": str(patch) if patches else "",
    }
    _append(environment, "GITHUB_OUTPUT", "".join(f"{output(name, value)}\n" for name, value in outputs.items()))
    return EXIT_OK if outcome.all_repaired else EXIT_NOT_REPAIRED


# Inputs


def variable(name: str) -> str:
    """Return the variable in which action.yml passes the input `name`."""
    return "INPUT_" + name.upper().replace("-", "_")


def flags(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings given as inputs, in the form `config.load` takes flags. Running unconfined is not offered."""
    names = [one.field for one in config.declarations() if one.field != "unsafe_local"]
    given = {name: environment.get(variable(name), "").strip() for name in names}
    return {name: value for name, value in given.items() if value}


def read_fail_on(environment: Mapping[str, str]) -> str:
    given = environment.get(variable("fail-on"), "").strip() or "error"
    if given not in FAIL_ON:
        raise ConfigError(f"fail-on: {given!r} is not usable.", hint=f"It must be one of {', '.join(FAIL_ON)}.")
    return given


def working_directory(environment: Mapping[str, str], workspace: Path) -> Path:
    """Return the folder to repair; it must be a folder inside the workspace, links followed."""
    given = environment.get(variable("working-directory"), "").strip() or "."
    root = (workspace / given).resolve()
    if not root.is_relative_to(workspace) or not root.is_dir():
        raise ConfigError(
            f"working-directory: {given!r} is no folder of the workspace.",
            hint="Give a path relative to the workspace, and check the repository out first.",
        )
    return root


def _prefix(root: Path, workspace: Path) -> str:
    relative = root.relative_to(workspace).as_posix()
    return "" if relative == "." else f"{relative}/"


# Annotations and the summary


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
        message = (
            f"A {item.verdict.word} patch of this function makes {tests} pass. A machine wrote it: read it first.\n"
        )
        return Annotation(
            "notice", f"Repaired: {key.qualname}", message + item.patch.diff, prefix + key.path, key.first_line
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


def _failed(error: EgcfgError | RunnerError) -> Annotation:
    return Annotation("error", "egcfg-fix did not run", " ".join(part for part in (error.message, error.hint) if part))


def command(annotation: Annotation) -> str:
    """Return the workflow command for `annotation`, one line whatever it holds."""
    place = {"title": annotation.title[:200], "file": annotation.path, "line": str(annotation.line or "")}
    properties = ",".join(f"{name}={_property(value)}" for name, value in place.items() if value)
    return f"::{annotation.level} {properties}::{_data(annotation.message[:ANNOTATION_LIMIT])}"


def _data(text: str) -> str:
    return report.printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def summary(outcome: Outcome, about: report.Run) -> str:
    """Return the report, without its log or but for its headline where it would be more than GitHub shows."""
    for part in (about, replace(about, records=())):
        text = report.markdown(outcome, part)
        if len(text.encode()) <= SUMMARY_LIMIT:
            return text
    return (
        f"# {report.headline(outcome)}\n\nThe report is longer than a step summary may be; it is in the report file.\n"
    )


# Files that the runner reads


def output(name: str, value: str) -> str:
    """Return the lines that set the output `name`; no value can end them early or set another."""
    delimiter = f"end-{secrets.token_hex(16)}"
    return f"{name}<<{delimiter}\n{value}\n{delimiter}"


def _append(environment: Mapping[str, str], name: str, text: str) -> None:
    path = environment.get(name)
    if path:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(text)


if __name__ == "__main__":
    cast(TextIO, sys.stdout).reconfigure(encoding="utf-8", errors="replace")  # type: ignore[attr-defined]
    sys.exit(main())

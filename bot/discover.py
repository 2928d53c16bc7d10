"""Decides which tests count as failing: they fail in the whole suite and once more in a fresh process.

Runs tests through the runner only. A test that does not fail again is flaky: reported, never repaired, never a guide.
What rewriting a function body cannot repair (collection errors, broken fixtures) is told apart, each with its cause and
with what a person can do about it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from bot.errors import ConfigError, RepositoryError
from bot.records import Discovery, Emit, FailureKind, TestFailure
from runners.runner import Runner, SuiteRequest, SuiteRun, TestRun

ALONE = 5  # at most so many failing tests are run again in processes of their own; more share one
OUTPUT_LINES = 3
COUNTED = {
    "passed": ("passed", "xfailed"),
    "failed": ("failed", "error", "timeout", "crashed"),
    "skipped": ("skipped",),
}
REPEATED = 3  # ids named in one note

_MISSING_MODULE = re.compile(r"No module named '?([\w.]+)'?")
_MISSING_NAME = re.compile(r"cannot import name '(\w+)' from (?:partially initialized module )?'([\w.]+)'")
_SYNTAX_PLACE = re.compile(r'File "([^"]+)", line (\d+)')
_PLACE = re.compile(r"\(([\w./-]+\.py), line (\d+)\)")
_MISSING_FIXTURE = re.compile(r"fixture '(\w+)' not found|FixtureLookupError: \('(\w+)'")


def discover(runner: Runner, *, tests: Sequence[str] = (), emit: Emit) -> Discovery:
    """Run the suite and return its failures and what passed.

    tests: node ids, files or folders; only failures among them are returned, though the whole suite is run, since a
    patch must break none of it. Raises ConfigError for one that names no test, RepositoryError if there are no tests.
    """
    emit("stage", name="discover", text="Running the test suite")
    suite = runner.run_suite(SuiteRequest(coverage=True))
    _require_tests(suite)
    counts = {name: sum(run.outcome in kinds for run in suite.tests) for name, kinds in COUNTED.items()}
    emit("suite", collected=len(suite.tests), duration_s=suite.duration_s, **counts)
    chosen = _chosen(suite.tests, tests)
    failing = [run for run in chosen if run.failing]
    again = [run for run in failing if run.phase != "collect"]
    if again:
        emit("stage", name="discover", text=f"Running {_count(len(again), 'failing test')} once more")
    repeated = _repeat(runner, [run.node_id for run in again])
    failures = tuple(_failure(run, repeated.get(run.node_id)) for run in failing)
    notes = [*_suite_notes(suite), *_failure_notes(failures, repeated)]
    notes += [f"{test} passes already." for test in tests if not any(_names(test, run.node_id) for run in failing)]
    for failure in failures:
        emit("failure", failure=failure)
    for note in notes:
        emit("note", text=note)
    collected = [run for run in suite.tests if run.phase != "collect"]
    return Discovery(
        failures=failures,
        passing=tuple(run for run in suite.tests if run.passed),
        collected=len(collected),
        skipped=sum(run.outcome == "skipped" for run in collected),
        duration_s=suite.duration_s,
        notes=tuple(notes),
    )


def _require_tests(suite: SuiteRun) -> None:
    if suite.tests:
        return
    tail = " | ".join(line.strip() for line in suite.output.strip().splitlines()[-OUTPUT_LINES:])
    if not suite.complete:
        message = f"The test suite did not finish: {suite.reason or 'no reason given'}."
        hint = f"Its last output: {tail}" if tail else "Run pytest yourself to see why."
        raise RepositoryError(message, hint=hint)
    raise RepositoryError(
        "No tests were collected.",
        hint="Run egcfg-fix where pytest finds the tests, or set testpaths in the repository's pytest configuration.",
    )


def _chosen(runs: Sequence[TestRun], tests: Sequence[str]) -> list[TestRun]:
    """Return the runs that the user asked for; all of them if the user named none."""
    if not tests:
        return list(runs)
    for test in tests:
        if not any(_names(test, run.node_id) for run in runs):
            known = [run.node_id for run in runs]
            wider = [*known, *dict.fromkeys(node_id.partition("::")[0] for node_id in known)]
            near = difflib.get_close_matches(test, wider, n=3, cutoff=0.5)
            named = [node_id for node_id in known if test.rpartition("::")[2] in node_id]
            nearest = list(dict.fromkeys([*named, *near]))[:3]
            hint = f"Did you mean {', '.join(nearest)}?" if nearest else f"{len(known)} tests were collected."
            raise ConfigError(f"There is no test {test}.", hint=hint)
    return [run for run in runs if any(_names(test, run.node_id) for test in tests)]


def _names(test: str, node_id: str) -> bool:
    """True if what the user wrote is this test or holds it: a folder, file, class, or test with parameters."""
    test = test.removeprefix("./").rstrip("/")
    return node_id == test or test in ("", ".") or any(node_id.startswith(test + mark) for mark in ("/", "::", "["))


def _repeat(runner: Runner, node_ids: Sequence[str]) -> dict[str, TestRun]:
    """Run tests once more in fresh processes, a few of them each alone."""
    batches = [[node_id] for node_id in node_ids] if len(node_ids) <= ALONE else [list(node_ids)]
    repeated: dict[str, TestRun] = {}
    for batch in batches:
        repeated.update(runner.run_suite(SuiteRequest(node_ids=tuple(batch))).by_id())
    return repeated


def _failure(run: TestRun, again: TestRun | None) -> TestFailure:
    kind: FailureKind = "failure"
    if run.phase == "collect":
        kind = "collection"
    elif again is not None and (again.passed or again.outcome in ("skipped", "xpassed")):
        kind = "flaky"
    elif run.outcome == "timeout":
        kind = "timeout"
    elif run.outcome == "crashed":
        kind = "crash"
    elif run.phase in ("setup", "teardown"):
        kind = "fixture"
    return TestFailure(
        node_id=run.node_id,
        phase=run.phase,
        kind=kind,
        exception=run.exception,
        message=run.message,
        frames=run.frames,
        functions=run.functions,
    )


def _suite_notes(suite: SuiteRun) -> list[str]:
    if suite.complete:
        return []
    return [f"The suite did not run to its end: {suite.reason or 'no reason given'}. Tests after that are not known."]


def _failure_notes(failures: Iterable[TestFailure], repeated: dict[str, TestRun]) -> list[str]:
    """Return a note for each cause that a rewritten body cannot repair, or that a person should know."""
    causes: dict[str, list[str]] = {}
    for failure in failures:
        text = _explanation(failure, repeated.get(failure.node_id))
        if text:
            causes.setdefault(text, []).append(failure.node_id)
    return [f"{_enumeration(ids)}: {text}" for text, ids in causes.items()]


def _explanation(failure: TestFailure, again: TestRun | None) -> str:
    if failure.kind == "flaky":
        return (
            "fails in the whole suite but not when run again, so it is reported and not repaired. "
            "Look for shared state, order, time or randomness."
        )
    if failure.kind == "collection":
        return _collection(failure)
    if failure.kind == "fixture":
        missing = _MISSING_FIXTURE.search(failure.message)
        if missing:
            name = missing[1] or missing[2]
            return f"there is no fixture {name}. Define it in a conftest.py or install the plugin that has it."
        where = f" at {failure.frames[-1].path}:{failure.frames[-1].line}" if failure.frames else ""
        return f"its fixture fails in {failure.phase}{where} ({_short(failure)}). Repair the fixture by hand."
    if failure.kind == "timeout":
        return (
            "takes longer than the limit for one test, so it is taken for a hang. If it is only slow, raise the limit."
        )
    if failure.kind == "crash":
        return f"ends the interpreter ({_short(failure)})."
    if again is None or again.outcome == "missing":
        return "could not be run again by its id, so nothing tells whether it always fails."
    return ""


def _collection(failure: TestFailure) -> str:
    """Return why a module cannot be collected and what to do."""
    text = failure.message
    module = _MISSING_MODULE.search(text)
    if module:
        name = module[1].partition(".")[0]
        return (
            f"cannot be collected because the module {module[1]} is missing. If {name} is a dependency, add it to the "
            "repository's test dependencies or install it in --python's environment; if it is the repository's own, "
            "install the repository or set pythonpath in its pytest configuration."
        )
    if failure.exception in ("SyntaxError", "IndentationError", "TabError") or "SyntaxError" in text:
        place = _PLACE.search(text) or next(reversed(list(_SYNTAX_PLACE.finditer(text))), None)
        path = place[1] if place else ""
        if failure.node_id.endswith("/" + path):
            path = failure.node_id  # pytest tells the name alone
        where = f" at {path}:{place[2]}" if place else ""
        return f"cannot be collected because of a syntax error{where}. Correct it by hand; no body can be run before."
    name_error = _MISSING_NAME.search(text)
    if name_error:
        return f"cannot be collected because {name_error[2]} has no {name_error[1]}. A missing definition is not added."
    where = f" at {failure.frames[-1].path}:{failure.frames[-1].line}" if failure.frames else ""
    return f"cannot be collected{where} ({_short(failure)}). Code that runs at import is not repaired."


def _short(failure: TestFailure) -> str:
    lines = [line.strip() for line in failure.message.splitlines() if line.strip()]
    text = lines[0] if lines else "no message"
    if failure.exception and not text.startswith(failure.exception):
        text = f"{failure.exception}: {text}"
    return text if len(text) <= 160 else text[:157] + "..."


def _enumeration(node_ids: Sequence[str]) -> str:
    shown = ", ".join(node_ids[:REPEATED])
    return shown if len(node_ids) <= REPEATED else f"{shown} and {len(node_ids) - REPEATED} more"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

"""Repairs a stale test instead of the code: only on `--repair tests`, one test function a patch, always labelled.

For a suite that an intended change of the code left behind. The body of the failing test function is written anew, its
name, decorators, parameters and fixtures stay. What a new body must stand, in this order: it asserts as much as the old
one (`bot.assertions`), it passes against the code as it is in a fresh run of the whole suite, it is what makes the test
pass (seen red), and it notices every fault in the code that the old one noticed (`bot.mutants`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from math import nan
from pathlib import PurePosixPath

from bot.assertions import weakened
from bot.functions import BodyError, FunctionText, find_function, functions_in
from bot.localise import is_test_path
from bot.mutants import noticed
from bot.observed import corrected
from bot.patches import make_patch
from bot.records import Candidate, Patch, Spent, Suspect, TestFailure, Verdict
from runners.runner import FunctionKey, Runner, Session, TestRun

ROUNDS = 12  # corrections of one body, at most
LABEL = "a TEST was changed, not the code"
Read = Callable[[str], bytes]
Groups = list[tuple[tuple[TestFailure, ...], list[Suspect]]]


def by_test_function(
    failures: Sequence[TestFailure], read: Read
) -> list[tuple[tuple[TestFailure, ...], list[Suspect]]]:
    """Return the failing tests by the one function that holds them, as a group with that function for its suspect.

    Failures whose function cannot be found (made at run time, inherited, from a plugin) form a group without a suspect.
    """
    groups: dict[FunctionKey | str, list[TestFailure]] = {}
    for failure in failures:
        groups.setdefault(_key(failure.node_id, read) or failure.node_id, []).append(failure)
    reason = "the failing test itself, on --repair tests"
    return [
        (tuple(members), [Suspect(key, 1.0, 1.0, 1.0, reason)] if isinstance(key, FunctionKey) else [])
        for key, members in groups.items()
    ]


def _key(node_id: str, read: Read) -> FunctionKey | None:
    path, _, names = node_id.partition("::")
    if not is_test_path(path) or PurePosixPath(path).name == "conftest.py":
        return None
    qualname = names.partition("[")[0].replace("::", ".")
    try:
        found = [f for f in functions_in(read(path)) if f.qualname == qualname]
    except (OSError, SyntaxError, ValueError):
        return None
    return FunctionKey(path, qualname, found[-1].first_line) if found else None  # the last definition is the one run


def corrections(
    suspect: Suspect, function: FunctionText, source: bytes, session: Session, names: Collection[str]
) -> Iterator[Candidate]:
    """Yield the body in which one expectation after the other is what the code does, if it passes in the end.

    session: whose target is the test function. names: in scope in its module.
    """
    body = function.body
    seen = {body}
    for _ in range(ROUNDS):
        try:
            content = make_patch(suspect.key.path, source, function, body).after
        except BodyError:
            return
        (execution,) = session.execute([content])
        if execution.passed and body != function.body:
            yield Candidate(suspect, body, "observed", "values met by the test", nan, Spent())
        failing: TestRun | None = next((run for run in execution.runs if run.outcome == "failed"), None)
        body = corrected(function, body, failing, names) if failing is not None else ""
        if not body or body in seen:
            return
        seen.add(body)


def judged(
    patch: Patch, verdict: Verdict, function: FunctionText, body: str, under_test: Sequence[Suspect], runner: Runner,
    node_ids: Sequence[str], read: Read,
) -> Verdict:  # fmt: skip
    """Return the verdict on a changed test: labelled, and with what it notices of the faults that the old one noticed.

    verdict: of the cold runs. under_test: functions of the code that the test executes, most suspicious first.
    """
    if not verdict.publishable:
        return replace(verdict, reasons=(LABEL, *verdict.reasons))
    weaker = weakened(function, body)
    if weaker:
        return replace(verdict, word="rejected", reasons=(LABEL, weaker))
    functions = []
    for suspect in under_test:
        source = read(suspect.key.path)
        text = find_function(source, suspect.key.qualname, suspect.key.first_line)
        if text is not None:
            functions.append((suspect.key, text, source))
    found = noticed(patch, node_ids, functions, runner)
    if found.missed:
        missed = "; ".join(found.missed[:3])
        reason = f"it misses {len(found.missed)} of {found.by_old} faults that the old test noticed: {missed}"
        return replace(verdict, word="rejected", reasons=(LABEL, reason))
    if not found.by_old:
        reason = f"nothing shows that it still tests the code: of {found.tried} faults tried the old test noticed none"
        return replace(verdict, word="suspect", reasons=(LABEL, reason))
    kept = (
        f"of {found.tried} faults put into the code it notices {found.by_new}, with all {found.by_old} of the old test"
    )
    return replace(verdict, word="plausible", reasons=(LABEL, kept, *verdict.reasons))

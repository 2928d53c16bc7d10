"""Decides when a patch is plausible, by cold runs of the whole suite.

Runs tests through the runner only. A verdict never rests on what steered the search: a fresh process, a fresh copy
with nothing but the patched file changed, canary tests, every expected test accounted for, and the same tests seen red
with a body that only raises. In one interpreter this detects what is not tailored to the judge; it proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from bot.apart import Opinion, conftests, judge_apart, same_files, test_files
from bot.context import source_of_test
from bot.errors import EgcfgError
from bot.functions import FunctionText
from bot.gate import forbidden
from bot.guides import reaching
from bot.overfitting import smells
from bot.patches import body_change, with_body
from bot.records import Discovery, Patch, TestFailure, Verdict, VerdictWord
from runners.runner import Runner, SuiteRequest, SuiteRun, TestRun

UNPROVEN = "it changes several functions, and no failing test was held out to tell right bodies from passing ones"
NAMED = 3  # ids named in one reason
SCREENING = 40  # passing tests that are run before the whole suite is
RAISING = "    raise RuntimeError('egcfg-fix looks whether this body is run')\n"


# ---------------------------------------------------------------------------------------------------------- verdict


def verify(
    patch: Patch,
    failures: Sequence[TestFailure],
    discovery: Discovery,
    runner: Runner,
    *,
    red_check: bool = True,
    held_out: Sequence[str] = (),
    read: Callable[[str], bytes] | None = None,
    of_code: bool = True,
) -> Verdict:
    """Judge a patch by the whole suite, run cold. Each of its bodies must pass the static gate and be run by the tests.

    failures: that the patch is for; each must pass now. held_out: ids among them that did not steer the search.
    red_check: also see the targets fail with a body that only raises. read: the repository's files, for the tests'
    sources, without which overfitting is judged by the failures' messages alone. of_code: False for the
    body of a test, to which neither overfitting nor judging it apart from its tests applies.
    """
    targets = [failure.node_id for failure in failures]
    bodies = _bodies(patch)
    if isinstance(bodies, str):
        return Verdict("rejected", (bodies,))
    level = f"J4 in {runner.kind}" if runner.isolated else f"J4, {runner.kind}"
    refused = _screened(targets, discovery, runner, patch, level)
    if refused is not None:
        return refused
    ids = _expected(targets, discovery)
    suite = runner.run_suite(SuiteRequest(node_ids=ids, files=patch.files, canaries=True))
    reasons, verdict = _judge(suite, targets, discovery, runner, patch, level)
    if reasons:
        return Verdict("rejected", tuple(reasons), *verdict)
    doubt = _second_look(targets, patch, runner, red_check=red_check)
    if doubt:
        return Verdict("rejected", (doubt,), *verdict)
    opinion = _apart(patch, bodies, discovery, targets, runner, read) if of_code else Opinion()
    if opinion.applies:
        verdict = (*verdict[:-1], level.replace("J4", "J4 + J5", 1))
    tests = _tests_of(failures, read)
    found = [smell for function, body in bodies for smell in smells(function, body, tests)] if of_code else []
    held = [node_id for node_id in held_out if node_id in targets]
    if patch.further and not held:
        found.append(UNPROVEN)
    word, why = _word(
        [*([opinion.doubt] if opinion.doubt else []), *found],
        held,
        targets,
        isolated=runner.isolated,
    )
    return Verdict(word, (*why, *_limits(discovery, opinion)), *verdict)


def _bodies(patch: Patch) -> list[tuple[FunctionText, str]] | str:
    """Return the functions that a patch changes, each with its new body; or why they may not be run."""
    found = []
    for step in patch.steps:
        change = body_change(step)
        if change is None:
            return "the patch changes something else than function bodies"
        refusal = forbidden(change[0], step.before, change[1])
        if refusal:
            return f"the body may not be run: {refusal}"
        found.append(change)
    return found


def _limits(discovery: Discovery, opinion: Opinion) -> list[str]:
    """Return what a verdict does not rest on."""
    flaky = [failure.node_id for failure in discovery.failures if failure.kind in ("flaky", "order")]
    notes = [f"not judged by {_enumeration(flaky)}, which fail only sometimes"] if flaky else []
    return notes + ([f"judged in one process with its tests: {opinion.why}"] if opinion.why else [])


def _apart(
    patch: Patch,
    bodies: Sequence[tuple[FunctionText, str]],
    discovery: Discovery,
    targets: Sequence[str],
    runner: Runner,
    read: Callable[[str], bytes] | None,
) -> Opinion:
    """Return what judging the function apart from its tests came to."""
    if len(bodies) != 1:
        return Opinion(why="the patch changes several functions")
    if read is None:
        return Opinion(why="the sources of its tests are not known")
    tests = {}
    files = test_files([*targets, *(run.node_id for run in discovery.passing)])
    for path in dict.fromkeys(part for file in files for part in (file, *conftests(file))):
        try:
            tests[path] = read(path).decode("utf-8", "replace")
        except (OSError, EgcfgError):
            continue
    function, body = bodies[0]
    near = same_files(_executing(patch, discovery), targets)
    return judge_apart(patch, function, body, runner, targets, near, tests)


def _executing(patch: Patch, discovery: Discovery) -> list[str]:
    """Return the passing tests that execute a changed function; those that execute the fewest others come first."""
    changed = {(step.path, step.qualname) for step in patch.steps}
    keys = {key for run in discovery.passing for key in run.functions if (key.path, key.qualname) in changed}
    return [run.node_id for run in reaching(discovery.passing, keys)]


def _expected(targets: Sequence[str], discovery: Discovery) -> tuple[str, ...] | None:
    """Return the tests to run: the whole suite, but for other tests that are known to hang."""
    hanging = {f.node_id for f in discovery.failures if f.kind == "timeout"} - set(targets)
    if not hanging:
        return None
    others = [f.node_id for f in discovery.failures if f.phase != "collect" and f.node_id not in hanging]
    return tuple(dict.fromkeys([*(run.node_id for run in discovery.passing), *discovery.untried, *others, *targets]))


def _screened(targets: Sequence[str], discovery: Discovery, runner: Runner, patch: Patch, level: str) -> Verdict | None:
    """Return why the patch is rejected by the tests that say most about it, before a long suite is run; None if not."""
    guarding = _executing(patch, discovery)[:SCREENING]
    if 2 * len(guarding) > len(discovery.passing) or len(discovery.passing) < SCREENING:
        return None  # the whole suite costs hardly more
    runs = runner.run_suite(SuiteRequest((*targets, *guarding), patch.files)).by_id()
    still = [node_id for node_id in targets if not _passed(runs.get(node_id))]
    if still:
        return Verdict("rejected", (f"{_enumeration(still)} still fails",), still_failing=tuple(still), level=level)
    broken = [node_id for node_id in guarding if not _kept(runs.get(node_id))]
    broken = _really_broken(broken[:NAMED], runner, patch) if broken else []
    if broken:
        return Verdict("rejected", (f"it breaks {_enumeration(broken)}",), broken=tuple(broken), level=level)
    return None


def _judge(
    suite: SuiteRun, targets: Sequence[str], discovery: Discovery, runner: Runner, patch: Patch, level: str
) -> tuple[list[str], tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], int, str]]:
    """Return why the suite rejects the patch, and the verdict's other fields."""
    runs = suite.by_id()
    flaky = {failure.node_id for failure in discovery.failures if failure.kind in ("flaky", "order")}
    fixed = [f.node_id for f in discovery.failures if f.node_id not in flaky and _passed(runs.get(f.node_id))]
    still = [node_id for node_id in targets if not _passed(runs.get(node_id))]
    before = [i for i in (*(run.node_id for run in discovery.passing), *discovery.untried) if i not in flaky]
    broken = [node_id for node_id in before if not _kept(runs.get(node_id))]
    reasons = []
    if suite.tampered:
        reasons.append(f"the results were tampered with: {suite.tampered}")
    if not suite.complete:
        reasons.append(f"the suite did not run to its end: {suite.reason or 'no reason given'}")
    if still:
        reasons.append(f"{_enumeration(still)} still fails" if len(still) == 1 else f"{_enumeration(still)} still fail")
    if broken and not reasons:
        broken = _really_broken(broken, runner, patch)
    if broken:
        reasons.append(f"it breaks {_enumeration(broken)}")
    return reasons, (tuple(fixed), tuple(still), tuple(broken), len(before), level)


def _really_broken(broken: list[str], runner: Runner, patch: Patch) -> list[str]:
    """Return those that the patch breaks every time: they pass again without it and fail again with it."""
    ids = tuple(broken)
    without = runner.run_suite(SuiteRequest(node_ids=ids)).by_id()
    with_it = runner.run_suite(SuiteRequest(node_ids=ids, files=patch.files)).by_id()
    return [i for i in broken if _kept(without.get(i)) and not _kept(with_it.get(i))]


def _second_look(targets: Sequence[str], patch: Patch, runner: Runner, *, red_check: bool) -> str:
    """Return why the green of the targets means nothing: they go red again, or are green whatever the body does."""
    ids = tuple(targets)
    again = runner.run_suite(SuiteRequest(node_ids=ids, files=patch.files, canaries=True))
    unstable = [i for i in ids if not _passed(again.by_id().get(i))]
    if again.tampered:
        return f"the results were tampered with: {again.tampered}"
    if unstable:
        return f"{_enumeration(unstable)} passed once and failed the next time"
    for step in patch.steps if red_check else ():
        files = with_body(patch, step, RAISING)
        red = runner.run_suite(SuiteRequest(node_ids=ids, files=files)).by_id()
        green = [i for i in ids if _passed(red.get(i))]
        if len(green) > (0 if not patch.further else len(ids) - 1):  # of several bodies, not each test needs each
            whose = f"that of {step.qualname}" if patch.further else "the body"
            return f"{_enumeration(green)} pass even if {whose} only raises: other code is being tested"
    return ""


def _word(
    found: Sequence[str], held_out: Sequence[str], targets: Sequence[str], *, isolated: bool
) -> tuple[VerdictWord, list[str]]:
    """Return the word for a patch that passes everything, and why."""
    if found:
        return "suspect", [f"smells of overfitting: {reason}" for reason in found]
    guided = len(targets) - len(held_out)
    passing = f"{guided} guiding and {len(held_out)} held-out tests pass, nothing breaks"
    if not isolated:
        return "plausible", [passing, "judged without isolation"]
    if held_out:
        return "strong", [passing]
    return "plausible", [f"{passing}; no failing test was held out to judge it"]


def _passed(run: TestRun | None) -> bool:
    """True for a target that really passed: not skipped, not expected to fail."""
    return run is not None and run.outcome == "passed"


def _kept(run: TestRun | None) -> bool:
    return run is not None and (run.passed or run.outcome == "xpassed")


def _tests_of(failures: Iterable[TestFailure], read: Callable[[str], bytes] | None) -> list[str]:
    """Return the failing tests' sources, parameters included, or their messages where there is no source."""
    texts = []
    for failure in failures:
        source = source_of_test(failure.node_id, read) if read is not None else ""
        texts.append(source or _assertion(failure.message))
    return texts


def _assertion(message: str) -> str:
    """Return pytest's rewritten assertion, "assert 3 == 4", as Python if it is any."""
    match = re.search(r"assert .+", message)
    return match[0] if match else ""


def _enumeration(node_ids: Sequence[str]) -> str:
    shown = ", ".join(node_ids[:NAMED])
    return shown if len(node_ids) <= NAMED else f"{shown} and {len(node_ids) - NAMED} more"

"""Decides when a patch is plausible, by cold runs of the whole suite, and when it may not even be run.

Runs tests through the runner only. A verdict never rests on what steered the search: a fresh process, a fresh copy
with nothing but the patched file changed, canary tests, every expected test accounted for, and the same tests seen red
with a body that only raises. In one interpreter this detects what is not tailored to the judge; it proves nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from bot.context import source_of_test
from bot.functions import FunctionText
from bot.overfitting import smells
from bot.patches import body_change, with_body
from bot.records import Discovery, Patch, TestFailure, Verdict, VerdictWord
from runners.runner import FRONTIER, Runner, SuiteRequest, SuiteRun, TestRun

NAMED = 3  # ids named in one reason
RAISING = "    raise RuntimeError('egcfg-fix looks whether this body is run')\n"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PURE_MODULES = _words("""
    abc array bisect cmath collections contextlib copy dataclasses datetime decimal enum fractions functools heapq
    itertools json math numbers operator re statistics string textwrap types typing unicodedata warnings""")
REFUSED_NAMES = _words("""
    eval exec compile globals locals vars breakpoint exit quit SystemExit KeyboardInterrupt GeneratorExit
    __import__ __builtins__ __loader__ __spec__""")
VARIABLE_NAMES = frozenset({"vars", "exit", "quit"})  # of the refused names, those that people give to variables
REFUSED_ATTRIBUTES = _words("""
    f_back f_locals f_globals f_builtins gi_frame cr_frame ag_frame tb_frame tb_next _getframe _current_frames
    currentframe get_objects get_referrers settrace setprofile modules _exit _Exit
    __globals__ __code__ __closure__ __subclasses__ __builtins__ __traceback__""")
COMPARISONS = _words("""
    __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __hash__ __bool__ __len__ __contains__""")
_NODE_ID = re.compile(r"\.py::|PYTEST_CURRENT_TEST|pytest_")


# ------------------------------------------------------------------------------------------------------ static gate


def forbidden(function: FunctionText, source: bytes, body: str) -> str:
    """Return why `body` may not be run at all, or "".

    function: with the old body, of the file `source`. Refuses what a repair has no need of and a fake lives by: imports
    outside a short pure list, eval and its kin, frames, the test runner, node ids, classes that equal everything.
    Whatever the file uses already is allowed. A filter, not a proof: the sandbox is the boundary.
    """
    if FRONTIER in body:
        return f"it uses the reserved name {FRONTIER}"
    try:
        tree = ast.parse(function.header + body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "it is not valid Python"
    known = _used(source)
    strings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    named = sorted(text for text in strings if _NODE_ID.search(text) and repr(text) not in known)
    if named:
        return f"it knows the tests by name ({named[0][:40]!r})"
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        for word in _refused(node):
            if word not in known and not (word in bound and word in VARIABLE_NAMES):
                return f"it uses {word}, which the file does not"
        if isinstance(node, ast.Import | ast.ImportFrom):
            for module in _imported(node):
                if module not in PURE_MODULES and module not in known:
                    return f"it imports {module}, which the file does not"
        elif isinstance(node, ast.ClassDef):
            tricks = sorted(COMPARISONS & {n.name for n in node.body if isinstance(n, ast.FunctionDef)} - known)
            if tricks:
                return f"it defines a class with {tricks[0]}"
    return ""


def _refused(node: ast.AST) -> Iterator[str]:
    """Yield the words of one node that a body may not bring in."""
    if isinstance(node, ast.Name) and node.id in REFUSED_NAMES:
        yield node.id
    elif isinstance(node, ast.Attribute) and node.attr in REFUSED_ATTRIBUTES:
        yield node.attr
    elif isinstance(node, ast.Constant) and _is_hidden_name(node.value):
        yield str(node.value)


def _is_hidden_name(value: object) -> bool:
    """True for a refused name as a string, for `getattr`; words that are no names of Python's own are just text."""
    return isinstance(value, str) and "_" in value and value in REFUSED_ATTRIBUTES | REFUSED_NAMES


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the top-level modules an import names; a relative import stays inside the repository."""
    if isinstance(node, ast.ImportFrom):
        return [] if node.level else [(node.module or "").partition(".")[0]]
    return [alias.name.partition(".")[0] for alias in node.names]


@lru_cache(maxsize=16)
def _used(source: bytes) -> frozenset[str]:
    """Return every name, attribute, module and method that the file holds already, and the repr of every string."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.arg):
            words.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            words.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            words.update(_imported(node))
            words.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.add(repr(node.value))
    return frozenset(words)


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
) -> Verdict:
    """Judge a patch by the whole suite, run cold. Each of its bodies must pass the static gate and be run by the tests.

    failures: that the patch is for; each must pass now. held_out: ids among them that did not steer the search.
    red_check: also see the targets fail with a body that only raises. read: the repository's files, for the tests'
    sources, without which overfitting is judged by the failures' messages alone.
    """
    targets = [failure.node_id for failure in failures]
    bodies: list[tuple[FunctionText, str]] = []
    for step in patch.steps:
        change = body_change(step)
        if change is None:
            return Verdict("rejected", ("the patch changes something else than function bodies",))
        refusal = forbidden(change[0], step.before, change[1])
        if refusal:
            return Verdict("rejected", (f"the body may not be run: {refusal}",))
        bodies.append(change)
    level = f"J4 in {runner.kind}" if runner.isolated else f"J4, {runner.kind}"
    ids = _expected(targets, discovery)
    suite = runner.run_suite(SuiteRequest(node_ids=ids, files=patch.files, canaries=True))
    reasons, verdict = _judge(suite, targets, discovery, runner, patch, level)
    if reasons:
        return Verdict("rejected", tuple(reasons), *verdict)
    doubt = _second_look(targets, patch, runner, red_check=red_check)
    if doubt:
        return Verdict("rejected", (doubt,), *verdict)
    tests = _tests_of(failures, read)
    found = [smell for function, body in bodies for smell in smells(function, body, tests)]
    word, why = _word(found, [i for i in held_out if i in targets], targets, isolated=runner.isolated)
    flaky = [failure.node_id for failure in discovery.failures if failure.kind == "flaky"]
    notes = [f"not judged by {_enumeration(flaky)}, which fail only sometimes"] if flaky else []
    return Verdict(word, (*why, *notes), *verdict)


def _expected(targets: Sequence[str], discovery: Discovery) -> tuple[str, ...] | None:
    """Return the tests to run: the whole suite, but for other tests that are known to hang."""
    hanging = {f.node_id for f in discovery.failures if f.kind == "timeout"} - set(targets)
    if not hanging:
        return None
    others = [f.node_id for f in discovery.failures if f.kind != "collection" and f.node_id not in hanging]
    return tuple(dict.fromkeys([*(run.node_id for run in discovery.passing), *others, *targets]))


def _judge(
    suite: SuiteRun, targets: Sequence[str], discovery: Discovery, runner: Runner, patch: Patch, level: str
) -> tuple[list[str], tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], int, str]]:
    """Return why the suite rejects the patch, and the verdict's other fields."""
    runs = suite.by_id()
    flaky = {failure.node_id for failure in discovery.failures if failure.kind == "flaky"}
    fixed = [f.node_id for f in discovery.failures if f.node_id not in flaky and _passed(runs.get(f.node_id))]
    still = [node_id for node_id in targets if not _passed(runs.get(node_id))]
    before = [run.node_id for run in discovery.passing if run.node_id not in flaky]
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

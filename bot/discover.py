"""Decides which tests count as failing: they fail in the whole suite and once more in a fresh process.

Runs tests through the runner only. A test that does not fail again is flaky or depends on the order: reported, never
repaired, never a guide. What rewriting a function body cannot repair is told apart by `bot.causes`, each with its cause
and with what a person can do about it. Where the user names tests of a large suite, or an earlier run tells which fail,
only those are run, and passing tests that may execute the same functions.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bot.causes import explanation, kind_of
from bot.errors import ConfigError, RepositoryError
from bot.junit import Mapped
from bot.order import culprits
from bot.records import Discovery, Emit, TestFailure
from runners.runner import Runner, SuiteRequest, SuiteRun, TestRun

ALONE = 5  # at most so many failing tests are run again in processes of their own; more share one
INVESTIGATED = 3  # tests that pass alone and are looked into; looking takes several runs of parts of the suite
WHOLE = 1000  # tests of a suite that is run whole although the user named some of them
RELATED = 200  # passing tests that are run beside the failing ones where the suite is not run whole
STEPS = 20  # times that the progress of one run is told
OUTPUT_LINES = 3
COUNTED = {
    "passed": ("passed", "xfailed"),
    "failed": ("failed", "error", "timeout", "crashed"),
    "skipped": ("skipped",),
}
REPEATED = 3  # ids named in one note
HUNG = 2  # tests that hang, each for as long as one may take, which are run again; what hangs rarely passes alone

Read = Callable[[str], bytes]  # path -> the file's bytes; any exception means that it cannot be read
Earlier = Callable[[Sequence[str]], Mapped]


def discover(
    runner: Runner,
    *,
    tests: Sequence[str] = (),
    earlier: Earlier | None = None,
    read: Read | None = None,
    times: int = 1,
    emit: Emit,
) -> Discovery:
    """Run the suite, or what is needed of it, and return its failures and what passed.

    tests: node ids, files or folders; only failures among them are returned. A suite of moderate size is run whole all
    the same, since a patch must break none of it. earlier: says which tests failed in a run that is over; these are
    run, and the rest of the suite is not. read: the repository's files, by which related passing tests are chosen.
    times: that a failing test must fail again; of those that hang, the first two must.
    Raises ConfigError for a name that is no test's, RepositoryError if there are no tests.
    """
    emit("stage", name="discover", text="Running the test suite")
    first = _first_run(runner, tests, earlier, read, emit)
    failing = [run for run in first.chosen if run.failing]
    dear = [run for run in failing if run.outcome == "timeout"][HUNG:]
    again = [run.node_id for run in failing if run.phase != "collect" and run not in dear]
    if again:
        emit("stage", name="discover", text=f"Running {_count(len(again), 'failing test')} {_often(times)}")
    repeated = _repeat(runner, again, times)
    after = _after(runner, failing, repeated, first, emit)
    failures = tuple(_failure(run, repeated.get(run.node_id), after.get(run.node_id, "")) for run in failing)
    notes = [*first.notes, *_failure_notes(failures, repeated, after)]
    notes += [f"{test} passes already." for test in tests if not _Names([test]).any(run.node_id for run in failing)]
    for failure in failures:
        emit("failure", failure=failure)
    for note in notes:
        emit("note", text=note)
    collected = [run for run in first.tests if run.phase != "collect"]
    return Discovery(
        failures=failures,
        passing=tuple(run for run in first.tests if run.passed),
        collected=len(collected),
        skipped=sum(run.outcome == "skipped" for run in collected),
        duration_s=first.duration_s,
        notes=tuple(notes),
        untried=first.untried,
    )


# --------------------------------------------------------------------------------------------------------- first run


@dataclass(frozen=True, slots=True)
class _First:
    """What the first runs showed. tests: all of them, in the suite's order; untried ones are "missing"."""

    tests: tuple[TestRun, ...]
    chosen: tuple[TestRun, ...]  # those that the user means
    duration_s: float
    notes: tuple[str, ...] = ()
    untried: tuple[str, ...] = ()


def _first_run(runner: Runner, tests: Sequence[str], earlier: Earlier | None, read: Read | None, emit: Emit) -> _First:
    if not tests and earlier is None:
        return _whole(runner, tests, emit)
    collected = runner.run_suite(SuiteRequest(collect_only=True))
    _require_tests(collected)
    _chosen(collected.tests, tests)
    if earlier is None and len(collected.tests) <= WHOLE:
        return _whole(runner, tests, emit)
    return _selected(runner, collected, tests, earlier, read, emit)


def _whole(runner: Runner, tests: Sequence[str], emit: Emit) -> _First:
    suite = runner.run_suite(SuiteRequest(coverage=True, progress=_Progress(emit)))
    _require_tests(suite)
    _tell(suite.tests, suite.duration_s, emit)
    return _First(suite.tests, tuple(_chosen(suite.tests, tests)), suite.duration_s, tuple(_suite_notes(suite)))


def _selected(
    runner: Runner, collected: SuiteRun, tests: Sequence[str], earlier: Earlier | None, read: Read | None, emit: Emit
) -> _First:
    """Run the tests that are meant, then passing ones that may tell which function is to blame."""
    ids = [run.node_id for run in collected.tests]
    told = earlier(ids) if earlier is not None else Mapped(tuple(tests))
    meant = [run.node_id for run in _chosen(collected.tests, told.failing)] if told.failing else []
    wanted = [node_id for node_id in meant if _Names(tests).matches(node_id)] if tests else meant
    emit("stage", name="discover", text=f"Running {_count(len(wanted), 'test')} of {len(ids)}")
    broken = {run.node_id: run for run in collected.tests if run.phase == "collect"}
    to_run = tuple(node_id for node_id in wanted if node_id not in broken)
    suite = runner.run_suite(SuiteRequest(to_run, coverage=True, progress=_Progress(emit))) if to_run else None
    known = broken | (suite.by_id() if suite else {})
    near = _related([known[i] for i in wanted if i in known and known[i].failing], ids, set(known), read)
    beside = runner.run_suite(SuiteRequest(tuple(near), coverage=True, progress=_Progress(emit))) if near else None
    others = beside.by_id() if beside else {}
    notes = [f"The earlier run names {text}." for text in told.unmapped]
    surprising = [node_id for node_id, run in others.items() if run.failing]
    if surprising:
        notes.append(f"{_enumeration(surprising)}: fails too, but was not asked for.")
    ran = others | known
    said = {node_id: TestRun(node_id, "passed") for node_id in told.passing if node_id not in ran}
    every = {run.node_id: run for run in collected.tests} | said | ran
    tests_in_order = tuple(every[i] for i in ids)
    duration_s = sum(one.duration_s for one in (collected, suite, beside) if one is not None)
    _tell(tests_in_order, duration_s, emit, earlier=sum(i in said for i in ids))
    untried = tuple(i for i in ids if i not in ran and i not in said)
    notes += [note for one in (suite, beside) if one for note in _suite_notes(one)]
    chosen = tuple(known[node_id] for node_id in wanted if node_id in known)
    return _First(tests_in_order, chosen, duration_s, tuple(notes), untried)


def _related(failing: Sequence[TestRun], ids: Sequence[str], known: set[str], read: Read | None) -> list[str]:
    """Return tests that probably execute what the failing ones do: of the same file, of files that name it, and others.

    Coverage of tests that were not run is not known; the names of the functions that the failing tests executed, in
    the text of a test module, stand for it.
    """
    by_file: dict[str, list[str]] = {}
    for node_id in ids:
        if node_id not in known:
            by_file.setdefault(node_id.partition("::")[0], []).append(node_id)
    own = dict.fromkeys(run.node_id.partition("::")[0] for run in failing)
    names = Counter(key.qualname.rpartition(".")[2] for run in failing for key in run.functions)
    telling = {name for name, _ in names.most_common(RELATED) if len(name) > 3 and not name.startswith(("__", "test"))}
    scored = [(-_mentions(path, telling, read), path) for path in by_file if path not in own] if read else []
    files = [*own, *(path for score, path in sorted(scored) if score < 0)]
    share = max(1, RELATED // (2 * max(1, len(own))))
    found = [node_id for path in files for node_id in by_file.get(path, [])[: share if path in own else RELATED // 4]]
    kept = found[:RELATED]
    taken = set(kept)
    others = [node_id for node_ids in by_file.values() for node_id in node_ids if node_id not in taken]
    return (kept + _sample(others, RELATED - len(kept))) if failing else []


def _sample(node_ids: Sequence[str], count: int) -> list[str]:
    """Return at most `count` tests, spread evenly over the suite."""
    step = max(1.0, len(node_ids) / max(1, count))
    return [node_ids[int(number * step)] for number in range(min(count, int(len(node_ids) / step)))]


def _mentions(path: str, names: set[str], read: Read | None) -> int:
    try:
        text = read(path).decode("utf-8", "replace") if read else ""
    except Exception:  # a test that is no file, or cannot be read, names nothing
        return 0
    return len(names.intersection(re.findall(r"\w+", text)))


class _Progress:
    """Tells how far a run is, a few times."""

    def __init__(self, emit: Emit) -> None:
        self._emit, self._told = emit, 0

    def __call__(self, done: int, total: int) -> None:
        step = done * STEPS // max(total, 1)
        if step > self._told:
            self._told = step
            self._emit("progress", done=done, total=total)


def _tell(runs: Sequence[TestRun], duration_s: float, emit: Emit, *, earlier: int = 0) -> None:
    """Tell what came of all tests; `earlier` of them were not run, since an earlier run says that they pass."""
    counts = {name: sum(run.outcome in kinds for run in runs) for name, kinds in COUNTED.items()}
    collected = sum(run.phase != "collect" for run in runs)
    emit("suite", collected=collected, duration_s=duration_s, **counts, **({"earlier": earlier} if earlier else {}))


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
    names = _Names(tests)
    chosen = [run for run in runs if names.matches(run.node_id)]
    for test in tests:
        if not names.used(test):
            known = [run.node_id for run in runs]
            wider = [*known[:WHOLE], *dict.fromkeys(node_id.partition("::")[0] for node_id in known)]
            near = difflib.get_close_matches(test, wider, n=3, cutoff=0.5)
            named = [node_id for node_id in known if test.rpartition("::")[2] in node_id]
            nearest = list(dict.fromkeys([*named, *near]))[:3]
            hint = f"Did you mean {', '.join(nearest)}?" if nearest else f"{len(known)} tests were collected."
            raise ConfigError(f"There is no test {test}.", hint=hint)
    return chosen


class _Names:
    """What the user wrote: tests, or what holds them: a folder, file, class, or test with parameters."""

    def __init__(self, tests: Iterable[str]) -> None:
        self._written = {self._plain(test): False for test in tests}

    @staticmethod
    def _plain(test: str) -> str:
        return "" if test.rstrip("/") in ("", ".") else test.removeprefix("./").rstrip("/")

    def matches(self, node_id: str) -> bool:
        """Return whether something that was written means this test; asks for each beginning of its id, not for all."""
        found = False
        for end in (0, *(m.start() for m in re.finditer(r"/|::|\[", node_id)), len(node_id)):
            if node_id[:end] in self._written:
                self._written[node_id[:end]] = found = True
        return found

    def any(self, node_ids: Iterable[str]) -> bool:
        return any(self.matches(node_id) for node_id in node_ids)

    def used(self, test: str) -> bool:
        return self._written[self._plain(test)]


# -------------------------------------------------------------------------------------------------------- repetition


def _repeat(runner: Runner, node_ids: Sequence[str], times: int) -> dict[str, TestRun]:
    """Run tests again in fresh processes, a few of them each alone, until they do not fail or `times` is reached."""
    repeated: dict[str, TestRun] = {}
    left = list(node_ids)
    for _ in range(times):
        for batch in [[node_id] for node_id in left] if len(left) <= ALONE else [left]:
            repeated.update(runner.run_suite(SuiteRequest(node_ids=tuple(batch))).by_id())
        left = [node_id for node_id in left if node_id not in repeated or repeated[node_id].failing]
        if not left:
            break
    return repeated


def _often(times: int) -> str:
    return "once more" if times == 1 else f"{times} times more"


def _after(
    runner: Runner, failing: Sequence[TestRun], repeated: dict[str, TestRun], first: _First, emit: Emit
) -> dict[str, str]:
    """Return the tests after which those fail that pass alone, as a text."""
    found: dict[str, str] = {}
    passing = [run.node_id for run in failing if kind_of(run, repeated.get(run.node_id)) == "flaky"]
    tried = [run for run in first.tests if run.phase != "collect" and run.node_id not in set(first.untried)]
    place = {run.node_id: number for number, run in enumerate(tried)}
    hanging = {run.node_id for run in tried if run.outcome in ("timeout", "crashed")}
    for node_id in passing[:INVESTIGATED]:
        before = [run for run in tried[: place.get(node_id, 0)] if run.node_id not in hanging]
        emit("stage", name="discover", text=f"Looking for what {node_id} depends on")
        names = culprits(runner, node_id, [run.node_id for run in before], sum(run.duration_s for run in before))
        if names:
            found[node_id] = _enumeration(names)
    return found


def _failure(run: TestRun, again: TestRun | None, after: str) -> TestFailure:
    return TestFailure(
        node_id=run.node_id,
        phase=run.phase,
        kind=kind_of(run, again, after=after),
        exception=run.exception,
        message=run.message,
        frames=run.frames,
        functions=run.functions,
    )


def _suite_notes(suite: SuiteRun) -> list[str]:
    if suite.complete:
        return []
    return [f"The suite did not run to its end: {suite.reason or 'no reason given'}. Tests after that are not known."]


def _failure_notes(failures: Iterable[TestFailure], repeated: dict[str, TestRun], after: dict[str, str]) -> list[str]:
    """Return a note for each cause that a rewritten body cannot repair, or that a person should know."""
    causes: dict[str, list[str]] = {}
    for failure in failures:
        text = explanation(failure, repeated.get(failure.node_id), after=after.get(failure.node_id, ""))
        if text:
            causes.setdefault(text, []).append(failure.node_id)
    return [f"{_enumeration(ids)}: {text}" for text, ids in causes.items()]


def _enumeration(node_ids: Sequence[str]) -> str:
    shown = ", ".join(node_ids[:REPEATED])
    return shown if len(node_ids) <= REPEATED else f"{shown} and {len(node_ids) - REPEATED} more"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

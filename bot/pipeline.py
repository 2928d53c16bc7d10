"""The order of the stages: for one group of failures, and for a whole repository within a budget.

Only this module knows every stage. It opens the runner and the model from the configuration, hands records from stage
to stage, splits the budget over the suspects and decides when one group is done. The checkout is only read; what to do
with the patches is the caller's decision.
"""

from __future__ import annotations

import math
import platform
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bot import __version__
from bot.assertions import weakened
from bot.config import Config
from bot.context import build_task
from bot.decoding.edit_pool import names_in_scope
from bot.decoding.trials import Progress
from bot.discover import discover
from bot.doubt import reconsidered
from bot.environment import wanted
from bot.errors import EgcfgError, RepositoryError
from bot.functions import BodyError, FunctionText, find_function, refusal
from bot.generate import Arm, generate, portfolio
from bot.git import changed_lines
from bot.groups import FailureGroup
from bot.groups import groups as grouped
from bot.guides import guards, split_guides
from bot.localise import is_test_path, localise, rank
from bot.patches import joined, make_patch, moved_function, moved_onto, original_frame, original_key
from bot.ranking import ranked, score
from bot.recorded import Earlier, RecordedSession, session_key
from bot.records import (
    Budget,
    Candidate,
    Discovery,
    Emit,
    Patch,
    Repair,
    Spent,
    Suspect,
    TestFailure,
    Verdict,
)
from bot.repair_tests import by_test_function, corrections, judged
from bot.selection import earlier_run
from bot.spectrum import Spectrum
from bot.verify import verify
from runners import open_runner
from runners.runner import Limits, Runner, SandboxLost, SuiteRequest, Target
from runners.workspace import content_digest

if TYPE_CHECKING:
    from bot.models.language_model import LanguageModel
    from runners.choose import RunnerKind

WHOLE_SHARE = 0.5  # of a group's budget, for a patch that repairs it whole; its parts get the rest
FIRST_SHARE = 0.5  # of the budget that is left, for each suspect but the last
PAIR_SHARE = 0.3  # of the budget, kept for bodies of two functions where several are to blame
PAIR_BASES = 4  # bodies that do better than the faulty ones, on which another function is regenerated
BETTER = 3  # of them from one function
REFUSED = 3  # functions that cannot be rewritten, told with their reasons
SUSPECT_PATCHES = 3  # so many patches judged "suspect" end the search in one function
JUDGED = 5  # passing bodies of one lot that are judged, best first
NO_MODEL = "none"  # as the name of a model: single edits alone

Group = tuple[tuple[TestFailure, ...], list[Suspect]]
_Attempt = tuple[Suspect, Patch | None]  # the function to regenerate, and what stands changed meanwhile
_Judged = tuple[Candidate, Patch, Verdict]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run over a repository came to."""

    discovery: Discovery
    repairs: tuple[Repair, ...]
    spent: Spent = field(default_factory=Spent)
    environment: Mapping[str, str] = field(default_factory=dict)  # model, runner, versions, seed: to reproduce the run
    still_failing: tuple[str, ...] = ()  # node ids that fail with every published patch applied

    @property
    def all_repaired(self) -> bool:
        """True when nothing fails any more: nothing did, or every failure has a published patch."""
        return not self.still_failing


def find(root: Path, config: Config, emit: Emit) -> tuple[Discovery, list[Group]]:
    """Return the failing tests of `root` and, for each group of them, the functions to blame."""
    with _opened(root, config, emit) as runner:
        discovery = _discovered(root, config, runner, emit)
        blame = _Blame(root, config, discovery, emit)
        return discovery, [(group.failures, blame.suspects(group)) for group in blame.groups()]


def repair(
    root: Path,
    config: Config,
    emit: Emit,
    *,
    model: LanguageModel | None = None,
    arms: Sequence[Arm] | None = None,
    clock: Callable[[], float] = time.monotonic,
    earlier: Earlier | None = None,
) -> Outcome:
    """Find, blame, regenerate and verify; returns what came of it. Never writes into `root`.

    model: used instead of the one that `config` names, which is only loaded when there is something to repair.
    arms: tried instead of the portfolio that `config` describes. clock: by which the budget's seconds are counted.
    earlier: what the journal of a run that this one resumes tells.
    """
    start = clock()
    if model is None:
        check_model(config)
    with _opened(root, config, emit) as runner:
        discovery = _discovered(root, config, runner, emit)
        blame = _Blame(root, config, discovery, emit)
        waiting = deque(blame.tests() if config.repair == "tests" else blame.functions())
        repairs = [_unrepairable(failure) for failure in discovery.failures if not failure.repairable]
        if waiting and model is None and config.model != NO_MODEL:
            emit("stage", name="model", text=f"Loading the model {config.model}")
            model = load_model(config)
        fixed: set[str] = set()
        settings = _portfolio(config) if arms is None else tuple(arms)
        memory = _Memory(content_digest(root), earlier or Earlier())
        in_vain = Spent()  # on groups whose parts were tried afterwards
        while waiting:
            group, suspects = waiting.popleft()
            failures = group.failures
            if fixed.issuperset(failure.node_id for failure in failures):
                emit("note", text=f"{failures[0].node_id} passes with an earlier patch.")
                continue
            share = len(failures) / (len(failures) + sum(len(other.failures) for other, _ in waiting))
            share *= WHOLE_SHARE if group.parts else 1.0
            left = _left(config.budget, sum((r.spent for r in repairs), in_vain), share)
            proven = [r.patch for r in repairs if r.published and r.patch is not None]
            kind = _TestSearch if config.repair == "tests" else _Search
            search = kind(root, config, discovery, runner, model, emit, settings, clock, memory, proven)
            outcome = search.run(failures, suspects, left)
            if group.parts and outcome.patch is None:
                emit("note", text=f"No patch repairs all {len(failures)} tests at once, so parts of them are tried.")
                in_vain += outcome.spent
                waiting.extendleft((part, blame.suspects(part)) for part in reversed(group.parts))
                continue
            repairs.append(outcome)
            emit("repair", repair=outcome)
            fixed.update(outcome.verdict.fixed if outcome.published and outcome.verdict else ())
        still = _still_failing(discovery, repairs, runner)
        environment = _environment(config, runner, model)
    spent = replace(sum((r.spent for r in repairs), in_vain), seconds=clock() - start)
    return Outcome(discovery, tuple(repairs), spent, environment, still)


def check_model(config: Config) -> None:
    """Raise ModelMissing early when the configuration names a directory without weights."""
    if config.model != NO_MODEL and "://" not in config.model:
        from bot.models.huggingface import locate

        locate(config.model)


def load_model(config: Config) -> LanguageModel:
    """Return the model the configuration names: the embedded one, a hub id, a directory, or an endpoint's URL."""
    if config.model.startswith(("http://", "https://")):
        from bot.models.endpoint import connect

        return connect(config.model)
    from bot.models.huggingface import load

    return load(config.model, device=config.device, dtype=config.dtype, revision=config.revision or None)


def _portfolio(config: Config) -> tuple[Arm, ...]:
    return portfolio(
        gammas=config.gamma, candidates=config.candidates, horizon=config.horizon, temperature=config.temperature
    )


@contextmanager
def _opened(root: Path, config: Config, emit: Emit) -> Iterator[Runner]:
    limits = Limits(
        suite_timeout_s=config.suite_timeout,
        test_timeout_s=config.test_timeout,
        memory_mib=config.memory,
        cpus=config.cpus,
        workers=config.workers,
    )
    emit("stage", name="sandbox", text="Opening the sandbox")
    runner = open_runner(
        cast("RunnerKind", config.runner),
        root,
        limits,
        unsafe_local=config.unsafe_local,
        python=config.python or None,
        pytest_args=config.pytest_args,
        runtime=config.runtime,
        wanted=wanted(root, config),
        progress=lambda text: emit("stage", name="environment", text=text),
    )
    emit("start", root=str(root), runner=runner.kind, isolated=runner.isolated, model=config.model)
    for note in runner.notes:
        emit("note", text=note)
    try:
        yield runner
    finally:
        runner.close()


def _discovered(root: Path, config: Config, runner: Runner, emit: Emit) -> Discovery:
    earlier = earlier_run(
        root, junit_xml=config.junit_xml, last_failed=config.lf, pytest_args=config.pytest_args
    )  # a file that cannot be read is told before any test is run
    return discover(
        runner, tests=config.tests, earlier=earlier, read=partial(_read, root), times=config.flake_runs, emit=emit
    )


class _Blame:
    """The groups of failures and the functions to blame, all from one count of the coverage."""

    def __init__(self, root: Path, config: Config, discovery: Discovery, emit: Emit) -> None:
        self._root, self._config, self._emit = root, config, emit
        self._failures = [failure for failure in discovery.failures if failure.repairable]
        if self._failures:
            emit("stage", name="localise", text="Ranking the functions to blame")

        changes = changed_lines(root, config.base) if config.base and self._failures else {}
        read = partial(_read, root)
        self._spectrum = Spectrum(self._failures, discovery.passing, read, _untouchable(config), changes=changes)

    def groups(self) -> list[FailureGroup]:
        return grouped(self._failures, self._spectrum)

    def functions(self) -> list[tuple[FailureGroup, list[Suspect]]]:
        """Return the groups of failing tests, each with the functions to blame."""
        return [(group, self.suspects(group)) for group in self.groups()]

    def tests(self) -> list[tuple[FailureGroup, list[Suspect]]]:
        """Return the failing tests by the test function that holds them, which is then the only suspect."""
        found = []
        for failures, suspects in by_test_function(self._failures, partial(_read, self._root)):
            allowed = [one for one in suspects if not _kept_out(self._config, one.key.path)]
            self._emit("ranking", failures=[failure.node_id for failure in failures], suspects=allowed)
            found.append((FailureGroup(failures), allowed))
        return found

    def suspects(self, group: FailureGroup) -> list[Suspect]:
        suspects = rank(group.failures, self._spectrum)[: self._config.suspects]
        self._emit("ranking", failures=[failure.node_id for failure in group.failures], suspects=suspects)
        return suspects


def _untouchable(config: Config) -> Callable[[str], bool]:
    """Return which files are never rewritten."""

    def untouchable(path: str) -> bool:
        return is_test_path(path) or _kept_out(config, path)

    return untouchable


def _kept_out(config: Config, path: str) -> bool:
    """Say whether the user keeps a file from being changed."""
    allowed = not config.allow_paths or any(fnmatch(path, pattern) for pattern in config.allow_paths)
    return not allowed or any(fnmatch(path, pattern) for pattern in config.exclude)


def _read(root: Path, path: str) -> bytes:
    """Return a file of the checkout; refuses paths that leave it, since they come from the sandbox."""
    full = (root / path).resolve()
    if not full.is_relative_to(root.resolve()):
        raise RepositoryError(f"{path} lies outside the repository.", hint="Symbolic links that leave it are not used.")
    return full.read_bytes()


def _left(budget: Budget, spent: Spent, share: float = 1.0) -> Budget:
    """Return `share` of what `spent` leaves of `budget`."""

    def part(limit: int | None, used: int) -> int | None:
        return None if limit is None else max(0, int((limit - used) * share))

    seconds = None if budget.seconds is None else max(0.0, (budget.seconds - spent.seconds) * share)
    return Budget(
        seconds,
        part(budget.tokens, spent.tokens),
        part(budget.positions, spent.positions),
        part(budget.executions, spent.executions),
    )


@dataclass(frozen=True, slots=True)
class _Memory:
    """What an earlier run knows, and what of the checkout must be the same for that to hold."""

    checkout: str
    earlier: Earlier

    def proposals(self, suspect: Suspect) -> list[Candidate]:
        """Return what was proposed for this function before, to be judged again."""
        return [
            Candidate(suspect, one.body, one.origin, f"{one.setting} (earlier run)".strip(), one.logprob, Spent())
            for one in self.earlier.proposals
            if (one.path, one.qualname) == (suspect.key.path, suspect.key.qualname)
        ]


@dataclass(slots=True)
class _Search:
    """The search for one group of failures: suspects in order, candidates in order, until a patch is published."""

    root: Path
    config: Config
    discovery: Discovery
    runner: Runner
    model: LanguageModel | None
    emit: Emit
    arms: Sequence[Arm]
    clock: Callable[[], float]
    memory: _Memory
    proven: Sequence[Patch] = ()  # published for other groups
    spent: Spent = field(default_factory=Spent)
    doubtful: list[tuple[Candidate, Patch, Verdict]] = field(default_factory=list)
    better: list[tuple[Progress, Patch]] = field(default_factory=list)  # bodies on which another may be regenerated

    def run(self, failures: tuple[TestFailure, ...], suspects: list[Suspect], budget: Budget) -> Repair:
        if not suspects:
            reason = without_suspects(failures, partial(_read, self.root), _untouchable(self.config))
            return Repair(failures, (), None, None, None, self.spent, reason)
        reasons: list[str] = []
        ones: list[_Attempt] = [(suspect, None) for suspect in suspects]
        found = self._first(failures, ones, _left(budget, Spent(), 1.0 - PAIR_SHARE), reasons)
        if found is None and not self.doubtful:
            found = self._first(failures, self._pairs(failures), budget, reasons)
        if found is not None:
            reason = "" if found[2].publishable else "Several patches pass; a person has to choose."
            return Repair(failures, tuple(suspects), *found, self.spent, reason)
        if self.doubtful:
            best = min(self.doubtful, key=lambda item: len(item[1].diff))
            return Repair(failures, tuple(suspects), *best, self.spent, "Only patches of doubtful worth were found.")
        reason = "No body was found that passes the failing tests and breaks no other" + (
            f" ({'; '.join(dict.fromkeys(reasons))})." if reasons else "."
        )
        return Repair(failures, tuple(suspects), None, None, None, self.spent, reason)

    def _first(
        self, failures: tuple[TestFailure, ...], attempts: Iterable[_Attempt], budget: Budget, reasons: list[str]
    ) -> _Judged | None:
        """Return what the first successful attempt found; each but the last may use half of what is left."""
        count = len(attempts) if isinstance(attempts, Sized) else math.inf
        for position, (suspect, base) in enumerate(attempts, 1):
            share = _left(budget, self.spent, 1.0 if position == count else FIRST_SHARE)
            if share.exceeded(Spent()):
                reasons.append("the budget is spent")
                return None
            try:
                found = self._try(failures, suspect, share, base)
            except SandboxLost as error:
                reasons.append(f"{suspect.key.qualname}: {error.message}")
                self.emit("note", text=reasons[-1])
                continue
            if found is not None:
                return found
        return None

    def _pairs(self, failures: tuple[TestFailure, ...]) -> Iterator[_Attempt]:
        """Yield which function is regenerated on which changed body of another, the most promising first.

        What other groups of tests have proven comes first; then bodies with which more of the guiding tests pass, or
        fail further on, than with the faulty one. Who is to blame then is told by what the failing tests do with them.
        """
        ranked = sorted(self.better, key=lambda item: (-item[0].passed, -item[0].further))  # stable: then as blamed
        for base in [*self.proven, *(patch for _, patch in ranked)][:PAIR_BASES]:
            changed = {(step.path, step.qualname) for step in base.steps}
            suspects = self._blamed(failures, base)
            self.emit("ranking", failures=[failure.node_id for failure in failures], suspects=suspects)
            for suspect in suspects:
                if (suspect.key.path, suspect.key.qualname) not in changed:
                    yield suspect, base

    def _blamed(self, failures: tuple[TestFailure, ...], base: Patch) -> list[Suspect]:
        """Return who is to blame for what still fails with `base` applied, in the lines of the original files."""
        request = SuiteRequest(tuple(failure.node_id for failure in failures), base.files, coverage=True)
        runs = self.runner.run_suite(request).by_id()
        still = [
            replace(
                failure,
                frames=tuple(original_frame(base, frame) for frame in run.frames),
                functions=frozenset(original_key(base, key) for key in run.functions),
            )
            for failure in failures
            if (run := runs.get(failure.node_id)) is not None and run.failing
        ]
        read, untouchable = partial(_read, self.root), _untouchable(self.config)
        return rank(still, Spectrum(still, self.discovery.passing, read, untouchable))[: self.config.suspects]

    def _stands(self, suspect: Suspect, base: Patch | None) -> tuple[FunctionText, bytes] | None:
        """Return the suspect's function and its file, as they are with `base` applied."""
        key = suspect.key
        source = _read(self.root, key.path)
        function = find_function(source, key.qualname, key.first_line)
        if function is None or base is None or key.path not in base.files:
            return None if function is None else (function, source)
        changed = base.files[key.path]
        moved = moved_function(changed, function)
        return None if moved is None else (moved, changed)

    def _try(
        self, failures: tuple[TestFailure, ...], suspect: Suspect, budget: Budget, base: Patch | None
    ) -> _Judged | None:
        """Return the best candidate in `suspect` whose cold verdict is publishable: lot after lot, each ranked.

        base: what stands changed meanwhile and becomes part of the patch.
        """
        key = suspect.key
        standing = self._stands(suspect, base)
        if standing is None:
            return None
        function, source = standing
        guides, held_out = split_guides(failures, self.config.holdout)
        beside = f", with another body of {base.title}" if base is not None else ""
        self.emit("stage", name="generate", text=f"Regenerating {key.qualname} in {key.path}{beside}", guides=guides)
        doubtful = len(self.doubtful)
        known = self.memory.proposals(suspect) if base is None else []
        lots = self._lots(failures, suspect, function, source, guides, budget, base)
        for lot in chain(filter(None, [known]), lots):
            rivals = ranked(lot, function.body)
            scores = [score(rival, function.body) for rival in rivals]
            self.emit("ranked", passing=len(rivals), origins=[rival.origin for rival in rivals], scores=scores)
            for candidate in rivals[:JUDGED]:
                judged = self._judge(candidate, failures, function, source, held_out, base)
                if judged is None:
                    continue
                patch, verdict = judged
                if patch.subject == "code" and not patch.further:
                    verdict = self._reconsidered(candidate, patch, verdict, rivals, function, failures, bool(held_out))
                self.emit("verdict", verdict=verdict, patch=patch)
                if verdict.publishable or verdict.rivals:  # which of them is right is not told by other functions
                    return candidate, patch, verdict
                if verdict.word == "suspect":
                    self.doubtful.append((candidate, patch, verdict))
            if len(self.doubtful) - doubtful >= SUSPECT_PATCHES:
                return None
        return None

    def _lots(
        self,
        failures: tuple[TestFailure, ...],
        suspect: Suspect,
        function: FunctionText,
        source: bytes,
        guides: Sequence[str],
        budget: Budget,
        base: Patch | None,
    ) -> Iterator[list[Candidate]]:
        key = suspect.key
        files = base.files if base is not None else {}
        guiding = [failure for failure in failures if failure.node_id in set(guides)]
        task = build_task(
            guiding, function, source, lambda path: files.get(path) or _read(self.root, path), path=key.path
        )
        target = Target(key.path, key.qualname, function.first_line, files)
        tests = [*guides, *guards(self.discovery.passing, key)]
        session_id = session_key(self.memory.checkout, target, tests)
        known = self.memory.earlier.failed.get(session_id, {})
        began, earlier = self.clock(), self.spent
        try:
            opened = self.runner.open_session(target, tests)
        finally:  # opening a sandbox runs the tests a few times: that is part of the budget
            opening = Spent(seconds=self.clock() - began)
            before = self.spent = earlier + opening
        budget = _left(budget, opening)
        with RecordedSession(opened, tests, known, self.emit) as session:
            self.emit("session", level=session.level, tests=tests, key=session_id)
            search = generate(
                task,
                function,
                source,
                suspect,
                self.model,
                session,
                settings=self.arms,
                budget=budget,
                seed=self.config.seed,
                emit=self.emit,
                clock=self.clock,
                names=names_in_scope(source, function),
            )
            try:
                for lot in search.lots():
                    self.spent = before + search.spent
                    yield lot
                self.spent = before + search.spent
                if base is None:
                    better = search.progress(BETTER)
                    self.better += [(item, make_patch(key.path, source, function, item.body)) for item in better]
            finally:  # also where a lot was good enough
                if session.spared:
                    self.emit("note", text=f"{session.spared} executions were taken from the earlier run.")

    def _judge(
        self,
        candidate: Candidate,
        failures: tuple[TestFailure, ...],
        function: FunctionText,
        source: bytes,
        held_out: Sequence[str],
        base: Patch | None,
    ) -> tuple[Patch, Verdict] | None:
        try:
            patch = make_patch(candidate.suspect.key.path, source, function, candidate.body)
        except BodyError:
            return None
        patch = patch if base is None else self._needed(joined([base, patch]), failures)
        self.emit("stage", name="verify", text="Judging the patch in a fresh process on a fresh copy")
        return patch, verify(
            patch, failures, self.discovery, self.runner, held_out=held_out, read=lambda path: _read(self.root, path)
        )

    def _reconsidered(
        self,
        candidate: Candidate,
        patch: Patch,
        verdict: Verdict,
        passing: Sequence[Candidate],
        function: FunctionText,
        failures: tuple[TestFailure, ...],
        held_out: bool,
    ) -> Verdict:
        """Return the verdict with what the patch changes, and what else passes."""
        return reconsidered(
            candidate,
            patch,
            verdict,
            passing,
            function,
            failures=failures,
            discovery=self.discovery,
            runner=self.runner,
            held_out=held_out,
            judge=lambda rival: verify(
                rival, failures, self.discovery, self.runner, read=lambda path: _read(self.root, path)
            ),
        )

    def _needed(self, patch: Patch, failures: Sequence[TestFailure]) -> Patch:
        """Return the last step alone if the failing tests pass with nothing else, else the whole patch."""
        last = patch.steps[-1]
        alone = moved_onto(patch.originals, last)
        if alone is None:
            return patch
        ids = tuple(failure.node_id for failure in failures)
        runs = self.runner.run_suite(SuiteRequest(ids, alone.files)).by_id()
        return alone if all(i in runs and runs[i].outcome == "passed" for i in ids) else patch


@dataclass(slots=True)
class _TestSearch(_Search):
    """The same search with a stale test as its subject: other sources of bodies, and a stricter judge."""

    def _pairs(self, failures: tuple[TestFailure, ...]) -> Iterator[_Attempt]:  # noqa: ARG002
        """Yield nothing: a patch changes one test function at most."""
        return iter(())

    def _lots(
        self,
        failures: tuple[TestFailure, ...],
        suspect: Suspect,
        function: FunctionText,
        source: bytes,
        guides: Sequence[str],
        budget: Budget,
        base: Patch | None,
    ) -> Iterator[list[Candidate]]:
        key = suspect.key
        with self.runner.open_session(Target(key.path, key.qualname, key.first_line), guides) as session:
            found = list(corrections(suspect, function, source, session, names_in_scope(source, function)))
        lots = _Search._lots(self, failures, suspect, function, source, guides, budget, base)
        for lot in chain([found], lots):
            kept = [candidate for candidate in lot if not weakened(function, candidate.body)]
            if kept:
                yield kept

    def _judge(
        self,
        candidate: Candidate,
        failures: tuple[TestFailure, ...],
        function: FunctionText,
        source: bytes,
        held_out: Sequence[str],
        base: Patch | None,  # noqa: ARG002
    ) -> tuple[Patch, Verdict] | None:
        try:
            patch = make_patch(candidate.suspect.key.path, source, function, candidate.body)
        except BodyError:
            return None
        patch = replace(patch, subject="tests")
        self.emit("stage", name="verify", text="Judging the changed test in a fresh process and on faults in the code")
        verdict = verify(patch, failures, self.discovery, self.runner, held_out=held_out, of_code=False)

        read = partial(_read, self.root)
        under_test = localise(failures, self.discovery.passing, read, _untouchable(self.config))
        ids = [failure.node_id for failure in failures]
        return patch, judged(patch, verdict, function, candidate.body, under_test, self.runner, ids, read)


def without_suspects(
    failures: Iterable[TestFailure], read: Callable[[str], bytes], untouchable: Callable[[str], bool]
) -> str:
    """Return why there is no function to blame, with the first functions that are executed and cannot be rewritten."""
    reason = "No function of the repository that could be rewritten is executed by the failing tests."
    executed = {key for failure in failures for key in failure.functions if not untouchable(key.path)}
    refused = []
    for key in sorted(executed, key=lambda key: (key.path, key.first_line))[:REFUSED]:
        try:
            why = refusal(read(key.path), key.qualname, key.first_line)
        except (OSError, EgcfgError):
            continue
        refused += [f"{key.qualname} in {key.path}: {why}"] if why else []
    return f"{reason} {'; '.join(refused)}." if refused else reason


def _unrepairable(failure: TestFailure) -> Repair:
    reasons = {
        "flaky": "It does not fail every time, so no patch could be judged by it.",
        "order": "It fails only after other tests, so no patch could be judged by it alone.",
        "dependency": "A module that it needs is not installed; that is not repaired by rewriting a function body.",
        "collection": "Its module cannot be collected; that is not repaired by rewriting a function body.",
        "fixture": "A fixture fails before the test runs; that is not repaired by rewriting a function body.",
    }
    reason = reasons.get(failure.kind, "It fails outside the test's own call.")
    return Repair((failure,), (), None, None, None, Spent(), reason)


def combined(repairs: Iterable[Repair]) -> dict[str, bytes]:
    """Return the files that the published patches change, path -> new bytes; patches of one file are put together."""
    files: dict[str, bytes] = {}
    for item in repairs:
        if item.published and item.patch is not None:
            patch = moved_onto(files, item.patch)
            files.update(patch.files if patch is not None else {})
    return files


def _still_failing(discovery: Discovery, repairs: Sequence[Repair], runner: Runner) -> tuple[str, ...]:
    """Return the ids that fail with all published patches applied; several patches are judged together once more."""
    open_ids = {failure.node_id for failure in discovery.failures}
    published = [item for item in repairs if item.published]
    if len(published) > 1:
        suite = runner.run_suite(SuiteRequest(files=combined(published), canaries=True))
        results = suite.by_id()
        return tuple(sorted(i for i in open_ids if i not in results or not results[i].passed))
    fixed = {node_id for item in published if item.verdict for node_id in item.verdict.fixed}
    return tuple(sorted(open_ids - fixed))


def _environment(config: Config, runner: Runner, model: LanguageModel | None) -> dict[str, str]:
    """Return what one needs to know to run the search again."""
    return {
        "model": model.name if model else config.model,
        "model fingerprint": model.fingerprint if model else "not loaded",
        "runner": runner.kind,
        "isolated": "yes" if runner.isolated else "no: the code ran with the rights of the user",
        **({"runtime": config.runtime} if config.runtime else {}),
        "python": platform.python_version(),
        "egcfg-fix": __version__,
        "seed": str(config.seed),
    }

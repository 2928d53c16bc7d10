"""The order of the stages: for one group of failures, and for a whole repository within a budget.

Opens the runner and the model from the configuration, finds what fails and who is to blame, and gives each group of
failures its search (`bot.search`) with its share of the budget. The checkout is only read; what to do with the patches
is the caller's decision.
"""

from __future__ import annotations

import platform
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bot import __version__
from bot.blame import Blame
from bot.checkout import Checkout
from bot.config import Config
from bot.discover import discover
from bot.environment import wanted
from bot.generate import Arm, portfolio
from bot.groups import FailureGroup
from bot.patches import moved_onto
from bot.recorded import Earlier, Memory
from bot.records import Budget, Discovery, Emit, Patch, Repair, Spent, Suspect, TestFailure
from bot.search_code import CodeSearch
from bot.search_tests import TestSearch
from bot.selection import earlier_run
from runners import open_runner
from runners.runner import Limits, Runner, SuiteRequest
from runners.workspace import content_digest

if TYPE_CHECKING:
    from bot.models.language_model import LanguageModel
    from runners.choose import RunnerKind

WHOLE_SHARE = 0.5  # of a group's budget, for a patch that repairs it whole; its parts get the rest
NO_MODEL = "none"  # as the name of a model: single edits alone

Group = tuple[tuple[TestFailure, ...], list[Suspect]]


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
        checkout = _checkout(root, config)
        discovery = _discovered(checkout, config, runner, emit)
        blame = Blame(checkout, config, discovery, emit)
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
        checkout = _checkout(root, config)
        discovery = _discovered(checkout, config, runner, emit)
        blame = Blame(checkout, config, discovery, emit)
        waiting = deque(blame.tests() if config.repair == "tests" else blame.functions())
        repairs = [_unrepairable(failure) for failure in discovery.failures if not failure.repairable]
        if waiting and model is None and config.model != NO_MODEL:
            emit("stage", name="model", text=f"Loading the model {config.model}")
            model = load_model(config)
        settings = _portfolio(config, model) if arms is None else tuple(arms)
        memory = Memory(content_digest(root), earlier or Earlier())
        kind = TestSearch if config.repair == "tests" else CodeSearch

        def search(proven: Sequence[Patch]) -> CodeSearch | TestSearch:
            return kind(checkout, config, discovery, runner, model, emit, settings, clock, memory, proven)

        in_vain = _searched(waiting, blame, search, config.budget, repairs, emit)
        still = _still_failing(discovery, repairs, runner)
        environment = _environment(config, runner, model)
    spent = replace(sum((r.spent for r in repairs), in_vain), seconds=clock() - start)
    return Outcome(discovery, tuple(repairs), spent, environment, still)


def _searched(
    waiting: deque[tuple[FailureGroup, list[Suspect]]],
    blame: Blame,
    search: Callable[[Sequence[Patch]], CodeSearch | TestSearch],
    budget: Budget,
    repairs: list[Repair],
    emit: Emit,
) -> Spent:
    """Search for one group after the other, and add what came of each to `repairs`.

    A group that no patch repairs whole is tried in parts; one that an earlier patch cures is not searched. search: from
    the patches published so far. Returns what was spent on groups whose parts were tried afterwards.
    """
    fixed: set[str] = set()
    in_vain = Spent()
    while waiting:
        group, suspects = waiting.popleft()
        failures = group.failures
        if fixed.issuperset(failure.node_id for failure in failures):
            emit("note", text=f"{_named(failures)} with an earlier patch.")
            continue
        share = len(failures) / (len(failures) + sum(len(other.failures) for other, _ in waiting))
        share *= WHOLE_SHARE if group.parts else 1.0
        left = budget.left(sum((r.spent for r in repairs), in_vain), share)
        proven = [r.patch for r in repairs if r.published and r.patch is not None]
        outcome = search(proven).run(failures, suspects, left)
        if group.parts and outcome.patch is None:
            emit("note", text=f"No patch repairs all {len(failures)} tests at once, so parts of them are tried.")
            in_vain += outcome.spent
            waiting.extendleft((part, blame.suspects(part)) for part in reversed(group.parts))
            continue
        repairs.append(outcome)
        emit("repair", repair=outcome)
        fixed.update(outcome.verdict.fixed if outcome.published and outcome.verdict else ())
    return in_vain


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


def _portfolio(config: Config, model: LanguageModel | None) -> tuple[Arm, ...]:
    return portfolio(
        gammas=config.gamma,
        candidates=config.candidates,
        horizon=config.horizon,
        temperature=config.temperature,
        edits_first=model is None or model.style == "tagged",  # as small as the embedded one, for whose prompt it is
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


def _checkout(root: Path, config: Config) -> Checkout:
    return Checkout(root, config.allow_paths, config.exclude)


def _discovered(checkout: Checkout, config: Config, runner: Runner, emit: Emit) -> Discovery:
    earlier = earlier_run(
        checkout.root, junit_xml=config.junit_xml, last_failed=config.lf, pytest_args=config.pytest_args
    )  # a file that cannot be read is told before any test is run
    return discover(runner, tests=config.tests, earlier=earlier, read=checkout.read, times=config.flake_runs, emit=emit)


def _named(failures: Sequence[TestFailure]) -> str:
    first, others = failures[0].node_id, len(failures) - 1
    return f"{first} and {others} more pass" if others else f"{first} passes"


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

"""Runs cases through the real pipeline, one arm at a time, and says what came of each and what it cost."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from benchmarks.arms import BenchmarkArm
from benchmarks.cases import TEST_TIMEOUT_S, Case, judged_right, repository
from benchmarks.cpu_clock import CpuClock
from benchmarks.results import NO_MODEL, Record, Terms, code_digest
from bot.config import Config
from bot.models.language_model import LanguageModel
from bot.pipeline import Outcome, combined, load_model, repair
from bot.records import Budget
from runners.choose import RunnerKind


@dataclass(frozen=True, slots=True)
class Bench:
    """What the arms have in common. terms: of an arm with a model."""

    terms: Terms
    device: str = "auto"
    code: str = ""

    def terms_of(self, arm: BenchmarkArm) -> Terms:
        return self.terms if arm.model else self.terms.without_model()

    def config(self, arm: BenchmarkArm) -> Config:
        """Return the product's defaults but for the budget and the time of one test."""
        terms = self.terms_of(arm)
        return Config(
            model=terms.model,
            device=self.device,
            runner=terms.runner,
            budget=Budget(terms.cpu_s, None, None, terms.executions),
            seed=terms.seed,
            test_timeout=terms.test_timeout_s,
        )


def bench(
    *, executions: int, cpu_s: float, seed: int, runner: str, model: str, device: str, needed: bool
) -> tuple[Bench, LanguageModel | None]:
    """Return what the arms have in common, and the model if it is `needed`."""
    loaded = load_model(Config(model=model, device=device)) if needed else None
    fingerprint = loaded.fingerprint if loaded is not None else NO_MODEL
    terms = Terms(executions, cpu_s, seed, runner, TEST_TIMEOUT_S, model if needed else NO_MODEL, fingerprint)
    return Bench(terms, device, code_digest()), loaded


@dataclass(slots=True)
class Told:
    """What of the pipeline's events goes into the record."""

    ranking: list[str] = field(default_factory=list)
    rivals: int = 0
    drafted: int = 0
    accepted: int = 0
    changed: int = 0

    def __call__(self, event: str, **fields: Any) -> None:
        if event == "ranking" and not self.ranking:
            self.ranking = [suspect.key.qualname for suspect in fields["suspects"]]
        elif event == "ranked":
            self.rivals = len(fields["origins"])
        elif event == "line":
            self.drafted += fields["drafted"]
            self.accepted += fields["accepted"]
            self.changed += fields.get("changed", 0)


def measured(case: Case, arm: BenchmarkArm, shared: Bench, model: LanguageModel | None) -> Record:
    """Repair one case and judge what was published by the hidden half, once. What goes wrong is a record too."""
    runner: RunnerKind = "docker" if shared.terms.runner == "docker" else "local"
    told = Told()
    cpu: AbstractContextManager[CpuClock | None] = CpuClock() if runner == "local" else nullcontext()
    begun = time.monotonic()
    try:
        with repository(case.files) as root, cpu as counted:
            outcome = repair(
                root,
                shared.config(arm),
                told,
                model=model if arm.model else None,
                arms=arm.arms,
                clock=counted or time.monotonic,
            )
        wall_s = time.monotonic() - begun
        patched = {path: content.decode("utf-8") for path, content in combined(outcome.repairs).items()}
        correct = bool(patched) and judged_right(case, patched, runner)
        withheld = {} if patched else _withheld(outcome)
        lost = bool(withheld) and judged_right(case, withheld, runner)
    except Exception as error:  # one case must not end a run of hours; the report counts it
        said = f"{type(error).__name__}: {error}"
        return Record(case.name, case.kind, arm.letter, shared.terms_of(arm), shared.code, error=said)
    record = _record(case, arm, shared, outcome, told, correct, wall_s)
    return replace(record, withheld=bool(withheld), withheld_right=lost)


def _withheld(outcome: Outcome) -> dict[str, str]:
    """Return the files of the first patch that passed everything and was not published, as it is suspect."""
    for item in outcome.repairs:
        if item.patch is not None and item.verdict is not None and item.verdict.word == "suspect":
            return {path: content.decode("utf-8") for path, content in item.patch.files.items()}
    return {}


def _record(
    case: Case, arm: BenchmarkArm, shared: Bench, outcome: Outcome, told: Told, correct: bool, wall_s: float
) -> Record:
    judged = sorted((r for r in outcome.repairs if r.verdict is not None), key=lambda item: not item.published)
    best = judged[0] if judged else None
    return Record(
        case=case.name,
        kind=case.kind,
        arm=arm.letter,
        terms=shared.terms_of(arm),
        code=shared.code,
        word=best.verdict.word if best and best.verdict else "",
        published=bool(best and best.published),
        correct=correct,
        right_function_first=told.ranking[:1] == [case.function],
        told=case.told,
        origin=best.candidate.origin if best and best.candidate else "",
        setting=best.candidate.setting if best and best.candidate else "",
        rivals=told.rivals,
        executions=outcome.spent.executions,
        tokens=outcome.spent.tokens,
        positions=outcome.spent.positions,
        drafted=told.drafted,
        accepted=told.accepted,
        changed=told.changed,
        search_s=round(sum(item.spent.seconds for item in outcome.repairs), 3),
        total_s=round(outcome.spent.seconds, 3),
        wall_s=round(wall_s, 3),
        operators=case.operators,
        diff=best.patch.diff if best and best.patch else "",
    )


# ------------------------------------------------------------------------------------------------ several at a time

Item = TypeVar("Item")
Work = Callable[[Item, Bench, LanguageModel | None], Iterable[Record]]
_loaded: LanguageModel | None = None  # of a worker process


def one_job(job: tuple[Case, BenchmarkArm], shared: Bench, model: LanguageModel | None) -> list[Record]:
    """The work of the repair benchmark: one case in one arm."""
    return [measured(*job, shared, model)]


def spread(
    work: Work[Item], items: Sequence[Item], shared: Bench, model: LanguageModel | None, workers: int = 1
) -> Iterator[Record]:
    """Yield the records as they come: in order in this process, or from `workers` processes with a model each.

    work: a function of a module, with items that can be sent to another process.
    """
    if workers <= 1:
        for item in items:
            yield from work(item, shared, model)
        return
    context = multiprocessing.get_context("spawn")  # a fork would share the model's threads
    named = shared.terms.model if model is not None else NO_MODEL
    with ProcessPoolExecutor(workers, context, _load, (named, shared.device)) as pool:
        waiting = [pool.submit(_worked, work, item, shared) for item in items]
        for done in as_completed(waiting):
            yield from done.result()


def _load(model: str, device: str) -> None:
    global _loaded
    _loaded = load_model(Config(model=model, device=device)) if model != NO_MODEL else None


def _worked(work: Work[Item], item: Item, shared: Bench) -> list[Record]:
    return list(work(item, shared, _loaded))

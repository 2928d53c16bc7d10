"""The portfolio: decides which ways of finding a body are tried, in what order, with which share of the budget.

Lazy: every passing body is yielded once, as soon as it is found, and whoever iterates decides when it is enough. Since
what passes need not be right, `lots` goes on for a while after the first, to have rivals to rank. The plain model goes
first, so that what guidance adds can be told.
"""

from __future__ import annotations

import ast
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bot.decoding.body_text import Found, finished, tidy
from bot.decoding.decoder import TOP_P, Decoder
from bot.decoding.dynamic_signal import signal_text
from bot.decoding.edit_pool import EditPool, names_in_scope
from bot.decoding.edit_search import EditSearch
from bot.decoding.prompt import Prompt, Task, instruct_prompt, tagged_prompt
from bot.decoding.selection import Selection, select
from bot.decoding.trials import Meter, Progress, Trials
from bot.errors import ModelError
from bot.functions import FunctionText
from bot.models.language_model import LanguageModel, text_after
from bot.records import Budget, Candidate, Emit, Setting, Spent, Suspect
from bot.syntax import parsed
from runners.runner import Execution, Session

EDITING = {"edits": "single edits", "pairs": "pairs of edits"}  # kinds of arms that need no model
EDIT_BATCH = 32  # bodies run at a time, at most
PART_SECONDS = 1.0  # what running some bodies at a time may take
RANKING_SECONDS = 0.1  # for one body: where they are run faster, running more of them finds the right one sooner
SAMPLE_BATCH = 8  # whole bodies sampled at a time
STALE_BATCHES = 6  # sampling ends when this many batches in a row bring no new body
TEST_LIMITS = (1200, 400, 120, 0)  # characters of tests in the prompt, tried in order until it fits
PROMPT_TOKENS = 4096  # of a prompt for an instruct model, the signal's aside
SIGNAL_TOKENS = 832  # room for the dynamic signal
RIVALS = 16  # a lot of passing bodies is complete with so many,
PATIENCE = Spent(seconds=3.0, executions=96)  # or when so much was spent after the first, and as much as before it


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of finding bodies.

    share: of the whole budget, that it may use at most. edits, harvests: of a decode, whether single edits stand beside
    the continuations, and whether bodies that pass on the way are yielded. traced: of samples, whether what the faulty
    body did is told in the prompt.
    """

    kind: Literal["decode", "edits", "pairs", "sample"]
    setting: Setting = field(default_factory=lambda: Setting(0.0))
    share: float = 1.0
    edits: bool = True
    harvests: bool = True
    traced: bool = False


def portfolio(
    *,
    gammas: Sequence[float] | None = None,
    candidates: int = 3,
    horizon: int = 3,
    temperature: float = 0.8,
    edits_first: bool = False,
) -> tuple[Arm, ...]:
    """Return the arms in the order in which they are tried; `gammas` replaces the guidance scales of the decodes.

    The plain model comes first, then as many of the likeliest edits as a small share allows, since they cost the model
    next to nothing; the rest of the edits come after the first guided decode. Pairs of edits, and samples that have and
    have not read what the faulty body does, are for what nothing else repairs.
    edits_first: for a small model, whose guided decodes cost as much as a hundred edits and repair less: all edits,
    single and in pairs, come before the first of them, and samples before the others.
    """
    base = Setting(1.0, temperature, horizon, candidates)
    first, *rest = gammas if gammas else (0.0, 1.0, 3.0, 0.5)
    second, rest = (rest[:1], rest[1:]) if gammas is None else ([], rest)
    plain = Arm("decode", replace(base, gamma=first), 0.15)
    guided = [Arm("decode", replace(base, gamma=gamma), 0.2) for gamma in second]
    further = [Arm("decode", replace(base, gamma=gamma), 0.15) for gamma in rest]
    further += [
        Arm("decode", replace(base, gamma=gamma, temperature=1.2, horizon=2 * horizon), 0.15)
        for gamma in ([first, *rest] if gammas else [1.0])
        if gamma > 0
    ]
    samples = Arm("sample", replace(base, gamma=0.0), 0.3)
    last = replace(samples, share=1.0, traced=True)
    if edits_first:
        return (plain, Arm("edits", base, 0.7), Arm("pairs", base, 0.2), *guided, samples, *further, last)
    likeliest, others = Arm("edits", base, 0.15), Arm("edits", base, 0.3)
    return (plain, likeliest, *guided, others, *further, Arm("pairs", base, 0.3), samples, last)


DEFAULT_PORTFOLIO = portfolio()


def generate(
    task: Task,
    function: FunctionText,
    source: bytes,
    suspect: Suspect,
    model: LanguageModel | None,
    session: Session,
    *,
    settings: Sequence[Arm | Setting] = DEFAULT_PORTFOLIO,
    budget: Budget | None = None,
    seed: int = 0,
    emit: Emit | None = None,
    clock: Callable[[], float] = time.monotonic,
    names: Sequence[str] | None = None,
) -> Search:
    """Return the search for bodies of `function` that pass the session's tests; nothing runs until it is iterated.

    model: None tries the edits alone, and so does a model in whose context the prompt does not fit.
    names: what is in scope beside the function's own names; None: as `source` shows.
    """
    arms = [arm if isinstance(arm, Arm) else Arm("decode", arm) for arm in settings]
    known = names_in_scope(source, function) if names is None else names
    return Search(
        task, function, source, suspect, model, session, arms, budget or Budget(), seed, emit or _silent, clock, known
    )


def _silent(event: str, **fields: Any) -> None:
    """Tell nobody."""


class Search:
    """An iterator over passing bodies. `spent` is what was used, at any time and after the last."""

    def __init__(
        self,
        task: Task,
        function: FunctionText,
        source: bytes,
        suspect: Suspect,
        model: LanguageModel | None,
        session: Session,
        arms: Sequence[Arm],
        budget: Budget,
        seed: int,
        emit: Emit,
        clock: Callable[[], float],
        names: Sequence[str],
    ) -> None:
        self._task, self._function, self._suspect, self._model = task, function, suspect, model
        self._arms, self._budget, self._seed, self._emit = arms, budget, seed, emit
        self._trials = Trials(function, source, session, emit)
        self._meter: Meter | None = None
        self._clock = clock
        self._names = names
        self._prompt: Prompt | None = None
        self._signal: str | None = None  # what the faulty body does, once it is asked for
        self._seen: set[str] = set()
        self._part = 4  # bodies run at a time, until it is known how long they take
        self._pace = 0.0  # seconds for each of the last bodies
        self._steps = self._run()

    @property
    def spent(self) -> Spent:
        return self._meter.spent() if self._meter else Spent()

    def __iter__(self) -> Iterator[Candidate]:
        return self

    def __next__(self) -> Candidate:
        return next(candidate for candidate in self._steps if candidate is not None)

    def lots(self, look: Budget | None = None) -> Iterator[list[Candidate]]:
        """Yield passing bodies in lots: the first, and its rivals found in about as much work again.

        look: so much may be spent until the first is found; after that a lot is completed, and none begun.
        """
        lot: list[Candidate] = []
        limit = Budget()
        for candidate in self._steps:
            if candidate is not None:
                lot.append(candidate)
                limit = _patience(self.spent) if len(lot) == 1 else limit
            if len(lot) >= RIVALS or (lot and limit.exceeded(self.spent)):
                yield lot
                lot = []
            if look is not None and not lot and look.exceeded(self.spent):
                return
        if lot:
            yield lot

    def progress(self, count: int) -> list[Progress]:
        """Return at most `count` bodies that do better than the faulty one without passing; first one of each kind.

        While something is left of the budget they are run on all tests once more, and one that breaks any is left out.
        """
        if self._meter is None:
            return []
        found = self._trials.progress()
        kinds = {item.behaviour: item for item in reversed(found)}
        best = sorted(found, key=lambda item: kinds[item.behaviour] is not item)[: 2 * count]
        if self._budget.exceeded(self._meter.spent()):
            return best[:count]
        held = self._trials.held([item.body for item in best])
        return [item for item in best if item.body in held][:count]

    def _run(self) -> Iterator[Candidate | None]:
        """Yield every candidate, and None now and then while there is none."""
        self._meter = meter = Meter(self._model, self._trials, self._clock)
        if self._model is not None:
            try:
                self._prompt, selection = fitting(self._task, self._model)
                self._emit(
                    "prompt",
                    style=self._prompt.style,
                    tokens=len(self._model.encode(self._prompt.plain)),
                    taken=selection.taken,
                    left_out=selection.left_out,
                )
            except ModelError as error:
                self._emit("note", text=f"{error.message} Only single edits are tried.")
                self._model = None
        pool = EditPool(self._function, self._prompt, self._model, self._names)
        for number, arm in enumerate(self._arms):
            if self._budget.exceeded(meter.spent()):
                return
            if self._model is None and arm.kind not in EDITING:
                continue
            limits = _portion(self._budget, meter.spent(), arm.share)
            self._emit("attempt", kind=arm.kind, setting=EDITING.get(arm.kind) or str(arm.setting))
            for found in self._try(arm, number, pool, meter, limits):
                yield self._candidate(found, meter) if found is not None else None

    def _try(self, arm: Arm, number: int, pool: EditPool, meter: Meter, limits: Budget) -> Iterator[Found | None]:
        if arm.kind in ("edits", "pairs"):
            search = EditSearch(pool, self._trials, lambda bodies: self._executed(bodies, meter, limits), self._slow)
            return search.singles() if arm.kind == "edits" else search.pairs()
        assert self._model is not None
        assert self._prompt is not None
        if arm.kind == "sample":
            return self._samples(arm, number, meter, limits)
        return Decoder(
            self._prompt,
            self._model,
            self._trials,
            arm.setting,
            meter,
            limits,
            emit=self._emit,
            seed=self._seed,
            pool=pool if arm.edits else None,
            harvests=arm.harvests,
        ).run()

    def _candidate(self, found: Found, meter: Meter) -> Candidate | None:
        """Return the candidate, or None for a body that was yielded before in another formatting."""
        key = same_body_key(self._function, found.body)
        if key in self._seen:
            return None
        self._seen.add(key)
        logprob, guided = self._logprob(found.body, ""), self._logprob(found.body, self._told())
        candidate = Candidate(self._suspect, found.body, found.origin, found.setting, logprob, meter.spent(), guided)
        self._emit(
            "candidate", origin=found.origin, setting=found.setting, body=found.body, logprob=logprob, guided=guided
        )
        return candidate

    def _logprob(self, body: str, signal: str) -> float:
        """Return log p of the whole body with `signal` in the prompt; nan without a model or without room for it."""
        if self._model is None or self._prompt is None:
            return math.nan
        head = self._model.encode(self._prompt.with_signal(signal))
        ids = [*self._model.encode(body), *self._model.encode(self._prompt.end)]
        if len(head) + len(ids) > self._model.context:
            return math.nan
        return float(self._model.score(self._model.branch(head), ids).sum())

    def _told(self) -> str:
        """Return the signal that tells what the faulty body does, "" when nothing can be told or a model is missing."""
        if self._model is None or self._prompt is None:
            return ""
        if self._signal is None:
            observed = self._trials.observe_faulty()
            self._signal = signal_text([observed], self._prompt.style, self._model) if observed else ""
        return self._signal

    def _executed(self, bodies: Sequence[str], meter: Meter, limits: Budget) -> list[Execution | None]:
        """Run the bodies in parts that take about a second; fewer than given when the limits are reached."""
        found: list[Execution | None] = []
        while len(found) < len(bodies) and (room := _room(limits, meter.spent())) > 0:
            part = bodies[len(found) : len(found) + min(room, self._part)]
            start, before = self._clock(), self._trials.executions
            found += self._trials.run(part)
            taken = self._clock() - start
            self._pace = taken / max(1, self._trials.executions - before)
            fast = taken < PART_SECONDS
            self._part = min(EDIT_BATCH, 2 * self._part) if fast else max(1, self._part // 2)
        return found

    def _slow(self) -> bool:
        """Say whether running a body takes so long that it is worth ranking edits first."""
        return self._pace > RANKING_SECONDS

    def _samples(self, arm: Arm, number: int, meter: Meter, limits: Budget) -> Iterator[Found | None]:
        """Sample whole bodies, at two temperatures in turn, and run the new ones."""
        model, prompt, setting = self._model, self._prompt, arm.setting
        assert model is not None
        assert prompt is not None
        head = model.encode(prompt.with_signal(self._told() if arm.traced else ""))
        branch = model.branch(head)
        longest = min(2 * len(model.encode(self._function.body)) + 96, model.context - len(head))
        seen: set[str] = set()
        batch = stale = 0
        while stale < STALE_BATCHES and _room(limits, meter.spent()) > 0:
            temperature = setting.temperature + (0.2 if batch % 2 else 0.0)
            rows = model.sample(
                branch,
                SAMPLE_BATCH,
                temperature=temperature,
                top_p=TOP_P,
                seed=self._seed * 1_000_003 + number * 10_007 + batch,
                limit=longest,
                stop=lambda text: finished(prompt, text) is not None,
            )
            bodies = {body: None for row in rows if (body := _sampled_body(model, prompt, head, row))}
            fresh = [body for body in bodies if body not in seen]
            seen.update(fresh)
            stale = 0 if fresh else stale + 1
            batch += 1
            for body, execution in zip(fresh, self._executed(fresh, meter, limits), strict=False):
                if execution is not None and execution.passed:
                    yield Found(body, "sampled", f"t={temperature:g}{' traced' if arm.traced else ''}")
            yield None


def _sampled_body(model: LanguageModel, prompt: Prompt, head: Sequence[int], row: Sequence[int]) -> str:
    """Return the whole body that a sampled row holds, or ""."""
    ended = bool(row) and row[-1] in model.end_ids
    text = text_after(model, head, row[:-1] if ended else row)
    body = finished(prompt, text)
    return tidy(body if body is not None else text if ended else "")


def same_body_key(function: FunctionText, body: str) -> str:
    """Return a text that is equal for bodies that differ in formatting and comments only."""
    try:
        return ast.dump(parsed(function.header + body))
    except (SyntaxError, ValueError):
        return body


def _patience(spent: Spent) -> Budget:
    """Return up to where the search goes on for rivals of a body found at `spent`."""
    return Budget(
        seconds=spent.seconds + max(spent.seconds, PATIENCE.seconds),
        executions=spent.executions + max(spent.executions, PATIENCE.executions),
    )


def _portion(budget: Budget, spent: Spent, share: float) -> Budget:
    """Return the limits up to which one arm may go: what is spent, and `share` of the whole, never above the whole."""

    def limit(whole: float | None, used: float) -> float | None:
        return None if whole is None else min(whole, used + share * whole)

    def count(whole: int | None, used: int) -> int | None:
        return None if whole is None else min(whole, used + math.ceil(share * whole))

    return Budget(
        seconds=limit(budget.seconds, spent.seconds),
        tokens=count(budget.tokens, spent.tokens),
        positions=count(budget.positions, spent.positions),
        executions=count(budget.executions, spent.executions),
    )


def _room(budget: Budget, spent: Spent) -> int:
    """Return how many bodies may still be run; 0 when any limit is used up."""
    if budget.exceeded(spent):
        return 0
    return EDIT_BATCH if budget.executions is None else budget.executions - spent.executions


def fitting_prompt(task: Task, model: LanguageModel) -> Prompt:
    """Return the prompt of `fitting`."""
    return fitting(task, model)[0]


def fitting(task: Task, model: LanguageModel) -> tuple[Prompt, Selection]:
    """Return the prompt and what of the task's parts is in it, measured with the model's own tokenizer.

    Tests are shortened where the model has no room even for what is always there. Raises ModelError when not even the
    function alone fits.
    """
    answer = max(len(model.encode(task.body)) + 48, 0)
    selection = Selection(task)
    if model.style != "tagged":
        least = _prompt(replace(task, tests=task.tests[:1], context="", details=""), model)
        signal = min(SIGNAL_TOKENS, model.context // 4)
        room = min(model.context - answer - signal, PROMPT_TOKENS) - len(model.encode(least.plain))
        selection = select(task, max(0, room), lambda text: len(model.encode(text)))
    for limit in (None, *TEST_LIMITS):
        tests = tuple(test[:limit] for test in task.tests[:1] if limit)
        prompt = _prompt(selection.task if limit is None else replace(task, tests=tests, context="", details=""), model)
        if len(model.encode(prompt.plain)) + answer <= model.context:
            left_out = () if limit is None else tuple(f"{part.kind} {part.name}" for part in task.parts)
            return prompt, selection if limit is None else Selection(task, (), left_out)
    raise ModelError(
        f"The function does not fit in the context of {model.name} ({model.context} tokens).",
        hint="Use a model with a longer context, or split the function.",
    )


def _prompt(task: Task, model: LanguageModel) -> Prompt:
    return tagged_prompt(task) if model.style == "tagged" else instruct_prompt(task, model.chat)

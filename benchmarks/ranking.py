"""Where a right edit stands among all single edits, and how often the first of several passing ones is right.

    python -m benchmarks.ranking FUNCTIONS.jsonl --model embedded --count 100

First table: edits tried until one is right, by what orders them. Second table: right ones among first passing ones.

Functions with literal calls (as `training.harvest`, `training.closed` and `training.grammar` write them) that were kept
out of training get a fault that some calls notice. Half of these calls, two at most, and one other are visible, since
tests are few: all single edits that pass them are rivals; the other calls judge. Cases whose rivals are all right or
all wrong say nothing about ranking and are counted apart. Faulty code runs in the limited worker of
`training.execution`.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bot.decoding.dynamic_signal import signal_text
from bot.decoding.edit_pool import EditPool
from bot.decoding.prompt import Prompt, Task, tagged_prompt
from bot.edits import Edit, single_edits
from bot.functions import FunctionText, functions_in
from bot.models.language_model import LanguageModel
from bot.ranking import changed_tokens
from training.build import is_heldout
from training.corpus import load
from training.executed import Case, FailingCase, assertion, differs, failing_cases, failure_text
from training.execution import Worker, assemble
from training.signals import Attempt, Observer

FAULTS = 6  # made of one function
VISIBLE_FAILING, VISIBLE_PASSING = 2, 1  # calls, at most


@dataclass(frozen=True, slots=True)
class Rival:
    """A single edit that passes what is visible. logprob, guided: nats; size: changed tokens; weight: its prior."""

    right: bool
    logprob: float
    guided: float
    size: int
    weight: float


Rule = Callable[[Rival], float]
RULES: dict[str, Rule] = {
    "prior": lambda r: math.log(r.weight),
    "smallest": lambda r: -r.size,
    "plain": lambda r: r.logprob,
    "guided": lambda r: r.guided,
    "mean": lambda r: (r.logprob + r.guided) / 2,
    **{
        f"mean - {price:g} size": lambda r, p=price: (r.logprob + r.guided) / 2 - p * r.size
        for price in (0.25, 0.5, 1, 2)
    },
    **{
        f"mean + {share:g} prior": lambda r, s=share: (r.logprob + r.guided) / 2 + s * math.log(r.weight)
        for share in (0.5, 1)
    },
    "mean - 0.5 size + 0.5 prior": lambda r: (r.logprob + r.guided) / 2 - 0.5 * r.size + 0.5 * math.log(r.weight),
}


TRUSTS = (0.1, 0.2, 0.35, 0.5, 1.0)
ORDERS = ("prior", *(f"{name}, trust {trust:g}" for name in ("plain", "guided") for trust in TRUSTS))


@dataclass(frozen=True, slots=True)
class Ranks:
    """Of one case: how many edits there are, and at which rank the first right one is, by each order; 0: none is."""

    edits: int
    first_right: tuple[int, ...]


def study(
    failing: FailingCase, model: LanguageModel, worker: Worker, rng: random.Random
) -> tuple[Ranks, list[Rival]] | None:
    """Return the ranks, and all single edits that pass the visible calls; None when the calls cannot be split."""
    case, header = failing.case, failing.case.function.header
    if len(failing.failing) < 2:
        return None
    passing = [i for i in range(len(case.calls)) if i not in failing.failing]
    shown = min(VISIBLE_FAILING, len(failing.failing) // 2)
    visible = [*rng.sample(list(failing.failing), shown), *rng.sample(passing, min(VISIBLE_PASSING, len(passing)))]
    lines = header.count("\n")
    text = failing.fault.text
    function = next(f for f in functions_in(text.encode()) if f.name == case.function.name)
    edits = single_edits(function)
    bodies = [edit for edit in edits if _passes(case, header + edit.body, visible, worker)]
    right = {edit.body for edit in bodies if _passes(case, header + edit.body, range(len(case.calls)), worker)}
    tests = tuple(assertion(case.calls[i], case.results[i], 1) for i in visible[:2])
    first = visible[0]
    failure = failure_text(case.calls[first], case.results[first], failing.wrong[first], 1)
    prompt = tagged_prompt(Task(text, lines, tests, failure))
    observer = Observer(failing, first, worker, rng)
    observed = observer.observe(Attempt(function.body, function.body, "faulty"), lines + 1)
    signal = signal_text([observed], "tagged", model) if observed else ""
    traced = replace(prompt, no_signal=signal) if signal else prompt
    orders = _orders(function, edits, model, (prompt, traced)) if right else []
    ranks = [1 + next(n for n, body in enumerate(order) if body in right) for order in orders]
    found = []
    for edit in bodies:
        scores = [_score(model, head, edit.body + prompt.end) for head in (prompt.plain, traced.plain)]
        found.append(Rival(edit.body in right, *scores, changed_tokens(function.body, edit.body), edit.weight))
    return Ranks(len(edits), tuple(ranks)), found


def _orders(
    function: FunctionText, edits: Sequence[Edit], model: LanguageModel, prompts: Sequence[Prompt]
) -> list[list[str]]:
    """Return the edited bodies in each of `ORDERS`."""
    prior = {edit.body: math.log(edit.weight) for edit in edits}
    orders = [prior]
    for prompt in prompts:
        scores = {
            scored.edit.body: scored.score for scored in EditPool(function, prompt, model, trust=1.0).score(edits)
        }
        orders += [{body: prior[body] + trust * (scores[body] - prior[body]) for body in prior} for trust in TRUSTS]
    return [sorted(scores, key=lambda body: -scores[body]) for scores in orders]


def _passes(case: Case, text: str, places: Sequence[int], worker: Worker) -> bool:
    results = worker.run(assemble(text, case.function.prelude), [case.calls[i] for i in places])
    return not any(differs(case.results[i], found) for i, found in zip(places, results, strict=True))


def _score(model: LanguageModel, head: str, text: str) -> float:
    return float(model.score(model.branch(model.encode(head)), model.encode(text)).sum())


def cases(path: Path, worker: Worker, rng: random.Random) -> Iterator[FailingCase]:
    functions = [f for f in load(path) if is_heldout(f.text)]
    rng.shuffle(functions)
    for function in functions:
        yield from failing_cases(function, worker, rng, FAULTS)


def first_right(found: Sequence[Sequence[Rival]], rule: Rule) -> int:
    return sum(max(rivals, key=rule).right for rivals in found)


def print_ranks(ranks: Sequence[Ranks]) -> None:
    known = [r for r in ranks if r.first_right]
    median = statistics.median(r.edits for r in ranks)
    print(
        f"{len(ranks)} cases, {len(known)} with a right single edit among them; median number of edits {median:.0f}\n"
    )
    print("| order | median rank of the first right edit | in the first 5 | 20 | 100 |\n|---|---:|---:|---:|---:|")
    for place, order in enumerate(ORDERS):
        of = [r.first_right[place] for r in known]
        shares = " | ".join(f"{sum(rank <= most for rank in of) / len(of):.0%}" for most in (5, 20, 100))
        print(f"| {order} | {statistics.median(of):.0f} | {shares} |")
    print()


def main() -> None:
    from bot.models.huggingface import load as load_model

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("functions", type=Path, nargs="+")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--count", type=int, default=100, help="cases")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    model = load_model(options.model)
    told: list[list[Rival]] = []
    ranks: list[Ranks] = []
    alike = {True: 0, False: 0}
    none = 0
    with Worker() as worker:
        for path in options.functions:
            for failing in cases(path, worker, rng):
                studied = study(failing, model, worker, rng) if len(ranks) < options.count else None
                if studied is None:
                    continue
                ranks.append(studied[0])
                found = studied[1]
                if not found:
                    none += 1
                elif len({rival.right for rival in found}) == 1:
                    alike[found[0].right] += 1
                else:
                    told.append(found)
    print_ranks(ranks)
    chance = sum(sum(r.right for r in rivals) / len(rivals) for rivals in told)
    print(
        f"{len(told)} cases with right and wrong rivals; all right {alike[True]}, all wrong {alike[False]}, none {none}"
    )
    print(f"\n| rule | first is right |\n|---|---:|\n| at random | {chance / max(1, len(told)):.1%} |")
    for name, rule in RULES.items():
        print(f"| {name} | {first_right(told, rule) / max(1, len(told)):.1%} |")


if __name__ == "__main__":
    main()

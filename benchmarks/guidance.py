"""Does guidance repair more? Solve rates over gamma, with and without the plausibility mask, with and without harvest.

    .venv/bin/python -m benchmarks.guidance CASES --out guidance.jsonl
    .venv/bin/python -m benchmarks.guidance --functions FUNCTIONS.jsonl [--count 100] --out guidance.jsonl
    .venv/bin/python -m benchmarks.guidance --report guidance.jsonl [--plot docs/guidance]

CASES: HumanEvalFix records or a case file. FUNCTIONS: a functions file of `training` with literal calls; faults are
made in those of its functions that are never trained on, and the calls are their tests. Every condition is one decode
of one setting, no edits, with at most so many executions; "filled" ones spend what the decode leaves of them on samples
of the plain model, so that all scales use the same number. What is decoded knows the faulty function and half of the
failing tests, as in the pipeline; the first body that passes them in the warm sandbox is judged cold by all visible
tests and by the hidden half. gamma 0 samples no continuations, so it has nothing to harvest; gamma 0 and 1 compute one
branch alone, so no mask acts on them.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.arms import BenchmarkArm
from benchmarks.cases import LIMITS, Case, Problem, all_pass, as_test, judged_right, load, prepare, repository
from benchmarks.cpu_clock import CpuClock
from benchmarks.fault_classes import fault_class
from benchmarks.measure import Bench, Told, bench, spread
from benchmarks.repair import add_common, chosen_cases, results_of
from benchmarks.results import NoCase, Record, Results
from benchmarks.significance import wilson
from benchmarks.tables import pairs, percent, table, terms_text
from bot.context import build_task
from bot.discover import discover
from bot.functions import FunctionText, functions_in, splice
from bot.generate import Arm, Search, generate
from bot.guides import guards, split_guides
from bot.models.language_model import LanguageModel
from bot.records import Budget, Discovery, Setting, Suspect
from runners import open_runner
from runners.choose import RunnerKind
from runners.runner import FunctionKey, Session, Target

GAMMAS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
MASKED, BARE = "", " no mask"
HARVEST, FILLED = " harvest", " filled"
CURVES = {
    MASKED: "mask",
    BARE: "no mask",
    HARVEST: "mask, harvest",
    BARE + HARVEST: "no mask, harvest",
    FILLED: "mask, filled up with samples",
}
GENERATED = "generated"  # the beginning of the names of cases made here


def conditions() -> dict[str, BenchmarkArm]:
    """Return every condition by its name."""
    found = []
    for gamma in GAMMAS:
        for mask in (MASKED,) if gamma in (0, 1) else (MASKED, BARE):
            for harvest in ("",) if gamma == 0 else ("", HARVEST):
                decode = Arm("decode", Setting(gamma, alpha=0.0 if mask else None), edits=False, harvests=bool(harvest))
                found.append(_condition(gamma, mask + harvest, decode))
        plain = Arm("decode", Setting(gamma), edits=False, harvests=False)
        found.append(_condition(gamma, FILLED, plain, Arm("sample", edits=False, harvests=False)))
    return {one.letter: one for one in found}


def _condition(gamma: float, rest: str, *arms: Arm) -> BenchmarkArm:
    name = f"gamma {gamma:g}{rest}"
    return BenchmarkArm(name, name, arms)


CONDITIONS = conditions()


# ------------------------------------------------------------------------------------------------- generated faults


def generated(functions: Path, count: int, seed: int) -> Iterator[Problem]:
    """Yield problems on functions that are never trained on: one noticed fault each, a test for each literal call."""
    from training.build import is_heldout
    from training.corpus import load as load_functions
    from training.executed import assertion, failing_cases
    from training.execution import Worker, assemble

    rng = random.Random(seed)
    apart = [f for f in load_functions(functions) if f.calls and is_heldout(f.text)]
    rng.shuffle(apart)
    left = count
    with Worker() as worker:
        for function in apart:
            for failing in failing_cases(function, worker, rng, 1) if left else ():
                if len(failing.failing) < 2:
                    continue
                case, fault = failing.case, failing.fault
                reference, faulty = (assemble(text, function.prelude) for text in (function.text, fault.text))
                lines = [assertion(call, result, 0) for call, result in zip(case.calls, case.results, strict=True)]
                kind = fault_class(fault.operators, fault.text, function.text)
                tests = tuple(dict.fromkeys(as_test(text) for text in lines))
                name = f"{GENERATED}-{count - left}-{function.name}"
                target = _qualname(faulty, function.name)
                yield Problem(
                    name, kind, target, faulty, reference, _header(reference), tests, operators=fault.operators
                )
                left -= 1


def _qualname(module: str, name: str) -> str:
    """Return the qualified name of the last function of this name: a prelude stands before it."""
    return [f.qualname for f in functions_in(module.encode()) if f.name == name][-1]


def _header(module: str) -> str:
    tops = dict.fromkeys(f.qualname.partition(".")[0] for f in functions_in(module.encode()))
    return f"import pytest\nfrom solution import {', '.join(tops)}\n"


# --------------------------------------------------------------------------------------------------------- measuring

Job = tuple[Case, tuple[BenchmarkArm, ...]]


def decoded(job: Job, shared: Bench, model: LanguageModel | None) -> Iterator[Record]:
    """Yield what each condition makes of a case, all in one warm sandbox."""
    case, wanted = job
    assert model is not None
    kind: RunnerKind = "docker" if shared.terms.runner == "docker" else "local"
    cpu: AbstractContextManager[CpuClock | None] = CpuClock() if kind == "local" else nullcontext()
    number = 0
    try:
        with repository(case.files) as root, cpu as counted, closing(open_runner(kind, root, LIMITS)) as runner:
            place, discovery = _place(case), discover(runner, emit=Told())
            guides, _ = split_guides([f for f in discovery.failures if f.repairable])
            with runner.open_session(place.target, [*guides, *guards(discovery.passing, place.key)]) as session:
                bench = _Decoding(case, place, discovery, guides, session, shared, model, counted or time.monotonic)
                for number, condition in enumerate(wanted):  # noqa: B007 - told when one fails
                    yield bench.record(condition)
    except Exception as error:  # one case must not end a run of hours; the report counts it
        said = f"{type(error).__name__}: {error}"
        yield Record(case.name, case.kind, wanted[number].letter, shared.terms, shared.code, error=said)


@dataclass(frozen=True, slots=True)
class Place:
    """The faulty function of a case."""

    source: bytes
    function: FunctionText
    key: FunctionKey

    @property
    def target(self) -> Target:
        return Target(self.key.path, self.key.qualname, self.key.first_line)


def _place(case: Case) -> Place:
    source = case.files[case.path].encode()
    function = next(f for f in functions_in(source) if f.qualname == case.function)
    return Place(source, function, FunctionKey(case.path, function.qualname, function.first_line))


@dataclass(slots=True)
class _Decoding:
    """One case under many conditions. judged: bodies that passed the guiding tests, and whether they are right."""

    case: Case
    place: Place
    discovery: Discovery
    guides: Sequence[str]
    session: Session
    shared: Bench
    model: LanguageModel
    clock: Callable[[], float]
    judged: dict[str, bool] = field(default_factory=dict)

    def record(self, condition: BenchmarkArm) -> Record:
        told, begun, terms = Told(), time.monotonic(), self.shared.terms
        search = self._search(condition, told)
        candidate = next(iter(search), None)
        spent = search.spent if candidate is None else candidate.spent
        return Record(
            case=self.case.name,
            kind=self.case.kind,
            arm=condition.letter,
            terms=terms,
            code=self.shared.code,
            published=candidate is not None,
            correct=candidate is not None and self._right(candidate.body),
            told=self.case.told,
            origin=candidate.origin if candidate else "",
            setting=candidate.setting if candidate else "",
            executions=spent.executions,
            tokens=spent.tokens,
            positions=spent.positions,
            drafted=told.drafted,
            accepted=told.accepted,
            changed=told.changed,
            search_s=round(spent.seconds, 3),
            total_s=round(spent.seconds, 3),
            wall_s=round(time.monotonic() - begun, 3),
            operators=self.case.operators,
        )

    def _search(self, condition: BenchmarkArm, told: Told) -> Search:
        place, terms = self.place, self.shared.terms
        guiding = [failure for failure in self.discovery.failures if failure.node_id in set(self.guides)]
        task = build_task(guiding, place.function, place.source, lambda path: self.case.files[path].encode())
        return generate(
            task,
            place.function,
            place.source,
            Suspect(place.key, 1.0, 1.0, 1.0, "known"),
            self.model,
            self.session,
            settings=condition.arms or (),
            budget=Budget(terms.cpu_s, None, None, terms.executions),
            seed=terms.seed,
            emit=told,
            clock=self.clock,
        )

    def _right(self, body: str) -> bool:
        """Say whether a body passes both halves in fresh processes."""
        if body not in self.judged:
            kind: RunnerKind = "docker" if self.shared.terms.runner == "docker" else "local"
            patched = {self.case.path: splice(self.place.source, self.place.function, body).decode()}
            visible = all_pass({**self.case.files, **patched}, kind)
            self.judged[body] = visible and judged_right(self.case, patched, kind)
        return self.judged[body]


# ----------------------------------------------------------------------------------------------------------- telling


def report(results: Results) -> str:
    """Return the tables, those of generated faults apart from the others."""
    parts = []
    done = [record for record in results.records.values() if not record.error]
    for title, made in (("Development cases", False), ("Generated faults", True)):
        of = [record for record in done if record.case.startswith(GENERATED) == made]
        by_arm = {name: [r for r in of if r.arm == name] for name in CONDITIONS if any(r.arm == name for r in of)}
        if by_arm:
            parts += [f"{title}, {terms_text(results, of)}", _rates(by_arm), pairs(by_arm, compared(by_arm))]
    return "\n\n".join(part for part in parts if part) + "\n" if parts else "There is no result.\n"


def _rates(by_arm: Mapping[str, Sequence[Record]]) -> str:
    head = ["condition", "cases", "passing", "correct", "rate [95 %]", "executions", "tokens", "drafts kept", "changed"]
    rows: list[list[object]] = []
    for name, records in by_arm.items():
        right = sum(record.correct for record in records)
        bounds = wilson(right, len(records))
        rate = f"{percent(right, len(records))} [{100 * bounds.low:.0f}, {100 * bounds.high:.0f}]"
        used = [round(statistics.mean(of)) for of in ([r.executions for r in records], [r.tokens for r in records])]
        kept = percent(sum(r.accepted for r in records), sum(r.drafted for r in records))
        changed = f"{statistics.mean(r.changed for r in records):.1f}"
        rows.append([name, len(records), sum(r.published for r in records), right, rate, *used, kept, changed])
    return "Executions, tokens and tokens changed by guidance are means over the cases:\n\n" + table(head, rows)


def compared(by_arm: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return what is compared: each scale to none, at equal executions and alone; harvest and no mask to without."""
    scales = [f"gamma {gamma:g}" for gamma in GAMMAS]
    found = [(scale + FILLED, scales[0] + FILLED) for scale in scales[1:]]
    found += [(scale, scales[0]) for scale in scales[1:]]
    found += [(scale + rest, scale) for scale in scales for rest in (HARVEST, BARE)]
    return [pair for pair in found if set(pair) <= by_arm.keys()]


def plot(results: Results, path: Path) -> None:
    """Write the rates and the share of drafts that were kept over gamma, as SVG and PNG beside each other."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "egcfg-fix"  # the same picture is the same file
    from matplotlib import pyplot

    done = [record for record in results.records.values() if not record.error]
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(7, 7), sharex=True, layout="constrained")
    kinds = [(rest, points) for rest in CURVES if (points := _points(done, rest))]
    for number, (rest, points) in enumerate(kinds):
        moved = 0.02 * (number - (len(kinds) - 1) / 2)  # beside each other, not on each other
        scales = [point[0] + moved for point in points]
        rates, below, above = zip(*(point[1:4] for point in points), strict=True)
        upper.errorbar(scales, rates, yerr=(below, above), marker="o", capsize=3, label=CURVES[rest])
        if rest in (MASKED, BARE):
            lower.plot(scales, [point[4] for point in points], marker="o", label=CURVES[rest])
    upper.set_ylabel("correct, % of cases")
    lower.set_ylabel("draft tokens kept, %")
    lower.set_xlabel("guidance scale gamma")
    for axes in (upper, lower):
        axes.set_ylim(0, 100)
        axes.legend()
    for suffix in ("svg", "png"):
        metadata = {"Date": None} if suffix == "svg" else {}
        figure.savefig(path.with_suffix(f".{suffix}"), dpi=120, metadata=metadata)
    pyplot.close(figure)


def _points(done: Sequence[Record], rest: str) -> list[tuple[float, ...]]:
    """Return (gamma, rate, below, above, drafts kept), in percent, of the conditions of one kind."""
    found: list[tuple[float, ...]] = []
    for gamma in GAMMAS:
        same = rest if CONDITIONS.get(f"gamma {gamma:g}{rest}") else rest.removeprefix(BARE)  # no mask acts there
        records = [record for record in done if record.arm == f"gamma {gamma:g}{same}"]
        if records:
            right, size = sum(record.correct for record in records), len(records)
            bounds = wilson(right, size)
            drafted = sum(record.drafted for record in records)
            kept = sum(record.accepted for record in records) / drafted if drafted else 0.0
            rate = right / size
            found.append((gamma, 100 * rate, 100 * (rate - bounds.low), 100 * (bounds.high - rate), 100 * kept))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    chosen = parser.parse_args(arguments)
    results = results_of(chosen.report or chosen.out)
    if chosen.report is None:
        if chosen.out is None or (chosen.cases is None) == (chosen.functions is None):
            parser.error("name --out and either a file of cases or --functions, or --report a file of records")
        _measure(chosen, results)
    print(report(results))
    if chosen.plot:
        plot(results, chosen.plot)
    return 1 if any(record.error for record in results.records.values()) else 0


def _measure(chosen: argparse.Namespace, results: Results) -> None:
    options = {name: getattr(chosen, name) for name in ("executions", "seed", "runner", "model", "device")}
    shared, model = bench(cpu_s=chosen.cpu_seconds, needed=True, **options)
    conflict = results.conflict(dict.fromkeys(CONDITIONS, shared.terms))
    if conflict:
        raise SystemExit(f"{chosen.out}: {conflict}. Give the same settings, or another file with --out.")
    if chosen.functions:
        prepared = chosen.out.with_suffix(".generated.jsonl")
        known = [case.name for case in load(prepared)] if prepared.exists() else []
        prepare(generated(chosen.functions, chosen.count, chosen.seed), prepared, chosen.runner, known)
        cases = chosen_cases(prepared, None, chosen.names, chosen.every, chosen.runner)
    else:
        cases = chosen_cases(chosen.cases, chosen.out, chosen.names, chosen.every, chosen.runner)
    jobs: list[Job] = []
    for case in cases:
        if isinstance(case, Case):
            left = tuple(
                c for c in CONDITIONS.values() if chosen.only in c.letter and not results.has(case.name, c.letter)
            )
            jobs += [(case, left)] if left else []
        elif case.name not in results.left_out:
            results.add(NoCase(case.name, case.kind, case.reason))
    for record in spread(decoded, jobs, shared, model, chosen.jobs):
        results.add(record)
        said = record.error or ("correct" if record.correct else "wrong" if record.published else "nothing")
        print(f"{record.case} {record.arm}: {said}, {record.executions} executions", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="?")
    parser.add_argument("--functions", type=Path, help="functions file with calls, to make faults in what is held out")
    parser.add_argument("--count", type=int, default=100, help="generated faults")
    parser.add_argument("--only", default="", help="only conditions whose name holds this text")
    add_common(parser, executions=128, cpu_seconds=60.0)
    parser.add_argument("--plot", type=Path, help="write the plot there, as .svg and .png; needs matplotlib")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

"""Repair rates of the real pipeline by arm: published, correct on hidden tests, and what each correct repair cost.

    .venv/bin/python -m benchmarks.repair CASES [--arms A,H,I] [--out FILE.jsonl] [--every N] [--jobs 2]
    .venv/bin/python -m benchmarks.repair --report FILE.jsonl

CASES: HumanEvalFix records, or a case file of this benchmark (`benchmarks.mutants`, `benchmarks.guidance`). Every arm
has the same budget for a search: executions and seconds, whichever ends first. With the local runner the seconds are
CPU-seconds of the search and its sandboxes, so that other work on the machine gives nobody an advantage; with Docker,
whose containers are no children of this process, they are wall seconds. With --out, records are written as they come
and a second run goes on where the first ended; prepared cases stand beside them in FILE.cases.jsonl.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.arms import ARMS
from benchmarks.cases import Case, LeftOut, Problem, is_case_file, load, prepare, read_problems
from benchmarks.measure import bench, one_job, spread
from benchmarks.results import NoCase, Record, Results
from benchmarks.tables import report
from runners.choose import RunnerKind

Named = TypeVar("Named", Case | LeftOut, Problem)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.report:
        print(report(results_of(chosen.report)))
        return 0
    if chosen.cases is None:
        parser.error("name a file of cases, or --report a file of records")
    arms = [ARMS[letter] for letter in chosen.arms]
    shared, model = bench(
        executions=chosen.executions,
        cpu_s=chosen.cpu_seconds,
        seed=chosen.seed,
        runner=chosen.runner,
        model=chosen.model,
        device=chosen.device,
        needed=any(arm.model for arm in arms),
    )
    results = results_of(chosen.out)
    conflict = results.conflict({arm.letter: shared.terms_of(arm) for arm in arms})
    if conflict:
        raise SystemExit(f"{chosen.out}: {conflict}. Give the same settings, or another file with --out.")
    cases = []
    for case in chosen_cases(chosen.cases, chosen.out, chosen.names, chosen.every, chosen.runner):
        if isinstance(case, Case):
            cases.append(case)
        elif case.name not in results.left_out:
            results.add(NoCase(case.name, case.kind, case.reason))
    jobs = [(case, arm) for case in cases for arm in arms if not results.has(case.name, arm.letter)]
    for number, record in enumerate(spread(one_job, jobs, shared, model, chosen.jobs), 1):
        results.add(record)
        print(f"[{number}/{len(jobs)}] {_line(record)}", file=sys.stderr, flush=True)
    print(report(results))
    return 1 if any(record.error for record in results.records.values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="?")
    parser.add_argument(
        "--arms", type=_letters, default=list(ARMS), help="letters of arms, A to I, with commas between"
    )
    add_common(parser, executions=2000, cpu_seconds=120.0)
    return parser


def add_common(parser: argparse.ArgumentParser, *, executions: int, cpu_seconds: float) -> None:
    """Add what this benchmark and that of guidance have in common; the numbers are defaults."""
    parser.add_argument("--executions", type=int, default=executions, help="bodies run in one search, at most")
    parser.add_argument("--cpu-seconds", type=float, default=cpu_seconds, help="seconds of one search, at most")
    parser.add_argument(
        "--names", "--cases", dest="names", type=_names, default=(), help="only the cases of these names"
    )
    parser.add_argument("--every", type=int, default=1, help="only every n-th case")
    parser.add_argument("--jobs", type=int, default=1, help="processes that work at the same time")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--runner", default="local", choices=("local", "docker"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file of records, one line of JSON each; made or continued")
    parser.add_argument("--report", type=Path, help="print the tables of a file of records, and do nothing else")


def _letters(text: str) -> list[str]:
    letters = [part.strip().upper() for part in text.split(",") if part.strip()]
    unknown = sorted(set(letters) - set(ARMS))
    if unknown or not letters:
        raise argparse.ArgumentTypeError(
            f"there is no arm {', '.join(unknown) or repr(text)}; they are {', '.join(ARMS)}"
        )
    return [letter for letter in ARMS if letter in letters]


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def results_of(path: Path | None) -> Results:
    try:
        return Results.of(path)
    except ValueError as error:
        raise SystemExit(str(error)) from None


def chosen_cases(
    path: Path, out: Path | None, names: Sequence[str], every: int, runner: RunnerKind
) -> list[Case | LeftOut]:
    """Return the chosen cases; those of HumanEvalFix records are prepared first, once for each file of records."""
    if is_case_file(path):
        return _chosen(list(load(path)), names, every)
    problems = _chosen(list(read_problems(path)), names, every)
    with tempfile.TemporaryDirectory(prefix="egcfg-cases-") as folder:
        prepared = out.with_suffix(".cases.jsonl") if out is not None else Path(folder, "cases.jsonl")
        known = [case.name for case in load(prepared)] if prepared.exists() else []
        prepare(problems, prepared, runner, known)
        wanted = {problem.name for problem in problems}
        return [case for case in load(prepared) if case.name in wanted] if wanted else []


def _chosen(items: list[Named], names: Sequence[str], every: int) -> list[Named]:
    known = {item.name for item in items}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"There is no case {', '.join(unknown)}; there is, for example, {min(known, default='none')}.")
    return [item for item in items if not names or item.name in names][::every]


def _line(record: Record) -> str:
    if record.error:
        return f"{record.case} {record.arm}: {record.error}"
    came = f"{record.word or 'nothing'} {record.origin}".strip()
    judged = ("correct" if record.correct else "wrong") if record.published else "not published"
    return f"{record.case} {record.arm}: {came}, {judged}, {record.executions} executions, {record.total_s:.0f} s"


if __name__ == "__main__":
    raise SystemExit(main())

"""Real packages with their own suites, faults injected: what is found, blamed, repaired and proven, by arm.

    .venv/bin/python -m benchmarks.packages --packages DIR [--download] [--faults 3] [--arms I,J] --out FILE.jsonl
    .venv/bin/python -m benchmarks.packages --report FILE.jsonl

DIR holds unpacked source distributions; --download fetches the newest with pip first. The faults are drawn once, by
--seed, and stand in FILE.faults.jsonl; half of the failing test functions are held back from the repair. A patch is
`the same` when the body has the syntax tree of the published one, `right` when otherwise every test that passed before
the fault passes again, held-back ones included, and else `wrong`. Faults that no arm repairs stay in the table. An
interrupted run goes on where it ended.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.arms import ARMS, BenchmarkArm
from benchmarks.cpu_clock import CpuClock
from benchmarks.mutants import download
from benchmarks.package_faults import (
    LIMITS,
    PackageFault,
    changed,
    draw,
    faulty_source,
    healthy,
    load,
    run_suite,
    save,
)
from benchmarks.results import NO_MODEL, code_digest
from benchmarks.tables import table
from bot.config import Config
from bot.models.language_model import LanguageModel
from bot.pipeline import Outcome, combined, load_model, repair
from bot.records import Budget
from runners.runner import SuiteRequest

PACKAGES = ("toolz", "boltons", "pathspec", "schema", "unidiff", "voluptuous")  # none was trained on; all bring tests
TOP = 3
CAME = ("same", "right", "wrong", "")


@dataclass(frozen=True, slots=True)
class Result:
    """What one arm made of one fault. Seconds: CPU-seconds of the search and its sandboxes, and of the wall.

    rank: of the faulty function among the suspects, from 1; 0 when it is not among them. came: "same", "right",
    "wrong", or "" when nothing was proposed.
    """

    fault: str
    arm: str
    cpu_s: float  # the budget
    code: str
    found: bool = False
    rank: int = 0
    word: str = ""
    came: str = ""
    executions: int = 0
    search_s: float = 0.0
    wall_s: float = 0.0
    error: str = ""


@dataclass(slots=True)
class _Ranks:
    """Of the pipeline's events: the best rank of the faulty function in any group's ranking."""

    fault: PackageFault
    best: int = 0

    def __call__(self, event: str, **fields: Any) -> None:
        if event == "ranking":
            for rank, suspect in enumerate(fields["suspects"], 1):
                if (suspect.key.path, suspect.key.qualname) == (self.fault.path, self.fault.qualname):
                    self.best = min(self.best or rank, rank)


def measured(
    root: Path,
    fault: PackageFault,
    arm: BenchmarkArm,
    model: LanguageModel | None,
    cpu_s: float,
    passing: frozenset[str],
) -> Result:
    """Repair one fault with one arm, then judge what was proposed by the whole suite. Errors are results too."""
    begun = time.monotonic()
    ranks = _Ranks(fault)
    try:
        with changed(root, {fault.path: faulty_source(root, fault)}) as copy, CpuClock() as clock:
            config = Config(
                model=model.name if arm.model and model else NO_MODEL,
                runner="local",
                budget=Budget(cpu_s, None, None, None),
                test_timeout=LIMITS.test_timeout_s,
                pytest_args=tuple(part for node_id in fault.held for part in ("--deselect", node_id)),
            )
            outcome = repair(copy, config, ranks, model=model if arm.model else None, arms=arm.arms, clock=clock)
        wall_s = time.monotonic() - begun
        came = _came(root, fault, outcome, passing)
    except Exception as error:  # one fault must not end a run of hours; the report counts it
        return Result(fault.name, arm.letter, cpu_s, code_digest(), error=f"{type(error).__name__}: {error}")
    words = [item.verdict.word for item in sorted(outcome.repairs, key=lambda r: not r.published) if item.verdict]
    return Result(
        fault.name,
        arm.letter,
        cpu_s,
        code_digest(),
        found={failure.node_id for failure in outcome.discovery.failures} >= set(fault.visible),
        rank=ranks.best,
        word=words[0] if words else "",
        came=came,
        executions=outcome.spent.executions,
        search_s=round(sum(item.spent.seconds for item in outcome.repairs), 2),
        wall_s=round(wall_s, 2),
    )


def _came(root: Path, fault: PackageFault, outcome: Outcome, passing: frozenset[str]) -> str:
    patched = combined(outcome.repairs)
    if not patched:
        return ""
    if set(patched) == {fault.path} and _same(root, fault, patched[fault.path]):
        return "same"
    with changed(root, {fault.path: faulty_source(root, fault), **patched}) as copy:
        results = run_suite(copy, "local", SuiteRequest()).by_id()
    return "right" if all(node_id in results and results[node_id].passed for node_id in passing) else "wrong"


def _same(root: Path, fault: PackageFault, patched: bytes) -> bool:
    """Say whether the whole file has the published one's syntax tree again."""
    return ast.dump(ast.parse((root / fault.path).read_bytes())) == ast.dump(ast.parse(patched))


# ------------------------------------------------------------------------------------------------------------ report


def report(faults: Sequence[PackageFault], results: Sequence[Result]) -> str:
    """Return a row for each fault and one for each arm; nothing is told that the records do not hold."""
    letters = [letter for letter in ARMS if any(result.arm == letter for result in results)]
    by_key = {(result.fault, result.arm): result for result in results}
    rows: list[list[object]] = []
    for fault in faults:
        found = [by_key.get((fault.name, letter)) for letter in letters]
        rank = next((r.rank for r in found if r and not r.error), 0)
        shown = [fault.package, fault.qualname, fault.kind, len(fault.visible), rank or "-"]
        rows.append([*shown, *(_shown(result) for result in found)])
    head = ["package", "function", "fault", "failing tests seen", "rank", *(f"arm {letter}" for letter in letters)]
    sums = [_sum(letter, [r for r in results if r.arm == letter]) for letter in letters]
    totals = [
        "arm",
        "faults",
        "found",
        f"top {TOP}",
        "plausible",
        "strong",
        "same",
        "right",
        "wrong",
        "search s",
        "wall s",
    ]
    return "\n\n".join([table(head, rows, left=3), table(totals, sums)]) + "\n"


def _shown(result: Result | None) -> str:
    if result is None or result.error:
        return "no result" if result else ""
    return f"{result.word}, {result.came}" if result.came else (result.word or "nothing")


def _sum(letter: str, results: Sequence[Result]) -> list[object]:
    done = [result for result in results if not result.error]
    words = [sum(result.word == word and bool(result.came) for result in done) for word in ("plausible", "strong")]
    came = [sum(result.came == word for result in done) for word in CAME[:3]]
    top = sum(0 < result.rank <= TOP for result in done)
    search = sum(result.search_s for result in done)
    wall = sum(result.wall_s for result in done)
    return [letter, len(done), sum(r.found for r in done), top, *words, *came, f"{search:.0f}", f"{wall:.0f}"]


# -------------------------------------------------------------------------------------------------------------- main


def read_results(path: Path) -> list[Result]:
    """Return the records of a file; a last line that was cut off is dropped, as an interrupted run leaves it."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
        path.write_text("".join(lines), encoding="utf-8")
    return [Result(**json.loads(line)) for line in lines]


def drawn_faults(chosen: argparse.Namespace, names: Sequence[str], path: Path) -> list[PackageFault]:
    """Return the faults of `path`, drawn first for the packages that it does not have yet."""
    faults = load(path) if path.exists() else []
    for root in _roots(chosen.packages, names):
        if all(fault.package != root.name for fault in faults):
            for fault in draw(healthy(root, "local"), chosen.faults, chosen.seed, "local"):
                print(f"drawn: {fault.name}, {fault.kind}", file=sys.stderr, flush=True)
                faults.append(fault)
            save(faults, path)
    return faults


def _roots(folder: Path, names: Sequence[str]) -> list[Path]:
    wanted = {name.lower().replace("-", "_") for name in names}
    return sorted(
        p for p in folder.iterdir() if p.is_dir() and p.name.rpartition("-")[0].lower().replace("-", "_") in wanted
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="folder of unpacked source distributions")
    parser.add_argument("--download", action="store_true", help="fetch them with pip first")
    parser.add_argument("--only", help="names of packages, with commas between; six by default")
    parser.add_argument("--faults", type=int, default=3, help="in each package")
    parser.add_argument("--arms", default="I,J", help="letters of arms, with commas between")
    parser.add_argument("--cpu-seconds", type=float, default=60.0, help="of one search, sandboxes included")
    parser.add_argument("--seed", type=int, default=0, help="by which the faults are drawn")
    parser.add_argument("--out", type=Path, help="file of records; made or continued")
    parser.add_argument("--report", type=Path, help="print the tables of a file of records, and do nothing else")
    chosen = parser.parse_args(arguments)
    out = chosen.report or chosen.out
    if out is None or (chosen.packages is None and not chosen.report):
        parser.error("name --packages and --out, or --report with a file of records")
    faults_path = out.with_suffix(".faults.jsonl")
    if chosen.report:
        print(report(load(faults_path), read_results(out)))
        return 0
    names = chosen.only.split(",") if chosen.only else PACKAGES
    if chosen.download:
        download(chosen.packages, names)
    faults = drawn_faults(chosen, names, faults_path)
    results = _run(chosen, faults, read_results(out), out)
    print(report(faults, results))
    return 1 if any(result.error for result in results) else 0


def _run(chosen: argparse.Namespace, faults: Sequence[PackageFault], results: list[Result], out: Path) -> list[Result]:
    arms = [ARMS[letter] for letter in chosen.arms.upper().split(",")]
    model = load_model(Config()) if any(arm.model for arm in arms) else None
    passing: dict[str, frozenset[str]] = {}
    for fault in faults:
        for arm in arms:
            if any((r.fault, r.arm, r.error) == (fault.name, arm.letter, "") for r in results):
                continue
            root = chosen.packages / fault.package
            if fault.package not in passing:
                passing[fault.package] = healthy(root, "local").passing
            result = measured(root, fault, arm, model, chosen.cpu_seconds, passing[fault.package])
            results = [r for r in results if (r.fault, r.arm) != (fault.name, arm.letter)] + [result]
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(result)) + "\n")
            print(f"{fault.name} {arm.letter}: {_shown(result)} {result.error}", file=sys.stderr, flush=True)
    return results


if __name__ == "__main__":
    raise SystemExit(main())

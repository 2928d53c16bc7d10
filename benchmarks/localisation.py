"""How early the faulty function stands in the ranking, by technique: faults injected into real packages.

    .venv/bin/python -m benchmarks.localisation --packages DIR [--download] [--faults 4] --out FILE.jsonl
    .venv/bin/python -m benchmarks.localisation --report FILE.jsonl

DIR holds unpacked source distributions; --download fetches the newest with pip first. The faults are drawn once, by
--seed, and stand in FILE.faults.jsonl; their operators are those of `training.faults`, named in the report. Each
package's own suite runs once on each fault, with coverage; all failing tests of the fault are one group. Where a
technique gives equal scores, the expected count over all orders of the equals is taken, so that no technique gains by
the order of its input. An interrupted run goes on where it ended.
Published, for 135 real faults in Python (FauxPy, arXiv:2305.19834, function level): Ochiai 37.8/61.5/71.9 %, its mean
with the traceback 43.7/63.7/72.6 % in the top 1/3/5.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutants import download
from benchmarks.package_faults import PackageFault, changed, draw, faulty_source, healthy, load, run_suite, save
from benchmarks.packages import PACKAGES
from benchmarks.tables import table
from bot.localise import localise
from bot.records import Suspect, TestFailure
from runners.runner import SuiteRequest, SuiteRun

TOPS = (1, 3, 5)
PUBLISHED = (("Ochiai", (37.8, 61.5, 71.9)), ("Ochiai and traceback", (43.7, 63.7, 72.6)))
TECHNIQUES = ("traceback", "Ochiai", "Ochiai and traceback", "ours")


@dataclass(frozen=True, slots=True)
class Ranking:
    """Where one fault stands. places: technique -> (functions before it, functions equal to it, itself included)."""

    fault: str
    package: str
    operators: tuple[str, ...]
    failing: int
    passing: int
    suspects: int  # functions that could be to blame
    seconds: float  # of the suite, coverage included
    places: dict[str, tuple[int, int]]  # empty when the faulty function is not among the suspects


def measured(root: Path, fault: PackageFault) -> Ranking:
    """Run the suite on one fault and rank."""
    with changed(root, {fault.path: faulty_source(root, fault)}) as copy:
        suite = run_suite(copy, "local", SuiteRequest(coverage=True))
        failures = _failures(suite, fault)
        passing = [run for run in suite.tests if run.passed]
        ranked = localise(failures, passing, lambda path: (copy / path).read_bytes())
    faulty = next((s for s in ranked if (s.key.path, s.key.qualname) == (fault.path, fault.qualname)), None)
    return Ranking(
        fault.name,
        fault.package,
        fault.operators,
        len(failures),
        len(passing),
        len(ranked),
        round(suite.duration_s, 2),
        _places(ranked, faulty) if faulty else {},
    )


def _failures(suite: SuiteRun, fault: PackageFault) -> list[TestFailure]:
    known = {*fault.visible, *fault.held}
    return [
        TestFailure(r.node_id, r.phase, "failure", r.exception, r.message, r.frames, r.functions)
        for r in suite.tests
        if r.failing and r.node_id in known
    ]


def _places(ranked: Sequence[Suspect], faulty: Suspect) -> dict[str, tuple[int, int]]:
    def place(own: float, others: Sequence[float]) -> tuple[int, int]:
        return sum(other > own for other in others), sum(other == own for other in others)

    return {
        "traceback": place(faulty.traceback, [s.traceback for s in ranked]),
        "Ochiai": place(faulty.ochiai, [s.ochiai for s in ranked]),
        "Ochiai and traceback": place(faulty.score, [s.score for s in ranked]),
        "ours": (list(ranked).index(faulty), 1),
    }


def within(place: tuple[int, int] | None, top: int) -> float:
    """Return the chance to be among the first `top` when equals stand in any order."""
    if place is None:
        return 0.0
    before, equal = place
    return min(1.0, max(0, top - before) / equal)


# ------------------------------------------------------------------------------------------------------------ report


def report(results: Sequence[Ranking]) -> str:
    """Return the shares by technique beside the published ones, and a row for each package."""
    rows: list[list[object]] = [
        ["published: " + name, "135", *(f"{x:.1f}" for x in shares)] for name, shares in PUBLISHED
    ]
    for technique in TECHNIQUES:
        rows.append([technique, len(results), *(f"{_share(results, technique, top):.1f}" for top in TOPS)])
    head = ["technique", "faults", *(f"top {top} %" for top in TOPS)]
    packages: list[list[object]] = []
    for name in sorted({result.package for result in results}):
        own = [result for result in results if result.package == name]
        mean = [
            sum(values) / len(own) for values in zip(*((r.failing, r.passing, r.suspects) for r in own), strict=True)
        ]
        tops = [f"{_share(own, 'ours', top):.0f}" for top in TOPS]
        packages.append([name, len(own), *(f"{value:.0f}" for value in mean), *tops])
    columns = ["package", "faults", "failing", "passing", "suspects", *(f"ours, top {top} %" for top in TOPS)]
    operators = Counter(operator for result in results for operator in result.operators)
    said = ", ".join(f"{name} {count}" for name, count in operators.most_common())
    return "\n\n".join([table(head, rows), table(columns, packages), f"Operators: {said}."]) + "\n"


def _share(results: Sequence[Ranking], technique: str, top: int) -> float:
    return 100 * sum(within(result.places.get(technique), top) for result in results) / max(1, len(results))


# -------------------------------------------------------------------------------------------------------------- main


def read(path: Path) -> list[Ranking]:
    """Return the records of a file; a last line that was cut off is dropped, as an interrupted run leaves it."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else ():
        if line.endswith("\n"):
            fields = json.loads(line)
            places = {name: (before, equal) for name, (before, equal) in fields.pop("places").items()}
            found.append(Ranking(**{**fields, "operators": tuple(fields["operators"])}, places=places))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="folder of unpacked source distributions")
    parser.add_argument("--download", action="store_true", help="fetch them with pip first")
    parser.add_argument("--only", default=",".join(PACKAGES), help="names of packages, with commas between")
    parser.add_argument("--faults", type=int, default=4, help="in each package")
    parser.add_argument("--seed", type=int, default=0, help="by which the faults are drawn")
    parser.add_argument("--out", type=Path, help="file of records; made or continued")
    parser.add_argument("--report", type=Path, help="print the tables of a file of records, and do nothing else")
    chosen = parser.parse_args(arguments)
    if chosen.report:
        print(report(read(chosen.report)))
        return 0
    if chosen.packages is None or chosen.out is None:
        parser.error("name --packages and --out, or --report with a file of records")
    names = chosen.only.split(",")
    if chosen.download:
        download(chosen.packages, names)
    results = read(chosen.out)
    chosen.out.write_text("".join(_line(result) for result in results), encoding="utf-8")
    drawn = chosen.out.with_suffix(".faults.jsonl")
    for name in names:
        for fault in _faults(chosen, name, drawn):
            if all(result.fault != fault.name for result in results):
                results.append(measured(chosen.packages / fault.package, fault))
                with chosen.out.open("a", encoding="utf-8") as file:
                    file.write(_line(results[-1]))
                print(f"{fault.name}: {results[-1].places}", file=sys.stderr, flush=True)
    print(report(results))
    return 0


def _line(result: Ranking) -> str:
    return json.dumps(dataclasses.asdict(result)) + "\n"


def _faults(chosen: argparse.Namespace, name: str, path: Path) -> list[PackageFault]:
    """Return the faults of one package: those of the file, else drawn now and written there."""
    known = load(path) if path.exists() else []
    plain = name.lower().replace("-", "_")
    roots = [p for p in chosen.packages.iterdir() if p.name.rpartition("-")[0].lower().replace("-", "_") == plain]
    for root in sorted(roots):
        if all(fault.package != root.name for fault in known):
            known += draw(healthy(root, "local"), chosen.faults, chosen.seed, "local")
            save(known, path)
    return [fault for fault in known if fault.package in {root.name for root in roots}]


if __name__ == "__main__":
    raise SystemExit(main())

"""Repair rates of the whole pipeline on development cases: found, plausible on what it saw, correct on what it did not.

Each case becomes a small repository whose visible half of the tests fails; the hidden half judges the published patch
alone, once, afterwards. Run it as `python -m benchmarks.repair CASES.jsonl --budget 60s`.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cases import HIDDEN, VISIBLE, Case, halves, read_cases, write
from bot.config import Config, parse_budget
from bot.models.language_model import LanguageModel
from bot.pipeline import load_model, repair
from runners import open_runner
from runners.runner import Limits, SuiteRequest


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one case."""

    case: Case
    ranked_first: bool  # the faulty function tops the ranking
    word: str  # the verdict's, or ""
    origin: str
    correct: bool  # the published patch passes the hidden half
    seconds: float
    executions: int


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--runner", default="local", choices=("local", "docker"))
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--every", type=int, default=1, help="take every n-th case")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    config = Config(
        model=chosen.model,
        runner=chosen.runner,
        budget=parse_budget(chosen.budget),
        seed=chosen.seed,
        suspects=2,
        test_timeout=5.0,
    )
    model = load_model(config)
    rows: list[Row] = []
    left_out = 0
    for case in list(read_cases(chosen.cases))[:: chosen.every]:
        folder = Path(tempfile.mkdtemp(prefix="egcfg-case-"))
        try:
            row = measured(case, folder, config, model)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if row is None:
            left_out += 1
            continue
        rows.append(row)
        print(f"{case.name} {case.kind}: {row.word or 'none'} {row.origin} correct={row.correct} {row.seconds:.0f} s")
    print(table(rows, left_out))
    return 0


def measured(case: Case, folder: Path, config: Config, model: LanguageModel) -> Row | None:
    """Repair one case; None when its tests cannot be dealt into two failing halves."""
    dealt = halves(case, folder, "docker" if config.runner == "docker" else "local")
    if dealt is None:
        return None
    visible, hidden = dealt
    write(folder, case.faulty, {VISIBLE: visible}, case.entry_point)
    ranking: list[str] = []

    def emit(event: str, **fields: Any) -> None:
        if event == "ranking" and not ranking:
            ranking.extend(suspect.key.qualname for suspect in fields["suspects"])

    start = time.monotonic()
    outcome = repair(folder, config, emit, model=model)
    seconds = time.monotonic() - start
    published = [item for item in outcome.repairs if item.published and item.patch and item.candidate]
    found = next((item for item in outcome.repairs if item.verdict is not None), None)
    correct = False
    if published and published[0].patch:
        write(folder, published[0].patch.after.decode(), {HIDDEN: hidden}, case.entry_point)
        correct = passes(folder, config.runner)
    return Row(
        case,
        ranking[:1] == [case.entry_point],
        found.verdict.word if found and found.verdict else "",
        found.candidate.origin if found and found.candidate else "",
        correct,
        seconds,
        outcome.spent.executions,
    )


def passes(folder: Path, runner: str) -> bool:
    opened = open_runner("docker" if runner == "docker" else "local", folder, Limits(test_timeout_s=5.0))
    try:
        suite = opened.run_suite(SuiteRequest())
    finally:
        opened.close()
    return suite.complete and bool(suite.tests) and all(run.passed for run in suite.tests)


def table(rows: Sequence[Row], left_out: int) -> str:
    """Return the rates by kind of fault as Markdown."""
    lines = [
        "| kind of fault | cases | right function first | published | correct | wrong | suspect | median s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind in [*sorted({row.case.kind for row in rows}), "all"]:
        of = [row for row in rows if kind in (row.case.kind, "all")]
        published = [row for row in of if row.word in ("strong", "plausible")]
        correct = sum(row.correct for row in published)
        seconds = sorted(row.seconds for row in of)[len(of) // 2] if of else 0.0
        lines.append(
            f"| {kind} | {len(of)} | {sum(row.ranked_first for row in of)} | {len(published)} | {correct} "
            f"| {len(published) - correct} | {sum(row.word == 'suspect' for row in of)} | {seconds:.0f} |"
        )
    origins = Counter(row.origin for row in rows if row.word in ("strong", "plausible"))
    told = ", ".join(f"{origin} {count}" for origin, count in origins.most_common())
    return "\n".join([*lines, "", f"Published by origin: {told or 'none'}. Left out: {left_out}."])


if __name__ == "__main__":
    raise SystemExit(main())

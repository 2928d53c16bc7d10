"""Records of the repair benchmark as Markdown: nothing is told that the records do not hold."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.arms import ARMS, COMPARED
from benchmarks.results import NO_MODEL, Record, Results
from benchmarks.significance import difference, holm, wilson

MISSING = "missing logic"  # the one class that single edits of what is there hardly reach: told apart
ROUNDED = 1  # decimals of seconds

Belongs = Callable[[Record], bool]


def report(results: Results, compared: Sequence[tuple[str, str]] = COMPARED) -> str:
    """Return every table."""
    done = [record for record in results.records.values() if not record.error]
    letters = [letter for letter in ARMS if any(record.arm == letter for record in done)]
    letters += sorted({record.arm for record in done} - set(letters))
    if not done:
        return "There is no result.\n"
    by_arm = {letter: [record for record in done if record.arm == letter] for letter in letters}
    parts = [terms_text(results, done), rates(by_arm), checks(by_arm), costs(by_arm), origins(by_arm), classes(by_arm)]
    parts += [operators(by_arm), pairs(by_arm, compared)]
    return "\n\n".join(part for part in parts if part) + "\n"


def terms_text(results: Results, done: Sequence[Record]) -> str:
    """Return on what terms these records were made, and how many cases of the file are missing."""
    first = done[0].terms
    models = sorted({f"{r.terms.model} ({r.terms.fingerprint[:12]})" for r in done if r.terms.model != NO_MODEL})
    lines = [
        f"At most {first.executions} executions and {first.cpu_s:g} {first.clock} seconds of search for a case, "
        f"{first.test_timeout_s:g} s for a test, seed {first.seed}, runner {first.runner}, "
        f"model {', '.join(models) or 'none'}. "
        f"{len({r.case for r in done})} cases, {len(results.left_out)} left out"
        + (f" ({_reasons(results)})" if results.left_out else "")
        + "."
    ]
    ranked = {record.case: record.right_function_first for record in done}
    if any(ranked.values()):
        lines.append(f"The faulty function was ranked first in {sum(ranked.values())} of them.")
    failed = Counter(record.arm for record in results.records.values() if record.error)
    if failed:
        lines.append("Without a result: " + ", ".join(f"{arm} {count}" for arm, count in sorted(failed.items())) + ".")
    if told := {record.case for record in done if record.told}:
        lines.append(f"Of {len(told)} cases the docstring shows every failing hidden test.")
    if len({record.code for record in done}) > 1:
        lines.append(f"The records come from {len({record.code for record in done})} states of the source code.")
    return "\n".join(lines)


def _reasons(results: Results) -> str:
    counts = Counter(case.reason for case in results.left_out.values())
    return "; ".join(f"{reason}: {count}" for reason, count in counts.most_common())


def rates(by_arm: dict[str, list[Record]]) -> str:
    """Return what each arm found, published, and had right; `wrong` is of what it published."""
    head = ["arm", "", "cases", "strong", "plausible", "suspect", "rejected", "published", "correct", "rate [95 %]"]
    rows = []
    for letter, records in by_arm.items():
        words = Counter(record.word for record in records)
        published = sum(record.published for record in records)
        correct = sum(record.correct for record in records)
        bounds = wilson(correct, len(records))
        rate = f"{percent(correct, len(records))} [{100 * bounds.low:.0f}, {100 * bounds.high:.0f}]"
        title = ARMS[letter].title if letter in ARMS else ""
        counts = [words[word] for word in ("strong", "plausible", "suspect", "rejected")]
        wrong = sum(record.wrong for record in records)
        share = f"{wrong} ({percent(wrong, published)})"
        rows.append([letter, title, len(records), *counts, published, correct, rate, share])
    return table([*head, "wrong of published"], rows, left=2)


def checks(by_arm: dict[str, list[Record]]) -> str:
    """Return what would have been published had no patch that passes everything been withheld as suspect."""
    rows: list[list[object]] = []
    for letter, records in by_arm.items():
        withheld = [record for record in records if record.withheld]
        right = sum(record.withheld_right for record in withheld)
        published = sum(record.published for record in records)
        correct, wrong = sum(record.correct for record in records), sum(record.wrong for record in records)
        without = wrong + len(withheld) - right
        everything = published + len(withheld)
        with_them = f"{correct} + {wrong} ({percent(wrong, published)})"
        rows.append([letter, with_them, f"{correct + right} + {without} ({percent(without, everything)})"])
    if not any(record.withheld for records in by_arm.values() for record in records):
        return ""
    head = ["arm", "as published", "had nothing been withheld as suspect"]
    return "Correct + wrong (wrong of published), with and without the checks for doubt:\n\n" + table(head, rows)


def costs(by_arm: dict[str, list[Record]]) -> str:
    """Return what each arm used; sums are over all cases, right or not, for each case that is right."""
    head = ["arm", "executions", "tokens", "positions", "search s", "whole s", "whole s, sum / correct", "wall s"]
    rows = []
    for letter, records in by_arm.items():
        correct = sum(record.correct for record in records)
        total = sum(record.total_s for record in records)
        middle = [_median(records, lambda r: r.executions), _median(records, lambda r: r.tokens)]
        middle += [_median(records, lambda r: r.positions), _median(records, lambda r: r.search_s)]
        each = f"{total / correct:.{ROUNDED}f}" if correct else "-"
        whole = _median(records, lambda r: r.total_s)
        rows.append([letter, *middle, whole, each, _median(records, lambda r: r.wall_s)])
    return "Medians over the cases:\n\n" + table(head, rows)


def origins(by_arm: dict[str, list[Record]]) -> str:
    """Return where the published patches come from, right and wrong ones."""
    names = sorted({r.origin for records in by_arm.values() for r in records if r.published})
    rows: list[list[object]] = []
    for letter, records in by_arm.items():
        published = [record for record in records if record.published]
        right = Counter(record.origin for record in published if record.correct)
        wrong = Counter(record.origin for record in published if not record.correct)
        rows.append([letter, *(f"{right[name]} + {wrong[name]}" for name in names)])
    return "Published by origin, correct + wrong:\n\n" + table(["arm", *names], rows)


def classes(by_arm: dict[str, list[Record]]) -> str:
    """Return the correct ones of each class of fault, by arm; missing logic stands first and the rest together last."""
    kinds = sorted({r.kind for records in by_arm.values() for r in records}, key=lambda kind: (kind != MISSING, kind))
    groups: list[tuple[str, Belongs]] = [(kind, partial(_is_kind, kind)) for kind in kinds]
    groups += [(f"all but {MISSING}", lambda r: r.kind != MISSING), ("all", lambda _: True)]
    return "Correct, by class of fault:\n\n" + _grouped("class", groups, by_arm)


def operators(by_arm: dict[str, list[Record]]) -> str:
    """Return the correct ones of each operator that made faults; a case of two operators is in both rows."""
    names = sorted({name for records in by_arm.values() for r in records for name in r.operators})
    groups: list[tuple[str, Belongs]] = [(name, partial(_is_by, name)) for name in names]
    return "Correct, by operator that made the fault:\n\n" + _grouped("operator", groups, by_arm) if names else ""


def _is_kind(kind: str, record: Record) -> bool:
    return record.kind == kind


def _is_by(operator: str, record: Record) -> bool:
    return operator in record.operators


def _grouped(title: str, groups: Sequence[tuple[str, Belongs]], by_arm: dict[str, list[Record]]) -> str:
    rows: list[list[object]] = []
    for name, belongs in groups:
        of = [[record for record in records if belongs(record)] for records in by_arm.values()]
        rows.append([name, *(f"{sum(r.correct for r in records)} / {len(records)}" for records in of)])
    return table([title, *by_arm], rows)


def pairs(by_arm: dict[str, list[Record]], compared: Sequence[tuple[str, str]]) -> str:
    """Return the differences in the correct rate on the cases that both arms have; "" when no two have any."""
    found = []
    for first, second in compared:
        right = {record.case: record.correct for record in by_arm.get(first, [])}
        other = {record.case: record.correct for record in by_arm.get(second, [])}
        both = sorted(right.keys() & other.keys())
        if both:
            found.append((first, second, difference([right[c] for c in both], [other[c] for c in both])))
    rows: list[list[object]] = []
    for (first, second, one), adjusted in zip(found, holm([one.p for _, _, one in found]), strict=True):
        bounds = f"[{100 * one.interval.low:+.0f}, {100 * one.interval.high:+.0f}]"
        points = f"{100 * one.difference:+.1f} {bounds}"
        rows.append(
            [f"{first} - {second}", one.cases, points, one.only_first, one.only_second, p_text(one.p), p_text(adjusted)]
        )
    if not rows:
        return ""
    head = ["arms", "cases", "points [95 %]", "first alone right", "second alone right", "p", "p, Holm"]
    return (
        "Differences in the correct rate on the same cases; intervals by paired bootstrap, p by exact McNemar:\n\n"
        + table(head, rows)
    )


def p_text(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _median(records: Sequence[Record], of: Callable[[Record], float]) -> str:
    value = statistics.median(of(record) for record in records)
    return f"{value:.{ROUNDED}f}" if isinstance(of(records[0]), float) else f"{value:.0f}"


def table(head: Sequence[object], rows: Sequence[Sequence[object]], left: int = 1) -> str:
    """Return a Markdown table; the first `left` columns are aligned to the left."""
    rule = "|" + "---|" * left + "---:|" * (len(head) - left)
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], rule, *lines[1:]])

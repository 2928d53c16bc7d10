"""What a guided line costs beside a plain greedy one: wall time, forward passes, positions; one command, one table.

Nothing is executed: a canned session answers with one fixed trace, so that only the decoding is measured. Every variant
writes the same function with the same seed; sampling of continuations is counted in its own rows.

    python benchmarks/decoding.py [--model embedded] [--repeats 3]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bot.decoding.body_text import statements
from bot.decoding.decoder import Decoder
from bot.decoding.prompt import Task, instruct_prompt, tagged_prompt
from bot.decoding.trials import Meter, Trials
from bot.functions import find_function
from bot.models.huggingface import load
from bot.models.language_model import LanguageModel
from bot.records import Budget, Setting, Spent
from runners.runner import Execution, TestRun, Trace, TraceEvent

SOURCE = b'''def merge(left, right):
    """Merge two sorted lists into one."""
    result = []
    i = 0
    j = 0
    while i < len(left) and j < len(right):
        if left[i] > right[j]:
            result.append(left[i])
            i += 1
        else:
            result.append(right[j])
            j += 1
    result.extend(left[i:])
    result.extend(right[j:])
    return result
'''
TEST = "def test_merge():\n    assert merge([1, 4], [2, 3, 9]) == [1, 2, 3, 4, 9]\n"
NO_LIMIT = Budget(None, None, None, None)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of decoding. ahead: continuations are sampled at each line, else the signal is the faulty trace alone."""

    name: str
    gamma: float
    drafts: bool
    ahead: bool


VARIANTS = (
    Variant("plain greedy", 0.0, False, False),
    Variant("plain greedy, drafts", 0.0, True, False),
    Variant("guided, gamma 1", 1.0, False, False),
    Variant("guided, gamma 1, drafts", 1.0, True, False),
    Variant("guided, gamma 3", 3.0, False, False),
    Variant("guided, gamma 3, drafts", 3.0, True, False),
    Variant("guided, gamma 3, drafts, s=3 d=3", 3.0, True, True),
)


class CannedSession:
    """Answers every execution with the same failing run and a trace whose values differ from body to body."""

    level = "canned"
    executions = 0

    def execute(self, sources: Sequence[bytes], *, trace: bool = False, brief: bool = False) -> list[Execution]:  # noqa: ARG002
        found = []
        for _ in sources:
            self.executions += 1
            values = (("result", f"[{self.executions}]"), ("i", "0"), ("j", "1"))
            lines = [TraceEvent("line", line, 0, values[line % 3 :]) for line in (3, 4, 5, 6, 7, 8, 9, 6, 7, 11, 12, 6)]
            events = (*lines, TraceEvent("return", 15, 0, (("return", "[4, 1, 2, 3, 9]"),)))
            run = TestRun("t::merge", "failed", message="[4, 1] == [1, 2]", trace=Trace(events) if trace else None)
            found.append(Execution((run,)))
        return found

    def __enter__(self) -> CannedSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Measured:
    """One decode: lines and text written, and what it took."""

    lines: int
    text: str
    spent: Spent


def measure(model: LanguageModel, variant: Variant) -> Measured:
    """Write one body and return its cost; the prompt's own pass is counted, as every decode has one."""
    function = find_function(SOURCE, "merge", 1)
    assert function is not None
    task = Task(function.text, function.header_lines, (TEST,), "AssertionError: [4, 1, 2, 3, 9]")
    prompt = tagged_prompt(task) if model.style == "tagged" else instruct_prompt(task, model.chat)
    trials = Trials(function, SOURCE, CannedSession(), silent)
    meter = Meter(model, trials, time.perf_counter)
    setting = Setting(variant.gamma, candidates=3 if variant.ahead else 0)
    decoder = Decoder(prompt, model, trials, setting, meter, NO_LIMIT, emit=silent, drafts=variant.drafts)
    for _ in decoder.run():
        pass
    spent = meter.spent()
    return Measured(max(1, statements(function, decoder.text + "\n")), decoder.text, spent)


def silent(event: str, **fields: Any) -> None:
    """Tell nobody."""


def table(model: LanguageModel, repeats: int) -> str:
    """Return the Markdown table: medians per line, and the ratio to plain greedy decoding."""
    rows = []
    base = 0.0
    texts: dict[float, set[str]] = {}
    for variant in VARIANTS:
        runs = [measure(model, variant) for _ in range(repeats)]
        wall = statistics.median(1000 * run.spent.seconds / run.lines for run in runs)
        base = base or wall
        one = runs[0]
        if not variant.ahead:
            texts.setdefault(variant.gamma, set()).add(one.text)
        costs = [one.spent.passes / one.lines, one.spent.positions / one.lines, one.spent.tokens / one.lines]
        cells = [variant.name, str(one.lines), f"{wall:.0f}", *(f"{cost:.1f}" for cost in costs), f"{wall / base:.2f}"]
        rows.append("| " + " | ".join(cells) + " |")
    head = "| variant | lines | ms/line | passes/line | positions/line | tokens/line | time / plain greedy |"
    rule = "| --- " + "| ---: " * 6 + "|"
    same = all(len(found) == 1 for found in texts.values())
    note = f"Drafts {'changed no text' if same else 'CHANGED THE TEXT'}. Model {model.name}, {model.fingerprint[:12]}."
    return "\n".join([head, rule, *rows, "", note])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="a directory or a hub name")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(table(load(options.model, device=options.device), options.repeats))


if __name__ == "__main__":
    main()

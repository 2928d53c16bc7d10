"""Measures an exported model: held-out grammar functions, held-out library functions, HumanEvalFix development cases.

Greedy exact match (same syntax tree) and test pass, verified@k (one of k samples passes every test), the rank of
the true body among 60 single edits of the faulty one, and the share of answers that copy the fault. Tests run in a
worker with limits. One JSON object is printed and written.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bot.decoding.prompt import Task, tagged_prompt
from training.build import is_heldout
from training.corpus import load
from training.executed import FailingCase, differs, failing_cases, shown_tests
from training.execution import Result, Worker, assemble, run_module
from training.faults import inject, neighbourhood
from training.functions import SourceFunction, same_code
from training.generation import Generator

TEMPERATURE = 0.8
EDITS = 60  # single edits, drawn at random, ranked against the true body


@dataclass(frozen=True, slots=True)
class Problem:
    """One faulty function: the prompt, the text around a body, the calls that judge one and their true results."""

    prompt: str
    header: str
    faulty_body: str
    true_body: str
    prelude: str
    calls: tuple[str, ...]
    results: tuple[Result, ...]

    def passes(self, body: str, worker: Worker) -> bool:
        source = assemble(self.header + body, self.prelude)
        found = worker.run(source, self.calls)
        return not any(differs(r, w) for r, w in zip(self.results, found, strict=True))


def problem_of(failing: FailingCase, rng: random.Random) -> Problem:
    case, function = failing.case, failing.case.function
    tests, failure = shown_tests(failing, rng)
    prompt = tagged_prompt(Task(failing.fault.text, function.header_lines, tests, failure)).plain
    faulty = "".join(failing.fault.text.splitlines(keepends=True)[function.header_lines :])
    return Problem(prompt, function.header, faulty, function.body, function.prelude, case.calls, case.results)


def grammar_problems(functions: Path, count: int, worker: Worker, rng: random.Random) -> list[Problem]:
    """Return problems on functions whose renamed syntax tree was never trained on."""
    apart = [f for f in load(functions) if is_heldout(f.text)]
    rng.shuffle(apart)
    found: list[Problem] = []
    for function in apart:
        found += [problem_of(failing, rng) for failing in failing_cases(function, worker, rng, 1)]
        if len(found) >= count:
            break
    return found[:count]


def static_problems(functions: Path, count: int, rng: random.Random) -> list[tuple[SourceFunction, str]]:
    """Return held-out library functions with a fault; nothing tells the fault but the code itself."""
    apart = [f for f in load(functions) if is_heldout(f.text) and len(f.text) < 420]
    rng.shuffle(apart)
    faults = ((f, inject(f.text, rng)) for f in apart)
    return [(f, fault.text) for f, fault in faults if fault is not None][:count]


def run_check(source: str, call: str) -> bool:
    """Run a test module in the worker, then a call: true when neither raises."""
    return run_module(source, (call,))[0].kind == "value"


def humanevalfix_problem(record: dict[str, str], worker: Worker, *, docstring: bool) -> Problem:
    """Return a development case as a problem; its results stay empty, since its own test module judges it."""
    place = record["declaration"].rindex("def ")
    imports, header = record["declaration"][:place], record["declaration"][place:].rstrip("\n") + "\n"
    if docstring:
        lines = record["docstring"].strip().replace("\\", "\\\\").splitlines()
        quoted = "\n".join([lines[0], *(f"    {line}".rstrip() for line in lines[1:])])
        header += f'    """{quoted}\n    """\n'
    faulty, true_body = (record[key].rstrip() + "\n" for key in ("buggy_solution", "canonical_solution"))
    prelude = record.get("import", "") + "\n" + imports
    module = f"{prelude}\n{header}{faulty}"
    tests = asserts_of(record["test"], record["entry_point"])
    failing = [t for t in tests if not worker.ask(run_check, f"{module}\ndef _t():\n    {t}\n", "_t()")]
    shown = tuple(t for t in failing if len(t) < 200)[:2]
    failure = failure_of(shown[0], module, worker) if shown else "AssertionError"
    task = Task(header + faulty, header.count("\n"), shown, failure)
    return Problem(tagged_prompt(task).plain, header, faulty, true_body, prelude, (), ())


def failure_of(test: str, module: str, worker: Worker) -> str:
    """Return what pytest says of a failing single-line assertion."""
    node = ast.parse(test).body[0]
    if not (isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare)):
        return "AssertionError"
    result = worker.run(module, [ast.unparse(node.test.left)])[0]
    right = ast.unparse(node.test.comparators[0])
    return result.text if result.kind == "raise" else f"AssertionError: assert {result.text} == {right}"


def asserts_of(test: str, name: str) -> list[str]:
    """Return the single-line assertions of a HumanEval test module, on the function's own name."""
    found = []
    for node in ast.walk(ast.parse(test)):
        if isinstance(node, ast.Assert):
            node.msg = None
            found.append(ast.unparse(node).replace("candidate(", f"{name}("))
    return found


def rank_of_truth(problem: Problem, generator: Generator) -> int | None:
    """Return the 1-based rank of the true body among single edits of the faulty one; None if it is not one of them."""
    lines = problem.header.count("\n")
    texts = [text for _, text in neighbourhood(problem.header + problem.faulty_body)]
    bodies = ["".join(text.splitlines(keepends=True)[lines:]) for text in texts]
    others = [b for b in bodies if not same_code(problem.header + b, problem.header + problem.true_body)]
    if len(others) == len(bodies):
        return None
    random.Random(0).shuffle(others)
    scores = generator.scores(problem.prompt, [problem.true_body, *others[:EDITS]])
    return 1 + sum(score > scores[0] for score in scores[1:])


@dataclass(slots=True)
class Tally:
    """Counts over problems."""

    problems: int = 0
    exact: int = 0
    passed: int = 0
    verified: int = 0
    copied: int = 0
    ranks: list[int] | None = None

    def report(self, samples: int) -> dict[str, float | int]:
        share = {
            name: round(getattr(self, name) / max(1, self.problems), 3)
            for name in ("exact", "passed", "verified", "copied")
        }
        found: dict[str, float | int] = {"problems": self.problems, **share, "samples": samples}
        if self.ranks:
            found |= {"ranked": len(self.ranks), "top1": round(sum(r == 1 for r in self.ranks) / len(self.ranks), 3),
                      "top5": round(sum(r <= 5 for r in self.ranks) / len(self.ranks), 3),
                      "median_rank": sorted(self.ranks)[len(self.ranks) // 2]}  # fmt: skip
        return found


def measure(problems: Sequence[Problem], generator: Generator, worker: Worker, samples: int, *, rank: bool) -> Tally:
    """Return the tally over executable problems."""
    tally = Tally(ranks=[] if rank else None)
    for problem in problems:
        limit = int(1.3 * len(generator.ids(problem.faulty_body))) + 24
        greedy = generator.generate(problem.prompt, 1, 0.0, limit)[0]
        tally.problems += 1
        tally.exact += same_code(problem.header + greedy, problem.header + problem.true_body)
        tally.copied += same_code(problem.header + greedy, problem.header + problem.faulty_body)
        passed = problem.passes(greedy, worker)
        tally.passed += passed
        bodies = [] if passed else generator.generate(problem.prompt, samples, TEMPERATURE, limit)
        tally.verified += passed or any(problem.passes(body, worker) for body in dict.fromkeys(bodies))
        if tally.ranks is not None:
            found = rank_of_truth(problem, generator)
            tally.ranks += [found] if found is not None else []
    return tally


def measure_humanevalfix(
    path: Path, generator: Generator, worker: Worker, samples: int, *, docstring: bool, rank: bool
) -> Tally:
    tally = Tally(ranks=[] if rank else None)
    for record in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        problem = humanevalfix_problem(record, worker, docstring=docstring)
        check = f"{record['test']}\ncheck({record['entry_point']})\n"

        def passes(body: str, problem: Problem = problem, check: str = check) -> bool:
            return bool(worker.ask(run_check, f"{problem.prelude}\n{problem.header}{body}\n{check}", "True"))

        limit = int(1.3 * len(generator.ids(problem.faulty_body))) + 24
        greedy = generator.generate(problem.prompt, 1, 0.0, limit)[0]
        tally.problems += 1
        tally.exact += same_code(problem.header + greedy, problem.header + problem.true_body)
        tally.copied += same_code(problem.header + greedy, problem.header + problem.faulty_body)
        passed = passes(greedy)
        tally.passed += passed
        bodies = [] if passed else generator.generate(problem.prompt, samples, TEMPERATURE, limit)
        tally.verified += passed or any(passes(body) for body in dict.fromkeys(bodies))
        if tally.ranks is not None:
            found = rank_of_truth(problem, generator)
            tally.ranks += [found] if found is not None else []
    return tally


def measure_static(cases: Sequence[tuple[SourceFunction, str]], generator: Generator) -> Tally:
    tally = Tally()
    for function, faulty in cases:
        task = Task(faulty, function.header_lines)
        limit = int(1.3 * len(generator.ids(function.body))) + 24
        greedy = generator.generate(tagged_prompt(task).plain, 1, 0.0, limit)[0]
        tally.problems += 1
        tally.exact += same_code(function.header + greedy, function.text)
        tally.copied += same_code(function.header + greedy, faulty)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="exported model")
    parser.add_argument("--grammar", type=Path, help="functions file of training.grammar")
    parser.add_argument("--functions", type=Path, help="functions file of training.corpus")
    parser.add_argument("--humanevalfix", type=Path, help="development cases, JSON lines")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--rank", action="store_true", help="also rank the true body among 60 single edits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    generator = Generator(options.model)
    report: dict[str, object] = {}
    start = time.monotonic()
    with Worker() as worker:
        if options.grammar:
            problems = grammar_problems(options.grammar, options.count, worker, rng)
            report["grammar"] = measure(problems, generator, worker, options.samples, rank=options.rank).report(
                options.samples
            )
        if options.functions:
            cases = static_problems(options.functions, options.count, rng)
            report["library"] = measure_static(cases, generator).report(0)
        if options.humanevalfix:
            for name, docstring in (("", False), ("_with_docstrings", True)):
                rank = options.rank and not docstring
                tally = measure_humanevalfix(
                    options.humanevalfix, generator, worker, options.samples, docstring=docstring, rank=rank
                )
                report["humanevalfix_dev" + name] = tally.report(options.samples)
    report["seconds"] = round(time.monotonic() - start)
    text = json.dumps(report, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Arm (H): single edits of the faulty body, tried one after the other against the tests, with no model.

    nice -n 10 python benchmarks/edits.py CASES.jsonl [--limit N] [--all] [--examples] [--case NAME]

CASES: HumanEvalFix cases, one JSON object a line. Every candidate runs in a forked, limited worker that is killed when
it says nothing for too long; nothing of a case ever runs in this process. Prints a table: cases with a candidate that
passes the tests, cases whose reference fix is among the candidates, candidates, executions and CPU seconds. With
--examples only a case's examples guide, and "correct" counts the first passing candidates that pass the full tests too.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import resource
import select
import signal
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bot.edits import Edit, same_code, single_edits
from bot.functions import FunctionText, functions_in

LEAST_CPU_S = 0.1  # for a candidate, or ten times what the reference takes; CPU time: a busy machine changes no verdict
SILENCE_S = 15.0
MEMORY = 1 << 30


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    kind: str
    candidates: int
    passing: tuple[int, ...]  # ranks from 1 of the candidates that pass
    operators: tuple[str, ...]  # of those
    correct: bool  # the first of them passes the full tests
    reference: bool  # the reference fix is a candidate
    executions: int
    enumerate_s: float
    execute_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--limit", type=int, default=6000)
    parser.add_argument("--all", action="store_true", help="run every candidate, do not stop at the first that passes")
    parser.add_argument(
        "--examples",
        action="store_true",
        help="guide by the examples, judge by the full tests; the reference is not looked for",
    )
    parser.add_argument("--case", help="only the case of this task id")
    parser.add_argument("--json", type=Path, help="write the results there, one object a line")
    arguments = parser.parse_args()
    results = []
    for line in arguments.cases.read_text().splitlines():
        case = json.loads(line)
        if arguments.case in (None, case["task_id"]):
            result = measure(case, arguments.limit, arguments.all, arguments.examples)
            if result is None:
                print(f"{case['task_id']:12} the fault passes the examples: left out")
                continue
            results.append(result)
            print(describe(results[-1]), flush=True)
            if arguments.json:
                with arguments.json.open("a") as file:
                    file.write(json.dumps({name: getattr(results[-1], name) for name in Result.__slots__}) + "\n")
    print_table(results)


def describe(result: Result) -> str:
    first = f"pass at {result.passing[0]:5} by {result.operators[0]}" if result.passing else "no pass"
    reference = "reference among them" if result.reference else ""
    return f"{result.name:12} {result.kind:16} {result.candidates:5} candidates  {first:28} {reference}"


def measure(case: dict[str, Any], limit: int, everything: bool, examples: bool) -> Result | None:
    before = case.get("import", "") + "\n" + case["declaration"]
    function = find(before + case["buggy_solution"], case["entry_point"])
    reference = find(before + case["canonical_solution"], case["entry_point"])
    started = time.process_time()
    edits = single_edits(function, names=module_names(before + "    pass\n", case["entry_point"]), limit=limit)
    enumerated = time.process_time() - started
    prefix = before[: before.rindex("def ")]
    sources = [prefix + function.header + edit.body for edit in edits]
    test = case["test"]
    begun = children_cpu_s()
    passes = run([prefix + reference.text], test, True)[0]
    cpu_s = max(LEAST_CPU_S, 10 * (children_cpu_s() - begun))
    if not passes or run([prefix + function.text], test, True)[0]:
        raise SystemExit(f"{case['task_id']}: the reference must pass and the fault must fail")
    guide = case["example_test"] if examples else test
    if examples and run([prefix + function.text], guide, True)[0]:
        return None
    begun = children_cpu_s()
    passing, executions = run(sources, guide, everything, cpu_s)
    executed = children_cpu_s() - begun
    return Result(
        name=case["task_id"],
        kind=case["bug_type"],
        candidates=len(edits),
        passing=tuple(index + 1 for index in passing),
        operators=tuple(edits[index].operator for index in passing),
        correct=bool(passing) and bool(run([sources[passing[0]]], test, True)[0]),
        reference=not examples and contains(edits, function.header, reference.text),
        executions=executions,
        enumerate_s=enumerated,
        execute_s=executed,
    )


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def find(source: str, name: str) -> FunctionText:
    return next(function for function in functions_in(source.encode()) if function.qualname == name)


def contains(edits: list[Edit], header: str, reference: str) -> bool:
    return any(same_code(header + edit.body, reference) for edit in edits)


def module_names(source: str, entry_point: str) -> list[str]:
    found: list[str] = []
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found += [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name != entry_point:
            found.append(node.name)
    return [name for name in found if name not in ("List", "Optional", "Tuple", "Any", "Dict", "*")]


def run(sources: list[str], test: str, everything: bool, cpu_s: float = 3.0) -> tuple[list[int], int]:
    """Return the indices of the sources that pass `test`, and how many were run."""
    passing: list[int] = []
    done = 0
    while done < len(sources):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            work(sources, test, done, writer, cpu_s)
        os.close(writer)
        finished = False
        try:
            while not finished:
                ready, _, _ = select.select([reader], [], [], SILENCE_S)
                reply = os.read(reader, 1) if ready else b""
                if not reply:
                    break
                if reply == b"+":
                    passing.append(done)
                done += 1
                finished = done >= len(sources) or (reply == b"+" and not everything)
        finally:
            os.close(reader)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        if finished:
            break
        done += 1  # the candidate that killed or hung its worker
    return passing, done


def work(sources: list[str], test: str, first: int, writer: int, cpu_s: float) -> None:
    """Run candidates from `first` on for at most `cpu_s` each, tell the outcome in one byte each; never return."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    sys.setrecursionlimit(2000)

    def expire(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGPROF, expire)
    for source in sources[first:]:
        reply = b"-"
        try:
            signal.setitimer(signal.ITIMER_PROF, cpu_s)
            names: dict[str, Any] = {"__name__": "case"}
            exec(compile(source, "<candidate>", "exec"), names)
            exec(compile(test, "<test>", "exec"), names)
            reply = b"+"
        except BaseException:
            pass
        finally:
            with contextlib.suppress(BaseException):
                signal.setitimer(signal.ITIMER_PROF, 0)
        os.write(writer, reply)
    os._exit(0)


def print_table(results: list[Result]) -> None:
    kinds: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        kinds[result.kind].append(result)
    print(f"\n{'bug type':18} cases passing correct reference candidates   rank  CPU s")
    for kind, rows in [*sorted(kinds.items()), ("all", results)]:
        passed = [row for row in rows if row.passing]
        rank = statistics.median(row.passing[0] for row in passed) if passed else 0
        print(
            f"{kind:18} {len(rows):5} {len(passed):7} {sum(row.correct for row in rows):7}"
            f" {sum(row.reference for row in rows):9}"
            f" {statistics.median(row.candidates for row in rows):10.0f} {rank:6.0f}"
            f" {statistics.median(row.enumerate_s + row.execute_s for row in rows):6.2f}"
        )
    print(
        f"\npassing {100 * sum(bool(row.passing) for row in results) / len(results):.1f} %; enumeration"
        f" {statistics.median(row.enumerate_s for row in results):.2f} CPU s median,"
        f" {max(row.enumerate_s for row in results):.2f} max; {sum(row.executions for row in results)} executions in"
        f" {sum(row.execute_s for row in results):.0f} CPU s"
    )


if __name__ == "__main__":
    main()

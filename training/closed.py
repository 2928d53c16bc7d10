"""Finds library functions that can be run alone, and literal arguments on which they tell something.

Closed functions read only their parameters, their own variables and harmless builtins. Arguments are drawn by kind
(`training.inputs`); the kinds on which most calls return distinct literals are kept. The functions are run in a worker.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import random
from pathlib import Path

from training.corpus import load, save
from training.execution import Worker, is_literal
from training.functions import SourceFunction, parse_function
from training.inputs import value

TRIES = 24  # tuples of kinds tried for one function
CALLS = 12
KINDS = """int small pos nat float bool ints pints sints floats word char text letters digits words lines csv counts
names lists matrix pairs pair named nested maybe anyword""".split()  # noqa: SIM905
REFUSED = frozenset(
    {"open", "input", "exec", "eval", "compile", "print", "globals", "locals", "vars", "exit", "quit", "breakpoint"}
    | {"__import__", "id", "super", "memoryview", "help", "dir", "setattr", "delattr", "getattr"}
)


def is_closed(function: SourceFunction) -> bool:
    """True when the function needs nothing but its positional arguments."""
    tree = parse_function(function.text)
    arguments = tree.args
    if tree.decorator_list or arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs:
        return False
    names = [a.arg for a in arguments.args]
    if not 1 <= len(names) - len(arguments.defaults) <= 3 or names[0] in ("self", "cls"):
        return False
    nodes = list(ast.walk(tree))
    if any(
        isinstance(n, ast.Import | ast.ImportFrom | ast.Yield | ast.Await | ast.Global | ast.Nonlocal) for n in nodes
    ):
        return False
    annotated = any(isinstance(n, ast.arg) and n.annotation is not None for n in nodes) or tree.returns is not None
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    known = stored | set(names) | {function.name} | (set(dir(builtins)) - REFUSED)
    return not annotated and read <= known


def with_calls(function: SourceFunction, worker: Worker, rng: random.Random) -> SourceFunction | None:
    """Return the function with calls of the best kinds found; None when it tells too little on all."""
    arguments = parse_function(function.text).args
    required = len(arguments.args) - len(arguments.defaults)
    best: tuple[int, list[str]] = (0, [])
    for _ in range(TRIES):
        kinds = rng.choices(KINDS, k=rng.randint(required, min(3, len(arguments.args))))
        form = f"{function.name}({', '.join(['{}'] * len(kinds))})"
        calls = [form.format(*(repr(value(kind, rng)) for kind in kinds)) for _ in range(CALLS)]
        results = worker.run(function.text, calls)
        told = {r.text for r in results if r.kind == "value" and is_literal(r.text) and r.text != "None"}
        if len(told) > best[0]:
            best = len(told), calls
        if best[0] > 7:
            break
    if best[0] < 4:
        return None
    return SourceFunction(function.name, function.text, function.header_lines, function.package, tuple(best[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", type=Path, required=True, help="functions.jsonl of training.corpus")
    parser.add_argument("--out", type=Path, required=True, help="functions file to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    closed = [f for f in load(options.functions) if len(f.text) < 600 and is_closed(f)]
    with Worker() as worker:
        found = [made for f in closed if (made := with_calls(f, worker, rng)) is not None]
    save(found, options.out)
    print(f"{len(closed)} closed functions, {len(found)} with telling calls")


if __name__ == "__main__":
    main()

"""Every step of training in order, seeded: corpus to exported and measured model. One command for a CPU, one for more.

    python -m training.run cpu --work WORK --out MODEL
    python -m training.run accelerator --work WORK --out MODEL --stop-after 9

Runs the other modules as commands. A step whose output exists is skipped and training goes on from its checkpoint, so
the same command again continues; with `--stop-after` it ends after so many minutes of training, to be repeated until
it says that it is done.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Recipe:
    """What differs between machines.

    rounds: how many times as many faults are made of each function. samples: of a pool that is not executed, at most in
    a round; None: one of each function. generated: functions of the grammar. harvest_min: minutes of harvesting calls.
    """

    shape: str
    vocabulary: int
    tokens: float
    batch: int
    device: str = "cpu"
    rounds: int = 1
    jobs: int = 1
    samples: int | None = None
    generated: int = 4000
    harvest_min: float = 30.0


RECIPES = {
    "trial": Recipe("tiny", 4096, 2e5, 6144, samples=2000, generated=100, harvest_min=1.0),
    "cpu": Recipe("small", 4096, 13e6, 6144),
    "accelerator": Recipe("medium", 8192, 1.3e9, 1 << 17, "cuda", 24, max(1, (os.cpu_count() or 2) - 2)),
}
STATIC_SAMPLES = 40_000  # a round


def command(module: str, *arguments: object) -> None:
    """Run a module of this package; raises CalledProcessError when it fails."""
    words = [sys.executable, "-m", f"training.{module}", *map(str, arguments)]
    print("+", " ".join(words[1:]), flush=True)
    settings = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    subprocess.run(words, check=True, env=settings)


def sources(options: argparse.Namespace, recipe: Recipe) -> Path:
    """Make the functions and the tokenizer where they are missing; return the tokenizer's file."""
    work, seed = options.work, options.seed
    kept_out = ("--evaluation", options.evaluation) if options.evaluation else ()
    packages = ("--packages", *options.packages) if options.packages else ()
    functions, tokenizer = work / "functions.jsonl", work / "tokenizer" / "tokenizer.json"
    if not functions.exists():
        command("corpus", "--out", work, "--seed", seed, *kept_out, *packages)
    if not (work / "grammar.jsonl").exists():
        counted = ("--count", recipe.generated * recipe.rounds, "--seed", 11 + seed)
        command("grammar", "--out", work / "grammar.jsonl", *counted, *kept_out)
    if not (work / "closed.jsonl").exists():
        command("closed", "--functions", functions, "--out", work / "closed.jsonl", "--seed", seed)
    if not (work / "harvest.jsonl").exists():
        minutes = ("--minutes", recipe.harvest_min)
        command("harvest", "--out", work / "harvest.jsonl", "--seed", seed, *kept_out, *packages, *minutes)
    if not tokenizer.exists():
        size = ("--vocabulary", recipe.vocabulary)
        command("tokenizer", "--functions", functions, "--out", tokenizer.parent, "--seed", seed, *size)
    return tokenizer


def shards(options: argparse.Namespace, recipe: Recipe) -> Iterator[tuple[Path, Sequence[object]]]:
    """Yield every building step that is not done: its mark, and its arguments."""
    steps = [("copy", "functions", 1), ("easy", "functions", 1), ("static", "functions", 1)]
    for source, executed, signals in (("grammar", 2, 1), ("closed", 6, 5), ("harvest", 6, 5)):
        steps += [("executed", source, executed), ("signal", source, signals)]
    turns = [(*step, turn) for turn in range(recipe.rounds) for step in steps]
    for number, (pool, source, rounds, turn) in enumerate(turns):
        if pool == "copy" and turn > 1:
            continue  # it is used at the beginning only
        done = options.work / "done" / f"{number:04d}-{pool}-{source}"
        if not done.exists():
            seed = options.seed + 1 + number
            limit = recipe.samples or (STATIC_SAMPLES if pool == "static" else None)
            most = ("--samples", limit) if limit else ()
            yield (
                done,
                (pool, "--functions", options.work / f"{source}.jsonl", "--rounds", rounds, "--seed", seed, *most),
            )


def prepare(options: argparse.Namespace, recipe: Recipe) -> None:
    """Make all data that is missing, in as many processes as the recipe says."""
    tokenizer = sources(options, recipe)
    (options.work / "done").mkdir(exist_ok=True)

    def build(step: tuple[Path, Sequence[object]]) -> None:
        done, arguments = step
        command("build", *arguments, "--tokenizer", tokenizer, "--out", options.work / "shards")
        done.touch()

    with ThreadPoolExecutor(recipe.jobs) as pool:
        list(pool.map(build, list(shards(options, recipe))))


def measure(options: argparse.Namespace) -> None:
    cases = ("--humanevalfix", options.evaluation) if options.evaluation else ()
    generated = ("--grammar", options.work / "grammar.jsonl", "--functions", options.work / "functions.jsonl")
    command("evaluate", "--model", options.out, *generated, *cases, "--rank", "--out", options.work / "evaluation.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("machine", choices=sorted(RECIPES))
    parser.add_argument("--work", type=Path, required=True, help="folder for data and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder for the exported model")
    parser.add_argument("--packages", type=Path, nargs="*", default=[], help="folders filled by `pip install --target`")
    parser.add_argument("--evaluation", type=Path, help="HumanEvalFix JSON lines to keep out and to measure on")
    parser.add_argument("--stop-after", type=float, help="minutes of training in this piece of the run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    recipe = RECIPES[options.machine]
    options.work.mkdir(parents=True, exist_ok=True)
    prepare(options, recipe)
    run = options.work / "run"
    piece = ("--stop-after", options.stop_after) if options.stop_after else ()
    size = ("--tokens", recipe.tokens, "--shape", recipe.shape, "--batch", recipe.batch, "--device", recipe.device)
    command("train", "--data", options.work / "shards", "--out", run, *size, "--seed", options.seed, *piece)
    weights = ("--checkpoint", run / "checkpoint.pt", "--tokenizer", options.work / "tokenizer")
    command("export", *weights, "--out", options.out)
    if json.loads((run / "log.jsonl").read_text().splitlines()[-1])["progress"] >= 1.0:
        measure(options)


if __name__ == "__main__":
    main()

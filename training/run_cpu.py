"""Every step of training on one machine without a GPU, in order, seeded: corpus to exported model.

Runs the other modules as commands; a step whose output exists is skipped, so an interrupted run
continues. The preparation takes about half an hour on two cores; `--minutes` is for training proper.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path


def command(module: str, *arguments: object) -> None:
    """Run a module of this package; raises CalledProcessError when it fails."""
    words = [sys.executable, "-m", f"training.{module}", *map(str, arguments)]
    print("+", " ".join(words[1:]), flush=True)
    settings = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    subprocess.run(words, check=True, env=settings)


def prepare(work: Path, seed: int, evaluation: Path | None) -> None:
    """Make the corpus, the grammar's functions, the tokenizer and the shards, where they are missing."""
    kept_out = ("--evaluation", evaluation) if evaluation else ()
    functions, generated = work / "functions.jsonl", [work / "grammar-0.jsonl", work / "grammar-1.jsonl"]
    tokenizer = work / "tokenizer" / "tokenizer.json"
    if not functions.exists():
        command("corpus", "--out", work, "--seed", seed, *kept_out)
    for turn, path in enumerate(generated):
        if not path.exists():
            count = (3000, 7000)[turn]
            command("grammar", "--out", path, "--count", count, "--seed", 11 + seed + turn, *kept_out)
    closed = work / "closed.jsonl"
    if not closed.exists():
        command("closed", "--functions", functions, "--out", closed, "--seed", seed)
    if not tokenizer.exists():
        command("tokenizer", "--functions", functions, "--out", tokenizer.parent, "--seed", seed)
    steps = [("copy", functions, 1), ("easy", functions, 1), ("static", functions, 1)]
    steps += [
        ("grammar", generated[0], 4),
        ("grammar", generated[1], 3),
        ("grammar", closed, 6),
        ("signal", generated[0], 2),
    ]
    for pool, source, rounds in steps:
        done = work / "done" / f"{pool}-{source.stem}"
        if not done.exists():
            shared = ("--functions", source, "--tokenizer", tokenizer, "--out", work / "shards")
            command("build", pool, *shared, "--seed", seed + 1, "--rounds", rounds)
            done.parent.mkdir(exist_ok=True)
            done.touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for data and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder for the exported model")
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluation", type=Path, help="HumanEvalFix JSON lines to keep out and to measure on")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    prepare(options.work, options.seed, options.evaluation)
    run, tokenizer = options.work / "run", options.work / "tokenizer"
    command(
        "train", "--data", options.work / "shards", "--out", run, "--minutes", options.minutes, "--seed", options.seed
    )
    command("export", "--checkpoint", run / "checkpoint.pt", "--tokenizer", tokenizer, "--out", options.out)
    cases = ("--humanevalfix", options.evaluation) if options.evaluation else ()
    sources = ("--grammar", options.work / "grammar-1.jsonl", "--functions", options.work / "functions.jsonl")
    command("evaluate", "--model", options.out, *sources, *cases, "--rank", "--out", options.work / "evaluation.json")


if __name__ == "__main__":
    main()

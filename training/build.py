"""Builds shards of encoded samples from functions: static ones here, executed ones through `training.executed`.

`copy`: scrambled text that only copying predicts. `easy`: one-token faults in short functions, so that copying
forms early. `static`: all operators, no tests. `heldout` gets the functions whose identity falls in its share,
never a training pool. Seeded; the same seed builds the same shards.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from bot.decoding.prompt import SPECIAL_TOKENS
from training.corpus import load
from training.dataset import write_shard
from training.executed import failing_cases, shown_tests
from training.execution import Worker
from training.faults import TOKEN_OPERATORS, inject
from training.functions import SourceFunction, identity
from training.samples import Encoded, encode, whole_body
from training.signals import signal_sample

SHARD = 2000
HELDOUT_SHARE = 50  # one function in this many


def is_heldout(text: str) -> bool:
    """True for functions that are only for validation and evaluation; decided by the renamed syntax tree alone."""
    return int(identity(text), 16) % HELDOUT_SHARE == 0


def static_samples(
    functions: Iterable[SourceFunction], tokenizer: Tokenizer, rng: random.Random, *, easy: bool
) -> Iterator[Encoded]:
    """Yield one sample for each function in which a fault can be made."""
    for function in functions:
        fault = inject(function.text, rng, TOKEN_OPERATORS if easy else frozenset())
        if fault is not None:
            yield encode(whole_body(function, fault.text, prompt_weight=0.2), tokenizer)


def copy_samples(functions: Iterable[SourceFunction], tokenizer: Tokenizer, rng: random.Random) -> Iterator[Encoded]:
    """Yield short correct functions with most pieces exchanged at random, alike in prompt and answer.

    Nothing but copying predicts these texts; they make the network learn to copy in its first minutes.
    """
    first, size = len(SPECIAL_TOKENS), tokenizer.get_vocab_size()
    keep = {tokenizer.token_to_id(piece) for piece in ("\u010a", "\u0120" * 4, "\u0120" * 8)}  # newline, indentations
    for function in functions:
        plain = encode(whole_body(function, function.text), tokenizer)
        table = np.arange(size, dtype=np.uint16)
        for piece in set(plain.ids.tolist()) - keep:
            if piece >= first and rng.random() < 0.8:
                table[piece] = rng.randrange(first, size)
        yield Encoded(table[plain.ids], plain.weights)


def executed_samples(
    functions: Iterable[SourceFunction],
    tokenizer: Tokenizer,
    rng: random.Random,
    faults: int,
    *,
    signals: bool,
) -> Iterator[tuple[bool, Encoded]]:
    """Yield (held out?, sample) for up to `faults` noticed faults of each function; with a signal if `signals`."""
    with Worker() as worker:
        for function in functions:
            apart = is_heldout(function.text)
            for failing in failing_cases(function, worker, rng, faults):
                if signals:
                    sample = signal_sample(failing, worker, rng, tokenizer)
                else:
                    tests, failure = shown_tests(failing, rng)
                    sample = whole_body(function, failing.fault.text, tests, failure, prompt_weight=0.05)
                if sample is not None:
                    yield apart, encode(sample, tokenizer)


def write_shards(samples: Iterable[Encoded], folder: Path, prefix: str, size: int = SHARD) -> int:
    """Write samples as shards of `size`; return how many samples."""
    folder.mkdir(parents=True, exist_ok=True)
    held: list[Encoded] = []
    count = 0
    for sample in samples:
        held.append(sample)
        if len(held) == size:
            write_shard(held, folder / f"{prefix}-{count // size:04d}.npz")
            count += len(held)
            held = []
    if held:
        write_shard(held, folder / f"{prefix}-{count // size:04d}.npz")
    return count + len(held)


def build_static(options: argparse.Namespace, tokenizer: Tokenizer, rng: random.Random) -> None:
    easy = options.pool == "easy"
    limit = {"copy": 220, "easy": 420, "static": 640}[options.pool]
    functions = [f for f in load(options.functions) if len(f.text) <= limit and not is_heldout(f.text)]
    for turn in range(options.rounds):
        rng.shuffle(functions)
        copied = options.pool == "copy"
        samples = (
            copy_samples(functions, tokenizer, rng) if copied else static_samples(functions, tokenizer, rng, easy=easy)
        )
        samples = itertools.islice(samples, options.samples)
        count = write_shards(samples, options.out / options.pool, f"{options.pool}-{options.seed}-{turn}")
        print(f"{options.pool}: {count} samples in round {turn}", flush=True)


def build_executed(options: argparse.Namespace, tokenizer: Tokenizer, rng: random.Random) -> None:
    functions = load(options.functions)
    rng.shuffle(functions)
    kept: list[Encoded] = []
    apart: list[Encoded] = []
    count = 0
    signals = options.pool == "signal"
    for heldout, sample in executed_samples(functions, tokenizer, rng, options.rounds, signals=signals):
        (apart if heldout else kept).append(sample)
        if len(kept) == SHARD:
            (options.out / options.pool).mkdir(parents=True, exist_ok=True)
            write_shard(kept, options.out / options.pool / f"{options.functions.stem}-{options.seed}-{count:04d}.npz")
            count, kept = count + 1, []
            print(f"{options.pool}: {count * SHARD} samples", flush=True)
    write_shards(kept, options.out / options.pool, f"{options.functions.stem}-{options.seed}-rest")
    write_shards(
        apart,
        options.out / ("heldout-signal" if signals else "heldout"),
        f"{options.functions.stem}-{options.seed}",
    )
    print(f"{options.pool}: {count * SHARD + len(kept)} samples, {len(apart)} held out", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool", choices=["copy", "easy", "static", "executed", "signal"])
    parser.add_argument("--functions", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="folder with one folder for each pool")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1, help="faults for each function")
    parser.add_argument("--samples", type=int, help="of pools that are not executed: at most so many in a round")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    tokenizer = Tokenizer.from_file(str(options.tokenizer))
    build = build_executed if options.pool in ("executed", "signal") else build_static
    build(options, tokenizer, rng)


if __name__ == "__main__":
    main()

"""What guidance does to a trained network, token by token, on held-out samples with a dynamic signal.

    python -m training.guided --checkpoint WORK/run/checkpoint.pt --tokenizer WORK/tokenizer --data WORK/shards

Teacher-forced: at each token of the correct answer the plain branch (the same prompt without its signal) and the
conditioned one are combined by `bot.decoding.guidance.guide`, and the best token is compared with the true one. Cheap
and of many tokens, so it shows what a signal is worth where whole repairs are too rare to tell; it does not show what
happens after a first wrong token. Samples whose signal shows a body that passes are told apart: in a decode such a body
is harvested before guidance sees it. Intervals: bootstrap over samples.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from bot.decoding.guidance import guide
from training.dataset import Pool
from training.export import load_average
from training.network import Network
from training.samples import WEIGHT_UNIT, Encoded

GAMMAS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
SURE = 0.9  # probability of the best token from which on the plain model is sure
PASSES = "=> pass"  # how the signal tells of a body that passes
CHANGED_WEIGHT = 1.5  # tokens that weigh more differ from the faulty body


@dataclass(frozen=True, slots=True)
class Hits:
    """Of one sample under one condition: tokens that differ from the faulty body, and all; how many are right."""

    changed: int
    changed_right: int
    every: int
    every_right: int


@torch.no_grad()
def distributions(network: Network, ids: Sequence[int], first: int) -> np.ndarray:
    """Return log p of each token from `first` on, over the vocabulary: (len(ids) - first, V)."""
    hidden = network.hidden(torch.tensor([list(ids)]))[0, first - 1 : len(ids) - 1]
    logits = torch.nn.functional.linear(hidden, network.embedding)
    return np.asarray(torch.log_softmax(logits.float(), -1).numpy(), dtype=np.float32)


def without_signal(ids: Sequence[int], start: int, end: int, mark: int) -> list[int]:
    """Return the sample with the signal, tokens `start` to `end`, replaced by the token that says there is none."""
    return [*ids[:start], mark, *ids[end:]]


def study(network: Network, sample: Encoded, tokens: dict[str, int]) -> dict[str, Hits] | None:
    """Return the hits of every condition; None for a sample without signal or without a token to predict."""
    ids = sample.ids.astype(int).tolist()
    weights = sample.weights * WEIGHT_UNIT
    fix = ids.index(tokens["<fix>"])
    marks = [place for place, token in enumerate(ids[:fix]) if token in (tokens["<trace>"], tokens["<cand>"])]
    if not marks:
        return None
    start = marks[0]
    answer = [place for place in range(fix + 1, len(ids)) if weights[place] >= 0.9]
    if not answer:
        return None
    first = answer[0]
    plain_ids = without_signal(ids, start, fix, tokens["<notrace>"])
    plain = distributions(network, plain_ids, first - len(ids) + len(plain_ids))
    conditioned = distributions(network, ids, first)
    faulty_end = next((place for place in marks if ids[place] == tokens["<cand>"]), fix)
    alone_ids = [*ids[:faulty_end], *ids[fix:]] if faulty_end > start else plain_ids
    alone = distributions(network, alone_ids, first - len(ids) + len(alone_ids))
    rows = [place - first for place in answer]
    truth = np.array([ids[place] for place in answer])
    changed = np.array([weights[place] > CHANGED_WEIGHT for place in answer])
    plain, conditioned, alone = plain[rows], conditioned[rows], alone[rows]
    unsure = plain.max(-1) < np.log(SURE)
    found = {}
    for name, guided in conditions(plain, conditioned, alone, unsure).items():
        right = guided.argmax(-1) == truth
        found[name] = Hits(int(changed.sum()), int((right & changed).sum()), len(right), int(right.sum()))
    return found


def conditions(
    plain: np.ndarray, conditioned: np.ndarray, alone: np.ndarray, unsure: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the guided distributions by the name of the condition; all arguments row by row."""
    found = {f"gamma {gamma:g}": guide(plain, conditioned, gamma) for gamma in GAMMAS}
    found |= {
        f"gamma {gamma:g}, no mask": guide(plain, conditioned, gamma, alpha=0.0) for gamma in (0.5, 1.5, 2.0, 3.0)
    }
    for gamma in (1.0, 2.0, 3.0):
        found[f"gamma {gamma:g}, only where the plain model is unsure"] = np.where(
            unsure[:, None], found[f"gamma {gamma:g}"], plain
        )
    found |= {f"gamma {gamma:g}, the faulty body's trace alone": guide(plain, alone, gamma) for gamma in (1.0, 2.0)}
    found |= {f"gamma {gamma:g}, clipped at 2 nats": guide(plain, conditioned, gamma, clip=2.0) for gamma in (2.0, 3.0)}
    return found


def interval(hits: Sequence[Hits], base: Sequence[Hits], rng: random.Random) -> tuple[float, float]:
    """Return the 95 % interval of the paired difference in changed tokens right, over samples drawn again."""
    differences = []
    for _ in range(1000):
        drawn = [rng.randrange(len(hits)) for _ in hits]
        total = sum(hits[i].changed for i in drawn)
        differences.append(sum(hits[i].changed_right - base[i].changed_right for i in drawn) / max(1, total))
    differences.sort()
    return differences[25], differences[974]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of training.tokenizer")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards, with heldout-signal")
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    network, _ = load_average(options.checkpoint)
    tokenizer = Tokenizer.from_file(str(options.tokenizer / "tokenizer.json"))
    tokens = {name: tokenizer.token_to_id(name) for name in ("<fix>", "<trace>", "<cand>", "<notrace>")}
    pool = Pool(options.data / "heldout-signal", 0)
    pool.refresh()
    passing: list[dict[str, Hits]] = []
    others: list[dict[str, Hits]] = []
    for sample in pool.take(min(options.count, len(pool.samples))):
        found = study(network, sample, tokens)
        if found is not None:
            (passing if PASSES in tokenizer.decode(sample.ids.tolist()) else others).append(found)
    for title, part in (("all", passing + others), ("a shown body passes", passing), ("none passes", others)):
        print(f"\n{title}: {len(part)} samples\n")
        print_table(part)


def print_table(studied: Sequence[dict[str, Hits]]) -> None:
    print("| condition | changed tokens right | less gamma 0, 95 % | all tokens right | whole answers |")
    print("|---|---:|---:|---:|---:|")
    base = [found["gamma 0"] for found in studied]
    for name in studied[0] if studied else ():
        hits = [found[name] for found in studied]
        low, high = interval(hits, base, random.Random(0))
        changed = sum(h.changed_right for h in hits) / sum(h.changed for h in hits)
        every = sum(h.every_right for h in hits) / sum(h.every for h in hits)
        whole = sum(h.every_right == h.every for h in hits) / len(hits)
        print(f"| {name} | {changed:.1%} | {low:+.1%} to {high:+.1%} | {every:.1%} | {whole:.1%} |")


if __name__ == "__main__":
    main()

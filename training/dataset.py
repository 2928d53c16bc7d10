"""Encoded samples on disk, and the stream of batches made of them.

A shard is one .npz file: `ids` (uint16) and `weights` (uint8, units of 0.05), all samples end to end, and `ends`
(int64). Samples of like length share a batch; nothing is packed, so each starts at position 0 as it does at
inference.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.samples import WEIGHT_UNIT, Encoded

LENGTHS = (96, 128, 160, 192, 224, 256, 320, 400, 512)  # padded lengths; one compiled graph each
LOSS_SHARE = 0.45  # at most this share of a batch's positions carries loss


@dataclass(frozen=True, slots=True)
class Batch:
    """ids: (B, T) int64. places, targets (int64), weights (float32): (K,), K fixed by B*T; places index B*T."""

    ids: Tensor
    places: Tensor
    targets: Tensor
    weights: Tensor

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.ids, self.places, self.targets, self.weights


def write_shard(samples: Sequence[Encoded], path: Path) -> None:
    """Write a shard; it appears under its name only when complete."""
    partial = path.with_suffix(".partial.npz")
    ends = np.cumsum([len(s.ids) for s in samples])
    ids = np.concatenate([s.ids for s in samples])
    np.savez(partial, ids=ids, weights=np.concatenate([s.weights for s in samples]), ends=ends)
    partial.rename(path)


def read_shard(path: Path) -> list[Encoded]:
    with np.load(path) as data:
        ids, weights, ends = data["ids"], data["weights"], data["ends"]
    starts = [0, *ends[:-1]]
    return [Encoded(ids[a:b], weights[a:b]) for a, b in zip(starts, ends, strict=True)]


def padded_length(length: int) -> int | None:
    return next((size for size in LENGTHS if length <= size), None)


class Pool:
    """Samples of one stage: a folder of shards, handed out in random order, epoch after epoch."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        self.samples: list[Encoded] = []
        self.order: list[int] = []
        self.epoch = self.taken = 0

    def refresh(self) -> None:
        """Read the shards when they are first needed; all of them have to be there by then."""
        if self.samples:
            return
        paths = [path for path in sorted(self.folder.glob("*.npz")) if ".partial" not in path.name]
        self.samples = [s for path in paths for s in read_shard(path) if padded_length(len(s.ids))]
        self._shuffle()

    def _shuffle(self) -> None:
        self.order = list(range(len(self.samples)))
        random.Random(self.seed * 7919 + self.epoch).shuffle(self.order)

    def take(self, count: int) -> list[Encoded]:
        """Return the next `count` samples; raises LookupError when the folder has none."""
        self.refresh()
        if not self.samples:
            raise LookupError(f"There are no shards in {self.folder}. Build them with training.build first.")
        chosen = []
        for _ in range(count):
            if self.taken == len(self.order):
                self.epoch, self.taken = self.epoch + 1, 0
                self._shuffle()
            chosen.append(self.samples[self.order[self.taken]])
            self.taken += 1
        return chosen

    def state(self) -> tuple[int, int]:
        """Return what `restore` needs to go on from here."""
        return self.epoch, self.taken

    def restore(self, state: tuple[int, int]) -> None:
        self.epoch, taken = state
        if any(state):
            self.refresh()
            self._shuffle()
        self.taken = taken


def collate(samples: Sequence[Encoded], length: int, heaviest: float = np.inf, pad: int = 0) -> Batch:
    """Return one batch; no weight is above `heaviest`; positions beyond the loss share are dropped lightest first."""
    ids = np.full((len(samples), length), pad, dtype=np.int64)
    weights = np.zeros((len(samples), length), dtype=np.float32)
    for row, sample in enumerate(samples):
        ids[row, : len(sample.ids)] = sample.ids
        weights[row, : len(sample.ids) - 1] = sample.weights[1:] * WEIGHT_UNIT
    targets = np.roll(ids, -1, axis=1).reshape(-1)
    flat = np.minimum(weights, np.float32(heaviest)).reshape(-1)
    room = int(flat.size * LOSS_SHARE)
    places = np.argsort(-flat, kind="stable")[:room]
    return Batch(*(torch.from_numpy(np.ascontiguousarray(a)) for a in (ids, places, targets[places], flat[places])))


def batches(samples: Iterable[Encoded], tokens: int, rng: random.Random, heaviest: float = np.inf) -> Iterator[Batch]:
    """Yield batches of about `tokens` padded positions each, of samples of like length, in random order."""
    by_length: dict[int, list[Encoded]] = {}
    for sample in samples:
        size = padded_length(len(sample.ids))
        if size is not None:
            by_length.setdefault(size, []).append(sample)
    made: list[tuple[int, list[Encoded]]] = []
    for size, group in by_length.items():
        rows = max(1, tokens // size)
        made += [(size, group[i : i + rows]) for i in range(0, len(group) - rows + 1, rows)]
    rng.shuffle(made)
    for size, group in made:
        yield collate(group, size, heaviest)


def mixture(pools: Sequence[tuple[Pool, float]], count: int, rng: random.Random) -> list[Encoded]:
    """Return about `count` samples drawn from pools by their shares. Raises LookupError for a pool without shards."""
    total = sum(share for _, share in pools)
    drawn = [sample for pool, share in pools if share > 0 for sample in pool.take(round(count * share / total))]
    rng.shuffle(drawn)
    return drawn

"""Trains the network on CPU for a fixed wall-clock time: Muon for matrices, AdamW for the rest, rate by the clock.

Constant rate for the first half of the time, then linear to zero, so that any time budget ends with a decayed rate.
A moving average of the weights is what gets exported. Interrupted runs resume from the last checkpoint. Two
processes of one thread each update the same weights without locks (Hogwild, arXiv:1106.5730): on a shared machine a
slow core then slows only its own share. That makes runs repeatable in distribution, not bit by bit. Sources: Muon
(Jordan et al. 2024) as in torch.optim; schedule and curriculum are described in training/README.md.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, multiprocessing, nn

from training.dataset import Batch, Pool, batches, mixture
from training.network import Network, Shape

POOLS = ("copy", "easy", "static", "grammar", "signal")
CURRICULUM = (  # until this share of the time: shares of the pools
    (0.15, (0.45, 0.25, 0.00, 0.30, 0.00)),
    (0.35, (0.10, 0.25, 0.10, 0.55, 0.00)),
    (0.60, (0.00, 0.10, 0.15, 0.75, 0.00)),
    (0.70, (0.03, 0.05, 0.07, 0.60, 0.25)),
    (1.01, (0.10, 0.30, 0.10, 0.28, 0.22)),  # less grammar: the network had begun to know it by heart
)
CALIBRATION = 0.55  # from this share of the time on, changed tokens weigh less: the full weight makes
CALIBRATED_WEIGHT = 2.0  # a model change too much: one token in thirty that should have been copied
MUON_RATE, ADAM_RATE = 0.015, 3e-3
BATCH_TOKENS = 6144
AVERAGE_KEEP = 0.97  # of the average at each step of the first worker, which makes only some 1,000 steps
REFILL = 900  # samples drawn between looks at the shard folders


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. minutes: wall clock of training proper; checkpoint_s: between checkpoints."""

    data: Path
    out: Path
    minutes: float
    seed: int = 0
    workers: int = 2
    checkpoint_s: float = 150.0
    compile: bool = True


def rate_factor(progress: float) -> float:
    """Return the learning rate's factor at a share of the time: short warm-up, constant, linear to zero."""
    warm = min(1.0, progress / 0.01 + 0.02)
    return warm if progress < 0.5 else max(0.0, (1.0 - progress) / 0.5)


def optimisers(network: Network) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in network.named_parameters() if p.dim() == 2 and n != "embedding"]
    rest = [p for n, p in network.named_parameters() if p.dim() != 2 or n == "embedding"]
    return [
        torch.optim.Muon(matrices, lr=MUON_RATE, momentum=0.95, weight_decay=0.02),
        torch.optim.AdamW(rest, lr=ADAM_RATE, betas=(0.85, 0.95), eps=1e-10, weight_decay=0.0),
    ]


class Trainer:
    """State of one run: network, average, optimisers, clock, and the pools it reads."""

    def __init__(self, plan: Plan, shape: Shape, network: Network | None = None) -> None:
        self.plan = plan
        torch.set_num_threads(1)
        torch.manual_seed(plan.seed)
        self.rng = random.Random(plan.seed)
        self.network = network or Network(shape)
        shared: Any = self.network
        shared.share_memory()
        self.average = copy.deepcopy(self.network)
        self.optimisers = optimisers(self.network)
        self.pools = [Pool(plan.data / name, plan.seed + i) for i, name in enumerate(POOLS)]
        self.heldout = Pool(plan.data / "heldout", plan.seed)
        self.step = self.tokens = 0
        counts: Any = torch.zeros(plan.workers, dtype=torch.int64)
        self.counts: Tensor = counts.share_memory_()  # tokens of each worker
        self.elapsed = 0.0
        self.loss_of: Any = torch.compile(self.network, dynamic=False) if plan.compile else self.network

    @property
    def all_tokens(self) -> int:
        """Tokens seen by all workers, padding not counted."""
        return self.tokens + int(self.counts[1:].sum())

    @property
    def progress(self) -> float:
        return self.elapsed / (60.0 * self.plan.minutes)

    def stream(self) -> Iterator[Batch]:
        """Yield batches for ever, by the curriculum at the time of each refill."""
        while True:
            shares = next(shares for until, shares in CURRICULUM if self.progress < until or until > 1)
            drawn = mixture(list(zip(self.pools, shares, strict=True)), REFILL, self.rng)
            heaviest = np.inf if self.progress < CALIBRATION else CALIBRATED_WEIGHT
            yield from batches(drawn, BATCH_TOKENS, self.rng, heaviest)

    def accumulate(self, batch: Batch) -> tuple[float, float]:
        """Add one batch's gradient; return summed weighted loss and summed weight."""
        with torch.autocast("cpu", torch.bfloat16):
            loss = self.loss_of(batch.ids, batch.places, batch.targets, batch.weights)
        weight = float(batch.weights.sum())
        (loss / max(weight, 1.0)).backward()
        return float(loss.detach()), weight

    def update(self, stream: Iterator[Batch]) -> float:
        """Make one optimiser step; return the mean loss per unit of weight, in nats."""
        micro = 1 if self.progress < 0.35 else 2
        total = norm = 0.0
        for batch in itertools.islice(stream, micro):
            loss, weight = self.accumulate(batch)
            total, norm = total + loss, norm + weight
            self.tokens += int((batch.ids != 0).sum())
        factor = rate_factor(self.progress)
        for optimiser, base in zip(self.optimisers, (MUON_RATE, ADAM_RATE), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = base * factor
            for group in optimiser.param_groups:
                for parameter in group["params"]:
                    parameter.grad = parameter.grad / micro if micro > 1 else parameter.grad
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        keep = min(AVERAGE_KEEP, (self.step + 1) / (self.step + 20))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - keep)
        return total / max(norm, 1e-9)

    @torch.no_grad()
    def validate(self, count: int = 192) -> dict[str, float]:
        """Return teacher-forced accuracy on held-out faults: of copied tokens, of changed tokens, of whole answers."""
        self.heldout.refresh()
        if not self.heldout.samples:
            return {}
        chosen = random.Random(1).sample(self.heldout.samples, min(count, len(self.heldout.samples)))
        right = {"copied": [0, 0], "changed": [0, 0], "whole": [0, 0]}
        for batch in batches(chosen, 4096, random.Random(0)):
            hidden = self.average.hidden(batch.ids).reshape(-1, self.network.shape.width)[batch.places]
            hit = (nn.functional.linear(hidden, self.average.embedding).argmax(-1) == batch.targets).numpy()
            weight, rows = batch.weights.numpy(), batch.places.numpy() // batch.ids.shape[1]
            for name, mask in (("copied", np.isclose(weight, 1.0)), ("changed", weight > 1.5)):
                right[name][0] += int(hit[mask].sum())
                right[name][1] += int(mask.sum())
            for row in range(batch.ids.shape[0]):
                right["whole"][0] += bool(hit[(rows == row) & (weight >= 0.9)].all())
                right["whole"][1] += 1
        return {name: round(good / max(1, every), 4) for name, (good, every) in right.items()}

    def report(self, losses: list[float]) -> dict[str, float]:
        """Return one log entry."""
        loss = round(sum(losses) / len(losses), 4)
        entry = {"step": self.step, "tokens": self.all_tokens, "progress": round(self.progress, 4), "loss": loss}
        return {**entry, "elapsed_s": round(self.elapsed), **self.validate()}

    def save(self) -> None:
        """Write the checkpoint, under its name only when complete."""
        state = {
            "network": self.network.state_dict(), "average": self.average.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers], "shape": asdict(self.network.shape),
            "step": self.step, "tokens": self.all_tokens, "elapsed": self.elapsed, "rng": self.rng.getstate(),
        }  # fmt: skip
        partial = self.plan.out / "checkpoint.partial"
        torch.save(state, partial)
        partial.rename(self.plan.out / "checkpoint.pt")

    def resume(self) -> None:
        """Continue from the last checkpoint, if there is one."""
        path = self.plan.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=False)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.tokens, self.elapsed = state["step"], state["tokens"], state["elapsed"]
        self.rng.setstate(state["rng"])

    def run(self) -> None:
        """Train until the time is used up; one JSON line a log entry."""
        self.resume()
        helpers = start_helpers(self)
        stream = self.stream()
        last = time.monotonic()
        saved = logged = last
        losses: list[float] = []
        with (self.plan.out / "log.jsonl").open("a", encoding="utf-8") as log:
            while self.progress < 1.0:
                losses.append(self.update(stream))
                now = time.monotonic()
                self.elapsed += now - last
                last = now
                if now - logged > 60 or self.progress >= 1.0:
                    log.write(json.dumps(self.report(losses)) + "\n")
                    log.flush()
                    losses, logged = [], now
                if now - saved > self.plan.checkpoint_s:
                    self.save()
                    saved = now
        for helper in helpers:
            helper.join()
        self.save()


def start_helpers(trainer: Trainer) -> list[Any]:
    """Start the other workers, each a process with its own data order and optimiser state on the same weights."""
    started = []
    for rank in range(1, trainer.plan.workers):
        arguments = (trainer.plan, trainer.network, trainer.counts, rank, trainer.elapsed)
        process = multiprocessing.get_context("spawn").Process(target=assist, args=arguments, daemon=True)
        process.start()
        started.append(process)
    return started


def assist(plan: Plan, network: Network, counts: Tensor, rank: int, elapsed: float) -> None:
    """Update the shared weights until the time is used up; the first worker logs, averages and saves."""
    parent = os.getppid()
    time.sleep(45.0 * rank)  # the first worker compiles, the others find its graphs in the compiler's cache
    os.setsid()  # Linux shares processor time between sessions first
    trainer = Trainer(replace(plan, seed=plan.seed + 1000 * rank), network.shape, network)
    trainer.elapsed = elapsed + 45.0 * rank
    stream = trainer.stream()
    last = time.monotonic()
    while trainer.progress < 1.0 and os.getppid() == parent:
        trainer.update(stream)
        counts[rank] = trainer.tokens
        now = time.monotonic()
        trainer.elapsed += now - last
        last = now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder of shards for each pool")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and log.jsonl")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    Trainer(Plan(options.data, options.out, options.minutes, options.seed, options.workers), Shape()).run()


if __name__ == "__main__":
    main()

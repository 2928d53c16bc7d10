"""Trains the network for a number of tokens: Muon for matrices, AdamW for the rest, the rate by the tokens seen.

Constant rate for the first half of the tokens, then linear to zero; a moving average of the weights is what gets
exported. One process, so that the same data, seed and machine give the same weights. A run may be cut into pieces:
each ends with a checkpoint from which the next continues exactly. Sources: Muon (Jordan et al. 2024) as in
torch.optim; schedule and curriculum are described in training/README.md.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo
from torch import nn

from training.dataset import LENGTHS, Batch, Pool, batches, mixture
from training.network import SHAPES, Network, Shape

POOLS = ("copy", "easy", "static", "executed", "signal")
CURRICULUM = (  # until this share of the tokens: shares of the pools
    (0.148, (0.45, 0.55, 0.00, 0.00, 0.00)),
    (0.225, (0.05, 0.35, 0.60, 0.00, 0.00)),
    (0.31, (0.50, 0.50, 0.00, 0.00, 0.00)),  # copying forms once the network knows what code looks like
    (0.38, (0.15, 0.35, 0.50, 0.00, 0.00)),
    (0.60, (0.02, 0.10, 0.50, 0.38, 0.00)),
    (0.80, (0.00, 0.05, 0.35, 0.35, 0.25)),
    (1.01, (0.00, 0.05, 0.35, 0.30, 0.30)),
)
CALIBRATION = 0.5  # from this share of the tokens on, changed tokens weigh less: the full weight makes
CALIBRATED_WEIGHT = 2.0  # a model change too much: one token in thirty that should have been copied
MUON_RATE, ADAM_RATE = 0.015, 3e-3
AVERAGED_STEPS = 0.02  # the average reaches back over about this share of the steps so far
REFILL_BATCHES = 24  # batches drawn between looks at the curriculum


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. tokens: to be seen in all, padding not counted; batch: padded tokens of one step; save_s: between saves.

    stop_s: end this piece of the run after so many seconds, with a checkpoint.
    """

    data: Path
    out: Path
    tokens: int
    seed: int = 0
    batch: int = 6144
    device: str = "cpu"
    compile: bool = True
    save_s: float = 150.0
    stop_s: float = float("inf")


def rate_factor(progress: float) -> float:
    """Return the learning rate's factor at a share of the tokens: short warm-up, constant, linear to zero."""
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
    """State of one run: network, average, optimisers, counters, and the pools it reads."""

    def __init__(self, plan: Plan, shape: Shape) -> None:
        self.plan = plan
        torch.manual_seed(plan.seed)
        self.network = Network(shape).to(plan.device)
        self.average = copy.deepcopy(self.network)
        self.optimisers = optimisers(self.network)
        self.pools = [Pool(plan.data / name, plan.seed + i) for i, name in enumerate(POOLS)]
        self.heldout = [Pool(plan.data / name, plan.seed) for name in ("heldout", "heldout-signal")]
        self.step = self.tokens = self.refills = 0
        self.seconds = 0.0
        torch._dynamo.config.recompile_limit = 4 * len(LENGTHS)  # one graph for each length; above it, all is slow
        self.loss_of: Any = torch.compile(self.network, dynamic=False) if plan.compile else self.network

    @property
    def progress(self) -> float:
        return self.tokens / self.plan.tokens

    def refill(self) -> list[Batch]:
        """Return the next batches, by the curriculum; what they hold depends on seed and number of refills alone."""
        shares = next(shares for until, shares in CURRICULUM if self.progress < until or until > 1)
        rng = random.Random(self.plan.seed * 1_000_003 + self.refills)
        self.refills += 1
        count = max(REFILL_BATCHES * self.plan.batch // 200, 600)
        drawn = mixture(list(zip(self.pools, shares, strict=True)), count, rng)
        heaviest = np.inf if self.progress < CALIBRATION else CALIBRATED_WEIGHT
        return list(batches(drawn, self.plan.batch, rng, heaviest))

    def update(self, batch: Batch) -> float:
        """Make one optimiser step; return the mean loss per unit of weight, in nats."""
        kind = torch.device(self.plan.device).type
        with torch.autocast(kind, torch.bfloat16):
            loss = self.loss_of(*(part.to(self.plan.device) for part in batch.tensors))
        weight = float(batch.weights.sum())
        (loss / max(weight, 1.0)).backward()
        factor = rate_factor(self.progress)
        for optimiser, base in zip(self.optimisers, (MUON_RATE, ADAM_RATE), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = base * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.tokens += int((batch.ids != 0).sum())
        self.step += 1
        with torch.no_grad():
            reach = 1.0 / (1.0 + AVERAGED_STEPS * self.step)
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), reach)
        return float(loss.detach()) / max(weight, 1e-9)

    def report(self, losses: list[float]) -> dict[str, float]:
        """Return one log entry."""
        loss = round(sum(losses) / max(1, len(losses)), 4)
        entry = {"step": self.step, "tokens": self.tokens, "progress": round(self.progress, 4), "loss": loss}
        entry["seconds"] = round(self.seconds)
        for pool, prefix in zip(self.heldout, ("", "signal_"), strict=True):
            entry |= {prefix + name: share for name, share in validate(self.average, pool).items()}
        return entry

    def save(self) -> None:
        """Write the checkpoint, under its name only when complete."""
        state = {
            "network": self.network.state_dict(), "average": self.average.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers], "shape": asdict(self.network.shape),
            "pools": [pool.state() for pool in self.pools], "step": self.step, "tokens": self.tokens,
            "refills": self.refills, "seconds": self.seconds,
        }  # fmt: skip
        partial = self.plan.out / "checkpoint.partial"
        torch.save(state, partial)
        partial.rename(self.plan.out / "checkpoint.pt")

    def resume(self) -> None:
        """Continue from the last checkpoint, if there is one."""
        path = self.plan.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=False, map_location=self.plan.device)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        for pool, saved in zip(self.pools, state["pools"], strict=True):
            pool.restore(saved)
        self.step, self.tokens, self.refills = state["step"], state["tokens"], state["refills"]
        self.seconds = state["seconds"]

    def run(self) -> bool:
        """Train until the tokens are seen or the piece ends; one JSON line a minute. Return whether the run is done.

        Checkpoints stand between refills, so that a continued run sees the same batches as one without a break.
        """
        self.resume()
        start = last = saved = logged = time.monotonic()
        losses: list[float] = []
        with (self.plan.out / "log.jsonl").open("a", encoding="utf-8") as log:
            while self.progress < 1.0 and last - start < self.plan.stop_s:
                if last - saved > self.plan.save_s:
                    self.save()
                    saved = last
                for batch in self.refill():
                    losses.append(self.update(batch))
                    now = time.monotonic()
                    self.seconds += now - last
                    last = now
                    if self.progress >= 1.0:
                        break
                    if now - logged > 60:
                        log.write(json.dumps(self.report(losses)) + "\n")
                        log.flush()
                        losses, logged = [], now
            log.write(json.dumps(self.report(losses)) + "\n")
        self.save()
        return self.progress >= 1.0


@torch.no_grad()
def validate(network: Network, pool: Pool, count: int = 192) -> dict[str, float]:
    """Return teacher-forced accuracy on held-out samples: of copied tokens, of changed tokens, of whole answers."""
    pool.refresh()
    if not pool.samples:
        return {}
    chosen = random.Random(1).sample(pool.samples, min(count, len(pool.samples)))
    right = {"copied": [0, 0], "changed": [0, 0], "whole": [0, 0]}
    device = network.embedding.device
    for batch in batches(chosen, 4096, random.Random(0)):
        hidden = network.hidden(batch.ids.to(device)).reshape(-1, network.shape.width)[batch.places.to(device)]
        predicted = nn.functional.linear(hidden, network.embedding).argmax(-1).cpu()
        hit = (predicted == batch.targets).numpy()
        weight, rows = batch.weights.numpy(), batch.places.numpy() // batch.ids.shape[1]
        for name, mask in (("copied", np.isclose(weight, 1.0)), ("changed", weight > 1.5)):
            right[name][0] += int(hit[mask].sum())
            right[name][1] += int(mask.sum())
        for row in range(batch.ids.shape[0]):
            right["whole"][0] += bool(hit[(rows == row) & (weight >= 0.9)].all())
            right["whole"][1] += 1
    return {name: round(good / max(1, every), 4) for name, (good, every) in right.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder of shards for each pool")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and log.jsonl")
    parser.add_argument("--tokens", type=float, required=True, help="to be seen in all, e.g. 20e6")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small")
    parser.add_argument("--batch", type=int, default=6144, help="padded tokens of one step")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--stop-after", type=float, default=float("inf"), help="minutes of this piece of the run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.device == "cpu":
        torch.set_num_threads(1)
    plan = Plan(
        options.data, options.out, int(options.tokens), options.seed, options.batch, options.device,
        stop_s=60.0 * options.stop_after,
    )  # fmt: skip
    done = Trainer(plan, SHAPES[options.shape]).run()
    print("done" if done else "to be continued: run the same command again")


if __name__ == "__main__":
    main()

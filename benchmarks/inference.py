"""How fast a small model computes on one CPU thread, four ways, in tokens per CPU-second; one command, one table.

Stock: transformers' own network, DynamicCache and `generate`. Rows: our branches and rows over that network. Fused and
int8: the same branches and rows over the fused forward pass. Every way does the same work with the same tokens; they
take turns, the best turn counts, and only the process's own CPU time is measured, so that other programs on the machine
disturb as little as they can. What is set up before the clock starts: the prompt's keys and values, and copies of them.

    python -m benchmarks.inference [--random 27.8M] [--turns 5]
    python -m benchmarks.inference --quality functions.jsonl [--count 40]     # what int8 does to the numbers
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, LlamaConfig
from transformers.utils import logging

from bot.decoding.prompt import Task, tagged_prompt
from bot.edits import single_edits
from bot.functions import find_function
from bot.models.engine import Engine
from bot.models.huggingface import HuggingFaceModel, locate
from bot.models.language_model import Usage
from bot.models.llama import fused_engine
from bot.models.transformers_engine import TransformersEngine
from training.faults import inject

STEPS = 32  # tokens of a row
DRAFTS, DRAFT_TOKENS, CHECKED = 32, 12, 16
TEMPERATURE, TOP_P = 0.8, 0.95
RANDOM = {  # networks with random weights: width, layers, heads, of keys and values, inner width, pieces
    "27.8M": (512, 8, 8, 4, 1408, 8192),
    "13.8M": (384, 6, 6, 6, 1024, 8192),
}
SOURCE = '''def merge(left, right, key, default=None, strict=False):
    """Merge two sorted lists into one, in the order of what `key` says of each element."""
    result = []
    i = 0
    j = 0
    while i < len(left) and j < len(right):
        if key(left[i]) > key(right[j]):
            result.append(left[i])
            i += 1
        else:
            result.append(right[j])
            j += 1
    if strict and default is not None and len(result) > i + j:
        result = [default if element is None else element for element in result]
    result.extend(left[i:])
    result.extend(right[j:])
    return result
'''
TEST = "assert merge([1, 4], [2, 3, 9], key=abs) == [1, 2, 3, 4, 9]"

Tokens = list[int]


class Way(Protocol):
    """One way of computing. Each method sets up and returns the work to be timed, which returns its tokens."""

    def prefill(self) -> Callable[[], int]: ...
    def decode(self) -> Callable[[], int]: ...
    def sample(self, rows: int) -> Callable[[], int]: ...
    def force(self, rows: int) -> Callable[[], int]: ...
    def score(self, drafts: Sequence[Tokens]) -> Callable[[], int]: ...
    def check(self) -> Callable[[], int]: ...


@dataclass(frozen=True, slots=True)
class Material:
    """What is computed: a prompt, 32 edits of one line, 32 drafts with nothing in common."""

    prompt: Tokens
    edits: list[Tokens]
    drafts: list[Tokens]

    def forced(self, row: int, step: int) -> int:
        """Return a token, another for each row."""
        return self.prompt[(17 * row + step) % len(self.prompt)]


def material(tokenizer: Any) -> Material:
    function = find_function(SOURCE.encode(), "merge", 1)
    assert function is not None
    prompt = tagged_prompt(Task(function.text, function.header_lines, (TEST,), "AssertionError: [4, 1, 2, 3, 9]")).plain
    by_line: dict[int, list[str]] = {}
    size = function.body.count("\n")
    for edit in single_edits(function):
        lines = edit.body.splitlines(keepends=True)
        if len(lines) == size:
            by_line.setdefault(edit.line, []).append(lines[edit.line - 1])
    texts = max(by_line.values(), key=len)
    edits = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    dice = random.Random(0)
    drafts = [[dice.randrange(300, len(tokenizer)) for _ in range(DRAFT_TOKENS)] for _ in range(DRAFTS)]
    return Material(tokenizer.encode(prompt, add_special_tokens=False), edits[:: len(edits) // DRAFTS][:DRAFTS], drafts)


class Stock:
    """transformers as it comes."""

    def __init__(self, network: Any, given: Material) -> None:
        self.network, self.given = network, given
        self.known = DynamicCache()
        with torch.inference_mode():
            network(torch.tensor([given.prompt[:-1]]), past_key_values=self.known)

    def prefill(self) -> Callable[[], int]:
        ids = torch.tensor([self.given.prompt])

        def work() -> int:
            with torch.inference_mode():
                self.network(ids, past_key_values=DynamicCache(), logits_to_keep=1)
            return ids.numel()

        return work

    def decode(self) -> Callable[[], int]:
        return self._generate(1, do_sample=False)

    def sample(self, rows: int) -> Callable[[], int]:
        return self._generate(rows, do_sample=True, temperature=TEMPERATURE, top_p=TOP_P, top_k=0)

    def _generate(self, rows: int, **options: Any) -> Callable[[], int]:
        ids = torch.tensor([self.given.prompt]).expand(rows, -1)
        cache = copy.deepcopy(self.known)
        options |= {"eos_token_id": None, "pad_token_id": 0, "max_new_tokens": STEPS, "max_length": None}

        def work() -> int:
            cache.batch_repeat_interleave(rows)
            self.network.generate(ids, attention_mask=torch.ones_like(ids), past_key_values=cache, **options)
            return rows * STEPS

        return work

    def force(self, rows: int) -> Callable[[], int]:
        cache = copy.deepcopy(self.known)

        def work() -> int:
            cache.batch_repeat_interleave(rows)
            with torch.inference_mode():
                for step in range(STEPS):
                    ids = [[self.given.forced(row, step)] for row in range(rows)]
                    torch.log_softmax(self.network(torch.tensor(ids), past_key_values=cache).logits[:, -1], dim=-1)
            return rows * STEPS

        return work

    def score(self, drafts: Sequence[Tokens]) -> Callable[[], int]:
        cache = copy.deepcopy(self.known)
        width = max(map(len, drafts))
        ids = torch.tensor([[*self.given.prompt[-1:], *draft, *[0] * (width - len(draft))] for draft in drafts])

        def work() -> int:
            cache.batch_repeat_interleave(len(drafts))
            with torch.inference_mode():
                logits = self.network(ids[:, :-1], past_key_values=cache).logits
                found = torch.log_softmax(logits, dim=-1).gather(-1, ids[:, 1:, None])[..., 0]
                [float(row[: len(draft)].sum()) for row, draft in zip(found, drafts, strict=True)]
            return sum(map(len, drafts))

        return work

    def check(self) -> Callable[[], int]:
        cache = copy.deepcopy(self.known)
        ids = torch.tensor([[*self.given.prompt[-1:], *self.given.prompt[:CHECKED]]])

        def work() -> int:
            with torch.inference_mode():
                torch.log_softmax(self.network(ids, past_key_values=cache).logits[0], dim=-1).numpy()
            return CHECKED

        return work


class Ours:
    """Branches and rows over an engine."""

    def __init__(self, model: HuggingFaceModel, engine: Engine, given: Material) -> None:
        self.model, self.engine, self.given = model, engine, given
        self.known = model.branch(given.prompt)
        self.known.logprobs()

    def _branch(self) -> Any:
        branch = self.model.branch(self.given.prompt)
        branch.logprobs()
        return branch

    def prefill(self) -> Callable[[], int]:
        self.known.rebase([0], [])  # or it would lend what it knows

        def work() -> int:
            self.known.rebase(self.given.prompt, [])
            self.known.logprobs()
            return len(self.given.prompt)

        self.known.logprobs()
        return work

    def decode(self) -> Callable[[], int]:
        branch = self._branch()

        def work() -> int:
            for _ in range(STEPS):
                branch.append([int(branch.logprobs().argmax())])
            return STEPS

        return work

    def sample(self, rows: int) -> Callable[[], int]:
        branch = self._branch()

        def work() -> int:
            found = self.model.sample(
                branch, rows, temperature=TEMPERATURE, top_p=TOP_P, seed=0, limit=STEPS, stop=never
            )
            return sum(map(len, found))

        return work

    def force(self, rows: int) -> Callable[[], int]:
        branch = self._branch()
        batch = self.engine.rows(branch.cache, branch.ids)

        def work() -> int:
            for step in range(STEPS):
                batch.extend([(row, [self.given.forced(row, step)]) for row in range(rows)])
            return rows * STEPS

        return work

    def score(self, drafts: Sequence[Tokens]) -> Callable[[], int]:
        branch = self._branch()

        def work() -> int:
            self.model.score_many(branch, drafts)
            return sum(map(len, drafts))

        return work

    def check(self) -> Callable[[], int]:
        branch = self._branch()

        def work() -> int:
            branch.along(self.given.prompt[:CHECKED])
            return CHECKED

        return work


def never(text: str) -> bool:
    """No text is long enough."""
    return not isinstance(text, str)


def jobs(given: Material) -> dict[str, Callable[[Way], Callable[[], int]]]:
    """Return what is measured, by its title."""
    found: dict[str, Callable[[Way], Callable[[], int]]] = {
        f"a prompt of {len(given.prompt)} tokens": lambda way: way.prefill(),
        "one row, greedy": lambda way: way.decode(),
    }
    for rows in (4, 8, 16):
        found[f"{rows} rows, sampled"] = lambda way, rows=rows: way.sample(rows)  # type: ignore[misc]
    for rows in (4, 8, 16):
        found[f"{rows} rows, all different"] = lambda way, rows=rows: way.force(rows)  # type: ignore[misc]
    length = sum(map(len, given.edits)) / len(given.edits)
    found[f"scores of {len(given.edits)} edits of one line, {length:.0f} tokens each"] = lambda way: way.score(
        given.edits
    )
    found[f"scores of {DRAFTS} drafts with nothing in common"] = lambda way: way.score(given.drafts)
    found[f"a draft of {CHECKED} tokens checked"] = lambda way: way.check()
    return found


def measure(ways: dict[str, Way], given: Material, turns: int) -> dict[str, dict[str, float]]:
    """Return tokens per CPU-second, by job and way; the ways take turns, and each one's best turn counts."""
    found: dict[str, dict[str, float]] = {}
    for title, job in jobs(given).items():
        best = dict.fromkeys(ways, 0.0)
        for turn in range(turns + 1):  # the first warms up
            for name, way in ways.items():
                work = job(way)
                start = time.process_time()
                tokens = work()
                rate = tokens / (time.process_time() - start)
                best[name] = max(best[name], rate) if turn else 0.0
        found[title] = best
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """Return the Markdown table: tokens per CPU-second, and how many times the stock loop's that is."""
    names = list(next(iter(found.values())))
    lines = ["| what | " + " | ".join(names) + " |", "| --- " + "| ---: " * len(names) + "|"]
    for title, rates in found.items():
        base = rates[names[0]]
        cells = [
            f"{rates[name]:,.0f}" + (f" (x{rates[name] / base:.1f})" if name != names[0] else "") for name in names
        ]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def networks(kind: str | None) -> tuple[Callable[[], Any], Any]:
    """Return what makes the network afresh, and a tokenizer: of the embedded model, or with random weights."""
    place, _ = locate("embedded")
    tokenizer = AutoTokenizer.from_pretrained(place)
    if kind is None:
        return lambda: AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval(), tokenizer
    width, layers, heads, groups, inner, pieces = RANDOM[kind]
    config = LlamaConfig(
        vocab_size=pieces, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=groups, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip

    def make() -> Any:
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(config).eval()
        for parameter in network.parameters():
            parameter.data = parameter.data.bfloat16().float()  # as weights are published
        return network

    return make, tokenizer


def ways_of(make: Callable[[], Any], tokenizer: Any, given: Material) -> dict[str, Way]:
    def ours(kind: str) -> Ours:
        network = make()
        fused = None if kind == "rows" else fused_engine(network, Usage(), "int8" if kind == "int8" else "float32")
        engine = fused or TransformersEngine(network, Usage())
        model = HuggingFaceModel(kind, network, tokenizer, engine=engine)
        model._end_ids = frozenset()  # every row is as long as the stock loop's
        return Ours(model, engine, given)

    return {"stock": Stock(make(), given), **{kind: ours(kind) for kind in ("rows", "fused", "int8")}}


def faulty(functions: Path, dice: random.Random) -> Iterator[tuple[Task, str]]:
    """Yield tasks made of a file's functions by injecting faults, in random order, each with the true body."""
    lines = functions.read_text(encoding="utf-8").splitlines()
    for record in map(json.loads, dice.sample(lines, len(lines))):
        text, header = record["text"], record["header_lines"]
        fault = inject(text, dice)
        if fault is not None:
            yield Task(fault.text, header), "".join(text.splitlines(keepends=True)[header:])


def quality(functions: Path, count: int) -> str:
    """Return what int8 changes, on faulty functions of a file: log p of the true tokens, and greedy bodies."""
    make, tokenizer = networks(None)
    exact, rounded = (
        HuggingFaceModel(kind, network, tokenizer, engine=fused_engine(network, Usage(), kind))  # type: ignore[arg-type]
        for kind in ("float32", "int8")
        for network in [make()]
    )
    dice = random.Random(0)
    same = 0
    apart: list[float] = []
    sums: list[float] = []
    cases = list(itertools.islice(faulty(functions, dice), count))
    for task, body in cases:
        head, answer = exact.encode(tagged_prompt(task).plain), exact.encode(body + "<end>")
        scores = [model.score(model.branch(head), answer) for model in (exact, rounded)]
        apart += np.abs(scores[0] - scores[1]).tolist()
        sums.append(float(abs(scores[0].sum() - scores[1].sum())))
        options = {"temperature": 0.0, "top_p": 1.0, "seed": 0, "limit": 2 * len(answer), "stop": never}
        texts = [model.sample(model.branch(head), 1, **options)[0] for model in (exact, rounded)]  # type: ignore[arg-type]
        same += texts[0] == texts[1]
    return (
        f"{len(cases)} prompts. |log p (float32) - log p (int8)| of a true token: mean {np.mean(apart):.4f}, "
        f"median {np.median(apart):.5f}, 99 % below {np.quantile(apart, 0.99):.3f} nats; of a whole body: "
        f"mean {np.mean(sums):.3f}. Equal greedy bodies: {same} of {len(cases)}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", choices=sorted(RANDOM), help="a larger network with random weights instead")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--quality", type=Path, help="functions file of training.grammar or training.corpus")
    parser.add_argument("--count", type=int, default=40)
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    if options.quality:
        print(quality(options.quality, options.count))
        return
    make, tokenizer = networks(options.random)
    given = material(tokenizer)
    before = os.getloadavg()[0]
    print(table(measure(ways_of(make, tokenizer, given), given, options.turns)))
    print(f"\ntorch {torch.__version__}, one thread; load average {before:.1f} before, {os.getloadavg()[0]:.1f} after.")


if __name__ == "__main__":
    main()

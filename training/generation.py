"""Plain generation with an exported model, for evaluation: greedy, sampled, and the log-probability of given bodies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, DynamicCache, LlamaForCausalLM

TOP_P = 0.95


class Generator:
    """An exported model in float32 with its tokenizer."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.end: int = self.tokenizer.eos_token_id

    def ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return found

    @torch.no_grad()
    def generate(self, prompt: str, rows: int, temperature: float, limit: int) -> list[str]:
        """Return `rows` bodies; temperature 0 is greedy. A body without its end after `limit` tokens is cut there."""
        cache = DynamicCache()
        out = self.model(torch.tensor([self.ids(prompt)]), past_key_values=cache, logits_to_keep=1)
        cache.batch_repeat_interleave(rows)
        logits = out.logits[:, -1].repeat(rows, 1)
        answers: list[list[int]] = [[] for _ in range(rows)]
        open_rows = torch.ones(rows, dtype=torch.bool)
        for _ in range(limit):
            chosen = choose(logits, temperature)
            for row in open_rows.nonzero().flatten().tolist():
                if int(chosen[row]) == self.end:
                    open_rows[row] = False
                else:
                    answers[row].append(int(chosen[row]))
            if not open_rows.any():
                break
            logits = self.model(chosen[:, None], past_key_values=cache).logits[:, -1]
        return [self.tokenizer.decode(answer) for answer in answers]

    @torch.no_grad()
    def scores(self, prompt: str, bodies: Sequence[str], rows: int = 32) -> list[float]:
        """Return log p(body and end | prompt) in nats for each body."""
        head = self.ids(prompt)
        found: list[float] = []
        for first in range(0, len(bodies), rows):
            group = [[*self.ids(body), self.end] for body in bodies[first : first + rows]]
            width = max(map(len, group))
            ids = torch.tensor([head + g + [0] * (width - len(g)) for g in group])
            logits = self.model(ids, logits_to_keep=width + 1).logits[:, :-1]
            logprobs = functional.log_softmax(logits, -1).gather(-1, ids[:, len(head) :, None])[..., 0]
            found += [float(row[: len(g)].sum()) for row, g in zip(logprobs, group, strict=True)]
        return found


def choose(logits: Tensor, temperature: float) -> Tensor:
    """logits: (B, V). Return (B,) token ids: the best, or drawn from the nucleus."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = functional.softmax(logits / temperature, -1)
    ordered, places = probabilities.sort(-1, descending=True)
    ordered[ordered.cumsum(-1) - ordered > TOP_P] = 0.0
    return places.gather(-1, torch.multinomial(ordered, 1))[:, 0]

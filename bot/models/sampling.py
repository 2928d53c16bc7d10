"""Continuations sampled as rows of one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bot.models.engine import Rows

if TYPE_CHECKING:
    import torch

LIKELIEST = 128  # tokens among which the nucleus mostly lies


def sample(
    rows: Rows,
    logprobs: torch.Tensor,
    count: int,
    limit: int,
    choose: Callable[[torch.Tensor], list[int]],
    ended: Callable[[list[int]], bool],
) -> list[list[int]]:
    """Return `count` rows of at most `limit` tokens, each extended until `ended` says so.

    logprobs: of the first token, (V,). choose: draws a token for each of several distributions, (N, V).
    """
    import torch

    texts: list[list[int]] = [[] for _ in range(count)]
    active = list(range(count))
    every = logprobs.expand(count, -1)
    for length in range(1, limit + 1):
        known: dict[tuple[int, ...], bool] = {}  # rows of the same tokens end together
        going = []
        for row, token in zip(active, choose(every), strict=True):
            texts[row].append(token)
            text = tuple(texts[row])
            if text not in known:
                known[text] = ended(texts[row])
            if not known[text]:
                going.append(row)
        active = going
        if not active or length == limit:
            break
        every = torch.cat(rows.extend([(row, texts[row][-1:]) for row in active]))
    return texts


def draw(logprobs: torch.Tensor, temperature: float, top_p: float, generator: torch.Generator) -> list[int]:
    """Draw one token per row of (N, V); temperature 0 is greedy. `top_p` keeps the smallest set with that mass."""
    import torch

    if temperature <= 0:
        return [int(token) for token in logprobs.argmax(dim=-1)]
    probabilities = torch.softmax(logprobs / temperature, dim=-1)
    dice = torch.rand(len(logprobs), 1, dtype=torch.float64, generator=generator)
    ordered, ids = probabilities.topk(min(LIKELIEST, probabilities.shape[-1]), dim=-1)
    if ordered.double().sum(-1).min() < top_p:
        ordered, ids = probabilities.sort(dim=-1, descending=True, stable=True)
    below = ordered.double().cumsum(-1) - ordered
    kept = ordered.double().masked_fill_(below >= top_p, 0.0).cumsum(-1)
    places = torch.searchsorted(kept, dice * kept[:, -1:], right=True).clamp_max_(ids.shape[-1] - 1)
    return [int(token) for token in ids.gather(-1, places)[:, 0]]

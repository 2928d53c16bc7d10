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
    choose: Callable[[torch.Tensor, list[int]], list[int]],
    ended: Callable[[list[int]], bool],
) -> list[list[int]]:
    """Return `count` rows of at most `limit` tokens, each extended until `ended` says so.

    logprobs: of the first token, (V,). choose: draws tokens; see `draw`. Rows of the same tokens share everything.
    """
    import torch

    texts: list[list[int]] = [[] for _ in range(count)]
    active = list(range(count))
    distributions, owners = logprobs[None], [0] * count
    for length in range(1, limit + 1):
        known: dict[tuple[int, ...], bool] = {}
        going = []
        for row, token in zip(active, choose(distributions, owners), strict=True):
            texts[row].append(token)
            text = tuple(texts[row])
            if text not in known:
                known[text] = ended(texts[row])
            if not known[text]:
                going.append(row)
        active = going
        if not active or length == limit:
            break
        found = rows.extend([(row, texts[row][-1:]) for row in active])
        places: dict[tuple[int, ...], int] = {}
        owners = [places.setdefault(tuple(texts[row]), len(places)) for row in active]
        distributions = torch.cat([found[owners.index(place)] for place in range(len(places))])
    return texts


def draw(
    logprobs: torch.Tensor, owners: list[int], temperature: float, top_p: float, generator: torch.Generator
) -> list[int]:
    """Draw a token for each owner, the number of a distribution in `logprobs`, (N, V).

    temperature: 0 is greedy. top_p: keeps the smallest set of tokens with at least that probability.
    """
    import torch

    if temperature <= 0:
        best = logprobs.argmax(dim=-1).tolist()
        return [int(best[owner]) for owner in owners]
    probabilities = torch.softmax(logprobs / temperature, dim=-1)
    ordered, ids = probabilities.topk(min(LIKELIEST, probabilities.shape[-1]), dim=-1)
    if ordered.double().sum(-1).min() < top_p:
        ordered, ids = probabilities.sort(dim=-1, descending=True, stable=True)
    ordered = ordered.double()
    below = ordered.cumsum(-1) - ordered
    heights = ordered.masked_fill_(below >= top_p, 0.0).cumsum(-1)
    place = torch.tensor(owners)
    dice = torch.rand(len(owners), 1, dtype=torch.float64, generator=generator) * heights[place, -1:]
    drawn = torch.searchsorted(heights[place], dice, right=True).clamp_max_(ids.shape[-1] - 1)
    return [int(token) for token in ids[place].gather(-1, drawn)[:, 0]]

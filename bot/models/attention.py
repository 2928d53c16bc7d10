"""Attention on the CPU: rotary positions, masks, and what each token gathers from those it attends to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.models.engine import Part

if TYPE_CHECKING:
    import torch


class Rotation:
    """Rotary positions (arXiv:2104.09864), the two halves of a head as real and imaginary parts."""

    def __init__(self, size: int, theta: float) -> None:
        self._size, self._theta = size, theta
        self._table: torch.Tensor | None = None  # (positions, 2, 1, size)

    def at(self, places: Sequence[int]) -> Sequence[torch.Tensor]:
        """Return cosines and signed sines at these positions, each (T, 1, size)."""
        import torch

        end = max(places) + 1
        if self._table is None or len(self._table) < end:
            frequencies = self._theta ** (-torch.arange(0, self._size, 2).float() / self._size)
            angles = (torch.arange(2 * end).float()[:, None] * frequencies)[:, None]
            signed = torch.cat([-angles.sin(), angles.sin()], dim=-1)
            self._table = torch.stack([angles.cos().repeat(1, 1, 2), signed], dim=1)
        return self._table[torch.tensor(places)].unbind(1)


def rotate(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> None:
    """Turn heads, (T, heads, size), in place."""
    turned = heads.roll(heads.shape[-1] // 2, -1).mul_(sines)
    heads.mul_(cosines).add_(turned)


def mask_of(part: Part, length: int) -> torch.Tensor | None:
    """Return what is added to a part's scores, (T, length), or None for a single token that sees everything."""
    import torch

    count = len(part.ids)
    if part.seen is not None:
        seen = torch.from_numpy(part.seen)
    elif count > 1:
        seen = torch.ones(count, length, dtype=torch.bool).tril_(length - count)
    else:
        return None
    return torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))


def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return what each token gathers, (T, heads * size).

    query: (T, heads, size). keys, values: (groups, length, size); heads / groups neighbouring heads share a group.
    mask: (T, length), added to the scores; None lets a single token see everything.
    """
    import torch
    from torch.nn import functional

    count, heads, size = query.shape
    groups = len(keys)
    share = heads // groups
    if mask is None:
        scores = torch.bmm(query.view(groups, share, size), keys.transpose(1, 2)).mul_(size**-0.5)
        return torch.bmm(scores.softmax(-1), values).view(1, heads * size)
    asked = query.view(count, groups, share, size).permute(1, 2, 0, 3).reshape(groups, share * count, size)
    if share > 1:
        mask = mask.repeat(share, 1)
    found = functional.scaled_dot_product_attention(asked[None], keys[None], values[None], mask)
    return found.reshape(groups, share, count, size).permute(2, 0, 1, 3).reshape(count, heads * size)

"""Several continuations of one prefix, computed together: the rows of a batch.

Three ways with the same numbers. Packed: all rows stand in one sequence behind the prefix's own cache, and a mask lets
each token see the prefix and its own row; nothing is copied. Copied: an ordinary batch over copies of the cache.
Uncached: every row from scratch, for models whose state cannot be cropped.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from bot.models.cache import copied

if TYPE_CHECKING:
    import torch

NewTokens = Sequence[tuple[int, Sequence[int]]]  # row number, its next tokens


class Forward(Protocol):
    """Runs the network; see `HuggingFaceModel.forward`."""

    def __call__(self, inputs: torch.Tensor, cache: Any, *, keep: int, **extra: torch.Tensor) -> torch.Tensor: ...


class Rows(Protocol):
    """Continuations of one prefix."""

    def extend(self, new: NewTokens) -> list[torch.Tensor]:
        """Append tokens to rows; return log p after each of them, float32 on the CPU, (tokens, V) for each row."""
        ...

    def close(self) -> None:
        """Leave the prefix as it was."""
        ...


class PackedRows:
    """All rows in one sequence, each token blind to the other rows. The prefix's cache is lent until `close`."""

    def __init__(self, forward: Forward, cache: Any, prefix: int) -> None:
        self._forward, self._cache, self._prefix = forward, cache, prefix
        self._owners: list[int] = []
        self._lengths: dict[int, int] = {}

    def extend(self, new: NewTokens) -> list[torch.Tensor]:
        import torch

        ids: list[int] = []
        places: list[int] = []
        for row, tokens in new:
            known = self._lengths.get(row, 0)
            ids += list(tokens)
            places += range(self._prefix + known, self._prefix + known + len(tokens))
            self._owners += [row] * len(tokens)
            self._lengths[row] = known + len(tokens)
        owners = torch.tensor(self._owners)
        before = len(self._owners) - len(ids)
        own = owners[before:, None] == owners[None, :]
        own &= torch.arange(len(self._owners))[None, :] <= torch.arange(before, len(self._owners))[:, None]
        seen = torch.cat([torch.ones(len(ids), self._prefix, dtype=torch.bool), own], dim=1)
        mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
        dtype = self._cache.layers[0].keys.dtype
        logits = self._forward(
            torch.tensor([ids]),
            self._cache,
            keep=len(ids),
            position_ids=torch.tensor([places]),
            attention_mask=mask.clamp(min=torch.finfo(dtype).min).to(dtype)[None, None],
        )
        logprobs = torch.log_softmax(logits[0].float(), dim=-1).cpu()
        ends = list(itertools.accumulate(len(tokens) for _, tokens in new))
        return [logprobs[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def close(self) -> None:
        if self._owners:
            self._cache.crop(-len(self._owners))
            self._owners, self._lengths = [], {}


class CopiedRows:
    """A batch over copies of the prefix's cache. Rows may be of different lengths in the first step only."""

    def __init__(self, forward: Forward, cache: Any, prefix: int) -> None:
        self._forward, self._source, self._prefix = forward, cache, prefix
        self._cache: Any = None
        self._rows: list[int] = []

    def extend(self, new: NewTokens) -> list[torch.Tensor]:
        import torch

        rows = [row for row, _ in new]
        if self._cache is None:
            self._cache, self._rows = copied(self._source, len(new), self._prefix), rows
        if rows != self._rows:
            places = torch.tensor([self._rows.index(row) for row in rows])
            self._cache.batch_select_indices(places.to(self._cache.layers[0].keys.device))
            self._rows = rows
        width = max(len(tokens) for _, tokens in new)
        inputs = torch.zeros((len(new), width), dtype=torch.long)
        for place, (_, tokens) in enumerate(new):
            inputs[place, : len(tokens)] = torch.tensor(list(tokens))
        logits = self._forward(inputs, self._cache, keep=width)  # padding stands behind what it could disturb
        logprobs = torch.log_softmax(logits.float(), dim=-1).cpu()
        return [logprobs[place, : len(tokens)] for place, (_, tokens) in enumerate(new)]

    def close(self) -> None:
        self._cache = None


class UncachedRows:
    """Every row from its first token, alone."""

    def __init__(self, forward: Forward, prefix: Sequence[int]) -> None:
        self._forward, self._prefix = forward, list(prefix)
        self._texts: dict[int, list[int]] = {}

    def extend(self, new: NewTokens) -> list[torch.Tensor]:
        import torch

        found = []
        for row, tokens in new:
            text = self._texts.setdefault(row, list(self._prefix))
            text += tokens
            logits = self._forward(torch.tensor([text]), None, keep=len(tokens))
            found.append(torch.log_softmax(logits[0].float(), dim=-1).cpu())
        return found

    def close(self) -> None:
        self._texts = {}

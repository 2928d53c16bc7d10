"""What branches and rows need of a network, whatever computes it.

An engine runs parts: tokens of a sequence behind what a cache holds of it; several parts together where it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from bot.models.language_model import Usage

if TYPE_CHECKING:
    import torch

NewTokens = Sequence[tuple[int, Sequence[int]]]  # row number, its next tokens
PROBE = (3, 7, 11, 13, 17, 19)  # tokens on which two ways to the same numbers are compared
BATCH_ELEMENTS = 64_000_000  # float32 log-probabilities held at once while drafts are scored: 256 MB
LOOSE = 1e-3  # the most by which they may differ in float32, in nats


class Cache(Protocol):
    """Keys and values of the first tokens of one sequence."""

    @property
    def nbytes(self) -> int: ...

    def keep_first(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        ...

    def copied(self, length: int) -> Cache:
        """Return a cache of its own with the first `length` tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens to run behind those in `cache`, which grows by them; without a cache they are the whole sequence.

    keep: distributions wanted, of the last so many tokens. places: their positions, where they are not the next ones.
    seen: (T, cached + T), which cached and new tokens each one attends to, where it is not all before it and itself.
    """

    ids: Sequence[int]
    cache: Any
    keep: int
    places: Sequence[int] | None = None
    seen: npt.NDArray[np.bool_] | None = None


class Rows(Protocol):
    """Continuations of one prefix."""

    def extend(self, new: NewTokens) -> list[torch.Tensor]:
        """Append tokens to rows; return log p after each of them, float32 on the CPU, (tokens, V) for each row."""
        ...

    def score(self, drafts: Sequence[Sequence[int]]) -> list[float]:
        """Return for each draft, of two tokens at least, the sum of log p of its tokens but the first."""
        ...

    def close(self) -> None:
        """Leave the prefix as it was."""
        ...


class Engine(Protocol):
    """Runs one network."""

    usage: Usage
    vocabulary: int
    croppable: bool  # False: its state cannot be cropped, so it gets no cache

    @property
    def device(self) -> str: ...

    def new_cache(self) -> Any: ...

    def run(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        """Return log p after the last `keep` tokens of each part, (keep, V), float32 on the CPU."""
        ...

    def rows(self, cache: Any, prefix: Sequence[int]) -> Rows:
        """Return what computes several continuations of `prefix`, whose keys and values `cache` holds."""
        ...


def common(left: Sequence[int], right: Sequence[int]) -> int:
    """Return the length of the longest common prefix."""
    most = min(len(left), len(right))
    if left[:most] == right[:most]:
        return most
    return next(place for place in range(most) if left[place] != right[place])

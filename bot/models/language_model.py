"""The LanguageModel protocol: what the decoder needs of a model, whatever runs it.

A `Branch` is a token sequence with its key-value cache. Branches of one prompt share what they have in common. All
log-probabilities are natural logarithms over the full vocabulary, float32, normalised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bot.decoding.prompt import ChatTemplate, Style

Array = npt.NDArray[np.float32]
Stop = Callable[[str], bool]  # True when the text sampled so far needs no further token


@dataclass(slots=True)
class Usage:
    """What a model computed since it was loaded."""

    passes: int = 0  # forward passes
    positions: int = 0  # positions over all rows of all passes
    tokens: int = 0  # tokens chosen or sampled


class Branch(Protocol):
    """A token sequence and its cache."""

    @property
    def ids(self) -> Sequence[int]: ...

    def logprobs(self) -> Array:
        """Return the distribution of the next token, shape (V,)."""
        ...

    def append(self, ids: Sequence[int]) -> None:
        """Extend the sequence; the cache follows lazily."""
        ...

    def rebase(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        """Become prompt + answer, keeping the cache of the longest common prefix."""
        ...


class LanguageModel(Protocol):
    """A causal language model."""

    name: str
    fingerprint: str  # sha256 over the weights' files, or the revision
    style: Style
    context: int  # positions the model can attend to
    usage: Usage
    chat: ChatTemplate | None

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        ...

    def branch(self, ids: Sequence[int]) -> Branch: ...

    def sample(
        self,
        branch: Branch,
        count: int,
        *,
        temperature: float,
        top_p: float,
        seed: int,
        limit: int,
        stop: Stop,
    ) -> list[list[int]]:
        """Return `count` continuations of at most `limit` tokens; each ends where `stop` says or at a kept end token."""
        ...

    def advance(self, branches: Sequence[Branch]) -> list[Array]:
        """Return the next-token distributions of several branches, computed in as few passes as possible."""
        ...

    def score(self, branch: Branch, ids: Sequence[int]) -> Array:
        """Return log p of each of `ids` after `branch`, shape (len(ids),); the branch is left as it was."""
        ...

    def score_many(self, branch: Branch, drafts: Sequence[Sequence[int]]) -> list[float]:
        """Return the summed log p of each draft after `branch`, in batches sharing the branch's cache."""
        ...

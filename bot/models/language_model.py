"""The LanguageModel protocol: what the decoder needs of a model, whatever runs it.

A `Branch` is a token sequence with its key-value cache. Branches of one prompt share what they have in common. All
log-probabilities are natural logarithms over the full vocabulary, float32, normalised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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
    tokens: int = 0  # tokens sampled; those the decoder chooses are counted by the decoder


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


@runtime_checkable
class DraftBranch(Protocol):
    """A branch that can check a draft in one pass; a model need not offer it."""

    def along(self, ids: Sequence[int]) -> Array:
        """Extend the sequence by `ids`; return the distributions before, between and after them, (len(ids) + 1, V)."""
        ...


@runtime_checkable
class JointModel(Protocol):
    """A model that can check drafts of several branches in one pass; a model need not offer it."""

    def along(self, branches: Sequence[Branch], drafts: Sequence[Sequence[int]]) -> list[Array]:
        """Extend each branch by its draft, as `DraftBranch.along` does, all computed together."""
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
        """Return `count` continuations of at most `limit` tokens, ended by `stop` or by an end token, which is kept."""
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


def text_after(model: LanguageModel, before: Sequence[int], ids: Sequence[int]) -> str:
    """Return the text that `ids` add after `before`.

    Some tokenizers drop a leading space, or need two tokens for one character: a few tokens of context settle both.
    """
    context = list(before[-4:])
    head = model.decode(context)
    text = model.decode([*context, *ids])
    return text[len(head) :] if text.startswith(head) else model.decode(list(ids))

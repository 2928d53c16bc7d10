"""A branch: a token sequence whose keys and values are cached, cropped when it is rebased, and borrowed from others."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bot.errors import ModelError
from bot.models.engine import Engine, Part, common
from bot.models.language_model import Array

if TYPE_CHECKING:
    import torch


class Family:
    """The living branches of one model; a new one copies what another knows of its tokens."""

    def __init__(self, engine: Engine, name: str, context: int) -> None:
        self.engine, self.name, self.context = engine, name, context
        self.members: weakref.WeakSet[CachedBranch] = weakref.WeakSet()

    def branch(self, ids: Sequence[int]) -> CachedBranch:
        branch = CachedBranch(self, ids)
        self.members.add(branch)
        return branch

    def along(self, branches: Sequence[CachedBranch], drafts: Sequence[Sequence[int]]) -> list[Array]:
        """Extend each branch by its draft; return the distributions before, between and after the draft's tokens.

        All that is not known yet is computed together. A branch stands here once.
        """
        asked = [branch.asked(draft) for branch, draft in zip(branches, drafts, strict=True)]
        parts = [part for part in asked if part is not None]
        found = iter(self.engine.run(parts) if parts else [])
        return [
            branch.told(next(found) if part is not None else None) for branch, part in zip(branches, asked, strict=True)
        ]


class CachedBranch:
    """A token sequence, the cache of its first tokens, and the distribution after its last."""

    def __init__(self, family: Family, ids: Sequence[int]) -> None:
        self.ids: list[int] = list(ids)
        self.cache: Any = None
        self._family = family
        self._cached: list[int] = []  # the tokens the cache holds, also those rebased away
        self._last: Array | None = None  # after all of `ids`, when they are all cached

    def append(self, ids: Sequence[int]) -> None:
        if ids:
            self.ids.extend(ids)
            self._last = None

    def rebase(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        ids = [*prompt, *answer]
        if ids != self.ids:
            self.ids = ids
            self._last = None

    def logprobs(self) -> Array:
        last: Array = self.along([])[-1]
        return last

    def along(self, ids: Sequence[int]) -> Array:
        """See `DraftBranch.along`."""
        return self._family.along([self], [ids])[0]

    def asked(self, draft: Sequence[int]) -> Part | None:
        """Extend the sequence by a draft and return what must run for its distributions, None if they are known."""
        keep = len(draft) + (self._last is None)
        self.ids.extend(draft)
        if not keep:
            return None
        if len(self.ids) > self._family.context:
            raise ModelError(
                f"{len(self.ids)} tokens do not fit in the context of {self._family.name} ({self._family.context}).",
                hint="Use a model with a longer context, or fewer and shorter tests.",
            )
        if not self.ids:
            raise ValueError("a branch needs at least one token")
        start = self._crop(len(self.ids) - keep)
        return Part(self.ids[start:], self.cache, keep)

    def told(self, found: torch.Tensor | None) -> Array:
        """Take in what was computed, (keep, V); return it, after what was known, (len(draft) + 1, V)."""
        known = [] if self._last is None else [self._last[None]]
        if found is None:
            return known[0]
        self._cached = list(self.ids) if self.cache is not None else []
        rows: Array = np.asarray(found.numpy(), dtype=np.float32)
        self._last = rows[-1]
        return np.concatenate([*known, rows]) if known else rows

    def _crop(self, most: int) -> int:
        """Make the cache a prefix of `ids` at most `most` long, borrowing from a living branch; return its length."""
        engine = self._family.engine
        if not engine.croppable:
            return 0
        known = min(common(self._cached, self.ids), most)
        lender, lent = self, known
        for other in self._family.members:
            length = min(common(other._cached, self.ids), most)
            if other is not self and length > lent:
                lender, lent = other, length
        if lender is not self:
            self.cache = lender.cache.copied(lent)
        elif self.cache is None:
            self.cache = engine.new_cache()
        elif known < len(self._cached):
            self.cache.keep_first(known)
        self._cached = self.ids[:lent]
        return lent

"""Several continuations of one prefix, computed together: the rows of a batch.

Three ways with the same numbers. Packed: all rows stand in one sequence behind the prefix's own cache, and a mask lets
each token see the prefix and its own row; nothing is copied, and what rows have in common is computed once. Copied: an
ordinary batch over copies of the cache. Uncached: every row from scratch, for models whose state cannot be cropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from bot.models.engine import NewTokens, Part, common

if TYPE_CHECKING:
    import torch

CACHE_BYTES = 1 << 30  # keys and values held at once for the rows of one batch

Run = Callable[[Sequence[Part]], "list[torch.Tensor]"]  # see `Engine.run`


class Batch(Protocol):
    """Runs rows of equal length; see `TransformersEngine.batch`."""

    def __call__(self, inputs: torch.Tensor, cache: Any, *, keep: int) -> torch.Tensor: ...


class PackedRows:
    """All rows in one sequence, each token blind to the other rows. The prefix's cache is lent until `close`.

    Rows are paths in a tree: those that begin alike share its nodes, one token in the sequence for each node.
    """

    def __init__(self, run: Run, cache: Any, prefix: int, most: int) -> None:
        """most: tokens of drafts that are scored in one pass."""
        self._run, self._cache, self._prefix, self._most = run, cache, prefix, most
        self._ends: dict[int, int] = {}  # row -> its last node; a row without tokens stands at -1
        self._depths: list[int] = []  # of each node, the number of tokens before it in its rows
        self._paths = np.zeros((0, 0), dtype=np.bool_)  # (node, node): the second is the first or an ancestor of it

    def extend(self, new: NewTokens) -> list[torch.Tensor]:
        ids, routes = self._grow(new)
        found = self._distributions(ids)
        return [_along(found, route) for route in routes]

    def score(self, drafts: Sequence[Sequence[int]]) -> list[float]:
        scores = [0.0] * len(drafts)
        for batch in _alike(drafts, self._most):
            self.close()
            ids, routes = self._grow([(index, drafts[index][:-1]) for index in batch])
            found = self._distributions(ids)
            for index, route in zip(batch, routes, strict=True):
                scores[index] = float(found[route, drafts[index][1:]].sum())
        return scores

    def close(self) -> None:
        if self._depths:
            self._cache.keep_first(self._prefix)
            self._ends, self._depths, self._paths = {}, [], self._paths[:0, :0]

    def _distributions(self, ids: Sequence[int]) -> torch.Tensor:
        """Run the newest nodes, whose tokens are `ids`; return log p after each."""
        nodes = len(self._depths)
        before = nodes - len(ids)
        seen = np.ones((len(ids), self._prefix + nodes), dtype=np.bool_)
        seen[:, self._prefix :] = self._paths[before:nodes, :nodes]
        places = [self._prefix + depth for depth in self._depths[before:]]
        return self._run([Part(ids, self._cache, len(ids), places, seen)])[0]

    def _grow(self, new: NewTokens) -> tuple[list[int], list[list[int]]]:
        """Add nodes; return the tokens of the new ones, and for each row which of them it goes through.

        Rows share a node that both reach now, not one that was there before.
        """
        before = len(self._depths)
        self._reserve(before + sum(len(tokens) for _, tokens in new))
        ids: list[int] = []
        known: dict[tuple[int, int], int] = {}  # (parent, token) -> node
        routes = []
        for row, tokens in new:
            node = self._ends.get(row, -1)
            route = []
            for token in tokens:
                parent, node = node, known.get((node, token), -1)
                if node < 0:
                    node = known[parent, token] = self._add(parent)
                    ids.append(token)
                route.append(node - before)
            self._ends[row] = node
            routes.append(route)
        return ids, routes

    def _add(self, parent: int) -> int:
        """Return a new node behind `parent`, or behind the prefix for -1."""
        node = len(self._depths)
        self._depths.append(0 if parent < 0 else self._depths[parent] + 1)
        if parent >= 0:
            self._paths[node, :node] = self._paths[parent, :node]
        self._paths[node, node] = True
        return node

    def _reserve(self, nodes: int) -> None:
        """Make room for so many nodes."""
        held = len(self._depths)
        if nodes > len(self._paths):
            room: npt.NDArray[np.bool_] = np.zeros((2 * nodes, 2 * nodes), dtype=np.bool_)
            room[:held, :held] = self._paths[:held, :held]
            self._paths = room


def _along(found: torch.Tensor, route: list[int]) -> torch.Tensor:
    """Return the rows of `found` on a route, without a copy where they stand together."""
    together = route[-1] - route[0] == len(route) - 1 if route else False
    return found[route[0] : route[-1] + 1] if together else found[route]


def _alike(drafts: Sequence[Sequence[int]], most: int) -> Iterator[list[int]]:
    """Yield numbers of drafts in batches of at most `most` tokens; those that begin alike stand together."""
    batch: list[int] = []
    size = 0
    for index in sorted(range(len(drafts)), key=lambda index: list(drafts[index])):
        shared = common(drafts[batch[-1]], drafts[index]) if batch else 0
        if batch and size + len(drafts[index]) - shared > most:
            yield batch
            batch, size, shared = [], 0, 0
        batch.append(index)
        size += len(drafts[index]) - shared
    if batch:
        yield batch


class CopiedRows:
    """A batch over copies of the prefix's cache. Rows may be of different lengths in the first step only."""

    def __init__(self, batch: Batch, cache: Any, prefix: int, most: int) -> None:
        """most: tokens of drafts that are scored in one pass."""
        self._batch, self._source, self._prefix, self._most = batch, cache, prefix, most
        self._cache: Any = None
        self._rows: list[int] = []

    def extend(self, new: NewTokens) -> list[torch.Tensor]:
        import torch

        rows = [row for row, _ in new]
        if self._cache is None:
            self._cache, self._rows = self._source.copied(self._prefix, len(new)), rows
        if rows != self._rows:
            places = torch.tensor([self._rows.index(row) for row in rows])
            self._cache.batch_select_indices(places.to(self._cache.layers[0].keys.device))
            self._rows = rows
        width = max(len(tokens) for _, tokens in new)
        inputs = torch.zeros((len(new), width), dtype=torch.long)
        for place, (_, tokens) in enumerate(new):
            inputs[place, : len(tokens)] = torch.tensor(list(tokens))
        logprobs = self._batch(inputs, self._cache, keep=width)  # padding stands behind what it could disturb
        return [logprobs[place, : len(tokens)] for place, (_, tokens) in enumerate(new)]

    def score(self, drafts: Sequence[Sequence[int]]) -> list[float]:
        scores = [0.0] * len(drafts)
        rows = max(1, CACHE_BYTES // max(1, self._source.nbytes))
        for batch in _long_alike(drafts, self._most, rows):
            self.close()
            found = self.extend([(index, drafts[index][:-1]) for index in batch])
            for index, logprobs in zip(batch, found, strict=True):
                scores[index] = _summed(logprobs, drafts[index])
        return scores

    def close(self) -> None:
        self._cache = None


def _long_alike(drafts: Sequence[Sequence[int]], most: int, rows: int) -> Iterator[list[int]]:
    """Yield numbers of drafts in batches of at most `rows` drafts and `most` tokens, padding counted."""
    batch: list[int] = []
    for index in sorted(range(len(drafts)), key=lambda index: len(drafts[index])):
        if batch and (len(batch) >= rows or (len(batch) + 1) * len(drafts[index]) > most):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


class UncachedRows:
    """Every row from its first token, alone."""

    def __init__(self, run: Run, prefix: Sequence[int]) -> None:
        self._run, self._prefix = run, list(prefix)
        self._texts: dict[int, list[int]] = {}

    def extend(self, new: NewTokens) -> list[torch.Tensor]:
        parts = []
        for row, tokens in new:
            text = self._texts.setdefault(row, list(self._prefix))
            text += tokens
            parts.append(Part(list(text), None, len(tokens)))
        return self._run(parts)

    def score(self, drafts: Sequence[Sequence[int]]) -> list[float]:
        scores = []
        for draft in drafts:
            self.close()
            scores.append(_summed(self.extend([(0, draft[:-1])])[0], draft))
        return scores

    def close(self) -> None:
        self._texts = {}


def _summed(logprobs: torch.Tensor, draft: Sequence[int]) -> float:
    """Return the sum of log p of a draft's tokens but the first, (tokens, V) after all but the last."""
    return float(logprobs[range(len(draft) - 1), list(draft[1:])].sum())

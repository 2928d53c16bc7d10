"""Decides which failures one fault may explain: the fewest and likeliest functions that explain all failing tests.

Pure arithmetic over a `Spectrum`. Every failing test is explained by one function that it executes. A set of functions
costs what it takes to tell it: a constant for each, and what is surprising about it, that passing tests execute it and
failing tests do not have it in their traceback. The cheapest set is sought greedily; then two groups become one where
the function of the one explains the other too and the set becomes cheaper by it. A group made of others keeps them as
its parts, for when no patch repairs it whole.
Source: the idea is Barinel's (Abreu et al. 2009), minimal hitting sets weighed by likelihood with a health for each
component fitted to the tests; here each failure belongs to one function, so that the sets can be told apart as groups.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from itertools import permutations

from bot.localise import rank
from bot.records import TestFailure
from bot.spectrum import Spectrum
from runners.runner import FunctionKey

ONE_MORE = math.log(100)  # nats that one more faulty function costs: one in a hundred is faulty
TRIVIAL = 3.0  # nats for a function with nothing in it to get wrong
NOT_IN_TRACEBACK = 0.7  # nats for each test whose traceback names other functions
UNITED = 3  # groups that one function explains are united
EXPLAINING = 5  # a function explains a group if it is among so many of its suspects

Unit = tuple[TestFailure, ...]  # the failing cases of one test


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures that one function may explain. parts: smaller groups of the same, for when no patch repairs it whole."""

    failures: tuple[TestFailure, ...]
    parts: tuple[FailureGroup, ...] = ()


def groups(failures: Sequence[TestFailure], spectrum: Spectrum) -> list[FailureGroup]:
    """Return the failures in groups; cases of one parametrized test stay together.

    Groups with a test that executes few functions come first: a patch for them may repair the wider ones too.
    """
    units: dict[str, list[TestFailure]] = {}
    for failure in failures:
        units.setdefault(failure.node_id.partition("[")[0], []).append(failure)
    parts = _Cover([tuple(members) for members in units.values()], spectrum).found()
    order = {failure.node_id: number for number, failure in enumerate(failures)}

    def place(group: FailureGroup) -> tuple[int, int]:
        width = min(len(spectrum.executed[failure.node_id]) for failure in group.failures)
        return width, min(order[failure.node_id] for failure in group.failures)

    def tidy(members: Sequence[FailureGroup]) -> tuple[TestFailure, ...]:
        return tuple(sorted((f for m in members for f in m.failures), key=lambda f: order[f.node_id]))

    return sorted(_united(sorted(parts, key=place), spectrum, tidy), key=place)


@dataclass(frozen=True, slots=True)
class _Explained:
    """Units with the one function that is to explain them, None where nothing of the repository does."""

    key: FunctionKey | None
    numbers: frozenset[int]
    parts: tuple[_Explained, ...] = ()


class _Cover:
    """A greedy cover of all units by functions, each at its cost for the units it is to explain."""

    def __init__(self, units: Sequence[Unit], spectrum: Spectrum) -> None:
        self._units, self._spectrum = units, spectrum
        self._covers: dict[FunctionKey, set[int]] = {}
        for number, unit in enumerate(units):
            for key in _executed(unit, spectrum):
                self._covers.setdefault(key, set()).add(number)

    def found(self) -> list[FailureGroup]:
        """Return the groups."""
        return [self._group(one) for one in self._joined(self._greedy())]

    def _greedy(self) -> list[_Explained]:
        """Return a cover. A function only gets dearer when others take units from it, so old prices are bounds."""
        covers = dict(self._covers)
        queue = [(self._price(key, covers[key]), self._order(key), key) for key in covers]
        heapq.heapify(queue)
        open_units = set(range(len(self._units)))
        chosen: list[_Explained] = []
        while queue:
            price, order, key = heapq.heappop(queue)
            covers[key] = covers[key] & open_units
            if not covers[key]:
                continue
            now = self._price(key, covers[key])
            if now > price and queue and (now, order) > queue[0][:2]:
                heapq.heappush(queue, (now, order, key))
                continue
            chosen.append(_Explained(key, frozenset(covers[key])))
            open_units -= covers[key]
        return [*chosen, *(_Explained(None, frozenset([number])) for number in sorted(open_units))]

    def _joined(self, chosen: list[_Explained]) -> list[_Explained]:
        """Return the cover with two of its groups made one, as long as the whole becomes cheaper by that."""
        known: dict[tuple[_Explained, _Explained], float] = {}
        while True:
            for pair in permutations(chosen, 2):
                known[pair] = known[pair] if pair in known else self._gain(*pair)
            gains = [
                (gain, -first, -second)
                for (first, one), (second, other) in permutations(enumerate(chosen), 2)
                if (gain := known[one, other]) > 0
            ]
            if not gains:
                return chosen
            _, first, second = max(gains)
            one, other = chosen[-first], chosen[-second]
            whole = _Explained(
                one.key, one.numbers | other.numbers, (*(one.parts or (one,)), *(other.parts or (other,)))
            )
            chosen = [whole, *(item for item in chosen if item not in (one, other))]

    def _gain(self, one: _Explained, other: _Explained) -> float:
        """Return the nats that are saved where the function of `one` explains `other` too; 0 where it cannot.

        It must be a suspect that is tried for both together, else the groups would be searched as one for nothing.
        """
        if one.key is None or other.key is None or not other.numbers <= self._covers[one.key]:
            return 0.0
        whole = one.numbers | other.numbers
        apart = self._cost(one.key, one.numbers) + self._cost(other.key, other.numbers)
        gain = apart - self._cost(one.key, whole)
        if gain <= 0:
            return 0.0
        suspects = rank([failure for number in sorted(whole) for failure in self._units[number]], self._spectrum)
        return gain if one.key in {suspect.key for suspect in suspects[:EXPLAINING]} else 0.0

    def _group(self, explained: _Explained) -> FailureGroup:
        failures = tuple(failure for number in sorted(explained.numbers) for failure in self._units[number])
        return FailureGroup(failures, tuple(self._group(part) for part in explained.parts))

    def _price(self, key: FunctionKey, numbers: Set[int]) -> float:
        """Return nats for each of the units that the function would explain."""
        return self._cost(key, numbers) / len(numbers)

    def _cost(self, key: FunctionKey, numbers: Set[int]) -> float:
        spectrum = self._spectrum
        failing = sum(len(self._units[number]) for number in numbers)
        passing = spectrum.by_passing[key]
        health = passing / (passing + failing)  # the likeliest chance that a test which executes it passes
        surprise = -failing * math.log(1 - health) - (passing * math.log(health) if passing else 0.0)
        absent = sum(_absence(self._units[number], key, spectrum) for number in numbers)
        trivial = TRIVIAL if key in spectrum.trivial else 0.0
        return ONE_MORE + surprise + trivial + NOT_IN_TRACEBACK * absent

    def _order(self, key: FunctionKey) -> tuple[int, str, int]:
        return self._spectrum.by_passing[key], key.path, key.first_line


def _executed(unit: Unit, spectrum: Spectrum) -> frozenset[FunctionKey]:
    """Return what every case of a test executes, else what any does."""
    found = [spectrum.executed[failure.node_id] for failure in unit]
    return frozenset.intersection(*found) or frozenset().union(*found)


def _absence(unit: Unit, key: FunctionKey, spectrum: Spectrum) -> float:
    """Return how far a function is from the innermost frame: 0 there, 1 outside of a traceback that has others."""
    frames = spectrum.frames[unit[0].node_id]
    return 1.0 - frames.get(key, 0.0) if frames else 0.0


def _united(
    parts: Sequence[FailureGroup],
    spectrum: Spectrum,
    tidy: Callable[[Sequence[FailureGroup]], tuple[TestFailure, ...]],
) -> list[FailureGroup]:
    """Unite the groups that share a suspect, as long as one function explains enough of them."""
    explaining = [{suspect.key for suspect in rank(part.failures, spectrum)[:EXPLAINING]} for part in parts]
    left, found = list(range(len(parts))), []
    while True:
        votes = Counter(key for number in left for key in explaining[number])
        best = max(votes, key=lambda key: (votes[key], -spectrum.by_passing[key], key.path, key.qualname), default=None)
        if best is None or votes[best] < UNITED:
            break
        together = [number for number in left if best in explaining[number]]
        members = [parts[number] for number in together]
        found.append(FailureGroup(tidy(members), tuple(members)))
        left = [number for number in left if number not in set(together)]
    return [*found, *(replace(parts[number], failures=tidy([parts[number]])) for number in left)]

"""What a difference between two rates is worth: intervals and p-values for outcomes paired by case.

Pure functions on truth values; the only randomness is the seeded bootstrap.
Sources: Wilson 1927 (score interval), Efron 1979 (percentile bootstrap), McNemar 1947 in its exact form (a two-sided
binomial test on the cases in which the two disagree), Holm 1979 (several comparisons at once).
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95
ROUNDS = 10_000


@dataclass(frozen=True, slots=True)
class Interval:
    """Both ends belong to it."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two arms on the same cases: the first's rate less the second's.

    only_first, only_second: cases that one of the two alone has right. p: exact McNemar, two-sided.
    """

    cases: int
    difference: float
    interval: Interval
    only_first: int
    only_second: int
    p: float


def wilson(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """Return the score interval of a rate; the whole of [0, 1] without trials. Raises ValueError for other counts."""
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no rate")
    if not trials:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rate, spread = successes / trials, z * z / trials
    centre = rate + spread / 2
    reach = z * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    low = 0.0 if successes == 0 else (centre - reach) / (1 + spread)
    high = 1.0 if successes == trials else (centre + reach) / (1 + spread)
    return Interval(low, high)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided exact p-value that the two disagree in so unequal a way by chance; 1 if they never do."""
    trials, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(trials, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2.0**trials)


def paired_bootstrap(
    first: Sequence[bool], second: Sequence[bool], *, seed: int = 0, rounds: int = ROUNDS, level: float = LEVEL
) -> Interval:
    """Return the percentile interval of the difference in rates when whole cases are drawn again, with replacement.

    The two are paired: place i of both is one case. Raises ValueError when they differ in length or hold nothing.
    """
    signs = [int(a) - int(b) for a, b in zip(first, second, strict=True)]
    if not signs:
        raise ValueError("there is no case to compare")
    rng = random.Random(seed)
    size, tally = len(signs), Counter(signs)
    values, weights = list(tally), list(tally.values())
    means = sorted(sum(rng.choices(values, weights, k=size)) / size for _ in range(rounds))
    skipped = (1 - level) / 2 * (rounds - 1)
    return Interval(means[math.floor(skipped)], means[math.ceil(rounds - 1 - skipped)])


def difference(first: Sequence[bool], second: Sequence[bool], *, seed: int = 0, rounds: int = ROUNDS) -> Difference:
    """Return how much more often `first` is right than `second` on the same cases."""
    interval = paired_bootstrap(first, second, seed=seed, rounds=rounds)
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    rate = (only_first - only_second) / len(first)
    return Difference(len(first), rate, interval, only_first, only_second, mcnemar(only_first, only_second))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted so that the chance of any false alarm among them is bounded, in the same order."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = largest
    return adjusted

"""How long the tests may take on one variant: told by what they take with the function as it is.

A body whose loop does not end is the dearest of all, and searches meet many: a limit fit for any test would let each
cost as much as hundreds of others.
"""

from __future__ import annotations

from collections.abc import Sequence

from runners.runner import Limits, TestRun

TIMES = 10.0  # what the tests usually take,
SLOW_TIMES = 3.0  # or so many where that is beyond the limit for any execution
ENDLESS_LEAST = 2.0  # where the function as it is does not end, so many times the least: nobody knows what is usual


def for_calibration(limits: Limits, truth: Sequence[TestRun]) -> float:
    """Return the seconds for the function as it is, by its tests' cold runs; those that hang need not hang for long."""
    usual = sum(run.duration_s for run in truth if run.outcome != "timeout")
    if any(run.outcome == "timeout" for run in truth):
        return for_variants(limits, usual, endless=True)
    return max(limits.execution_timeout_s, SLOW_TIMES * usual)


def for_variants(limits: Limits, usual_s: float, *, endless: bool) -> float:
    """Return the seconds for a variant. usual_s: what all tests usually take, if known; endless: one hangs."""
    least = limits.execution_least_s * (ENDLESS_LEAST if endless else 1.0)
    return max(
        min(least, limits.execution_timeout_s), min(TIMES * usual_s, limits.execution_timeout_s), SLOW_TIMES * usual_s
    )

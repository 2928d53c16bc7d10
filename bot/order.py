"""Finds out whether a test that passes alone fails only after other tests, and after which.

Runs tests through the runner only: first what comes before it in its own file, then all that comes before it; where it
fails again, the tests before it are halved until one is left. The last answer is asked for once more, so that chance is
not taken for order. What it may cost is bounded in runs and in seconds of test time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runners.runner import Runner, SuiteRequest

RUNS = 24  # at most, for one test
SECONDS = 120.0  # of running time, for one test


@dataclass(slots=True)
class _Trial:
    """What still may be run."""

    runner: Runner
    victim: str
    runs: int = RUNS
    seconds: float = SECONDS

    def fails_after(self, before: Sequence[str]) -> bool:
        """Return whether the test fails after these; False when there is nothing left to find out with."""
        if self.runs <= 0 or self.seconds <= 0:
            return False
        suite = self.runner.run_suite(SuiteRequest(node_ids=(*before, self.victim)))
        self.runs, self.seconds = self.runs - 1, self.seconds - suite.duration_s
        run = suite.by_id().get(self.victim)
        return run is not None and run.failing


def culprits(runner: Runner, victim: str, before: Sequence[str], duration_s: float) -> tuple[str, ...]:
    """Return the tests after which `victim` fails, one if that is enough; () if it does not depend on its order.

    before: the tests that came before it, in order; duration_s: what they took. All of them are only run when that is
    affordable.
    """
    trial = _Trial(runner, victim)
    path = victim.partition("::")[0]
    own = [node_id for node_id in before if node_id.partition("::")[0] == path]
    if own and trial.fails_after(own):
        found = _narrowed(trial, own)
    elif len(own) < len(before) and duration_s <= SECONDS / 4 and trial.fails_after(before):
        found = _narrowed(trial, list(before))
    else:
        return ()
    trial.runs, trial.seconds = max(trial.runs, 1), max(trial.seconds, 1.0)
    return tuple(found) if trial.fails_after(found) else ()


def _narrowed(trial: _Trial, before: list[str]) -> list[str]:
    """Return fewer tests after which it fails still."""
    while len(before) > 1:
        middle = len(before) // 2
        half = next((part for part in (before[middle:], before[:middle]) if trial.fails_after(part)), None)
        if half is None:  # it takes several of them, or there is no time left
            break
        before = half
    return before

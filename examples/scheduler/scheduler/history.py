"""What ran, when, and how it ended."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    job: str
    started: float
    seconds: float
    error: str = ""

    @property
    def ok(self):
        return not self.error


class History:
    """The last `size` runs of all jobs."""

    def __init__(self, size=100):
        self._runs = deque(maxlen=size)

    def add(self, run):
        self._runs.append(run)

    def of(self, job):
        return [run for run in self._runs if run.job == job]

    def failures_in_a_row(self, job):
        """Return how many of the latest runs of `job` failed without a success since."""
        count = 0
        for run in reversed(self.of(job)):
            if run.ok:
                break
            count += 1
        return count

    def __len__(self):
        return len(self._runs)

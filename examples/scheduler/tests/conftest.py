import asyncio

import pytest

from scheduler import Clock


class ManualClock(Clock):
    """A clock that only moves when somebody sleeps."""

    def __init__(self):
        self.time = 0.0
        self.sleeps = []

    def now(self):
        return self.time

    async def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


class Flaky:
    """A coroutine function that fails a number of times before it answers."""

    def __init__(self, failures, error=OSError("no route")):
        self.failures = failures
        self.error = error
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "done"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def flaky():
    return Flaky

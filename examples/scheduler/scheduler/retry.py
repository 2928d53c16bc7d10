"""Calling a coroutine function again when it fails."""

import functools
from dataclasses import dataclass

from scheduler.clock import SystemClock


@dataclass(frozen=True)
class RetryPolicy:
    """How often to try, and how long to wait in between.

    The first pause lasts `first_pause` seconds, each further one `factor` times as long as the one before, but none
    longer than `longest_pause`. Exceptions other than `retry_on` are passed on at once.
    """

    attempts: int = 3
    first_pause: float = 1.0
    factor: float = 2.0
    longest_pause: float = 60.0
    retry_on: tuple = (Exception,)

    def __post_init__(self):
        if self.attempts < 1:
            raise ValueError("at least one attempt is needed")
        if self.first_pause < 0 or self.factor < 1:
            raise ValueError("pauses must not be negative and must not shrink")


def retrying(policy, clock=None):
    """Return a decorator that retries a coroutine function as `policy` says."""
    clock = clock or SystemClock()

    def decorate(function):
        @functools.wraps(function)
        async def attempt(*args, **kwargs):
            pause = policy.first_pause
            for number in range(1, policy.attempts + 1):
                try:
                    return await function(*args, **kwargs)
                except policy.retry_on:
                    if number == policy.attempts:
                        raise
                await clock.sleep(pause)
                pause = max(pause * policy.factor, policy.longest_pause)

        return attempt

    return decorate

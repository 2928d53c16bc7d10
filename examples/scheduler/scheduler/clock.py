"""Where time comes from."""

import asyncio
import time


class Clock:
    """What the scheduler asks of a clock. Seconds count from an arbitrary start and never go back."""

    def now(self):
        raise NotImplementedError

    async def sleep(self, seconds):
        raise NotImplementedError


class SystemClock(Clock):
    def now(self):
        return time.monotonic()

    async def sleep(self, seconds):
        await asyncio.sleep(seconds)

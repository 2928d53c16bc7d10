"""The loop that starts jobs when they are due."""

import asyncio

from scheduler.clock import SystemClock
from scheduler.history import History, Run


class Job:
    def __init__(self, name, interval, function, due):
        self.name = name
        self.interval = interval
        self.function = function
        self.due = due
        self.paused = False


class Scheduler:
    """Starts what is due, at most `limit` jobs at once, and waits for them before it looks at the clock again."""

    def __init__(self, clock=None, limit=4, history=None):
        self.clock = clock or SystemClock()
        self.history = history or History()
        self._limit = limit
        self._jobs = {}

    def add(self, name, interval, function):
        if name in self._jobs:
            raise ValueError(f"there is a job {name!r} already")
        self._jobs[name] = Job(name, interval, function, self.clock.now() + interval.seconds)
        return self._jobs[name]

    def pause(self, name):
        self._jobs[name].paused = True

    def resume(self, name):
        job = self._jobs[name]
        job.paused = False
        job.due = job.interval.next_after(job.due, self.clock.now())

    def due(self):
        """Return the jobs to start now, the longest overdue first."""
        now = self.clock.now()
        ready = [job for job in self._jobs.values() if not job.paused and job.due <= now]
        return sorted(ready, key=lambda job: job.due)

    async def run_pending(self):
        """Run everything that is due; return how many jobs that were."""
        slots = asyncio.Semaphore(self._limit)

        async def run(job):
            async with slots:
                await self._run(job)

        jobs = self.due()
        await asyncio.gather(*(run(job) for job in jobs))
        return len(jobs)

    async def run_until(self, end):
        """Run jobs as they come due until the clock says `end`."""
        while self.clock.now() < end:
            await self.run_pending()
            upcoming = [job.due for job in self._jobs.values() if not job.paused]
            wake = min([*upcoming, end])
            await self.clock.sleep(max(wake - self.clock.now(), 0))

    async def _run(self, job):
        started = self.clock.now()
        job.due = job.interval.next_after(job.due, started)
        error = ""
        try:
            await job.function()
        except Exception as exception:
            error = f"{type(exception).__name__}: {exception}"
        self.history.add(Run(job.name, started, self.clock.now() - started, error))

"""Runs periodic coroutines in one asyncio program."""

from scheduler.clock import Clock, SystemClock
from scheduler.history import History, Run
from scheduler.interval import Every
from scheduler.retry import RetryPolicy, retrying
from scheduler.scheduler import Job, Scheduler

__all__ = [
    "Clock",
    "Every",
    "History",
    "Job",
    "RetryPolicy",
    "Run",
    "Scheduler",
    "SystemClock",
    "retrying",
]

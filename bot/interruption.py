"""Lets a signal end a run in good order: as an exception in the main thread, so that everything is closed on its way.

Python drops an exception that a signal raises where exceptions are ignored, such as in the hooks around a fork, and a
run forks often. Such an interruption is noticed and raised again a moment later.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN_S = 0.05


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM, which CI sends to cancel a job, act as Ctrl-C does, and lose neither; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGALRM)}
    told = sys.unraisablehook

    def notice(lost: UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        else:
            told(lost)

    sys.unraisablehook = notice
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = told
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt

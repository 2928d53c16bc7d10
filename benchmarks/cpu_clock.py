"""A clock that counts CPU-seconds: of this process and of everything it started, sandboxes included.

Equal CPU-seconds are an equal budget whatever else runs on the machine. Linux only: the numbers are those of /proc.
A process that was waited for counts in its parent's `cutime`, so forks that a sandbox killed and reaped are in it. What
nobody reaps is lost with the sandbox's name space, so a thread looks often and keeps the most that each process tree
ever showed; what a tree uses after the last look, a few milliseconds, is not counted.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

LOOK_S = 0.02  # between two looks at the processes
_TICKS = os.sysconf("SC_CLK_TCK")
Tree = tuple[int, int]  # pid and start time of a direct child: a number alone may be used again


class CpuClock:
    """Call it for the CPU-seconds so far. Use as a context manager; trees that ended while it was not open are missed.

    In a container engine's sandboxes nothing is a child of this process: there it sees this process alone.
    """

    def __init__(self) -> None:
        """Raises OSError where the kernel does not tell the children of a process."""
        if not Path(f"/proc/self/task/{threading.get_native_id()}/children").exists():
            raise OSError("CPU-seconds of sandboxes can only be counted on Linux with /proc/PID/task/TID/children.")
        self._most: dict[Tree, int] = {}  # ticks of each tree, the most that was seen
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="cpu clock", daemon=True)

    def __call__(self) -> float:
        with self._lock:
            self._look()
            return time.process_time() + sum(self._most.values()) / _TICKS

    def __enter__(self) -> CpuClock:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_S):
            with self._lock:
                self._look()

    def _look(self) -> None:
        for pid in _children(os.getpid()):
            seen = _stat(pid)
            if seen is not None:
                tree = pid, seen[1]
                self._most[tree] = max(self._most.get(tree, 0), seen[0] + sum(_below(pid)))


def _below(pid: int) -> Iterator[int]:
    """Yield the ticks of every descendant; parents first, so that a child reaped meanwhile is missed, not doubled."""
    for child in _children(pid):
        seen = _stat(child)
        if seen is not None:
            yield seen[0]
            yield from _below(child)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):  # it ended
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_bytes().split())
    return found


def _stat(pid: int) -> tuple[int, int] | None:
    """Return (utime + stime + cutime + cstime in ticks, start time) of a process, None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return sum(map(int, fields[11:15])), int(fields[19])

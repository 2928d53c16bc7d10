"""A process among others: its children, what it may use, what it has of its parent."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterable

from runners.harness.kept import clock_gettime, kill, monotonic, open_file, sleep
from runners.harness.syscalls import PR_SET_DUMPABLE, PR_SET_PDEATHSIG, prctl


def children() -> set[int]:
    """Return the ids of this process's children, orphans of its descendants included."""
    try:
        with open_file(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            return {int(pid) for pid in file.read().split()}
    except OSError:
        return {pid for pid in _processes() if _parent(pid) == os.getpid()}


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parent(pid: int) -> int:
    try:
        with open_file(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def cpu_seconds(pid: int) -> float:
    """Return what a process has used of the processors, 0.0 when it is gone.

    Opens no file: that takes kernel memory, for which one waits long in a container that has run out of it.
    """
    try:
        return clock_gettime(~pid << 3 | 2)  # its clock, numbered as by clock_getcpuclockid(3)
    except OSError:
        return 0.0


def sweep(keep: set[int]) -> bool:
    """Kill and reap every child but `keep`; their orphans become children in turn. Return whether none is left."""
    end = monotonic() + 3
    while True:
        alive = children() - keep
        if not alive:
            return True
        for pid in alive:
            with contextlib.suppress(OSError):
                kill(pid, signal.SIGKILL)
        for pid in alive:
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)
        if monotonic() > end:
            return False
        sleep(0.0005)


def set_limit(kind: int, value: float) -> None:
    """Limit a resource of this process, for good, as far as its hard limit allows."""
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(kind)[1]
        value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        resource.setrlimit(kind, (value, value))


def become_child(close: Iterable[int], seconds: float, file_mib: int) -> None:
    """Turn a fresh fork into the process that runs code of the repository."""
    detach(close)
    cap(seconds, file_mib)


def detach(close: Iterable[int]) -> None:
    """Make a fresh fork a group of its own that ends with its parent and has none of its descriptors."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    for descriptor in close:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(PR_SET_DUMPABLE, 1)
    with contextlib.suppress(OSError), open_file("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    set_limit(resource.RLIMIT_CORE, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def cap(seconds: float, file_mib: int) -> None:
    """Limit what this process may use; the time is only a backstop behind the parent's deadline."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    set_limit(resource.RLIMIT_CPU, used.ru_utime + used.ru_stime + seconds + 2)
    set_limit(resource.RLIMIT_FSIZE, file_mib << 20)

"""What confines this process, by what the kernel says."""

from __future__ import annotations

import contextlib
import socket

from runners.harness.kept import open_file
from runners.harness.syscalls import PR_GET_NO_NEW_PRIVS


def own_status() -> dict[str, str]:
    """Return what the kernel says of this process: capabilities, new privileges, filters of system calls."""
    import ctypes

    wanted = ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Seccomp_filters")
    found = {"NoNewPrivs": str(ctypes.CDLL(None).prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))}  # gVisor's file lacks it
    with contextlib.suppress(OSError), open_file("/proc/self/status") as file:
        pairs = (line.split(":", 1) for line in file if ":" in line)
        found.update((name, value.strip()) for name, value in pairs if name in wanted)
    return found


MAX_FILES = 1024  # open at once
_LIMITS = {  # under /sys/fs/cgroup: version 2, version 1
    "memory": ("memory.max", "memory/memory.limit_in_bytes"),
    "processes": ("pids.max", "pids/pids.max"),
    "processor time": ("cpu.max", "cpu/cpu.cfs_quota_us"),
}


def own_limits() -> dict[str, str]:
    """Return what our control group says it is limited to; nothing of what cannot be read."""
    found = {}
    for name, paths in _LIMITS.items():
        for path in paths:
            with contextlib.suppress(OSError, UnicodeDecodeError), open_file("/sys/fs/cgroup/" + path) as file:
                found[name] = file.read(80).strip()
    return found


def interfaces() -> list[str]:
    """Return the names of the network interfaces that can be seen."""
    try:
        return sorted(name for _, name in socket.if_nameindex())
    except OSError:
        return []

"""Filters of system calls, and the settings of a process that only the kernel keeps."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
from collections.abc import Callable


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process that Python has no function for."""
    import ctypes

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_GET_NO_NEW_PRIVS = 1, 4, 36, 39

# System calls that tests have no use for and kernels had holes in: (name, (number on x86-64, on aarch64), errno).
_DENIED = (
    ("io_uring_setup", (425, 425), errno.ENOSYS),
    ("io_uring_enter", (426, 426), errno.ENOSYS),
    ("io_uring_register", (427, 427), errno.ENOSYS),
    ("bpf", (321, 280), errno.EPERM),
    ("perf_event_open", (298, 241), errno.EPERM),
    ("userfaultfd", (323, 282), errno.EPERM),
    ("add_key", (248, 217), errno.EPERM),
    ("request_key", (249, 218), errno.EPERM),
    ("keyctl", (250, 219), errno.EPERM),
    ("unshare", (272, 97), errno.EPERM),
    ("setns", (308, 268), errno.EPERM),
    ("mount", (165, 40), errno.EPERM),
    ("umount2", (166, 39), errno.EPERM),
    ("pivot_root", (155, 41), errno.EPERM),
    ("fsopen", (430, 430), errno.EPERM),
    ("open_tree", (428, 428), errno.EPERM),
    ("move_mount", (429, 429), errno.EPERM),
    ("mount_setattr", (442, 442), errno.EPERM),
    ("ptrace", (101, 117), errno.EPERM),
    ("process_vm_readv", (310, 270), errno.EPERM),
    ("process_vm_writev", (311, 271), errno.EPERM),
    ("pidfd_getfd", (438, 438), errno.EPERM),
    ("kexec_load", (246, 104), errno.EPERM),
    ("init_module", (175, 105), errno.EPERM),
    ("finit_module", (313, 273), errno.EPERM),
    ("open_by_handle_at", (304, 265), errno.EPERM),
)
_MACHINES = {"x86_64": (0xC000003E, 0, 317), "aarch64": (0xC00000B7, 1, 277)}  # audit name, column above, seccomp


def _filter_program(machine: str) -> bytes:
    """Return the BPF program that denies `_DENIED` on a machine, and everything of another calling convention."""
    audit, column, _ = _MACHINES[machine]
    load, equal, above, answer = 0x20, 0x15, 0x35, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, audit), (answer, 0, 0, 0x50000 | errno.ENOSYS), (load, 0, 0, 0)]
    if machine == "x86_64":  # the x32 numbers are the same calls under other names
        program += [(above, 0, 1, 0x40000000), (answer, 0, 0, 0x50000 | errno.ENOSYS)]
    for _, numbers, error in _DENIED:
        program += [(equal, 0, 1, numbers[column]), (answer, 0, 0, 0x50000 | error)]
    return b"".join(struct.pack("HBBI", *step) for step in [*program, (answer, 0, 0, 0x7FFF0000)])


# System calls that name a process: (numbers as above, the argument that names it). What a zygote's children may not
# call with its own id, nor with -1, which means everybody: one that is stopped or slowed down would hold up the run.
_ADDRESSED = (
    ("kill", (62, 129), 0),
    ("tkill", (200, 130), 0),
    ("tgkill", (234, 131), 0),
    ("rt_sigqueueinfo", (129, 138), 0),
    ("rt_tgsigqueueinfo", (297, 240), 0),
    ("pidfd_open", (434, 434), 0),
    ("prlimit64", (302, 261), 0),
    ("sched_setaffinity", (203, 122), 0),
    ("sched_setscheduler", (144, 119), 0),
    ("setpriority", (141, 140), 1),
    ("setpgid", (109, 154), 1),
)
_PIDFD_SEND_SIGNAL = (424, 424)


def _shield_program(machine: str, pid: int) -> bytes:
    """Return the BPF program under which nobody can signal, limit or join the process `pid`, a group leader."""
    column = _MACHINES[machine][1]
    load, equal, answer = 0x20, 0x15, 0x06
    refuse = (answer, 0, 0, 0x50000 | errno.EPERM)
    values = (pid, 0xFFFFFFFF, (1 << 32) - pid)
    program = [(load, 0, 0, 0), (equal, 0, 1, _PIDFD_SEND_SIGNAL[column]), refuse]
    for _, numbers, place in _ADDRESSED:
        program += [(load, 0, 0, 0), (equal, 0, 1 + 2 * len(values), numbers[column]), (load, 0, 0, 16 + 8 * place)]
        for value in values:
            program += [(equal, 0, 1, value), refuse]
    return b"".join(struct.pack("HBBI", *step) for step in [*program, (answer, 0, 0, 0x7FFF0000)])


def deny_calls() -> bool:
    """Put our own filter of system calls on top of the engine's; bubblewrap brings none. Return whether that worked."""
    return _filter(_filter_program)


def shield() -> bool:
    """Put this process in a group of its own and out of reach of its future children. Return whether that worked."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    return _filter(lambda machine: _shield_program(machine, os.getpid()))


def _filter(program_for: Callable[[str], bytes]) -> bool:
    """Install a filter of system calls for this process and its children, for good. Return whether that worked.

    Only where new privileges are ruled out already: elsewhere the kernel wants that first, and it would change tests.
    """
    import ctypes

    machine = os.uname().machine
    library = ctypes.CDLL(None, use_errno=True)
    if machine not in _MACHINES or sys.maxsize < 1 << 32 or library.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        return False
    program = program_for(machine)
    steps = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(steps)))
    if library.syscall(_MACHINES[machine][2], 1, 4, header) == 0:  # SET_MODE_FILTER, without slowing speculation down
        return True
    return bool(library.prctl(22, 2, header) == 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER

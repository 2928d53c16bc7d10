"""What a run that was killed leaves behind: by what it is known as ours, and when it may be cleared away.

Containers and control groups carry the name of their owner: machine, process, and when that process started. A folder
is locked by the process that uses it; the kernel drops the lock with the process, in whatever way that ends, and knows
of it in every container of the machine. The next run clears away what has an owner no more, and touches nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

LABEL, OWNER = "egcfg-fix.sandbox", "egcfg-fix.owner"  # of containers
_PREFIX = "egcfg-fix-scratch-"
_NAME = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]{8}")  # as `mkdtemp` ends its names
_TRIES = 100


def this_process() -> str:
    """Return what no other process of this machine was or will be called, as `pid-start`."""
    pid = os.getpid()
    return f"{pid}-{_started(pid)}"


def ended(process: str) -> bool:
    """Say whether the process of this machine that `this_process` gave that name has ended."""
    pid, _, started = process.partition("-")
    if not pid.isdigit():
        return True
    known = _started(int(pid))
    return known != started if known else not _hidden(int(pid))


def owner() -> str:
    """Return the name of this process among those of several machines that share an engine."""
    return f"{socket.gethostname()}/{this_process()}"


def abandoned(name: str) -> bool:
    """Say whether the owner of that name was a process of this machine and has ended."""
    host, _, process = name.partition("/")
    return host == socket.gethostname() and ended(process)


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _hidden(pid: int) -> bool:
    """Say whether a process exists of which /proc shows this user nothing."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


class Scratch:
    """A new folder for temporary files, ours alone until `close` or the end of this process. Also a context manager."""

    def __init__(self, place: Path | None = None) -> None:
        """Make it in `place`, by default the folder for temporary files. Raises OSError when that is impossible."""
        for _ in range(_TRIES):
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
            lock = _locked(self.path)
            if lock is not None:
                self._lock = lock
                return
        raise OSError(errno.EAGAIN, "other processes remove it again and again", str(self.path))

    def close(self) -> None:
        """Remove the folder with everything in it. A second call does nothing."""
        if self._lock >= 0:
            remove(self.path)
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


def sweep_folders(place: Path | None = None) -> list[Path]:
    """Remove the scratch folders in `place` whose process has ended, this user's only; return their paths.

    Where the file system knows no locks nothing is removed, since nobody can tell.
    """
    parent = place or Path(tempfile.gettempdir())
    try:
        names = [name for name in os.listdir(parent) if _NAME.fullmatch(name)]
    except OSError:
        return []
    return [parent / name for name in names if _sweep_folder(parent / name)]


def _sweep_folder(folder: Path) -> bool:
    try:
        about = folder.lstat()
        if about.st_uid != os.geteuid() or not stat.S_ISDIR(about.st_mode):
            return False
        lock = _descriptor(folder)
    except OSError:  # gone meanwhile, or a link by now
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is(folder, lock):
            return False
        remove(folder)
    except OSError:  # in use, or there are no locks
        return False
    finally:
        os.close(lock)
    return not os.path.lexists(folder)


def _locked(folder: Path) -> int | None:
    """Return a descriptor that holds the folder's lock; None when a sweep came first and takes the folder away."""
    try:
        lock = _descriptor(folder)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError:  # no locks here: then no sweep can take one either
        return lock
    if _is(folder, lock):
        return lock
    os.close(lock)
    return None


def _descriptor(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _is(folder: Path, descriptor: int) -> bool:
    """Say whether the open folder is still the one of that name."""
    try:
        return os.path.samestat(folder.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def remove(folder: Path) -> None:
    """Remove a folder with everything in it, as far as possible; links are not followed."""
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):  # folders that a test made unreadable
        _open_up(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _open_up(folder: Path) -> None:
    with suppress(OSError):
        folder.chmod(0o700)
        with os.scandir(folder) as entries:
            inner = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        for path in inner:
            _open_up(path)

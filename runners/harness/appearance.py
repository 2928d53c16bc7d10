"""What code of the repository finds around it: folder, paths, streams and signals as under a shell's pytest."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from typing import Any

from runners.harness.kept import open_file


def enter(root: str) -> None:
    """Make the repository the current folder, as a shell does."""
    os.chdir(root)
    os.environ["PWD"] = root


def seem_captured() -> None:
    """Let the standard streams behave as under pytest's capture, which warm runs go without.

    It holds what was written in a file, and children of one process would share its position.
    """
    streams: tuple[Any, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(encoding="utf-8", errors="replace")
    with contextlib.suppress(ImportError, AttributeError):
        sys.stdin = importlib.import_module("_pytest.capture").DontReadFromInput()


def seem_started_by_a_shell() -> None:
    """Look like an interpreter that runs the pytest command, whatever started us, and how."""
    sys.argv[:] = [os.path.join(os.path.dirname(sys.executable), "pytest")]
    os.environ.pop("PYTHONHASHSEED", None)  # for us alone: what a test starts is as random as ever
    for number in set(signal.valid_signals()) - {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is signal.SIG_IGN:  # as for jobs in the background
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def redirect(path: str) -> None:
    """Point descriptors 0 to 2 away from our channels."""
    null = os.open(os.devnull, os.O_RDWR)
    sink = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.close(null)
    os.close(sink)


def tail(path: str, size: int) -> str:
    """Return the last `size` bytes of a file as text, and remove it; "" if it is not there any more."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with open_file(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - size))
        data = file.read(size)
    with contextlib.suppress(OSError):
        os.unlink(path)
    return data.decode("utf-8", "replace")


def remap(was: str, root: str) -> None:
    """Let an editable installation of the checkout mean the copy in the sandbox."""
    for place, entry in enumerate(sys.path):
        if entry == was or entry.startswith(was + os.sep):
            sys.path[place] = root + entry[len(was) :]
    for finder in sys.meta_path:
        names = getattr(sys.modules.get(getattr(finder, "__module__", "")), "MAPPING", None)
        if isinstance(names, dict):
            for name, path in list(names.items()):
                if isinstance(path, str) and (path == was or path.startswith(was + os.sep)):
                    names[name] = root + path[len(was) :]
    sys.path_importer_cache.clear()

"""Whether a swap of code is the same as an import of the patched file, by what collection has done and left open."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
from collections.abc import Collection
from types import FrameType

from runners.harness.kept import open_file
from runners.harness.places import Places
from runners.harness.variants import Functions, Variants


class Watch:
    """Notices a call of the target during collection: its results would be old under a swap."""

    def __init__(self, variants: Variants) -> None:
        self.called = False
        name, line = variants.qualname.rpartition(".")[2], variants.first_line
        real = os.path.realpath(variants.file)

        def profile(frame: FrameType, event: str, _argument: object) -> None:
            seen = frame.f_code
            same = event == "call" and seen.co_firstlineno == line and seen.co_name == name
            if same and os.path.realpath(seen.co_filename) == real:
                self.called = True

        self.profile = profile
        threading.setprofile(profile)
        sys.setprofile(profile)

    def stop(self) -> bool:
        """Return whether it could watch all the time: nobody else set a profiler."""
        watched = sys.getprofile() is self.profile
        sys.setprofile(None)
        threading.setprofile(None)
        return watched


def not_swappable(variants: Variants, functions: Functions, places: Places) -> str:
    """Say why the code that was imported cannot be swapped, "" if it can."""
    innermost = len(variants.original) - 1
    if not any(place == innermost for _, place in functions) and not (innermost > 0 and functions):
        return "no such function was imported"
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and places.relative(file) == variants.path:
            loader = getattr(getattr(module, "__spec__", None), "loader", None)
            if type(loader).__name__ == "AssertionRewritingHook":
                return "its module is rewritten by pytest"
    return variants.copied(functions)


def shares_state(descriptors: Collection[str]) -> str:
    """Say what collection left that all children would share: more descriptors than these, threads; "" if nothing."""
    for name in set(os.listdir("/proc/self/fd")) - set(descriptors):
        with contextlib.suppress(OSError):  # the listing's own
            if not stat.S_ISCHR(os.fstat(int(name)).st_mode):  # pytest holds /dev/null, others /dev/urandom
                return "a file or socket is open after collection"
    with open_file("/proc/self/status") as file:
        threads = next(int(line.split()[1]) for line in file if line.startswith("Threads"))
    return f"{threads} threads are running" if threads != 1 else ""


def foreign_modules(before: Collection[str], places: Places) -> list[str]:
    """Return the modules that were imported since and that are not the repository's, in order of import."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        spec = getattr(module, "__spec__", None)
        if name in before or not isinstance(file, str) or getattr(spec, "name", None) != name:
            continue
        loaded_by = type(getattr(spec, "loader", None)).__module__
        if not places.relative(file) and loaded_by.startswith("_frozen_importlib"):
            found.append(name)
    return found

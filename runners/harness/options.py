"""The arguments of a run, and those of a repository's own options and plugins that would make it another run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

# Plugins that run a test again until it passes, or shuffle the tests.
REPEATING = frozenset({"flaky", "pytest_rerunfailures", "random_order"})

# Options that a repository may have in addopts and that would leave tests out, run them twice, elsewhere or in another
# order, or wait for a person. They are set back one by one, since a plugin that is switched off knows its options no
# more and pytest then refuses all of addopts.
_TAMED: dict[str, Any] = {
    "lf": False, "failedfirst": False, "newfirst": False, "stepwise": False, "stepwise_skip": False,
    "collectonly": False, "setuponly": False, "setupplan": False, "usepdb": False, "trace": False, "maxfail": 0,
    "numprocesses": None, "dist": "no", "distload": False, "tx": [], "looponfail": False, "forked": False,
    "no_cov": True, "randomly_reorganize": False, "testmon": False, "picked": None, "reverse": False,
}  # fmt: skip


def tame(options: Any) -> None:
    """Set back pytest's parsed options, as far as this run has them."""
    for name, value in _TAMED.items():
        if hasattr(options, name):
            setattr(options, name, value)


def pytest_arguments(root: str, files: Iterable[str], extra: Iterable[str], tmp: str = "") -> list[str]:
    """Return the arguments of a run. The cache is an empty one: what failed here before must not choose the tests."""
    cache = os.path.join(tmp or "/tmp", f".egcfg-cache-{os.getpid()}")
    return ["--rootdir=" + root, "-o", "cache_dir=" + cache, "--continue-on-collection-errors", *extra, *files]


def files_of(nodes: Iterable[str], root: str) -> list[str]:
    """Return the files that hold these tests and exist, each once, in order."""
    files: list[str] = []
    for node in nodes:
        name = node.split("::")[0]
        if name not in files and os.path.exists(os.path.join(root, name)):
            files.append(name)
    return files

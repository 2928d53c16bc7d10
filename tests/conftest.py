"""What many tests share.

`repo`: a git repository made from a dict of files. `runner`: a local runner on it, closed after the last test.
`counterparts`: where .ci/counterparts put GitHub's own programs and data. `github_front`: a GitHub made of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runners.local import LocalRunner
from runners.runner import Limits, Runner

if TYPE_CHECKING:
    from tests.github_front import Front

Files = Mapping[str, str | bytes]
MakeRepo = Callable[[Files], Path]
MakeRunner = Callable[..., Runner]
COUNTERPARTS = Path(__file__).resolve().parents[1] / ".cache" / "counterparts"

GIT = ("-c", "user.name=Tests", "-c", "user.email=tests@example.org", "-c", "commit.gpgsign=false")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole-library", action="store_true", help="splice every function of the standard library")


def pytest_configure() -> None:
    """Let the programs that tests start hear Ctrl-C, also where a shell started pytest in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repo(tmp_path_factory: pytest.TempPathFactory) -> MakeRepo:
    """Return a function that writes files (path -> text or bytes) into a new git repository and commits them."""

    def make(files: Files) -> Path:
        root = tmp_path_factory.mktemp("repository")
        for path, content in files.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        for command in (["init", "--quiet", "--initial-branch=main"], ["add", "--all"]):
            subprocess.run(["git", *GIT, *command], cwd=root, check=True)
        commit = ["commit", "--quiet", "--no-verify", "--allow-empty", "--message=First"]
        subprocess.run(["git", *GIT, *commit], cwd=root, check=True)
        return root

    return make


@pytest.fixture(scope="session")
def runner() -> Iterator[MakeRunner]:
    """Return a function that opens a local runner on a repository; bare where bubblewrap does not work."""
    opened: list[Runner] = []

    def make(root: Path, limits: Limits | None = None) -> Runner:
        limits = limits or Limits(suite_timeout_s=60, test_timeout_s=5)
        opened.append(LocalRunner(root, limits, python=sys.executable, unsafe=True))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture(scope="session")
def counterparts() -> Path:
    """Return the folder with bin/node, node_modules and lint.cjs. Skips without it; in CI that fails."""
    if not list(COUNTERPARTS.glob(".installed-*")):
        said = "needs what .ci/counterparts installs"
        if os.environ.get("CI"):
            pytest.fail(f"{said}; it has not run")
        pytest.skip(said)
    return COUNTERPARTS


@pytest.fixture(scope="session")
def github_front(counterparts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """An emulator of GitHub's API behind GitHub's description of it, one for all tests."""
    from tests.github_front import serving

    with serving(counterparts, tmp_path_factory.mktemp("github")) as front:
        yield front

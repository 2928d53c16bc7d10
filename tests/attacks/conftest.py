"""What the attacks share: one small repository under attack, one runner on it, one warm session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.docker import DockerRunner
from tests.attacks.arena import FILES, LIMITS, NODES, TARGET, Arena


@pytest.fixture(scope="session")
def attacked_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("attacked")
    for name, content in FILES.items():
        (root / name).write_text(content)
    return root


@pytest.fixture(scope="session")
def docker_arena(attacked_root: Path) -> Iterator[Arena]:
    """The repository in a warm session of a real container; every attack meets the same one."""
    runtime = os.environ.get("EGCFG_RUNTIME", "")
    with DockerRunner(attacked_root, LIMITS, runtime=runtime) as runner, runner.open_session(TARGET, NODES) as session:
        yield Arena(runner, session)

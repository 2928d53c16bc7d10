"""From a broken repository to a pull request that holds the repair, through the commands that the two jobs run.

The repository is pushed to over HTTP with a token, the API is the emulator's, the tests run in Docker.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.git_server import GitServer, git_serving
from tests.github_front import WRITER, Front

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "README.md": b"Prices\n",
    "prices.py": b"def discounted(price, percent):\n    return price + price * percent / 100\n",
    "test_prices.py": b"from prices import discounted\n\n\n"
    b"def test_half():\n    assert discounted(10, 50) == 5\n\n\n"
    b"def test_nothing():\n    assert discounted(8, 0) == 8\n\n\n"
    b"def test_quarter():\n    assert discounted(8, 25) == 6\n",
}


@pytest.fixture(scope="module")
def server(github_front: Front, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with git_serving(github_front, tmp_path_factory.mktemp("served")) as server:
        yield server


def clone(server: GitServer, name: str, place: Path, *options: str) -> Path:
    address = f"{server.url}/{name}.git".replace("http://", f"http://x-access-token:{WRITER}@")
    subprocess.run(["git", "clone", "--quiet", *options, address, place], check=True, timeout=60)
    subprocess.run(["git", "-C", place, "remote", "remove", "origin"], check=True, timeout=60)
    return place


def egcfg(*arguments: str, **environment: str) -> tuple[int, dict]:
    """Run the command in an environment that has nothing but what is given; return its status and document."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "EGCFG_BASE_IMAGE", "DOCKER_HOST") if name in os.environ
    }
    run = subprocess.run(
        [sys.executable, "-m", "bot", *arguments, "--json", "--quiet"],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.stdout, run.stderr
    assert WRITER not in run.stdout + run.stderr
    return run.returncode, json.loads(run.stdout)


def test_a_broken_repository_gets_one_pull_request_whose_head_is_green(server, tmp_path):
    project = server.project(FILES)
    checkout = clone(server, project.name, tmp_path / "checkout")
    runs = []
    for _ in range(2):  # the second run finds what the first one has published
        status, result = egcfg("repair", str(checkout), "--model", "none", "--runner", "docker", "--budget", "2m")
        assert status == 0
        folder = Path(result["run"]["folder"])
        github = {
            "GITHUB_REPOSITORY": project.name,
            "GITHUB_API_URL": server.front.url,
            "GITHUB_SERVER_URL": server.url,
        }
        status, published = egcfg("publish", str(folder), "--transport", "git", **github, GITHUB_TOKEN=WRITER)
        assert status == 0
        assert not any(WRITER.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())
        runs.append(published["published"])
    [first], [second] = runs
    assert (first["operation"], second["operation"]) == ("created", "unchanged")
    assert (second["number"], second["commit"]) == (first["number"], first["commit"])
    [pull] = project.pulls()
    assert (pull["head"]["sha"], pull["base"]["ref"]) == (first["commit"], "main")
    head = clone(server, project.name, tmp_path / "head", "--branch", first["branch"])
    changed = subprocess.run(
        ["git", "-C", head, "diff", "--name-only", "HEAD^", "HEAD"], capture_output=True, text=True, check=True
    )
    assert changed.stdout.split() == ["prices.py"]
    green = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=head, check=False)
    assert green.returncode == 0
    assert server.front.violations == []

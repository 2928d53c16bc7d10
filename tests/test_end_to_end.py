"""From a broken repository to a pull request that holds the repair, through action.yml as GitHub runs it.

The repository is served over HTTP with a token, the API is the emulator's, the tests run in Docker, and the two jobs
share nothing but the folder that an artifact would carry.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.composite import ActionsRunner, Evaluator, Ran
from tests.git_server import GitServer, git_serving
from tests.github_front import WRITER, Front, Repository

pytestmark = pytest.mark.docker

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


@pytest.fixture(scope="module")
def evaluate(counterparts: Path) -> Iterator[Evaluator]:
    evaluator = Evaluator(counterparts)
    yield evaluator
    evaluator.close()


def clone(server: GitServer, name: str, place: Path, *options: str) -> Path:
    """Check out as actions/checkout does with `persist-credentials: false`."""
    address = f"{server.url}/{name}.git".replace("http://", f"http://x-access-token:{WRITER}@")
    subprocess.run(["git", "clone", "--quiet", *options, address, place], check=True, timeout=60)
    subprocess.run(["git", "-C", place, "remote", "remove", "origin"], check=True, timeout=60)
    return place


class Workflow:
    """A workflow of two jobs, on runners of their own, after the tests of `main` have failed."""

    def __init__(self, server: GitServer, project: Repository, evaluate: Evaluator, folder: Path) -> None:
        self.server, self.project, self.evaluate, self.folder = server, project, evaluate, folder
        failed = {
            "conclusion": "failure",
            "event": "push",
            "head_sha": project.tip(),
            "head_branch": "main",
            "path": ".github/workflows/ci.yml",
            "head_repository": {"full_name": project.name},
            "pull_requests": [],
        }
        self.payload = {"action": "completed", "workflow_run": failed}

    def run(self, sandbox: str) -> dict[str, str]:
        """Run both jobs; return the outputs of the second."""
        inputs = {"runner": sandbox, "budget": "4m"}  # the embedded model is the default
        repair = self._job("repair", inputs, checkout=True)
        assert repair.outputs["fixed"] == "2", repair.log
        assert WRITER not in str(repair.steps) + repair.log
        artifact = Path(repair.outputs["run"])
        assert not any(WRITER.encode() in path.read_bytes() for path in artifact.rglob("*") if path.is_file())
        published = self._job("publish", {"command": "publish", "run": "run"}, artifact=artifact)
        assert published.log.count(WRITER) == published.log.count(f"::add-mask::{WRITER}") == 1
        return published.outputs

    def _job(self, name: str, inputs: dict[str, str], *, checkout: bool = False, artifact: Path | None = None) -> Ran:
        runner = ActionsRunner(
            self.folder / f"{name}-{len(list(self.folder.iterdir()))}", self.evaluate, self.project.name
        )
        if checkout:
            clone(self.server, self.project.name, runner.workspace)
        if artifact is not None:
            shutil.copytree(artifact, runner.workspace / "run")
        urls = {"GITHUB_API_URL": self.server.front.url, "GITHUB_SERVER_URL": self.server.url}
        inputs = inputs | ({"transport": "git"} if name == "publish" else {})
        ran = runner.run("workflow_run", self.payload, inputs, token=WRITER, environment=urls)
        assert ran.succeeded, ran.log
        return ran


def test_a_broken_repository_gets_one_pull_request_whose_head_is_green(server, evaluate, tmp_path):
    project = server.project(FILES)
    workflow = Workflow(server, project, evaluate, tmp_path)
    first, second = workflow.run("docker"), workflow.run("local")
    assert (first["pull-request-operation"], second["pull-request-operation"]) == ("created", "unchanged")
    assert first["pull-request-number"] == second["pull-request-number"]
    [pull] = project.pulls()
    assert (str(pull["number"]), pull["base"]["ref"]) == (first["pull-request-number"], "main")
    [published] = json.loads(first["pull-requests"])
    head = clone(server, project.name, tmp_path / "head", "--branch", published["branch"])
    tip = subprocess.run(["git", "-C", head, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert tip.stdout.strip() == pull["head"]["sha"]
    named = ["git", "-C", head, "diff", "--name-only", "HEAD^", "HEAD"]
    assert subprocess.run(named, capture_output=True, text=True, check=True).stdout.split() == ["prices.py"]
    green = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=head, check=False)
    assert green.returncode == 0
    assert server.front.violations == []

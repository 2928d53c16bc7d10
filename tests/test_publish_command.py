"""`egcfg-fix publish` as a process: what it prints, leaves behind and exits with, and that the token is nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.bundle import Source, write
from bot.cli import main
from bot.patch_file import changes
from bot.records import Discovery
from tests.git_server import GitServer, git_serving
from tests.github_front import READER, WRITER, Front
from tests.test_bundle import AFTER, BEFORE, repair

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def server(github_front: Front, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with git_serving(github_front, tmp_path_factory.mktemp("served")) as server:
        yield server


class Publishing:
    """A run's folder, a repository to publish it to, and the command."""

    def __init__(self, server: GitServer, scratch: Path) -> None:
        server.front.faults.clear()
        self.server = server
        self.project = server.project({"calc.py": BEFORE, "test_calc.py": b"from calc import f\n"})
        self.folder = scratch / "run"
        self.folder.mkdir()
        (self.folder / "journal.jsonl").write_text('{"schema": 1}\n')
        source = Source(self.project.tip(), self.project.name, "main")
        found = repair()
        write(
            self.folder, source, Discovery(found.failures, (), 9, 0, 1.0), [found],
            lambda given: changes(given, {"calc.py": AFTER}),
            whole=True, command="egcfg-fix repair", environment={}, log="",
        )  # fmt: skip
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "GITHUB_REPOSITORY": self.project.name,
            "GITHUB_API_URL": server.front.url,
            "GITHUB_SERVER_URL": server.url,
            "EGCFG_BUDGET": "1m",  # a setting of another command
        }

    def run(self, *arguments: str, token: str = WRITER, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, **more, **({"GITHUB_TOKEN": token} if token else {})}
        run = [sys.executable, "-X", "dev", "-m", "bot", "publish", str(self.folder), *arguments]
        return subprocess.run(run, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def publishing(server: GitServer, tmp_path: Path) -> Iterator[Publishing]:
    yield Publishing(server, tmp_path)
    assert server.front.violations == []


def test_it_says_what_it_did_and_the_token_is_nowhere(publishing, tmp_path):
    dry = publishing.run("--dry-run", token="")
    assert dry.returncode == 0
    assert "would publish: Repair f: 1 failing test passes (calc.py)" in dry.stdout
    done = publishing.run("--transport", "git", "--json", "--labels", "repair")
    assert done.returncode == 0, done.stderr
    [published] = json.loads(done.stdout)["published"]
    [pull] = publishing.project.pulls()
    assert (published["operation"], published["number"]) == ("created", pull["number"])
    again = publishing.run()
    assert (again.returncode, again.stdout.partition(":")[0]) == (0, "unchanged")
    refused = publishing.run("--branch-prefix", "other", token=READER)
    said = "".join(one.stdout + one.stderr for one in (dry, done, again, refused))
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert publishing.folder / "published.json" in left
    for token in (WRITER, READER):
        assert token not in said
        assert not [path for path in left if token.encode() in path.read_bytes()]
        assert token not in str(publishing.project.pulls()) + str(publishing.project.ask("GET", "/commits"))


MISTAKES = [
    ((), "", 2, "There is no token"),
    (("--repository", "octocat/other"), WRITER, 2, "The bundle is of"),
    (("--repository", "no repository"), WRITER, 2, "is not usable"),
    (("--max-open-prs", "many"), WRITER, 2, "is not usable"),
    (("--api-url", "http://ghe.example.org/api/v3"), WRITER, 2, "in the clear"),
    (("--mode", "push"), WRITER, 2, "needs --base"),
    (("--mode", "push", "--base", "main"), WRITER, 2, "default branch"),
    ((), "ghs_nobody", 3, "does not accept the token"),
    ((), READER, 1, "contents: write"),
]


def test_every_mistake_has_its_exit_status_and_a_hint(publishing, monkeypatch, capsys):
    for name, value in publishing.environment.items():
        if name not in ("PATH", "PYTHONPATH"):
            monkeypatch.setenv(name, value)
    for arguments, token, status, said in MISTAKES:
        monkeypatch.setenv("GH_TOKEN", token)
        assert main(["publish", str(publishing.folder), *arguments]) == status, arguments
        shown = capsys.readouterr()
        assert said in shown.out + shown.err
        assert "GH_TOKEN" not in os.environ
    assert publishing.project.pulls() == []


def test_a_changed_bundle_publishes_nothing(publishing, monkeypatch, capsys):
    document = json.loads((publishing.folder / "bundle.json").read_text())
    document["proposals"][0]["functions"][0]["qualname"] = "g"
    (publishing.folder / "bundle.json").write_text(json.dumps(document))
    for name in ("GITHUB_REPOSITORY", "GITHUB_API_URL"):
        monkeypatch.setenv(name, publishing.environment[name])
    monkeypatch.setenv("GITHUB_TOKEN", WRITER)
    assert main(["publish", str(publishing.folder)]) == 1
    assert "which it does not name" in capsys.readouterr().out
    assert publishing.project.branches() == ["main"]

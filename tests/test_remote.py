"""Publishing by `git push`, against git's own HTTP server with tokens and rules; and where the token may be seen."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator

import pytest

from bot.config import Publishing
from bot.errors import ConfigError
from bot.github import GitHub
from bot.publish import publish
from bot.remote import PushRefused, Remote
from tests.git_server import GitServer, git_serving
from tests.github_front import READER, WRITER, Front, Repository
from tests.test_publish import AFTER, FILES, OTHER, PATH, bundle, proposal


@pytest.fixture(scope="module")
def server(github_front: Front, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with git_serving(github_front, tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def project(server: GitServer) -> Iterator[Repository]:
    server.front.faults.clear()
    yield server.project(FILES)
    assert server.front.violations == []


def address(server: GitServer, project: Repository) -> str:
    return f"{server.url}/{project.name}.git"


def run(server: GitServer, project: Repository, given, token: str = WRITER, **settings: object):
    chosen = Publishing(repository=project.name, api_url=server.front.url, **settings)
    github = GitHub(WRITER, project.name, api_url=server.front.url, sleep=lambda seconds: None, between_s=0)
    with Remote.opened(token, address(server, project)) as remote:
        return publish(given, chosen, github, lambda event, **fields: None, remote)


def test_a_repair_is_pushed_and_a_second_one_follows_it_on_the_same_branch(server, project):
    [first] = run(server, project, bundle(project, proposal()))
    assert first.operation == "created"
    assert server.git(project.name, "show", f"{first.commit}:{PATH}") == AFTER
    assert server.git(project.name, "diff", "--name-only", "main", first.commit).decode().split() == [PATH]
    assert [one["head"]["sha"] for one in project.pulls()] == [first.commit]
    [same] = run(server, project, bundle(project, proposal()))
    assert (same.operation, same.commit) == ("unchanged", first.commit)
    [second] = run(server, project, bundle(project, proposal(OTHER)))
    assert (second.operation, second.number) == ("updated", first.number)
    assert server.git(project.name, "rev-parse", f"{second.commit}^").decode().strip() == first.commit


def test_a_branch_that_moves_between_look_and_push_is_not_overwritten(server, project):
    [first] = run(server, project, bundle(project, proposal()))
    with Remote.opened(WRITER, address(server, project)) as remote:
        files = {PATH: ("100644", OTHER)}
        ours = remote.write(first.commit, [first.commit], files, lambda tree: "Ours\n")
        tree = server.git(project.name, "rev-parse", f"{first.commit}^{{tree}}").decode().strip()
        theirs = server.git(project.name, "commit-tree", "-p", first.commit, "-m", "Theirs", tree).decode().strip()
        server.git(project.name, "update-ref", f"refs/heads/{first.branch}", theirs)
        with pytest.raises(PushRefused) as caught:
            remote.point(first.branch, ours.sha, first.commit)
        assert caught.value.status == 422
        with pytest.raises(PushRefused) as caught:
            remote.point(first.branch, ours.sha, "")  # someone else has made it
        assert caught.value.status == 422
    assert server.git(project.name, "rev-parse", first.branch).decode().strip() == theirs


def test_refusals_say_what_is_missing(server, project):
    given = bundle(project, proposal())
    [done] = run(server, project, given, branch_prefix="protected")
    assert done.operation == "failed"
    assert "GH006" in done.reason
    assert "--branch-prefix" in done.reason
    [done] = run(server, project, given, READER)
    assert "contents: write" in done.reason
    with pytest.raises(PushRefused, match="does not accept the token"):
        run(server, project, given, "ghs_nobody")
    project_missing = Repository(server.front, "octocat/nowhere")
    missing = pytest.raises(PushRefused, match="There is no")
    with Remote.opened(WRITER, address(server, project_missing)) as remote, missing:
        remote.write("ab" * 20, [], {}, lambda tree: "")
    with pytest.raises(ConfigError), Remote.opened(WRITER, "http://ghe.example.org/x/y.git"):
        pass


def test_credentials_that_a_configuration_holds_are_not_sent(server, project, tmp_path, monkeypatch):
    stale = (
        f'[http]\n\textraheader = AUTHORIZATION: basic c3RhbGU6c3RhbGU=\n[http "{server.url}/"]\n\textraheader = X: y\n'
    )
    (tmp_path / ".gitconfig").write_text(stale + "[credential]\n\thelper = !echo password=stale\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    server.asked.clear()
    [done] = run(server, project, bundle(project, proposal()))
    assert done.operation == "created"
    assert not any("c3RhbGU" in str(headers) or headers.get("X") for _, headers in server.asked)


def test_the_token_is_in_no_argument_variable_file_or_log_of_git(server, project, tmp_path, monkeypatch, caplog):
    """A git that tells everything about itself stands before the real one."""
    spy = tmp_path / "bin" / "git"
    spy.parent.mkdir()
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    told = tmp_path / "told"
    spy.write_text(
        f"#!/bin/sh\nexec 2>/dev/null 3>>{told}\n"
        '{ printf "%s\\n" "$@"; env; cat /proc/$PPID/cmdline /proc/$PPID/environ; } >&3\n'
        f'{real} config --list >&3\nexec {real} "$@"\n'
    )
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with caplog.at_level(logging.DEBUG):
        [done] = run(server, project, bundle(project, proposal()))
    assert done.operation == "created"
    assert "push" in told.read_text(errors="replace")
    assert WRITER not in told.read_text(errors="replace") + caplog.text + repr(done)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and WRITER.encode() in path.read_bytes()]

"""Bundles become pull requests in a stateful emulator of GitHub; every request fits GitHub's own description."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.bundle import Bundle, Failing, FileChange, Function, Proposal, Source
from bot.config import Publishing
from bot.github import GitHub
from bot.publish import Published, publish
from tests.github_front import REVIEWER, WRITER, Front, Repository, serving

BEFORE = b"def area(w, h):\n    return w + h\n\n\ndef half(x):\n    return x / 3\n"
AFTER = BEFORE.replace(b"w + h", b"w * h")
OTHER = BEFORE.replace(b"w + h", b"h * w")
HALF = BEFORE.replace(b"x / 3", b"x / 2")
BOTH = AFTER.replace(b"x / 3", b"x / 2")
PATH = "src/shapes.py"
FILES = {PATH: BEFORE, "tests/test_shapes.py": b"def test_area():\n    assert True\n", "README.md": b"Shapes\n"}


@pytest.fixture(scope="module")
def session_front(counterparts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with serving(counterparts, tmp_path_factory.mktemp("github")) as front:
        yield front


@pytest.fixture
def front(session_front: Front) -> Iterator[Front]:
    session_front.asked.clear()
    session_front.faults.clear()
    yield session_front
    assert session_front.violations == []


@pytest.fixture
def project(front: Front) -> Repository:
    return front.repository(FILES)


def proposal(after: bytes = AFTER, *, name: str = "area", test: str = "test_area", **changes: object) -> Proposal:
    node = f"tests/test_shapes.py::{test}"
    return replace(
        Proposal(
            kind="code",
            tests=(Failing(node, "AssertionError", "assert 5 == 6"),),
            functions=(Function(PATH, name, "executed by the failing test"),),
            files=(FileChange(PATH, BEFORE, after),),
            word="plausible",
            reasons=("nothing held out",),
            fixed=(node,),
            level="J4 in docker",
            regression_tests=12,
            origin="edit",
            setting="",
            spent={"seconds": 1.5, "executions": 40, "tokens": 0},
        ),
        **changes,
    )


def bundle(project: Repository, *proposals: Proposal, branch: str = "main", **changes: object) -> Bundle:
    failing = tuple(test.node_id for one in proposals for test in one.tests)
    made = Bundle(
        source=Source(project.tip(branch), project.name, branch),
        proposals=proposals,
        failing=failing,
        whole=True,
        command="egcfg-fix repair",
        environment={"model": "none"},
        log="runner docker",
    )
    return replace(made, **changes)


def run(project: Repository, given: Bundle, *, token: str = WRITER, **settings: object) -> list[Published]:
    chosen = Publishing(repository=project.name, api_url=project.front.url, **settings)
    waited: list[float] = []
    github = GitHub(token, project.name, api_url=project.front.url, sleep=waited.append, between_s=0)
    return publish(given, chosen, github, lambda event, **fields: None)


def test_a_proposal_becomes_a_pull_request_whose_head_holds_exactly_the_patch(project):
    [done] = run(project, bundle(project, proposal()), labels=("repair",), reviewers=(REVIEWER,), draft=True)
    assert done.operation == "created"
    assert done.warnings == ()
    [pull] = project.pulls()
    assert (pull["number"], pull["html_url"], pull["head"]["ref"]) == (done.number, done.url, done.branch)
    assert pull["head"]["sha"] == done.commit
    assert pull["draft"]
    assert project.content(PATH, done.commit) == AFTER
    assert project.content("README.md", done.commit) == b"Shapes\n"
    assert project.ask("GET", f"/git/commits/{done.commit}")["parents"][0]["sha"] == project.tip()
    assert [one["name"] for one in pull["labels"]] == ["repair"]
    assert [one["login"] for one in pull["requested_reviewers"]] == [REVIEWER]
    assert "A machine wrote this change" in pull["body"]
    assert "tests/test_shapes.py::test_area" in pull["body"]


def test_publishing_again_changes_nothing(project):
    given = bundle(project, proposal())
    [first] = run(project, given, labels=("repair",), reviewers=(REVIEWER,))
    before = project.pulls()
    project.front.asked.clear()
    [again] = run(project, given, labels=("repair",), reviewers=(REVIEWER,))
    assert again.operation == "unchanged"
    assert (again.number, again.commit) == (first.number, first.commit)
    assert project.front.verbs() == []
    assert project.pulls() == before

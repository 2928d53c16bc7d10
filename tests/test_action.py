"""action.yml as GitHub runs it, step by step and event by event: GitHub's evaluator, real shells, a real repair."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bot import bundle
from tests.composite import ActionsRunner, Evaluator, commands, parsed
from tests.conftest import GIT
from tests.git_server import git_serving
from tests.github_front import OWNER, WRITER

PLANTED = "ghs_plantedplantedplantedplanted"
OURS = "octo-org/octo-repo"
CALC = "def add(a, b):\n    return a - b\n"
TESTS = """import calc


def test_add():
    assert calc.add(2, 3) == 5


def test_zero():
    assert calc.add(0, 0) == 0
"""


@pytest.fixture(scope="module")
def evaluate(counterparts):
    evaluator = Evaluator(counterparts)
    yield evaluator
    evaluator.close()


class World(ActionsRunner):
    """The runner, and in its workspace a checkout of a repository with one fault."""

    def __init__(self, folder, evaluate):
        super().__init__(folder, evaluate)
        (self.workspace / "calc.py").write_text(CALC)
        (self.workspace / "test_calc.py").write_text(TESTS)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=First")
        self.head = self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments):
        run = ["git", *GIT, *arguments]
        return subprocess.run(run, cwd=self.workspace, check=True, capture_output=True, text=True).stdout

    def workflow_run(self, **changes):
        known = {
            "conclusion": "failure",
            "event": "push",
            "head_sha": self.head,
            "head_branch": "topic",
            "path": ".github/workflows/ci.yml",
            "head_repository": {"full_name": OURS},
            "pull_requests": [],
        }
        return {"action": "completed", "workflow_run": known | changes}

    def pull_request(self, **changes):
        side = {"ref": "topic", "sha": self.head, "repo": {"full_name": OURS}}
        request = {"state": "open", "head": side | changes, "base": side | {"ref": "main"}}
        return {"action": "synchronize", "number": 7, "pull_request": request}


@pytest.fixture
def world(tmp_path, evaluate):
    return World(tmp_path, evaluate)


FAST = {"model": "none", "runner": "local", "budget": "seconds=900,executions=60"}


def test_a_failed_run_ends_in_a_patch_a_bundle_and_outputs_without_any_token_in_reach(world):
    ran = world.run("workflow_run", world.workflow_run(event="pull_request"), FAST, token=PLANTED)
    assert ran.succeeded, ran.log
    assert {name: step.outcome for name, step in ran.steps.items()} == {
        "setup": "success",
        "repair": "success",
        "publish": "skipped",
    }
    assert (ran.outputs["failing"], ran.outputs["fixed"], ran.outputs["skipped"]) == ("1", "1", "")
    assert (ran.outputs["gpu-seconds"], ran.outputs["commit"]) == ("0.0", world.head)
    handed = bundle.read(Path(ran.outputs["run"]))
    assert (handed.source.commit, handed.source.branch, handed.source.repository) == (world.head, "topic", OURS)
    assert [change.path for change in handed.together] == ["calc.py"]
    assert json.loads(Path(ran.outputs["report-json"]).read_bytes())["all_repaired"]
    world.git("apply", ran.outputs["patch"])
    checked = "import calc; assert calc.add(2, 3) == 5"
    subprocess.run([sys.executable, "-c", checked], cwd=world.workspace, check=True)
    shown = commands(ran.steps["repair"].log)
    assert [line for line in shown if line.startswith("::notice") and "Repaired" in line and "file=calc.py" in line]
    assert ran.steps["repair"].summary.startswith("# Repaired the 1 failing test")
    assert PLANTED not in str(ran.steps)
    for path in world.folder.rglob("*"):
        assert not path.is_file() or PLANTED.encode() not in path.read_bytes(), path


def test_what_an_event_forbids_or_does_not_need_is_said_and_no_check_turns_red(world):
    cases = [
        ("workflow_run", world.workflow_run(conclusion="success"), "did not fail"),
        ("pull_request", world.pull_request(repo={"full_name": "mallory/octo-repo"}), "mallory/octo-repo"),
        ("merge_group", {"action": "checks_requested"}, "merge queue"),
    ]
    for event, payload, said in cases:
        ran = world.run(event, payload, FAST)
        assert ran.succeeded, ran.log
        assert said in ran.outputs["skipped"], event
        assert ran.outputs["run"] == ""
        assert commands(ran.log)[0].startswith(("::notice", "::warning"))


def test_what_is_dangerous_or_wrong_is_an_error_before_anything_runs(world):
    cases = [
        ("pull_request_target", world.pull_request(), FAST, {}, "rights and secrets"),
        ("pull_request", world.pull_request(), FAST, {"GITHUB_TOKEN": "x"}, "in reach"),
        ("pull_request", world.pull_request(), FAST | {"token": PLANTED}, {}, "in reach"),
        ("pull_request", world.pull_request(sha="f" * 40), FAST, {}, "pull_request.head.sha"),
        ("schedule", {"schedule": "17 4 * * *"}, FAST | {"command": "fix"}, {}, "must be one of repair, gate, publish"),
    ]
    for event, payload, inputs, environment, said in cases:
        ran = world.run(event, payload, inputs, environment=environment, github={"sha": world.head})
        assert ran.steps["repair"].outcome == "failure", event
        [error] = [line for line in commands(ran.log) if line.startswith("::error")]
        assert said in error
        assert PLANTED not in ran.log
        assert ran.steps["publish"].outcome == "skipped"
    assert not (world.workspace / ".egcfg-fix").exists()


def test_the_gate_is_set_up_light_and_alone_has_the_workflows_token(world):
    ran = world.run("schedule", {}, {"command": "gate"}, token=PLANTED, github={"sha": world.head})
    assert [step.outcome for step in ran.steps.values()] == ["success", "skipped", "success"]
    assert ran.steps["publish"].environment["INPUT_TOKEN"] == PLANTED
    assert PLANTED not in str(ran.steps["setup"].environment)
    subject = json.loads(ran.outputs["subject"])
    assert (subject["commit"], subject["branch"]) == (ran.outputs["commit"], "main") == (world.head, "main")
    called = (world.action / ".ci/calls").read_text()
    assert called.rstrip().endswith("-light light")


def test_a_publishing_job_with_nothing_to_publish_is_no_failure(world):
    inputs = {"command": "publish", "run": "run"}
    ran = world.run("workflow_run", world.workflow_run(), inputs, token=PLANTED)
    assert ran.succeeded, ran.log
    assert "no run to publish" in ran.outputs["skipped"]
    assert ran.log.count(PLANTED) == 1  # in the command that masks it
    assert f"::add-mask::{PLANTED}" in commands(ran.log)


def test_a_set_up_that_fails_is_an_error_and_ends_the_action(world):
    (world.action / ".ci/setup").write_text("#!/bin/sh\necho no index >&2\nexit 3\n")
    ran = world.run("schedule", {}, FAST, github={"sha": world.head})
    assert [step.outcome for step in ran.steps.values()] == ["failure", "skipped", "skipped"]
    assert "::error title=egcfg-fix could not be set up::" in ran.log


def test_a_runner_without_the_tool_cache_sets_up_in_its_temporary_folder(world):
    ran = world.run("merge_group", {}, FAST, environment={"RUNNER_TOOL_CACHE": ""})
    assert ran.succeeded, ran.log
    assert list((world.temp / "egcfg-fix").glob("*/bin/python"))


def test_files_of_outputs_are_read_as_the_runner_reads_them():
    assert parsed("a=1\nb<<E\nx=y\nz\nE\nc=\n") == {"a": "1", "b": "x=y\nz", "c": ""}
    for wrong in ("a\n", "a<<E\nx\n"):
        with pytest.raises(ValueError, match=r"output|delimiter"):
            parsed(wrong)


def test_the_gate_asks_githubs_api_who_may_command_and_what_the_head_is(world, github_front):
    project = github_front.repository({"calc.py": CALC.encode()})
    base = project.tip()
    head = project.commit({"calc.py": CALC.encode() + b"\n"}, branch="topic", parent=base)
    number = project.ask("POST", "/pulls", {"title": "Topic", "head": "topic", "base": "main"})["number"]
    world.repository = project.name
    comment = {"body": f"/egcfg-fix {head[:12]}", "author_association": "NONE"}
    where = {"GITHUB_API_URL": github_front.url}

    def asked(login):
        payload = {
            "action": "created",
            "issue": {"number": number, "pull_request": {}},
            "comment": comment | {"user": {"login": login, "type": "User"}},
        }
        return world.run("issue_comment", payload, {"command": "gate"}, token=WRITER, environment=where)

    allowed = asked(OWNER)
    assert allowed.succeeded, allowed.log
    subject = json.loads(allowed.outputs["subject"])
    assert (subject["commit"], subject["branch"], subject["base"]) == (head, "topic", "main")
    assert (subject["pull_request"], subject["untrusted"]) == (number, True)
    refused = asked("somebody-else")
    assert refused.succeeded, refused.log
    assert "may not write" in refused.outputs["skipped"]
    assert refused.outputs["subject"] == ""
    assert github_front.violations == []


@pytest.fixture(scope="module")
def server(github_front, tmp_path_factory):
    with git_serving(github_front, tmp_path_factory.mktemp("served")) as server:
        yield server


def test_a_schedule_may_repair_and_publish_in_one_job_and_opens_one_pull_request(server, tmp_path, evaluate):
    project = server.project({"calc.py": CALC.encode(), "test_calc.py": TESTS.encode()})
    runner = ActionsRunner(tmp_path, evaluate, project.name)
    address = f"{server.url}/{project.name}.git".replace("http://", f"http://x-access-token:{WRITER}@")
    subprocess.run(["git", "clone", "--quiet", address, runner.workspace], check=True, timeout=60)
    subprocess.run(["git", "-C", runner.workspace, "remote", "remove", "origin"], check=True, timeout=60)
    where = {"GITHUB_API_URL": server.front.url, "GITHUB_SERVER_URL": server.url}
    given = FAST | {"mode": "pull-request", "labels": "egcfg-fix"}
    ran = runner.run("schedule", {}, given, token=WRITER, environment=where, github={"sha": project.tip()})
    assert [step.outcome for step in ran.steps.values()] == ["success"] * 3, ran.log
    assert (ran.outputs["fixed"], ran.outputs["pull-request-operation"]) == ("1", "created")
    assert WRITER not in str(ran.steps["repair"])
    [pull] = project.pulls()
    assert str(pull["number"]) == ran.outputs["pull-request-number"]
    assert json.loads(ran.outputs["pull-requests"])[0]["branch"] == pull["head"]["ref"]
    assert project.content("calc.py", pull["head"]["sha"]) != CALC.encode()
    again = {"command": "publish", "run": ran.outputs["run"], "labels": "egcfg-fix"}
    ran = runner.run("schedule", {}, again, token=WRITER, environment=where, github={"sha": project.tip()})
    assert ran.succeeded, ran.log
    assert ran.outputs["pull-request-operation"] == "unchanged"
    assert len(project.pulls()) == 1
    assert server.front.violations == []

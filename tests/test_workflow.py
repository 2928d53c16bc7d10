"""The GitHub Action: what it reads from the environment, and what it leaves for GitHub to read.

The repair is handed in; the files, the escaping and the exit status are real. action.yml is read as GitHub would.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import git
import pytest
import yaml

from action.annotations import ANNOTATIONS, Annotation, annotated, command, output, summary
from action.inputs import FAIL_ON, MODES, flags, variable
from action.preflight import Gpu, Machine
from action.publishing import outputs as publishing_outputs
from action.workflow import main
from bot import bundle
from bot.errors import ConfigError
from bot.patch_file import diff
from bot.pipeline import Outcome
from bot.precedence import load
from bot.records import Budget, Candidate, Discovery, Patch, Repair, Spent, Suspect, TestFailure, Verdict
from bot.report import Run
from runners.runner import DockerUnavailable, Frame, FunctionKey
from tests import composite

ROOT = Path(__file__).resolve().parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
BEFORE, AFTER = b"def add(a, b):\n    return a - b\n", b"def add(a, b):\n    return a + b\n"
SUSPECT = Suspect(FunctionKey("calc.py", "add", 1), 0.9, 1.0, 0.8, "executed by the failing test")


def failure(name="test_add", message="assert -1 == 3"):
    frames = (Frame("tests/test_calc.py", 4, name),)
    return TestFailure(f"tests/test_calc.py::{name}", "call", "failure", "AssertionError", message, frames)


def repaired(word="strong"):
    change = Patch("calc.py", "add", BEFORE, AFTER, diff("calc.py", BEFORE, AFTER).decode())
    candidate = Candidate(SUSPECT, "return a + b\n", "edit", "", -1.0, Spent())
    return Repair((failure(),), (SUSPECT,), candidate, change, Verdict(word, (), (failure().node_id,)), Spent())


def unrepaired(name="test_divide", message="assert 2 == 3"):
    return Repair((failure(name, message),), (SUSPECT,), None, None, None, Spent(), "No body was found.")


def outcome(*repairs):
    failures = tuple(one for item in repairs for one in item.failures)
    still = tuple(one.node_id for item in repairs if not item.published for one in item.failures)
    return Outcome(Discovery(failures, (), len(failures) + 3, 0, 0.5), tuple(repairs), Spent(), {"seed": "0"}, still)


class Step:
    """One run of the action in a workspace, and what it left behind."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "work space"
        self.workspace.mkdir()
        (self.workspace / "calc.py").write_bytes(BEFORE)
        self.repository = git.Repo.init(self.workspace, initial_branch="main")
        self.commit = self.committed("First")
        self.gpu = None
        self.files = {name: folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        self.environment = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_REPOSITORY": "octo-org/octo-repo",
            "GITHUB_EVENT_NAME": "schedule",
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_SHA": self.commit,
            **{name: str(path) for name, path in self.files.items()},
        }
        self.printed = ""
        self.configs = []

    def committed(self, message):
        self.repository.git.add("--all")
        author = ["-c", "user.name=Tests", "-c", "user.email=tests@example.org", "-c", "commit.gpgsign=false"]
        self.repository.git.execute(["git", *author, "commit", "--quiet", "--allow-empty", "--message", message])
        return self.repository.head.commit.hexsha

    def about(self, event, payload, commit=None):
        """Let the runner say that it is about this event."""
        path = self.workspace.parent / "event.json"
        path.write_text(json.dumps(payload), encoding="utf-8")
        self.environment |= {"GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PATH": str(path)}
        self.environment |= {"GITHUB_SHA": commit} if commit else {}

    def run(self, result, **inputs):
        def repair(root, config, emit):
            self.configs.append((root, config))
            emit("stage", name="discover", text="Running the suite")
            if isinstance(result, Exception):
                raise result
            return result

        for path in self.files.values():
            path.unlink(missing_ok=True)
        given = {variable(name.replace("_", "-")): value for name, value in inputs.items()}
        stream = io.StringIO()
        status = main(
            self.environment | given, stream, repair=repair, check=lambda config, _: Machine(config, self.gpu, ())
        )
        self.printed = stream.getvalue()
        return status

    @property
    def outputs(self):
        found = re.findall(
            r"(?s)(\S+)<<(end-\w+)\n(.*?)\n\2\n", self.files["GITHUB_OUTPUT"].read_text(encoding="utf-8")
        )
        return {name: value for name, _, value in found}

    @property
    def summary(self):
        return self.files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")

    @property
    def commands(self):
        """What the runner would take for commands: not what stands between a fence and its end."""
        return composite.commands(self.printed)


@pytest.fixture
def step(tmp_path):
    return Step(tmp_path)


def test_a_repair_leaves_a_patch_that_git_applies_a_report_and_the_counts(step):
    assert step.run(outcome(repaired(), unrepaired())) == 0
    assert (step.outputs["failing"], step.outputs["fixed"]) == ("2", "1")
    assert "Repaired 1 of 2 failing tests" in Path(step.outputs["report"]).read_text(encoding="utf-8")
    subprocess.run(["git", "apply", step.outputs["patch"]], cwd=step.workspace, check=True)
    assert (step.workspace / "calc.py").read_bytes() == AFTER


def test_without_a_repair_there_is_no_patch(step):
    step.run(outcome(unrepaired()))
    assert step.outputs["patch"] == ""
    assert step.outputs["fixed"] == "0"


def test_the_report_is_the_step_summary(step):
    step.run(outcome(repaired()))
    assert step.summary == Path(step.outputs["report"]).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("fail_on", "result", "status"),
    [
        ("unfixed", outcome(repaired()), 0),
        ("unfixed", outcome(unrepaired()), 1),
        ("unfixed", outcome(repaired("suspect")), 1),
        ("unfixed", DockerUnavailable("No engine."), 3),
        ("error", outcome(unrepaired()), 0),
        ("error", DockerUnavailable("No engine."), 3),
        ("none", outcome(unrepaired()), 0),
        ("none", DockerUnavailable("No engine."), 0),
    ],
)
def test_fail_on_decides_what_makes_the_step_fail(step, fail_on, result, status):
    assert step.run(result, fail_on=fail_on) == status


def test_an_error_is_an_annotation_with_its_hint(step):
    step.run(DockerUnavailable("No engine.", hint="Start one."))
    assert "::error title=egcfg-fix did not run::No engine. Start one." in step.commands
    assert "No engine" in step.summary


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"fail_on": "always"}, "fail-on"),
        ({"seed": "many"}, "--seed"),
        ({"working_directory": "../elsewhere"}, "working-directory"),
        ({"working_directory": "calc.py"}, "working-directory"),
    ],
)
def test_a_wrong_input_is_refused_by_name_before_anything_runs(step, inputs, said):
    assert step.run(outcome(), **inputs) == 2
    assert said in step.printed
    assert step.configs == []


def test_no_tests_at_all_is_an_error_and_not_a_success(step):
    empty = Outcome(Discovery((), (), 0, 0, 0.1), ())
    assert step.run(empty) == 2
    assert "No tests were collected" in step.printed


def test_a_link_out_of_the_workspace_is_no_working_directory(step, tmp_path):
    (step.workspace / "link").symlink_to(tmp_path)
    assert step.run(outcome(), working_directory="link") == 2


def test_inputs_are_settings(step):
    step.run(
        outcome(),
        tests="tests/a.py::test_x\n  tests/b.py::test_y[a b]\n",
        gamma="0, 1.5",
        budget="2m",
        seed="7",
        pytest_args="-p no:randomly",
        exclude="gen/*\n",
    )
    [(_, config)] = step.configs
    assert config.tests == ("tests/a.py::test_x", "tests/b.py::test_y[a b]")
    assert (config.gamma, config.budget, config.seed) == ((0.0, 1.5), Budget(seconds=120.0), 7)
    assert (config.pytest_args, config.exclude) == (("-p", "no:randomly"), ("gen/*",))


def test_running_unconfined_cannot_be_asked_for(step):
    assert "unsafe_local" not in flags({"INPUT_UNSAFE_LOCAL": "true"})
    with pytest.raises(ConfigError, match="never allowed in CI"):
        load(step.workspace, {"unsafe_local": True}, step.environment)


def test_annotations_are_at_most_ten_and_patches_come_first():
    many = [unrepaired(f"test_{number}") for number in range(30)]
    found = annotated(outcome(*many, repaired()))
    assert len(found) == ANNOTATIONS
    assert (found[0].level, found[0].path, found[0].line) == ("notice", "calc.py", 1)
    assert "22 more results" in found[-1].message


def test_annotations_name_files_as_seen_from_the_workspace(step):
    package = step.workspace / "packages" / "calc"
    package.mkdir(parents=True)
    (package / "calc.py").write_bytes(BEFORE)
    step.run(outcome(repaired(), unrepaired()), working_directory="packages/calc")
    assert [re.search(r"file=([^,:]+)", line)[1] for line in step.commands if "file=" in line] == [
        "packages/calc/calc.py",
        "packages/calc/tests/test_calc.py",
    ]


@pytest.mark.parametrize("text", ["100%\n::error::x", "a\r\n::add-mask::b", "\u2028::warning::c", "%0A::notice::d"])
def test_a_message_stays_one_command_whatever_it_holds(text):
    shown = command(Annotation("warning", f"t: a, b {text}", text, "a,b:c.py", 3))
    assert len(shown.splitlines()) == 1
    head, _, message = shown[2:].partition("::")
    assert re.fullmatch(r"warning title=[^,:\n]*,file=[^,:\n]*,line=3", head)
    assert "\n" not in message
    assert message.startswith(("100%25%0A", "a%0A", "\\u2028", "%250A"))


def test_what_tests_print_never_becomes_a_command(step):
    step.run(outcome(unrepaired(message="\n::error::forged\n##[error]forged")))
    assert [line for line in step.printed.splitlines() if line.lstrip().startswith(("::error", "##["))] == []


def test_an_output_cannot_set_another():
    text = output("report", "x\nend\nfixed=99")
    lines = text.splitlines()
    assert lines[0].partition("<<")[2] == lines[-1]
    assert lines[-1] not in lines[1:-1]


def test_the_summary_stays_below_a_mebibyte():
    huge = [{"event": "note", "text": "x" * 500, "time": ""}] * 100
    many = [unrepaired(f"test_{number}", "y" * 3000) for number in range(4000)]
    assert len(summary(outcome(*many), Run(records=huge)).encode()) < 1 << 20
    assert summary(outcome(repaired()), Run()).startswith("# Repaired the 1 failing test")


# What the event has to do with it


def request(commit, head="octo-org/octo-repo"):
    side = {"ref": "topic", "sha": commit, "repo": {"full_name": head}}
    body = {"state": "open", "head": side, "base": side | {"ref": "main"}}
    return {"action": "synchronize", "number": 7, "pull_request": body}


def test_the_bundle_names_commit_branch_and_pull_request(step):
    step.about("pull_request", request(step.commit), commit="f" * 40)  # of the merge commit
    assert step.run(outcome(repaired())) == 0
    source = bundle.read(Path(step.outputs["run"])).source
    assert (source.commit, source.branch, source.pull_request) == (step.commit, "topic", 7)
    assert source.repository == "octo-org/octo-repo"
    assert step.outputs["commit"] == step.commit


def test_a_checkout_of_something_else_is_an_error_that_says_what_to_check_out(step):
    step.about("pull_request", request("f" * 40))
    assert step.run(outcome(repaired())) == 2
    assert "github.event.pull_request.head.sha" in step.printed
    assert step.configs == []


def test_a_schedule_may_check_out_another_branch(step):
    step.repository.git.checkout("-b", "stable")
    (step.workspace / "more.py").write_text("")
    commit = step.committed("Second")
    step.run(outcome(repaired()))
    source = bundle.read(Path(step.outputs["run"])).source
    assert (source.commit, source.branch) == (commit, "stable")


def test_a_skipped_event_is_no_failure_and_says_why(step):
    step.about("pull_request", request(step.commit, head="mallory/octo-repo"))
    assert step.run(outcome(repaired()), fail_on="unfixed") == 0
    assert "mallory/octo-repo" in step.outputs["skipped"]
    assert step.commands[0].startswith("::warning title=egcfg-fix does nothing here::")
    assert "two jobs" in step.summary
    assert step.configs == []


def test_our_own_commit_on_a_pull_request_is_not_repaired_again(step):
    commit = step.committed("Repair add\n\nA machine wrote this change (egcfg-fix 0.1.0; verdict: strong). Review it.")
    step.about("pull_request", request(commit))
    assert step.run(outcome(repaired())) == 0
    assert "egcfg-fix itself" in step.outputs["skipped"]


def test_credentials_in_the_checkout_stop_a_pull_request_and_are_told_elsewhere(step):
    step.repository.git.config("http.https://github.com/.extraheader", "AUTHORIZATION: basic c2VjcmV0")
    assert step.run(outcome(repaired())) == 0
    assert any("A token is in reach" in line for line in step.commands)
    step.about("pull_request", request(step.commit))
    assert step.run(outcome(repaired())) == 2
    assert "persist-credentials" in step.printed
    assert "c2VjcmV0" not in step.printed


def test_code_of_a_pull_request_is_never_published_from_the_job_that_ran_it(step):
    step.about("pull_request", request(step.commit))
    assert step.run(outcome(repaired()), mode="pull-request") == 2
    assert step.configs == []


@pytest.mark.parametrize(
    ("mode", "publish", "has_patch", "has_bundle"),
    [("", "", True, True), ("report", "", False, False), ("push", "true", True, True)],
)
def test_the_mode_decides_what_becomes_of_a_repair(step, mode, publish, has_patch, has_bundle):
    assert step.run(outcome(repaired()), mode=mode) == 0
    assert step.outputs["publish"] == publish
    assert bool(step.outputs["patch"]) == has_patch
    assert (Path(step.outputs["run"]) / "bundle.json").exists() == has_bundle


def test_counts_tell_what_was_tried_and_what_was_held_out(step):
    flaky = replace(failure("test_flaky"), kind="flaky")
    item = Repair((flaky,), (), None, None, None, Spent(), "It does not fail every time.")
    tried = replace(unrepaired(), spent=Spent(seconds=2.5))
    assert step.run(outcome(repaired(), tried, item)) == 0
    counts = {
        name: step.outputs[name] for name in ("failing", "flaky", "attempted", "fixed", "supported", "gpu-seconds")
    }
    assert list(counts.values()) == ["3", "1", "2", "1", "1", "0.0"]
    step.gpu = Gpu(0, "GPU-0", "a GPU", 1000, 900)
    step.run(outcome(tried))
    assert step.outputs["gpu-seconds"] == "2.5"


def test_what_is_printed_during_a_repair_stands_behind_a_fence(step):
    def repair(root, config, emit):
        emit("note", text="::error::forged by a test")
        print("::error::forged by a library", file=stream)
        return outcome(repaired())

    stream = io.StringIO()
    assert main(step.environment, stream, repair=repair, check=lambda config, _: Machine(config, None, ())) == 0
    step.printed = stream.getvalue()
    assert "forged" in step.printed
    assert not any("forged" in line for line in step.commands)
    assert step.commands[:2] == ["::group::egcfg-fix repair", "::endgroup::"]


def test_an_interrupted_repair_leaves_no_patch_and_no_bundle(step):
    def repair(root, config, emit):
        raise KeyboardInterrupt

    stream = io.StringIO()
    assert main(step.environment, stream, repair=repair, check=lambda config, _: Machine(config, None, ())) == 130
    assert not step.files["GITHUB_OUTPUT"].exists()
    assert list(step.workspace.glob(".egcfg-fix/runs/*/journal.jsonl"))


def test_files_that_the_runner_does_not_give_are_not_missed(step):
    for name in step.files:
        del step.environment[name]
    assert step.run(outcome(repaired())) == 0


def test_the_gate_puts_out_what_the_event_is_about(step):
    assert step.run(None, command="gate") == 0
    assert step.outputs["commit"] == step.commit
    given = step.outputs["subject"]
    step.about("issue_comment", {})
    assert step.run(outcome(repaired()), subject=given) == 0
    assert step.configs


def test_a_token_is_masked_at_once_and_leaves_the_environment(step):
    step.environment["INPUT_TOKEN"] = "ghs_planted"
    step.run(None, command="publish", run="nowhere")
    assert step.printed.splitlines()[0] == "::add-mask::ghs_planted"
    assert "ghs_planted" not in step.printed.split("\n", 1)[1]
    assert "no run to publish" in step.outputs["skipped"]


def test_publishing_needs_a_token_and_says_which_permission(step):
    assert step.run(None, command="publish", run="x") == 2
    assert "contents: write" in step.printed


def test_a_bundle_of_another_commit_is_not_published(step):
    step.run(outcome(repaired()))
    run = step.outputs["run"]
    step.about("pull_request", request("f" * 40))
    environment = step.environment | {"INPUT_TOKEN": "ghs_planted", "GITHUB_API_URL": "http://127.0.0.1:9"}
    stream = io.StringIO()
    given = {"INPUT_COMMAND": "publish", "INPUT_RUN": run}
    assert main(environment | given, stream) == 2
    assert "The bundle is about the commit" in stream.getvalue()


def test_a_dry_run_says_what_it_would_publish_and_asks_nobody(step):
    step.run(outcome(repaired()))
    environment = step.environment | {"GITHUB_API_URL": "http://127.0.0.1:9"}
    stream = io.StringIO()
    given = {"INPUT_COMMAND": "publish", "INPUT_RUN": step.outputs["run"], "INPUT_DRY_RUN": "true"}
    assert main(environment | given, stream) == 0
    assert "would publish" in stream.getvalue()


# action.yml


def test_only_the_step_that_runs_no_code_of_the_repository_is_given_a_token():
    with_token = [one["id"] for one in ACTION["runs"]["steps"] if "github.token" in json.dumps(one)]
    assert with_token == ["publish"]
    names = [name for name, value in ACTION["runs"]["steps"][1]["env"].items() if "token" in value]
    assert names == ["INPUT_TOKEN_GIVEN"]


def test_the_stated_defaults_are_the_real_ones():
    defaults = {name: str(item["default"]) for name, item in ACTION["inputs"].items()}
    stated = {name: value for name, value in defaults.items() if value}
    assert stated == {"working-directory": ".", "fail-on": "error", "command": "repair", "allow-forks": "false"}
    for name, words in (("fail-on", FAIL_ON), ("mode", MODES)):
        assert all(word in ACTION["inputs"][name]["description"] for word in words)


def test_the_outputs_are_those_that_are_written(step):
    step.run(outcome(repaired()))
    named = {name: value["value"] for name, value in ACTION["outputs"].items()}
    of_repair = {name for name, value in named.items() if f"steps.repair.outputs.{name}" in value}
    assert of_repair == set(step.outputs) - {"publish"}
    of_publishing = {name for name, value in named.items() if f"steps.publish.outputs.{name}" in value}
    assert of_publishing == {*publishing_outputs([]), "skipped", "subject", "commit"}
    assert set(named) == of_repair | of_publishing


def test_packages_of_the_repository_are_never_imported(tmp_path):
    """The entry point as action.yml calls it, in a repository whose own packages are called like ours."""
    for package in ("action", "bot", "runners"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('imported from the repository')\n")
    called = ACTION["runs"]["steps"][-1]["run"].removeprefix("exec ").replace('"$SETUP_PYTHON"', sys.executable).split()
    environment = {"GITHUB_WORKSPACE": str(tmp_path), "INPUT_FAIL_ON": "sometimes", "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(called, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2, run.stderr
    assert "fail-on" in run.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_checkout_of_another_user_is_told_apart_from_no_checkout(step):
    for path in [step.workspace, *step.workspace.rglob("*")]:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    assert step.run(outcome(repaired())) == 2
    assert "safe.directory" in step.printed


def test_a_workspace_without_a_checkout_says_so(step):
    shutil.rmtree(step.workspace / ".git")
    assert step.run(outcome(repaired())) == 2
    assert "actions/checkout" in step.printed

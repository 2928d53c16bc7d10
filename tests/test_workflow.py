"""The GitHub Action: what it reads from the environment, and what it leaves for GitHub to read.

The repair is handed in; the files, the escaping and the exit status are real. action.yml is read as GitHub would.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import git
import pytest
import yaml

from action.workflow import ANNOTATIONS, FAIL_ON, Annotation, annotated, command, flags, main, output, summary, variable
from bot.config import declarations, load
from bot.errors import ConfigError
from bot.pipeline import Outcome
from bot.records import Budget, Candidate, Discovery, Patch, Repair, Spent, Suspect, TestFailure, Verdict
from bot.report import Run, diff
from runners.runner import DockerUnavailable, Frame, FunctionKey

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
        git.Repo.init(self.workspace)
        self.files = {name: folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        self.environment = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            **{name: str(path) for name, path in self.files.items()},
        }
        self.printed = ""
        self.configs = []

    def run(self, result, **inputs):
        def repair(root, config, emit):
            self.configs.append((root, config))
            emit("stage", name="discover", text="Running the suite")
            if isinstance(result, Exception):
                raise result
            return result

        given = {variable(name.replace("_", "-")): value for name, value in inputs.items()}
        stream = io.StringIO()
        status = main(self.environment | given, stream, repair=repair)
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
        return [line for line in self.printed.splitlines() if line.startswith("::")]


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


# action.yml


def test_every_setting_but_running_unconfined_is_an_input_and_nothing_else_is():
    settings = {one.key for one in declarations()} - {"unsafe-local"}
    assert set(ACTION["inputs"]) == settings | {"working-directory", "fail-on"}


def test_every_input_reaches_the_entry_point_and_only_through_the_environment():
    steps = ACTION["runs"]["steps"]
    passed = steps[-1]["env"]
    for name in ACTION["inputs"]:
        assert passed[variable(name)] == f"${{{{ inputs.{name} }}}}"
    assert not any("${{" in item["run"] for item in steps)
    assert not any("uses" in item for item in steps)


def test_the_stated_defaults_are_the_real_ones():
    defaults = {name: str(item["default"]) for name, item in ACTION["inputs"].items()}
    assert defaults.pop("working-directory") == "."
    assert defaults.pop("fail-on") == "error"
    assert set(defaults.values()) == {""}
    for word in FAIL_ON:
        assert word in ACTION["inputs"]["fail-on"]["description"]


def test_the_outputs_are_those_that_are_written(step):
    step.run(outcome(repaired()))
    assert set(step.outputs) == set(ACTION["outputs"])


def test_packages_of_the_repository_are_never_imported(tmp_path):
    """The entry point as action.yml calls it, in a repository whose own packages are called like ours."""
    for package in ("action", "bot", "runners"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('imported from the repository')\n")
    called = ACTION["runs"]["steps"][-1]["run"].replace('"$SETUP_PYTHON"', sys.executable).split()
    environment = {"GITHUB_WORKSPACE": str(tmp_path), "INPUT_FAIL_ON": "sometimes", "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(called, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2, run.stderr
    assert "fail-on" in run.stdout

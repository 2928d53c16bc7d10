"""The command: flags in, files and an exit code out. The pipeline is a scripted one; git and files are real."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.cli import main
from bot.config import declarations
from bot.errors import ModelMissing
from bot.journal import read
from bot.patch_file import diff
from bot.pipeline import Outcome
from bot.records import Candidate, Discovery, Patch, Repair, Spent, Suspect, TestFailure, Verdict
from runners.runner import DockerUnavailable, FunctionKey, TestRun

ROOT = Path(__file__).resolve().parents[1]
BEFORE, AFTER = b"def f(x):\n    return x - 1\n", b"def f(x):\n    return x + 1\n"
SUSPECT = Suspect(FunctionKey("src/a.py", "f", 1), 0.9, 1.0, 0.8, "innermost frame")
FAILURE = TestFailure("tests/test_a.py::test_f", "call", "failure", "AssertionError", "assert 0 == 2", ())
PATCH = Patch("src/a.py", "f", BEFORE, AFTER, diff("src/a.py", BEFORE, AFTER).decode())


class Scripted:
    """A pipeline that does what it is told: repairs, fails to, raises."""

    def __init__(self, *, repaired=True, failing=True, collected=2, error=None, meanwhile=lambda root: None):
        self.repaired, self.failing, self.collected = repaired, failing, collected
        self.error, self.meanwhile = error, meanwhile
        self.configs = []

    def _start(self, root, config, emit):
        self.configs.append(config)
        print("a library that prints")
        emit("start", root=str(root), runner="docker", isolated=True, model=config.model)
        self.meanwhile(root)
        if self.error is not None:
            raise self.error
        failures = (FAILURE,) if self.failing else ()
        return Discovery(failures, (TestRun("t::ok", "passed"),), self.collected, 0, 0.5)

    def find(self, root, config, emit):
        discovery = self._start(root, config, emit)
        return discovery, [((FAILURE,), [SUSPECT])] if self.failing else []

    def repair(self, root, config, emit, *, earlier=None):
        discovery = self._start(root, config, emit)
        if not self.failing:
            return Outcome(discovery, ())
        if not self.repaired:
            repair = Repair((FAILURE,), (SUSPECT,), None, None, None, Spent(), "Nothing was found.")
            return Outcome(discovery, (repair,), Spent(), {"model": "embedded"}, (FAILURE.node_id,))
        candidate = Candidate(SUSPECT, "return x + 1\n", "guided", "gamma=1", -1.0, Spent())
        verdict = Verdict("strong", (), (FAILURE.node_id,), (), (), 3, "J4 in docker")
        repair = Repair((FAILURE,), (SUSPECT,), candidate, PATCH, verdict)
        return Outcome(discovery, (repair,), Spent(1, 2, 3, 4, 5), {"model": "embedded"})

    def combined(self, repairs):
        return {item.patch.path: item.patch.after for item in repairs if item.published}


def git(root, *arguments):
    """Run git as a user would and return what it prints."""
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(repo):
    return repo({"src/a.py": BEFORE, "README": "read me\n"})


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("EGCFG_")]:
        monkeypatch.delenv(name)
    for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(checkout, capfd):
    def run(*arguments, pipeline=None, path=None):
        code = main([arguments[0], str(path or checkout), *arguments[1:]], pipeline=pipeline or Scripted())
        out, err = capfd.readouterr()
        return code, out, err

    return run


def run_folder(root):
    (folder,) = (root / ".egcfg-fix/runs").iterdir()
    return folder


def user_files(root):
    kept = [p for p in root.rglob("*") if p.is_file() and not {".git", ".egcfg-fix"} & set(p.relative_to(root).parts)]
    return {str(p.relative_to(root)): p.read_bytes() for p in kept}


def command(*arguments, **options):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("EGCFG_", "CI", "GITHUB_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, env=environment, **options,
    )  # fmt: skip


# What a repair leaves behind


def test_a_repair_exits_with_0_and_writes_patch_report_result_and_journal_into_the_run_folder(run, checkout):
    code, out, _ = run("repair")
    folder = run_folder(checkout)
    assert code == 0
    names = ["bundle.json", "contents", "fix.patch", "journal.jsonl", "report.html", "report.md", "result.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert "Repaired the 1 failing test with 1 patch (1 strong)." in out
    assert "+    return x + 1" in out
    assert "# Repaired the 1 failing test" in (folder / "report.md").read_text()
    assert json.loads((folder / "result.json").read_text())["exit_code"] == 0
    assert [record["event"] for record in read(folder / "journal.jsonl")] == ["run", "start", "end"]


def test_by_default_nothing_of_the_users_changes_and_the_command_to_take_the_patch_works(run, checkout):
    before = user_files(checkout)
    _, out, _ = run("repair")
    assert user_files(checkout) == before
    assert git(checkout, "status", "--porcelain") == ""
    (line,) = [line for line in out.splitlines() if "To take the patch: " in line]
    subprocess.run(line.partition("patch: ")[2], shell=True, check=True)
    assert (checkout / "src/a.py").read_bytes() == AFTER


def test_apply_writes_the_files(run, checkout):
    code, out, _ = run("repair", "--apply")
    assert (code, (checkout / "src/a.py").read_bytes()) == (0, AFTER)
    assert "Written: src/a.py." in out


def test_patch_writes_the_patch_where_it_is_asked_for(run, checkout, tmp_path):
    assert run("repair", "--patch", str(tmp_path / "my.patch"))[0] == 0
    subprocess.run(["git", "apply", str(tmp_path / "my.patch")], cwd=checkout, check=True)
    assert (checkout / "src/a.py").read_bytes() == AFTER


def test_branch_commits_the_repair_and_leaves_the_tree_alone(run, checkout):
    before = user_files(checkout)
    code, out, _ = run("repair", "--branch", "egcfg-fix/f")
    assert code == 0
    assert user_files(checkout) == before
    assert git(checkout, "branch", "--show-current") == "main"
    assert git(checkout, "show", "egcfg-fix/f:src/a.py") == AFTER.decode().strip()
    assert "tests/test_a.py::test_f" in git(checkout, "log", "-1", "--format=%B", "egcfg-fix/f")
    assert "git show egcfg-fix/f" in out


def test_without_a_repair_there_is_a_report_but_no_patch_and_the_exit_code_is_1(run, checkout, tmp_path):
    code, out, _ = run("repair", "--apply", "--patch", str(tmp_path / "p"), pipeline=Scripted(repaired=False))
    assert code == 1
    assert "Nothing was found." in out
    assert not (tmp_path / "p").exists()
    assert not (run_folder(checkout) / "fix.patch").exists()
    assert (run_folder(checkout) / "report.md").exists()


def test_a_suite_in_which_nothing_fails_exits_with_0(run):
    code, out, _ = run("repair", pipeline=Scripted(failing=False))
    assert (code, "Nothing fails." in out) == (0, True)
    assert run("find", pipeline=Scripted(failing=False))[0] == 0


def test_find_shows_failures_and_functions_and_exits_with_1(run, checkout):
    code, out, _ = run("find")
    assert code == 1
    assert "FAIL tests/test_a.py::test_f" in out
    assert "f  src/a.py:1" in out
    assert [path.name for path in run_folder(checkout).iterdir()] == ["journal.jsonl"]


# Output


def test_progress_goes_to_standard_error_and_the_result_to_standard_output(run):
    _, out, err = run("repair")
    assert "Sandbox: docker" in err
    assert "Sandbox: docker" not in out
    assert "a library that prints" in err
    assert "a library that prints" not in out


def test_quiet_leaves_only_the_result(run):
    code, out, err = run("repair", "-q")
    assert (code, "Repaired" in out) == (0, True)
    assert err.replace("a library that prints\n", "") == ""


@pytest.mark.parametrize("arguments", [["repair"], ["repair", "--apply", "-v"], ["find"]])
def test_json_is_the_only_thing_on_standard_output(run, arguments):
    code, out, _ = run(*arguments, "--json")
    document = json.loads(out)
    assert (document["schema"], document["exit_code"], document["command"]) == (1, code, arguments[0])
    assert document["run"]["folder"]


def test_the_report_says_how_to_run_it_again(run, checkout):
    run(
        "repair",
        "--seed",
        "7",
        "--tests",
        "tests/test_a.py::test_f",
        "--gamma",
        "0",
        "--gamma",
        "1.5",
        "--unsafe-local",
    )
    expected = "egcfg-fix repair --tests=tests/test_a.py::test_f --unsafe-local --gamma=0 --gamma=1.5 --seed=7"
    assert expected in (run_folder(checkout) / "report.md").read_text()


# Settings


def test_flags_reach_the_pipeline_as_one_configuration(run, monkeypatch):
    monkeypatch.setenv("EGCFG_HORIZON", "5")
    pipeline = Scripted()
    run("repair", "--gamma", "0,1", "--gamma", "3", "--budget", "2m", "--seed", "4", pipeline=pipeline)
    (config,) = pipeline.configs
    assert (config.gamma, config.budget.seconds, config.seed, config.horizon) == ((0, 1, 3), 120, 4, 5)


def test_help_lists_every_setting_and_every_exit_code():
    text = command("repair", "--help").stdout
    assert [one.flag for one in declarations() if one.flag not in text] == []
    for code in (
        "0  nothing fails",
        "1  something still fails",
        "2  wrong usage",
        "3  the environment",
        "130  interrupted",
    ):
        assert code in text


def test_a_wrong_setting_is_told_before_anything_runs(run, checkout):
    (checkout / "pyproject.toml").write_text("[tool.egcfg-fix]\nunsafe-local = true\n")
    pipeline = Scripted()
    code, _, err = run("repair", pipeline=pipeline)
    assert code == 2
    assert "not taken from the repository" in err
    assert "--unsafe-local" in err
    assert pipeline.configs == []
    assert not (checkout / ".egcfg-fix").exists()


# Usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["repair", "--apply", "--branch", "x"], "exclude each other"),
        (["repair", "--allow-dirty"], "without --apply"),
        (["repair", "--patch", "/nonexistent/x.patch"], "does not exist"),
        (["repair", "--gama", "1"], "--gama"),
        (["repair", "--seed", "x"], "--seed: 'x'"),
        (["repair", "--branch", "a..b"], "not a name for a branch"),
        (["repair", "--branch", "main"], "exists already"),
        (["mend"], "mend"),
    ],
)
def test_wrong_usage_exits_with_2_before_anything_runs_also_as_json(run, checkout, arguments, said):
    pipeline = Scripted()
    code, out, err = run(*arguments, pipeline=pipeline)
    assert (code, out) == (2, "")
    assert said in err
    code, out, _ = run(*arguments, "--json", pipeline=pipeline)
    assert code == 2
    assert said in json.loads(out)["error"]["message"]
    assert pipeline.configs == []


def test_a_path_that_does_not_exist_or_is_a_file_exits_with_2(run, checkout, tmp_path):
    code, _, err = run("repair", path=tmp_path / "nowhere")
    assert (code, "does not exist" in err) == (2, True)
    code, _, err = run("find", path=checkout / "src/a.py")
    assert (code, "is not a folder" in err) == (2, True)


def test_a_suite_without_tests_exits_with_2(run):
    for name in ("repair", "find"):
        code, _, err = run(name, pipeline=Scripted(failing=False, collected=0))
        assert (code, "No tests were collected" in err) == (2, True)


def test_a_folder_without_git_can_be_repaired_but_gets_no_branch(run, tmp_path):
    (tmp_path / "plain/src").mkdir(parents=True)
    (tmp_path / "plain/src/a.py").write_bytes(BEFORE)
    code, _, err = run("repair", "--branch", "x", path=tmp_path / "plain")
    assert (code, "not a git repository" in err) == (2, True)
    assert run("repair", "--apply", path=tmp_path / "plain")[0] == 0
    assert (tmp_path / "plain/src/a.py").read_bytes() == AFTER


# A world that is not as it should be


def test_apply_says_first_that_the_tree_is_dirty_and_spares_a_dirty_file(run, checkout):
    (checkout / "README").write_text("work in progress\n")
    code, _, err = run("repair", "--apply")
    assert (code, "Uncommitted changes in README." in err) == (0, True)
    git(checkout, "checkout", "--", "src/a.py")
    (checkout / "src/a.py").write_bytes(b"# mine\n" + BEFORE)
    code, _, err = run("repair", "--apply")
    assert code == 2
    assert "src/a.py" in err
    assert "fix.patch" in err
    assert (checkout / "src/a.py").read_bytes() == b"# mine\n" + BEFORE


def test_apply_refuses_a_file_that_changed_during_the_run_and_says_where_the_patch_is(run, checkout):
    def edit(root):
        (root / "src/a.py").write_bytes(BEFORE + b"# the user typed this\n")

    code, _, err = run("repair", "--apply", pipeline=Scripted(meanwhile=edit))
    assert code == 2
    assert "has changed since it was read" in err
    assert "fix.patch" in err
    assert b"typed this" in (checkout / "src/a.py").read_bytes()


@pytest.mark.parametrize(
    "error",
    [
        DockerUnavailable("Docker did not answer.", hint="Start it."),
        ModelMissing("No weights there.", hint="Start it."),
    ],
)
def test_a_missing_environment_exits_with_3_and_a_hint_also_as_json(run, checkout, error):
    code, out, err = run("repair", pipeline=Scripted(error=error))
    assert (code, out) == (3, "")
    assert f"Error: {error.message}\n  Start it.\n" in err
    code, out, _ = run("repair", "--json", pipeline=Scripted(error=error))
    told = json.loads(out)["error"]
    assert (code, told["exit_code"], told["hint"]) == (3, 3, "Start it.")
    assert read(Path(told["log"]))[-1]["reason"].startswith("error: ")


def test_a_full_disk_exits_with_3_and_a_hint(run):
    full = OSError(errno.ENOSPC, "No space left on device", "/tmp/x")
    code, _, err = run("repair", pipeline=Scripted(error=full))
    assert (code, "No space is left" in err, "Free some space" in err) == (3, True, True)


def test_a_file_that_cannot_be_used_is_named(run, checkout, tmp_path):
    target = tmp_path / "made-meanwhile"
    code, _, err = run("repair", "--patch", str(target), pipeline=Scripted(meanwhile=lambda root: target.mkdir()))
    assert code == 3
    assert f"{target}: Is a directory." in err
    assert read(run_folder(checkout) / "journal.jsonl")[-1]["event"] == "end"


def test_an_unexpected_error_is_one_line_and_the_log_and_a_traceback_only_with_v(run, checkout):
    code, _, err = run("repair", pipeline=Scripted(error=ZeroDivisionError("deep inside")))
    assert code == 3
    assert "egcfg-fix itself failed: ZeroDivisionError: deep inside" in err
    assert "Traceback" not in err
    log = run_folder(checkout) / "journal.jsonl"
    assert str(log) in err
    assert "Traceback" in read(log)[-1]["traceback"]
    assert "Traceback" in run("repair", "-v", pipeline=Scripted(error=ZeroDivisionError()))[2]


def test_where_the_checkout_takes_no_run_folder_another_place_is_used_and_named(run, checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (checkout / ".egcfg-fix").write_text("a file in the way")
    code, _, err = run("repair")
    assert code == 0
    assert f"The files of this run are in {tmp_path / 'state'}" in err
    assert list((tmp_path / "state").rglob("fix.patch"))


def test_ctrl_c_leaves_the_repository_as_it_was_and_a_whole_journal(run, checkout):
    before = user_files(checkout)
    code, out, err = run("repair", "--apply", pipeline=Scripted(error=KeyboardInterrupt()))
    assert (code, out) == (130, "")
    assert "Interrupted; the repository is as it was." in err
    assert user_files(checkout) == before
    assert [r.get("reason") for r in read(run_folder(checkout) / "journal.jsonl")][-1] == "interrupted"
    assert (
        json.loads(run("repair", "--json", pipeline=Scripted(error=KeyboardInterrupt()))[1])["error"]["exit_code"]
        == 130
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_running_command_in_the_same_way(checkout, number):
    program = (
        "import sys, time; from bot.cli import main\n"
        "class Slow:\n"
        "    def find(self, root, config, emit):\n"
        "        emit('stage', text='waiting'); time.sleep(30)\n"
        "sys.exit(main(['find', sys.argv[1]], pipeline=Slow()))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(checkout)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process:
        assert process.stderr.readline() == "waiting\n"
        time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(10) == 130
    assert read(run_folder(checkout) / "journal.jsonl")[-1]["reason"] == "interrupted"


def test_a_reader_that_goes_away_is_no_failure(checkout):
    program = (
        "import sys; from bot.cli import main; from bot.records import Discovery\n"
        "class Long:\n"
        "    def find(self, root, config, emit):\n"
        "        return Discovery((), (), 5, 0, 0.5, ('x' * 3000,) * 500), []\n"
        "sys.exit(main(['find', *sys.argv[1:]], pipeline=Long()))\n"
    )
    for extra in ([], ["--json"]):
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, str(checkout), *extra],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        with process:
            process.stdout.read(10)
            process.stdout.close()
            assert process.stderr.read() == ""
            assert process.wait(20) == 0


# The program itself


def test_version_and_help_are_fast_and_load_nothing_heavy():
    before = os.times()
    result = command("--version")
    assert (result.returncode, result.stdout.split()[0]) == (0, "egcfg-fix,")
    assert command("--help").returncode == 0
    after = os.times()
    assert after.children_user - before.children_user < 2  # seconds of processor, whatever else the machine does
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, bot.cli; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {"torch", "transformers", "docker", "github", "git", "rich", "jinja2", "numpy"}.isdisjoint(loaded)


def test_without_a_command_the_help_is_shown_and_the_exit_code_is_2():
    result = command()
    assert result.returncode == 2
    assert "repair" in result.stderr


# The real pipeline


@pytest.fixture
def faulty(repo):
    tests = "from src.a import f\n\n\ndef test_f():\n    assert f(1) == 2\n\n\ndef test_g():\n    assert f(5) == 6\n"
    return repo({"src/__init__.py": "", "src/a.py": BEFORE, "tests/test_a.py": tests, "conftest.py": ""})


REAL = ("--runner", "local", "--unsafe-local", "--python", sys.executable)


def test_find_finds_the_failing_tests_and_the_function_to_blame(faulty, capfd):
    code = main(["find", str(faulty), *REAL, "--json"])
    out, _ = capfd.readouterr()
    document = json.loads(out)
    assert code == 1
    assert [failure["node_id"] for failure in document["discovery"]["failures"]] == [
        "tests/test_a.py::test_f",
        "tests/test_a.py::test_g",
    ]
    assert document["groups"][0]["suspects"][0]["key"]["qualname"] == "f"
    assert git(faulty, "status", "--porcelain") == ""


def test_a_search_that_the_budget_ended_says_how_to_go_on(faulty, capfd):
    assert main(["repair", str(faulty), *REAL, "--model", "none", "--budget", "executions=1"]) == 1
    out, _ = capfd.readouterr()
    assert "the budget is spent" in out
    assert "--resume last" in out


def test_find_tells_a_syntax_error_from_a_failing_test(repo, capfd):
    root = repo({"src.py": "def f(:\n", "test_a.py": "import src\n\n\ndef test_f():\n    pass\n"})
    assert main(["find", str(root), *REAL]) == 1
    out, _ = capfd.readouterr()
    assert "test_a.py" in out
    assert "(collection)" in out
    assert "none with a function to blame" in out


def test_a_folder_without_tests_exits_with_2(repo, capfd):
    assert main(["find", str(repo({"src.py": "x = 1\n"})), *REAL]) == 2
    assert "No tests were collected" in capfd.readouterr().err


@pytest.mark.model
def test_repair_repairs_and_applies(faulty, capfd):
    assert main(["repair", str(faulty), *REAL, "--apply", "--budget", "60s"]) == 0
    assert git(faulty, "status", "--porcelain") == "M src/a.py"
    done = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=faulty, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (patch,) = (faulty / ".egcfg-fix/runs").glob("*/fix.patch")
    subprocess.run(["git", "apply", "--reverse", "--check", str(patch)], cwd=faulty, check=True)

"""`egcfg-fix env` as a user meets it, with an interpreter of this machine; images are the matter of test_image."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bot.cli import main
from runners.environment.interpreter import Interpreter, advice, look
from runners.environment.plan import make_plan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "packages" / "app").mkdir(parents=True)
    (tmp_path / "packages" / "app" / "pyproject.toml").write_text(
        '[project]\nname = "app"\ndependencies = ["pytest", "there-is-no-such-one>=2"]\nrequires-python = ">=3.9"\n'
    )
    return tmp_path


def test_what_was_found_and_what_the_interpreter_lacks_is_shown(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--runner", "local", "--python", sys.executable, "--project", "packages/app"]
    assert main(["env", str(root), *flags]) == 3
    shown = capsys.readouterr().out
    assert "packages/app/pyproject.toml  2 dependencies" in shown
    assert "Missing   there-is-no-such-one>=2" in shown
    assert f"{sys.executable} -m pip install 'there-is-no-such-one>=2'" in shown
    (root / "packages/app/pyproject.toml").write_text('[project]\nname = "app"\n')
    assert main(["env", str(root), *flags]) == 0
    assert "Nothing is missing." in capsys.readouterr().out


def test_the_document_holds_the_plan_and_the_environment(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", str(root / "packages/app"), "--json", "--no-build"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert document["environment"] is None
    assert [need["line"] for need in document["plan"]["needs"]] == ["there-is-no-such-one>=2", "pytest>=7"]
    assert document["plan"]["version"] == "3.11"


def test_a_project_that_is_no_folder_of_the_repository_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for project, says in (("packages/none", "does not exist"), ("../x", "not usable"), ("/tmp", "not usable")):
        assert main(["env", str(root), "--project", project]) == 2
        assert says in capsys.readouterr().err
    (root / "link").symlink_to("/tmp")
    assert main(["env", str(root), "--project", "link"]) == 2
    assert "lies outside" in capsys.readouterr().err


def test_settings_that_contradict_each_other_are_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flags in (
        ["--image", "a", "--dockerfile", "b"],
        ["--dockerfile", "b", "--setup-command", "c"],
        ["--runner", "local", "--setup-command", "c"],
    ):
        assert main(["env", str(root), *flags]) == 2
        assert "Error:" in capsys.readouterr().err


def test_an_interpreter_is_asked_what_it_has_and_runs_nothing_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a file of the repository was run')")
    found = look(sys.executable)
    assert found.version.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert "pytest" in found.installed


def test_advice_names_a_wrong_python_and_wrong_versions(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname="x"\nrequires-python=">=3.12"\n'
        "dependencies=['attrs>=20', 'idna<3', 'six; python_version<\"3\"']\n"
    )
    found = Interpreter("/bin/py", "3.11.4", {"attrs": "23.1", "idna": "3.1", "pytest": "8"})
    lines = advice(make_plan(tmp_path), found)
    assert lines[0].startswith("The project needs Python >=3.12 and this is 3.11.4")
    assert lines[1] == "/bin/py -m pip install 'idna<3'"


def test_help_is_there_and_loads_nothing_slow() -> None:
    run = [sys.executable, "-m", "bot", "env", "--help"]
    shown = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout
    for flag in ("--no-build", "--dockerfile", "--setup-command", "--build-timeout", "--project"):
        assert flag in shown

"""The documents and the program say the same: flags, defaults, exit statuses, inputs, versions and file names."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from action.inputs import OWN, names, variable
from bot import __version__, errors
from bot.cli import EPILOG, program
from bot.config import ELSEWHERE, Config, Publishing, declarations

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")),
)
each_document = pytest.mark.parametrize("document", DOCUMENTS)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def flags() -> set[str]:
    """Return every flag of every command."""
    found = set()
    for command in (program, *program.commands.values()):
        context = click.Context(command)
        for parameter in command.get_params(context):
            if isinstance(parameter, click.Option):
                found |= {*parameter.opts, *parameter.secondary_opts}
    return found


def table(document: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table whose header starts with `heading`."""
    lines = iter(text(document).splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            break
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        if not line.startswith("|---"):
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


# Flags and settings


def test_the_settings_of_the_readme_are_the_real_ones_with_their_real_help() -> None:
    stated = {row[0].strip("` "): row for row in table("README.md", "setting")}
    assert set(stated) == {one.flag for one in declarations()}
    for one in declarations():
        _, _, in_file, says = stated[one.flag]
        assert says.strip() == one.help
        assert in_file == ("no" if one.trusted_only else "yes")


def test_the_defaults_of_the_readme_are_the_real_ones() -> None:
    for row in table("README.md", "setting"):
        one = next(one for one in declarations() if one.flag == row[0].strip("` "))
        if one.default in ((), "", None):
            assert row[1] == "–"
        elif one.kind.switch:
            assert row[1] == "off"
        else:
            assert one.kind.text(row[1].strip("`")) == one.default


def test_the_settings_of_publish_are_documented_with_their_real_help() -> None:
    stated = {row[0].strip("` "): row for row in table("docs/publishing.md", "setting")}
    assert set(stated) == {one.flag for one in declarations(Publishing)}
    for one in declarations(Publishing):
        _, default, says = stated[one.flag]
        assert says.strip() == one.help
        assert default == ("off" if one.kind.switch else f"`{one.default}`" if one.default else "–")


OTHERS = {  # flags of other programs that the documents speak of
    "--check", "--strict", "--network", "--no-deps", "--whole-library",
}  # fmt: skip


@each_document
def test_every_flag_that_a_document_names_exists(document: str) -> None:
    ours = re.sub(r"(?m)^.*python -m (?:benchmarks|training).*$", "", text(document))  # those have flags of their own
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]\b", ours))
    assert named - OTHERS <= flags()


def test_the_commands_of_the_readme_are_the_real_ones() -> None:
    assert set(re.findall(r"(?m)^ {4}egcfg-fix (\w+)", text("README.md"))) == set(program.commands)


def test_help_shows_every_setting_and_the_exit_statuses() -> None:
    run = [sys.executable, "-m", "bot", "repair", "--help"]
    shown = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    for one in declarations():
        assert one.flag in shown
    assert "Exit status:" in shown


def test_the_exit_statuses_of_readme_help_and_program_agree() -> None:
    real = {str(value) for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert {row[0] for row in table("README.md", "status")} == real
    assert set(re.findall(r"(?m)^ +(\d+)  ", EPILOG)) == real


@each_document
def test_every_variable_that_a_document_names_exists(document: str) -> None:
    known = {one.variable for kind in (Config, Publishing) for one in declarations(kind)} | ELSEWHERE
    assert set(re.findall(r"EGCFG_[A-Z_]*[A-Z]", text(document))) <= known


# The action


def test_the_inputs_and_outputs_of_the_readme_are_those_of_the_action() -> None:
    action = yaml.safe_load(text("action.yml"))
    block = text("README.md").partition("## GitHub Action")[2].partition("\n## ")[0]
    used = re.findall(r"(?m)^ {10}([a-z-]+):", block)
    assert used
    assert set(used) <= set(action["inputs"])
    assert set(re.findall(r"steps\.repair\.outputs\.([a-z-]+)", block)) <= set(action["outputs"])


def test_every_setting_but_running_unconfined_is_an_input_once() -> None:
    repairing, publishing = names()
    stated = re.findall(r"(?m)^  ([a-z-]+):$", text("action.yml").partition("\noutputs:")[0])
    assert sorted(stated) == sorted({*repairing, *publishing, *OWN})


def test_every_input_reaches_the_step_that_reads_it_and_only_through_the_environment() -> None:
    repairing, publishing = names()
    _, repair, publish = yaml.safe_load(text("action.yml"))["runs"]["steps"]
    for name in repairing | (OWN - {"token", "run", "dry-run"}):
        assert repair["env"][variable(name)] == f"${{{{ inputs.{name} }}}}"
    mixed = {"token", "command", "run", "subject"}  # their values come from earlier steps too
    for name in publishing | {"fail-on", "allow-forks", "dry-run"}:
        assert publish["env"][variable(name)] == f"${{{{ inputs.{name} }}}}"
    assert {variable(name) for name in mixed} <= set(publish["env"])
    assert not any("${{" in one["run"] or "uses" in one for one in (repair, publish))


def test_the_action_uses_no_secret() -> None:
    assert "secrets." not in text("action.yml")


# Versions and files


def test_the_version_is_one() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert project["version"] == __version__
    assert re.search(r"(?m)^## \[(.+?)\]", text("CHANGELOG.md"))[1] == __version__


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    pins = dict(
        line.lower().replace("_", "-").split("==") for line in text("constraints.txt").splitlines() if "==" in line
    )
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {re.match(r"[\w-]+", one)[0].lower() for one in wanted} <= set(pins)


@each_document
def test_links_and_paths_of_a_document_lead_somewhere(document: str) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", text(document)):
        assert (ROOT / document).parent.joinpath(link).exists(), link
    for path in re.findall(
        r"`((?:bot|runners|action|training|benchmarks|tests|examples|docs|\.ci)/[\w./-]+)`", text(document)
    ):
        assert (ROOT / path).exists(), path


def test_every_target_of_make_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", text("Makefile")))
    for document in DOCUMENTS:
        assert set(re.findall(r"(?m)(?:`|^ {4})make ([a-z]+)", text(document))) <= targets


def test_the_paper_and_the_patent_notice_are_stated() -> None:
    for document in ("README.md", "NOTICE"):
        words = " ".join(text(document).split())
        assert "2506.10948" in words
        assert "Lior Wolf" in words
        assert "states that the technology is patent protected (Ramot, Tel Aviv University)" in words


# What must stand in no file

HOSTS = [
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("deb", "debian", "org"))
]
PLACES = ["/" + name + "/" for name in ("work", "root/.pyenv", "home/runner", "opt/wheels")]


def test_no_file_names_a_machine_or_a_package_registry() -> None:
    found = []
    for path in tracked():
        content = path.read_bytes()
        if path.name == "arc-values.yaml":  # there it is the path of GitHub's own image
            content = content.replace(PLACES[2].encode(), b"")
        found += [f"{path.relative_to(ROOT)}: {word}" for word in (*HOSTS, *PLACES) if word.encode() in content]
    assert found == []
